package card

import (
	"fmt"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// leadNo is a card of a lead without a name: it is shown by its number.
func leadNo(id, status, created int64) event.LeadCard {
	c := aLead()
	c.Lead.ID, c.Lead.StatusID, c.Lead.Name, c.Lead.CreatedAt = id, status, "", created
	return c
}

// byHand makes leads known that the contact has and nobody linked to the client.
func (d *desk) byHand(cards ...event.LeadCard) {
	d.t.Helper()
	d.update(func(tx *store.Tx) error {
		contact, _, err := store.Get[event.ContactCard](tx, store.Cards, contactKey(contact1))
		if err != nil {
			return err
		}
		for _, c := range cards {
			contact.Contact.LeadIDs = append(contact.Contact.LeadIDs, c.Lead.ID)
			if err := store.Set(tx, store.Cards, leadKey(c.Lead.ID), c); err != nil {
				return err
			}
		}
		return store.Set(tx, store.Cards, contactKey(contact1), contact)
	})
}

// shown is the lead that a reply to the chat shows, and whether the event was waited for.
func (d *desk) shown(kind string) (lead string, waited bool) {
	d.order = nil
	r := d.reply(kind, chat1, "")
	return item(r, "Сделка"), len(d.order) > 1
}

func TestReply_ShowsTheLeadThatTheChatGoesTo(t *testing.T) {
	const won, lost = event.StatusWon, event.StatusLost
	chatOn := func(i int) func(*event.Client) {
		return func(c *event.Client) { c.Leads[i].Chats = []string{chat1} }
	}
	bare := func(c *event.Client) { c.ContactID, c.Leads[0].Bare, c.Leads[0].Deal = 0, true, "5" }
	type shows struct {
		lead  string
		waits bool // for the event's own lead
	}
	for name, c := range map[string]struct {
		change            func(*event.Client)
		linked, hand      []event.LeadCard
		accepted, updated shows
	}{
		"the chat's, though another is newer": {
			chatOn(0), []event.LeadCard{leadNo(1, stageFirst, 1), leadNo(2, stageFirst, 2)}, nil, shows{"#1", false}, shows{"#1", false},
		},
		"the chat's, though it is closed, until the chat begins anew": {
			chatOn(0), []event.LeadCard{leadNo(1, won, 1), leadNo(2, stageFirst, 2)}, nil, shows{"#2", false}, shows{"#1", false},
		},
		"the chat's closed one, where there is no other, but the new one is waited for": {
			chatOn(0), []event.LeadCard{leadNo(1, won, 1)}, nil, shows{"#1", true}, shows{"#1", false},
		},
		"the newest open one, by its age": {
			nil, []event.LeadCard{leadNo(1, stageFirst, 9), leadNo(2, stageFirst, 2), leadNo(3, won, 10)}, nil, shows{"#1", false}, shows{"#1", false},
		},
		"the newest open one, made by hand": {
			nil, []event.LeadCard{leadNo(1, stageFirst, 1)}, []event.LeadCard{leadNo(2, stageFirst, 2), leadNo(3, lost, 3)}, shows{"#2", false}, shows{"#2", false},
		},
		"of two of one second the higher id": {
			nil, []event.LeadCard{leadNo(1, stageFirst, 1)}, []event.LeadCard{leadNo(2, stageFirst, 1)}, shows{"#2", false}, shows{"#2", false},
		},
		"the open one made by hand, if the linked one is closed": {
			nil, []event.LeadCard{leadNo(1, won, 1)}, []event.LeadCard{leadNo(2, stageFirst, 2)}, shows{"#2", false}, shows{"#2", false},
		},
		"the newest linked one, if all are closed": {
			nil, []event.LeadCard{leadNo(1, won, 1), leadNo(2, lost, 2)}, []event.LeadCard{leadNo(3, won, 3)}, shows{"#2", true}, shows{"#2", true},
		},
		"the lead of a deal of somebody nobody had described": {
			bare, []event.LeadCard{leadNo(1, stageFirst, 1)}, nil, shows{"#1", false}, shows{"#1", false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.link(c.change, c.linked...)
			d.byHand(c.hand...)
			for kind, want := range map[string]shows{"chat_accepted": c.accepted, "chat_updated": c.updated} {
				lead, waited := d.shown(kind)
				equal(t, kind+": lead", lead, want.lead)
				equal(t, kind+": waits", waited, want.waits)
			}
		})
	}
}

// TestReply_AnAssignedLeadIsOfItsChat: a lead that the operator chose for another chat,
// and that is not the contact's, is not where the next chat goes.
func TestReply_AnAssignedLeadIsOfItsChat(t *testing.T) {
	d := newDesk(t)
	d.link(nil, leadNo(2, stageFirst, 2))
	d.update(func(tx *store.Tx) error {
		c := tx.Client(shop, client1)
		c.Leads = append(c.Leads, event.Link{LeadID: 1, Made: "found", Chats: []string{"other"}})
		if err := tx.PutClient(shop, c); err != nil {
			return err
		}
		return store.Set(tx, store.Cards, leadKey(1), leadNo(1, stageFirst, 1))
	})
	lead, waited := d.shown("chat_accepted")
	equal(t, "lead", lead, "#2")
	equal(t, "waited", waited, false)

	d.update(func(tx *store.Tx) error { // by now it is the contact's
		card := leadNo(1, stageFirst, 5)
		card.Lead.ContactIDs = []int64{contact1}
		return store.Set(tx, store.Cards, leadKey(1), card)
	})
	lead, _ = d.shown("chat_accepted")
	equal(t, "lead", lead, "#1")
}

// TestReply_WaitsForALeadThatAHookHasJustToldOf: nobody has read it, so it is not known
// whether the chat goes there; the event's own work tells.
func TestReply_WaitsForALeadThatAHookHasJustToldOf(t *testing.T) {
	d := newDesk(t)
	d.link(nil, aLead())
	told := contactHook("update", contact1, 200)
	for _, id := range []int{lead1, 777} {
		told = fmt.Appendf(told, "&contacts[update][0][linked_leads_id][%d][ID]=%d", id, id)
	}
	d.finished(told)
	same(t, "to be read", d.dirty, []int64{777})
	d.onWait = func() {
		d.update(func(tx *store.Tx) error {
			card, _, err := store.Get[event.LeadCard](tx, store.Cards, leadKey(777))
			if err != nil {
				return err
			}
			card.ApplyRead(event.Lead{ID: 777, Name: "Руками", Price: 500, PipelineID: pipeSales, StatusID: stageTalks, CreatedAt: 300, UpdatedAt: 300}, time.Now())
			return store.Set(tx, store.Cards, leadKey(777), card)
		})
	}
	lead, waited := d.shown("chat_accepted")
	equal(t, "lead", lead, "Руками")
	equal(t, "waited", waited, true)
	lead, waited = d.shown("chat_accepted")
	equal(t, "lead then", lead, "Руками")
	equal(t, "waited then", waited, false)
	if card, _ := d.lead(777); len(card.Changes) > 0 {
		t.Errorf("what it was before was not known, but it is told: %+v", card.Changes)
	}
}

// TestReply_ALeadThatCannotBeReadIsNotWaitedForForever: amoCRM may not let it be read.
func TestReply_ALeadThatCannotBeReadIsNotWaitedForForever(t *testing.T) {
	d := newDesk(t)
	d.link(nil, leadNo(1, stageFirst, 1))
	unread := event.LeadCard{Lead: event.Lead{ID: 777}}
	unread.MarkDirty(time.Now().Add(-time.Hour))
	d.byHand(unread)
	lead, waited := d.shown("chat_accepted")
	equal(t, "lead", lead, "#1")
	equal(t, "waited", waited, false)
}
