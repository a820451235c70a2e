package app_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jivo-amocrm/bridge/internal/emulator"
)

// client_updated of an unknown client with a phone (a pop-up form): contact and
// lead, with company, responsible and tags.
func TestE2E_PopUpFormIsContactAndLead(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	p.Company = "Ромашка"
	w.tell(p.clientUpdated(m{"assigned_agent": m{"id": 1, "email": "agent1@gmail.com", "name": "Агент"}, "tags": []m{{"id": "17", "title": "Опт"}}}))
	c, l := w.oneContact(), w.oneLead()
	equal(t, "contact's responsible", c.ResponsibleID, userAnna)
	equal(t, "lead's responsible", l.ResponsibleID, userAnna)
	equal(t, "company", one(t, "companies", w.amo.Companies()).Name, "Ромашка")
	equal(t, "contact's company", c.CompanyID, w.amo.Companies()[0].ID)
	if !slices.Contains(c.TagNames(), "Опт") {
		t.Errorf("tags: %q", c.TagNames())
	}

	// Later: company, responsible and tags only when they changed in Jivo.
	w.manager(w.amo.SetContactResponsible(c.ID, userOwner))
	w.settle()
	same1 := m{"assigned_agent": m{"id": 1, "email": "agent1@gmail.com", "name": "Агент"}, "tags": []m{{"id": "17", "title": "Опт"}}}
	p.Email = "new@example.com"
	w.tell(p.clientUpdated(same1))
	c = w.oneContact()
	equal(t, "the manager's responsible", c.ResponsibleID, userOwner)
	same(t, "e-mails", c.Values("EMAIL"), []string{"ivan@example.com", "new@example.com"})
	p.Company = "Вектор"
	w.tell(p.clientUpdated(m{"assigned_agent": m{"id": 2, "email": "agent2@gmail.com", "name": "Агент2"}, "tags": []m{{"id": "18", "title": "VIP"}}}))
	c = w.oneContact()
	equal(t, "responsible changed in Jivo", c.ResponsibleID, userOwner) // agent2 → "*" → owner
	if !slices.Contains(c.TagNames(), "VIP") || slices.Contains(c.TagNames(), "Опт") {
		t.Errorf("tags: %q, want VIP instead of Опт", c.TagNames())
	}
	company := w.amo.Companies()[slices.IndexFunc(w.amo.Companies(), func(r emulator.Record) bool { return r.ID == c.CompanyID })]
	equal(t, "company", company.Name, "Вектор")
	w.oneLead()
}

// An anonymous client_updated makes nothing.
func TestE2E_ClientUpdatedWithoutContacts(t *testing.T) {
	w := newWorld(t, setup{})
	p := nobody()
	p.Name = "Кто-то"
	w.tell(p.clientUpdated())
	equal(t, "cards", len(w.amo.Leads())+len(w.amo.Contacts()), 0)
	equal(t, "state", w.last("client_updated").State, "skipped")
}

// The CRM stream fills the linked contact only; an unlinked client is only
// remembered, and its contacts come with the first chat.
func TestE2E_CRMClientsFillTheLinkedContact(t *testing.T) {
	for _, kind := range []string{"created_client", "updated_client", "updated_client_contacts", "assigned_agent_to_client", "changed_client_company"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, setup{})
			p := ivan()
			contacts := []m{
				{"contact_type": "phone", "contact": "+7 916 000-00-01", "channel_type": "widget"}, {"contact_type": "phone", "contact": "+7 916 000-00-55", "channel_type": "agent_app"},
				{"contact_type": "email", "contact": "Extra@Example.com", "channel_type": "agent_app"},
			}
			w.tell(p.crm(kind, m{"contacts": contacts}))
			equal(t, "cards", len(w.amo.Leads())+len(w.amo.Contacts()), 0)
			equal(t, "state", w.last(kind).State, "skipped")

			q := maria()
			w.tell(q.accepted())
			q.Company = "Ромашка"
			contacts = []m{{"contact_type": "phone", "contact": "+7 916 000-00-66", "channel_type": "agent_app"}, {"contact_type": "email", "contact": "Second@Example.com", "channel_type": "agent_app"}}
			w.tell(q.crm(kind, m{"contacts": contacts, "assigned_agent": m{"assigned_agent_id": 1}}))
			c := w.oneContact()
			same(t, "phones", c.Values("PHONE"), []string{"+79160000002", "+79160000066"})
			same(t, "e-mails", c.Values("EMAIL"), []string{"maria@example.com", "second@example.com"})
			equal(t, "company", one(t, "companies", w.amo.Companies()).ID, c.CompanyID)
			equal(t, "leads", len(w.amo.Leads()), 1)

			p.Phone, p.Email = "", ""
			w.tell(p.accepted())
			if n := len(w.amo.Leads()); n != 2 {
				t.Errorf("%d leads: the contacts remembered did not make a chat one", n)
			}
		})
	}
}

// assigned_agent_to_client gives the contact its responsible.
func TestE2E_AssignedAgentIsTheContactsResponsible(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(p.accepted(m{"agent": m{"id": "7", "name": "Седьмой", "email": "seven@example.com"}}))
	equal(t, "responsible", w.oneContact().ResponsibleID, userOwner)
	w.tell(maria().accepted()) // teaches who agent 1 is
	w.tell(p.crm("assigned_agent_to_client", m{"assigned_agent": m{"assigned_agent_id": 1}}))
	equal(t, "responsible", w.contact(w.amo.Contacts()[0].ID).ResponsibleID, userAnna)
}

// changed_client_blacklist: the tag on and off.
func TestE2E_BlacklistTag(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(p.accepted())
	w.manager(w.amo.EditContact(w.oneContact().ID, editOf{Tags: []string{"важный"}}))
	black := m{"agent": m{"agent_id": 1}, "block_datetime_ts": 1677838504, "unblock_datetime_ts": 1709460904, "ip_address": "203.0.113.7"}
	w.tell(p.crm("changed_client_blacklist", m{"blacklist": black}))
	same(t, "tags", w.oneContact().TagNames(), []string{"jivo", "важный", "чёрный список"})
	w.tell(p.crm("changed_client_blacklist"))
	same(t, "tags", w.oneContact().TagNames(), []string{"jivo", "важный"})
	w.tell(p.crm("changed_client_blacklist", m{"blacklist": black}))
	same(t, "tags", w.oneContact().TagNames(), []string{"jivo", "важный", "чёрный список"})
}

// Only tags the bridge added are ever removed.
func TestE2E_ManagersTagIsNeverRemoved(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(p.accepted())
	w.manager(w.amo.EditContact(w.oneContact().ID, editOf{Tags: []string{"чёрный список"}}))
	w.settle()
	w.tell(p.crm("changed_client_blacklist"))
	same(t, "tags", w.oneContact().TagNames(), []string{"jivo", "чёрный список"})
}

// deleted_client: a tag on the linked contact, and the person is forgotten
// locally: nothing of them is left in the API, and a chat starts anew.
func TestE2E_DeletedClient(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(p.accepted(), p.crm("deleted_client"))
	c := w.oneContact()
	if !slices.Contains(c.TagNames(), "удалён в Jivo") {
		t.Errorf("tags: %q", c.TagNames())
	}
	var got struct {
		Name  string
		Links struct {
			ContactID int64 `json:"contact_id"`
			Leads     []any
		}
	}
	if answer := w.raw("GET", w.admin+"/api/v1/clients/shop/2198", ""); answer[:3] != "404" {
		w.api("GET", "/api/v1/clients/shop/2198", "", &got)
		if got.Name != "" || got.Links.ContactID != 0 || len(got.Links.Leads) != 0 {
			t.Errorf("still known: %+v", got)
		}
	}
	// Jivo sends some things twice: the second does not bring the person back.
	w.tell(p.crm("deleted_client"), p.accepted())
	for _, kind := range []string{"deleted_client", "chat_accepted"} {
		if e := w.ended(kind, "skipped", "duplicate"); e.Body != nil && *e.Body != "" {
			t.Errorf("the repeat of %s is kept whole", kind)
		}
	}
	for _, q := range []string{p.Phone, p.Email, p.Name} {
		var found struct{ Events []row }
		w.api("POST", "/api/v1/search", string(jsonOf(m{"q": q})), &found)
		if len(found.Events) != 0 {
			t.Errorf("%d events are found by what was forgotten", len(found.Events))
		}
	}
	p.Chat = 7641
	w.tell(p.accepted())
	w.oneContact() // found again by phone
	w.oneLead()
}

// assigned_status: the contact field "Категория Jivo".
func TestE2E_Category(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	assigned := func(id int, title string) []byte {
		st := m{"title": title, "color": "76869d", "position": 3, "status_id": id, "new_status_id": nil}
		var client m
		unmarshal(t, p.crm("x", m{"status": st}), &client)
		delete(client, "event_name")
		return jsonOf(m{"event_name": "assigned_status", "status": st, "client": client})
	}
	w.tell(p.accepted(), assigned(5, "VIP"))
	equal(t, "category", w.oneContact().Value("Категория Jivo"), "VIP")
	w.tell(assigned(6, "contact_later"))
	equal(t, "category", w.oneContact().Value("Категория Jivo"), "contact_later")
	w.tell(assigned(7, "такого варианта нет"))
	equal(t, "category", w.oneContact().Value("Категория Jivo"), "contact_later")
	r := w.last("assigned_status")
	equal(t, "state", r.State, "done")
	if len(r.Warnings) == 0 {
		t.Error("an option the field lacks made no warning")
	}
}

// chat_assigned: the lead, contact or company in assign_to becomes the link;
// another account's link or none is skipped.
func TestE2E_ChatAssigned(t *testing.T) {
	assign := func(p *person, link string) []byte {
		return p.event("chat_assigned", m{"agent": agentOne, "assign_to": link})
	}
	w := newWorld(t, setup{moved: true})
	p, q := ivan(), maria()
	cid, err := w.amo.CreateContact(cardOf{Edit: editOf{Name: "Давний"}, Phone: "+79169999999"})
	w.manager(err)
	lid, err := w.amo.CreateLead(cardOf{Edit: editOf{Name: "Давняя сделка"}, ContactID: cid, StatusID: stageTalks, PipelineID: pipeSales})
	w.manager(err)
	w.settle()

	w.tell(p.accepted())
	w.tell(assign(p, w.link("leads", lid)))
	w.ended("chat_assigned", "done", "")
	w.tell(p.finished(said(then, "v:Это я, давний", "a:Узнали")))
	equal(t, "transcripts on the assigned lead", len(w.transcripts(lid)), 1)
	equal(t, "stage is not touched", w.lead(lid).StatusID, stageTalks)
	if r := w.post(p.updated()); r.CRMLink != w.link("leads", lid) {
		t.Errorf("crm_link is %q, want the assigned lead", r.CRMLink)
	}

	w.tell(assign(q, w.link("contacts", cid)), q.accepted())
	equal(t, "contacts", len(w.amo.Contacts()), 2) // ivan's own and the assigned one
	holds(t, "phones of the assigned contact", fmt.Sprint(w.contact(cid).Values("PHONE")), "+79160000002")

	for _, bad := range []string{"https://other.amocrm.ru/leads/detail/1", "просто текст", "", w.link("leads", 999), w.link("tasks", 1)} {
		p.Chat++
		w.tell(assign(p, bad))
		if r := w.last("chat_assigned"); r.State != "skipped" {
			t.Errorf("%q is %s, want skipped", bad, r.State)
		}
	}
}

// A company assigned by a link becomes the company of what is made for the
// client.
func TestE2E_ChatAssignedToACompany(t *testing.T) {
	w := newWorld(t, setup{})
	q := maria()
	q.Company = "Ромашка"
	w.tell(q.accepted())
	company := one(t, "companies", w.amo.Companies())
	p := nobody()
	w.tell(p.event("chat_assigned", m{"agent": agentOne, "assign_to": w.link("companies", company.ID)}))
	w.ended("chat_assigned", "done", "")
	p.Phone = "+79160000003"
	w.tell(p.accepted())
	for _, c := range w.amo.Contacts() {
		equal(t, "company of "+c.Name, c.CompanyID, company.ID)
	}
	one(t, "companies", w.amo.Companies())
}

// Dictionaries are kept and used: tags by id, also after a rename and a merge.
func TestE2E_TagsAreWrittenByTheirNewName(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	tag := func(kind string, id int, title string) []byte {
		return jsonOf(m{"event_name": kind, "tag_id": id, "title": title})
	}
	w.tell(tag("created_client_tag", 17, "Опт"), tag("updated_client_tag", 17, "Оптовик"), p.accepted())
	w.tell(p.crm("updated_client", m{"tags": []m{}}), p.crm("updated_client", m{"tags": []m{{"tag_id": 17, "title": "Опт"}}}))
	if tags := w.oneContact().TagNames(); !slices.Contains(tags, "Оптовик") || slices.Contains(tags, "Опт") {
		t.Errorf("tags: %q, want the new name", tags)
	}
	w.tell(jsonOf(m{"event_name": "merged_tag", "tag": m{"tag_id": 30, "title": "Партнёр"}, "merged_tags": []m{{"tag_id": 31, "title": "А"}, {"tag_id": 32, "title": "Б"}}}))
	equal(t, "kind", w.last("merged_client_tag").State, "done")
	w.tell(p.crm("updated_client", m{"tags": []m{{"tag_id": 17, "title": "Опт"}, {"tag_id": 32, "title": "Б"}}}))
	if tags := w.oneContact().TagNames(); !slices.Contains(tags, "Партнёр") || slices.Contains(tags, "Б") {
		t.Errorf("tags: %q, want the merged name", tags)
	}
}

// Every dictionary event is kept; unknown names are kept, counted and skipped,
// and answered ok.
func TestE2E_DictionariesAndUnknownNames(t *testing.T) {
	w := newWorld(t, setup{})
	status := m{"title": "Vno", "color": "0363f6", "position": 6, "status_id": 6, "new_status_id": nil}
	for kind, b := range map[string]m{
		"created_pipeline": nil, "updated_pipeline": nil, "deleted_pipeline": {"pipeline_id": 6}, "created_status": status, "updated_status": status, "deleted_status": status,
		"reordered_status": {"positions": []int{1, 2}}, "changed_require_update_of_status": {"enabled": 1}, "created_client_tag": {"tag_id": 1, "title": "A"},
		"updated_client_tag": {"tag_id": 1, "title": "B"}, "deleted_client_tag": {"tag_id": 1, "title": "B"}, "changed_administrator_only_client_tag": {"enabled": 1},
		"created_organization": {"organization_id": 3},
	} {
		body := m{"event_name": kind}
		if b == nil {
			unmarshal(t, pipelineGruzly("Gruzly"), &body)
			body["event_name"] = kind
		}
		for k, v := range b {
			body[k] = v
		}
		r := w.tell(jsonOf(body))
		equal(t, kind+" is answered", r.Result, "ok")
		equal(t, kind+" is", w.last(kind).State, "done")
	}
	r := w.tell(jsonOf(m{"event_name": "chat_teleported", "chat_id": 1}))
	equal(t, "result", r.Result, "ok")
	w.ended("chat_teleported", "skipped", "unknown_event")
	r = w.tell(jsonOf(m{"chat_id": 1}))
	equal(t, "result", r.Result, "ok")
	equal(t, "without a name", w.events("limit=1&source=jivo")[0].State, "skipped")
	equal(t, "cards", len(w.amo.Leads())+len(w.amo.Contacts()), 0)
}

// A widget that `jivo.channels` does not let in has no effect.
func TestE2E_ChannelsNotLetIn(t *testing.T) {
	w := newWorld(t, setup{jivo: `channels: ["3948"]`})
	w.tell(ivan().accepted(m{"widget_id": 777}))
	equal(t, "state", w.last("chat_accepted").State, "skipped")
	w.tell(maria().accepted(m{"widget_id": 3948}))
	w.oneLead()
}
