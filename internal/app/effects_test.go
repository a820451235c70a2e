package app_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/jivo/samples"
	"github.com/jivo-amocrm/bridge/internal/mapping"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestEffects_OfEveryPayload keeps, in testdata/effects, what the default rules
// and built-ins make of every event of Jivo's page, as printed and with each
// field missing, null and of a wrong type (product.md §7). Every event is told
// twice: of a stranger, and of somebody whose contact, lead and earlier state
// the bridge knows. A line shows what differs from the whole event; the fields
// that make no difference are listed at the end.
func TestEffects_OfEveryPayload(t *testing.T) {
	p := defaultProgram(t)
	payloads := 0
	printed := samples.Printed()
	for name, whole := range samples.Whole() {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			kinds := append([]string{""}, samples.Siblings(name)...)
			for _, kind := range kinds {
				body := whole
				if kind != "" {
					body = maps.Clone(whole)
					body["event_name"] = kind
				}
				for _, of := range []teller{stranger{p}, friend{p}} {
					payloads += writeEffects(t, &b, of, body)
					if raw, ok := printed[name]; ok && kind == "" {
						payloads++
						writeEffect(&b, "as printed", of.effect(t, raw))
					}
					b.WriteByte('\n')
				}
			}
			sameAsFile(t, filepath.Join("testdata", "effects", name+".txt"), b.Bytes())
		})
	}
	if payloads /= 2; payloads < 300 { // each was told of two persons
		t.Errorf("%d payloads, at least 300 are promised", payloads)
	}
	t.Logf("%d payloads", payloads)
}

// teller says what an event of some person comes to, as a list of words.
type teller interface {
	fmt.Stringer
	effect(t *testing.T, body []byte) []string
}

func writeEffects(t *testing.T, b *bytes.Buffer, of teller, whole map[string]any) (payloads int) {
	t.Helper()
	normal := of.effect(t, samples.JSON(whole))
	fmt.Fprintf(b, "%s of %s\n", whole["event_name"], of)
	writeEffect(b, "whole", normal)
	var alike []string
	var path string
	var order []string
	changes := map[string][]string{}
	flush := func() {
		for _, e := range order {
			if e == "" {
				alike = append(alike, path+mark(changes[e]))
				continue
			}
			fmt.Fprintf(b, "  %s %s:%s\n", path, strings.Join(changes[e], "="), e)
		}
		order, changes = nil, map[string][]string{}
	}
	for _, v := range samples.Vary(whole) {
		if v.Path != path {
			flush()
			path = v.Path
		}
		payloads++
		e := differs(normal, of.effect(t, v.Body))
		if _, known := changes[e]; !known {
			order = append(order, e)
		}
		changes[e] = append(changes[e], v.Change)
	}
	flush()
	for len(alike) > 0 {
		n := min(len(alike), 12)
		fmt.Fprintf(b, "  no difference: %s\n", strings.Join(alike[:n], " "))
		alike = alike[n:]
	}
	return payloads + 1
}

// mark names the changes that make no difference, unless they are all three.
func mark(changes []string) string {
	if len(changes) == 3 {
		return ""
	}
	return "(" + strings.Join(changes, ",") + ")"
}

func writeEffect(b *bytes.Buffer, of string, words []string) {
	b.WriteString("  " + of + ": " + strings.Join(words, " ") + "\n")
}

// differs lists what is in one effect only: -gone +new.
func differs(was, is []string) string {
	var out strings.Builder
	for _, w := range was {
		if !slices.Contains(is, w) {
			out.WriteString(" -" + w)
		}
	}
	for _, w := range is {
		if !slices.Contains(was, w) {
			out.WriteString(" +" + w)
		}
	}
	return out.String()
}

func sameAsFile(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("%s differs (-want +got), -update if meant:\n%s", path, diff)
	}
}

// defaultProgram is what a config of a few lines compiles to.
func defaultProgram(t *testing.T) *mapping.Program {
	t.Helper()
	text := e2eConfig(setup{}, "https://example.amocrm.ru", "unused")
	cfg, problems := config.Parse("effects.yaml", []byte(text), os.LookupEnv, os.ReadFile, config.Vocabulary{Kinds: jivo.Kinds(), Schema: jivo.Schema})
	if problems != nil {
		t.Fatal(problems)
	}
	return cfg.Connection(e2eName).Program.InRegion("RU")
}

var effectNoon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// stranger is somebody no event has told of before.
type stranger struct{ p *mapping.Program }

func (stranger) String() string { return "a stranger" }

func (s stranger) effect(t *testing.T, body []byte) []string {
	t.Helper()
	m, end := learned(t, body)
	if end != "" {
		return []string{end}
	}
	client := &event.Client{}
	m.Describe(client, "RU", effectNoon)
	client.FirstTouch = m.Touch(effectNoon)
	if needsClient(m.Kind) && !client.Described && m.Client != "" {
		return []string{"parked"}
	}
	in := &mapping.Input{
		Kind: m.Kind, Fields: m.Fields, Received: effectNoon, Location: moscow(), Client: client, Touch: client.FirstTouch,
		Jivo: pageNames{}, Call: callOf(m),
	}
	return wanted(t, s.p, m, in, event.CRM{})
}

// friend is somebody whose contact and lead the bridge knows, with the deal,
// the task and the client's last state.
type friend struct{ p *mapping.Program }

func (friend) String() string { return "somebody known" }

func (f friend) effect(t *testing.T, body []byte) []string {
	t.Helper()
	client := &event.Client{
		Name: "Прежнее Имя", Phones: []string{"+79990000001"}, Emails: []string{"old@example.com"}, Described: true, ContactID: 77,
		Leads:      []event.Link{{LeadID: 88, Made: "chat"}},
		FirstTouch: &event.Touch{At: effectNoon.Add(-time.Hour), UTM: map[string]string{"source": "first"}},
	}
	m, end := learned(t, body)
	if end != "" {
		return []string{end}
	}
	m.Describe(client, "RU", effectNoon)
	in := &mapping.Input{
		Kind: m.Kind, Fields: m.Fields, Received: effectNoon, Location: moscow(), Client: client, Known: true, Touch: client.FirstTouch,
		Last: before(t, m.Kind), Linked: m.Deal != "" || m.Task != "", Jivo: pageNames{}, Call: callOf(m),
	}
	return wanted(t, f.p, m, in, event.CRM{
		Contact: event.CRMEntity{ID: "77", Name: "Прежнее Имя", Responsible: "Анна"},
		Lead:    event.CRMEntity{ID: "88", Name: "Прежняя", Responsible: "Анна", Pipeline: "Продажи", Stage: "Переговоры"},
	})
}

// learned decodes; the second result says how an event ends that gets no
// further than the door.
func learned(t *testing.T, body []byte) (*jivo.Message, string) {
	t.Helper()
	m, err := jivo.Decode(body)
	switch {
	case err != nil:
		return nil, "dead:unparsable"
	case !m.Known:
		return nil, "skipped:unknown_event"
	case m.Kind != "chat_assigned":
		return m, ""
	}
	link, _ := m.Fields["assign_to"].(string)
	entity, id, ok := jivo.ParseLink(link, "example.amocrm.ru")
	if !ok {
		return nil, "skipped:bad_link"
	}
	return nil, fmt.Sprintf("links:%s/%d", entity, id)
}

// needsClient are the events that tell no more of their client than an id.
func needsClient(kind string) bool {
	return slices.Contains([]string{
		"created_deal", "updated_deal", "client_attribute_updated", "created_task", "updated_task", "completed_task", "deleted_task",
	}, kind)
}

// wanted is what the two phases of mapping come to.
func wanted(t *testing.T, p *mapping.Program, m *jivo.Message, in *mapping.Input, crm event.CRM) []string {
	t.Helper()
	plan, err := p.Plan(in)
	if err != nil {
		return []string{"dead:rule_error", err.Error()}
	}
	phones, emails := mapping.Contacts(in, "RU")
	visitor := jivo.Stream(m.Kind) == "channel" && m.Kind != "client_updated" && m.Kind != "client_attribute_updated"
	switch {
	case plan.Empty && visitor && len(phones)+len(emails) == 0 && !in.Known:
		return []string{"skipped:anonymous"}
	case plan.Empty && mapping.Handled(m.Kind, jivo.Kinds()) == "local":
		return []string{"done:learned"}
	case plan.Empty:
		return []string{"skipped:no_rule"}
	case plan.Contact != nil && plan.Contact.Linked && !plan.Contact.Create && plan.Lead == nil && crm.Contact.ID == "":
		return []string{"skipped:not_linked"}
	}
	d, err := p.Desired(in, plan, crm)
	if err != nil {
		return []string{"dead:rule_error", err.Error()}
	}
	return words(d)
}

// words prints what is wanted, one word for each thing that could go wrong.
func words(d event.Desired) (out []string) {
	add := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	for _, e := range []struct {
		name string
		of   *event.Entity
	}{{"contact", d.Contact}, {"lead", d.Lead}} {
		if e.of == nil {
			continue
		}
		add("%s{%s}", e.name, map[bool]string{true: "create", false: string(e.of.Update)}[e.of.Create])
		for _, w := range entityWords(e.of) {
			add("%s.%s", e.name, w)
		}
	}
	add("notes:%d", len(d.Notes))
	for _, n := range d.Notes {
		add("note[%s→%s]=%s", n.Key, n.To, brief(n.Text))
	}
	add("tasks:%d", len(d.Tasks))
	for _, t := range d.Tasks {
		due := t.DueIn.String()
		if !t.Due.IsZero() {
			due = t.Due.UTC().Format(time.RFC3339)
		}
		add("task[%s→%s:%s]=%s,due:%s,for:%q,result:%q", t.Key, t.To, t.Op, brief(t.Text), due, t.Responsible, t.Result)
	}
	add("calls:%d", len(d.Calls))
	for _, c := range d.Calls {
		add("call[%s→%s]=in:%t,phone:%q,record:%q,status:%s,task:%q", c.Key, c.To, c.Incoming, c.Phone, c.Record, c.Status, c.CallBack)
	}
	for _, w := range d.Warnings {
		add("warning=%q", w)
	}
	return out
}

func entityWords(e *event.Entity) (out []string) {
	for _, f := range []struct{ name, value string }{
		{"name", e.Name}, {"company", e.Company}, {"price", e.Price}, {"pipeline", e.Pipeline}, {"stage", e.Stage},
		{"loss", e.LossReason}, {"responsible", e.Responsible},
	} {
		if f.value != "" {
			out = append(out, fmt.Sprintf("%s=%q", f.name, f.value))
		}
	}
	for _, f := range []struct {
		name   string
		values []string
	}{{"phone", e.Phones}, {"email", e.Emails}, {"tag", e.Tags}, {"untag", e.TagsRemove}, {"changed", e.Changed}} {
		for _, v := range f.values {
			out = append(out, fmt.Sprintf("%s+%q", f.name, v))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(e.Fields)) {
		out = append(out, fmt.Sprintf("%s=%q", k, e.Fields[k]))
	}
	return out
}

func brief(s string) string {
	r := []rune(s)
	if len(r) > 120 {
		return fmt.Sprintf("%q+%d", string(r[:120]), len(r)-120)
	}
	return fmt.Sprintf("%q", s)
}

func moscow() *time.Location { return time.FixedZone("MSK", 3*60*60) }

// before is what Jivo said last of the same deal, task or client: everything
// was another.
func before(t *testing.T, kind string) event.Object {
	t.Helper()
	other := map[string]string{
		"updated_deal": "created_deal", "created_deal": "created_deal",
		"created_client": "assigned_agent_to_client", "updated_client": "assigned_agent_to_client", "updated_client_contacts": "assigned_agent_to_client",
		"assigned_agent_to_client": "assigned_agent_to_client", "changed_client_company": "assigned_agent_to_client", "changed_client_blacklist": "assigned_agent_to_client",
		"client_updated": "client_updated",
	}[kind]
	if other == "" {
		return nil
	}
	b := samples.Whole()[other]
	b["event_name"] = kind
	for k, v := range map[string]any{
		"title": "Прежняя", "text": "Прежний текст", "amount": 5, "name": "Прежнее Имя",
		"pipeline":     m{"pipeline_id": 1, "pipeline_status": m{"pipeline_status_id": 2}, "pipeline_reject_reason": m{"pipeline_reject_reason_id": nil}},
		"organization": m{"id": 9, "organization_id": 9, "name": "Прежняя фирма"}, "assigned_agent": m{"id": 9, "assigned_agent_id": 9},
		"tags": []m{{"id": 8, "tag_id": 8, "title": "Прежний тег"}},
	} {
		if _, has := b[k]; has {
			b[k] = v
		}
	}
	msg, err := jivo.Decode(samples.JSON(b))
	if err != nil {
		t.Fatal(err)
	}
	return msg.Fields
}

// callOf is the one call of a chat, as delivery would number it.
func callOf(msg *jivo.Message) *event.Call {
	c, _ := msg.Fields["call"].(event.Object)
	status, _ := c["status"].(string)
	if msg.Kind != "call_event" || status != "end" && status != "error" {
		return nil
	}
	kind, _ := c["type"].(string)
	number, _ := c["phone"].(string)
	record, _ := c["record_url"].(string)
	return &event.Call{Chat: msg.Chat, N: 1, Incoming: kind != "outgoing", Phone: number, Record: record, Status: status}
}

// pageNames are Jivo's dictionaries, as far as the samples need them.
type pageNames struct{}

func (pageNames) Agent(id string) event.Agent {
	if id == "1" {
		return event.Agent{ID: "1", Email: "agent1@gmail.com", Name: "Агент Первый"}
	}
	return event.Agent{}
}

func (pageNames) Stage(pipeline, stage string) (string, string, string) {
	if pipeline != "1" {
		return "", "", ""
	}
	return "Gruzly", map[string]string{"1": "Новая", "2": "Прежняя"}[stage], ""
}

func (pageNames) RejectReason(string, string) string { return "" }
func (pageNames) Tag(string) string                  { return "" }
func (pageNames) Organization(string) string         { return "" }
func (pageNames) Category(string) string             { return "" }
