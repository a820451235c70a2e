package config

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/jivo-amocrm/bridge/internal/mapping"
)

// What rules say is checked where it is compiled, in mapping: names, events,
// finders, expressions. The table here knows keys and kinds of values, and for
// the JSON Schema the words that are allowed.

func (conn *Connection) rules(c *Config) list {
	return list{
		want:  "rules",
		start: func() { conn.Rules = []mapping.Rule{} },
		each: func(_ int, at Pos) node {
			conn.Rules = append(conn.Rules, mapping.Rule{Line: at.Line, Col: at.Col})
			return ruleNode{ruleTable(&conn.Rules[len(conn.Rules)-1], c.vocab), conn}
		},
	}
}

// ruleNode is the last rule of a connection.
type ruleNode struct {
	object
	conn *Connection
}

// read keeps a rule with a hole in it from being compiled: the compiler would
// only complain of the hole again.
func (n ruleNode) read(r *reader, v ast.Node, at place) {
	before := r.holes
	n.object.read(r, v, at)
	if r.holes == before {
		n.conn.whole = append(n.conn.whole, n.conn.Rules[len(n.conn.Rules)-1])
	}
}

func ruleTable(rule *mapping.Rule, v Vocabulary) object {
	return object{
		keys: []key{
			must("name", phrase(&rule.Name).filled(), "Unique name: part of what keeps its notes and tasks from being doubled"),
			must("on", eventKinds(rule, v), "Jivo events this rule is for"),
			may("when", expression(&rule.When), "Expression that must be true; absent: always"),
			may("contact", contactTable(rule), "What the contact should look like"),
			may("lead", leadTable(rule), "What the lead should look like"),
			may("note", noteTable(rule), "A note to add"),
			may("task", taskTable(rule), "A task to set"),
			may("call", callTable(rule), "The event's call as a note"),
			may("stop", flag(&rule.Stop), "Whether later rules are left out if this one matched"),
		},
		shape: func(s *jsonschema.Schema) { s.MinProperties = jsonschema.Ptr(3) },
	}
}

func eventKinds(rule *mapping.Rule, v Vocabulary) list {
	return list{
		want: "events", least: 1,
		each: func(int, Pos) node {
			rule.On = append(rule.On, mapping.Text{})
			l := phrase(&rule.On[len(rule.On)-1])
			l.want, l.kinds, l.shape = "an event", isText, jsonschema.Schema{Type: "string"}
			if len(v.Kinds) > 0 {
				l.shape = wordShape(v.Kinds)
			}
			return l
		},
	}
}

func contactTable(rule *mapping.Rule) made {
	return made{func() node {
		b := &mapping.ContactBlock{}
		rule.Contact = b
		return object{
			keys: []key{
				may("find", finders(&b.Find, false, "client", "phone", "email"), "How it is looked for, in order"),
				may("create", boolean(func(v bool) { b.Create = &v }), "Whether it is made if not found"),
				may("update", updateMode(&b.Update), "How an existing one is written"),
				may("name", phrase(&b.Name), "Name"),
				may("phone", phrase(&b.Phone), "Phone, added beside the others"),
				may("email", phrase(&b.Email), "E-mail, added beside the others"),
				may("company", phrase(&b.Company), "Company, by name"),
				may("tags", phrases(&b.Tags), "Tags to add"),
				may("tags_remove", phrases(&b.TagsRemove), "Tags to take off, of those the bridge added"),
				may("responsible", phrase(&b.Responsible), "Jivo agent, or amoCRM user"),
				may("fields", customFields(&b.Fields), "Custom fields by name, code or id"),
			},
			after: func(_ *reader, at place) { b.Line, b.Col = at.Line, at.Col },
		}
	}}
}

func leadTable(rule *mapping.Rule) made {
	return made{func() node {
		b := &mapping.LeadBlock{}
		rule.Lead = b
		return object{
			keys: []key{
				may("find", finders(&b.Find, true, "chat", "open", "open_any", "deal"), "How it is looked for, in order; also recent: 7d"),
				may("create", boolean(func(v bool) { b.Create = &v }), "Whether it is made if not found"),
				may("update", updateMode(&b.Update), "How an existing one is written"),
				may("pipeline", phrase(&b.Pipeline), "Pipeline, by name or id; absent: the main one"),
				may("stage", phrase(&b.Stage), "Stage, by name or id; unsorted, won or lost; absent: the first"),
				may("name", phrase(&b.Name), "Name"),
				may("price", phrase(&b.Price), "Price"),
				may("responsible", phrase(&b.Responsible), "Jivo agent, or amoCRM user"),
				may("loss_reason", phrase(&b.LossReason), "Loss reason, by name"),
				may("tags", phrases(&b.Tags), "Tags to add"),
				may("tags_remove", phrases(&b.TagsRemove), "Tags to take off, of those the bridge added"),
				may("fields", customFields(&b.Fields), "Custom fields by name, code or id"),
			},
			after: func(_ *reader, at place) { b.Line, b.Col = at.Line, at.Col },
		}
	}}
}

func noteTable(rule *mapping.Rule) made {
	return made{func() node {
		b := &mapping.NoteBlock{}
		rule.Note = b
		return object{
			keys: []key{
				may("to", target(&b.To), "lead or contact; default: lead"),
				must("text", phrase(&b.Text).filled(), "Text of the note"),
			},
			after: func(_ *reader, at place) { b.Line, b.Col = at.Line, at.Col },
		}
	}}
}

func taskTable(rule *mapping.Rule) made {
	return made{func() node {
		b := &mapping.TaskBlock{}
		rule.Task = b
		return object{
			keys: []key{
				may("to", target(&b.To), "lead or contact; default: lead"),
				must("text", phrase(&b.Text).filled(), "Text of the task"),
				may("due", dueIn(&b.Due), "How long after the event it is due, inside the work hours"),
				may("once", flag(&b.Once), "No second one while an open task of this rule stands on the lead"),
				may("responsible", phrase(&b.Responsible), "Jivo agent, or amoCRM user"),
			},
			after: func(_ *reader, at place) { b.Line, b.Col = at.Line, at.Col },
		}
	}}
}

func callTable(rule *mapping.Rule) made {
	return made{func() node {
		b := &mapping.CallBlock{}
		rule.Call = b
		return object{
			keys:  []key{may("to", target(&b.To), "lead or contact; default: lead")},
			after: func(_ *reader, at place) { b.Line, b.Col = at.Line, at.Col },
		}
	}}
}

// target is a rule's `to:`; left out, it is the lead.
func target(dst *mapping.Text) leaf {
	l := wordOf(dst, "lead", "contact")
	l.def = "lead"
	return l
}

func updateMode(dst *mapping.Text) leaf { return wordOf(dst, "fill", "overwrite", "never") }

// wordOf is a text that is one of a set of words; the compiler checks it.
func wordOf(dst *mapping.Text, set ...string) leaf {
	l := phrase(dst)
	l.kinds, l.shape = isText, wordShape(set)
	return l
}

func dueIn(dst *mapping.Text) leaf {
	defaultDue := day // mapping's
	l, span := phrase(dst), duration(&defaultDue, 0, longest)
	l.want, l.kinds, l.shape, l.def = span.want, span.kinds, span.shape, span.def
	return l.checked(span.take)
}

// expression is `when:`; true and false are expressions too.
func expression(dst *mapping.Text) leaf {
	l := phrase(dst)
	l.want, l.kinds = "an expression", isText|isBool
	l.shape = jsonschema.Schema{Types: []string{"string", "boolean"}, Pattern: `\S`}
	return l
}

// phrases is a list of texts.
func phrases(dst *[]mapping.Text) list {
	return list{
		want:  "texts",
		start: func() { *dst = []mapping.Text{} },
		each: func(int, Pos) node {
			*dst = append(*dst, mapping.Text{})
			return phrase(&(*dst)[len(*dst)-1]).filled()
		},
	}
}

// customFields is a rule's `fields:`.
func customFields(dst *[]mapping.Field) dict {
	return dict{
		want: "fields to texts",
		each: func(name string, at Pos) node {
			*dst = append(*dst, mapping.Field{Key: mapping.Text{Value: name, Line: at.Line, Col: at.Col, Set: true}})
			return phrase(&(*dst)[len(*dst)-1].Value)
		},
	}
}

// finders is a rule's `find:`: words, and for leads `recent: 7d`, which is kept
// in these words.
func finders(dst *[]mapping.Text, recent bool, set ...string) list {
	return list{
		want:  "finders (" + strings.Join(set, ", ") + ")",
		start: func() { *dst = []mapping.Text{} },
		each: func(int, Pos) node {
			*dst = append(*dst, mapping.Text{})
			last := &(*dst)[len(*dst)-1]
			if !recent {
				return wordOf(last, set...)
			}
			word := wordOf(last, set...)
			word.shape.Pattern += "|^recent:"
			return wordOrRecent{word: word, last: last}
		},
	}
}

// wordOrRecent is a finder of leads: a word, or `recent: 7d`, which YAML reads
// as a mapping unless it stands in quotes.
type wordOrRecent struct {
	word leaf
	last *mapping.Text
}

func (f wordOrRecent) read(r *reader, n ast.Node, at place) {
	if _, isMap := r.pairs(n); isMap {
		f.recent().read(r, n, at)
		return
	}
	f.word.read(r, n, at)
}

func (f wordOrRecent) recent() object {
	var span mapping.Text
	return object{
		keys: []key{must("recent", dueIn(&span), "A lead closed not longer ago counts")},
		after: func(*reader, place) {
			*f.last = span
			f.last.Value = "recent: " + span.Value
		},
	}
}

func (f wordOrRecent) schema() *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{f.word.schema(), f.recent().schema()}}
}
