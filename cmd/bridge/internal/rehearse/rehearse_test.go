package rehearse_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/cmd/bridge/internal/rehearse"
	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/jivo/samples"
)

const ten = `
connections:
  shop:
    jivo: {secret: 0123456789abcdef}
    amocrm: {account: https://example.amocrm.ru, token: t}
`

func load(t *testing.T, text string) (*config.Config, *config.Connection) {
	t.Helper()
	cfg, problems := config.Parse("config.yaml", []byte(text), func(string) (string, bool) { return "", false },
		func(string) ([]byte, error) { return nil, fs.ErrNotExist }, config.Vocabulary{Kinds: jivo.Kinds(), Schema: jivo.Schema})
	if problems != nil {
		t.Fatal(problems)
	}
	return cfg, cfg.Connections[0]
}

func open(t *testing.T, text string, box *rehearse.Sandbox, spec rehearse.Account) *rehearse.Rehearsal {
	t.Helper()
	cfg, conn := load(t, text)
	dict, err := rehearse.Names(conn, spec)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rehearse.Open(cfg, conn, dict, box, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// TestRehearsal_EveryEventOfJivoCanBeRehearsed: the sandbox answers whatever
// delivery asks of it; what it lacks would end an event as a panic.
func TestRehearsal_EveryEventOfJivoCanBeRehearsed(t *testing.T) {
	t.Parallel()
	box := rehearse.NewSandbox(nil)
	r := open(t, ten, box, rehearse.Account{})
	printed := samples.Printed()
	for range 2 { // the second time with everything known
		for _, name := range slices.Sorted(maps.Keys(printed)) {
			p, err := r.Play(t.Context(), printed[name])
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if p.Event.State == event.Pending || p.Event.Reason == event.Panicked {
				t.Errorf("%s: %s %s: %s", name, p.Event.State, p.Event.Reason, p.Event.Detail)
			}
		}
	}
	if len(box.Sent()) == 0 {
		t.Error("nothing would have been written")
	}
	for _, req := range box.Sent() {
		var items []map[string]any
		if json.Unmarshal(req.Body, &items) != nil || len(items) != 1 || req.Method == "" || !strings.HasPrefix(req.Path, "/api/v4/") {
			t.Errorf("%s %s %s", req.Method, req.Path, req.Body)
		}
	}
}

// refusing is an account that must not be asked.
type refusing struct{ t *testing.T }

func (r refusing) no() error {
	r.t.Helper()
	r.t.Error("the account was asked for what was made up")
	return errors.New("asked")
}
func (r refusing) Lead(context.Context, int64) (event.Lead, bool, error) {
	return event.Lead{}, false, r.no()
}
func (r refusing) Leads(context.Context, []int64) (map[int64]event.Lead, error) { return nil, r.no() }
func (r refusing) Contact(context.Context, int64) (event.Contact, bool, error) {
	return event.Contact{}, false, r.no()
}
func (r refusing) SearchContacts(context.Context, string, amocrm.Priority) ([]event.Contact, error) {
	return nil, nil
}
func (r refusing) SearchCompanies(context.Context, string) ([]event.Contact, error) { return nil, nil }
func (r refusing) TasksOf(context.Context, string, int64) ([]event.Task, error)     { return nil, r.no() }
func (r refusing) ServerTime() time.Time                                            { return time.Now() }

// TestSandbox_MadeUpEntitiesAreItsOwn: what was made in a rehearsal is found in it
// and never asked of the true account.
func TestSandbox_MadeUpEntitiesAreItsOwn(t *testing.T) {
	t.Parallel()
	box := rehearse.NewSandbox(refusing{t})
	r := open(t, ten, box, rehearse.Account{})
	for _, body := range []string{
		`{"event_name":"offline_message","offline_message_id":"1","chat_id":1,"message":"a","visitor":{"number":"7","phone":"+79161234567"}}`,
		`{"event_name":"offline_message","offline_message_id":"2","chat_id":2,"message":"b","visitor":{"number":"7","phone":"+79161234567"}}`,
	} {
		p, err := r.Play(t.Context(), []byte(body))
		if err != nil || p.Event.State != event.Done {
			t.Fatalf("%v %+v", err, p)
		}
	}
	made := map[string]int{}
	for _, req := range box.Sent() {
		for what := range req.Made {
			made[what]++
		}
	}
	// One contact, one lead, and the rule's task but once: the first still stands.
	if made["contact"] != 1 || made["lead"] != 1 || made["task"] != 1 || made["note"] < 2 {
		t.Errorf("made %v", made)
	}
}

// TestNames_HaveWhatTheConfigUses: a test file need not repeat the config.
func TestNames_HaveWhatTheConfigUses(t *testing.T) {
	t.Parallel()
	_, conn := load(t, ten+`
    agents: {a@jivo.example: anna@example.com, b@jivo.example: "501"}
    deals: {stages: {"1": {pipeline: Wholesale, stage: Asked}, "2": {pipeline: "700", stage: "701"}}}
    rules:
      - name: r
        on: [chat_accepted]
        lead: {create: true, stage: Fresh, loss_reason: Dear, fields: {Site: x, "?Maybe": y}}
`)
	d, err := rehearse.Names(conn, rehearse.Account{Users: []rehearse.User{{Name: "Anna", Email: "anna@example.com"}}})
	if err != nil {
		t.Fatal(err)
	}
	p, _ := d.Pipeline("Wholesale")
	main, ok := d.MainPipeline()
	if !ok {
		t.Fatal("no main pipeline")
	}
	for what, found := range map[string]bool{
		"stage":              has(d.Stage(p.ID, "Asked")),
		"won":                has(d.Stage(p.ID, "won")),
		"pipeline by id":     has(d.Pipeline("700")),
		"stage by id":        has(d.Stage(700, "701")),
		"stage of the main":  has(d.Stage(main.ID, "Fresh")),
		"first stage":        has(d.FirstStage(main.ID)),
		"user by e-mail":     has(d.User("anna@example.com")),
		"user by id":         has(d.User("501")),
		"loss reason":        has(d.LossReason("Dear")),
		"field":              has(d.Field("leads", "Site")),
		"no optional field":  !has(d.Field("leads", "Maybe")),
		"marker of leads":    has(d.Field("leads", "Jivo ID")),
		"marker of contacts": has(d.Field("contacts", "Jivo ID")),
		"phone":              has(d.Field("contacts", "PHONE")),
	} {
		if !found {
			t.Errorf("%s is missing", what)
		}
	}
	if len(d.Users) != 2 {
		t.Errorf("users: %+v", d.Users)
	}
}

func has[T any](_ T, ok bool) bool { return ok }

// TestFile_EachExpectationCanFail runs one case with one wrong expectation at a
// time: what is expected and not so is told, and nothing else.
func TestFile_EachExpectationCanFail(t *testing.T) {
	t.Parallel()
	const good = `{op: create, target: lead, fields: {name: "Chat Ann", pipeline: Sales, stage: New, responsible: anna@example.com, tags: [jivo], Site: a.example}}`
	for expect, want := range map[string]string{
		`{state: done, reason: "", rules: [lead], not_rules: [other], contact: {by: created}, lead: {by: created}, changes: [` + good + `]}`: "",
		`{state: skipped}`:                        "state: want skipped, got done",
		`{reason: anonymous}`:                     `reason: want "anonymous", got ""`,
		`{rules: [other]}`:                        `rule "other": want it to match, it did not: when is false`,
		`{not_rules: [lead]}`:                     `rule "lead": want it not to match, it did`,
		`{contact: {by: phone}}`:                  "contact: want it by phone, got created",
		`{lead: {id: 5}}`:                         "lead: want 5, got 900000001",
		`{warnings: [ambiguous]}`:                 `warning: want one with "ambiguous", got []`,
		`{changes: [{op: create, target: note}]}`: "create note: want one, there is none",
		`{changes: [{op: create, target: lead, fields: {name: Ann}}]}`:                     `create lead: name: want "Ann", got "Chat Ann"`,
		`{changes: [{op: create, target: lead, fields: {responsible: oleg@example.com}}]}`: `create lead: responsible: want "oleg@example.com", got "anna@example.com"`,
		`{changes: [{op: create, target: lead, fields: {tags: [vip]}}]}`:                   `create lead: tags: want ["vip"], got ["jivo" "web"]`,
		`{changes: [{op: create, target: lead, contains: {name: Bob}}]}`:                   `create lead: name: want it to contain "Bob", got "Chat Ann"`,
		`{changes: [{op: create, target: lead, absent: [Site]}]}`:                          `create lead: Site: want none, got "a.example"`,
		`{changes: [{op: create, target: lead, rule: other}]}`:                             `create lead: want one by "other", there is none`,
		`{exact: true, changes: [` + good + `]}`:                                           `unexpected: create contact: Jivo ID="jv-c1@shop", name="Ann", phones=["+79161234567"]`,
		// Two of a kind are wanted, one is there.
		`{changes: [` + good + `, {op: create, target: lead}]}`: "create lead: want one, there is none",
	} {
		got := runCase(t, expect)
		if strings.Join(got, "\n") != want {
			t.Errorf("%s\n got %q\nwant %q", expect, got, want)
		}
	}
	if got := runCase(t, `{changes: []}`); len(got) != 2 {
		t.Errorf("an empty list of changes: %q", got)
	}
}

func runCase(t *testing.T, expect string) []string {
	t.Helper()
	cfg, conn := load(t, ten+`
    agents: {a@jivo.example: anna@example.com, o@jivo.example: oleg@example.com}
    rules:
      - name: lead
        on: [chat_accepted]
        when: has_contact()
        contact: {create: true, name: '{{ visitor.name }}', phone: '{{ visitor.phone }}'}
        lead:
          {create: true, name: 'Chat {{ visitor.name }}', pipeline: Sales, stage: New, responsible: '{{ agent.email }}', tags: [jivo, web], fields: {Site: a.example}}
      - {name: other, on: [chat_accepted], when: visitor.name == "Bob", note: {text: hi}}
`)
	path := filepath.Join(t.TempDir(), "x.test.yaml")
	text := fmt.Sprintf(`
account: {fields: {leads: [{name: Site, type: select, options: [a.example, b.example]}]}}
cases:
  - name: one
    events: [{event_name: chat_accepted, chat_id: 1, visitor: {number: "1", name: Ann, phone: "+79161234567"}, agent: {id: 3, email: a@jivo.example}}]
    expect: %s
`, expect)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := rehearse.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.Run(t.Context(), cfg, conn)
	if err != nil || len(out) != 1 {
		t.Fatal(out, err)
	}
	if out[0].OK != (len(out[0].Faults) == 0) {
		t.Errorf("ok is %v with %q", out[0].OK, out[0].Faults)
	}
	return out[0].Faults
}

// TestRead_IsStrict: a test that tests nothing because of a slip is refused.
func TestRead_IsStrict(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"cases: []":                   "it has no cases",
		"cases: [{events: [{a: 1}]}]": "case 1 has no name",
		"cases: [{name: a}]":          `case "a" has no events`,
		"cases: [{name: a, events: [{a: 1}]}, {name: a, events: [{a: 1}]}]":              `two cases are named "a"`,
		"cases: [{name: a, events: [{a: 1}], expect: {stat: done}}]":                     `unknown field "stat"`,
		"cases: [{name: a, events: [{a: 1}], expect: {changes: [{operation: create}]}}]": `unknown field "operation"`,
		"account: {fields: {leads: [{nam: x}]}}\ncases: [{name: a, events: [{a: 1}]}]":   `unknown field "nam"`,
	} {
		path := filepath.Join(t.TempDir(), "x.test.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := rehearse.Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
