package emulator

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// A world with one of everything, and every way to read it back.
func TestRead_EveryPathAnswers(t *testing.T) {
	c := account(t, Options{DanglingNext: true})
	contact := c.contact(phoneContact("Иван", "+71"))
	lead := c.lead(fmt.Sprintf(`{"tags_to_add":[{"name":"vip"}],"_embedded":{"contacts":[{"id":%d}]}}`, contact))
	company := int64(at(c.ok("POST", "/api/v4/companies", `[{"name":"Acme"}]`), "_embedded.companies.0.id").(float64))
	c.ok("POST", fmt.Sprintf("/api/v4/companies/%d/link", company), fmt.Sprintf(`[{"to_entity_id":%d,"to_entity_type":"contacts"}]`, contact))
	c.ok("POST", fmt.Sprintf("/api/v4/leads/%d/link", lead), fmt.Sprintf(`[{"to_entity_id":%d,"to_entity_type":"companies"}]`, company))
	field := c.a.AddField(book.Leads, FieldDef{Name: "Размер", Type: "numeric"})
	for _, tt := range []struct {
		path, at string
		want     any
	}{
		{"leads/loss_reasons", "_embedded.loss_reasons.3.name", "Выбрали других"},
		{"leads/pipelines/700002", "name", "Опт"},
		{"leads/pipelines/700002/statuses", "_embedded.statuses.0.type", 1.0},
		{"users/9003", "rights.is_active", false},
		{fmt.Sprint("leads/custom_fields/", field), "name", "Размер"},
		{"leads/custom_fields?filter[type][0]=numeric&limit=1", "_page_count", 2.0},
		{"leads/tags?query=vi", "_embedded.tags.0.name", "vip"},
		{fmt.Sprintf("leads/%d/links", lead), "_embedded.links.1.to_entity_type", "companies"},
		{fmt.Sprintf("contacts/%d/links", contact), "_embedded.links.1.to_entity_type", "leads"},
		{fmt.Sprintf("companies/%d/links", company), "_embedded.links.0.to_entity_id", float64(lead)},
		{fmt.Sprintf("companies/%d/links?filter[to_entity_type]=contacts", company), "_embedded.links.0.to_entity_id", float64(contact)},
		{fmt.Sprintf("companies/%d?with=leads,contacts", company), "_embedded.contacts.0.id", float64(contact)},
		{fmt.Sprintf("contacts/%d?with=leads", contact), "_embedded.leads.0.id", float64(lead)},
		{"contacts?limit=1", "_links.next.href", "https://demo.amocrm.ru/api/v4/contacts?limit=1&page=2"},
	} {
		if got := at(c.ok("GET", "/api/v4/"+tt.path, ""), tt.at); got != tt.want {
			t.Errorf("%s: %s = %v, want %v", tt.path, tt.at, got, tt.want)
		}
	}
	c.a.RemoveField(book.Leads, field)
	if w := c.raw("GET", fmt.Sprint("/api/v4/leads/custom_fields/", field), ""); w.Code != 404 {
		t.Errorf("removed field = %d", w.Code)
	}
	c.ok("POST", fmt.Sprintf("/api/v4/contacts/%d/notes", contact), `[{"note_type":"common","params":{"text":"x"}}]`)
	id := c.a.ContactNotes(contact)[0].ID
	c.ok("PATCH", "/api/v4/contacts/notes", fmt.Sprintf(`[{"id":%d,"params":{"text":"y"}}]`, id))
	if n := c.a.AllNotes(); len(n) != 1 || n[0].Text() != "y" {
		t.Errorf("notes: %+v", n)
	}
	if status, _ := c.do("PATCH", "/api/v4/leads/notes", fmt.Sprintf(`[{"id":%d,"params":{"text":"y"}}]`, id)); status != 400 {
		t.Errorf("a contact's note patched as a lead's = %d", status)
	}
}

func TestHand_EveryDeedIsInTheFeed(t *testing.T) {
	c := account(t, Options{})
	contact := c.contact(phoneContact("Иван", "+71"))
	lead := c.lead(fmt.Sprintf(`{"_embedded":{"contacts":[{"id":%d}]}}`, contact))
	v := c.ok("POST", "/api/v4/leads/unsorted/forms", `[{"source_name":"Jivo","source_uid":"a","metadata":{"form_id":"1","form_name":"f","form_page":"p","form_sent_at":1}}]`)
	uid, _ := at(v, "_embedded.unsorted.0.uid").(string)
	c.ok("GET", "/api/v4/leads/unsorted/"+uid, "")
	if u := c.a.UnsortedLeads(); len(u) != 1 {
		t.Errorf("unsorted: %+v", u)
	}
	for range 2 {
		if _, err := c.a.AddTask(lead, "x", 1, 9001); err != nil {
			t.Fatal(err)
		}
	}
	c.ok("PATCH", fmt.Sprint("/api/v4/tasks/", c.a.Tasks()[0].ID), `{"complete_till":2}`)
	for i, err := range []error{
		c.a.SetPrice(lead, 5), c.a.LoseLead(lead, 2), c.a.SetContactResponsible(contact, 9002), c.a.DPEvent(lead, "call_in"),
		c.a.AcceptUnsorted(uid, 0), c.a.DeleteContact(contact), c.a.EditLead(lead, Edit{Name: "Новое", Tags: []string{"vip"}}),
	} {
		if err != nil {
			t.Errorf("deed %d: %v", i, err)
		}
	}
	var types []string
	for _, e := range c.a.Events() {
		types = append(types, e.Type)
	}
	for _, want := range []string{"lead_added", "contact_added", "task_added", "task_deadline_changed", "sale_field_changed", "lead_status_changed",
		"entity_responsible_changed", "contact_deleted", "name_field_changed", "entity_tag_added"} {
		if !slices.Contains(types, want) {
			t.Errorf("no %s among %v", want, types)
		}
	}
	if l, _ := c.a.Lead(lead); l.LossReasonID != 2 || len(l.Contacts) != 0 {
		t.Errorf("lead: %+v", l)
	}
	if twins := c.a.TwinTasks(); len(twins) != 1 || len(c.a.Doubles()) != 0 {
		t.Errorf("twins %v, doubles %v", twins, c.a.Doubles())
	}
	if co := c.a.Companies(); len(co) != 0 {
		t.Errorf("companies: %v", co)
	}
}

func TestSubscribe_ReplacesAndUnsubscribes(t *testing.T) {
	rec := &receiver{}
	c := account(t, Options{HookClient: rec.client()})
	c.a.Subscribe("https://b.example/hook", "add_lead")
	c.a.Subscribe("https://b.example/hook", "add_contact")
	c.lead(`{}`)
	c.contact(`{}`)
	flush(t, c.a)
	c.a.Unsubscribe("https://b.example/hook")
	c.contact(`{}`)
	flush(t, c.a)
	if got := rec.all(); len(got) != 1 || !got[0].form.Has("contacts[add][0][id]") {
		t.Errorf("%d hooks", len(got))
	}
}
