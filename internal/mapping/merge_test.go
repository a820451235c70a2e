package mapping

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
)

const mergeFirst = `
- name: first
  on: [chat_accepted]
  contact: {find: [client, phone], create: true, name: A, phone: '{{ visitor.phone }}', tags: [one], fields: {X: x1, Y: y1}}
  lead: {find: [chat, open], create: true, update: overwrite, pipeline: P1, stage: S1, name: L1, price: '10', tags: [one], fields: {X: x1}}
  note: {text: n1}
`

func TestMerge_ReadingOrder(t *testing.T) {
	for _, c := range []struct {
		name, rules string
		contact     event.Entity
		lead        event.Entity
		find        event.Find // of the lead
		notes       []string
	}{
		{
			name: "one rule", rules: mergeFirst,
			contact: event.Entity{Update: event.Fill, Create: true, Name: "A", Phones: []string{"+14084987855"}, Emails: []string{"email@example.com"}, Tags: []string{"one"}, Fields: map[string]string{"X": "x1", "Y": "y1"}},
			lead:    event.Entity{Update: event.Overwrite, Create: true, Name: "L1", Price: "10", Pipeline: "P1", Stage: "S1", Tags: []string{"one"}, Fields: map[string]string{"X": "x1"}},
			find:    event.Find{By: []string{"chat", "open"}, Create: true, Pipeline: "P1"}, notes: []string{"first"},
		},
		{
			name: "later scalars win, fields one by one, tags united, find replaced", rules: mergeFirst + `
- name: second
  on: [chat_accepted]
  contact: {update: never, name: B, phone: '333', tags: [two, one], tags_remove: [old], fields: {Y: y2, Z: z2}}
  lead: {find: ['recent: 7d', open_any], create: false, update: fill, pipeline: P2, stage: lost, loss_reason: dear, name: L2, price: '20', responsible: me}
  note: {text: n2}
`,
			contact: event.Entity{Update: event.Never, Create: true, Name: "B", Phones: []string{"333", "+14084987855"}, Emails: []string{"email@example.com"}, Tags: []string{"one", "two"}, TagsRemove: []string{"old"}, Fields: map[string]string{"X": "x1", "Y": "y2", "Z": "z2"}},
			lead:    event.Entity{Update: event.Fill, Name: "L2", Price: "20", Pipeline: "P2", Stage: "lost", LossReason: "dear", Responsible: "me", Tags: []string{"one"}, Fields: map[string]string{"X": "x1"}},
			find:    event.Find{By: []string{"recent", "open_any"}, Recent: 7 * 24 * time.Hour, Pipeline: "P2"}, notes: []string{"first", "second"},
		},
		{
			name: "an empty later value does not win", rules: mergeFirst + `
- name: second
  on: [chat_accepted]
  contact: {name: '{{ department.name }}', phone: '{{ department.name }}', fields: {X: '{{ department.name }}', Z: ' '}, tags: ['{{ department.name }}']}
  lead: {pipeline: '{{ department.name }}', stage: '', name: ' ', price: '0'}
  note: {text: '{{ department.name }}'}
`,
			contact: event.Entity{Update: event.Fill, Create: true, Name: "A", Phones: []string{"+14084987855"}, Emails: []string{"email@example.com"}, Tags: []string{"one"}, Fields: map[string]string{"X": "x1", "Y": "y1"}},
			lead:    event.Entity{Update: event.Overwrite, Create: true, Name: "L1", Price: "10", Pipeline: "P1", Stage: "S1", Tags: []string{"one"}, Fields: map[string]string{"X": "x1"}},
			find:    event.Find{By: []string{"chat", "open"}, Create: true, Pipeline: "P1"}, notes: []string{"first"},
		},
		{
			name: "a rule that does not match adds nothing, and does not stop", rules: `
- name: never
  on: [chat_accepted]
  when: known()
  stop: true
  contact: {name: no}
` + mergeFirst,
			contact: event.Entity{Update: event.Fill, Create: true, Name: "A", Phones: []string{"+14084987855"}, Emails: []string{"email@example.com"}, Tags: []string{"one"}, Fields: map[string]string{"X": "x1", "Y": "y1"}},
			lead:    event.Entity{Update: event.Overwrite, Create: true, Name: "L1", Price: "10", Pipeline: "P1", Stage: "S1", Tags: []string{"one"}, Fields: map[string]string{"X": "x1"}},
			find:    event.Find{By: []string{"chat", "open"}, Create: true, Pipeline: "P1"}, notes: []string{"first"},
		},
		{
			name: "stop ends after its own rule", rules: mergeFirst + `
- name: last
  on: [chat_accepted]
  stop: true
  contact: {name: B}
- name: too late
  on: [chat_accepted]
  contact: {name: C}
  note: {text: n3}
`,
			contact: event.Entity{Update: event.Fill, Create: true, Name: "B", Phones: []string{"+14084987855"}, Emails: []string{"email@example.com"}, Tags: []string{"one"}, Fields: map[string]string{"X": "x1", "Y": "y1"}},
			lead:    event.Entity{Update: event.Overwrite, Create: true, Name: "L1", Price: "10", Pipeline: "P1", Stage: "S1", Tags: []string{"one"}, Fields: map[string]string{"X": "x1"}},
			find:    event.Find{By: []string{"chat", "open"}, Create: true, Pipeline: "P1"}, notes: []string{"first"},
		},
		{
			name: "rules of other events are not read; find and create have defaults", rules: `
- name: other
  on: [chat_finished]
  contact: {name: no}
- name: bare
  on: [chat_accepted]
  contact: {name: A}
  lead: {name: L}
`,
			contact: event.Entity{Update: event.Fill, Name: "A"},
			lead:    event.Entity{Update: event.Fill, Name: "L"},
			find:    event.Find{By: []string{"chat", "open"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := compiled(t, testEnv(), parseRules(t, c.rules)...)
			plan, d := mapped(t, p, input("chat_accepted", sample(nil)), event.CRM{})
			if diff := cmp.Diff(&c.contact, d.Contact); diff != "" {
				t.Errorf("contact: %s", diff)
			}
			if diff := cmp.Diff(&c.lead, d.Lead); diff != "" {
				t.Errorf("lead: %s", diff)
			}
			if diff := cmp.Diff(&c.find, plan.Lead); diff != "" {
				t.Errorf("find: %s", diff)
			}
			var notes []string
			for _, n := range d.Notes {
				notes = append(notes, n.Key)
			}
			if diff := cmp.Diff(c.notes, notes); diff != "" {
				t.Errorf("notes: %s", diff)
			}
			if plan.Empty {
				t.Error("the plan is empty")
			}
		})
	}
}

func TestPlan_SaysWhichRulesMatchedAndWhyNot(t *testing.T) {
	p := compiled(t, testEnv(), parseRules(t, `
- {name: a, on: [chat_accepted], when: known(), stop: true}
- {name: b, on: [chat_accepted], when: not known(), stop: true}
- {name: c, on: [chat_accepted], note: {text: x}}
- {name: d, on: [chat_updated], note: {text: x}}
`)...)
	plan, _ := mapped(t, p, input("chat_accepted", sample(nil)), event.CRM{})
	want := []event.RuleTrace{
		{Rule: "a", Why: "when is false"}, {Rule: "b", Matched: true}, {Rule: "c", Why: `rule "b" ends the reading`},
	}
	if diff := cmp.Diff(want, plan.Rules); diff != "" {
		t.Error(diff)
	}
}

func TestPlan_EmptyWithoutAMatch(t *testing.T) {
	p := compiled(t, testEnv(), parseRules(t, `[{name: a, on: [chat_accepted], when: known(), note: {text: x}}]`)...)
	for _, in := range []*Input{input("chat_accepted", sample(nil)), input("chat_updated", sample(nil)), {Kind: "nobody_knows"}, {Kind: "fired_task"}} {
		plan, err := p.Plan(in)
		if err != nil || !plan.Empty {
			t.Errorf("%s: %+v, %v", in.Kind, plan, err)
		}
	}
}

func TestDesired_TemplatesSeeTheCRM(t *testing.T) {
	p := compiled(t, testEnv(), parseRules(t, `
- name: r
  on: [chat_accepted]
  lead:
    responsible: '{{ crm.contact.responsible ?? agent.email }}'
    name: '{{ crm.lead.name }}/{{ crm.lead.stage }}/{{ crm.lead.pipeline }}/{{ crm.lead.id }}/{{ crm.lead.price }}'
`)...)
	in := input("chat_accepted", sample(obj{"agent": theAgent()}))
	_, d := mapped(t, p, in, event.CRM{})
	if d.Lead.Responsible != "agent@jivosite.com" || d.Lead.Name != "////0" {
		t.Errorf("nothing found: %+v", d.Lead)
	}
	_, d = mapped(t, p, in, event.CRM{Contact: event.CRMEntity{Responsible: "anna"},
		Lead: event.CRMEntity{ID: "7", Name: "N", Stage: "S", Pipeline: "P", Price: 1500000000}})
	if d.Lead.Responsible != "anna" || d.Lead.Name != "N/S/P/7/1500000000" {
		t.Errorf("found: %+v", d.Lead)
	}
}

func TestDesired_OneExpressionOfAListIsSeveralTagsOrPhones(t *testing.T) {
	p := compiled(t, testEnv(), parseRules(t, `
- name: r
  on: [created_client]
  contact:
    find: [phone]
    tags: ['{{ map(tags, .title) }}', 'x{{ map(tags, .title) }}']
    phone: '{{ map(filter(contacts, .contact_type == "phone"), .contact) }}'
`)...)
	in := input("created_client", obj{
		"tags":     []any{obj{"title": "a"}, obj{"title": "b"}},
		"contacts": []any{obj{"contact_type": "phone", "contact": "8 999 000-00-01"}, obj{"contact_type": "phone", "contact": "+14084987855"}},
	})
	_, d := mapped(t, p, in, event.CRM{})
	if diff := cmp.Diff([]string{"a", "b", "xa, b"}, d.Contact.Tags); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"+79990000001", "+14084987855"}, d.Contact.Phones); diff != "" {
		t.Error(diff)
	}
}

func TestDesired_ControlCharactersAreStripped(t *testing.T) {
	p := compiled(t, testEnv(), parseRules(t, `
- {name: r, on: [offline_message], lead: {name: '{{ message }}'}, note: {text: '{{ message }}'}}
`)...)
	_, d := mapped(t, p, input("offline_message", obj{"message": " a\x00b\r\nc\td\xff "}), event.CRM{})
	if d.Lead.Name != "a b c d\uFFFD" || d.Notes[0].Text != "ab\nc\td\uFFFD" {
		t.Errorf("%q %q", d.Lead.Name, d.Notes[0].Text)
	}
}

func TestDesired_TheClientsOtherContactsComeAlongWhenAContactMayBeMade(t *testing.T) {
	in := input("chat_finished", anonymous(nil))
	in.Client = &event.Client{ID: "2198", Phones: []string{"+79990000001"}, Emails: []string{"a@b.c"}, Attributes: map[string]string{"size": "XL"}}
	p := compiled(t, testEnv(), parseRules(t, `
- {name: r, on: [chat_finished], contact: {create: true, email: X@Y.Z}}
- {name: no, on: [chat_finished], when: false, contact: {create: false}}
`)...)
	_, d := mapped(t, p, in, event.CRM{})
	want := &event.Entity{Create: true, Update: event.Fill, Phones: []string{"+79990000001"}, Emails: []string{"x@y.z", "a@b.c"},
		Fields: map[string]string{"?size": "XL"}}
	if diff := cmp.Diff(want, d.Contact); diff != "" {
		t.Errorf("new: %s", diff)
	}
	if _, d = mapped(t, p, in, found("5", "")); d.Contact.Fields != nil {
		t.Errorf("attributes are written again: %v", d.Contact.Fields)
	}
	p = compiled(t, testEnv(), parseRules(t, `[{name: r, on: [chat_finished], contact: {create: false, tags: [x]}}]`)...)
	if _, d = mapped(t, p, in, event.CRM{}); d.Contact.Phones != nil {
		t.Errorf("a block that makes nothing adds %v", d.Contact.Phones)
	}
}
