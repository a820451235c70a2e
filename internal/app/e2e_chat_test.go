package app_test

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// A chat of a visitor with contacts: one contact, one lead with responsible,
// UTM and tag; page and city in one service note at the lead's creation; the
// transcript as a note (product.md §7).
func TestE2E_ChatWithContactsIsContactLeadAndNotes(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	p.Company = "Ромашка"
	w.tell(p.accepted(), p.updated())
	w.tell(p.finished(said(then, "v:Сколько стоит доставка?", "a:Сейчас посмотрю"), m{"chat": m{
		"messages": said(then, "v:Сколько стоит доставка?", "a:Сейчас посмотрю"), "blacklisted": false, "rate": "positive"}}))

	c, l := w.oneContact(), w.oneLead()
	equal(t, "contact's name", c.Name, "Иван Петров")
	same(t, "phones", c.Values("PHONE"), []string{"+79160000001"})
	same(t, "e-mails", c.Values("EMAIL"), []string{"ivan@example.com"})
	equal(t, "contact's marker", c.Value("Jivo ID"), "jv-c2198@shop")
	if !slices.Contains(c.TagNames(), "jivo") {
		t.Errorf("the contact's tags are %q", c.TagNames())
	}
	equal(t, "contact's responsible", c.ResponsibleID, userAnna)
	equal(t, "lead's pipeline", l.PipelineID, pipeSales)
	equal(t, "lead's stage", l.StatusID, stageFirst)
	equal(t, "lead's responsible", l.ResponsibleID, userAnna)
	equal(t, "source", l.Value("UTM_SOURCE"), "google")
	equal(t, "medium", l.Value("UTM_MEDIUM"), "cpc")
	equal(t, "campaign", l.Value("UTM_CAMPAIGN"), "osen 2026")
	same(t, "lead's marker", strings.Fields(l.Value("Jivo ID")), []string{"jv-c2198@shop", "jv-k7636@shop"})
	same(t, "lead's tags", l.TagNames(), []string{"jivo"})
	if len(l.Contacts) != 1 || l.Contacts[0].ID != c.ID {
		t.Errorf("the lead's contacts are %v, want %d", l.Contacts, c.ID)
	}
	company := one(t, "companies", w.amo.Companies())
	equal(t, "company", company.Name, "Ромашка")

	notes := w.amo.Notes(l.ID)
	if len(notes) != 2 {
		t.Fatalf("%d notes instead of the origin and the transcript: %v", len(notes), notes)
	}
	holds(t, "origin note", notes[0].Text(), catalog, "Казань", "google")
	text := one(t, "transcripts", w.transcripts(l.ID))
	holds(t, "transcript", text, "14:40", "Иван Петров", "Сколько стоит доставка?", "Агент Первый", "Сейчас посмотрю", "хорошо")
	for _, n := range notes {
		if n.Trigger || n.CreatedBy != 0 {
			t.Errorf("note %d triggers the digital pipeline (%v) or has the author %d", n.ID, n.Trigger, n.CreatedBy)
		}
	}
	n := notes[slices.IndexFunc(notes, func(n noteOf) bool { return strings.Contains(n.Text(), "доставка") })]
	equal(t, "type", n.Type, service)
	equal(t, "service", n.Params["service"].(string), "Jivo")
	equal(t, "tasks", len(w.amo.Tasks()), 0)
}

// A new phone or e-mail is added beside the old.
func TestE2E_NewPhoneAndEmailStandBesideTheOld(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(p.accepted())
	p.Phone, p.Email = "+79160000099", "second@example.com"
	w.tell(p.updated())
	c := w.oneContact()
	same(t, "phones", c.Values("PHONE"), []string{"+79160000001", "+79160000099"})
	same(t, "e-mails", c.Values("EMAIL"), []string{"ivan@example.com", "second@example.com"})
	w.oneLead()
}

// An anonymous visitor leaves nothing in amoCRM; when a contact comes, the lead
// takes the earliest held touch's UTM and held transcripts become notes.
func TestE2E_AnonymousIsHeldWithFirstTouchAndTranscripts(t *testing.T) {
	w := newWorld(t, setup{})
	p := nobody()
	p.Source = "telegram"
	w.tell(p.accepted())
	w.ended("chat_accepted", "skipped", "anonymous")
	w.tell(p.finished(said(then, "v:А у вас есть диваны?", "a:Есть")))
	w.ended("chat_finished", "skipped", "anonymous")
	if n := len(w.amo.Leads()) + len(w.amo.Contacts()); n != 0 {
		t.Fatalf("%d cards for somebody anonymous", n)
	}

	p.Chat, p.Source = 7801, "google"
	w.tell(p.accepted())
	p.Phone = "+79160000003"
	w.tell(p.updated(), p.finished(said(then.Add(time.Hour), "v:Беру", "a:Отлично")))
	l := w.oneLead()
	equal(t, "source", l.Value("UTM_SOURCE"), "telegram")
	texts := w.transcripts(l.ID)
	if len(texts) != 2 {
		t.Fatalf("%d transcripts instead of the held one and the new one: %q", len(texts), texts)
	}
	holds(t, "transcripts", strings.Join(texts, "\n"), "А у вас есть диваны?", "Беру")
	same(t, "phones", w.oneContact().Values("PHONE"), []string{"+79160000003"})
}

// `anonymous: lead` makes a lead at once, `anonymous: ignore` holds nothing.
func TestE2E_AnonymousLead(t *testing.T) {
	w := newWorld(t, setup{conn: "anonymous: lead"})
	p := nobody()
	w.tell(p.accepted(), p.finished(said(then, "v:Здравствуйте", "a:Добрый день")))
	l := w.oneLead()
	equal(t, "source", l.Value("UTM_SOURCE"), "google")
	holds(t, "transcript", one(t, "transcripts", w.transcripts(l.ID)), "Здравствуйте")
	p.Phone = "+79160000003"
	w.tell(p.updated())
	w.oneLead()
	c := w.oneContact()
	same(t, "phones", c.Values("PHONE"), []string{"+79160000003"})
}

func TestE2E_AnonymousIgnored(t *testing.T) {
	w := newWorld(t, setup{conn: "anonymous: ignore"})
	p := nobody()
	w.tell(p.accepted(), p.finished(said(then, "v:Здравствуйте")))
	w.ended("chat_finished", "skipped", "anonymous")
	p.Phone, p.Chat = "+79160000003", 7802
	w.tell(p.accepted())
	if got := w.transcripts(w.oneLead().ID); len(got) != 0 {
		t.Errorf("held all the same: %q", got)
	}
}

// A missed chat_accepted still becomes a lead, unless blacklisted; finished
// again: only the new messages; no note without a visitor's message.
func TestE2E_FinishedChatAlone(t *testing.T) {
	w := newWorld(t, setup{})
	p, q := ivan(), maria()
	w.tell(q.finished(said(then, "v:спам"), m{"chat": m{"messages": said(then, "v:спам"), "blacklisted": true}}))
	if n := len(w.amo.Leads()); n != 0 {
		t.Fatalf("%d leads of a blacklisted chat", n)
	}
	w.tell(p.finished(said(then, "v:Первое", "a:Ответ")))
	l := w.oneLead()
	again := append(said(then, "v:Первое", "a:Ответ"), said(then.Add(time.Minute), "v:Второе", "a:Ещё ответ")...)
	w.tell(p.finished(again))
	texts := w.transcripts(l.ID)
	if len(texts) != 2 {
		t.Fatalf("transcripts: %q", texts)
	}
	holds(t, "second transcript", texts[1], "Второе", "Ещё ответ")
	if strings.Contains(texts[1], "Первое") {
		t.Errorf("the second transcript repeats the first: %q", texts[1])
	}
	// Nobody wrote: no note, but a lead's chat all the same.
	p.Chat = 7637
	w.tell(p.finished(said(then.Add(time.Hour), "a:Вы тут?")))
	equal(t, "transcripts", len(w.transcripts(l.ID)), 2)
	w.oneLead()
}

// A chat without messages falls back to plain_messages; HTML is never pasted.
func TestE2E_PlainMessagesAreTheFallBack(t *testing.T) {
	w := newWorld(t, setup{})
	w.tell(ivan().finished(nil, m{"plain_messages": "Посетитель: привет\nОператор: здравствуйте", "html_messages": "<b>привет</b>"}))
	text := one(t, "transcripts", w.transcripts(w.oneLead().ID))
	holds(t, "transcript", text, "Посетитель: привет")
	if strings.Contains(text, "<b>") {
		t.Errorf("HTML was pasted: %q", text)
	}
}

// offline_message: contact, lead, note with the text, task for the responsible,
// once while one is open.
func TestE2E_OfflineMessageIsANoteAndATask(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(p.offline(1, "Перезвоните мне", m{"assigned_agent": m{"id": 1, "email": "agent1@gmail.com", "name": "Агент"}}))
	l := w.oneLead()
	if !slices.Contains(w.notes(l.ID, common), "Перезвоните мне") {
		t.Errorf("notes: %q", w.notes(l.ID, common))
	}
	task := one(t, "tasks", w.amo.Tasks())
	equal(t, "task's responsible", task.ResponsibleID, userAnna)
	equal(t, "task's lead", task.EntityID, l.ID)
	equal(t, "task's text", task.Text, "Ответить на обращение")
	if d := time.Until(time.Unix(task.CompleteTill, 0)); d < 50*time.Minute || d > 61*time.Minute {
		t.Errorf("the task is due in %s, want an hour", d)
	}
	p.Chat = 7640
	w.tell(p.offline(2, "Ещё раз"))
	equal(t, "tasks", len(w.amo.Tasks()), 1)
	w.manager(w.amo.CompleteTask(task.ID, "перезвонили"))
	p.Chat = 7641
	w.tell(p.offline(3, "И ещё"))
	equal(t, "tasks", len(w.amo.Tasks()), 2)
	w.oneLead()
}

// A chat after the lead was won or lost opens a new lead of the same contact;
// chat_updated and chat_finished of the old chat still hit the closed one.
func TestE2E_ChatAfterAClosedLeadOpensANewOne(t *testing.T) {
	for name, closeLead := range map[string]func(w *world, id int64) error{
		"won":  func(w *world, id int64) error { return w.amo.MoveLead(id, 142, 0) },
		"lost": func(w *world, id int64) error { return w.amo.LoseLead(id, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{})
			p := ivan()
			w.tell(p.accepted())
			first := w.oneLead()
			w.manager(closeLead(w, first.ID))
			w.tell(p.updated(), p.finished(said(then, "v:Спасибо", "a:И вам")))
			w.oneLead()
			holds(t, "transcript on the closed lead", strings.Join(w.transcripts(first.ID), ""), "Спасибо")

			p.Chat = 7639
			w.tell(p.accepted())
			leads := w.amo.Leads()
			if len(leads) != 2 {
				t.Fatalf("%d leads, want the closed one and a new one", len(leads))
			}
			equal(t, "new lead's stage", leads[1].StatusID, stageFirst)
			equal(t, "the same contact", leads[1].Contacts[0].ID, w.oneContact().ID)
		})
	}
}

// A second chat of a client goes to their open lead; a manager's values are not
// overwritten under fill, and a found lead is never moved.
func TestE2E_ManagersValuesStandUnderFill(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(p.accepted())
	l := w.oneLead()
	w.manager(w.amo.EditLead(l.ID, editOf{Name: "Кухня на заказ", Fields: map[string][]string{"UTM_SOURCE": {"выставка"}}}))
	w.manager(w.amo.MoveLead(l.ID, stageTalks, 0))
	w.manager(w.amo.SetResponsible(l.ID, userOwner))
	w.manager(w.amo.EditContact(w.oneContact().ID, editOf{Name: "Пётр Иванович"}))
	w.settle()
	p.Chat, p.Name, p.Source = 7650, "Ваня", "yandex"
	w.tell(p.accepted(), p.finished(said(then, "v:Это снова я", "a:Рады")))
	l = w.oneLead()
	equal(t, "name", l.Name, "Кухня на заказ")
	equal(t, "stage", l.StatusID, stageTalks)
	equal(t, "responsible", l.ResponsibleID, userOwner)
	equal(t, "source", l.Value("UTM_SOURCE"), "выставка")
	equal(t, "contact's name", w.oneContact().Name, "Пётр Иванович")
	holds(t, "marker", l.Value("Jivo ID"), "jv-k7636@shop", "jv-k7650@shop")
}
