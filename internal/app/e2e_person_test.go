package app_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator"
)

type m = map[string]any

// person is a visitor whose bodies hold exactly what a scenario says and
// nothing at random, in the shapes of Jivo's own samples.
type person struct {
	Number  int
	Name    string
	Phone   string
	Email   string
	Company string
	Chat    int
	Source  string // utm source
}

// ivan is somebody with a phone and an e-mail.
func ivan() *person {
	return &person{Number: 2198, Name: "Иван Петров", Phone: "+7 (916) 000-00-01", Email: "ivan@example.com", Chat: 7636, Source: "google"}
}

// maria is somebody else.
func maria() *person {
	return &person{Number: 2199, Name: "Мария Ким", Phone: "8 916 000 00 02", Email: "maria@example.com", Chat: 7700, Source: "yandex"}
}

// nobody is an anonymous visitor.
func nobody() *person { return &person{Number: 2200, Chat: 7800, Source: "google"} }

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func jsonOf(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // a scenario's own literal
	}
	return b
}

// event is a channel event of this visitor; over replaces or adds keys, and
// removes those that are nil functions away (absent).
func (p *person) event(kind string, over ...m) []byte {
	b := m{
		"event_name": kind, "widget_id": "3948", "user_token": nil,
		"visitor":      m{"name": orNil(p.Name), "email": orNil(p.Email), "phone": orNil(p.Phone), "description": "", "number": json.Number(jsonOf(p.Number)), "chats_count": 1},
		"organization": nil, "status": nil, "assigned_agent": nil, "tags": []m{}, "chat_id": p.Chat,
		"topic":     m{"topic_id": 3, "title": "Topic_1", "parent_id": 1},
		"page":      m{"url": catalog, "title": "Каталог"},
		"analytics": m{},
		"session": m{
			"geoip": m{"country": "Russia", "country_code": "RU", "city": "Казань", "latitude": "55.7", "longitude": "49.1"},
			"utm":   "source=" + p.Source + "|medium=cpc|campaign=osen%202026", "utm_json": m{"source": p.Source, "medium": "cpc"},
		},
	}
	if p.Company != "" {
		b["organization"] = m{"id": "1", "name": p.Company}
	}
	for _, o := range over {
		maps.Copy(b, o)
	}
	return jsonOf(b)
}

var agentOne = m{"id": "1", "name": "Агент Первый", "email": "agent1@gmail.com", "phone": "+14083682346"}

func (p *person) accepted(over ...m) []byte {
	return p.event("chat_accepted", append([]m{{"agent": agentOne, "department": m{"id": 281, "name": "Продажи"}}}, over...)...)
}

func (p *person) updated(over ...m) []byte {
	return p.event("chat_updated", append([]m{{"agent": agentOne}}, over...)...)
}

// said is one message: "v:text" is the visitor's, "a:text" the operator's.
func said(at time.Time, lines ...string) (out []m) {
	for i, l := range lines {
		who, text, _ := strings.Cut(l, ":")
		msg := m{"message": text, "timestamp": at.Unix() + int64(i), "type": "visitor"}
		if who == "a" {
			msg["type"], msg["agent_id"] = "agent", 1
		}
		out = append(out, msg)
	}
	return out
}

// then is a moment on a known day for messages: 14:40 in Moscow.
var then = time.Date(2026, 11, 20, 11, 40, 0, 0, time.UTC)

func (p *person) finished(messages []m, over ...m) []byte {
	b := m{
		"agents": []m{agentOne}, "analytics": nil, "plain_messages": "", "html_messages": "",
		"chat": m{"messages": messages, "blacklisted": false, "rate": nil},
	}
	return p.event("chat_finished", append([]m{b}, over...)...)
}

func (p *person) offline(id int, text string, over ...m) []byte {
	return p.event("offline_message", append([]m{{"message": text, "offline_message_id": id}}, over...)...)
}

// call is one call_event of a type and status.
func (p *person) call(kind, status string, over ...m) []byte {
	call := m{"type": kind, "phone": p.Phone, "status": status}
	for _, o := range over {
		maps.Copy(call, o)
	}
	return p.event("call_event", m{"call": call, "agent": agentOne})
}

// clientUpdated is client_updated: no chat, session or page.
func (p *person) clientUpdated(over ...m) []byte {
	b := m{
		"event_name": "client_updated", "widget_id": "3948", "user_token": nil, "client_id": string(jsonOf(p.Number)),
		"visitor":      m{"name": orNil(p.Name), "email": orNil(p.Email), "phone": orNil(p.Phone), "description": "", "number": p.Number, "chats_count": 1},
		"organization": nil, "status": nil, "assigned_agent": nil, "tags": []m{},
	}
	if p.Company != "" {
		b["organization"] = m{"id": "1", "name": p.Company}
	}
	for _, o := range over {
		maps.Copy(b, o)
	}
	return jsonOf(b)
}

// crm is an event of the CRM stream with the whole client.
func (p *person) crm(kind string, over ...m) []byte {
	list := []m{}
	if p.Phone != "" {
		list = append(list, m{"contact_type": "phone", "contact": p.Phone, "channel_type": "widget"})
	}
	if p.Email != "" {
		list = append(list, m{"contact_type": "email", "contact": p.Email, "channel_type": "agent_app"})
	}
	b := m{
		"event_name": kind, "client_id": p.Number, "widget": m{"widget_id": 3948}, "name": orNil(p.Name), "avatar_url": nil, "description": nil,
		"social": nil, "assigned_agent": m{"assigned_agent_id": nil}, "crm_link": nil, "chats_count": 1, "visits_count": 1, "custom_data": nil,
		"status": m{"title": "new", "color": "1fb6fd", "position": 0, "status_id": 1, "new_status_id": nil}, "organization": nil, "tags": []m{}, "has_deal": 1,
		"contacts": list, "blacklist": nil,
	}
	if p.Company != "" {
		b["organization"] = m{"organization_id": 1, "name": p.Company}
	}
	for _, o := range over {
		maps.Copy(b, o)
	}
	return jsonOf(b)
}

// deal is a deal of this client; amount nil is null.
type deal struct {
	id, pipeline, stage, reject int
	title, text                 string
	amount                      any
	agent                       any
}

func (p *person) deal(kind string, d deal) []byte {
	reject := any(nil)
	if d.reject != 0 {
		reject = d.reject
	}
	return jsonOf(m{
		"event_name": kind, "deal_id": d.id, "client": m{"client_id": p.Number}, "title": d.title, "text": orNil(d.text), "amount": d.amount,
		"pipeline":       m{"pipeline_id": d.pipeline, "pipeline_status": m{"pipeline_status_id": d.stage}, "pipeline_reject_reason": m{"pipeline_reject_reason_id": reject}},
		"assigned_agent": m{"assigned_agent_id": d.agent}, "created_ts": 1677837220, "closed_ts": nil, "creator_agent": m{"creator_agent_id": 1},
	})
}

func (p *person) task(kind string, id, dealID int, text string, due time.Time) []byte {
	d := any(nil)
	if dealID != 0 {
		d = m{"deal_id": dealID}
	}
	return jsonOf(m{
		"event_name": kind, "text": text, "status": "active", "task_id": id, "agent": m{"agent_id": 1}, "client": m{"client_id": p.Number},
		"notify_ts": due.Unix(), "created_ts": 1677837822, "updated_ts": 1677837842, "show_notification": 1, "creator_agent": m{"creator_agent_id": 1}, "deal": d,
	})
}

// The one* functions require exactly one.

func (w *world) oneLead() *emulator.Record {
	w.t.Helper()
	r := one(w.t, "leads", w.amo.Leads())
	return &r
}

func (w *world) oneContact() *emulator.Record {
	w.t.Helper()
	r := one(w.t, "contacts", w.amo.Contacts())
	return &r
}

func one[T any](t *testing.T, what string, list []T) T {
	t.Helper()
	if len(list) != 1 {
		t.Fatalf("%d %s instead of one: %+v", len(list), what, list)
	}
	return list[0]
}

// equal requires got to be want.
func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s are %q, want %q", what, got, want)
	}
}

func holds(t *testing.T, what, got string, want ...string) {
	t.Helper()
	for _, s := range want {
		if !strings.Contains(got, s) {
			t.Errorf("%s lacks %q: %q", what, s, got)
		}
	}
}

// lead is the lead as it now stands.
func (w *world) lead(id int64) *emulator.Record {
	w.t.Helper()
	r, ok := w.amo.Lead(id)
	if !ok {
		w.t.Fatalf("no lead %d", id)
	}
	return &r
}

func (w *world) contact(id int64) *emulator.Record {
	w.t.Helper()
	r, ok := w.amo.Contact(id)
	if !ok {
		w.t.Fatalf("no contact %d", id)
	}
	return &r
}

// notes are the texts of a lead's notes of one type.
func (w *world) notes(leadID int64, kind string) (out []string) {
	for _, n := range w.amo.Notes(leadID) {
		if n.Type == kind {
			out = append(out, n.Text())
		}
	}
	return out
}

// The two types of text notes. Page, city and source of a new lead are a service
// note like a transcript; transcripts leaves it out.
const (
	common  = "common"
	service = "extended_service_message"
)

// catalog is the page every visitor is on.
const catalog = "https://shop.example/catalog"

func (w *world) transcripts(leadID int64) []string {
	return slices.DeleteFunc(w.notes(leadID, service), func(s string) bool { return strings.Contains(s, catalog) })
}

// link is the address of a card as a person would copy it.
func (w *world) link(entity string, id int64) string {
	return w.far.URL + "/" + entity + "/detail/" + string(jsonOf(id))
}

// Shorter names of what the emulator hands out.
type (
	noteOf = emulator.Note
	editOf = emulator.Edit
)

type cardOf = emulator.NewCard

// ticks lets so many milliseconds of the real clock pass, for what is measured
// in its whole seconds.
func ticks(t *testing.T, ms int) {
	t.Helper()
	tick := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer tick.Stop()
	<-tick.C
}

func unmarshal(t *testing.T, b []byte, to any) {
	t.Helper()
	if err := json.Unmarshal(b, to); err != nil {
		t.Fatal(err)
	}
}

// stillClock is an account whose clock shows one second only.
func stillClock() emulator.Options {
	at := time.Now()
	return emulator.Options{Now: func() time.Time { return at }}
}
