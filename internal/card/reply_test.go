package card

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// fullLead is a card with something to say in every line.
func fullLead() event.LeadCard {
	c := aLead()
	at := time.Date(2026, 11, 20, 9, 40, 0, 0, time.UTC)
	c.Lead.Price = 1500000
	c.Tasks = []event.Task{{ID: 1, Text: "Позвонить", CompleteTill: at.Unix()}, {ID: 2, Text: "Потом", CompleteTill: at.Unix() + 1}}
	c.LastIn, c.LastInAt = "call_in", at
	c.Changes = []event.CardChange{{At: time.Now().Add(-time.Minute), What: event.ChangedPrice, From: 10, To: 1500000}}
	return c
}

func TestReply_DefaultLinesInEveryLanguage(t *testing.T) {
	for language, want := range map[string][6]string{
		"ru": {"Сделка", "Этап", "Бюджет", "Ответственный", "Задача", "Изменилось"},
		"en": {"Lead", "Stage", "Budget", "Responsible", "Task", "Changed"},
		"pt": {"Negócio", "Etapa", "Orçamento", "Responsável", "Tarefa", "Mudou"},
		"es": {"Negocio", "Etapa", "Presupuesto", "Responsable", "Tarea", "Cambió"},
	} {
		t.Run(language, func(t *testing.T) {
			d := newDesk(t)
			d.conn.Language = language
			d.link(func(c *event.Client) { c.Accepted = time.Now().Add(-time.Hour) }, fullLead())
			r := d.reply("chat_accepted", chat1, "")
			same(t, "titles", titles(r), want[:])
			equal(t, "result", r.Result, "ok")
		})
	}
}

func TestReply_DefaultLinesSayWhatStands(t *testing.T) {
	d := newDesk(t)
	d.link(func(c *event.Client) { c.Accepted = time.Now().Add(-time.Hour) }, fullLead())
	r := d.reply("chat_accepted", chat1, "")
	equal(t, "lead", item(r, "Сделка"), "Чат: Иван")
	equal(t, "lead's link", r.CustomData[0].Link, "https://demo.amocrm.ru/leads/detail/501")
	equal(t, "stage", item(r, "Этап"), "Продажи → Первичный контакт")
	equal(t, "price", item(r, "Бюджет"), "1\u00a0500\u00a0000")
	equal(t, "responsible", item(r, "Ответственный"), "Анна")
	equal(t, "task", item(r, "Задача"), "20.11 12:40 Позвонить") // the nearest, in the connection's zone
	if got := item(r, "Изменилось"); !strings.HasPrefix(got, "Бюджет: 10 → 1\u00a0500\u00a0000 (") {
		t.Errorf("changes: %q", got)
	}
}

func TestReply_WhatHasNoNameLeavesItsLineOut(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*event.LeadCard)
		want   []string
	}{
		"unknown stage": {func(c *event.LeadCard) { c.Lead.StatusID = 5 }, []string{"Сделка", "Ответственный"}},
		"unknown user":  {func(c *event.LeadCard) { c.Lead.ResponsibleID = 5 }, []string{"Сделка", "Этап"}},
		"a change from or to a stage without a name": {func(c *event.LeadCard) {
			c.Changes = []event.CardChange{{At: time.Now(), What: event.ChangedStage, FromPipeline: pipeSales, From: 5, ToPipeline: pipeSales, To: stageFirst}}
		}, []string{"Сделка", "Этап", "Ответственный"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			card := aLead()
			c.change(&card)
			d.link(func(c *event.Client) { c.Accepted = time.Now().Add(-time.Hour) }, card)
			same(t, "titles", titles(d.reply("chat_accepted", chat1, "")), c.want)
		})
	}
}

func TestReply_LeadWithoutANameIsShownByNumber(t *testing.T) {
	d := newDesk(t)
	card := aLead()
	card.Lead.Name = ""
	d.link(nil, card)
	equal(t, "lead", item(d.reply("chat_updated", chat1, ""), "Сделка"), "#501")
}

func TestReply_WithoutDictionaryShowsNoIds(t *testing.T) {
	d := newDesk(t)
	d.conn.Dict = func() *dict.Snapshot { return nil }
	d.link(nil, aLead())
	same(t, "titles", titles(d.reply("chat_updated", chat1, "")), []string{"Сделка"})
}

func TestReply_CRMLinkByKind(t *testing.T) {
	lead, contact := "https://demo.amocrm.ru/leads/detail/501", "https://demo.amocrm.ru/contacts/detail/801"
	for name, c := range map[string]struct {
		link  string
		cards []event.LeadCard
		want  string
	}{
		"lead":                     {"lead", []event.LeadCard{aLead()}, lead},
		"lead where there is none": {"lead", nil, contact},
		"contact":                  {"contact", []event.LeadCard{aLead()}, contact},
		"none":                     {"none", []event.LeadCard{aLead()}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.conn.Link = c.link
			d.link(nil, c.cards...)
			equal(t, "crm_link", d.reply("chat_updated", chat1, "").CRMLink, c.want)
		})
	}
	t.Run("nobody", func(t *testing.T) {
		d := newDesk(t)
		equal(t, "crm_link", d.reply("chat_updated", chat1, "").CRMLink, "")
	})
}

func TestReply_EnableAssign(t *testing.T) {
	for name, c := range map[string]struct {
		assign string
		lead   bool
		want   bool
	}{
		"auto without a lead": {"auto", false, true}, "auto with one": {"auto", true, false},
		"on without": {"on", false, true}, "on with": {"on", true, true},
		"off without": {"off", false, false}, "off with": {"off", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.conn.Assign = c.assign
			if c.lead {
				d.link(nil, aLead())
			}
			r := d.reply("chat_updated", chat1, "")
			if r.EnableAssign == nil || *r.EnableAssign != c.want {
				t.Errorf("enable_assign is %v", r.EnableAssign)
			}
		})
	}
}

// known is a client with a contact that has everything, linked before the chat.
func (d *desk) known() {
	d.conn.ContactInfo = true
	d.link(nil, aLead())
	d.update(func(tx *store.Tx) error {
		c := event.ContactCard{Contact: event.Contact{ID: contact1, Name: "Иван", Phones: []event.Value{{Text: "+79160000001"}}, Emails: []event.Value{{Text: "i@example.com"}}}, ReadAt: time.Now()}
		if err := store.Set(tx, store.Cards, contactKey(contact1), c); err != nil {
			return err
		}
		return store.Set(tx, store.Chats, store.Key(shop, chat1), event.Chat{ID: chat1, Accepted: time.Now()})
	})
}

func TestReply_ContactInfoIsOnlyWhatIsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		visitor string
		want    *jivo.ContactInfo
	}{
		"all of it": {`{"number":"2100"}`, &jivo.ContactInfo{Name: "Иван", Phone: "+79160000001", Email: "i@example.com"}},
		"no name":   {`{"number":"2100","name":"I"}`, &jivo.ContactInfo{Phone: "+79160000001", Email: "i@example.com"}},
		"no phone":  {`{"number":"2100","phone":"1"}`, &jivo.ContactInfo{Name: "Иван", Email: "i@example.com"}},
		"no e-mail": {`{"number":"2100","email":"x@example.com"}`, &jivo.ContactInfo{Name: "Иван", Phone: "+79160000001"}},
		"nothing":   {`{"number":"2100","name":"I","phone":"1","email":"x@example.com"}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.known()
			got := d.reply("chat_updated", chat1, `"visitor":`+c.visitor).ContactInfo
			if (got == nil) != (c.want == nil) || (got != nil && *got != *c.want) {
				t.Errorf("contact_info %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestReply_ContactInfoOncePerChat(t *testing.T) {
	d := newDesk(t)
	d.known()
	for i, want := range []bool{true, false} {
		if got := d.reply("chat_updated", chat1, "").ContactInfo; (got != nil) != want {
			t.Errorf("reply %d: contact_info %+v", i, got)
		}
	}
	if d.reply("chat_accepted", "7640", "").ContactInfo == nil {
		t.Error("none in the next chat")
	}
}

func TestReply_ContactInfoNotForWhoWasLinkedByThisChat(t *testing.T) {
	for name, c := range map[string]struct {
		on     bool
		linked time.Duration // after the chat was accepted
		want   bool
	}{
		"linked before":       {true, -time.Second, true},
		"linked by this chat": {true, time.Second, false},
		"switched off":        {false, -time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.known()
			d.conn.ContactInfo = c.on
			d.update(func(tx *store.Tx) error {
				chat, _, _ := store.Get[event.Chat](tx, store.Chats, store.Key(shop, chat1))
				cl := tx.Client(shop, client1)
				cl.LinkedAt = chat.Accepted.Add(c.linked)
				return tx.PutClient(shop, cl)
			})
			if got := d.reply("chat_updated", chat1, "").ContactInfo; (got != nil) != c.want {
				t.Errorf("contact_info %+v", got)
			}
		})
	}
}

func TestReply_ChangesSinceTheLastChatFrozenForThisOne(t *testing.T) {
	d := newDesk(t)
	now := time.Now()
	change := func(ago time.Duration, to float64) event.CardChange {
		return event.CardChange{At: now.Add(-ago), What: event.ChangedPrice, From: 1, To: to}
	}
	card := aLead()
	card.Changes = []event.CardChange{
		change(5*time.Hour, 10), change(4*time.Hour, 11), // before the previous chat, and as it was accepted
		change(3*time.Hour, 12), change(2*time.Hour, 13), change(time.Hour, 14), change(30*time.Minute, 15),
		change(5*time.Minute, 16), // after this chat was accepted
	}
	d.link(nil, card)
	d.update(func(tx *store.Tx) error {
		return store.Set(tx, store.Chats, store.Key(shop, chat1), event.Chat{ID: chat1, Since: now.Add(-4 * time.Hour), Accepted: now.Add(-10 * time.Minute)})
	})
	told := func(r jivo.Reply) (out []string) {
		for s := range strings.SplitSeq(item(r, "Изменилось"), "; ") {
			_, to, _ := strings.Cut(s, "→ ")
			to, _, _ = strings.Cut(to, " ")
			out = append(out, to)
		}
		return out
	}
	same(t, "an update of the chat", told(d.reply("chat_updated", chat1, "")), []string{"13", "14", "15"})
	same(t, "another agent accepts it", told(d.reply("chat_accepted", chat1, "")), []string{"14", "15", "16"})
}

func TestReply_ChangesOfAnEventNotLearnedYet(t *testing.T) {
	for name, c := range map[string]struct {
		accepted time.Duration // the client's previous chat, ago; 0: none
		want     bool
	}{"since the client's previous chat": {2 * time.Hour, true}, "before it": {time.Minute, false}, "no previous chat": {0, false}} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			card := aLead()
			card.Changes = []event.CardChange{{At: time.Now().Add(-time.Hour), What: event.ChangedStage, FromPipeline: pipeSales, From: stageFirst, ToPipeline: pipeSales, To: stageTalks}}
			d.link(func(cl *event.Client) {
				if c.accepted != 0 {
					cl.Accepted = time.Now().Add(-c.accepted)
				}
			}, card)
			got := item(d.reply("chat_accepted", chat1, ""), "Изменилось")
			if strings.HasPrefix(got, "Этап: Первичный контакт → Переговоры (") != c.want {
				t.Errorf("changes: %q", got)
			}
		})
	}
}

func TestReply_WaitsOnlyForWhoHasNoOpenLead(t *testing.T) {
	closed := aLead()
	closed.Lead.StatusID = event.StatusWon
	for name, c := range map[string]struct {
		cards  []event.LeadCard
		change func(*Connection)
		waits  bool
	}{
		"new client":          {nil, nil, true},
		"closed lead":         {[]event.LeadCard{closed}, nil, true},
		"open lead":           {[]event.LeadCard{aLead()}, nil, false},
		"new, account held":   {nil, func(c *Connection) { c.Seats = func() int { return 0 } }, false},
		"new, no wait wanted": {nil, func(c *Connection) { c.Wait = 0 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			if c.change != nil {
				c.change(&d.conn)
			}
			if c.cards != nil {
				d.link(nil, c.cards...)
			}
			d.reply("chat_accepted", chat1, "")
			want := []string{"hooks before 9"}
			if c.waits {
				want = append(want, "event 9")
			}
			same(t, "waited for", d.order, want)
		})
	}
}

func TestReply_ShowsWhatItWaitedFor(t *testing.T) {
	d := newDesk(t)
	d.onWait = func() { d.link(nil, aLead()) }
	r := d.reply("chat_accepted", chat1, "")
	equal(t, "lead", item(r, "Сделка"), "Чат: Иван")
	same(t, "cards", d.cards, []string{"fresh"})
}

func TestReply_WaitsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		until := func(ctx context.Context, _ uint64) { <-ctx.Done() }
		p := NewComposer(d.st, d.connOf, d, func(ctx context.Context, seq uint64, _ int) { until(ctx, seq) }, until, func(string, int64) {})
		began := time.Now()
		p.Reply(context.Background(), shop, message(t, "chat_accepted", chat1, ""), 9, false)
		equal(t, "the reply took", time.Since(began), hookWait+d.conn.Wait)
	})
}

func TestReply_StaleCardIsCountedAndReadAgain(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*event.LeadCard)
		want   string
	}{
		"fresh":      {func(*event.LeadCard) {}, "fresh"},
		"dirty":      {func(c *event.LeadCard) { c.Dirty = true }, "stale"},
		"too old":    {func(c *event.LeadCard) { c.ReadAt = time.Now().Add(-2 * time.Hour) }, "stale"},
		"never read": {func(c *event.LeadCard) { c.ReadAt = time.Time{} }, "stale"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			card := aLead()
			c.change(&card)
			d.link(nil, card)
			d.reply("chat_updated", chat1, "")
			same(t, "cards", d.cards, []string{c.want})
			equal(t, "asked for again", len(d.stale) == 1, c.want == "stale")
		})
	}
	t.Run("none", func(t *testing.T) {
		d := newDesk(t)
		d.reply("chat_updated", chat1, "")
		same(t, "cards", d.cards, []string{"none"})
	})
}

func TestReply_OwnTemplatesReplaceTheDefaults(t *testing.T) {
	d := newDesk(t)
	d.link(func(c *event.Client) { c.Accepted = time.Now().Add(-time.Hour) }, fullLead())
	var seen View
	d.conn.Templates = func(v View) []jivo.Item {
		seen = v
		return []jivo.Item{{Title: "Own", Content: v.Lead["stage"]}}
	}
	r := d.reply("chat_accepted", chat1, "")
	same(t, "titles", titles(r), []string{"Own"})
	equal(t, "stage", item(r, "Own"), "Первичный контакт")
	for what, got := range map[string]string{
		"lead.id": seen.Lead["id"], "lead.pipeline": seen.Lead["pipeline"], "lead.price": seen.Lead["price"], "lead.last_in": seen.Lead["last_in"],
		"lead.url": seen.Lead["url"], "contact.id": seen.Contact["id"], "contact.url": seen.Contact["url"], "task.text": seen.Task["text"], "task.due": seen.Task["due"],
	} {
		if got == "" {
			t.Errorf("%s is empty", what)
		}
	}
	equal(t, "changes", len(seen.Changes), 1)
	equal(t, "kind", seen.Kind, "chat_accepted")
	equal(t, "client", seen.Client.ID, client1)
}

func TestReply_VisitorWithoutANumberIsKnownByTheChat(t *testing.T) {
	d := newDesk(t)
	d.link(func(c *event.Client) { c.ID = "chat-" + chat1 }, aLead())
	equal(t, "lead", item(d.reply("chat_updated", chat1, `"visitor":{}`), "Сделка"), "Чат: Иван")
}

func TestReply_OfAConnectionThatIsGoneIsEmpty(t *testing.T) {
	d := newDesk(t)
	r := d.composer().Reply(context.Background(), "other", message(t, "chat_accepted", chat1, ""), 9, false)
	equal(t, "lines", len(r.CustomData), 0)
	equal(t, "waits", len(d.order), 0)
}

func TestMoney_ThousandsStandApart(t *testing.T) {
	for f, want := range map[float64]string{0: "0", 7: "7", 999: "999", 1000: "1\u00a0000", 1234567: "1\u00a0234\u00a0567", 1000.5: "1\u00a0000.5", -1000: "-1\u00a0000", -100: "-100"} {
		equal(t, "money", money(f), want)
	}
}
