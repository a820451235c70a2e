package upkeep

import (
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// After a restart or a pause the directory is made fresh by whoever needs it first,
// with one page for all of them, and not again and again where that cannot be.
func TestCatchUp_OneLookForAllWhoAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.crm.contacts = people(2)
		all := func() {
			var asking sync.WaitGroup
			for range 50 {
				asking.Go(func() { b.CatchUp(ctx) })
			}
			asking.Wait()
		}
		all()
		equal(t, "pages before there was a full pass", len(b.crm.pages), 0)
		must(t, b.SyncContacts(ctx, 0, func(int) {}))
		b.crm.pages = nil
		all()
		equal(t, "pages while it is fresh", len(b.crm.pages), 0)

		pass(time.Hour) // paused
		b.crm.contacts[0].Phones[0].Text, b.crm.contacts[0].UpdatedAt = "+79160009999", time.Now().Unix()
		b.crm.onPage = func(int) { pass(time.Second) }
		all()
		equal(t, "pages after a pause", len(b.crm.pages), 1)
		equal(t, "complete", b.Complete(), true)
		same(t, "whose phone was changed meanwhile", b.found("+79160009999"), []int64{1})

		pass(time.Hour)
		b.crm.pages, b.crm.onPage = nil, nil
		b.crm.fail["contacts"] = errDown
		all()
		pass(catchUpRest - time.Second)
		all()
		equal(t, "complete while amoCRM is down", b.Complete(), false)
		delete(b.crm.fail, "contacts")
		all()
		equal(t, "pages within the rest", len(b.crm.pages), 1)
		pass(2 * time.Second)
		all()
		equal(t, "pages after it", len(b.crm.pages), 2)
	})
}

// What was read by hand is kept in step, also where `run` is to read nothing by itself.
func TestContacts_ReadByHandStayFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(c *Config) { c.ContactsSync = false })
		b.crm.contacts = people(2)
		must(t, b.SyncContacts(ctx, 0, func(int) {}))
		pass(time.Hour)
		equal(t, "complete without a pass", b.Complete(), false)
		must(t, b.Keeper.contacts(ctx))
		equal(t, "complete after one", b.Complete(), true)
	})
}

// A pass over the contacts tells the cards too: what a manager wrote is not overwritten
// because no hook told of it. A card that was written to meanwhile is read again.
func TestContacts_PassRenewsTheCards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.crm.contacts = people(2)
		must(t, b.SyncContacts(ctx, 0, func(int) {}))
		card := func(id int64, change func(*event.ContactCard)) (c event.ContactCard) {
			key := store.Key(shop, "contact", strconv.FormatInt(id, 10))
			must(t, b.store.Update(ctx, func(tx *store.Tx) (err error) {
				if c, _, err = store.Get[event.ContactCard](tx, store.Cards, key); err != nil || change == nil {
					return err
				}
				change(&c)
				return store.Set(tx, store.Cards, key, c)
			}))
			return c
		}
		for id := range int64(2) {
			known := b.crm.contacts[id]
			card(known.ID, func(c *event.ContactCard) {
				c.Contact, c.ReadAt, c.Contact.LeadIDs = known, time.Now(), []int64{7}
			})
		}
		pass(time.Hour)
		for i := range b.crm.contacts {
			b.crm.contacts[i].Name, b.crm.contacts[i].UpdatedAt = "By hand", time.Now().Unix()
		}
		b.crm.onPage = func(int) { // the second is written to while the list is on its way
			card(b.crm.contacts[1].ID, func(c *event.ContactCard) { c.WroteAt = time.Now().Add(time.Second) })
		}
		must(t, b.Keeper.contacts(ctx))
		first, second := card(b.crm.contacts[0].ID, nil), card(b.crm.contacts[1].ID, nil)
		if first.Contact.Name != "By hand" || !first.Fresh(time.Now(), time.Minute) || len(first.Contact.LeadIDs) != 1 {
			t.Errorf("the first: %+v", first)
		}
		if second.Contact.Name == "By hand" || !second.Dirty {
			t.Errorf("the second: %+v", second)
		}
	})
}
