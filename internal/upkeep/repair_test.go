package upkeep

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// Every lead bears its marker, the first too: a field whose making failed at first is
// made, and read, before there is a dictionary to work with.
func TestDictionary_TheFirstHasItsMarkersWhateverWentWrong(t *testing.T) {
	inDoubt := &amocrm.InDoubt{Trouble: amocrm.Unavailable}
	for name, lose := range map[string]func(n int) (bool, error){
		"nothing":               func(int) (bool, error) { return true, nil },
		"made, answer lost":     func(n int) (bool, error) { return true, map[bool]error{true: inDoubt}[n == 1] },
		"not made, answer lost": func(n int) (bool, error) { return n > 1, map[bool]error{true: inDoubt}[n == 1] },
		"turned away": func(n int) (bool, error) {
			return n > 1, map[bool]error{true: &amocrm.NotSent{Trouble: amocrm.Paused}}[n == 1]
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := settingUp(t)
				b.fieldsOf(lose)
				var lacking []marker
				told := 0
				b.cfg.Read = func(first bool) {
					if first {
						told, lacking = told+1, b.lacking(b.Dict())
					}
				}
				defer b.run()()
				pass(time.Minute)
				equal(t, "told", told, 1)
				equal(t, "fields the first dictionary lacks", len(lacking), 0)
			})
		})
	}
}

// A field whose answer is lost again and again is asked for again no sooner than
// in_doubt_after, or a name would stand twice; and no later, or leads would be made
// without their marker until the next sweep.
func TestMarkers_InDoubtAgainAndAgainKeepTheirPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := settingUp(t)
		asked := b.fieldsOf(func(n int) (bool, error) {
			if n == 2 { // the contacts'
				return true, nil
			}
			return n > 5, map[bool]error{true: &amocrm.InDoubt{Trouble: amocrm.Unavailable}}[n <= 5]
		})
		defer b.run()()
		pass(2 * time.Minute)
		leads := slices.Delete(slices.Clone(*asked), 1, 2)
		equal(t, "times the leads' was asked for", len(leads), 5)
		for i := 1; i < len(leads); i++ {
			if gap := leads[i] - leads[i-1]; gap < 10*time.Second || gap > 12*time.Second {
				t.Errorf("asked for again after %v", gap)
			}
		}
		equal(t, "fields it lacks", len(b.lacking(b.Dict())), 0)
	})
}

// A field that was turned away was not made: it is asked for again with the account's
// return, not in_doubt_after later.
func TestMarkers_TurnedAwayIsNoDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(cfg *Config) { cfg.InDoubtAfter = 10 * time.Minute })
		b.dict = &dict.Snapshot{AccountID: 1, Fields: map[string][]dict.Field{"contacts": {{ID: 9, Name: "Jivo ID", Type: "text"}}}}
		asked := b.fieldsOf(func(n int) (bool, error) {
			return n > 1, map[bool]error{true: &amocrm.NotSent{Trouble: amocrm.Paused}}[n == 1]
		})
		defer b.run()()
		pass(10 * time.Second)
		equal(t, "asked", len(*asked), 2)
		equal(t, "there is a dictionary", b.Dict() != nil, true)
	})
}

// Fields that were made and could not be read back are read soon: until then nothing
// is written into them.
func TestMarkers_MadeAndNotReadBackAreReadSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := settingUp(t)
		b.fieldsOf(func(n int) (bool, error) {
			if n == 2 {
				b.mu.Lock()
				b.err = errDown
				b.mu.Unlock()
			}
			return true, nil
		})
		defer b.run()()
		pass(time.Second)
		equal(t, "fields it lacks at first", len(b.lacking(b.Dict())), 2)
		b.mu.Lock()
		b.err = nil
		b.mu.Unlock()
		pass(2 * doubtRest)
		equal(t, "fields it lacks", len(b.lacking(b.Dict())), 0)
	})
}

// While amoCRM does not answer, doubts make no look at the dictionary more than there
// are anyway.
func TestDictionary_DoubtsOfAnAccountThatIsDownMakeNoRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		start := time.Now()
		defer b.run()()
		synctest.Wait()
		b.mu.Lock()
		b.err = errDown
		b.mu.Unlock()
		pass(time.Hour)
		for range 120 {
			b.Doubtful()
			pass(time.Second)
		}
		same(t, "reads", b.at(start), []time.Duration{0, time.Hour, time.Hour + time.Minute, time.Hour + 2*time.Minute})
	})
}

// during has this happen after amoCRM read the leads and before its answer.
func (b *bench) during(change func(c *event.LeadCard)) {
	b.crm.onLeads = func() {
		b.crm.set(func() { b.crm.onLeads = nil })
		time.Sleep(time.Millisecond) // of the bubble
		b.update(func(tx *store.Tx) error {
			c, _, err := store.Get[event.LeadCard](tx, store.Cards, cardKey(5))
			change(&c)
			_ = store.Set(tx, store.Cards, cardKey(5), c)
			return err
		})
	}
}

// A hook's own stage is shown until a read confirms it: one that was under way when
// the hook came does not take it back.
func TestReread_UnderWayDoesNotTakeAHooksStageBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.crm.leads[5] = lead(5, 100, 11)
		b.setCard(event.LeadCard{Lead: lead(5, 100, 11), Dirty: true})
		b.during(func(c *event.LeadCard) { c.ApplyThin(1, 12, time.Now()) })
		must(t, b.reread(ctx, shop, []int64{5}))
		c, _ := b.card(5)
		equal(t, "stage", c.Lead.StatusID, 12)
		equal(t, "dirty", c.Dirty, true)
	})
}

// Nor does one take away the task that a hook told of meanwhile; both are read again,
// by this process or the next.
func TestReread_UnderWayDoesNotTakeAHooksTaskBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.crm.leads[5] = lead(5, 100, 11)
		b.setCard(event.LeadCard{Lead: lead(5, 100, 11)})
		b.during(func(c *event.LeadCard) {
			c.SetTask(event.Task{ID: 7, EntityID: 5, CompleteTill: 9})
			c.TasksAt = time.Now()
		})
		must(t, b.reread(ctx, shop, []int64{5}))
		c, _ := b.card(5)
		equal(t, "tasks", len(c.Tasks), 1)
		equal(t, "dirty", c.Dirty, true)
		same(t, "to be read", b.queued(), []int64{5})
	})
}

// Tasks that are read for many leads at once stand on their own lead.
func TestReread_EachLeadHasItsOwnTasks(t *testing.T) {
	b := newBench(t, nil)
	b.crm.leads[5], b.crm.leads[6] = lead(5, 100, 11), lead(6, 100, 11)
	b.crm.tasks = []event.Task{{ID: 1, EntityID: 5, CompleteTill: 9}, {ID: 2, EntityID: 6, CompleteTill: 8}}
	for _, id := range []int64{5, 6} {
		b.setCard(event.LeadCard{Lead: lead(id, 100, 11), Dirty: true})
	}
	must(t, b.reread(ctx, shop, []int64{5, 6}))
	for id, want := range map[int64]int64{5: 1, 6: 2} {
		if c, _ := b.card(id); len(c.Tasks) != 1 || c.Tasks[0].ID != want {
			t.Errorf("tasks of %d: %+v", id, c.Tasks)
		}
	}
}

// slowClock is an account whose clock is behind this machine's.
type slowClock struct {
	*fakeCRM
	behind time.Duration
	next   func() // after each page
}

func (s slowClock) ServerTime() time.Time { return s.fakeCRM.ServerTime().Add(-s.behind) }

func (s slowClock) ContactsChanged(ctx context.Context, page int, since int64) ([]event.Contact, bool, error) {
	defer s.next()
	return s.fakeCRM.ContactsChanged(ctx, page, since)
}

// What happened is read from the position on, by the server's clock: a machine whose
// clock is ahead misses nothing. Contacts that change while changes are read are among
// the next.
func TestSweep_GoesByTheServersClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ahead, reading = time.Hour, 20 * time.Minute
		b := newBench(t, nil)
		b.crm.contacts = people(1)
		b.Keeper.crm = slowClock{b.crm, ahead, func() { time.Sleep(reading) }}
		start := time.Now()
		must(t, b.feed(ctx))
		must(t, b.contacts(ctx)) // the full pass
		pass(2 * time.Hour)
		second := time.Now()
		must(t, b.feed(ctx))
		must(t, b.contacts(ctx))
		pass(2 * time.Hour)
		must(t, b.feed(ctx))
		must(t, b.contacts(ctx))
		position := func(at time.Time) int64 { return at.Add(-ahead - overlap).Unix() }
		same(t, "feed read from", b.crm.feedFrom, []int64{position(start), position(second)})
		var since []string
		for _, p := range b.crm.pages {
			if _, from, ok := strings.Cut(p, "1@"); ok {
				since = append(since, from)
			}
		}
		same(t, "changes read from", since, []string{strconv.FormatInt(position(start), 10), strconv.FormatInt(position(second), 10)})
	})
}

// What the bridge made itself is no news to the sweep.
func TestFeed_OwnCreationIsNotReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		must(t, b.feed(ctx))
		now := time.Now()
		var c event.LeadCard
		c.ApplyOwn(lead(5, now.Unix(), 11), now)
		b.setCard(c)
		b.crm.feed = []amocrm.FeedEvent{about("a", 5, now)}
		must(t, b.feed(ctx))
		equal(t, "to be read", len(b.queued()), 0)
	})
}

// Only what the account's trouble cut short is tried again before the next sweep; the
// rest has been seen to. But a connection that comes meanwhile is seen to whole.
func TestSweep_OnlyWhatWasCutShortIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := settingUp(t)
		b.crm.fail["contacts"] = &amocrm.NotSent{Trouble: amocrm.Unavailable}
		defer b.run()()
		pass(15 * time.Second)
		equal(t, "tries of the contacts", len(b.crm.pages), 2)
		equal(t, "looks at the feed", len(b.crm.feedFrom), 0) // the first only stores the position
		b.SetConnections([]Connection{{Name: shop, Region: "RU"}, {Name: "new", HookURL: hookURL, Setup: true}})
		pass(time.Second)
		equal(t, "hooks of the new one", b.Hooks("new"), "ok")
	})
}

// The same connections again are no reason to sweep.
func TestSweep_SameConnectionsAgainMakeNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.run()()
		pass(time.Minute)
		b.SetConnections([]Connection{{Name: shop, Region: "RU"}})
		pass(time.Minute)
		equal(t, "looks at the feed", len(b.crm.feedFrom), 0)
	})
}

// subscriber notes what is subscribed to.
type subscriber struct {
	*fakeCRM
	settings *[]string
}

func (s subscriber) SubscribeWebhook(ctx context.Context, destination string, settings []string) (amocrm.WebhookInfo, error) {
	*s.settings = settings
	return s.fakeCRM.SubscribeWebhook(ctx, destination, settings)
}

// A subscription is made for every hook that has an effect (product.md §7) and whose
// name amoCRM tells (amocrm-api.md §4.14).
func TestSubscription_IsMadeForEveryHookWithAnEffect(t *testing.T) {
	b := newBench(t, nil)
	var settings []string
	b.Keeper.crm = subscriber{b.crm, &settings}
	b.SetConnections([]Connection{{Name: shop, HookURL: hookURL, Setup: true}})
	must(t, b.subscriptions(ctx))
	for _, want := range []string{
		"add_lead", "update_lead", "status_lead", "responsible_lead", "restore_lead", "delete_lead", "note_lead",
		"add_contact", "update_contact", "delete_contact", "restore_contact", "responsible_contact",
		"add_task", "update_task", "delete_task",
	} {
		if !slices.Contains(settings, want) {
			t.Errorf("%s is not asked for", want)
		}
	}
}

// One connection that is told of contacts is enough for the directory they share.
func TestSubscription_OneThatHearsOfContactsIsEnough(t *testing.T) {
	b := newBench(t, nil)
	b.SetConnections([]Connection{{Name: shop, HookURL: hookURL}, {Name: "deaf"}})
	b.crm.hooks = []amocrm.WebhookInfo{{Destination: hookURL, Settings: HookSettings()}}
	must(t, b.subscriptions(ctx))
}

// Without a public_url a hook that ends in the connection's own path is its own; with
// one, only that URL is: another bridge may stand behind the same path.
func TestSubscription_IsKnownByItsPathWithoutAPublicURL(t *testing.T) {
	const path = "/amocrm/shop/secret"
	for name, c := range map[string]struct {
		url, destination, state string
	}{
		"no public_url, our path":         {"", "https://any.example" + path, "ok"},
		"no public_url, another's path":   {"", "https://any.example/amocrm/other/secret", "missing"},
		"public_url, our path elsewhere":  {hookURL, "https://old.example" + path, "missing"},
		"public_url, our own destination": {hookURL, hookURL, "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.SetConnections([]Connection{{Name: shop, HookPath: path, HookURL: c.url}})
			b.crm.hooks = []amocrm.WebhookInfo{{Destination: c.destination, Settings: HookSettings()}}
			must(t, b.subscriptions(ctx))
			equal(t, "state", b.Hooks(shop), c.state)
		})
	}
}

// A hook that amoCRM does not send is an alarm, once.
func TestSubscription_MissingAndDisabledAreAnAlarmOnce(t *testing.T) {
	for state, list := range map[string][]amocrm.WebhookInfo{
		"missing":  nil,
		"disabled": {{Destination: hookURL, Disabled: true, Settings: HookSettings()}},
	} {
		t.Run(state, func(t *testing.T) {
			b := newBench(t, nil)
			var log bytes.Buffer
			b.log = slog.New(slog.NewTextHandler(&log, nil))
			b.SetConnections([]Connection{{Name: shop, HookURL: hookURL}})
			b.crm.hooks = list
			for range 3 {
				must(t, b.subscriptions(ctx))
			}
			equal(t, "state", b.Hooks(shop), state)
			equal(t, "alarms", strings.Count(log.String(), "level=ERROR"), 1)
		})
	}
}
