package jivo

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// row is one way a body differs from its documentation. want maps paths of the
// normal form to values.
type row struct {
	row  string
	body string
	want map[string]any
	note string // a coercion that must be there; "" means there must be none
}

// rows are those of jivo-webhooks.md §b, and their relatives.
var rows = []row{
	{"1 ids as strings", `{"event_name":"chat_accepted","organization":{"id":1},"status":{"id":"4"},"tags":[{"id":17},{"id":"18"}]}`,
		map[string]any{"organization.id": "1", "status.id": "4", "tags.0.id": "17", "tags.1.id": "18"}, ""},
	{"2,3 agent ids as either", `{"event_name":"chat_finished","assigned_agent":{"id":1},"agents":[{"id":"1"}],"chat":{"messages":[{"agent_id":1}]}}`,
		map[string]any{"assigned_agent.id": "1", "agents.0.id": "1", "chat.messages.0.agent_id": "1"}, ""},
	{"4 department id", `{"event_name":"chat_accepted","department":{"id":281},"agent":{"id":"2016"}}`,
		map[string]any{"department.id": "281", "agent.id": "2016"}, ""},
	{"5,6 visitor number and client id", `{"event_name":"client_updated","visitor":{"number":1217},"client_id":"1217"}`,
		map[string]any{"visitor.number": "1217", "client_id": "1217"}, ""},
	{"7 widget id in CRM", `{"event_name":"created_client","widget":{"widget_id":488651}}`,
		map[string]any{"widget.widget_id": "488651"}, ""},
	{"ids keep every digit", `{"event_name":"offline_message","offline_message_id":1665399500726123456789,"chat_id":9007199254740993}`,
		map[string]any{"offline_message_id": "1665399500726123456789", "chat_id": "9007199254740993"}, ""},
	{"ids have no exponent", `{"event_name":"chat_accepted","chat_id":1.5e3,"widget_id":3948.0}`,
		map[string]any{"chat_id": "1500", "widget_id": "3948"}, ""},
	{"8 null objects", `{"event_name":"chat_finished","user_token":null,"organization":null,"status":null,"assigned_agent":null,"analytics":null,"tags":null,"chat":{"rate":null,"messages":null}}`,
		map[string]any{"user_token": "", "organization.name": "", "status.id": "", "assigned_agent.email": "", "analytics.ga": "", "tags": []any{}, "chat.rate": "", "chat.messages": []any{}}, ""},
	{"9 empty object in an object", `{"event_name":"created_deal","assigned_agent":{"assigned_agent_id":null},"pipeline":{"pipeline_reject_reason":{"pipeline_reject_reason_id":null}}}`,
		map[string]any{"assigned_agent.assigned_agent_id": "", "pipeline.pipeline_reject_reason.pipeline_reject_reason_id": ""}, ""},
	{"10 tags as an object of objects", `{"event_name":"chat_accepted","tags":{"0":{"id":1,"title":"a"},"1":{"id":2,"title":"b"}}}`,
		map[string]any{"tags.0.title": "a", "tags.1.id": "2"}, "tags: object for list"},
	{"10 messages as one object", `{"event_name":"chat_finished","chat":{"messages":{"message":"hi","timestamp":5}}}`,
		map[string]any{"chat.messages.0.message": "hi", "chat.messages.0.timestamp": 5}, "chat.messages: object for list"},
	{"11 custom_data as the table has it", `{"event_name":"created_client","custom_data":{"title":"t","content":"c"}}`,
		map[string]any{"custom_data.0.content": "c"}, "custom_data: object for list"},
	{"12 coordinates as numbers", `{"event_name":"chat_accepted","session":{"geoip":{"latitude":37.7898,"longitude":""}}}`,
		map[string]any{"session.geoip.latitude": "37.7898", "session.geoip.longitude": ""}, "session.geoip.latitude: number for string"},
	{"13 attributes as an object", `{"event_name":"client_attribute_updated","attributes":{"сорт":"a","n":1234}}`,
		map[string]any{"attributes.сорт": "a", "attributes.n": 1234}, ""},
	{"13 attributes as one-key objects", `{"event_name":"client_attribute_updated","attributes":[{"a":"x"},{"b":2}]}`,
		map[string]any{"attributes.a": "x", "attributes.b": 2}, "attributes: list for object"},
	{"13 attributes by name and value", `{"event_name":"client_attribute_updated","attributes":[{"name":"a","value":"x"},{"key":"b","value":2},{"title":"c","value":null}]}`,
		map[string]any{"attributes.a": "x", "attributes.b": 2, "attributes.c": nil}, "attributes: list for object"},
	{"13 no attributes", `{"event_name":"client_attribute_updated","attributes":[]}`,
		map[string]any{"attributes": event.Object{}}, ""},
	{"14 double braces", `{ {"event_name":"created_client_tag","tag_id":1} }`,
		map[string]any{"tag_id": "1"}, "body: doubled brace"},
	{"14 and one brace missing", "{\n{\"event_name\":\"created_client_tag\",\"tag_id\":1}\n",
		map[string]any{"tag_id": "1"}, "body: closing brace missing"},
	{"14 and one too many", `{"event_name":"created_client_tag","tag_id":1}}`,
		map[string]any{"tag_id": "1"}, "body: stray character after the object"},
	{"15 names with slashes", `{"event_name":"updated_deal"/"deleted_deal","deal_id":3}`,
		map[string]any{"event_name": "updated_deal", "deal_id": "3"}, "body: several values with slashes, the first taken"},
	{"15 names with slashes in one string", `{"event_name":"updated_deal/deleted_deal","deal_id":3}`,
		map[string]any{"event_name": "updated_deal"}, "event_name: several names, the first taken"},
	{"15 semicolon", `{"event_name":"created_status"/"updated_status";"status_id":6}`,
		map[string]any{"status_id": "6"}, "body: semicolon for a comma"},
	{"16 newline and trailing comma", "{\"event_name\":\n\"created_organization\",\n\"organization_id\":3,\n}",
		map[string]any{"organization_id": "3"}, "body: trailing comma"},
	{"17 look-alikes in keys", `{"event_name":"created_client","сontacts":[{"сontact_type":"phone","contact":"+79990000001","сhannel_type":"widget"}],"сustom_data":null}`,
		map[string]any{"contacts.0.contact_type": "phone", "contacts.0.channel_type": "widget", "custom_data": []any{}}, "contacts: key had look-alike letters"},
	{"17 look-alikes in names", `{"event_name":"сreated_client_tag","event_type":"сrm_client_tag"}`,
		map[string]any{"event_name": "created_client_tag", "event_type": "crm_client_tag"}, "event_name: read as created_client_tag"},
	{"17 look-alikes in the key of the name", `{"еvent_name":"created_client_tag"}`,
		map[string]any{"event_name": "created_client_tag"}, "event_name: key had look-alike letters"},
	{"17 never in people's words", `{"event_name":"chat_accepted","visitor":{"name":"Сергей","description":"ﬁ"},"tags":[{"title":"сор"}]}`,
		map[string]any{"visitor.name": "Сергей", "visitor.description": "ﬁ", "tags.0.title": "сор"}, ""},
	{"19 merged_tag", `{"event_name":"merged_tag"}`,
		map[string]any{"event_name": "merged_client_tag"}, "event_name: read as merged_client_tag"},
	{"20 completed task", `{"event_name":"completed task"}`,
		map[string]any{"event_name": "completed_task"}, "event_name: read as completed_task"},
	{"21 event_type absent", `{"event_name":"assigned_status"}`, map[string]any{"event_type": "crm_status"}, ""},
	{"21 event_type given", `{"event_name":"assigned_status","event_type":"crm_client"}`, map[string]any{"event_type": "crm_client"}, ""},
	{"23 booleans of every kind", `{"event_name":"created_client","has_deal":1}`, map[string]any{"has_deal": true}, ""},
	{"23 booleans in strings", `{"event_name":"created_task","show_notification":"1"}`, map[string]any{"show_notification": true}, "show_notification: string for boolean"},
	{"23 zero", `{"event_name":"created_task","show_notification":"0"}`, map[string]any{"show_notification": false}, "show_notification: string for boolean"},
	{"24 colour", `{"event_name":"created_status","color":"0ed16a"}`, map[string]any{"color": "0ed16a"}, ""},
	{"26 status of a task", `{"event_name":"created_task","status":"active"}`, map[string]any{"status": "active"}, ""},
	{"26 provider and company", `{"event_name":"chat_accepted","session":{"geoip":{"organization":"ISP"}},"organization":{"name":"Co"}}`,
		map[string]any{"session.geoip.organization": "ISP", "organization.name": "Co"}, ""},
	{"§d undocumented fields", `{"event_name":"chat_finished","event_timestamp":1665396476,"chat_rate":"positive","chat":{"invite_timestamp":1665396470}}`,
		map[string]any{"event_timestamp": 1665396476, "chat_rate": "positive", "chat.invite_timestamp": 1665396470}, ""},
	{"numbers in strings", `{"event_name":"created_deal","amount":"1500.50","created_ts":" 1677837220 ","closed_ts":""}`,
		map[string]any{"amount": 1500.5, "created_ts": 1677837220, "closed_ts": 0}, "amount: string for number"},
	{"numbers past any bound", `{"event_name":"created_deal","amount":1e999,"created_ts":1e300,"title":1e400}`,
		map[string]any{"amount": 0.0, "created_ts": 0, "title": ""}, "amount: number for number, dropped"},
	{"a number is no word", `{"event_name":"created_deal","amount":"NaN","created_ts":"0x10"}`,
		map[string]any{"amount": 0.0, "created_ts": 0}, "amount: string for number, dropped"},
	{"a list of two objects", `{"event_name":"chat_accepted","organization":[{"name":"Co"},{"name":"Co2"}]}`,
		map[string]any{"organization.name": ""}, "organization: list for object, dropped"},
	{"a list of one object", `{"event_name":"chat_accepted","organization":[{"name":"Co"}],"page":[]}`,
		map[string]any{"organization.name": "Co", "page.url": ""}, "organization: list for object"},
	{"wrong types", `{"event_name":"chat_accepted","visitor":"x","chat_id":{"a":1},"tags":7,"session":{"utm":[]}}`,
		map[string]any{"visitor.name": "", "chat_id": "", "tags": []any{}, "session.utm": ""}, "chat_id: object for id, dropped"},
	{"items that are no objects", `{"event_name":"chat_accepted","tags":["a",null,{"title":"b"}]}`,
		map[string]any{"tags.0.title": "b"}, "tags: an item is no object, dropped"},
	{"an id is one word", `{"event_name":"chat_accepted","chat_id":"1 2","widget_id":" 3 "}`,
		map[string]any{"chat_id": "", "widget_id": "3"}, "chat_id: string for id, dropped"},
	{"an id is short", `{"event_name":"chat_accepted","chat_id":` + strings.Repeat("1", 129) + `}`,
		map[string]any{"chat_id": ""}, "chat_id: number for id, dropped"},
	{"byte order mark", "\uFEFF" + `{"event_name":"chat_accepted"}`, map[string]any{"event_name": "chat_accepted"}, "body: byte order mark skipped"},
	{"invalid UTF-8", "{\"event_name\":\"chat_accepted\",\"visitor\":{\"name\":\"a\xffb\"}}",
		map[string]any{"visitor.name": "a\uFFFDb"}, "body: invalid UTF-8 replaced"},
	{"lone surrogates", `{"event_name":"chat_accepted","visitor":{"name":"a\ud800b\udc00","description":"\ud83d\ude00\ud83d"}}`,
		map[string]any{"visitor.name": "a\uFFFDb\uFFFD", "visitor.description": "😀\uFFFD"}, "body: lone surrogate replaced"},
	{"escapes", `{"event_name":"chat_accepted","visitor":{"name":"\"\\\/\b\f\n\r\t\u0416"}}`,
		map[string]any{"visitor.name": "\"\\/\b\f\n\r\tЖ"}, ""},
	{"escapes nobody knows", `{"event_name":"chat_accepted","visitor":{"name":"\d\u12\ж"}}`,
		map[string]any{"visitor.name": "du12ж"}, "body: unknown escape read as it stands"},
	{"line ends in a string", "{\"event_name\":\"chat_accepted\",\"visitor\":{\"name\":\"a\nb\\t\nc\"}}",
		map[string]any{"visitor.name": "a\nb\t\nc"}, "body: control character inside a string"},
	{"keys given twice", `{"event_name":"chat_accepted","chat_id":1,"visitor":{"name":"a"},"chat_id":2,"visitor":{"email":"b"}}`,
		map[string]any{"chat_id": "2", "visitor.name": "", "visitor.email": "b"}, "chat_id: key given twice, the last taken"},
	{"undeclared keys", `{"event_name":"chat_accepted","new":1,"visitor":{"age":2},"session":{"geoip":{"zip":"x"}},"tags":[{"id":1,"hue":"r"}],"extra":5}`,
		map[string]any{"extra.new": 1, "extra.visitor.age": 2, "extra.session.geoip.zip": "x", "extra.tags.hue": "r", "extra.extra": 5, "tags.0.id": "1"}, ""},
	{"undeclared keys of two letters sets", `{"event_name":"chat_accepted","nеw":1,"сор":2}`,
		map[string]any{"extra.new": 1, "extra.сор": 2}, ""},
	{"booleans for other types", `{"event_name":"created_client","visits_count":true,"name":false,"has_deal":"maybe"}`,
		map[string]any{"visits_count": 1, "name": "false", "has_deal": false}, "has_deal: string for boolean, dropped"},
	{"an amount of true and a fraction of a second", `{"event_name":"created_deal","amount":true,"created_ts":1.9,"closed_ts":false}`,
		map[string]any{"amount": 1.0, "created_ts": 1, "closed_ts": 0}, "created_ts: fraction cut off"},
	{"a number that is no boolean", `{"event_name":"created_client","has_deal":2}`, map[string]any{"has_deal": false}, "has_deal: number for boolean, dropped"},
	{"booleans in words", `{"event_name":"created_client","has_deal":"TRUE"}`, map[string]any{"has_deal": true}, "has_deal: string for boolean"},
	{"attributes that are no list of pairs", `{"event_name":"client_attribute_updated","attributes":["a",{"name":"","value":1},{"b":true}]}`,
		map[string]any{"attributes": event.Object{"b": true}}, "attributes: an item is no object, dropped"},
	{"separators too many", `{,"event_name":"chat_accepted",;"tags":[,{"title":"a"},,{"title":"b"}]}`,
		map[string]any{"tags.0.title": "a", "tags.1.title": "b"}, "body: stray separator"},
	{"dots and placeholders among members", "{\"event_name\":\"chat_accepted\",\n...\n<name>: <value>,\n<more>\n,\"chat_id\":<id>}",
		map[string]any{"chat_id": ""}, "body: placeholder skipped"},
	{"brackets missing too", `{"event_name":"chat_accepted","tags":[{"title":"a"}`,
		map[string]any{"tags.0.title": "a"}, "body: closing brace missing"},
	{"a number before the missing brace", "{\"event_name\":\"chat_accepted\",\"chat_id\":76\n",
		map[string]any{"chat_id": "76"}, "body: closing brace missing"},
}

func TestDecode_ToleratesEveryRow(t *testing.T) {
	for _, c := range rows {
		t.Run(c.row, func(t *testing.T) {
			m := decode(t, c.body)
			for path, want := range c.want {
				if diff := cmp.Diff(want, at(m.Fields, path)); diff != "" {
					t.Errorf("%s: %s", path, diff)
				}
			}
			if c.note == "" && len(m.Coercions) > 0 {
				t.Errorf("coercions %q of an ordinary body", m.Coercions)
			}
			if c.note != "" && !strings.Contains(strings.Join(m.Coercions, "\n")+"\n", c.note+"\n") {
				t.Errorf("coercions %q lack %q", m.Coercions, c.note)
			}
		})
	}
}

// at walks a normal form by a dotted path with list indexes.
func at(v any, path string) any {
	for _, step := range strings.Split(path, ".") {
		switch in := v.(type) {
		case event.Object:
			var ok bool
			if v, ok = in[step]; !ok {
				return "absent: " + step
			}
		case []any:
			var i int
			if _, err := fmt.Sscan(step, &i); err != nil || i >= len(in) {
				return "no item " + step
			}
			v = in[i]
		default:
			return "no object above " + step
		}
	}
	return v
}

func TestDecode_NotesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"event_name":"chat_finished","agents":[`)
	for range 10_000 {
		b.WriteString(`{"id":[],"name":{},"email":1,"phone":true},`)
	}
	b.WriteString(`7],"visitor":{"name":[],"email":[],"phone":[],"number":[],"description":[],"social":1,"chats_count":[]},`)
	for range 10_000 {
		b.WriteString(`"tags":1,"chat":1,"page":1,"session":{"geoip":{"city":1,"region":1},"utm":1},`)
	}
	b.WriteString(`}`)
	m := decode(t, b.String())
	if n := len(m.Coercions); n == 0 || n > maxNotes {
		t.Errorf("%d coercions", n)
	}
}

func TestDecode_Identity(t *testing.T) {
	for body, want := range map[string]Message{
		`{"event_name":"client_updated","visitor":{"number":5},"client_id":6}`:                                      {Client: "5"},
		`{"event_name":"client_updated","client_id":6}`:                                                             {Client: "6"},
		`{"event_name":"chat_accepted","client_id":6,"chat_id":"8"}`:                                                {Client: "6", Chat: "8"},
		`{"event_name":"client_updated","client_id":6,"chat_id":8}`:                                                 {Client: "6", Chat: "8"},
		`{"event_name":"chat_accepted","visitor":{"number":0},"chat_id":0}`:                                         {},
		`{"event_name":"created_deal","client":{"client_id":6},"deal_id":9}`:                                        {Client: "6", Deal: "9"},
		`{"event_name":"created_task","client":{"client_id":6},"task_id":3,"deal":{"deal_id":9},"agent":{"id":1}}`:  {Client: "6", Task: "3", Deal: "9"},
		`{"event_name":"assigned_status","client":{"client_id":6,"widget":{"widget_id":2}}}`:                        {Client: "6", Widget: "2"},
		`{"event_name":"created_client","client_id":6,"widget":{"widget_id":2},"assigned_agent":{"name":"x"}}`:      {Client: "6", Widget: "2"},
		`{"event_name":"chat_accepted","widget_id":"3948","agent":{"id":1,"name":"A"},"assigned_agent":{"id":"2"}}`: {Widget: "3948", Agents: []event.Agent{{ID: "1", Name: "A"}}},
		`{"event_name":"chat_finished","agents":[{"id":1,"email":"a@b.c"},{"id":"1","email":"a@b.c"},{"id":2}],"assigned_agent":{"id":3,"name":" C "}}`: {
			Agents: []event.Agent{{ID: "1", Email: "a@b.c"}, {ID: "3", Name: "C"}}},
	} {
		m := decode(t, body)
		got := Message{Client: m.Client, Chat: m.Chat, Deal: m.Deal, Task: m.Task, Widget: m.Widget, Agents: m.Agents}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(Message{})); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
}

func TestNormalName(t *testing.T) {
	for in, want := range map[string]string{
		"chat_accepted": "chat_accepted", " Chat_Accepted\n": "chat_accepted", "completed task": "completed_task",
		"completed  task": "completed_task", "merged_tag": "merged_client_tag", "сreated_client_tag": "created_client_tag",
		"ｃhat_updated": "chat_updated", "chat\u200b_updated": "chat_updated", "": "", "приём": "пpиёm",
		"авсеһіјкмнорѕтухԁԛԝ": "abcehijkmhopstyxdqw", "АВСЕНІЈКМОРЅТУХ": "abcehijkmopstyx",
	} {
		if got := normalName(in); got != want {
			t.Errorf("normalName(%q) = %q, want %q", in, got, want)
		}
	}
}
