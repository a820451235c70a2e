package emulator

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
)

// Every mistake a client can make here is refused as amocrm-api.md §5 says,
// with the place it was made at.
func TestWrites_MistakesAreRefusedWithCodeAndPath(t *testing.T) {
	c := account(t, Options{})
	lead := c.lead(`{}`)
	contact := c.contact(`{"name":"Иван"}`)
	field := func(s string) string { return `[{"custom_fields_values":[` + s + `]}]` }
	for _, tt := range []struct{ name, method, path, body, code, at string }{
		{"unknown key", "POST", "leads", `[{"nmae":"x"}]`, "FieldNotExpected", "nmae"},
		{"name is a number", "POST", "leads", `[{"name":5}]`, "InvalidType", "name"},
		{"price is text", "POST", "leads", `[{"price":"100"}]`, "InvalidType", "price"},
		{"id is a string", "POST", "leads", `[{"pipeline_id":"700001"}]`, "InvalidType", "pipeline_id"},
		{"id is a fraction", "POST", "leads", `[{"pipeline_id":1.5}]`, "InvalidType", "pipeline_id"},
		{"null name", "POST", "leads", `[{"name":null}]`, "InvalidType", "name"},
		{"unknown pipeline", "POST", "leads", `[{"pipeline_id":1}]`, "NotSupportedChoice", "pipeline_id"},
		{"unknown stage", "POST", "leads", `[{"status_id":1}]`, "NotSupportedChoice", "status_id"},
		{"stage of another pipeline", "POST", "leads", `[{"status_id":70000012,"pipeline_id":700001}]`, "NotSupportedChoice", "status_id"},
		{"won without pipeline", "POST", "leads", `[{"status_id":142}]`, "FieldMissing", "pipeline_id"},
		{"lost without pipeline", "PATCH", "leads", fmt.Sprintf(`[{"id":%d,"status_id":143}]`, lead), "FieldMissing", "pipeline_id"},
		{"unknown user", "POST", "leads", `[{"responsible_user_id":1}]`, "NotSupportedChoice", "responsible_user_id"},
		{"switched-off user", "POST", "contacts", `[{"responsible_user_id":9003}]`, "NotSupportedChoice", "responsible_user_id"},
		{"unknown creator", "POST", "leads", `[{"created_by":1}]`, "NotSupportedChoice", "created_by"},
		{"unknown field", "POST", "leads", field(`{"field_id":1,"values":[{"value":"x"}]}`), "NotSupportedChoice", "custom_fields_values.0.field_id"},
		{"field of another kind", "POST", "leads", field(`{"field_code":"PHONE","values":[{"value":"x"}]}`), "NotSupportedChoice", "custom_fields_values.0.field_code"},
		{"field without id", "POST", "leads", field(`{"values":[{"value":"x"}]}`), "FieldMissing", "custom_fields_values.0.field_id"},
		{"unknown option", "POST", "leads", field(`{"field_id":1303,"values":[{"value":"Нет такого"}]}`), "NotSupportedChoice", "custom_fields_values.0.values.0.value"},
		{"unknown option id", "POST", "leads", field(`{"field_id":1303,"values":[{"enum_id":99}]}`), "NotSupportedChoice", "custom_fields_values.0.values.0.enum_id"},
		{"two options of a select", "POST", "leads", field(`{"field_id":1303,"values":[{"enum_id":51},{"enum_id":52}]}`), "TooMany", "custom_fields_values.0.values"},
		{"number in a text field", "POST", "leads", field(`{"field_id":1319,"values":[{"value":5}]}`), "InvalidType", "custom_fields_values.0.values.0.value"},
		{"text in a number field", "POST", "leads", field(`{"field_id":1305,"values":[{"value":"много"}]}`), "InvalidType", "custom_fields_values.0.values.0.value"},
		{"text in a checkbox", "POST", "leads", field(`{"field_id":1307,"values":[{"value":"1"}]}`), "InvalidType", "custom_fields_values.0.values.0.value"},
		{"words in a date", "POST", "leads", field(`{"field_id":1309,"values":[{"value":"завтра"}]}`), "InvalidType", "custom_fields_values.0.values.0.value"},
		{"enum echoed back", "POST", "contacts", field(`{"field_code":"PHONE","values":[{"value":"1","enum":"WORK"}]}`), "FieldNotExpected", "custom_fields_values.0.values.0.enum"},
		{"unknown phone code", "POST", "contacts", field(`{"field_code":"PHONE","values":[{"value":"1","enum_code":"CELL"}]}`), "NotSupportedChoice", "custom_fields_values.0.values.0.enum_code"},
		{"unknown contact linked", "POST", "leads", `[{"_embedded":{"contacts":[{"id":1}]}}]`, "NotSupportedChoice", "_embedded.contacts.0.id"},
		{"whole contact outside complex", "POST", "leads", `[{"_embedded":{"contacts":[{"name":"x"}]}}]`, "FieldNotExpected", "_embedded.contacts.0.name"},
		{"tags_to_delete at creation", "POST", "leads", `[{"tags_to_delete":[{"name":"x"}]}]`, "FieldNotExpected", "tags_to_delete"},
		{"patch without id", "PATCH", "leads", `[{"name":"x"}]`, "FieldMissing", "id"},
		{"patch of nobody", "PATCH", "contacts", `[{"id":1,"name":"x"}]`, "NotSupportedChoice", "id"},
		{"single patch of nobody", "PATCH", "leads/1", `{"name":"x"}`, "NotSupportedChoice", "id"},
		{"price on a contact", "POST", "contacts", `[{"price":1}]`, "FieldNotExpected", "price"},
		{"first name on a company", "POST", "companies", `[{"first_name":"x"}]`, "FieldNotExpected", "first_name"},
		{"request_id is a number", "POST", "leads", `[{"request_id":1}]`, "InvalidType", "request_id"},

		{"two contacts in complex", "POST", "leads/complex", `[{"_embedded":{"contacts":[{"name":"a"},{"name":"b"}]}}]`, "TooMany", "_embedded.contacts"},
		{"bad field of complex's contact", "POST", "leads/complex", `[{"_embedded":{"contacts":[{"responsible_user_id":1}]}}]`, "NotSupportedChoice", "_embedded.contacts.0.responsible_user_id"},
		{"41 fields in complex", "POST", "leads/complex", field(strings.TrimSuffix(strings.Repeat(`{"field_id":1319,"values":[{"value":"x"}]},`, 41), ",")), "TooMany", "custom_fields_values"},

		{"note without type", "POST", "leads/notes", fmt.Sprintf(`[{"entity_id":%d,"params":{"text":"x"}}]`, lead), "FieldMissing", "note_type"},
		{"unknown note type", "POST", "leads/notes", fmt.Sprintf(`[{"entity_id":%d,"note_type":"letter","params":{"text":"x"}}]`, lead), "NotSupportedChoice", "note_type"},
		{"note without text", "POST", "leads/notes", fmt.Sprintf(`[{"entity_id":%d,"note_type":"common","params":{}}]`, lead), "FieldMissing", "params.text"},
		{"service note without service", "POST", "leads/notes", fmt.Sprintf(`[{"entity_id":%d,"note_type":"extended_service_message","params":{"text":"x"}}]`, lead), "FieldMissing", "params.service"},
		{"note on nobody", "POST", "leads/notes", `[{"entity_id":1,"note_type":"common","params":{"text":"x"}}]`, "NotSupportedChoice", "entity_id"},
		{"note without card", "POST", "contacts/notes", `[{"note_type":"common","params":{"text":"x"}}]`, "FieldMissing", "entity_id"},
		{"duration as text", "POST", "leads/notes", fmt.Sprintf(`[{"entity_id":%d,"note_type":"call_in","params":{"phone":"1","source":"Jivo","duration":"5"}}]`, lead), "InvalidType", "params.duration"},

		{"task without text", "POST", "tasks", `[{"complete_till":1795000000}]`, "FieldMissing", "text"},
		{"task without time", "POST", "tasks", `[{"text":"x"}]`, "FieldMissing", "complete_till"},
		{"task on nobody", "POST", "tasks", `[{"text":"x","complete_till":1,"entity_id":1,"entity_type":"leads"}]`, "NotSupportedChoice", "entity_id"},
		{"task on a singular", "POST", "tasks", fmt.Sprintf(`[{"text":"x","complete_till":1,"entity_id":%d,"entity_type":"lead"}]`, lead), "NotSupportedChoice", "entity_type"},
		{"unknown task type", "POST", "tasks", `[{"text":"x","complete_till":1,"task_type_id":9}]`, "NotSupportedChoice", "task_type_id"},

		{"link to nobody", "POST", fmt.Sprintf("leads/%d/link", lead), `[{"to_entity_id":1,"to_entity_type":"contacts"}]`, "NotSupportedChoice", "to_entity_id"},
		{"link from the wrong side", "POST", fmt.Sprintf("contacts/%d/link", contact), fmt.Sprintf(`[{"to_entity_id":%d,"to_entity_type":"leads"}]`, lead), "NotSupportedChoice", "to_entity_type"},
		{"link by a removed user", "POST", fmt.Sprintf("leads/%d/link", lead), fmt.Sprintf(`[{"to_entity_id":%d,"to_entity_type":"contacts","metadata":{"updated_by":1}}]`, contact), "NotSupportedChoice", "metadata.updated_by"},
		{"main_contact in a request", "POST", "leads/link", fmt.Sprintf(`[{"entity_id":%d,"to_entity_id":%d,"to_entity_type":"contacts","metadata":{"main_contact":true}}]`, lead, contact), "FieldNotExpected", "metadata.main_contact"},

		{"unsorted form without source", "POST", "leads/unsorted/forms", `[{"metadata":{"form_id":"1","form_name":"f","form_page":"p","form_sent_at":1}}]`, "FieldMissing", "source_name"},
		{"call without direction", "POST", "calls", `[{"phone":"1","duration":1,"source":"x"}]`, "FieldMissing", "direction"},
		{"unknown hook setting", "POST", "webhooks", `{"destination":"https://b.example/x","settings":["lead_moved"]}`, "NotSupportedChoice", "settings.0"},
		{"Cyrillic hook host", "POST", "webhooks", `{"destination":"https://мост.рф/x","settings":["add_lead"]}`, "NotSupportedChoice", "destination"},
		{"unknown field type", "POST", "leads/custom_fields", `[{"name":"x","type":"string"}]`, "NotSupportedChoice", "type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c.t = t
			before := len(c.a.Report().Violations)
			status, v := c.do(tt.method, "/api/v4/"+tt.path, tt.body)
			if status != http.StatusBadRequest || at(v, "detail") != "Request validation failed" {
				t.Fatalf("got %d %v", status, v)
			}
			errs := at(v, "validation-errors.0.errors")
			if at(errs, "0.code") != tt.code || at(errs, "0.path") != tt.at || at(v, "validation-errors.0.request_id") == nil {
				t.Errorf("got %v, want %s at %s", errs, tt.code, tt.at)
			}
			if len(c.a.Report().Violations) == before {
				t.Error("the referee saw nothing")
			}
		})
	}
}

func TestWrites_ShapeOfTheBody(t *testing.T) {
	c := account(t, Options{})
	lead := c.lead(`{}`)
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
	}{
		{"single object where an array is due", "POST", "leads", `{"name":"x"}`, 400},
		{"not JSON", "POST", "leads", `[{`, 400},
		{"two values", "POST", "leads", `[] []`, 400},
		{"empty array", "POST", "leads", `[]`, 400},
		{"array of numbers", "POST", "leads", `[1]`, 400},
		{"array to one lead", "PATCH", fmt.Sprintf("leads/%d", lead), `[{"name":"x"}]`, 405},
		{"251 leads", "POST", "leads", "[" + strings.TrimSuffix(strings.Repeat(`{},`, 251), ",") + "]", 400},
		{"51 leads in complex", "POST", "leads/complex", "[" + strings.TrimSuffix(strings.Repeat(`{},`, 51), ",") + "]", 400},
		{"no such route", "GET", "notes", ``, 404},
		{"no delete of leads", "DELETE", fmt.Sprintf("leads/%d", lead), ``, 405},
		{"unknown pipeline", "GET", "leads/pipelines/1", ``, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := c.raw(tt.method, "/api/v4/"+tt.path, tt.body)
			if w.Code != tt.status || w.Header().Get("Content-Type") != answer.ProblemJSON {
				t.Errorf("got %d %s %s", w.Code, w.Header().Get("Content-Type"), w.Body)
			}
		})
	}
	if n := len(c.a.Leads()); n != 1 {
		t.Errorf("%d leads, want the one made at first", n)
	}
}

func TestWrites_OneBadItemRejectsTheBatch(t *testing.T) {
	c := account(t, Options{})
	status, v := c.do("POST", "/api/v4/leads", `[{"name":"good","request_id":"a"},{"price":"bad","request_id":"b"},{"price":"bad"}]`)
	if status != 400 || at(v, "validation-errors.0.request_id") != "b" || at(v, "validation-errors.1.request_id") != "2" {
		t.Errorf("got %d %v", status, v)
	}
	if n := len(c.a.Leads()); n != 0 {
		t.Errorf("%d leads were made", n)
	}
}

func TestLossReason_OnALeadThatIsNotLost(t *testing.T) {
	c := account(t, Options{})
	id := c.lead(`{}`)
	status, v := c.do("PATCH", "/api/v4/leads", fmt.Sprintf(`[{"id":%d,"loss_reason_id":1}]`, id))
	if status != 400 || at(v, "errors."+strconv.FormatInt(id, 10)) != "Loss reason can be specified only for lost lead" {
		t.Errorf("got %d %v", status, v)
	}
	c.ok("PATCH", "/api/v4/leads", fmt.Sprintf(`[{"id":%d,"status_id":143,"pipeline_id":700001,"loss_reason_id":1}]`, id))
	if l, _ := c.a.Lead(id); l.LossReasonID != 1 || l.ClosedAt == 0 {
		t.Errorf("lost lead: %+v", l)
	}
	c.ok("PATCH", fmt.Sprintf("/api/v4/leads/%d", id), `{"status_id":70000003}`)
	if l, _ := c.a.Lead(id); l.LossReasonID != 0 || l.ClosedAt != 0 || l.PipelineID != 700001 {
		t.Errorf("reopened lead: %+v", l)
	}
}

func TestRate_EighthRequestOfAnySlidingSecondIs429HTML(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := account(t, Options{RPS: 7})
		get := func() int { return c.raw("GET", "/api/v4/account", "").Code }
		for range 6 {
			if got := get(); got != 200 {
				t.Fatal(got)
			}
		}
		time.Sleep(600 * time.Millisecond)
		if got := get(); got != 200 {
			t.Fatal(got)
		}
		w := c.raw("GET", "/api/v4/account", "")
		if w.Code != 429 || !strings.Contains(w.Body.String(), "<html>") {
			t.Errorf("eighth: %d %s", w.Code, w.Body)
		}
		time.Sleep(400 * time.Millisecond) // the six are a second old, the seventh is not
		for i := range 7 {
			if got, want := get(), map[bool]int{true: 200, false: 429}[i < 6]; got != want {
				t.Errorf("request %d = %d, want %d", i, got, want)
			}
		}
		r := c.a.Report()
		if r.Limited != 2 || r.MaxInSecond != 9 || len(r.Violations) != 2 {
			t.Errorf("referee: %+v", r)
		}
	})
}

func TestBan_ComesAfterRepeated429AndCoversTheTokenEndpointUntilLifted(t *testing.T) {
	c := account(t, Options{RPS: 1, BanAfter: 3})
	for range 4 {
		c.raw("GET", "/api/v4/account", "")
	}
	w := c.raw("POST", "/oauth2/access_token", `{}`)
	if w.Code != 403 || w.Header().Get("Content-Type") != answer.HTML || !c.a.Banned() {
		t.Errorf("during a ban: %d %s", w.Code, w.Body)
	}
	c.a.Lift()
	if got := c.raw("GET", "/api/v4/account", "").Code; got != 200 && got != 429 {
		t.Errorf("after lifting: %d", got)
	}
}

func TestUnpaid_WritesFirstThenReads(t *testing.T) {
	c := account(t, Options{})
	codes := func() string {
		return fmt.Sprint(c.raw("GET", "/api/v4/account", "").Code, c.raw("POST", "/api/v4/leads", `[{}]`).Code)
	}
	for level, want := range []string{"200 200", "200 402", "402 402"} {
		c.a.SetUnpaid(level)
		if got := codes(); got != want {
			t.Errorf("level %d: %s, want %s", level, got, want)
		}
	}
}

func TestReferee_SeesBadManners(t *testing.T) {
	c := account(t, Options{})
	r := c.request("POST", "/api/v4/leads", `[{}]`)
	r.Header.Set("Content-Type", "text/plain")
	r.Header.Del("User-Agent")
	c.a.ServeHTTP(c.raw("GET", "/api/v4/leads?limit=251", ""), r)
	for range 22 { // two more than the referee lets pass
		c.raw("GET", "/api/v4/account", "")
	}
	all := strings.Join(c.a.Report().Violations, "\n")
	for _, want := range []string{"content type", "user agent", "read over 20 times"} {
		if strings.Count(all, want) != 1 {
			t.Errorf("%q is not told once in:\n%s", want, all)
		}
	}
	c.a.ResetReport()
	c.lead(`{"name":"fine"}`)
	c.raw("GET", "/api/v4/leads", "")
	if v := c.a.Report().Violations; len(v) != 0 {
		t.Errorf("good manners: %v", v)
	}
}
