package config

import (
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/jivo-amocrm/bridge/internal/config/strict"
	"github.com/jivo-amocrm/bridge/internal/mapping"
)

// What rules say is checked where it is compiled, in mapping: names, events,
// finders, expressions. The table here knows keys and kinds of values, and for
// the JSON Schema the words that are allowed.

func (conn *Connection) rules(v Vocabulary) strict.List {
	return strict.List{
		Want:  "rules",
		Start: func() { conn.Rules = []mapping.Rule{} },
		Each: func(_ int, at Pos) strict.Node {
			conn.Rules = append(conn.Rules, mapping.Rule{Line: at.Line, Col: at.Col})
			table := ruleTable(&conn.Rules[len(conn.Rules)-1], v)
			table.After = func(_ *strict.Reader, _ strict.Place, whole bool) {
				// Of a rule with a hole in it the compiler would only complain again.
				if whole {
					conn.whole = append(conn.whole, conn.Rules[len(conn.Rules)-1])
				}
			}
			return table
		},
	}
}

func ruleTable(rule *mapping.Rule, v Vocabulary) strict.Object {
	return strict.Object{
		Keys: []strict.Key{
			strict.Must("name", phrase(&rule.Name).Filled(), "Unique name: part of what keeps its notes and tasks from being doubled"),
			strict.Must("on", eventKinds(rule, v), "Jivo events this rule is for"),
			strict.May("when", expression(&rule.When), "Expression that must be true; absent: always"),
			strict.May("contact", contactTable(rule), "What the contact should look like"),
			strict.May("lead", leadTable(rule), "What the lead should look like"),
			strict.May("note", noteTable(rule), "A note to add"),
			strict.May("task", taskTable(rule), "A task to set"),
			strict.May("call", callTable(rule), "The event's call as a note"),
			strict.May("stop", strict.Flag(&rule.Stop), "Whether later rules are left out if this one matched"),
		},
		Shape: func(s *jsonschema.Schema) { s.MinProperties = jsonschema.Ptr(3) },
	}
}

func eventKinds(rule *mapping.Rule, v Vocabulary) strict.List {
	return strict.List{
		Want: "events", Least: 1,
		Each: func(int, Pos) strict.Node {
			rule.On = append(rule.On, mapping.Text{})
			l := phrase(&rule.On[len(rule.On)-1])
			l.Want, l.Kinds, l.Shape = "an event", strict.TextKind, jsonschema.Schema{Type: "string"}
			if len(v.Kinds) > 0 {
				l.Shape = strict.WordShape(v.Kinds)
			}
			return l
		},
	}
}

func contactTable(rule *mapping.Rule) strict.Node {
	return strict.Lazy(func() strict.Node {
		b := &mapping.ContactBlock{}
		rule.Contact = b
		return strict.Object{
			Keys: []strict.Key{
				strict.May("find", finders(&b.Find, false, "client", "phone", "email"), "How it is looked for, in order"),
				strict.May("create", strict.Boolean(func(v bool) { b.Create = &v }), "Whether it is made if not found"),
				strict.May("update", updateMode(&b.Update), "How an existing one is written"),
				strict.May("name", phrase(&b.Name), "Name"),
				strict.May("phone", phrase(&b.Phone), "Phone, added beside the others"),
				strict.May("email", phrase(&b.Email), "E-mail, added beside the others"),
				strict.May("company", phrase(&b.Company), "Company, by name"),
				strict.May("tags", phrases(&b.Tags), "Tags to add"),
				strict.May("tags_remove", phrases(&b.TagsRemove), "Tags to take off, of those the bridge added"),
				strict.May("responsible", phrase(&b.Responsible), "Jivo agent, or amoCRM user"),
				strict.May("fields", customFields(&b.Fields), "Custom fields by name, code or id"),
			},
			After: func(_ *strict.Reader, at strict.Place, _ bool) { b.Line, b.Col = at.Line, at.Col },
		}
	})
}

func leadTable(rule *mapping.Rule) strict.Node {
	return strict.Lazy(func() strict.Node {
		b := &mapping.LeadBlock{}
		rule.Lead = b
		return strict.Object{
			Keys: []strict.Key{
				strict.May("find", finders(&b.Find, true, "chat", "open", "open_any", "deal"), "How it is looked for, in order; also recent: 7d"),
				strict.May("create", strict.Boolean(func(v bool) { b.Create = &v }), "Whether it is made if not found"),
				strict.May("update", updateMode(&b.Update), "How an existing one is written"),
				strict.May("pipeline", phrase(&b.Pipeline), "Pipeline, by name or id; absent: the main one"),
				strict.May("stage", phrase(&b.Stage), "Stage, by name or id; unsorted, won or lost; absent: the first"),
				strict.May("name", phrase(&b.Name), "Name"),
				strict.May("price", phrase(&b.Price), "Price"),
				strict.May("responsible", phrase(&b.Responsible), "Jivo agent, or amoCRM user"),
				strict.May("loss_reason", phrase(&b.LossReason), "Loss reason, by name"),
				strict.May("tags", phrases(&b.Tags), "Tags to add"),
				strict.May("tags_remove", phrases(&b.TagsRemove), "Tags to take off, of those the bridge added"),
				strict.May("fields", customFields(&b.Fields), "Custom fields by name, code or id"),
			},
			After: func(_ *strict.Reader, at strict.Place, _ bool) { b.Line, b.Col = at.Line, at.Col },
		}
	})
}

func noteTable(rule *mapping.Rule) strict.Node {
	return strict.Lazy(func() strict.Node {
		b := &mapping.NoteBlock{}
		rule.Note = b
		return strict.Object{
			Keys: []strict.Key{
				strict.May("to", target(&b.To), "lead or contact; default: lead"),
				strict.Must("text", phrase(&b.Text).Filled(), "Text of the note"),
			},
			After: func(_ *strict.Reader, at strict.Place, _ bool) { b.Line, b.Col = at.Line, at.Col },
		}
	})
}

func taskTable(rule *mapping.Rule) strict.Node {
	return strict.Lazy(func() strict.Node {
		b := &mapping.TaskBlock{}
		rule.Task = b
		return strict.Object{
			Keys: []strict.Key{
				strict.May("to", target(&b.To), "lead or contact; default: lead"),
				strict.Must("text", phrase(&b.Text).Filled(), "Text of the task"),
				strict.May("due", dueIn(&b.Due), "How long after the event it is due, inside the work hours"),
				strict.May("once", strict.Flag(&b.Once), "No second one while an open task of this rule stands on the lead"),
				strict.May("responsible", phrase(&b.Responsible), "Jivo agent, or amoCRM user"),
			},
			After: func(_ *strict.Reader, at strict.Place, _ bool) { b.Line, b.Col = at.Line, at.Col },
		}
	})
}

func callTable(rule *mapping.Rule) strict.Node {
	return strict.Lazy(func() strict.Node {
		b := &mapping.CallBlock{}
		rule.Call = b
		return strict.Object{
			Keys:  []strict.Key{strict.May("to", target(&b.To), "lead or contact; default: lead")},
			After: func(_ *strict.Reader, at strict.Place, _ bool) { b.Line, b.Col = at.Line, at.Col },
		}
	})
}

// phrases is a list of texts.
func phrases(dst *[]mapping.Text) strict.List {
	return strict.List{
		Want:  "texts",
		Start: func() { *dst = []mapping.Text{} },
		Each: func(int, Pos) strict.Node {
			*dst = append(*dst, mapping.Text{})
			return phrase(&(*dst)[len(*dst)-1]).Filled()
		},
	}
}

// customFields is a rule's `fields:`.
func customFields(dst *[]mapping.Field) strict.Dict {
	return strict.Dict{
		Want: "fields to texts",
		Each: func(name string, at Pos) strict.Node {
			*dst = append(*dst, mapping.Field{Key: mapping.Text{Value: name, Line: at.Line, Col: at.Col, Set: true}})
			return phrase(&(*dst)[len(*dst)-1].Value)
		},
	}
}

// finders is a rule's `find:`: words, and for leads `recent: 7d`, which YAML
// reads as a mapping unless it stands in quotes, and which is kept in these
// words.
func finders(dst *[]mapping.Text, recent bool, set ...string) strict.List {
	return strict.List{
		Want:  "finders (" + strings.Join(set, ", ") + ")",
		Start: func() { *dst = []mapping.Text{} },
		Each: func(int, Pos) strict.Node {
			*dst = append(*dst, mapping.Text{})
			last := &(*dst)[len(*dst)-1]
			word := wordOf(last, set...)
			if !recent {
				return word
			}
			word.Shape.Pattern += "|^recent:"
			return strict.WordOrMap(word, strict.Object{
				Keys: []strict.Key{strict.Must("recent", dueIn(last), "A lead closed not longer ago counts")},
				After: func(*strict.Reader, strict.Place, bool) {
					last.Value = "recent: " + last.Value
				},
			})
		},
	}
}
