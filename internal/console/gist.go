package console

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
)

// gistCut is how many runes of one value a gist shows.
const gistCut = 160

// fact is one line of a gist.
type fact struct{ Name, Value string }

// gist is what a Jivo event says in a few lines, read as the rules read it;
// nil where there is nothing to say. Its values are visitors' text.
func gist(d *Detail) []fact {
	if d.Source != event.Jivo || d.Body == nil {
		return nil
	}
	m, err := jivo.Decode([]byte(*d.Body))
	if err != nil || !m.Known {
		return nil
	}
	f := m.Fields
	var out []fact
	add := func(name string, parts ...string) {
		var said []string
		for _, p := range parts {
			if p = strings.TrimSpace(p); p != "" {
				said = append(said, p)
			}
		}
		if len(said) > 0 {
			out = append(out, fact{name, clip(strings.Join(said, " · "))})
		}
	}
	add("Visitor", at(f, "visitor", "name"), at(f, "visitor", "phone"), at(f, "visitor", "email"))
	add("Client", at(f, "name"), contactsOf(f))
	add("Operator", operator(f))
	add("Messages", messages(f))
	add("Message", at(f, "message"))
	add("Call", at(f, "call", "type"), at(f, "call", "status"), at(f, "call", "phone"), at(f, "call", "reason"))
	add("Linked by the operator", at(f, "assign_to"))
	if m.Deal != "" && m.Task == "" {
		add("Deal", m.Deal, at(f, "title"), amount(f))
	}
	if m.Task != "" {
		add("Task", m.Task, at(f, "text"), at(f, "status"))
	}
	add("Page", at(f, "page", "title"), at(f, "page", "url"))
	add("Source", utm(f, "source"), utm(f, "medium"), utm(f, "campaign"))
	add("Channel", m.Widget)
	return out
}

// at is the text of a field down a path, "" if there is none.
func at(o event.Object, path ...string) string {
	for _, name := range path[:len(path)-1] {
		o, _ = o[name].(event.Object)
	}
	s, _ := o[path[len(path)-1]].(string)
	return s
}

// utm is one word of the source, percent-decoded as rules have it.
func utm(f event.Object, name string) string {
	raw := at(f, "session", "utm_json", name)
	if s, err := url.PathUnescape(raw); err == nil { // a plus is a plus
		return s
	}
	return raw
}

func operator(f event.Object) string {
	for _, o := range append([]event.Object{{"agent": f["agent"]}, {"agent": f["assigned_agent"]}}, agents(f)...) {
		if who := cmp.Or(at(o, "agent", "name"), at(o, "agent", "email")); who != "" {
			return who
		}
	}
	return ""
}

func agents(f event.Object) (out []event.Object) {
	for _, a := range event.Objects(f["agents"]) {
		out = append(out, event.Object{"agent": a})
	}
	return out
}

func contactsOf(f event.Object) string {
	var said []string
	for _, c := range event.Objects(f["contacts"]) {
		said = append(said, at(c, "contact"))
	}
	return strings.Join(said, " · ")
}

// messages says how many there were and what the visitor said first.
func messages(f event.Object) string {
	chat, _ := f["chat"].(event.Object)
	all := event.Objects(chat["messages"])
	if len(all) == 0 {
		return ""
	}
	first := ""
	for _, m := range all {
		if at(m, "type") == "visitor" {
			first = ", the visitor's first: " + at(m, "message")
			break
		}
	}
	return fmt.Sprint(len(all)) + first
}

func amount(f event.Object) string {
	if v, ok := f["amount"].(float64); ok && v != 0 {
		return price(v)
	}
	return ""
}

func clip(s string) string {
	if r := []rune(s); len(r) > gistCut {
		return string(r[:gistCut]) + "…"
	}
	return s
}
