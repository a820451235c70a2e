package book

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Doubles names what must not exist twice: leads or contacts that share a
// token of the marker field, calls that share a uniq, notes of one card with
// the same text. Deleted cards do not count; of tasks see twinTasks.
func (b *Book) Doubles() []string {
	var out []string
	seen := map[string]int64{}
	see := func(key string, id int64) {
		if first, ok := seen[key]; ok && first != id {
			out = append(out, fmt.Sprintf("%s: %d and %d", key, first, id))
			return
		}
		seen[key] = id
	}
	for _, kind := range []string{Leads, Contacts} {
		t := b.Cards[kind]
		for _, id := range t.IDs {
			if r := t.ByID[id]; !r.Deleted {
				for _, token := range markerTokens(kind, r.Value("Jivo ID")) {
					see(Singular(kind)+" "+token, id)
				}
			}
		}
	}
	for _, n := range b.Notes {
		if u := n.Uniq(); u != "" {
			see("call "+u, n.ID)
		} else {
			see(n.EntityType+" "+strconv.FormatInt(n.EntityID, 10)+" "+n.Type+" "+n.Text(), n.ID)
		}
	}
	return out
}

// markerTokens are the tokens that must be unique among cards of a kind: a
// client has one contact, a chat or a deal one lead; a client's token on leads
// may repeat, since a client may have several.
func markerTokens(kind, marker string) []string {
	prefix := map[string][]string{Leads: {"jv-k", "jv-d"}, Contacts: {"jv-c"}}[kind]
	return slices.DeleteFunc(strings.Fields(marker), func(token string) bool {
		return !slices.ContainsFunc(prefix, func(p string) bool { return strings.HasPrefix(token, p) })
	})
}

// TwinTasks names open tasks of one card with the same text. Rules may want
// that, so they are no doubles.
func (b *Book) TwinTasks() []string {
	var out []string
	seen := map[string]bool{}
	for _, t := range b.Tasks {
		if t.Deleted {
			continue
		}
		key := t.EntityType + " " + strconv.FormatInt(t.EntityID, 10) + " task " + t.Text
		if seen[key] && !t.Completed {
			out = append(out, key)
		}
		seen[key] = seen[key] || !t.Completed
	}
	return out
}
