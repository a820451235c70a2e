package emulator

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
	"github.com/jivo-amocrm/bridge/internal/emulator/body"
)

// Empty lists, unknown ids and pages past the end are 204 with no body (amocrm-api.md §1).
func TestRead_NothingIs204(t *testing.T) {
	c := account(t, Options{})
	gone := c.lead(`{}`)
	if err := c.a.DeleteLead(gone); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"leads", "contacts", "companies", "leads/1", "contacts/1", "tasks", "leads/notes", "leads/tags", "leads/unsorted",
		"webhooks", "contacts?query=nobody", fmt.Sprint("leads/", gone), "events?page=9", "leads/links?filter[entity_id][]=1",
	} {
		if w := c.raw("GET", "/api/v4/"+path, ""); w.Code != 204 || w.Body.Len() != 0 {
			t.Errorf("%s = %d %s", path, w.Code, w.Body)
		}
	}
	bin := c.ok("GET", "/api/v4/leads?with=only_deleted", "")
	if at(bin, "_embedded.leads.0.is_deleted") != true || at(bin, "_embedded.leads.0.name") != nil {
		t.Errorf("bin: %v", bin)
	}
}

func TestRead_EnvelopeAndPaging(t *testing.T) {
	c := account(t, Options{})
	for range 51 {
		c.lead(`{}`)
	}
	w := c.raw("GET", "/api/v4/leads", "")
	if w.Header().Get("Content-Type") != answer.HALJSON || len(w.Header().Get("X-Request-Id")) != 32 {
		t.Errorf("headers: %v", w.Header())
	}
	v := c.ok("GET", "/api/v4/leads", "")
	if n := len(body.List(at(v, "_embedded.leads"))); n != 50 {
		t.Errorf("default page has %d", n)
	}
	next, _ := at(v, "_links.next.href").(string)
	if !strings.HasPrefix(next, "https://demo.amocrm.ru/api/v4/leads?") || at(v, "_total_items") != nil {
		t.Errorf("envelope: next %q, total %v", next, at(v, "_total_items"))
	}
	v = c.ok("GET", strings.TrimPrefix(next, "https://demo.amocrm.ru"), "")
	if len(body.List(at(v, "_embedded.leads"))) != 1 || at(v, "_links.next") != nil || at(v, "_page") != 2.0 {
		t.Errorf("last page: %v", v)
	}
}

func TestRead_NewestFirst(t *testing.T) {
	c := account(t, Options{})
	first, second := c.lead(`{}`), c.lead(`{}`)
	v := c.ok("GET", "/api/v4/leads?order[created_at]=desc&limit=1", "")
	if got := at(v, "_embedded.leads.0.id"); got != float64(second) {
		t.Errorf("newest is %v, want %d before %d", got, second, first)
	}
	c.contact(`{}`)
	c.ok("GET", "/api/v4/contacts?order[created_at]=desc", "")
	if v := c.a.Report().Violations; len(v) != 1 {
		t.Errorf("contacts have no created_at order: %v", v)
	}
}

func TestLead_ReadModel(t *testing.T) {
	c := account(t, Options{})
	id := c.lead(`{"name":"Чат","price":15000,"tags_to_add":[{"name":"jivo"}]}`)
	v := c.ok("GET", fmt.Sprint("/api/v4/leads/", id), "")
	for path, want := range map[string]any{
		"price": 15000.0, "custom_fields_values": nil, "loss_reason_id": nil, "closed_at": nil, "status_id": 70000002.0,
		"pipeline_id": 700001.0, "_embedded.tags.0.name": "jivo", "_embedded.contacts": nil, "is_deleted": false, "account_id": 31000001.0,
	} {
		if got := at(v, path); got != want {
			t.Errorf("%s = %v, want %v", path, got, want)
		}
	}
	if at(v, "_embedded.companies") == nil || at(v, "future.enabled") != true {
		t.Errorf("companies or the unknown key is missing: %v", v)
	}
	c.ok("PATCH", fmt.Sprint("/api/v4/leads/", id), `{"status_id":143,"pipeline_id":700001,"loss_reason_id":2}`)
	v = c.ok("GET", fmt.Sprintf("/api/v4/leads/%d?with=contacts,loss_reason", id), "")
	if at(v, "_embedded.loss_reason.0.name") != "Пропала потребность" || at(v, "_embedded.contacts") == nil || at(v, "closed_at") == nil {
		t.Errorf("closed lead: %v", v)
	}
}

// A new contact is found only once the index has seen it; then by any spelling
// of the phone, and so is whoever has those digits anywhere (amocrm-api.md §4.3, §7.3).
func TestQuery_LagsAndFindsTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := account(t, Options{IndexLag: 3 * time.Second})
		c.contact(phoneContact("Иван Петров", "8 (999) 000-00-01"))
		c.contact(`{"name":"Заказ 79990000001"}`)
		count := func(q string) int {
			_, v := c.do("GET", "/api/v4/contacts?query="+q, "")
			return len(body.List(at(v, "_embedded.contacts")))
		}
		time.Sleep(3*time.Second - time.Millisecond)
		if n := count("9990000001"); n != 0 {
			t.Errorf("%d found before the index has them", n)
		}
		time.Sleep(time.Millisecond)
		for q, want := range map[string]int{
			"9990000001": 2, "%2B79990000001": 2, "89990000001": 2, "9990000002": 0,
			"%D0%BF%D0%B5%D1%82%D1%80%D0%BE%D0%B2": 1, "(999)": 1,
		} {
			if n := count(q); n != want {
				t.Errorf("query %s finds %d, want %d", q, n, want)
			}
		}
		v := c.ok("GET", "/api/v4/contacts?query=9990000001", "")
		if got := at(v, "_embedded.contacts.0.custom_fields_values.0.values.0.value"); got != "8 (999) 000-00-01" {
			t.Errorf("stored as %v, want verbatim", got)
		}
		id := int64(at(v, "_embedded.contacts.0.id").(float64))
		c.ok("PATCH", fmt.Sprint("/api/v4/contacts/", id), `{"name":"Пётр"}`)
		if count("%D0%B8%D0%B2%D0%B0%D0%BD") != 1 {
			t.Error("the index forgot the old name at once")
		}
		time.Sleep(3 * time.Second)
		if count("%D0%B8%D0%B2%D0%B0%D0%BD") != 0 {
			t.Error("the index never learnt the new name")
		}
	})
}

func TestFilter_CountsOnlyWithThePaidOption(t *testing.T) {
	for _, paid := range []bool{false, true} {
		c := account(t, Options{FilterEnabled: paid})
		a := c.lead(`{"custom_fields_values":[{"field_code":"UTM_SOURCE","values":[{"value":"yandex"}]}]}`)
		c.lead(`{"pipeline_id":700002}`)
		want := map[bool]int{true: 1, false: 2}[paid]
		for _, f := range []string{fmt.Sprint("filter[id][]=", a), "filter[pipeline_id]=700001", "filter[custom_fields_values][1201][]=yandex",
			"filter[statuses][0][pipeline_id]=700001&filter[statuses][0][status_id]=70000002"} {
			v := c.ok("GET", "/api/v4/leads?"+f, "")
			if n := len(body.List(at(v, "_embedded.leads"))); n != want {
				t.Errorf("paid %v: %s gives %d, want %d", paid, f, n, want)
			}
		}
		acc := c.ok("GET", "/api/v4/account?with=is_api_filter_enabled,datetime_settings", "")
		if at(acc, "is_api_filter_enabled") != paid || at(acc, "_embedded.datetime_settings.timezone_offset") != "+03:00" {
			t.Errorf("account: %v", acc)
		}
	}
}

func TestComplex_AnswersABareArray(t *testing.T) {
	c := account(t, Options{})
	v := c.ok("POST", "/api/v4/leads/complex", `[
		{"name":"A","request_id":"jivo-77","_embedded":{"contacts":[`+phoneContact("Иван", "+79990000001")+`],"companies":[{"name":"Acme"}]}},
		{"name":"B"}]`)
	list, ok := v.([]any)
	if !ok || len(list) != 2 {
		t.Fatalf("got %v", v)
	}
	if at(v, "0.request_id.0") != "jivo-77" || at(v, "1.request_id.0") != "1" || at(v, "0.merged") != false ||
		at(v, "1.contact_id") != nil || at(v, "1.company_id") != nil {
		t.Errorf("got %v", v)
	}
	lead, _ := c.a.Lead(int64(at(v, "0.id").(float64)))
	contact, _ := c.a.Contact(int64(at(v, "0.contact_id").(float64)))
	if !slices.Equal(contact.Leads, []int64{lead.ID}) || !lead.Contacts[0].Main || contact.CompanyID != lead.CompanyID || lead.CompanyID == 0 {
		t.Errorf("not tied: %+v %+v", lead, contact)
	}
	v = c.ok("POST", "/api/v4/leads/complex", fmt.Sprintf(`[{"_embedded":{"contacts":[{"id":%d}]}}]`, contact.ID))
	if at(v, "0.contact_id") != float64(contact.ID) {
		t.Errorf("known contact: %v", v)
	}
	if n := len(c.a.Contacts()); n != 1 {
		t.Errorf("%d contacts", n)
	}
}

func TestComplex_DuplicateControlMergesWithWhatItFinds(t *testing.T) {
	c := account(t, Options{DuplicateControl: true})
	item := func(phone string) string {
		return `[{"_embedded":{"contacts":[` + phoneContact("Иван", phone) + `]}}]`
	}
	first := c.ok("POST", "/api/v4/leads/complex", item("+7 999 000-00-01"))
	second := c.ok("POST", "/api/v4/leads/complex", item("89990000001"))
	if at(second, "0.merged") != true || at(second, "0.id") != at(first, "0.id") || len(c.a.Leads()) != 1 {
		t.Errorf("got %v after %v", second, first)
	}
}

func TestMultitext_IsReplacedAndTheRefereeTellsWhatIsLost(t *testing.T) {
	c := account(t, Options{})
	id := c.contact(phoneContact("Иван", "+79990000001"))
	patch := `{"custom_fields_values":[{"field_code":"PHONE","values":[{"value":"+79990000002"}]}]}`
	c.ok("PATCH", fmt.Sprint("/api/v4/contacts/", id), patch)
	r, _ := c.a.Contact(id)
	if got := r.Values("PHONE"); !slices.Equal(got, []string{"+79990000002"}) {
		t.Errorf("phones: %v", got)
	}
	if lost := c.a.Report().Lost; len(lost) != 1 {
		t.Errorf("lost: %v", lost)
	}
	c.ok("PATCH", fmt.Sprint("/api/v4/contacts/", id), `{"custom_fields_values":[{"field_id":101,"values":null}]}`)
	if v := c.ok("GET", fmt.Sprint("/api/v4/contacts/", id), ""); at(v, "custom_fields_values") != nil {
		t.Errorf("cleared: %v", v)
	}
}

func TestTags_AddDeleteReplace(t *testing.T) {
	c := account(t, Options{})
	id := c.lead(`{"_embedded":{"tags":[{"name":"vip"}]},"tags_to_add":[{"name":"jivo"}]}`)
	c.ok("PATCH", fmt.Sprint("/api/v4/leads/", id), `{"tags_to_add":[{"name":"chat"},{"name":"vip"}],"tags_to_delete":[{"name":"jivo"}]}`)
	if l, _ := c.a.Lead(id); !slices.Equal(l.TagNames(), []string{"vip", "chat"}) {
		t.Errorf("tags: %v", l.TagNames())
	}
	c.ok("PATCH", fmt.Sprint("/api/v4/leads/", id), `{"_embedded":{"tags":null}}`)
	if l, _ := c.a.Lead(id); len(l.Tags) != 0 {
		t.Errorf("cleared: %v", l.TagNames())
	}
	one, two := c.ok("POST", "/api/v4/leads/tags", `[{"name":"vip"}]`), c.ok("POST", "/api/v4/contacts/tags", `[{"name":"vip"}]`)
	if at(one, "_embedded.tags.0.id") == at(two, "_embedded.tags.0.id") {
		t.Error("leads and contacts share a tag dictionary")
	}
}

func TestLinks_MainContactAndMassForm(t *testing.T) {
	c := account(t, Options{LinkTwiceFails: true})
	lead, one, two := c.lead(`{}`), c.contact(`{"name":"a"}`), c.contact(`{"name":"b"}`)
	v := c.ok("POST", fmt.Sprintf("/api/v4/leads/%d/link", lead), fmt.Sprintf(`[{"to_entity_id":%d,"to_entity_type":"contacts"}]`, one))
	if at(v, "_embedded.links.0.metadata.main_contact") != true || at(v, "_total_items") != 1.0 {
		t.Errorf("first contact: %v", v)
	}
	c.ok("POST", "/api/v4/leads/link", fmt.Sprintf(`[{"entity_id":%d,"to_entity_id":%d,"to_entity_type":"contacts","metadata":{"is_main":true}}]`, lead, two))
	v = c.ok("GET", fmt.Sprintf("/api/v4/leads/links?filter[entity_id][]=%d", lead), "")
	if at(v, "_embedded.links.0.metadata.main_contact") != false || at(v, "_embedded.links.1.metadata.main_contact") != true ||
		at(v, "_embedded.links.0.entity_id") != float64(lead) {
		t.Errorf("links: %v", v)
	}
	status, _ := c.do("POST", fmt.Sprintf("/api/v4/leads/%d/link", lead), fmt.Sprintf(`[{"to_entity_id":%d,"to_entity_type":"contacts"}]`, one))
	if status != 500 {
		t.Errorf("linking twice = %d", status)
	}
	w := c.raw("POST", fmt.Sprintf("/api/v4/leads/%d/unlink", lead), fmt.Sprintf(`[{"to_entity_id":%d,"to_entity_type":"contacts"}]`, two))
	if l, _ := c.a.Lead(lead); w.Code != 204 || len(l.Contacts) != 1 || !l.Contacts[0].Main {
		t.Errorf("unlink = %d, %+v", w.Code, l.Contacts)
	}
}

func TestNotes_EveryTypeIsKeptAndPatched(t *testing.T) {
	c := account(t, Options{})
	lead := c.lead(`{}`)
	for kind, params := range map[string]string{
		"common": `{"text":"a"}`, "extended_service_message": `{"service":"Jivo","text":"b"}`, "service_message": `{"service":"Jivo","text":"c"}`,
		"call_in":  `{"uniq":"u1","duration":5,"source":"Jivo","phone":"+7","link":"https://r/1.mp3","call_responsible":9001}`,
		"call_out": `{"uniq":"u2","duration":0,"source":"Jivo","phone":"+7","call_responsible":"Анна"}`, "sms_in": `{"text":"d","phone":"+7"}`,
		"sms_out": `{"text":"e","phone":"+7"}`, "message_cashier": `{"status":"shown","text":"f"}`,
		"geolocation": `{"text":"g","address":"h","longitude":"1","latitude":"2"}`, "attachment": `{"file_uuid":"x","file_name":"y"}`,
	} {
		body := fmt.Sprintf(`[{"note_type":%q,"params":%s,"request_id":"r"}]`, kind, params)
		v := c.ok("POST", fmt.Sprintf("/api/v4/leads/%d/notes", lead), body)
		if at(v, "_embedded.notes.0.request_id") != "r" || at(v, "_embedded.notes.0.entity_id") != float64(lead) {
			t.Errorf("%s: %v", kind, v)
		}
	}
	v := c.ok("GET", fmt.Sprintf("/api/v4/leads/%d/notes?filter[note_type][]=call_in", lead), "")
	id := at(v, "_embedded.notes.0.id")
	if at(v, "_embedded.notes.0.params.uniq") != "u1" || at(v, "_embedded.notes.1") != nil {
		t.Fatalf("calls: %v", v)
	}
	c.ok("PATCH", fmt.Sprintf("/api/v4/leads/notes/%.0f", id), `{"note_type":"call_in","params":{"uniq":"u1","duration":9,"source":"Jivo","phone":"+7"}}`)
	v = c.ok("GET", fmt.Sprintf("/api/v4/leads/%d/notes/%.0f", lead, id), "")
	if at(v, "params.duration") != 9.0 {
		t.Errorf("patched: %v", v)
	}
}

func TestTasks_ResultFlipsItsType(t *testing.T) {
	c := account(t, Options{})
	lead := c.lead(`{}`)
	v := c.ok("POST", "/api/v4/tasks", fmt.Sprintf(`[{"text":"Ответить","complete_till":1795000000,"entity_id":%d,"entity_type":"leads","request_id":"t"}]`, lead))
	id := at(v, "_embedded.tasks.0.id").(float64)
	read := func() any { return c.ok("GET", fmt.Sprintf("/api/v4/tasks/%.0f", id), "") }
	if _, ok := at(read(), "result").([]any); !ok || at(v, "_embedded.tasks.0.request_id") != "t" {
		t.Errorf("open: %v", read())
	}
	if v := c.ok("GET", fmt.Sprint("/api/v4/leads/", lead), ""); at(v, "closest_task_at") != 1795000000.0 {
		t.Errorf("closest_task_at: %v", at(v, "closest_task_at"))
	}
	v = c.ok("PATCH", "/api/v4/tasks", fmt.Sprintf(`[{"id":%.0f,"is_completed":true,"result":{"text":"ок"}}]`, id))
	if at(v, "_embedded.tasks.0.updated_at") == nil || at(v, "_embedded.tasks.0.text") != nil {
		t.Errorf("patch answers %v", v)
	}
	if at(read(), "result.text") != "ок" {
		t.Errorf("closed: %v", read())
	}
	if v := c.ok("GET", fmt.Sprintf("/api/v4/tasks?filter[is_completed]=1&filter[entity_type]=leads&filter[entity_id]=%d", lead), ""); at(v, "_embedded.tasks.0.id") != id {
		t.Errorf("list: %v", v)
	}
}

func TestCalls_FindTheSingleOpenLeadByTenDigits(t *testing.T) {
	c := account(t, Options{})
	contact := c.contact(phoneContact("Иван", "8 (999) 000-00-01"))
	call := `[{"direction":"inbound","duration":5,"source":"Jivo","phone":"+79990000001","uniq":"u"}]`
	v := c.ok("POST", "/api/v4/calls", call)
	if at(v, "_embedded.calls.0.entity_type") != "contact" || at(v, "_embedded.calls.0.entity_id") != float64(contact) {
		t.Errorf("without a lead: %v", v)
	}
	lead := c.lead(fmt.Sprintf(`{"_embedded":{"contacts":[{"id":%d}]}}`, contact))
	v = c.ok("POST", "/api/v4/calls", call)
	if at(v, "_embedded.calls.0.entity_id") != float64(lead) || c.a.Notes(lead)[0].Uniq() != "u" {
		t.Errorf("with a lead: %v", v)
	}
	status, v := c.do("POST", "/api/v4/calls", `[{"direction":"outbound","duration":5,"source":"Jivo","phone":"123"}]`)
	if status != 400 || at(v, "errors.0.title") != "Entity not found" || at(v, "_total_items") != 0.0 {
		t.Errorf("nobody: %d %v", status, v)
	}
}

func TestUnsorted_ContactShowsOnlyOnceAccepted(t *testing.T) {
	c := account(t, Options{})
	form := func(uid string) string {
		return `[{"source_name":"Jivo","source_uid":"` + uid + `","metadata":{"form_id":"1","form_name":"f","form_page":"p","form_sent_at":1},
			"_embedded":{"leads":[{"name":"L"}],"contacts":[` + phoneContact("Иван", "+7999") + `]}}]`
	}
	v := c.ok("POST", "/api/v4/leads/unsorted/forms", form("a"))
	uid, _ := at(v, "_embedded.unsorted.0.uid").(string)
	lead := int64(at(v, "_embedded.unsorted.0._embedded.leads.0.id").(float64))
	if l, _ := c.a.Lead(lead); l.StatusID != 70000001 {
		t.Errorf("stage %d", l.StatusID)
	}
	if w := c.raw("GET", "/api/v4/contacts", ""); w.Code != 204 {
		t.Errorf("hidden contact is listed: %s", w.Body)
	}
	if status, _ := c.do("POST", "/api/v4/leads/unsorted/forms", form("a")); status != 400 {
		t.Errorf("the same twice = %d", status)
	}
	c.ok("POST", "/api/v4/leads/unsorted/"+uid+"/accept", `{"user_id":9001,"status_id":70000003}`)
	if l, _ := c.a.Lead(lead); l.StatusID != 70000003 {
		t.Errorf("accepted to %d", l.StatusID)
	}
	c.ok("GET", "/api/v4/contacts?query=Иван", "")
	if w := c.raw("DELETE", "/api/v4/leads/unsorted/"+uid+"/decline", ""); w.Code != 404 {
		t.Errorf("declining what was accepted = %d", w.Code)
	}
}

func TestEvents_AreNewestFirstAndFiltered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := account(t, Options{})
		start := time.Now().Unix()
		id := c.lead(`{}`)
		time.Sleep(10 * time.Second)
		if err := c.a.MoveLead(id, 70000003, 0); err != nil {
			t.Fatal(err)
		}
		if err := c.a.SetResponsible(id, 9002); err != nil {
			t.Fatal(err)
		}
		v := c.ok("GET", fmt.Sprintf("/api/v4/events?filter[created_at][from]=%d&filter[type]=lead_status_changed,entity_responsible_changed&filter[entity][]=lead", start+1), "")
		if at(v, "_embedded.events.0.type") != "entity_responsible_changed" || at(v, "_embedded.events.2") != nil ||
			at(v, "_embedded.events.1.value_after.0.lead_status.id") != 70000003.0 || at(v, "_embedded.events.1.value_before.0.lead_status.id") != 70000002.0 ||
			at(v, "_embedded.events.1.entity_type") != "lead" {
			t.Errorf("events: %v", v)
		}
		if status, _ := c.do("GET", "/api/v4/events?filter[entity_id][]=1", ""); status != 400 {
			t.Errorf("entity_id without entity = %d", status)
		}
	})
}

func TestDictionary_IsComplete(t *testing.T) {
	c := account(t, Options{})
	p := c.ok("GET", "/api/v4/leads/pipelines", "")
	if at(p, "_total_items") != 2.0 || at(p, "_embedded.pipelines.0._embedded.statuses.0.type") != 1.0 ||
		at(p, "_embedded.pipelines.1._embedded.statuses.3.id") != 142.0 || at(p, "_embedded.pipelines.0._embedded.statuses.4.sort") != 10000.0 {
		t.Errorf("pipelines: %v", p)
	}
	u := c.ok("GET", "/api/v4/users", "")
	if at(u, "_embedded.users.0.email") != "anna@example.com" || at(u, "_embedded.users.2.rights.is_active") != false || at(u, "_page_count") != 1.0 {
		t.Errorf("users: %v", u)
	}
	if f := c.ok("GET", "/api/v4/contacts/custom_fields", ""); at(f, "_embedded.custom_fields.0.enums.0.code") != "WORK" {
		t.Errorf("fields: %v", f)
	}
	made := c.ok("POST", "/api/v4/leads/custom_fields", `[{"name":"Цвет","type":"select","enums":[{"value":"Синий"}]}]`)
	id := at(made, "_embedded.custom_fields.0.id").(float64)
	c.lead(fmt.Sprintf(`{"custom_fields_values":[{"field_id":%.0f,"values":[{"value":"Синий"}]}]}`, id))
	noAdmin := account(t, Options{NotAdmin: true, NoMarker: true})
	if w := noAdmin.raw("GET", "/api/v4/users", ""); w.Code != http.StatusForbidden || w.Header().Get("Content-Type") != answer.ProblemJSON {
		t.Errorf("users without rights = %d", w.Code)
	}
	if f := noAdmin.ok("GET", "/api/v4/leads/custom_fields", ""); strings.Contains(fmt.Sprint(f), "Jivo ID") {
		t.Error("the marker field is there")
	}
}

func TestSaveLoad_KeepsTheAccount(t *testing.T) {
	c := account(t, Options{IndexLag: time.Hour})
	id := c.lead(`{"custom_fields_values":[{"field_id":1301,"values":[{"value":"jv-k1@shop"}]}]}`)
	var file bytes.Buffer
	if err := c.a.Save(&file); err != nil {
		t.Fatal(err)
	}
	other := account(t, Options{})
	if err := other.a.Load(&file); err != nil {
		t.Fatal(err)
	}
	if v := other.ok("GET", "/api/v4/leads?query=jv-k1@shop", ""); at(v, "_embedded.leads.0.id") != float64(id) {
		t.Errorf("after loading: %v", v)
	}
	if next := other.lead(`{}`); next != id+1 {
		t.Errorf("next id %d", next)
	}
}

func TestDoubles_AreNamed(t *testing.T) {
	c := account(t, Options{})
	if d := c.a.Doubles(); len(d) != 0 {
		t.Fatal(d)
	}
	marker := func(s string) string {
		return `{"custom_fields_values":[{"field_id":1301,"values":[{"value":"` + s + `"}]}]}`
	}
	one := c.lead(marker("jv-c1@shop jv-k1@shop"))
	c.lead(marker("jv-c1@shop jv-k2@shop")) // another chat of the same client: fine
	note := fmt.Sprintf(`[{"entity_id":%d,"note_type":"common","params":{"text":"x"}}]`, one)
	c.ok("POST", "/api/v4/leads/notes", note)
	if d := c.a.Doubles(); len(d) != 0 {
		t.Errorf("nothing is doubled: %v", d)
	}
	c.lead(marker("jv-k2@shop"))
	c.ok("POST", "/api/v4/leads/notes", note)
	if d := c.a.Doubles(); len(d) != 2 {
		t.Errorf("doubles: %v", d)
	}
}
