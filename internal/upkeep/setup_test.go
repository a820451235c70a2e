package upkeep

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
)

func TestMarkers_AreMadeWhereMissingAndAllowed(t *testing.T) {
	with := map[string][]dict.Field{"leads": {{ID: 1, Name: "Jivo ID", Type: "text"}}}
	for name, c := range map[string]struct {
		field  string
		setup  bool
		fields map[string][]dict.Field
		want   []string
	}{
		"both missing":  {"Jivo ID", true, nil, []string{"leads/Jivo ID", "contacts/Jivo ID"}},
		"one missing":   {"Jivo ID", true, with, []string{"contacts/Jivo ID"}},
		"setup by hand": {"Jivo ID", false, nil, nil},
		"none wanted":   {"", true, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.SetConnections([]Connection{{Name: "other", MarkerField: "Other ID"}, {Name: shop, Setup: c.setup, MarkerField: c.field}})
			b.dict = &dict.Snapshot{Fields: c.fields}
			b.Keeper.dict.Store(b.dict)
			must(t, b.markers(ctx))
			same(t, "made", b.crm.fields, c.want)
			equal(t, "dictionary in doubt", len(b.doubtful) == 1, len(c.want) > 0)
		})
	}
}

// Connections that share an account may mark by fields of their own; what two share is
// made once, and nothing is made for one whose name belongs to another account.
func TestMarkers_AreMadeForEachConnectionOfAnAccount(t *testing.T) {
	b := newBench(t, nil)
	b.SetConnections([]Connection{
		{Name: "by hand", MarkerField: "A"}, {Name: "b", Setup: true, MarkerField: "B"}, {Name: "b2", Setup: true, MarkerField: "B"},
		{Name: "c", Setup: true, MarkerField: "C", Pinned: 1}, {Name: "foreign", Setup: true, MarkerField: "D", Pinned: 2, HookURL: hookURL},
	})
	b.dict = &dict.Snapshot{AccountID: 1}
	b.Keeper.dict.Store(b.dict)
	must(t, b.markers(ctx))
	same(t, "made", b.crm.fields, []string{"leads/B", "contacts/B", "leads/C", "contacts/C"})
	must(t, b.subscriptions(ctx))
	equal(t, "subscriptions", len(b.crm.subs), 0)
}

// A connection that comes to an account with a reload is seen to at once, not at the
// next sweep.
func TestSetup_OfANewConnectionDoesNotWaitForTheSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(cfg *Config) { cfg.Sweep = time.Hour })
		had := []Connection{{Name: "had", HookURL: "https://had.example", Setup: true}}
		b.SetConnections(had)
		defer b.run()()
		time.Sleep(time.Minute)
		b.SetConnections(slices.Clone(had))
		time.Sleep(time.Minute)
		feeds := len(b.crm.feedFrom)
		b.SetConnections(append(had, Connection{Name: shop, HookURL: hookURL, Setup: true}))
		time.Sleep(time.Second)
		equal(t, "hooks", b.Hooks(shop), "ok")
		if feeds > 1 {
			t.Errorf("%d sweeps before anything was new", feeds)
		}
	})
}

// fieldsOf has the account make fields for real. lose says what becomes of the
// n-th request (from 1): whether the field is made, and what comes of it; asked
// are the requests' times.
func (b *bench) fieldsOf(lose func(n int) (made bool, err error)) (asked *[]time.Duration) {
	b.SetConnections([]Connection{{Name: shop, Setup: true, MarkerField: "Jivo ID"}})
	start := time.Now()
	asked = new([]time.Duration)
	b.crm.onField = func(entity, name string) error {
		*asked = append(*asked, time.Since(start))
		made, err := lose(len(*asked))
		if !made {
			return err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		d := &dict.Snapshot{AccountID: 1, Fields: map[string][]dict.Field{}}
		for e, f := range b.dict.Fields {
			d.Fields[e] = f
		}
		d.Fields[entity] = append(d.Fields[entity], dict.Field{ID: int64(len(*asked)), Name: name, Type: "text"})
		b.dict = d
		return err
	}
	return asked
}

func settingUp(t *testing.T) *bench {
	return newBench(t, func(cfg *Config) { cfg.InDoubtAfter = 10 * time.Second })
}

// A field whose making lost its answer is looked up before it is made again, and
// the other entity's does not wait for that.
func TestMarkers_OneInDoubtIsLookedUpBeforeItIsMadeAgain(t *testing.T) {
	for name, c := range map[string]struct {
		landed bool
		err    error
		want   []string
	}{
		"made, answer lost":  {true, &amocrm.InDoubt{Trouble: amocrm.Unavailable}, []string{"leads/Jivo ID", "contacts/Jivo ID"}},
		"not made":           {false, &amocrm.InDoubt{Trouble: amocrm.Unavailable}, []string{"leads/Jivo ID", "contacts/Jivo ID", "leads/Jivo ID"}},
		"turned away, a 402": {false, &amocrm.NotSent{Trouble: amocrm.Unpaid}, []string{"leads/Jivo ID", "contacts/Jivo ID", "leads/Jivo ID"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := settingUp(t)
				asked := b.fieldsOf(func(n int) (bool, error) {
					if n == 1 {
						return c.landed, c.err
					}
					return true, nil
				})
				defer b.run()()
				pass(time.Minute)
				same(t, "made", b.crm.fields, c.want)
				equal(t, "there is a dictionary", b.Dict() != nil && len(b.lacking(b.Dict())) == 0, true)
				if _, lost := c.err.(*amocrm.InDoubt); lost && len(*asked) > 2 && (*asked)[2] < 10*time.Second {
					t.Errorf("made again after %v", (*asked)[2])
				}
				pass(time.Hour)
				same(t, "made in the end", b.crm.fields, c.want)
			})
		})
	}
}

// The account is paused by the lost answer: leads and contacts get their fields
// when it is back, not at the next sweep.
func TestMarkers_WaitOutAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := settingUp(t)
		over := make(chan struct{})
		b.fieldsOf(func(n int) (bool, error) {
			switch n {
			case 1:
				b.crm.paused = over // by the fake's lock, which is held
				return true, &amocrm.InDoubt{Trouble: amocrm.Unavailable}
			case 2:
				return false, &amocrm.NotSent{Trouble: amocrm.Paused, Reason: amocrm.Unavailable}
			}
			return true, nil
		})
		defer b.run()()
		pass(30 * time.Minute)
		equal(t, "asked while paused", len(b.crm.fields), 2)
		b.crm.set(func() { close(over); b.crm.paused = nil })
		pass(time.Second)
		same(t, "made", b.crm.fields, []string{"leads/Jivo ID", "contacts/Jivo ID", "contacts/Jivo ID"})
	})
}

// An account that takes reads and never a field has its dictionary all the same,
// and is not asked more often than a few times a sweep.
func TestMarkers_AnAccountThatNeverMakesOneIsWorkedWith(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		most int // requests in an hour
	}{
		"unpaid":   {&amocrm.NotSent{Trouble: amocrm.Unpaid}, 2 * (setupTries + 13*(setupTries+1))},
		"no right": {&amocrm.Refused{Status: 403}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := settingUp(t)
				b.fieldsOf(func(int) (bool, error) { return false, c.err })
				defer b.run()()
				pass(time.Minute)
				equal(t, "there is a dictionary", b.Dict() != nil, true)
				pass(time.Hour - 2*time.Minute)
				if n := len(b.crm.fields); n > c.most {
					t.Errorf("asked %d times in an hour, at most %d", n, c.most)
				}
			})
		})
	}
}

// A field that somebody made by hand since the dictionary was read is not made
// again by the sweep.
func TestMarkers_SweepLooksBeforeItMakes(t *testing.T) {
	b := settingUp(t)
	b.fieldsOf(func(int) (bool, error) { return true, nil })
	b.Keeper.dict.Store(b.dict)
	field := []dict.Field{{ID: 1, Name: "Jivo ID", Type: "text"}}
	b.dict = &dict.Snapshot{Fields: map[string][]dict.Field{"leads": field, "contacts": field}}
	must(t, b.markers(ctx))
	equal(t, "asked", len(b.crm.fields), 0)
	equal(t, "the dictionary is the new one", b.Dict(), b.dict)
}

// What a pause cut short is taken up when it is over: a subscription whose answer
// was lost is looked up and, if it is missing, asked for again.
func TestSubscription_IsTakenUpAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(cfg *Config) { cfg.InDoubtAfter = 10 * time.Second })
		b.SetConnections([]Connection{{Name: shop, HookURL: hookURL, Setup: true}})
		b.crm.fail["subscribe"] = &amocrm.InDoubt{Trouble: amocrm.Unavailable}
		defer b.run()()
		pass(time.Second)
		equal(t, "state", b.Hooks(shop), "unknown")
		b.crm.set(func() { delete(b.crm.fail, "subscribe") })
		pass(10 * time.Second)
		equal(t, "state after it", b.Hooks(shop), "ok")
		equal(t, "subscribed", len(b.crm.subs), 1)
	})
}

// One connection's trouble keeps no other waiting.
func TestSubscription_EachConnectionOnItsOwn(t *testing.T) {
	b := newBench(t, nil)
	b.SetConnections([]Connection{{Name: "first", HookURL: "https://first.example", Setup: true}, {Name: shop, HookURL: hookURL}})
	b.crm.hooks = []amocrm.WebhookInfo{{Destination: hookURL, Settings: HookSettings()}}
	b.crm.fail["subscribe"] = errDown
	if b.subscriptions(ctx) == nil {
		t.Error("no error")
	}
	equal(t, "state of the other", b.Hooks(shop), "ok")
}
