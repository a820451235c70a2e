package app_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/emulator"
)

// visitors are people nobody knows, each with a name, phone and e-mail of their own.
func visitors(n int) (all []*person) {
	for i := range n {
		all = append(all, &person{
			Number: 3000 + i, Name: fmt.Sprintf("Гость %03d", i), Phone: fmt.Sprintf("+7916%07d", i+1), Email: fmt.Sprintf("guest%d@example.com", i),
			Chat: 70000 + i, Source: "google",
		})
	}
	return all
}

// writing is a story that ends in one kind of write.
type writing struct {
	endpoint string // of the write under test
	method   string
	path     string
	conn     string // the connection's rules
	before   []func(*person) []byte
	after    []func(*person) []byte // what brings the write about, one after another
}

const ruleLead = `
rules:
  - name: lead
    on: [chat_accepted]
    contact: {find: [client, phone, email], create: true, update: fill, name: '{{ visitor.name }}', phone: '{{ visitor.phone }}', email: '{{ visitor.email }}', company: '{{ organization.name }}'}
    lead: {find: [chat, open], create: true, update: fill, name: 'Чат: {{ visitor.name }}'}
`

func accepted(p *person) []byte { return p.accepted() }

// writings has every endpoint the bridge writes to.
func writings() []writing {
	return []writing{
		{endpoint: "leads/complex", method: "POST", path: "/api/v4/leads/complex", conn: ruleLead, after: []func(*person) []byte{accepted}},
		{
			endpoint: "leads", method: "PATCH", path: "/api/v4/leads", before: []func(*person) []byte{accepted},
			conn: ruleLead + `
  - name: more
    on: [chat_updated]
    lead: {find: [chat], update: overwrite, name: 'Ещё: {{ visitor.name }}', price: '5000'}
`, after: []func(*person) []byte{func(p *person) []byte { return p.updated() }},
		},
		{
			endpoint: "contacts", method: "POST", path: "/api/v4/contacts", conn: `
rules:
  - name: contact
    on: [chat_accepted]
    contact: {find: [client, phone], create: true, name: '{{ visitor.name }}', phone: '{{ visitor.phone }}'}
`, after: []func(*person) []byte{accepted},
		},
		{
			endpoint: "contacts", method: "PATCH", path: "/api/v4/contacts", before: []func(*person) []byte{accepted},
			conn: ruleLead + `
  - name: more
    on: [chat_updated]
    contact: {find: [client], update: overwrite, name: 'Ещё: {{ visitor.name }}'}
`, after: []func(*person) []byte{func(p *person) []byte { return p.updated() }},
		},
		{
			endpoint: "companies", method: "POST", path: "/api/v4/companies", before: []func(*person) []byte{accepted},
			conn: ruleLead + ruleCompany, after: []func(*person) []byte{withCompany},
		},
		{
			endpoint: "contacts/link", method: "POST", path: "/api/v4/contacts/link", before: []func(*person) []byte{accepted},
			conn: ruleLead + ruleCompany, after: []func(*person) []byte{withCompany},
		},
		{
			endpoint: "leads/link", method: "POST", path: "/api/v4/leads/link", conn: "park: 1s\n" + ruleLead,
			before: []func(*person) []byte{func(p *person) []byte {
				return p.deal("created_deal", deal{id: p.Number, pipeline: 6, stage: 21, title: "Сделка " + p.Name})
			}},
			after: []func(*person) []byte{func(p *person) []byte { return p.crm("created_client") }},
		},
		{
			endpoint: "leads/notes, common", method: "POST", path: "/api/v4/leads/notes",
			conn: ruleLead + `
  - name: note
    on: [chat_accepted]
    note: {to: lead, text: 'Пришёл {{ visitor.name }}'}
`, after: []func(*person) []byte{accepted},
		},
		{
			endpoint: "leads/notes, extended", method: "POST", path: "/api/v4/leads/notes", before: []func(*person) []byte{accepted},
			conn: ruleLead + `
  - name: transcript
    on: [chat_finished]
    note: {to: lead, text: '{{ transcript() }}'}
`, after: []func(*person) []byte{func(p *person) []byte {
				return p.finished(said(then, "v:Привет от "+p.Name, "a:Добрый день"))
			}},
		},
		{
			endpoint: "leads/notes, call", method: "POST", path: "/api/v4/leads/notes", before: []func(*person) []byte{accepted},
			conn: ruleLead + ruleCall, after: []func(*person) []byte{
				func(p *person) []byte { return p.call("incoming", "start") },
				func(p *person) []byte { return p.call("incoming", "end", m{"record_url": record(p)}) },
			},
		},
		{
			endpoint: "leads/notes", method: "PATCH", path: "/api/v4/leads/notes",
			before: []func(*person) []byte{accepted, func(p *person) []byte { return p.call("incoming", "end") }},
			conn:   ruleLead + ruleCall, after: []func(*person) []byte{func(p *person) []byte { return p.call("incoming", "end", m{"record_url": record(p)}) }},
		},
		{
			endpoint: "tasks", method: "POST", path: "/api/v4/tasks",
			conn: ruleLead + `
  - name: task
    on: [chat_accepted]
    task: {to: lead, text: 'Ответить {{ visitor.name }}', due: 1h, once: true}
`, after: []func(*person) []byte{accepted},
		},
		{
			endpoint: "tasks", method: "PATCH", path: "/api/v4/tasks", conn: ruleLead,
			before: []func(*person) []byte{accepted, func(p *person) []byte {
				return p.task("created_task", p.Number, 0, "Позвонить", then.AddDate(0, 0, 3))
			}},
			after: []func(*person) []byte{func(p *person) []byte {
				return p.task("completed_task", p.Number, 0, "Позвонить", then.AddDate(0, 0, 3))
			}},
		},
	}
}

const ruleCompany = `
  - name: company
    on: [chat_updated]
    contact: {find: [client], update: fill, company: '{{ organization.name }}'}
`

const ruleCall = `
  - name: call
    on: [call_event]
    when: call.status in ["end", "error"]
    call: {to: lead}
`

func withCompany(p *person) []byte {
	return p.updated(m{"organization": m{"id": fmt.Sprint(p.Number), "name": "ООО " + p.Name}})
}

func record(p *person) string { return fmt.Sprintf("https://records.example/%d.mp3", p.Chat) }

// lostAnswers are the ways an answer is lost, before and after the write stands.
var lostAnswers = map[string]emulator.Fault{
	"dropped after commit": {Kind: emulator.DropAfterCommit},
	"504 after commit":     {Kind: emulator.GiveStatus, Status: 504, AfterCommit: true},
	"500 after commit":     {Kind: emulator.GiveStatus, Status: 500, AfterCommit: true},
	"timeout after commit": {Kind: emulator.Slow, Delay: 20 * time.Second},
	"page after commit":    {Kind: emulator.HTML200, AfterCommit: true},
	"half after commit":    {Kind: emulator.Truncated},
	"dropped before":       {Kind: emulator.DropBefore},
	"502 before":           {Kind: emulator.GiveStatus, Status: 502},
}

// N4 of reliability.md: the answer to a write is lost, on every endpoint, alone
// and in a batch, with the marker field and without: everything arrives, once.
func TestFault_LostAnswersDoubleNothing(t *testing.T) {
	for _, w := range writings() {
		sizes := []int{1, 50}
		if underRace {
			sizes = []int{3}
		}
		for _, n := range sizes {
			for _, noMarker := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s/%d/marker=%v", w.method, w.endpoint, n, !noMarker), func(t *testing.T) {
					t.Parallel()
					want := ""
					inLab(t, labSetup{conn: w.conn, amo: w.options(noMarker)}, func(l *lab) { want = w.run(l, n, nil) })
					for name, f := range lostAnswers {
						if n > 1 && strings.HasSuffix(name, "commit") && f.Kind != emulator.DropAfterCommit && f.Status != 504 {
							continue // for the batch they are the same thing as a dropped answer
						}
						t.Run(name, func(t *testing.T) {
							inLab(t, labSetup{conn: w.conn, amo: w.options(noMarker)}, func(l *lab) {
								f.Method, f.PathPrefix, f.Times = w.method, w.path, 2
								if diff := cmp.Diff(want, w.run(l, n, &f)); diff != "" {
									t.Errorf("not as without the fault:\n%s", diff)
								}
							})
						})
					}
				})
			}
		}
	}
}

func (w writing) options(noMarker bool) emulator.Options {
	return emulator.Options{NoMarker: noMarker, LinkTwiceFails: true, IndexLag: time.Hour}
}

// run plays the story with n visitors and returns the census.
func (w writing) run(l *lab, n int, f *emulator.Fault) string {
	all := visitors(n)
	act := func(kind func(*person) []byte) {
		var bodies [][]byte
		for _, p := range all {
			bodies = append(bodies, kind(p))
		}
		l.tell(bodies...)
	}
	for _, kind := range w.before {
		act(kind)
		l.await("nothing waits", time.Hour, func() bool {
			c := l.app.Store().Counts(e2eName)
			return c.Pending+c.Parked == 0
		})
	}
	var fault *emulator.Injected
	if f != nil {
		fault = l.amo.Inject(*f)
	}
	for _, kind := range w.after {
		act(kind)
	}
	synctest.Wait()
	l.settle(3 * time.Hour)
	l.verdict()
	if fault != nil && fault.Hits() == 0 {
		l.t.Error("the fault never acted: this endpoint was not written to")
	}
	return l.census()
}
