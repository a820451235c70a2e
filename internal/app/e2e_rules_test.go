package app_test

import (
	"slices"
	"strings"
	"testing"
)

// fieldsRule writes one lead field of each type from the visitor's page.
const fieldsRule = `rules:
  - name: everything
    on: [chat_accepted, chat_updated]
    contact:
      find: [client, phone, email]
      create: true
      name: '{{ visitor.name }}'
      phone: '{{ visitor.phone }}'
    lead:
      find: [chat, open]
      create: true
      update: %UPDATE%
      name: 'Чат: {{ visitor.name }}'
      price: '{{ attributes.price ?? "1 200,00" }}'
      fields:
        Тип клиента: '{{ topic.title }}'
        Количество: '{{ department.name }}'
        Доставка: '{{ extra.delivery }}'
        Дата встречи: '{{ extra.meeting }}'
        Оплата: '{{ extra.pay }}'
        Интересы: '{{ extra.interests }}'
        Сайт: '{{ page.url }}'
        "1317": 'из {{ session.geoip.city }}'
        UTM_TERM: '{{ lookup("sites", widget_id) }}'
        Такого поля нет: 'x'
`

// Custom rules write fields of every type, by name, code and id; a value amoCRM
// would refuse is dropped with a warning and the lead goes through.
func TestE2E_FieldsOfEveryType(t *testing.T) {
	rule := "tables: {sites: {\"3948\": Главный сайт}}\n" + strings.ReplaceAll(fieldsRule, "%UPDATE%", "fill")
	t.Run("good values", func(t *testing.T) {
		w := newWorld(t, setup{conn: rule})
		w.tell(ivan().accepted(m{"topic": m{"title": "Опт"}, "department": m{"name": "12,5"}, "delivery": "да", "meeting": "2026-12-24", "pay": "Карта", "interests": "Свет, Мебель"}))
		l := w.oneLead()
		equal(t, "price", l.Price, 1200.0)
		for name, want := range map[string]string{
			"Тип клиента": "Опт", "Количество": "12.5", "Доставка": "1", "Оплата": "Карта", "Сайт": catalog, "Комментарий": "из Казань", "UTM_TERM": "Главный сайт",
		} {
			equal(t, name, l.Value(name), want)
		}
		same(t, "Интересы", l.Values("Интересы"), []string{"Мебель", "Свет"})
		if l.Value("Дата встречи") == "" {
			t.Error("no date")
		}
		w.warned(w.last("chat_accepted"), "Такого поля нет")
	})
	t.Run("bad values", func(t *testing.T) {
		w := newWorld(t, setup{conn: rule})
		w.tell(ivan().accepted(m{"topic": m{"title": "Неведомый"}, "department": m{"name": "много"}, "delivery": "может быть", "meeting": "вчера", "pay": "Бартер", "interests": "Небо, Свет",
			"page": m{"url": "https://shop.example/" + strings.Repeat("a", 4000)}}))
		l, r := w.oneLead(), w.last("chat_accepted")
		for _, name := range []string{"Тип клиента", "Количество", "Дата встречи", "Оплата"} {
			equal(t, name, l.Value(name), "")
			w.warned(r, name)
		}
		equal(t, "Комментарий", l.Value("Комментарий"), "из Казань")
		equal(t, "state", r.State, "done")
	})
}

// Unknown names of stage, pipeline and user: the nearest sane default with a
// warning, and the lead goes through.
func TestE2E_UnknownNamesOfRules(t *testing.T) {
	for _, c := range []struct {
		name, lines  string
		pipeline, at int64
		user         int64
		warn         string
	}{
		{"as named", "pipeline: Опт\n      stage: Согласование\n      responsible: owner@example.com", pipeBulk, stageBulkAgreed, userOwner, ""},
		{"by ids", "pipeline: \"700002\"\n      stage: \"70000013\"", pipeBulk, stageBulkAgreed, 0, ""},
		{"won", "stage: won", pipeSales, 142, 0, ""},
		{"lost with a reason", "stage: lost\n      loss_reason: Слишком дорого", pipeSales, 143, 0, ""},
		{"stage unknown", "pipeline: Опт\n      stage: Нет такого", pipeBulk, stageBulkFirst, 0, "Нет такого"},
		{"pipeline unknown", "pipeline: Нет такой\n      stage: Переговоры", pipeSales, stageTalks, 0, "Нет такой"},
		{"both unknown", "pipeline: Нет такой\n      stage: Никакой", pipeSales, stageFirst, 0, "Нет такой"},
		{"user unknown", "responsible: ghost@example.com", pipeSales, stageFirst, 0, "responsible"},
		{"user switched off", "responsible: victor@example.com", pipeSales, stageFirst, 0, "responsible"},
		{"user by name", "responsible: Олег Владельцев", pipeSales, stageFirst, userOwner, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, setup{keepAgents: true, conn: "rules:\n  - name: r\n    on: [chat_accepted]\n    contact: {find: [phone], create: true, phone: '{{ visitor.phone }}'}\n    lead:\n      find: [open]\n      create: true\n      name: Сделка\n      " + c.lines})
			w.tell(ivan().accepted())
			l, r := w.oneLead(), w.last("chat_accepted")
			equal(t, "pipeline", l.PipelineID, c.pipeline)
			equal(t, "stage", l.StatusID, c.at)
			if c.user != 0 {
				equal(t, "responsible", l.ResponsibleID, c.user)
			}
			if c.warn != "" {
				w.warned(r, c.warn)
			} else if len(r.Warnings) > 0 {
				t.Errorf("warnings: %q", r.Warnings)
			}
			equal(t, "state", r.State, "done")
		})
	}
}

// fill, overwrite and never.
func TestE2E_UpdateModes(t *testing.T) {
	rule := func(mode string) string {
		return "rules:\n  - name: r\n    on: [chat_accepted]\n    contact: {find: [client, phone], create: true, update: " + mode + ", name: '{{ visitor.name }}', phone: '{{ visitor.phone }}'}\n" +
			"    lead: {find: [open], create: true, update: " + mode + ", name: '{{ visitor.name }} хочет', price: '{{ visitor.chats_count }}', stage: Первичный контакт, responsible: anna@example.com, fields: {Комментарий: '{{ page.url }}', Город: '{{ session.geoip.city }}'}}"
	}
	for _, c := range []struct {
		mode, name, comment, city string
		stage, user               int64
		price                     float64
	}{
		{"fill", "Менеджер назвал", "менеджер", "Казань", stageTalks, userOwner, 7},
		{"overwrite", "Пётр хочет", "https://other.example/", "Казань", stageFirst, userAnna, 2},
		{"never", "Менеджер назвал", "менеджер", "", stageTalks, userOwner, 7},
	} {
		t.Run(c.mode, func(t *testing.T) {
			w := newWorld(t, setup{conn: rule(c.mode)})
			p := ivan()
			w.tell(p.accepted())
			l := w.oneLead()
			price := 7.0
			w.manager(w.amo.EditLead(l.ID, editOf{Name: "Менеджер назвал", Price: &price, Fields: map[string][]string{"Комментарий": {"менеджер"}, "Город": {}}}))
			w.manager(w.amo.MoveLead(l.ID, stageTalks, 0))
			w.manager(w.amo.SetResponsible(l.ID, userOwner))
			ticks(t, 1100) // another second: the hook is newer than our own write
			w.manager(w.amo.EditLead(l.ID, editOf{Tags: []string{"горячий"}}))
			w.settle()
			p.Chat, p.Name = 7640, "Пётр"
			w.tell(p.accepted(m{"page": m{"url": "https://other.example/"}, "visitor": m{"number": 2198, "name": "Пётр", "phone": p.Phone, "chats_count": 2}}))
			l = w.oneLead()
			equal(t, "name", l.Name, c.name)
			equal(t, "comment", l.Value("Комментарий"), c.comment)
			equal(t, "city", l.Value("Город"), c.city)
			equal(t, "stage", l.StatusID, c.stage)
			equal(t, "responsible", l.ResponsibleID, c.user)
			equal(t, "price", l.Price, c.price)
			if !slices.Contains(l.TagNames(), "горячий") {
				t.Errorf("the manager's tag is gone: %q", l.TagNames())
			}
		})
	}
}

// An empty value never blanks a field, under overwrite too.
func TestE2E_EmptyValueBlanksNothing(t *testing.T) {
	w := newWorld(t, setup{conn: "rules:\n  - name: r\n    on: [chat_accepted]\n    contact: {find: [client, phone], create: true, update: overwrite, name: '{{ visitor.name }}', phone: '{{ visitor.phone }}'}\n    lead: {find: [open], create: true, update: overwrite, name: '{{ visitor.name }}', price: '{{ extra.price }}', fields: {Комментарий: '{{ extra.comment }}'}}"})
	p := ivan()
	w.tell(p.accepted(m{"price": 100, "comment": "важно"}))
	p.Chat = 7640
	w.tell(p.accepted(m{"visitor": m{"number": 2198, "name": nil, "phone": p.Phone}, "comment": nil}))
	l := w.oneLead()
	equal(t, "name", l.Name, "Иван Петров")
	equal(t, "price", l.Price, 100.0)
	equal(t, "comment", l.Value("Комментарий"), "важно")
	equal(t, "contact", w.oneContact().Name, "Иван Петров")
}

// Reading order: matching rules merge, a later scalar wins unless empty, tags
// are united, stop ends; notes stand beside each other; `when` and the trace.
func TestE2E_RulesMergeAndStop(t *testing.T) {
	w := newWorld(t, setup{conn: `rules:
  - name: base
    on: [chat_accepted, chat_finished]
    contact: {find: [phone], create: true, phone: '{{ visitor.phone }}', name: '{{ visitor.name }}', tags: [a]}
    lead: {find: [open], create: true, name: База, stage: Переговоры, tags: [a]}
    note: {to: lead, text: первая}
  - name: more
    on: [chat_accepted]
    when: page.title contains "Каталог"
    lead: {name: '{{ extra.empty }}', price: '10', tags: [b]}
    note: {to: contact, text: 'вторая {{ crm.lead.stage }}'}
    task: {to: lead, text: Задача, due: 2h}
  - name: no
    on: [chat_accepted]
    when: visitor.chats_count > 100
    lead: {name: Нет}
  - name: last
    on: [chat_accepted]
    lead: {stage: Принимают решение}
    stop: true
  - name: never reached
    on: [chat_accepted]
    lead: {name: Поздно}
`})
	w.tell(ivan().accepted())
	l := w.oneLead()
	equal(t, "name", l.Name, "База")
	equal(t, "stage", l.StatusID, stageDeciding)
	equal(t, "price", l.Price, 10.0)
	same(t, "tags", l.TagNames(), []string{"a", "b"})
	same(t, "notes", w.notes(l.ID, common), []string{"первая"})
	equal(t, "contact's note", one(t, "contact's notes", w.amo.ContactNotes(w.oneContact().ID)).Text(), "вторая")
	equal(t, "task", one(t, "tasks", w.amo.Tasks()).Text, "Задача")
	matched := map[string]bool{}
	for _, r := range w.last("chat_accepted").Rules {
		matched[r.Rule] = r.Matched
		if !r.Matched && r.Why == "" {
			t.Errorf("rule %q does not say why it did not match", r.Rule)
		}
	}
	for rule, want := range map[string]bool{"base": true, "more": true, "no": false, "last": true, "never reached": false} {
		equal(t, rule, matched[rule], want)
	}
}

// A run-time error in a field drops that field with a warning; in `when` the
// event is dead: rule_error. Absent data is no error.
func TestE2E_RuntimeErrorsOfRules(t *testing.T) {
	w := newWorld(t, setup{dead: 1, conn: `rules:
  - name: field
    on: [chat_accepted]
    when: split(page.url, "/")[99] == ""
    contact: {find: [phone], create: true, phone: '{{ visitor.phone }}'}
    lead: {find: [open], create: true, name: Сделка, price: '{{ int(page.title) }}', fields: {Комментарий: 'x'}}
  - name: when
    on: [chat_updated]
    when: int(page.title) > 0
    note: {to: lead, text: x}
`})
	w.tell(ivan().accepted())
	l := w.oneLead()
	equal(t, "name", l.Name, "Сделка")
	equal(t, "price", l.Price, 0.0)
	equal(t, "another field", l.Value("Комментарий"), "x")
	if r := w.ended("chat_accepted", "done", ""); len(r.Warnings) == 0 {
		t.Error("no warning")
	}
	w.tell(ivan().updated())
	w.ended("chat_updated", "dead", "rule_error")
}

// Visitor text is data: never a template or an expression.
func TestE2E_VisitorTextIsData(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	p.Name = `{{ visitor.phone }} ${HOME} <b>"x"</b>`
	w.tell(p.accepted(), p.finished(said(then, "v:{{ utm.source }} %s %d 'или'")))
	equal(t, "name", w.oneContact().Name, p.Name)
	holds(t, "transcript", one(t, "transcripts", w.transcripts(w.oneLead().ID)), "{{ utm.source }} %s %d 'или'")
}

// find: recent takes a lead closed not long ago; a note without any lead goes to
// the contact, else it is skipped as no_target.
func TestE2E_RecentAndTargets(t *testing.T) {
	w := newWorld(t, setup{conn: `rules:
  - name: r
    on: [chat_accepted]
    contact: {find: [client, phone], create: true, phone: '{{ visitor.phone }}'}
    lead: {find: ["recent: 7d"], create: true, name: Сделка}
  - name: n
    on: [chat_finished, offline_message]
    note: {to: lead, text: '{{ message ?? "конец" }}'}
`})
	p := ivan()
	w.tell(p.offline(1, "никого"))
	w.ended("offline_message", "skipped", "no_target")
	w.tell(p.accepted())
	l := w.oneLead()
	w.manager(w.amo.LoseLead(l.ID, 1))
	w.settle()
	p.Chat = 7640
	w.tell(p.accepted())
	w.oneLead()
	w.tell(p.finished(said(then, "v:да")))
	same(t, "notes", w.notes(l.ID, common), []string{"конец"})
}

// Long transcripts are split, and nothing of them is lost.
func TestE2E_LongTranscriptIsSplit(t *testing.T) {
	w := newWorld(t, setup{})
	var lines []string
	for range 120 {
		lines = append(lines, "v:"+strings.Repeat("слово ", 40), "a:"+strings.Repeat("ответ ", 40))
	}
	w.tell(ivan().finished(said(then, lines...)))
	parts := w.transcripts(w.oneLead().ID)
	if len(parts) < 2 {
		t.Fatalf("%d notes", len(parts))
	}
	all := strings.Join(parts, "\n")
	equal(t, "words", strings.Count(all, "слово"), 120*40)
	equal(t, "answers", strings.Count(all, "ответ"), 120*40)
}

// What is written is in the connection's language.
func TestE2E_EnglishTexts(t *testing.T) {
	w := newWorld(t, setup{})
	w.closeBridge()
	w.text = strings.Replace(w.text, "language: ru", "language: en", 1)
	w.start()
	p := ivan()
	p.Email = ""
	w.tell(p.call("incoming", "start"), p.call("incoming", "error", m{"reason": "all_busy"}))
	holds(t, "task", one(t, "tasks", w.amo.Tasks()).Text, "Call back")
	r := w.post(p.accepted())
	if r.item("Stage") == "" || r.item("Этап") != "" {
		t.Errorf("the card is in another language: %v", r.CustomData)
	}
}

// find: open looks in the rule's pipeline only, open_any in all; unsorted counts.
func TestE2E_OpenLeadOfTheRulesPipeline(t *testing.T) {
	rule := func(find string) string {
		return "rules:\n  - name: r\n    on: [chat_accepted]\n    contact: {find: [phone], create: true, phone: '{{ visitor.phone }}'}\n    lead: {find: [" + find + "], create: true, pipeline: Опт, name: Сделка}"
	}
	for find, leads := range map[string]int{"open": 2, "open_any": 1} {
		t.Run(find, func(t *testing.T) {
			w := newWorld(t, setup{conn: rule(find)})
			cid, err := w.amo.CreateContact(cardOf{Edit: editOf{Name: "Иван"}, Phone: ivan().Phone})
			w.manager(err)
			_, err = w.amo.CreateLead(cardOf{Edit: editOf{Name: "В продажах"}, ContactID: cid, PipelineID: pipeSales, StatusID: stageTalks})
			w.manager(err)
			w.settle()
			w.tell(ivan().accepted())
			equal(t, "leads", len(w.amo.Leads()), leads)
			w.tell(ivan().accepted(m{"chat_id": 7640}))
			equal(t, "leads", len(w.amo.Leads()), leads)
		})
	}
	t.Run("unsorted", func(t *testing.T) {
		w := newWorld(t, setup{conn: strings.ReplaceAll(rule("open"), "name: Сделка", "stage: unsorted, name: Сделка")})
		w.tell(ivan().accepted())
		_, stage := w.amo.StageName(w.oneLead().PipelineID, w.oneLead().StatusID)
		equal(t, "stage", stage, "Неразобранное")
		w.tell(ivan().accepted(m{"chat_id": 7640}))
		w.oneLead()
	})
}

// Names that amoCRM does not have are counted once each.
func TestE2E_UnresolvedNamesAreCounted(t *testing.T) {
	w := newWorld(t, setup{conn: "rules:\n  - name: r\n    on: [chat_accepted]\n    contact: {find: [phone], create: true, phone: '{{ visitor.phone }}'}\n    lead: {find: [open], create: true, stage: Нет такого, name: Сделка, fields: {Нет поля: x}}"})
	w.tell(ivan().accepted(), maria().accepted())
	holds(t, "metrics", w.raw("GET", w.admin+"/metrics", ""), `bridge_unresolved_names{connection="shop"} 2`)
}
