package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// bodyShown is how much of a body a page shows; the API gives all of it.
const bodyShown = 256 << 10

// funcs are what the templates can say. None of them returns a template.HTML
// or URL type: everything they give is escaped where it stands.
func funcs(c clock) template.FuncMap {
	return template.FuncMap{
		"when":      c.when,
		"ago":       c.ago,
		"zone":      c.zoneName,
		"iso":       iso,
		"lasting":   lasting,
		"took":      took,
		"segment":   url.PathEscape,
		"eventsURL": eventsURL,
		"entity":    entityURL,
		"pretty":    pretty,
		"price":     price,
		"count":     count,
		"service":   service,
		"hooks":     hooksText,
		"means":     func(s event.State, r event.Reason) string { return loreOf(s, r).means },
		"todo":      func(s event.State, r event.Reason) string { return loreOf(s, r).todo },
		"bulky":     bulky,
		"states":    func() []string { return words(states()) },
		"sources":   func() []event.Source { return []event.Source{event.Jivo, event.AmoCRM} },
		"reasons":   reasons,
		"text":      func(v any) string { return fmt.Sprint(v) },
		"deref":     func(s *string) string { return *s },
		"list":      func(items []Item, connection bool) listView { return listView{items, connection} },
		"outcome":   outcome,
		"settled":   settledAfter,
	}
}

// settledAfter is how long an event took, in seconds; 0 while it is not settled.
func settledAfter(d *Detail) float64 {
	if d.SettledAt == nil || !d.State.Settled() {
		return 0
	}
	return d.SettledAt.Sub(d.ReceivedAt).Seconds()
}

// listView is a table of events; Connection adds the column.
type listView struct {
	Items      []Item
	Connection bool
}

func words[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return out
}

// reasons are all words of the column, to choose from.
func reasons() []string {
	return append(words(event.DeadReasons()), words(slices.Sorted(maps.Keys(skippedLore())))...)
}

// service is a source as people write it.
func service(s event.Source) string {
	switch s {
	case event.Jivo:
		return "Jivo"
	case event.AmoCRM:
		return "amoCRM"
	}
	return string(s)
}

// hooksText says what a connection's hook state means for the operator's card.
func hooksText(state string) string {
	switch state {
	case "ok", "":
		return ""
	case "missing":
		return "bridge check --fix subscribes them, or setup: auto by itself; until then the sweep keeps the cards"
	case "disabled":
		return "amoCRM switched them off: bridge check --fix, or setup: auto by itself; until then the sweep keeps the cards"
	case "partial":
		return "amoCRM sends only some of them: bridge check says which are missing; the sweep sees the rest"
	case "off":
		return "the sweep keeps the cards"
	}
	return "not looked at yet"
}

// count is a number with its noun: "1 event", "2 events".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// price groups the digits of an amount: "1 500", "0.50".
func price(v float64) string {
	s := strconv.FormatFloat(v, 'f', 2, 64)
	whole, cents, _ := strings.Cut(s, ".")
	sign := ""
	if whole[0] == '-' {
		sign, whole = "−", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + " " + whole[i:]
	}
	if cents != "00" {
		whole += "." + cents
	}
	return sign + whole
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
	if len(q) == 0 {
		return "/events"
	}
	return "/events?" + q.Encode()
}

// entityURL is where amoCRM shows a lead, contact or company, "" when it cannot
// be said.
func entityURL(account, entity string, id int64) string {
	if account == "" || id == 0 {
		return ""
	}
	return account + "/" + entity + "/detail/" + strconv.FormatInt(id, 10)
}

// outcome is the class of a request's answer: good, bad or none.
func outcome(status int) string {
	switch {
	case status == 0:
		return "none"
	case status < 300:
		return "good"
	}
	return "bad"
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
