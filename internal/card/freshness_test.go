package card

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// A lead that is linked and was not read yet loses its links like any other: the next
// chat opens a new one.
func TestHook_DeletedLeadWithoutACardLosesItsLinks(t *testing.T) {
	d := newDesk(t)
	d.link(func(c *event.Client) { c.Leads = []event.Link{{LeadID: lead1}} })
	d.finished(form("leads[delete][0][id]", "501"))
	same(t, "dropped", d.drops, []string{"shop demo.amocrm.ru lead 501"})
}

// A thin hook tells the stage and no more, even where it tells a time: name and price
// stay until they are read.
func TestHook_ThinOneWithATimeTakesNothingAway(t *testing.T) {
	d := newDesk(t)
	card := aLead()
	card.Lead.Price = 1500
	d.link(nil, card)
	p := "leads[status][0]"
	d.finished(form(p+"[id]", "501", p+"[status_id]", strconv.Itoa(stageTalks), p+"[pipeline_id]", strconv.Itoa(pipeSales), p+"[last_modified]", "900"))
	got, _ := d.lead(lead1)
	equal(t, "stage", got.Lead.StatusID, stageTalks)
	equal(t, "price", got.Lead.Price, 1500)
	equal(t, "responsible", got.Lead.ResponsibleID, userAnna)
	same(t, "to be read", d.dirty, []int64{lead1})
}

// The last incoming call, mail or message is told with its time.
func TestHook_LastIncomingHasItsTime(t *testing.T) {
	for name, body := range map[string][]byte{
		"digital pipeline": form("leads[mail_in][0][id]", "501"),
		"note of a call":   form("leads[note][0][note][note_type]", "10", "leads[note][0][note][element_type]", "2", "leads[note][0][note][element_id]", "501"),
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.link(nil, aLead())
			began := time.Now()
			d.finished(body)
			card, _ := d.lead(lead1)
			if card.LastInAt.Before(began) {
				t.Errorf("last incoming at %v, want %v", card.LastInAt, began)
			}
		})
	}
}

// Times that tasks carry are on the account's clock.
func TestHook_TaskIsDueByTheAccountsClock(t *testing.T) {
	d := newDesk(t)
	d.link(nil, aLead())
	d.finished(taskHook("add", 77, lead1, 2, "0"))
	card, _ := d.lead(lead1)
	equal(t, "due", card.Tasks[0].CompleteTill, time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC).Unix())
}

// What a hook told of a task is newer than a read that had begun before it.
func TestHook_OfATaskOutlivesAReadUnderWay(t *testing.T) {
	d := newDesk(t)
	d.link(nil, aLead())
	began := time.Now()
	d.finished(taskHook("add", 77, lead1, 2, "0"))
	card, _ := d.lead(lead1)
	equal(t, "the read is taken over", card.ReadTasks(nil, began), false)
	began = time.Now()
	d.finished(form("task[delete][0][id]", "77"))
	card, _ = d.lead(lead1)
	equal(t, "the read is taken over after the delete", card.ReadTasks([]event.Task{{ID: 77}}, began), false)
	equal(t, "tasks", len(card.Tasks), 0)
}

// A kill may come between the end of a hook that was nothing of ours and the record of
// that end: its body is gone, and it is no dead event.
func TestHook_WhoseBodyIsGoneIsNotDead(t *testing.T) {
	d := newDesk(t)
	end := d.keeper().Apply(context.Background(), shop, &event.Event{Seq: 1, Connection: shop, BodySize: 9, ReceivedAt: time.Now()}, nil)
	if s, ok := end.(event.Skip); !ok || s.Reason != event.NotOurs {
		t.Errorf("ended %#v", end)
	}
}

// A contact that has only an e-mail is found by it.
func TestHook_ContactIsFoundByItsEmailAlone(t *testing.T) {
	d := newDesk(t)
	p := "contacts[add][0]"
	d.skipped(form(p+"[id]", "802", p+"[name]", "П", p+"[type]", "contact", p+"[updated_at]", "200",
		p+"[custom_fields][0][id]", "102", p+"[custom_fields][0][code]", "EMAIL", p+"[custom_fields][0][values][0][value]", "P@Example.com"), event.NotOurs)
	d.view(func(tx *store.Tx) { same(t, "by e-mail", tx.ContactsBy(host, "e:p@example.com"), []int64{802}) })
}

// A newer hook of a contact counts as having seen it now; what it does not carry stays.
func TestHook_NewerOneOfAContactIsAReading(t *testing.T) {
	d := newDesk(t)
	fields := map[int64]event.Values{7: {{Text: "VIP"}}}
	d.update(func(tx *store.Tx) error { // followed by its card, as the contact of a lead that another took over
		return store.Set(tx, store.Cards, contactKey(contact1), event.ContactCard{Contact: event.Contact{ID: contact1, UpdatedAt: 100, Fields: fields}})
	})
	began := time.Now()
	d.finished(contactHook("update", contact1, 200))
	card, _ := d.contact(contact1)
	equal(t, "name", card.Contact.Name, "Иван")
	equal(t, "field", card.Contact.Fields[7].Text(), "VIP")
	if card.ReadAt.Before(began) {
		t.Errorf("read at %v, want %v", card.ReadAt, began)
	}
}

// In the same second, or without a time, a hook does not tell which of the two states
// is the later: whatever differs is read again.
func TestHook_OfAContactThatCannotBeOrderedIsReadAgain(t *testing.T) {
	const p = "contacts[update][0]"
	email := []string{p + "[custom_fields][0][id]", "102", p + "[custom_fields][0][code]", "EMAIL", p + "[custom_fields][0][values][0][value]", "i@example.com"}
	hook := func(updated int, more ...string) []byte {
		return form(slices.Concat([]string{
			p + "[id]", strconv.Itoa(contact1), p + "[type]", "contact", p + "[updated_at]", strconv.Itoa(updated),
			p + "[name]", "Иван", p + "[responsible_user_id]", strconv.Itoa(userAnna),
		}, more)...)
	}
	for name, c := range map[string]struct {
		body  []byte
		dirty bool
	}{
		"the same":            {hook(100), false},
		"no time":             {hook(0), true},
		"another name":        {hook(100, p+"[name]", "Пётр"), true},
		"another responsible": {hook(100, p+"[responsible_user_id]", strconv.Itoa(userOleg)), true},
		"an e-mail":           {hook(100, email...), true},
		"a tag":               {hook(100, p+"[tags][0][id]", "1", p+"[tags][0][name]", "vip"), true},
		"another field":       {hook(100, p+"[custom_fields][0][id]", "7", p+"[custom_fields][0][values][0][value]", "VIP"), true},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.link(nil)
			d.update(func(tx *store.Tx) error {
				return store.Set(tx, store.Cards, contactKey(contact1), event.ContactCard{Contact: event.Contact{ID: contact1, Name: "Иван", ResponsibleID: userAnna, UpdatedAt: 100}})
			})
			d.finished(c.body)
			card, _ := d.contact(contact1)
			equal(t, "dirty", card.Dirty, c.dirty)
		})
	}
}

// A hook's own stage is shown until a read that began after it confirms it.
func TestFreshness_StageOfAHookOutlivesAReadUnderWay(t *testing.T) {
	card, began := aLead(), time.Now().Add(-time.Minute)
	card.ApplyThin(pipeSales, stageTalks, began.Add(time.Second))
	read := aLead().Lead
	read.UpdatedAt, read.Price = 101, 42
	card.ApplyRead(read, began)
	equal(t, "stage", card.Lead.StatusID, stageTalks)
	equal(t, "price", card.Lead.Price, 42)
	equal(t, "dirty", card.Dirty, true)
	read.StatusID = stageTalks
	card.ApplyRead(read, began.Add(2*time.Second))
	equal(t, "dirty once it is confirmed", card.Dirty, false)
}

// The echo of an own write is as good as a reading: what a hook that comes late tells
// of an earlier second is past.
func TestFreshness_EchoOfAnOwnWriteEndsWhatCameBefore(t *testing.T) {
	card := aLead()
	own := card.Lead
	own.Price, own.UpdatedAt = 7, 105
	card.ApplyOwn(own, time.Now())
	echo := own
	echo.Partial = true
	equal(t, "the echo changes the card", card.ApplyHook(echo, time.Now()), false)
	late := aLead().Lead
	late.StatusID, late.UpdatedAt, late.Partial = stageTalks, 102, true
	equal(t, "a late hook changes the card", card.ApplyHook(late, time.Now()), false)
	equal(t, "stage", card.Lead.StatusID, stageFirst)
}

// Won and lost have the same ids in every pipeline: a lead that goes from the lost of
// one to the lost of another has moved.
func TestFreshness_MoveBetweenPipelinesIsAMove(t *testing.T) {
	lost := func(pipeline, updated int64) event.Lead {
		return event.Lead{ID: lead1, PipelineID: pipeline, StatusID: event.StatusLost, UpdatedAt: updated}
	}
	at := time.Unix(5000, 0)
	t.Run("by a manager", func(t *testing.T) {
		card := event.LeadCard{Lead: lost(1, 100), SeenTo: 100}
		card.ApplyHook(lost(2, 101), at)
		equal(t, "changes", len(card.Changes), 1)
		equal(t, "since", card.StageSince, at.Unix())
	})
	t.Run("by the bridge", func(t *testing.T) {
		card := event.LeadCard{Lead: lost(1, 100), SeenTo: 100}
		card.ApplyOwn(lost(2, 105), at)
		equal(t, "since", card.StageSince, at.Unix())
		card.ApplyHook(lost(1, 103), at) // from before the bridge's move
		equal(t, "pipeline", card.Lead.PipelineID, 2)
		equal(t, "dirty", card.Dirty, true)
		card = event.LeadCard{Lead: lost(2, 105), ReadAt: at}
		card.ApplyRead(lost(1, 105), at.Add(-time.Second)) // begun before the move
		equal(t, "pipeline after a read", card.Lead.PipelineID, 2)
	})
}

// Only what the bridge has written itself is no news: the same value that somebody had
// set before is.
func TestFreshness_OwnWriteTakesBackNoEarlierChange(t *testing.T) {
	left := time.Now()
	changes := func(ago time.Duration) []event.CardChange {
		return []event.CardChange{
			{At: left.Add(-ago), What: event.ChangedStage, From: stageFirst, To: stageTalks}, {At: left.Add(-ago), What: event.ChangedResponsible, From: userAnna, To: userOleg},
			{At: left.Add(-ago), What: event.ChangedPrice, From: 1, To: 2},
		}
	}
	card := event.LeadCard{Changes: slices.Concat(changes(time.Hour), changes(-time.Second))}
	card.Disown(event.Lead{StatusID: stageTalks, ResponsibleID: userOleg, Price: 2}, left)
	equal(t, "changes", len(card.Changes), 3)
	for _, ch := range card.Changes {
		if !ch.At.Before(left) {
			t.Errorf("the bridge's own %s is told as a change", ch.What)
		}
	}
}

// As many operators wait as the account can serve, by what it can now.
func TestReply_TakesASeatOfThoseThereAre(t *testing.T) {
	d := newDesk(t)
	d.conn.Seats = func() int { return 17 }
	got := 0
	p := NewComposer(d.st, d.connOf, d, func(_ context.Context, _ uint64, seats int) { got = seats }, func(context.Context, uint64) {}, func(string, int64) {})
	p.Reply(context.Background(), shop, message(t, "chat_accepted", chat1, ""), 9, false)
	equal(t, "seats", got, 17)
}

// A linked lead that was not read yet is shown by what is known of it.
func TestReply_LinkedLeadWithoutACardIsShown(t *testing.T) {
	d := newDesk(t)
	d.link(func(c *event.Client) { c.Leads = []event.Link{{LeadID: lead1}} })
	r := d.reply("chat_updated", chat1, "")
	equal(t, "lead", item(r, "Сделка"), "#501")
	equal(t, "crm_link", r.CRMLink, "https://demo.amocrm.ru/leads/detail/501")
	equal(t, "enable_assign", *r.EnableAssign, false)
}

// Own templates see of a card what people call things, on the connection's clock.
func TestReply_TemplatesSeeNamesAndLocalTimes(t *testing.T) {
	d := newDesk(t)
	at := time.Date(2026, 11, 20, 9, 40, 0, 0, time.UTC)
	card := fullLead()
	card.StageSince = at.Unix()
	card.Tasks[0].ResponsibleID = userOleg
	d.link(nil, card)
	d.update(func(tx *store.Tx) error {
		return store.Set(tx, store.Cards, contactKey(contact1), event.ContactCard{Contact: event.Contact{ID: contact1, ResponsibleID: userAnna}})
	})
	var seen View
	d.conn.Templates = func(v View) []jivo.Item { seen = v; return nil }
	d.reply("chat_updated", chat1, "")
	equal(t, "lead.since", seen.Lead["since"], "20.11 12:40")
	equal(t, "task.responsible", seen.Task["responsible"], "Олег")
	equal(t, "contact.responsible", seen.Contact["responsible"], "Анна")
	card.StageSince = 0
	d.link(nil, card)
	d.reply("chat_updated", chat1, "")
	equal(t, "lead.since where it is not known", seen.Lead["since"], "")
}

// A change is told in names, from old to new, on the connection's clock.
func TestReply_ChangesInWords(t *testing.T) {
	d := newDesk(t)
	names := dictionary()
	names.Pipelines = append(names.Pipelines, names.Pipelines[0])
	names.Pipelines[1].ID, names.Pipelines[1].Name, names.Pipelines[1].Main = 700009, "Опт", false
	names.Pipelines[1].Stages = slices.Clone(names.Pipelines[1].Stages)
	for i := range names.Pipelines[1].Stages {
		names.Pipelines[1].Stages[i].PipelineID, names.Pipelines[1].Stages[i].Name = 700009, fmt.Sprint("Опт ", i)
	}
	at := time.Date(2026, 11, 20, 9, 40, 0, 0, time.UTC)
	for want, ch := range map[string]event.CardChange{
		"Этап: Первичный контакт → Опт 1 (12:40)": {What: event.ChangedStage, FromPipeline: pipeSales, From: stageFirst, ToPipeline: 700009, To: stageTalks},
		"Ответственный: Анна → Олег (12:40)":      {What: event.ChangedResponsible, From: userAnna, To: userOleg},
		"Бюджет: 0 → 1\u00a0500 (12:40)":          {What: event.ChangedPrice, To: 1500},
	} {
		ch.At = at
		equal(t, "change", inWords(d.conn, textsOf("ru"), names, ch), want)
	}
}

// What happened in the moment of the previous chat_accepted was told with it; what
// happened in that of this one is told now.
func TestReply_ChangesBelongToOneChat(t *testing.T) {
	d := newDesk(t)
	since, accepted := time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	card := aLead()
	card.Changes = []event.CardChange{
		{At: since, What: event.ChangedPrice, From: 1, To: 2}, {At: accepted, What: event.ChangedPrice, From: 2, To: 3},
		{At: accepted.Add(time.Nanosecond), What: event.ChangedPrice, From: 3, To: 4},
	}
	s := sight{lead: &card, client: &event.Client{}, chat: event.Chat{Since: since, Accepted: accepted}}
	got := changes(d.conn, textsOf("ru"), dictionary(), message(t, "chat_updated", chat1, ""), s)
	same(t, "changes", got, []string{fmt.Sprintf("Бюджет: 2 → 3 (%s)", accepted.In(zone).Format("15:04"))})
}
