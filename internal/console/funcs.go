package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// bodyShown is how much of a body a page shows; the API gives all of it.
const bodyShown = 256 << 10

// funcs are what the templates can say. None of them returns a template.HTML
// or URL type: everything they give is escaped where it stands.
func funcs() template.FuncMap {
	return template.FuncMap{
		"when":      when,
		"iso":       func(t any) string { return format(t, time.RFC3339) },
		"lasting":   lasting,
		"segment":   url.PathEscape,
		"eventsURL": eventsURL,
		"entity":    entityURL,
		"story":     story,
		"pretty":    pretty,
		"states":    func() []string { return words(states()) },
		"sources":   func() []string { return []string{string(event.Jivo), string(event.AmoCRM)} },
		"settled":   func(s event.State) bool { return s.Settled() },
		"duration":  func(seconds float64) string { return strconv.FormatFloat(seconds, 'f', 3, 64) + " s" },
		"text":      func(v any) string { return fmt.Sprint(v) },
		"deref":     func(s *string) string { return *s },
		"match":     matchOf,
	}
}

func words[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return out
}

// when is a time as people read it, always in UTC: "" for none.
func when(t any) string { return format(t, "2006-01-02 15:04:05") }

func format(v any, layout string) string {
	t, ok := v.(time.Time)
	if p, isPointer := v.(*time.Time); isPointer && p != nil {
		t, ok = *p, true
	}
	if !ok || t.IsZero() {
		return ""
	}
	return t.UTC().Format(layout)
}

// lasting is a length of time in its two greatest units: "2d 3h".
func lasting(seconds float64) string {
	s := int64(seconds)
	if s <= 0 {
		return "0s"
	}
	var parts []string
	for _, u := range []struct {
		name string
		size int64
	}{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}} {
		if n := s / u.size; n > 0 {
			parts = append(parts, strconv.FormatInt(n, 10)+u.name)
			s %= u.size
		} else if len(parts) > 0 {
			break
		}
		if len(parts) == 2 {
			break
		}
	}
	return strings.Join(parts, " ")
}

// eventsURL is the list of events narrowed by name-value pairs; empty ones are
// left out. It is a whole URL because a template escapes a part of one again.
func eventsURL(pairs ...any) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if v := fmt.Sprint(pairs[i+1]); v != "" {
			q.Set(fmt.Sprint(pairs[i]), v)
		}
	}
	return "/events?" + q.Encode()
}

// entityURL is where amoCRM shows a lead or contact, "" when it cannot be said.
func entityURL(account, entity string, id int64) string {
	if account == "" || id == 0 {
		return ""
	}
	return account + "/" + entity + "/detail/" + strconv.FormatInt(id, 10)
}

// matchView is a found contact or lead with the way to it.
type matchView struct {
	event.Match
	URL string
}

func matchOf(account, entity string, m *event.Match) *matchView {
	if m == nil {
		return nil
	}
	return &matchView{*m, entityURL(account, entity, m.ID)}
}

// story is the first sentence of an event's page: what came of it.
func story(d *Detail) string {
	switch d.State {
	case event.Pending:
		return pendingStory(d)
	case event.Parked:
		return "It waits for its client to be described."
	case event.Done:
		return "It is done: everything it asks for stands in amoCRM."
	case event.Skipped:
		return "Nothing was to be done for it: " + because(d) + "."
	case event.Dead:
		return "It cannot succeed by itself: " + because(d) + "."
	}
	return ""
}

func pendingStory(d *Detail) string {
	if d.NextAt == nil {
		return "It waits for its turn."
	}
	return fmt.Sprintf("It will be tried at %s UTC; attempts so far: %d.", when(d.NextAt), d.Attempts)
}

// because is the reason, in words where they are known.
func because(d *Detail) string {
	if d.Detail == "" {
		return string(d.Reason)
	}
	return string(d.Reason) + ", " + strings.TrimSuffix(d.Detail, ".")
}

// pretty is a body as people read it: JSON indented, a form one pair a line,
// anything else as it came.
func pretty(body string) string {
	if len(body) > bodyShown {
		return strings.ToValidUTF8(body[:bodyShown], "\uFFFD") + "\n… (the rest is in the API)"
	}
	var out bytes.Buffer
	if json.Indent(&out, []byte(body), "", "  ") == nil {
		return strings.ToValidUTF8(out.String(), "\uFFFD")
	}
	if pairs, ok := prettyForm(body); ok {
		return pairs
	}
	return strings.ToValidUTF8(body, "\uFFFD")
}

// prettyForm keeps the pairs in the order they came, as amoCRM's hooks do.
func prettyForm(body string) (string, bool) {
	if !strings.Contains(body, "=") || strings.ContainsAny(body, " \n{<") {
		return "", false
	}
	var b strings.Builder
	for pair := range strings.SplitSeq(body, "&") {
		key, value, _ := strings.Cut(pair, "=")
		k, err := url.QueryUnescape(key)
		if err != nil {
			return "", false
		}
		v, err := url.QueryUnescape(value)
		if err != nil {
			return "", false
		}
		b.WriteString(k + " = " + v + "\n")
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD"), true
}
