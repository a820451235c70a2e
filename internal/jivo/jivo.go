// Package jivo is Jivo's dialect: the documented shape of every event of both
// webhook streams, a tolerant decoder for what really arrives, the identity
// and dedup key of an event, what an event says of a person, and the reply.
// It knows no server and no store. Facts are those of jivo-webhooks.md; row
// numbers in comments are the rows of its §b.
//
// Everything here is safe for concurrent use, except that a Message belongs to
// one goroutine at a time.
package jivo

import (
	"strings"
	"unicode/utf8"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Message is one decoded webhook. Its exported fields are the caller's to
// read; strings in it share memory with one copy of the body.
type Message struct {
	// Kind is the normalised name of a known event ("completed_task"), the raw
	// name cut at 64 runes of an unknown one, or "" if there is none.
	Kind  string
	Known bool
	// Fields is the normal form by Schema(Kind). Of an unknown kind it is the
	// object as it came.
	Fields event.Object
	// Coercions says in words, never with values, where the body differed from
	// the documentation and how it was read. At most maxNotes of them.
	Coercions []string

	// The ids found in the event, "" where there is none. Client is
	// visitor.number, else client_id, else client.client_id: one and the same
	// number per Jivo account (jivo-webhooks.md §c).
	Client, Chat, Deal, Task, Widget string
	// Agents are the agents the event names or gives the e-mail of. The CRM
	// stream knows only ids, which are left out.
	Agents []event.Agent

	tree *tree // the body after repairs, before normalisation
}

// Unparsable says why a body is no JSON object even after every repair of
// jivo-webhooks.md §b. Why never quotes the body.
type Unparsable struct{ Why string }

func (u *Unparsable) Error() string { return "no JSON object: " + u.Why }

// maxKind is how many runes of a name nobody knows are kept (product.md §4).
const maxKind = 64

// Decode reads one webhook body. It repairs what jivo-webhooks.md §b lists,
// and notes each repair; a body that is no JSON object even then is the error
// *Unparsable, the only one. It never panics, and takes time and memory
// proportional to the body up to fixed caps on depth and number of values.
func Decode(body []byte) (*Message, error) {
	notes := &notes{}
	t, err := parse(body, notes)
	if err != nil {
		return nil, err
	}
	m := &Message{tree: t}
	m.name(notes)
	s := shaper{tree: t, notes: notes}
	if k, ok := kinds[m.Kind]; ok {
		m.Known = true
		m.Fields = s.event(k.shape)
		m.Fields["event_name"] = m.Kind
		m.Fields["event_type"] = categoryOf(k, m.Fields)
	} else {
		m.Fields = s.plainObject(0)
	}
	m.identify()
	m.Coercions = notes.list
	return m, nil
}

// name finds the event's name. Keys and names may hold Cyrillic look-alikes (rows 17-20).
func (m *Message) name(notes *notes) {
	at := m.tree.find(0, "event_name")
	if at < 0 || m.tree.nodes[at].kind != isString {
		return
	}
	raw := m.tree.nodes[at].text
	name := normalName(raw)
	if first, _, several := strings.Cut(name, "/"); several && kinds[normalName(first)] != nil {
		notes.add("event_name: several names, the first taken")
		m.Kind = normalName(first)
		return
	}
	if kinds[name] == nil {
		m.Kind = cut(strings.TrimSpace(raw), maxKind)
		return
	}
	if name != raw {
		notes.add("event_name: read as " + name)
	}
	m.Kind = name
}

// categoryOf returns event_type as documented; no sample of Jivo's page has
// it, so it is derived from the name (row 21).
func categoryOf(k *kind, fields event.Object) string {
	if given := text(fields, "event_type"); given != "" {
		return fold(given)
	}
	return k.category
}

func (m *Message) identify() {
	f := m.Fields
	more, _ := f["extra"].(event.Object)
	m.Client = firstID(text(f, "visitor", "number"), text(f, "client_id"), text(f, "client", "client_id"), text(more, "client_id"))
	m.Chat = firstID(text(f, "chat_id"), text(more, "chat_id"))
	m.Deal = firstID(text(f, "deal_id"), text(f, "deal", "deal_id"))
	m.Task = firstID(text(f, "task_id"))
	m.Widget = firstID(text(f, "widget_id"), text(f, "widget", "widget_id"), text(f, "client", "widget", "widget_id"))
	if !m.Known {
		return
	}
	m.addAgent(object(f, "agent"))
	for _, a := range event.Objects(f["agents"]) {
		m.addAgent(a)
	}
	m.addAgent(object(f, "assigned_agent"))
}

func (m *Message) addAgent(o event.Object) {
	a := event.Agent{ID: text(o, "id"), Email: cleanLine(text(o, "email")), Name: cleanLine(text(o, "name"))}
	if a.Email == "" && a.Name == "" {
		return
	}
	for _, known := range m.Agents {
		if known == a {
			return
		}
	}
	m.Agents = append(m.Agents, a)
}

// firstID returns the first id that is one. Jivo counts from 1, so "0" is none.
func firstID(ids ...string) string {
	for _, id := range ids {
		if id != "" && id != "0" {
			return id
		}
	}
	return ""
}

// text walks objects and returns the text at the end of the path, or "". A
// number, which only fields outside a schema can be here, is printed whole.
func text(o event.Object, path ...string) string {
	for _, name := range path[:len(path)-1] {
		o, _ = o[name].(event.Object)
	}
	return scalar(o[path[len(path)-1]])
}

func object(o event.Object, path ...string) event.Object {
	for _, name := range path {
		o, _ = o[name].(event.Object)
	}
	return o
}

// cut returns the first n runes of s.
func cut(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n])
}

// maxNotes bounds the coercions kept of one event; more say nothing new.
const maxNotes = 32

// notes gathers coercions, each once.
type notes struct{ list []string }

func (n *notes) add(note string) {
	if len(n.list) >= maxNotes {
		return
	}
	for _, have := range n.list {
		if have == note {
			return
		}
	}
	n.list = append(n.list, note)
}
