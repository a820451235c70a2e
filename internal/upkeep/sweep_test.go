package upkeep

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/phone"
	"github.com/jivo-amocrm/bridge/internal/store"
)

var ctx = context.Background()

func about(id string, lead int64, at time.Time) amocrm.FeedEvent {
	return amocrm.FeedEvent{ID: id, Type: "lead_status_changed", EntityType: "lead", EntityID: lead, CreatedAt: at.Unix()}
}

func TestFeed_FirstLookOnlyStoresThePosition(t *testing.T) {
	b := newBench(t, nil)
	b.setCard(event.LeadCard{Lead: lead(5, 100, 11)})
	b.crm.feed = []amocrm.FeedEvent{about("a", 5, time.Now())}
	must(t, b.feed(ctx))
	equal(t, "requests", len(b.crm.feedFrom), 0)
	equal(t, "to be read", len(b.queued()), 0)
}

func TestFeed_ReadsFromThePositionWithOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		start := time.Now().Unix()
		must(t, b.feed(ctx))
		pass(time.Hour)
		must(t, b.feed(ctx))
		pass(time.Minute)
		must(t, b.feed(ctx))
		same(t, "read from", b.crm.feedFrom, []int64{start - 300, start + 3600 - 300})
	})
}

func TestFeed_LateEventOfTheOverlapIsFoundOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.setCard(event.LeadCard{Lead: lead(5, 100, 11), SeenTo: 100})
		must(t, b.feed(ctx))
		pass(time.Minute)
		b.crm.feed = []amocrm.FeedEvent{about("a", 5, time.Now().Add(-2*time.Minute))} // its writer lagged
		for i, want := range []int{1, 0, 0} {
			must(t, b.feed(ctx))
			equal(t, fmt.Sprint("to be read after look ", i), len(b.queued()), want)
			c, _ := b.card(5)
			c.Dirty = false
			b.setCard(c)
			pass(time.Minute)
		}
	})
}

func TestFeed_IsReadPageByPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.crm.perPage = 2
		must(t, b.feed(ctx))
		pass(time.Minute)
		for id := range int64(5) {
			b.setCard(event.LeadCard{Lead: lead(id+1, 100, 11), SeenTo: 100})
			b.crm.feed = append(b.crm.feed, about(fmt.Sprint(id), id+1, time.Now()))
		}
		must(t, b.feed(ctx))
		same(t, "to be read", b.queued(), []int64{1, 2, 3, 4, 5})
	})
}

// What a sweep does not reach it cannot name: then every card may be meant, and
// the next sweep goes on from now.
func TestFeed_MoreThanASweepReadsMakesEveryCardDirty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.crm.perPage = 1
		must(t, b.feed(ctx))
		pass(7 * 24 * time.Hour)
		var all []int64
		for id := int64(1); id <= perRead+50; id++ {
			b.setCard(event.LeadCard{Lead: lead(id, 100, 11), SeenTo: 100})
			all = append(all, id)
		}
		for i := range feedPages + 1 {
			b.crm.feed = append(b.crm.feed, about(fmt.Sprint(i), 1, time.Now().Add(-time.Hour)))
		}
		must(t, b.feed(ctx))
		same(t, "to be read", b.queued(), all)
		for _, id := range all {
			if c, _ := b.card(id); !c.Dirty {
				t.Fatalf("card %d is clean", id) // a restart would forget it
			}
		}
		pass(5 * time.Minute)
		must(t, b.feed(ctx))
		equal(t, "to be read after the next sweep", len(b.queued()), 0)
	})
}

func TestFeed_AsMuchAsASweepReadsLeavesTheOthersClean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.crm.perPage = 1
		must(t, b.feed(ctx))
		pass(time.Hour)
		b.setCard(event.LeadCard{Lead: lead(1, 100, 11), SeenTo: 100})
		b.setCard(event.LeadCard{Lead: lead(2, 100, 11), SeenTo: 100})
		for i := range feedPages {
			b.crm.feed = append(b.crm.feed, about(fmt.Sprint(i), 1, time.Now().Add(-time.Minute)))
		}
		must(t, b.feed(ctx))
		same(t, "to be read", b.queued(), []int64{1})
	})
}

func TestFeed_WhatAHookToldIsNotReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().Unix()
		for name, c := range map[string]struct {
			card event.LeadCard
			want int
		}{
			"the card is older":                         {event.LeadCard{Lead: lead(5, now-10, 11), SeenTo: now - 10}, 1},
			"a hook told of it":                         {event.LeadCard{Lead: lead(5, now, 11), SeenTo: now}, 0},
			"an own write came later, and told nothing": {event.LeadCard{Lead: lead(5, now+5, 11), SeenTo: now - 10}, 1},
			"a read that came too early left it dirty":  {event.LeadCard{Lead: lead(5, now, 11), SeenTo: now, Dirty: true}, 1},
		} {
			b := newBench(t, nil)
			b.setCard(c.card)
			must(t, b.feed(ctx))
			b.crm.feed = []amocrm.FeedEvent{about("a", 5, time.Unix(now, 0))}
			must(t, b.feed(ctx))
			if got := len(b.queued()); got != c.want {
				t.Errorf("%s: %d to be read", name, got)
			}
			if got, _ := b.card(5); got.Dirty != (c.want == 1) {
				t.Errorf("%s: dirty is %v", name, got.Dirty)
			}
		}
	})
}

func TestFeed_StrangersAndOtherEntitiesAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.setCard(event.LeadCard{Lead: lead(5, 100, 11), SeenTo: 100})
		must(t, b.feed(ctx))
		e := about("a", 5, time.Now())
		e.EntityType = "contact"
		b.crm.feed = []amocrm.FeedEvent{e, about("b", 6, time.Now())}
		must(t, b.feed(ctx))
		equal(t, "to be read", len(b.queued()), 0)
		if _, ok := b.card(6); ok {
			t.Error("a stranger has a card now")
		}
	})
}

func TestFeed_TaskLeadsToItsLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.setCard(event.LeadCard{Lead: lead(5, time.Now().Unix()+9, 11), SeenTo: time.Now().Unix() + 9})
		b.update(func(tx *store.Tx) error {
			return store.Set(tx, store.Positions, store.Key(shop, "task", "77"), int64(5))
		})
		must(t, b.feed(ctx))
		e := about("a", 77, time.Now())
		e.EntityType = "task"
		b.crm.feed = []amocrm.FeedEvent{e}
		must(t, b.feed(ctx))
		same(t, "to be read", b.queued(), []int64{5})
	})
}

// TestFeed_TaskThatIsOverLeavesItsContact: whose tasks are known by hooks alone, and one
// was missed.
func TestFeed_TaskThatIsOverLeavesItsContact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for what, left := range map[string]int{"task_completed": 0, "task_deleted": 0, "task_text_changed": 1} {
			b := newBench(t, nil)
			key := store.Key(shop, "contact", "8")
			b.update(func(tx *store.Tx) error {
				if err := store.Set(tx, store.Cards, key, event.ContactCard{Tasks: []event.Task{{ID: 77}}}); err != nil {
					return err
				}
				return store.Set(tx, store.Positions, store.Key(shop, "contact_task", "77"), int64(8))
			})
			must(t, b.feed(ctx))
			e := about("a", 77, time.Now())
			e.EntityType, e.Type = "task", what
			b.crm.feed = []amocrm.FeedEvent{e}
			must(t, b.feed(ctx))
			b.update(func(tx *store.Tx) error {
				card, _, err := store.Get[event.ContactCard](tx, store.Cards, key)
				equal(t, "tasks after "+what, len(card.Tasks), left)
				return err
			})
		}
	})
}

func TestFeed_FailedLookIsMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		start := time.Now().Unix()
		must(t, b.feed(ctx))
		pass(time.Hour)
		b.crm.fail["events"] = errDown
		if b.feed(ctx) == nil {
			t.Error("no error")
		}
		delete(b.crm.fail, "events")
		pass(time.Hour)
		must(t, b.feed(ctx))
		same(t, "read from", b.crm.feedFrom, []int64{start - 300, start - 300})
	})
}

func TestSweep_WaitsForTheDictionaryAndRestsWhilePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(c *Config) { c.ContactsSync = false })
		b.err = errDown
		defer b.run()()
		pass(10 * time.Minute)
		b.mu.Lock()
		b.err = nil
		b.mu.Unlock()
		pass(2 * time.Minute) // the first look stores the position
		equal(t, "requests", len(b.crm.feedFrom), 0)
		b.crm.set(func() { b.crm.paused = make(chan struct{}) })
		pass(time.Hour)
		equal(t, "requests while paused", len(b.crm.feedFrom), 0)
		b.crm.set(func() { close(b.crm.paused); b.crm.paused = nil })
		pass(0)
		equal(t, "requests as soon as it is over", len(b.crm.feedFrom), 1)
		pass(b.cfg.Sweep - time.Second)
		equal(t, "requests until the next sweep", len(b.crm.feedFrom), 1)
	})
}

func people(n int) (out []event.Contact) {
	for i := range n {
		out = append(out, event.Contact{ID: int64(i + 1), UpdatedAt: int64(i + 1), Phones: []event.Value{{Text: fmt.Sprintf("8 (916) 000-%02d-%02d", i/100, i%100)}}})
	}
	return out
}

func (b *bench) found(phone string) (ids []int64) {
	b.view(func(tx *store.Tx) { ids = tx.ContactsBy(host, "p:"+phone) })
	return ids
}

func TestContacts_FullPassKnowsEverybody(t *testing.T) {
	b := newBench(t, nil)
	b.crm.contacts = people(contactsPage + 1)
	var told []int
	must(t, b.SyncContacts(ctx, 0, func(n int) { told = append(told, n) }))
	same(t, "progress", told, []int{contactsPage, contactsPage + 1})
	same(t, "the last one", b.found("+79160000250"), []int64{contactsPage + 1})
	equal(t, "complete", b.Complete(), true)
}

func TestContacts_PassGoesOnWhereItWasCutShort(t *testing.T) {
	b := newBench(t, nil)
	b.crm.contacts = people(3 * contactsPage)
	b.crm.onPage = func(read int) {
		if read == 2 {
			b.crm.set(func() { b.crm.fail["contacts"] = errDown })
		}
	}
	if b.SyncContacts(ctx, 0, func(int) {}) == nil {
		t.Fatal("no error")
	}
	equal(t, "complete", b.Complete(), false)
	b.crm.onPage = nil
	delete(b.crm.fail, "contacts")
	again := New(b.cfg, b.crm, b.store, b.log) // another process
	again.SetConnections(b.connections())
	var told []int
	must(t, again.SyncContacts(ctx, 0, func(n int) { told = append(told, n) }))
	same(t, "reads", b.crm.pages, []string{"from 0", "from 249", "from 249", "from 498", "from 747"})
	same(t, "progress", told, []int{499, 748, 3 * contactsPage})
	equal(t, "complete", again.Complete(), true)
}

func TestContacts_NobodyIsPassedOverWhileOthersAreDeleted(t *testing.T) {
	for name, c := range map[string]struct{ last, at, n int }{ // of so many, n of the first are deleted before a read
		"one":                            {600, 2, 1},
		"a few":                          {600, 2, 3},
		"as many as were read":           {600, 2, 250},
		"more than two reads hold":       {3000, 6, 700},
		"all that was read but the last": {600, 2, 249},
		"before the last read":           {600, 3, 5},
		"so many that the list ends":     {600, 3, 480},
		"all of them":                    {600, 3, 600},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.crm.contacts = people(c.last)
			b.crm.onPage = func(read int) {
				if read == c.at {
					b.crm.set(func() { b.crm.contacts = b.crm.contacts[c.n:] })
				}
			}
			must(t, b.SyncContacts(ctx, 0, func(int) {}))
			equal(t, "complete", b.Complete(), true)
			missing := 0
			for _, p := range b.crm.contacts {
				if number, _ := phone.E164(p.Phones[0].Text, "RU"); len(b.found(number)) == 0 {
					missing++
				}
			}
			equal(t, "missing", missing, 0)
			if n := len(b.crm.pages); n > c.last/240+5 {
				t.Errorf("%d reads", n)
			}
		})
	}
}

func TestContacts_PassOverAListThatNeverStandsStillIsGivenUp(t *testing.T) {
	b := newBench(t, nil)
	b.crm.contacts = people(3 * contactsPage)
	b.crm.onPage = func(read int) { // its front comes and goes
		b.crm.set(func() {
			if read > 1 {
				b.crm.contacts = people(3 * contactsPage)[2*contactsPage:]
			}
			if read%2 == 1 {
				b.crm.contacts = people(3 * contactsPage)
			}
		})
	}
	if err := b.SyncContacts(ctx, 0, func(int) {}); !errors.Is(err, errMoving) {
		t.Errorf("%v after %d reads", err, len(b.crm.pages))
	}
	equal(t, "complete", b.Complete(), false)
}

func TestContacts_ChangesAreKnownFromWhenThePassBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.crm.contacts = people(contactsPage + 1)
		start := time.Now().Unix()
		b.crm.onPage = func(int) { pass(time.Hour) } // a long pass
		must(t, b.SyncContacts(ctx, 0, func(int) {}))
		b.crm.onPage = nil
		b.crm.pages = nil
		must(t, b.Keeper.contacts(ctx))
		same(t, "pages", b.crm.pages, []string{fmt.Sprintf("1@%d", start-300)})
		b.crm.pages = nil
		pass(time.Minute)
		must(t, b.Keeper.contacts(ctx))
		same(t, "pages", b.crm.pages, []string{fmt.Sprintf("1@%d", start+7200-300)})
	})
}

func TestContacts_ChangesReplaceWhatWasKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.crm.contacts = people(2)
		must(t, b.Keeper.contacts(ctx))
		pass(time.Hour)
		b.crm.contacts[0].Phones[0].Text, b.crm.contacts[0].UpdatedAt = "+79160009999", time.Now().Unix()
		b.crm.contacts[1].Deleted, b.crm.contacts[1].UpdatedAt = true, time.Now().Unix()
		must(t, b.Keeper.contacts(ctx))
		same(t, "the old phone", b.found("+79160000000"), nil)
		same(t, "the new phone", b.found("+79160009999"), []int64{1})
		same(t, "the deleted one", b.found("+79160000001"), nil)
	})
}

func TestContacts_TooManyAreLeftToACommand(t *testing.T) {
	b := newBench(t, nil)
	b.crm.contacts = people(3*contactsPage + 1)
	must(t, b.SyncContacts(ctx, 2*contactsPage, func(int) {}))
	equal(t, "complete", b.Complete(), false)
	b.crm.pages = nil
	must(t, b.Keeper.contacts(ctx)) // the sweep
	equal(t, "pages the sweep reads", len(b.crm.pages), 0)
	must(t, b.SyncContacts(ctx, 0, func(int) {})) // the command
	same(t, "reads of the command", b.crm.pages, []string{"from 0", "from 249", "from 498", "from 747"})
	equal(t, "complete", b.Complete(), true)
	b.crm.pages = nil
	must(t, b.Keeper.contacts(ctx))
	equal(t, "pages the sweep reads from now on", len(b.crm.pages), 1)
}

func TestContacts_AsManyAsAllowedAreRead(t *testing.T) {
	b := newBench(t, nil)
	b.crm.contacts = people(2 * contactsPage)
	must(t, b.SyncContacts(ctx, 2*contactsPage, func(int) {}))
	equal(t, "complete", b.Complete(), true)
}

func TestContacts_SwitchedOff(t *testing.T) {
	b := newBench(t, func(c *Config) { c.ContactsSync = false })
	must(t, b.Keeper.contacts(ctx))
	equal(t, "pages", len(b.crm.pages), 0)
}

func TestComplete_IsTrueNoLongerThanTheSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		equal(t, "complete before anything", b.Complete(), false)
		must(t, b.SyncContacts(ctx, 0, func(int) {}))
		pass(b.cfg.Sweep + 50*time.Second) // a sweep that takes its time
		equal(t, "complete until the next sweep", b.Complete(), true)
		pass(20 * time.Second)
		equal(t, "complete without one", b.Complete(), false)
		must(t, b.Keeper.contacts(ctx))
		equal(t, "complete after it", b.Complete(), true)
	})
}

const hookURL = "https://bridge.example.com/amocrm/shop/secret"

func TestSubscription_State(t *testing.T) {
	ours := func(disabled bool, settings ...string) []amocrm.WebhookInfo {
		return []amocrm.WebhookInfo{{Destination: "https://other.example"}, {Destination: hookURL, Disabled: disabled, Settings: settings}}
	}
	refused := &amocrm.Refused{Status: 403}
	for name, c := range map[string]struct {
		url         string
		setup       bool
		list        []amocrm.WebhookInfo
		look, write error
		state       string
		subs        int
	}{
		"there":                            {hookURL, false, ours(false, HookSettings()...), nil, nil, "ok", 0},
		"there, not told of contacts":      {hookURL, false, ours(false, "add_lead", "add_contact"), nil, nil, "partial", 0},
		"there but for one, under setup":   {hookURL, true, ours(false, HookSettings()[1:]...), nil, nil, "partial", 0},
		"there under setup":                {hookURL, true, ours(false, HookSettings()...), nil, nil, "ok", 0},
		"missing":                          {hookURL, false, nil, nil, nil, "missing", 0},
		"only somebody else's":             {hookURL, false, []amocrm.WebhookInfo{{Destination: "https://other.example"}}, nil, nil, "missing", 0},
		"disabled":                         {hookURL, false, ours(true), nil, nil, "disabled", 0},
		"missing under setup":              {hookURL, true, nil, nil, nil, "ok", 1},
		"disabled under setup":             {hookURL, true, ours(true), nil, nil, "ok", 1},
		"missing under setup, no right to": {hookURL, true, nil, nil, refused, "missing", 0},
		"no right to look":                 {hookURL, true, nil, refused, nil, "unknown", 0},
		"off":                              {"", true, nil, nil, nil, "off", 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.SetConnections([]Connection{{Name: shop, HookURL: c.url, Setup: c.setup}})
			b.crm.hooks = c.list
			b.crm.fail["webhooks"], b.crm.fail["subscribe"] = c.look, c.write
			must(t, b.subscriptions(ctx))
			equal(t, "state", b.Hooks(shop), c.state)
			equal(t, "subscribed", len(b.crm.subs), c.subs)
		})
	}
}

func TestSubscription_IsUnknownUntilLookedAt(t *testing.T) {
	b := newBench(t, nil)
	equal(t, "state", b.Hooks(shop), "unknown")
	b.SetConnections([]Connection{{Name: shop, HookURL: hookURL}})
	b.crm.fail["webhooks"] = errDown
	if b.subscriptions(ctx) == nil {
		t.Error("no error")
	}
	equal(t, "state while amoCRM is down", b.Hooks(shop), "unknown")
}
