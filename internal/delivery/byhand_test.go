package delivery

import (
	"context"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// taken lets the store learn what a job of at has to tell it.
func (y *yard) taken(j *job) {
	y.t.Helper()
	y.update(func(tx *store.Tx) error {
		for _, effect := range j.effects {
			if err := effect(tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// A hook told of a task of the contact; to read the contact tells nothing of tasks.
func TestFresh_AReadTakesNoTaskOffAContact(t *testing.T) {
	y := newYard(t, nil)
	key := store.Key(shop, "contact", "5")
	y.update(func(tx *store.Tx) error {
		return store.Set(tx, store.Cards, key, event.ContactCard{Contact: event.Contact{ID: 5}, Tasks: []event.Task{{ID: 77}}})
	})
	j := y.at(chat("chat_accepted", 1, ""), &event.Client{ID: "1"})
	j.learnContact(&event.ContactCard{Contact: event.Contact{ID: 5, Name: "Read"}, ReadAt: time.Now()}, nil)
	y.taken(j)
	y.update(func(tx *store.Tx) error {
		card, _, err := store.Get[event.ContactCard](tx, store.Cards, key)
		equal(t, "name", card.Contact.Name, "Read")
		equal(t, "tasks", len(card.Tasks), 1)
		return err
	})
}

// A hook told of a lead that was opened by hand; what was read of it to find it is what
// an update is laid over, and is shown.
func TestFindLead_ALeadThatWasOnlyToldOfIsKeptAsItWasRead(t *testing.T) {
	y := newYard(t, nil)
	key := store.Key(shop, "lead", "50")
	y.leads(event.Lead{ID: 50, Name: "By hand", Price: 500, StatusID: open, PipelineID: 1, UpdatedAt: 9})
	y.update(func(tx *store.Tx) error {
		card := event.LeadCard{Lead: event.Lead{ID: 50}}
		card.MarkDirty(time.Now().Add(-time.Second))
		return store.Set(tx, store.Cards, key, card)
	})
	j := y.at(chat("chat_accepted", 1, ""), &event.Client{ID: "1"})
	if _, match, err := j.findLead(context.Background(), &event.Find{By: []string{"open"}}, contactOf(5, 1, 50)); err != nil || match.ID != 50 {
		t.Fatalf("%+v, %v", match, err)
	}
	y.taken(j)
	y.update(func(tx *store.Tx) error {
		card, _, err := store.Get[event.LeadCard](tx, store.Cards, key)
		equal(t, "name", card.Lead.Name, "By hand")
		equal(t, "dirty", card.Dirty, false)
		equal(t, "changes told", len(card.Changes), 0)
		return err
	})
}
