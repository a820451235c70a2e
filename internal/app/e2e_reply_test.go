package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jivo-amocrm/bridge/internal/emulator"
)

// cardIs waits until the card shows this, asking by an update of the chat.
func (w *world) cardIs(chat string, p *person, title, want string) {
	w.t.Helper()
	w.await(title+" of the card of chat "+chat, func() bool { return w.post(p.updated()).item(title) == want })
}

// The reply to a new client's chat_accepted waits for the event's own lead and
// shows its card: lead, stage, responsible; the link; no assign button.
func TestE2E_NewClientsReplyShowsTheirLead(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	r := w.post(p.accepted())
	l := w.oneLead()
	equal(t, "result", r.Result, "ok")
	equal(t, "crm_link", r.CRMLink, w.link("leads", l.ID))
	equal(t, "Сделка", r.item("Сделка"), l.Name)
	equal(t, "Этап", r.item("Этап"), "Продажи → Первичный контакт")
	equal(t, "Ответственный", r.item("Ответственный"), "Анна Смирнова")
	equal(t, "Бюджет", r.item("Бюджет"), "")
	equal(t, "Изменилось", r.item("Изменилось"), "")
	if r.Assign == nil || *r.Assign {
		t.Errorf("enable_assign is %v while a lead is linked", r.Assign)
	}
	if r.ContactInfo != nil {
		t.Errorf("contact_info unasked: %+v", r.ContactInfo)
	}
	for _, d := range r.CustomData {
		if d["content"] == "" {
			t.Errorf("empty line %q", d["title"])
		}
	}
}

// A slow amoCRM: the reply waits no longer than reply.wait and is ok; a held
// visitor's reply waits for nothing.
func TestE2E_ReplyWaitsNoLongerThanItMay(t *testing.T) {
	w := newWorld(t, setup{conn: "reply: {wait: 1s}"})
	w.amo.Inject(emulator.Fault{Method: "POST", PathPrefix: "/api/v4/leads/complex", Kind: emulator.Slow, Delay: 3 * time.Second})
	began := time.Now()
	r := w.post(ivan().accepted())
	if took := time.Since(began); took < 900*time.Millisecond || took > 2500*time.Millisecond {
		t.Errorf("answered after %s, want about a second", took)
	}
	equal(t, "result", r.Result, "ok")
	if r.Assign == nil || !*r.Assign {
		t.Error("enable_assign is not on while no lead is linked")
	}
	began = time.Now()
	w.post(nobody().accepted())
	if took := time.Since(began); took > 900*time.Millisecond {
		t.Errorf("an anonymous visitor's reply took %s", took)
	}
	w.settle()
	r = w.post(ivan().updated())
	equal(t, "crm_link", r.CRMLink, w.link("leads", w.oneLead().ID))
}

// Everything the manager does is in the next reply: stage, price, responsible,
// nearest task; what changed since the client's previous chat_accepted, frozen
// at chat_accepted.
func TestE2E_NextReplyShowsWhatTheManagerDid(t *testing.T) {
	w := newWorld(t, setup{conn: "timezone: Europe/Moscow"})
	p := ivan()
	w.tell(p.accepted())
	l := w.oneLead()
	w.manager(w.amo.MoveLead(l.ID, stageTalks, 0))
	w.manager(w.amo.SetPrice(l.ID, 1500000))
	w.manager(w.amo.SetResponsible(l.ID, userOwner))
	far, near := time.Now().Add(48*time.Hour), time.Now().Add(time.Hour)
	_, err := w.amo.AddTask(l.ID, "Далёкая", far.Unix(), userAnna)
	w.manager(err)
	nearID, err := w.amo.AddTask(l.ID, "Позвонить клиенту", near.Unix(), userAnna)
	w.manager(err)

	w.cardIs("7636", p, "Ответственный", "Олег Владельцев") // deeds of one second take a read
	p.Chat = 7640
	r := w.post(p.accepted())
	equal(t, "Этап", r.item("Этап"), "Продажи → Переговоры")
	equal(t, "Бюджет", strings.Join(strings.Fields(r.item("Бюджет")), " "), "1 500 000")
	equal(t, "Ответственный", r.item("Ответственный"), "Олег Владельцев")
	holds(t, "Задача", r.item("Задача"), "Позвонить клиенту")
	changed := r.item("Изменилось")
	holds(t, "Изменилось", changed, "Этап: Первичный контакт → Переговоры (", "Ответственный: Анна Смирнова → Олег Владельцев")
	holds(t, "Изменилось", changed, time.Now().In(mskZone()).Format("(15:"))

	// Frozen at chat_accepted: an update of this chat shows the same changes,
	// with today's stage.
	w.settle()
	w.manager(w.amo.MoveLead(l.ID, stageDeciding, 0))
	w.manager(w.amo.CompleteTask(nearID, ""))
	w.settle()
	r = w.post(p.updated())
	equal(t, "Изменилось", r.item("Изменилось"), changed)
	equal(t, "Этап", r.item("Этап"), "Продажи → Принимают решение")
	holds(t, "Задача", r.item("Задача"), "Далёкая")

	// The next chat shows what changed since this one only.
	p.Chat = 7641
	r = w.tell(p.accepted())
	equal(t, "changes", strings.Count(r.item("Изменилось"), "→"), 1)
	holds(t, "Изменилось", r.item("Изменилось"), "Переговоры → Принимают решение")
	p.Chat = 7642
	r = w.tell(p.accepted())
	equal(t, "Изменилось", r.item("Изменилось"), "")
}

func mskZone() *time.Location { return time.FixedZone("MSK", 3*3600) }

// A phone in the connection's own lines is read as of the account's country, where
// the config names none, like the phones of rules.
func TestE2E_PhonesOfOwnLinesAreOfTheAccountsCountry(t *testing.T) {
	w := newWorld(t, setup{conn: "reply: {custom_data: [{title: Тел, content: '{{ phone(visitor.phone) }}'}]}"})
	p := ivan()
	p.Phone = "8 916 000-00-01"
	equal(t, "phone", w.tell(p.accepted()).item("Тел"), "+79160000001")
}

// The last three changes.
func TestE2E_ThreeChangesAreShown(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(p.accepted())
	l := w.oneLead()
	for _, st := range []int64{stageTalks, stageDeciding, stageFirst, stageTalks, stageDeciding} {
		ticks(t, 1010)
		w.manager(w.amo.MoveLead(l.ID, st, 0))
	}
	p.Chat = 7640
	equal(t, "changes", strings.Count(w.post(p.accepted()).item("Изменилось"), "→"), 3)
}

// The bridge's own writes are no changes.
func TestE2E_OwnWritesAreNoChanges(t *testing.T) {
	w := newWorld(t, setup{conn: `deals: {stages: {"23": {pipeline: Продажи, stage: Переговоры}}}`})
	p := ivan()
	d := deal{id: 3, pipeline: 6, stage: 21, title: "Сделка", amount: 700}
	w.tell(p.accepted(), p.deal("created_deal", d))
	d.stage = 23
	w.tell(p.deal("updated_deal", d))
	equal(t, "stage", w.oneLead().StatusID, stageTalks)
	p.Chat = 7640
	r := w.post(p.accepted())
	equal(t, "Изменилось", r.item("Изменилось"), "")
	equal(t, "Этап", r.item("Этап"), "Продажи → Переговоры")
	equal(t, "Бюджет", r.item("Бюджет"), "700")
}

// A stage change acknowledged before a chat_accepted is in that reply, by a full
// hook and by a thin one of the digital pipeline; with neither, the sweep finds it.
func TestE2E_StageChangeIsInTheNextReply(t *testing.T) {
	move := func(w *world, p *person) {
		w.tell(p.accepted())
		w.manager(w.amo.MoveLead(w.oneLead().ID, stageDeciding, 0))
		p.Chat = 7640
	}
	seen := func(w *world, p *person) bool {
		p.Chat++
		return w.post(p.accepted()).item("Этап") == "Продажи → Принимают решение"
	}
	t.Run("full hook", func(t *testing.T) {
		w, p := newWorld(t, setup{}), ivan()
		move(w, p)
		if !seen(w, p) {
			t.Error("not seen")
		}
	})
	t.Run("thin hook", func(t *testing.T) {
		w, p := newWorld(t, setup{noHooks: true}), ivan()
		w.amo.DPHook(pipeSales, 0, w.hookURL())
		move(w, p)
		if !seen(w, p) {
			t.Error("not seen")
		}
	})
	t.Run("lost hook and sweep", func(t *testing.T) {
		w, p := newWorld(t, setup{noHooks: true, amocrm: "sweep: 1s"}), ivan()
		// The sweep's first look stores its position; what comes after is found.
		w.await("the first sweep", func() bool { return strings.Contains(fmt.Sprint(w.amo.Report().ByEndpoint), "/contacts") })
		ticks(t, 1100)
		move(w, p)
		w.tell(p.accepted()) // an own write after the change must not hide it
		w.await("the sweep has found it", func() bool {
			return w.post(p.updated()).item("Этап") == "Продажи → Принимают решение"
		})
	})
	t.Run("another pipeline", func(t *testing.T) {
		w, p := newWorld(t, setup{}), ivan()
		w.tell(p.accepted())
		w.manager(w.amo.MoveLead(w.oneLead().ID, stageBulkAgreed, pipeBulk))
		p.Chat = 7640
		equal(t, "Этап", w.post(p.accepted()).item("Этап"), "Опт → Согласование")
	})
	t.Run("shuffled, doubled and grouped hooks", func(t *testing.T) {
		w, p := newWorld(t, setup{amo: emulator.Options{HookDuplicate: 0.5, HookShuffle: 0.3, HookGroup: true, Seed: 5}}), ivan()
		w.tell(p.accepted())
		for _, st := range []int64{stageTalks, stageFirst, stageDeciding} {
			if err := w.amo.MoveLead(w.oneLead().ID, st, 0); err != nil {
				t.Fatal(err)
			}
		}
		w.settle()
		w.await("the card is right", func() bool {
			return w.post(p.updated()).item("Этап") == "Продажи → Принимают решение"
		})
	})
}

// Other deeds of digital-pipeline hooks: the last incoming call or mail.
func TestE2E_DigitalPipelineEvents(t *testing.T) {
	w := newWorld(t, setup{noHooks: true})
	w.amo.DPHook(pipeSales, 0, w.hookURL())
	p := ivan()
	w.tell(p.accepted())
	for _, kind := range []string{"call_in", "mail_in", "chat", "site_visit"} {
		w.manager(w.amo.DPEvent(w.oneLead().ID, kind))
		w.settle()
		if r := w.events("source=amocrm&limit=1")[0]; r.State != "done" || r.Kind != "leads."+kind {
			t.Errorf("%s is %s as %s", kind, r.State, r.Kind)
		}
	}
}

// crm_link: contact or none.
func TestE2E_LinkOfTheReply(t *testing.T) {
	for kind, want := range map[string]func(w *world) string{
		"contact": func(w *world) string { return w.link("contacts", w.oneContact().ID) },
		"none":    func(*world) string { return "" },
	} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, setup{conn: "reply: {crm_link: " + kind + "}"})
			w.tell(ivan().accepted())
			equal(t, "crm_link", w.post(ivan().updated()).CRMLink, want(w))
		})
	}
}

// contact_info: only for a client linked before this event, once per chat, only
// what the visitor has not given.
func TestE2E_ContactInfo(t *testing.T) {
	w := newWorld(t, setup{conn: "reply: {contact_info: true}"})
	p := ivan()
	if r := w.post(p.accepted()); r.ContactInfo != nil {
		t.Errorf("for somebody new: %+v", r.ContactInfo)
	}
	w.settle()
	p.Chat, p.Phone, p.Name = 7640, "", ""
	r := w.post(p.accepted())
	if r.ContactInfo == nil {
		t.Fatal("no contact_info for a linked client")
	}
	equal(t, "name", r.ContactInfo.Name, "Иван Петров")
	equal(t, "phone", r.ContactInfo.Phone, "+79160000001")
	equal(t, "e-mail the visitor gave", r.ContactInfo.Email, "")
	w.settle()
	if r := w.post(p.updated()); r.ContactInfo != nil {
		t.Errorf("a second time in one chat: %+v", r.ContactInfo)
	}
	p.Chat = 7641
	if r := w.post(p.accepted()); r.ContactInfo == nil {
		t.Error("none in the next chat")
	}
}

// enable_assign: on and off whatever is linked.
func TestE2E_EnableAssign(t *testing.T) {
	for word, want := range map[string]bool{"on": true, "off": false} {
		t.Run(word, func(t *testing.T) {
			w := newWorld(t, setup{conn: "reply: {enable_assign: " + word + "}"})
			w.tell(ivan().accepted())
			for _, r := range []reply{w.post(ivan().updated()), w.post(nobody().accepted())} {
				if got := r.Assign != nil && *r.Assign; got != want {
					t.Errorf("enable_assign is %v", r.Assign)
				}
			}
		})
	}
}

// Own lines: templates see lead, contact, task, changes and the event; at most
// ten, none empty, within Jivo's lengths.
func TestE2E_CustomDataOfOnesOwn(t *testing.T) {
	lines := `reply:
  custom_data:
    - {title: Клиент, content: '{{ contact.name }} из {{ session.geoip.city }}'}
    - {title: Этап, content: '{{ lead.stage }}', link: '{{ lead.url }}'}
    - {title: Пусто, content: '{{ task.text }}'}
    - {title: Длинно, content: '{{ page.url }}'}
`
	for i := range 6 {
		lines += fmt.Sprintf("    - {title: Ещё %d %s, content: '{{ lead.id }}'}\n", i, strings.Repeat("я", 58))
	}
	w := newWorld(t, setup{conn: lines})
	p := ivan()
	long := m{"page": m{"url": "https://shop.example/" + strings.Repeat("ы", 400)}}
	r := w.tell(p.accepted(long))
	equal(t, "Клиент", r.item("Клиент"), "Иван Петров из Казань")
	equal(t, "Этап", r.item("Этап"), "Первичный контакт")
	equal(t, "Пусто", r.item("Пусто"), "")
	if len(r.CustomData) != 9 { // ten without the empty one
		t.Errorf("%d lines, want 9", len(r.CustomData))
	}
	for _, d := range r.CustomData {
		if n := utf8.RuneCountInString(d["title"]); n > 64 {
			t.Errorf("title of %d runes", n)
		}
		if n := utf8.RuneCountInString(d["content"]); n > 256 || n == 0 {
			t.Errorf("content of %d runes", n)
		}
	}
	if r.CustomData[1]["link"] != w.link("leads", w.oneLead().ID) {
		t.Errorf("link is %q", r.CustomData[1]["link"])
	}
}

// Names that cannot be had leave their line out: a stage removed, a user gone.
func TestE2E_NamesNotIds(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(p.accepted())
	l := w.oneLead()
	w.amo.RemoveUser(userAnna)
	r := w.post(p.updated())
	for _, d := range r.CustomData {
		if strings.Contains(d["content"], fmt.Sprint(l.StatusID)) || strings.Contains(d["content"], fmt.Sprint(userAnna)) {
			t.Errorf("an id is shown: %v", d)
		}
	}
}
