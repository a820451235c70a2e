package app_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator"
)

// at posts bodies side by side.
func (w *world) atOnce(bodies ...[]byte) {
	var wg sync.WaitGroup
	for _, b := range bodies {
		wg.Go(func() {
			if got := w.raw("POST", w.pub+"/jivo/"+e2eName+"/"+e2eSecret, string(b)); !strings.HasPrefix(got, "200 ") {
				w.t.Errorf("answered %s", got)
			}
		})
	}
	wg.Wait()
	w.settle()
}

// The same event fifty times at once has one effect; so has every kind of event
// a second time.
func TestE2E_RepeatsHaveOneEffect(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.atOnce(slices.Repeat([][]byte{p.accepted()}, 50)...)
	w.oneLead()
	w.oneContact()
	for _, b := range [][]byte{
		p.finished(said(then, "v:Вопрос", "a:Ответ")), p.offline(77, "Письмо"), p.call("incoming", "end", m{"record_url": "https://records.example/1.mp3"}),
		p.deal("created_deal", deal{id: 3, pipeline: 6, stage: 21, title: "Сделка", text: "Текст"}), p.crm("created_client"),
	} {
		w.atOnce(slices.Repeat([][]byte{b}, 5)...)
	}
	l := w.oneLead()
	equal(t, "notes", len(w.amo.Notes(l.ID)), 5) // origin, transcript, message, call, deal's text
	equal(t, "tasks", len(w.amo.Tasks()), 1)
	equal(t, "repeats", len(w.events("source=jivo&state=skipped&limit=500")), 49+5*4)
}

// A state that returns (X→Y→X) is no repeat.
func TestE2E_StateThatReturnsIsNoRepeat(t *testing.T) {
	w := newWorld(t, setup{conn: `deals: {stages: {"23": {pipeline: Продажи, stage: Переговоры}, "21": {pipeline: Продажи, stage: Первичный контакт}}}`})
	p := ivan()
	x, y := deal{id: 3, pipeline: 6, stage: 21, title: "Сделка"}, deal{id: 3, pipeline: 6, stage: 23, title: "Сделка"}
	w.tell(p.accepted(), p.deal("updated_deal", x), p.deal("updated_deal", y))
	equal(t, "stage", w.oneLead().StatusID, stageTalks)
	w.tell(p.deal("updated_deal", x))
	equal(t, "stage", w.oneLead().StatusID, stageFirst)
	w.tell(p.deal("updated_deal", y), p.deal("updated_deal", y))
	equal(t, "stage", w.oneLead().StatusID, stageTalks)
	w.ended("updated_deal", "skipped", "duplicate")
}

// chat_accepted is a repeat for the same chat and agent until the chat has
// finished; a repeat is answered with today's card.
func TestE2E_RepeatedAcceptIsAnsweredWithTodaysCard(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(p.accepted())
	w.manager(w.amo.MoveLead(w.oneLead().ID, stageTalks, 0))
	r := w.tell(p.accepted())
	holds(t, "stage", r.item("Этап"), "Переговоры")
	w.ended("chat_accepted", "skipped", "duplicate")
	w.tell(p.accepted(m{"agent": m{"id": "3", "name": "Третий", "email": "agent3@gmail.com"}}))
	w.ended("chat_accepted", "done", "")
	w.tell(p.finished(said(then, "v:Пока")), p.accepted())
	w.ended("chat_accepted", "done", "")
	w.oneLead()
}

// Two unknown clients with one phone at once: one contact; both are linked.
func TestE2E_TwoClientsOnePhoneAtOnce(t *testing.T) {
	w := newWorld(t, setup{})
	p, q := ivan(), maria()
	p.Email, q.Email, q.Phone = "", "", "8 916 0000001"
	w.atOnce(p.accepted(), q.accepted())
	c := w.oneContact()
	same(t, "phones", c.Values("PHONE"), []string{"+79160000001"})
	same(t, "marker", strings.Fields(c.Value("Jivo ID")), []string{"jv-c2198@shop", "jv-c2199@shop"})
	w.oneLead()
}

// The same with e-mails, and many at once.
func TestE2E_ManyClientsOneEmailAtOnce(t *testing.T) {
	w := newWorld(t, setup{})
	var all [][]byte
	for i := range 12 {
		p := &person{Number: 3000 + i, Name: "Клиент", Email: "Office@Example.com", Chat: 9000 + i, Source: "google"}
		all = append(all, p.accepted())
	}
	w.atOnce(all...)
	same(t, "e-mails", w.oneContact().Values("EMAIL"), []string{"office@example.com"})
	w.oneLead()
}

// Several contacts with one phone: the one with the same marker, else with an
// open lead, else the latest updated, else the lowest id; with a warning.
func TestE2E_AmbiguousContacts(t *testing.T) {
	p := ivan()
	p.Email = ""
	contact := func(w *world, name string) int64 {
		id, err := w.amo.CreateContact(cardOf{Edit: editOf{Name: name}, Phone: p.Phone})
		w.manager(err)
		return id
	}
	chosen := func(w *world, want int64) {
		w.t.Helper()
		w.settle()
		w.tell(p.accepted())
		r := w.last("chat_accepted")
		if r.Contact == nil || r.Contact.ID != want {
			w.t.Errorf("chose %+v, want %d", r.Contact, want)
		}
		w.warned(r, "ambiguous_contact")
		if r.Contact != nil && r.Contact.Why == "" {
			w.t.Error("why is not told")
		}
	}
	t.Run("marker", func(t *testing.T) {
		w := newWorld(t, setup{})
		a, b := contact(w, "А"), contact(w, "Б")
		w.manager(w.amo.EditContact(a, editOf{Fields: map[string][]string{"Jivo ID": {"jv-c2198@shop"}}}))
		_, err := w.amo.CreateLead(cardOf{Edit: editOf{Name: "Открытая"}, ContactID: b})
		w.manager(err)
		chosen(w, a)
	})
	t.Run("open lead", func(t *testing.T) {
		w := newWorld(t, setup{})
		a, b, c := contact(w, "А"), contact(w, "Б"), contact(w, "В")
		_, err := w.amo.CreateLead(cardOf{Edit: editOf{Name: "Открытая"}, ContactID: b})
		w.manager(err)
		_, err = w.amo.CreateLead(cardOf{Edit: editOf{Name: "Закрытая"}, ContactID: a, StatusID: 142, PipelineID: pipeSales})
		w.manager(err)
		_ = c
		chosen(w, b)
		equal(t, "leads", len(w.amo.Leads()), 2) // the open one was taken
	})
	t.Run("latest updated", func(t *testing.T) {
		w := newWorld(t, setup{})
		a, b := contact(w, "А"), contact(w, "Б")
		ticks(t, 1100)
		w.manager(w.amo.EditContact(a, editOf{Name: "А, новее"}))
		_ = b
		chosen(w, a)
	})
	t.Run("lowest id", func(t *testing.T) {
		w := newWorld(t, setup{amo: stillClock()})
		a, b := contact(w, "А"), contact(w, "Б")
		_ = b
		chosen(w, a)
	})
}

// Phone and e-mail pointing at two contacts: the phone's wins and the e-mail is
// not added.
func TestE2E_PhoneAndEmailOfTwoContacts(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	a, err := w.amo.CreateContact(cardOf{Edit: editOf{Name: "С почтой"}, Email: "Ivan@example.com"})
	w.manager(err)
	b, err := w.amo.CreateContact(cardOf{Edit: editOf{Name: "С телефоном"}, Phone: "8(916)0000001"})
	w.manager(err)
	w.settle()
	w.tell(p.accepted())
	equal(t, "contacts", len(w.amo.Contacts()), 2)
	equal(t, "lead's contact", w.oneLead().Contacts[0].ID, b)
	same(t, "phones", w.contact(b).Values("PHONE"), []string{"8(916)0000001"})
	equal(t, "e-mails of the phone's", len(w.contact(b).Values("EMAIL")), 0)
	same(t, "e-mails of the other", w.contact(a).Values("EMAIL"), []string{"Ivan@example.com"})
}

// A search's false positive (the digits stand in another field) is no hit.
func TestE2E_FalsePositiveOfTheSearch(t *testing.T) {
	w := newWorld(t, setup{amocrm: "contacts_sync: off"})
	id, err := w.amo.CreateContact(cardOf{Edit: editOf{Name: "Чужой", Fields: map[string][]string{"Заметка": {"звонил 9160000001, ivan@example.com"}}}})
	w.manager(err)
	w.settle()
	ticks(t, 350) // the search knows it now
	w.tell(ivan().accepted())
	equal(t, "contacts", len(w.amo.Contacts()), 2)
	equal(t, "leads of the stranger", len(w.contact(id).Leads), 0)
}

// A contact that stood there before the bridge came is found by search, however
// its phone is written, with and without the directory's sync.
func TestE2E_ContactFromBeforeIsFound(t *testing.T) {
	for _, sync := range []string{"auto", "off"} {
		t.Run(sync, func(t *testing.T) {
			w := newWorld(t, setup{amocrm: "contacts_sync: " + sync, noHooks: true})
			id, err := w.amo.CreateContact(cardOf{Edit: editOf{Name: "Прежний"}, Phone: "8-916-000-00-01"})
			w.manager(err)
			ticks(t, 350)
			w.tell(ivan().accepted())
			equal(t, "contact", w.oneContact().ID, id)
			same(t, "e-mails", w.oneContact().Values("EMAIL"), []string{"ivan@example.com"})
		})
	}
}

// Several open leads: the newest; closed ones do not count, unsorted ones do.
func TestE2E_SeveralLeads(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	cid, err := w.amo.CreateContact(cardOf{Edit: editOf{Name: "Иван"}, Phone: p.Phone})
	w.manager(err)
	make := func(name string, status int64) int64 {
		id, err := w.amo.CreateLead(cardOf{Edit: editOf{Name: name}, ContactID: cid, StatusID: status, PipelineID: pipeSales})
		w.manager(err)
		return id
	}
	make("Первая", stageFirst)
	second := make("Вторая", stageTalks)
	make("Выигранная", 142)
	w.settle()
	w.tell(p.accepted())
	equal(t, "leads", len(w.amo.Leads()), 3)
	holds(t, "marker", w.lead(second).Value("Jivo ID"), "jv-k7636@shop")
	equal(t, "stage", w.lead(second).StatusID, stageTalks)
	if r := w.last("chat_accepted"); r.Lead == nil || r.Lead.ID != second || r.Lead.Why == "" {
		t.Errorf("lead matching: %+v", r.Lead)
	}
}

// A lead deleted in amoCRM: the next chat opens a new one; so it does without
// any hook.
func TestE2E_DeletedLeadsNextChatOpensANewOne(t *testing.T) {
	for name, set := range map[string]setup{"by hook": {}, "without hooks": {noHooks: true, refused: "NotSupportedChoice at"}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, set)
			p := ivan()
			w.tell(p.accepted())
			first := w.oneLead()
			w.manager(w.amo.DeleteLead(first.ID))
			w.settle()
			w.tell(p.finished(said(then, "v:Вы там?", "a:Да")))
			p.Chat = 7650
			r := w.tell(p.accepted())
			l := w.oneLead()
			if l.ID == first.ID {
				t.Fatal("the deleted lead is back")
			}
			if set.noHooks {
				return // its first reply could not know
			}
			equal(t, "link", r.CRMLink, w.link("leads", l.ID))
		})
	}
}

// A contact deleted or merged away in amoCRM: the next chat writes to the
// survivor, or makes a new one.
func TestE2E_DeletedAndMergedContacts(t *testing.T) {
	for name, set := range map[string]setup{"by hook": {}, "without hooks": {noHooks: true, refused: "NotSupportedChoice at"}} {
		t.Run("deleted "+name, func(t *testing.T) {
			w := newWorld(t, set)
			p := ivan()
			w.tell(p.accepted())
			first := w.oneContact()
			w.manager(w.amo.DeleteContact(first.ID))
			w.settle()
			p.Chat, p.Phone = 7651, "+79160000077"
			w.tell(p.accepted(), p.updated())
			c := w.oneContact()
			if c.ID == first.ID {
				t.Fatal("the deleted contact is back")
			}
			if !slices.Contains(c.Values("PHONE"), "+79160000077") {
				t.Errorf("phones: %q", c.Values("PHONE"))
			}
		})
		t.Run("merged "+name, func(t *testing.T) {
			w := newWorld(t, set)
			p := ivan()
			w.tell(p.accepted())
			lead, lose := w.oneLead(), w.oneContact()
			win, err := w.amo.CreateContact(cardOf{Edit: editOf{Name: "Оставшийся"}, Phone: "+79161111111"})
			w.manager(err)
			w.manager(w.amo.MergeContacts(win, lose.ID))
			w.settle()
			ticks(t, 350)
			p.Chat = 7652
			w.tell(p.accepted(), p.finished(said(then, "v:Я", "a:Да")))
			c := w.oneContact()
			equal(t, "the survivor", c.ID, win)
			equal(t, "lead", w.oneLead().ID, lead.ID)
			equal(t, "transcripts", len(w.transcripts(lead.ID)), 1)
			p.Email = "later@example.com"
			w.tell(p.updated())
			if !slices.Contains(w.oneContact().Values("EMAIL"), "later@example.com") {
				t.Errorf("e-mails: %q", w.oneContact().Values("EMAIL"))
			}
		})
	}
}

// A restored lead is found again by its chat's contact.
func TestE2E_RestoredLead(t *testing.T) {
	w := newWorld(t, setup{moved: true})
	p := ivan()
	w.tell(p.accepted())
	l := w.oneLead()
	w.manager(w.amo.DeleteLead(l.ID))
	w.settle()
	w.manager(w.amo.RestoreLead(l.ID))
	w.settle()
	ticks(t, 10)
	p.Chat = 7655
	w.tell(p.accepted())
	equal(t, "lead", w.oneLead().Name, l.Name)
}

// Two connections of one account share directory and budget: a client of each
// with one phone is one contact.
func TestE2E_PhoneInManyForms(t *testing.T) {
	w := newWorld(t, setup{})
	for i, form := range []string{"+7 916 000 00 01", "89160000001", "8(916)000-00-01", "79160000001", "+7-916-000-00-01"} {
		p := &person{Number: 4000 + i, Name: "Иван", Phone: form, Chat: 9500 + i, Source: "google"}
		w.tell(p.accepted())
	}
	same(t, "phones", w.oneContact().Values("PHONE"), []string{"+79160000001"})
	w.oneLead()
}

// A number that is none anywhere is written softly and never lost.
func TestE2E_OddPhone(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	p.Phone, p.Email = "+458745457845", ""
	w.tell(p.accepted())
	same(t, "phones", w.oneContact().Values("PHONE"), []string{"+458745457845"})
}

// A lead found among the contact's is known whole from then on, also where no
// hook tells of the bridge's own write.
func TestE2E_FoundLeadHasItsCardWithoutHooks(t *testing.T) {
	w := newWorld(t, setup{noHooks: true, amo: emulator.Options{IndexLag: time.Nanosecond}})
	p := ivan()
	cid, err := w.amo.CreateContact(cardOf{Edit: editOf{Name: "Иван"}, Phone: p.Phone})
	w.manager(err)
	lid, err := w.amo.CreateLead(cardOf{Edit: editOf{Name: "Рукой"}, ContactID: cid, StatusID: stageTalks, PipelineID: pipeSales})
	w.manager(err)
	w.tell(p.accepted())
	r := w.tell(p.updated())
	equal(t, "crm_link", r.CRMLink, w.link("leads", lid))
	equal(t, "Сделка", r.item("Сделка"), "Рукой")
	equal(t, "Этап", r.item("Этап"), "Продажи → Переговоры")
	p.Chat = 7640
	w.tell(p.accepted())
	holds(t, "marker", w.oneLead().Value("Jivo ID"), "jv-k7640@shop")
}

// A company with the visitor's phone is no contact, though its hooks come under
// `contacts` too.
func TestE2E_CompanyIsNoContact(t *testing.T) {
	w := newWorld(t, setup{})
	body := "contacts[add][0][id]=8800001&contacts[add][0][name]=Ромашка&contacts[add][0][type]=company&contacts[add][0][account_id]=31000001" +
		"&contacts[add][0][custom_fields][0][id]=151&contacts[add][0][custom_fields][0][code]=PHONE&contacts[add][0][custom_fields][0][values][0][value]=%2B79160000001" +
		"&contacts[add][0][custom_fields][0][values][0][enum]=11&contacts[add][0][last_modified]=1795000300&account[id]=31000001"
	equal(t, "answer", w.raw("POST", w.hookURL(), body, "Content-Type", "application/x-www-form-urlencoded"), "200 ")
	w.settle()
	w.tell(ivan().accepted())
	equal(t, "lead's contact", w.oneLead().Contacts[0].ID, w.oneContact().ID)
}

// Links, cards and what is pending survive a restart.
func TestE2E_RestartKeepsEverything(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(p.accepted(), maria().task("created_task", 2, 0, "Позвонить", then))
	w.closeBridge()
	w.start()
	r := w.post(p.updated())
	equal(t, "crm_link", r.CRMLink, w.link("leads", w.oneLead().ID))
	w.tell(p.accepted(), p.finished(said(then, "v:Да")), maria().accepted())
	equal(t, "leads", len(w.amo.Leads()), 2)
	equal(t, "the parked task", len(w.amo.Tasks()), 1)
	equal(t, "chat_accepted told again", w.eventOf("chat_accepted", "2198").State, "skipped")
}
