package app_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/jivo"
)

// onlyContacts is a rule that makes contacts with their company, and no leads.
const onlyContacts = `rules:
  - name: contacts
    on: [client_updated, chat_accepted]
    contact:
      find: [client, phone]
      create: true
      update: fill
      name: '{{ visitor.name }}'
      phone: '{{ visitor.phone }}'
      company: '{{ organization.name }}'`

// A contact that is made without a lead has its company all the same.
func TestE2E_ContactMadeAloneHasItsCompany(t *testing.T) {
	w := newWorld(t, setup{conn: onlyContacts})
	p := ivan()
	p.Company = "Ромашка"
	w.tell(p.clientUpdated())
	company := one(t, "companies", w.amo.Companies())
	equal(t, "company", company.Name, "Ромашка")
	equal(t, "company of the contact", w.oneContact().CompanyID, company.ID)
	equal(t, "leads", len(w.amo.Leads()), 0)
	if r := w.last("client_updated"); len(r.Warnings) > 0 {
		t.Errorf("warnings: %q", r.Warnings)
	}
	// What is known asks for nothing more, and the next one stands in the same company.
	p.Name = "Иван Сидорович"
	w.tell(p.clientUpdated())
	q := maria()
	q.Company = "ромашка"
	w.tell(q.clientUpdated())
	one(t, "companies", w.amo.Companies())
	for _, c := range w.amo.Contacts() {
		equal(t, "company of "+c.Name, c.CompanyID, company.ID)
	}
}

// So does one whose company an operator chose.
func TestE2E_ContactMadeAloneHasTheAssignedCompany(t *testing.T) {
	w := newWorld(t, setup{conn: onlyContacts})
	q := maria()
	q.Company = "Ромашка"
	w.tell(q.clientUpdated())
	company := one(t, "companies", w.amo.Companies())
	p := ivan()
	w.tell(p.event("chat_assigned", m{"agent": agentOne, "assign_to": w.link("companies", company.ID)}), p.accepted())
	equal(t, "contacts", len(w.amo.Contacts()), 2)
	for _, c := range w.amo.Contacts() {
		equal(t, "company of "+c.Name, c.CompanyID, company.ID)
	}
}

// A contact is deleted in amoCRM while its chat goes on: the one that takes its
// place, made anew or found by phone, is tied to the chat's lead, with its company.
func TestE2E_NewContactIsLinkedToTheFoundLead(t *testing.T) {
	for name, set := range map[string]setup{"told by hook": {}, "without hooks": {noHooks: true, refused: "NotSupportedChoice at"}} {
		for _, found := range []bool{false, true} {
			what := "made anew, "
			if found {
				what = "found by phone, "
			}
			t.Run(what+name, func(t *testing.T) {
				w := newWorld(t, set)
				p := ivan()
				p.Email = ""
				w.tell(p.accepted())
				lead, first := w.oneLead(), w.oneContact()
				w.manager(w.amo.DeleteContact(first.ID))
				other := int64(0)
				if found {
					id, err := w.amo.CreateContact(cardOf{Edit: editOf{Name: "Другой"}, Phone: "+79160000001"})
					w.manager(err)
					other = id
				}
				w.settle()
				ticks(t, 350)                                      // the search knows it by now
				p.Email, p.Company = "ivan@example.com", "Ромашка" // something is to be written
				w.tell(p.updated())
				w.ended("chat_updated", "done", "")
				c := w.oneContact()
				if found {
					equal(t, "contact", c.ID, other)
				}
				l := w.oneLead()
				equal(t, "lead", l.ID, lead.ID)
				if len(l.Contacts) != 1 || l.Contacts[0].ID != c.ID || !l.Contacts[0].Main {
					t.Errorf("the lead has the contacts %v, want %d as its main one", l.Contacts, c.ID)
				}
				equal(t, "company", c.CompanyID, one(t, "companies", w.amo.Companies()).ID)
				// It stays so, and nothing is linked twice.
				p.Email = "second@example.com"
				w.tell(p.updated())
				equal(t, "link requests", w.requested("/link"), 2) // contact to lead, contact to company
				p.Chat = 7660
				w.tell(p.accepted())
				w.oneLead()
			})
		}
	}
}

// requested counts the requests to paths that end so, over all events.
func (w *world) requested(path string) (n int) {
	w.t.Helper()
	for _, e := range w.events("limit=200&source=jivo") {
		for _, r := range w.eventBy(e.Seq).Requests {
			if strings.HasSuffix(r.Path, path) && r.Method == "POST" {
				n++
			}
		}
	}
	return n
}

// A lead that the bridge found without a contact gets the client's; one to which a
// manager gave another contact in place of the client's is left as it is.
func TestE2E_LeadOfAChatGetsItsContactOnce(t *testing.T) {
	w := newWorld(t, setup{moved: true})
	p := ivan()
	w.tell(p.accepted())
	c := w.oneContact()
	bare, err := w.amo.CreateLead(cardOf{Edit: editOf{Name: "Без контакта"}, StatusID: stageTalks, PipelineID: pipeSales})
	w.manager(err)
	w.settle()
	w.tell(p.event("chat_assigned", m{"agent": agentOne, "assign_to": w.link("leads", bare)}))
	p.Email = "later@example.com"
	w.tell(p.updated())
	l := w.lead(bare)
	if len(l.Contacts) != 1 || l.Contacts[0].ID != c.ID {
		t.Fatalf("the assigned lead has the contacts %v, want %d", l.Contacts, c.ID)
	}
	p.Email = "again@example.com"
	w.tell(p.updated())
	equal(t, "link requests", w.requested("/link"), 1)
}

// A deal that waited in vain for its client is a lead without a contact. The chat
// that describes the client comes to that lead, with the contact on it, and opens
// no other; its reply shows it.
func TestE2E_ChatComesToTheBareDealsLead(t *testing.T) {
	w := newWorld(t, setup{conn: "park: 100ms"})
	p := ivan()
	w.tell(pipelineGruzly("Gruzly"), p.deal("created_deal", deal{id: 3, pipeline: 6, stage: 21, title: "Сделка"}))
	w.await("the deal has waited", func() bool { return w.last("created_deal").State == "done" })
	w.settle()
	r := w.tell(p.accepted())
	l := w.oneLead()
	equal(t, "lead", l.Name, "Сделка")
	if len(l.Contacts) != 1 || l.Contacts[0].ID != w.oneContact().ID {
		t.Errorf("the lead has the contacts %v", l.Contacts)
	}
	equal(t, "the operator sees", r.item("Сделка"), "Сделка")
	equal(t, "the deal", w.last("created_deal").State, "done")
	w.tell(p.finished(said(then, "v:Это я", "a:Узнали")))
	equal(t, "transcripts", len(w.transcripts(l.ID)), 1)
	holds(t, "marker", w.oneLead().Value("Jivo ID"), "jv-d3@shop", "jv-k7636@shop")
}

// imports feeds saved webhooks that were received so long ago.
func (w *world) imports(ago time.Duration, bodies ...[]byte) {
	w.t.Helper()
	cfg, problems := config.Parse("e2e.yaml", []byte(w.text), os.LookupEnv, os.ReadFile, config.Vocabulary{Kinds: jivo.Kinds(), Schema: jivo.Schema})
	if problems != nil {
		w.t.Fatal(problems)
	}
	feed := app.NewFeed(w.app.Store(), cfg, cfg.Connections[0])
	for _, b := range bodies {
		got, err := feed.Put(w.t.Context(), app.Saved{Body: b, At: time.Now().Add(-ago)})
		if err != nil || got.Seq == 0 {
			w.t.Fatalf("not taken: %+v, %v", got, err)
		}
	}
	w.settle()
}

// What is imported late tells what happened then: its message and its phone are
// kept, and what it says of the visitor fills what is empty and takes nothing back.
func TestE2E_ImportOfAnOlderMessageTakesNothingBack(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	p.Email = ""
	w.tell(p.accepted())
	old := *p
	old.Name, old.Email, old.Chat = "Прежнее имя", "then@example.com", 7601
	w.imports(time.Hour, old.offline(501, "Перезвоните"), old.event("chat_accepted", m{"agent": agentOne}))
	w.ended("offline_message", "done", "")
	c, l := w.oneContact(), w.oneLead()
	equal(t, "contact", c.Name, p.Name)
	holds(t, "lead", l.Name, p.Name)
	same(t, "e-mails", c.Values("EMAIL"), []string{"then@example.com"})
	if !strings.Contains(strings.Join(w.notes(l.ID, common), " "), "Перезвоните") {
		t.Errorf("the message is not there: %q", w.notes(l.ID, common))
	}
	// What comes next counts as ever.
	p.Name = "Новое имя"
	w.tell(p.updated())
	equal(t, "contact", w.oneContact().Name, "Новое имя")
}

// Nor does it take a lead's name back, which rules may make of the visitor's.
func TestE2E_ImportOfAnOlderChatTakesNoNameBack(t *testing.T) {
	for _, mode := range []string{"fill", "overwrite"} {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t, setup{conn: strings.ReplaceAll(ruleLead, "update: fill", "update: "+mode)})
			p := ivan()
			w.tell(p.accepted())
			old := *p
			old.Name, old.Chat = "Прежнее имя", 7601
			w.imports(time.Hour, old.event("chat_accepted", m{"agent": agentOne}))
			equal(t, "contact", w.oneContact().Name, p.Name)
			equal(t, "lead", w.oneLead().Name, "Чат: "+p.Name)
		})
	}
}
