package mapping

import (
	"maps"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// A hand-made excerpt of Jivo's schema (jivo-webhooks.md §a), enough for every
// default rule and built-in. internal/jivo has the whole.

func leaf(b event.Basic) *event.Type { return &event.Type{Basic: b} }

func object(fields map[string]*event.Type) *event.Type {
	return &event.Type{Basic: event.Struct, Fields: fields}
}

func listOf(t *event.Type) *event.Type { return &event.Type{Basic: event.List, Elem: t} }

func strs(names ...string) map[string]*event.Type {
	m := map[string]*event.Type{}
	for _, n := range names {
		m[n] = leaf(event.String)
	}
	return m
}

func with(m map[string]*event.Type, more map[string]*event.Type) map[string]*event.Type {
	out := maps.Clone(m)
	maps.Copy(out, more)
	return out
}

func ids(names ...string) map[string]*event.Type {
	m := map[string]*event.Type{}
	for _, n := range names {
		m[n] = leaf(event.ID)
	}
	return m
}

func testSchema(kind string) *event.Type {
	extra := map[string]*event.Type{"extra": leaf(event.Map)}
	agent := object(with(strs("email", "name", "phone"), ids("id")))
	channel := with(map[string]*event.Type{
		"event_name": leaf(event.String), "widget_id": leaf(event.ID), "user_token": leaf(event.String),
		"visitor": object(with(strs("name", "email", "phone", "description"), map[string]*event.Type{
			"number": leaf(event.ID), "social": leaf(event.Map), "chats_count": leaf(event.Int)})),
		"organization":   object(with(ids("id"), strs("name"))),
		"status":         object(with(ids("id"), strs("title"))),
		"assigned_agent": object(with(ids("id"), strs("email", "name"))),
		"tags":           listOf(object(with(ids("id"), strs("title")))),
	}, extra)
	chat := with(channel, map[string]*event.Type{
		"chat_id": leaf(event.ID), "department": object(with(ids("id"), strs("name"))),
		"session": object(with(strs("utm", "ip_addr", "user_agent"), map[string]*event.Type{
			"geoip":    object(strs("country", "city", "region")),
			"utm_json": object(strs("source", "medium", "campaign", "content", "term"))})),
		"page": object(strs("url", "title")), "agent": agent,
	})
	client := map[string]*event.Type{
		"client_id": leaf(event.ID), "name": leaf(event.String), "assigned_agent": object(ids("assigned_agent_id")),
		"organization": object(with(ids("organization_id"), strs("name"))),
		"tags":         listOf(object(with(ids("tag_id"), strs("title")))),
		"status":       object(with(ids("status_id"), strs("title"))),
		"contacts":     listOf(object(strs("contact_type", "contact", "channel_type"))),
		"blacklist":    object(map[string]*event.Type{"block_datetime_ts": leaf(event.Int), "unblock_datetime_ts": leaf(event.Int)}),
	}
	switch kind {
	case "chat_accepted", "chat_updated", "chat_assigned":
		return object(chat)
	case "chat_finished":
		return object(with(chat, map[string]*event.Type{
			"agents": listOf(agent), "plain_messages": leaf(event.String), "html_messages": leaf(event.String),
			"chat": object(map[string]*event.Type{"blacklisted": leaf(event.Bool), "rate": leaf(event.String), "invitation": leaf(event.String),
				"messages": listOf(object(map[string]*event.Type{"message": leaf(event.String), "timestamp": leaf(event.Int),
					"type": leaf(event.String), "agent_id": leaf(event.ID)}))}),
		}))
	case "offline_message":
		return object(with(chat, strs("message", "offline_message_id")))
	case "call_event":
		return object(with(chat, map[string]*event.Type{"call": object(strs("type", "phone", "status", "reason", "record_url"))}))
	case "client_updated":
		return object(with(channel, ids("client_id")))
	case "client_attribute_updated":
		return object(with(extra, map[string]*event.Type{"client_id": leaf(event.ID), "attributes": leaf(event.Map)}))
	case "created_deal", "updated_deal", "deleted_deal":
		return object(with(extra, map[string]*event.Type{
			"deal_id": leaf(event.ID), "client": object(ids("client_id")), "title": leaf(event.String), "text": leaf(event.String),
			"amount": leaf(event.Float), "assigned_agent": object(ids("assigned_agent_id")),
			"pipeline": object(map[string]*event.Type{"pipeline_id": leaf(event.ID),
				"pipeline_status":        object(ids("pipeline_status_id")),
				"pipeline_reject_reason": object(ids("pipeline_reject_reason_id"))}),
		}))
	case "created_task", "updated_task", "completed_task", "deleted_task", "fired_task":
		return object(with(extra, map[string]*event.Type{
			"task_id": leaf(event.ID), "text": leaf(event.String), "status": leaf(event.String), "agent": object(ids("agent_id")),
			"client": object(ids("client_id")), "deal": object(ids("deal_id")), "notify_ts": leaf(event.Int),
		}))
	case "created_client", "updated_client", "updated_client_contacts", "assigned_agent_to_client",
		"changed_client_company", "changed_client_blacklist", "deleted_client":
		return object(with(client, extra))
	case "assigned_status":
		return object(with(extra, map[string]*event.Type{"client": object(client), "status": object(with(ids("status_id"), strs("title")))}))
	case "created_pipeline":
		return object(with(extra, ids("pipeline_id")))
	}
	return nil
}

func testKinds() []string {
	return []string{
		"assigned_agent_to_client", "assigned_status", "call_event", "changed_client_blacklist", "changed_client_company",
		"chat_accepted", "chat_assigned", "chat_finished", "chat_updated", "client_attribute_updated", "client_updated",
		"completed_task", "created_client", "created_deal", "created_pipeline", "created_task", "deleted_client",
		"deleted_deal", "deleted_task", "fired_task", "offline_message", "updated_client", "updated_client_contacts",
		"updated_deal", "updated_task",
	}
}

func testEnv() Env {
	return Env{
		Kinds: testKinds(), Schema: testSchema, Language: "ru", Region: "RU",
		Tables:  map[string]map[string]string{"site_of_channel": {"3948": "Главный сайт"}},
		Builtin: Builtin{Deals: true, Tasks: true, Clients: true, BlacklistTag: true, DeletedTag: true, Categories: true},
		Stages:  map[string]StageTarget{"20": {"Продажи", "lost"}, "Gruzly / Новая": {"Продажи", "Первичный контакт"}},
	}
}

// obj is a sparse event; input completes it to the normal form of its kind.
type obj = event.Object

func input(kind string, fields obj) *Input {
	return &Input{
		Kind: kind, Fields: complete(testSchema(kind), fields).(event.Object),
		Received: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), Location: time.FixedZone("MSK", 3*3600),
		Client: &event.Client{ID: "2198"},
	}
}

// sample is what the channel samples of jivo-webhooks-source.md share.
func sample(more obj) obj {
	o := obj{
		"widget_id": "3948",
		"visitor": obj{"name": "John Smith", "email": "email@example.com", "phone": "+14084987855", "number": "2198",
			"description": "Description text", "chats_count": 1},
		"organization":   obj{"id": "1", "name": "Company name"},
		"status":         obj{"id": "4", "title": "contact_later"},
		"assigned_agent": obj{"id": "1", "email": "agent1@gmail.com", "name": "Agent"},
		"tags":           []any{obj{"id": "17", "title": "Tag example"}},
		"chat_id":        "7636",
		"session": obj{
			"geoip":    obj{"country": "United States", "city": "San Francisco"},
			"utm":      "source=google|medium=cpc|content=banner|campaign=campaign_name",
			"utm_json": obj{"source": "google", "campaign": "campaign%20name", "content": "banner", "medium": "cpc", "term": "..."},
		},
		"page": obj{"url": "http://example.com/", "title": "Page title"},
	}
	maps.Copy(o, more)
	return o
}

func anonymous(more obj) obj {
	o := sample(more)
	o["visitor"] = obj{"number": "2198"}
	return o
}

func theAgent() obj {
	return obj{"id": "2016", "name": "Thomas Anderson", "email": "agent@jivosite.com", "phone": "+14083682346"}
}

// compiled compiles rules that have no problems.
func compiled(t testing.TB, env Env, rules ...Rule) *Program {
	t.Helper()
	p, problems := Compile(rules, env)
	for _, x := range problems {
		t.Errorf("problem at %d:%d: %s", x.Line, x.Col, x.Msg)
	}
	if p == nil {
		t.FailNow()
	}
	return p
}

// mapped runs both phases.
func mapped(t testing.TB, p *Program, in *Input, crm event.CRM) (event.Plan, event.Desired) {
	t.Helper()
	plan, err := p.Plan(in)
	if err != nil {
		t.Fatalf("Plan: %v", err)
	}
	d, err := p.Desired(in, plan, crm)
	if err != nil {
		t.Fatalf("Desired: %v", err)
	}
	return plan, d
}

func found(contact, lead string) event.CRM {
	return event.CRM{Contact: event.CRMEntity{ID: contact}, Lead: event.CRMEntity{ID: lead}}
}

func tx(s string) Text { return Text{Value: s, Line: 1, Col: 1, Set: true} }

func txs(list ...string) []Text {
	var out []Text
	for _, s := range list {
		out = append(out, tx(s))
	}
	return out
}

func yes() *bool { b := true; return &b }

// testNames is a Names with a few entries.
type testNames struct{ Names }

func (testNames) Agent(id string) event.Agent {
	if id == "2" {
		return event.Agent{ID: "2", Email: "two@example.com", Name: "Two"}
	}
	return event.Agent{}
}

func (testNames) Stage(p, s string) (string, string, string) {
	switch p + "/" + s {
	case "6/19":
		return "Gruzly", "finished", "successful"
	case "6/20", "6/22":
		return "Gruzly", "unsuccessful", "unsuccessful"
	case "6/21":
		return "Gruzly", "Новая", ""
	case "6/23":
		return "Gruzly", "Ждём", ""
	}
	return "", "", ""
}

func (testNames) RejectReason(p, r string) string {
	if r == "21" {
		return "Слишком дорого"
	}
	return ""
}

func (testNames) Tag(id string) string {
	if id == "6" {
		return "NewOne"
	}
	return ""
}

func (testNames) Organization(id string) string {
	if id == "3" {
		return "Company"
	}
	return ""
}

func (testNames) Category(id string) string { return "category " + id }
