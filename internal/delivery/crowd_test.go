package delivery

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// counting counts what is read of contacts and leads, request by request.
type counting struct {
	*fakeCRM
	contacts, leads int
}

func (c *counting) Contact(ctx context.Context, id int64) (event.Contact, bool, error) {
	c.contacts++
	return c.fakeCRM.Contact(ctx, id)
}

func (c *counting) Leads(ctx context.Context, ids []int64) (map[int64]event.Lead, error) {
	c.leads++
	return c.fakeCRM.Leads(ctx, ids)
}

// crowd puts n contacts into the directory that all have one e-mail; those from
// the first on that stand in amoCRM still do so with a closed lead each.
func (y *yard) crowd(n, standing int64) *counting {
	cc := &counting{fakeCRM: y.crm}
	y.c.Account.CRM = cc
	y.update(func(tx *store.Tx) error {
		for i := int64(1); i <= n; i++ {
			if i <= standing {
				y.crm.contacts[i] = event.Contact{ID: i, UpdatedAt: i, Emails: []event.Value{{Text: "no@mail.ru"}}, LeadIDs: []int64{500 + i}}
				y.leads(event.Lead{ID: 500 + i, StatusID: event.StatusWon})
			}
			if err := tx.SetContactKeys(demoHost, i, []string{"e:no@mail.ru"}); err != nil {
				return err
			}
		}
		return nil
	})
	return cc
}

func (y *yard) fromCrowd(visitor int) uint64 {
	return y.post(fmt.Sprintf(`{"event_name":"chat_accepted","chat_id":"k%d","visitor":{"number":"%d","name":"V","email":"no@mail.ru"}}`, visitor, visitor))
}

func TestFindContact_AnEmailOfHundredsIsReadBySearch(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		cc := y.crowd(300, 300)
		y.run()
		for i, c := range []struct {
			wait     time.Duration
			searches int // so far
		}{{0, 1}, {time.Minute, 1}, {2 * time.Hour, 2}} {
			pass(c.wait)
			cc.contacts, cc.leads = 0, 0
			ev := y.is(y.fromCrowdSettled(i+1), event.Done, "")
			equal(t, "chosen", ev.Contact.ID, 300)
			equal(t, "searches", y.crm.searches, c.searches)
			// the chosen one is read once more, for leads that a manager made by hand
			if cc.contacts > 1 || cc.leads > 3 {
				t.Errorf("chat %d: %d reads of one contact, %d of leads", i+1, cc.contacts, cc.leads)
			}
		}
		equal(t, "people", y.crm.people(), 300)
	})
}

func (y *yard) fromCrowdSettled(visitor int) uint64 {
	seq := y.fromCrowd(visitor)
	pass(time.Minute)
	return seq
}

// A directory may name many that are gone: a search says so of all, and a few at a
// time are taken out.
func TestFindContact_ACrowdThatIsGoneCostsLittle(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		cc := y.crowd(30, 0)
		y.run()
		y.is(y.fromCrowdSettled(1), event.Done, "")
		equal(t, "searches", y.crm.searches, 1)
		equal(t, "reads of one contact", cc.contacts, readAlone)
		equal(t, "people", y.crm.people(), 1)
		var left []int64
		y.view(func(tx *store.Tx) { left = tx.ContactsBy(demoHost, "e:no@mail.ru") })
		equal(t, "left in the directory", len(left), 30-readAlone+1)
	})
}

// known puts what stands in amoCRM of the contacts from first to last on their cards.
func (y *yard) known(first, last int64) {
	y.update(func(tx *store.Tx) error {
		for i := first; i <= last; i++ {
			card := event.ContactCard{Contact: y.crm.contacts[i], ReadAt: time.Now()}
			if err := store.Set(tx, store.Cards, store.Key(shop, "contact", id(i)), card); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestFindContact_OfACrowdTheNewestAreEnough(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		cc := y.crowd(5*manyContacts, 5*manyContacts)
		y.known(4*manyContacts+1, 5*manyContacts)
		y.run()
		ev := y.is(y.fromCrowdSettled(1), event.Done, "")
		equal(t, "chosen", ev.Contact.ID, 5*manyContacts)
		equal(t, "searches", y.crm.searches, 0)
		equal(t, "reads of one contact", cc.contacts, 0)
	})
}

// What is known of some is kept while the search tells of the others, and the few
// that it does not find yet are read.
func TestFindContact_AFewThatTheSearchMissesAreReadAlone(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		cc := y.crowd(10, 10)
		y.known(4, 5)
		y.crm.unindexed = map[int64]bool{4: true, 10: true}
		j := y.at(`{"event_name":"chat_accepted","chat_id":"k1","visitor":{"number":"1","email":"no@mail.ru"}}`, &event.Client{ID: "1"})
		cards, how, err := j.hits(context.Background(), "email", "no@mail.ru")
		if err != nil {
			t.Fatal(err)
		}
		seen := map[int64]int{}
		for _, c := range cards {
			seen[c.Contact.ID]++
		}
		if len(cards) != 10 || len(seen) != 10 || how != "contact directory" {
			t.Errorf("%d cards of %d contacts from the %s", len(cards), len(seen), how)
		}
		equal(t, "reads of one contact", cc.contacts, 1)
	})
}

func TestChoose_AsksForTheLeadsOfManyTogether(t *testing.T) {
	y := newYard(t, nil)
	cc := &counting{fakeCRM: y.crm}
	y.c.Account.CRM = cc
	var cards []*event.ContactCard
	for i := range int64(60) {
		cards = append(cards, contactOf(1000-i, 1000-i, 100+2*i, 101+2*i))
		y.leads(event.Lead{ID: 100 + 2*i, StatusID: event.StatusWon}, event.Lead{ID: 101 + 2*i, StatusID: event.StatusWon})
	}
	choose := func() int64 {
		j := y.at(chat("chat_accepted", 1, ""), &event.Client{ID: "1"})
		cc.leads = 0
		got, _, err := j.choose(context.Background(), cards)
		if err != nil {
			t.Fatal(err)
		}
		return got.Contact.ID
	}
	equal(t, "chosen where all are closed", choose(), 1000)
	equal(t, "requests", cc.leads, 2) // 25 contacts of two leads each at a time, of the first 50
	y.leads(event.Lead{ID: 101 + 2*30, StatusID: open})
	equal(t, "chosen with an open lead", choose(), 1000-30)
	y.leads(event.Lead{ID: 100, StatusID: open})
	equal(t, "the first with an open lead", choose(), 1000)
	equal(t, "requests", cc.leads, 1)
}
