package upkeep

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// at says how long after the start each load of the dictionary was.
func (b *bench) at(start time.Time) (out []time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.loads {
		out = append(out, l.Sub(start))
	}
	return out
}

func TestDictionary_IsTriedUntilItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.err = errDown
		start := time.Now()
		defer b.run()()
		pass(3*time.Minute + time.Second)
		same(t, "tries", b.at(start), []time.Duration{0, 2 * time.Second, 6 * time.Second, 14 * time.Second, 30 * time.Second, 62 * time.Second, 122 * time.Second})
		if b.Dict() != nil || b.told() != 0 {
			t.Error("there is a dictionary that never came")
		}
		b.mu.Lock()
		b.err = nil
		b.mu.Unlock()
		pass(time.Minute)
		if b.Dict() != b.dict {
			t.Error("it did not come")
		}
		equal(t, "told", b.told(), 1)
	})
}

// What keeps events waiting is told: a warning at once, an alarm when it lasts, and
// the cause where readyz is asked. The end of the process is no cause.
func TestDictionary_SaysWhyItIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		var log bytes.Buffer
		b.log = slog.New(slog.NewTextHandler(&log, nil))
		b.err = errDown
		stop := b.run()
		pass(10 * time.Minute)
		if err := b.Unread(); !errors.Is(err, errDown) {
			t.Errorf("the cause is %v", err)
		}
		for level, want := range map[string]int{"WARN": 1, "ERROR": 1} {
			equal(t, level, strings.Count(log.String(), "level="+level), want)
		}
		b.mu.Lock()
		b.err = nil
		b.mu.Unlock()
		pass(time.Minute)
		if err := b.Unread(); err != nil {
			t.Errorf("it came, and the cause is %v", err)
		}
		stop()
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(c *Config) {
			c.Load = func(ctx context.Context) (*dict.Snapshot, error) { <-ctx.Done(); return nil, ctx.Err() }
		})
		var log bytes.Buffer
		b.log = slog.New(slog.NewTextHandler(&log, nil))
		b.run()()
		if log.Len() > 0 {
			t.Errorf("a stop is told as trouble: %s", log.String())
		}
	})
}

func TestDictionary_IsReadAgainEveryRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		start := time.Now()
		defer b.run()()
		pass(2*time.Hour + time.Second)
		same(t, "reads", b.at(start), []time.Duration{0, time.Hour, 2 * time.Hour})
		equal(t, "told of the first only", b.told(), 1)
	})
}

func TestDictionary_TheOldOneStaysWhileTheNewCannotBeHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		start := time.Now()
		defer b.run()()
		synctest.Wait()
		b.mu.Lock()
		b.err = errDown
		b.mu.Unlock()
		pass(time.Hour + 2*time.Minute + time.Second)
		if b.Dict() != b.dict {
			t.Error("the dictionary is gone")
		}
		same(t, "tries", b.at(start), []time.Duration{0, time.Hour, time.Hour + time.Minute, time.Hour + 2*time.Minute})
	})
}

func TestDictionary_DoubtIsLookedIntoSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		start := time.Now()
		defer b.run()()
		pass(10 * time.Minute)
		b.Doubtful()
		synctest.Wait()
		same(t, "reads", b.at(start), []time.Duration{0, 10 * time.Minute})
	})
}

func TestDictionary_ManyDoubtsMakeFewReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.run()()
		pass(10 * time.Minute)
		for range 600 { // a refusal each 100 ms
			b.Doubtful()
			pass(100 * time.Millisecond)
		}
		if n := b.loadCount(); n > 1+int(time.Minute/doubtRest)+1 {
			t.Errorf("%d reads in a minute of refusals", n-1)
		}
	})
}

func TestDictionary_ThatNeverCameIsTriedAtOnceAfterConsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.err = errDown
		defer b.run()()
		pass(62*time.Second + doubtRest + time.Second) // the waits are a minute by now
		b.mu.Lock()
		b.err = nil
		b.mu.Unlock()
		b.Doubtful()
		synctest.Wait()
		if b.Dict() == nil {
			t.Error("it waits on")
		}
	})
}

func lead(id, updated, status int64) event.Lead {
	return event.Lead{ID: id, UpdatedAt: updated, StatusID: status, PipelineID: 1}
}

func TestReread_PutsLeadAndTasksOnTheCard(t *testing.T) {
	b := newBench(t, nil)
	b.crm.leads[5] = lead(5, 200, 12)
	b.crm.tasks = []event.Task{{ID: 1, EntityID: 5, CompleteTill: 9}, {ID: 2, EntityID: 6}}
	b.setCard(event.LeadCard{Lead: lead(5, 100, 11), Dirty: true, Tasks: []event.Task{{ID: 9, EntityID: 5}}})
	must(t, b.reread(context.Background(), shop, []int64{5}))
	c, _ := b.card(5)
	if c.Lead.StatusID != 12 || c.Dirty || len(c.Tasks) != 1 || c.Tasks[0].ID != 1 {
		t.Errorf("card %+v", c)
	}
	b.view(func(tx *store.Tx) { // so that a delete hook, which names the task only, finds it
		at, ok, _ := store.Get[int64](tx, store.Positions, store.Key(shop, "task", "1"))
		if !ok || at != 5 {
			t.Errorf("task 1 stands on %d, %v", at, ok)
		}
	})
}

func TestReread_DeletedLeadLosesItsLinks(t *testing.T) {
	b := newBench(t, nil)
	gone := lead(6, 1, 1)
	gone.Deleted = true
	b.crm.leads[6], b.crm.leads[7] = gone, lead(7, 1, 1)
	b.setCard(event.LeadCard{Lead: lead(7, 1, 1)})
	must(t, b.reread(context.Background(), shop, []int64{5, 6, 7}))
	same(t, "dropped", b.drops, []int64{5, 6})
}

func TestReread_WhatWasDroppedMeanwhileStaysSo(t *testing.T) {
	b := newBench(t, nil)
	b.crm.leads[5] = lead(5, 200, 12)
	must(t, b.reread(context.Background(), shop, []int64{5}))
	if _, ok := b.card(5); ok {
		t.Error("a card nobody follows has come back")
	}
	b.update(func(tx *store.Tx) error {
		return tx.PutClient(shop, &event.Client{ID: "1", Leads: []event.Link{{LeadID: 5}}})
	})
	must(t, b.reread(context.Background(), shop, []int64{5}))
	if _, ok := b.card(5); !ok {
		t.Error("a linked lead has no card")
	}
}

func TestReread_ManyMarksAreOneRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(c *Config) { c.ContactsSync = false })
		for id := range int64(3) {
			b.crm.leads[id+1] = lead(id+1, 200, 12)
			b.setCard(event.LeadCard{Lead: lead(id+1, 100, 11)})
		}
		for range 10 {
			for _, id := range []int64{3, 1, 2} {
				b.Dirty(shop, id)
			}
		}
		defer b.run()()
		synctest.Wait()
		equal(t, "reads", len(b.crm.reads), 1)
		same(t, "leads of the read", b.crm.reads[0], []int64{1, 2, 3})
	})
}

func TestReread_GoesInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		for id := range int64(perRead + 1) {
			b.Dirty(shop, id+1)
		}
		defer b.run()()
		synctest.Wait()
		equal(t, "reads", len(b.crm.reads), 2)
		equal(t, "leads of the first", len(b.crm.reads[0]), perRead)
	})
}

func TestReread_FailedOneIsTriedAgain(t *testing.T) {
	for _, what := range []string{"leads", "tasks"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, nil)
				b.crm.leads[5] = lead(5, 200, 12)
				b.crm.fail[what] = errDown
				b.setCard(event.LeadCard{Lead: lead(5, 100, 11)})
				b.Dirty(shop, 5)
				defer b.run()()
				synctest.Wait()
				equal(t, "drops while amoCRM is down", len(b.drops), 0)
				b.crm.set(func() { delete(b.crm.fail, what) })
				pass(6 * time.Second)
				if c, _ := b.card(5); c.Lead.StatusID != 12 {
					t.Errorf("card %+v", c)
				}
			})
		})
	}
}

// A token may have no right to see tasks: the lead is followed without them, and
// what hooks told of them stays.
func TestReread_LeadIsFollowedWhereTasksMayNotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(c *Config) { c.ContactsSync = false })
		b.crm.leads[5] = lead(5, 200, 12)
		b.crm.fail["tasks"] = &amocrm.Refused{Status: 403}
		b.setCard(event.LeadCard{Lead: lead(5, 100, 11), Dirty: true, Tasks: []event.Task{{ID: 9, EntityID: 5}}})
		stop := b.run()
		pass(10 * time.Minute)
		c, _ := b.card(5)
		if c.Dirty || c.Lead.StatusID != 12 || len(c.Tasks) != 1 || c.Tasks[0].ID != 9 {
			t.Errorf("card %+v", c)
		}
		equal(t, "reads", len(b.crm.reads), 1)
		b.crm.set(func() {
			delete(b.crm.fail, "tasks")
			b.crm.tasks = []event.Task{{ID: 1, EntityID: 5}}
		})
		b.Dirty(shop, 5)
		pass(time.Second)
		stop()
		if c, _ := b.card(5); len(c.Tasks) != 1 || c.Tasks[0].ID != 1 {
			t.Errorf("tasks %+v once they may be read", c.Tasks)
		}
	})
}

func TestReread_DirtOfAnEarlierProcessIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.SetConnections(nil) // they are given once the keeper runs
		load := b.cfg.Load
		b.cfg.Load = func(ctx context.Context) (*dict.Snapshot, error) { time.Sleep(time.Second); return load(ctx) }
		b.cfg.Read = func(bool) { b.SetConnections([]Connection{{Name: shop}}) }
		b.crm.leads[5] = lead(5, 200, 12)
		b.setCard(event.LeadCard{Lead: lead(5, 100, 11), Dirty: true})
		b.setCard(event.LeadCard{Lead: lead(6, 100, 11)})
		defer b.run()()
		pass(2 * time.Second)
		equal(t, "reads", len(b.crm.reads), 1)
		same(t, "leads of the read", b.crm.reads[0], []int64{5})
	})
}

func TestReread_DirtWhileTheReadIsOnIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.crm.leads[5] = lead(5, 100, 11)
		b.setCard(event.LeadCard{Lead: lead(5, 100, 11)})
		b.crm.onLeads = func() { // a hook comes after amoCRM read the lead and before its answer
			b.crm.set(func() { b.crm.onLeads, b.crm.leads[5] = nil, lead(5, 200, 12) })
			time.Sleep(time.Millisecond) // of the bubble, in the keeper's goroutine
			b.update(func(tx *store.Tx) error {
				c, _, err := store.Get[event.LeadCard](tx, store.Cards, cardKey(5))
				c.MarkDirty(time.Now())
				_ = store.Set(tx, store.Cards, cardKey(5), c)
				return err
			})
			b.Dirty(shop, 5)
		}
		b.Dirty(shop, 5)
		defer b.run()()
		pass(time.Second)
		equal(t, "reads", len(b.crm.reads), 2)
		if c, _ := b.card(5); c.Dirty || c.Lead.StatusID != 12 {
			t.Errorf("card %+v", c)
		}
	})
}

func TestRun_EndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, wait := range []time.Duration{0, time.Second, 10 * time.Minute} {
			b := newBench(t, nil)
			b.err = map[bool]error{true: errDown}[wait == 0]
			stop := b.run()
			pass(wait)
			stop()
		}
	})
}

var _ CRM = (*amocrm.Client)(nil)

// A lead made in the first seconds bears its marker too: the fields are made,
// and read, before there is a dictionary to work with.
func TestDictionary_ComesWithTheMarkersItHasMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.SetConnections([]Connection{{Name: shop, Setup: true, MarkerField: "Jivo ID"}})
		start := time.Now()
		defer b.run()()
		synctest.Wait()
		same(t, "made", b.crm.fields[:2], []string{"leads/Jivo ID", "contacts/Jivo ID"}) // the sweep of an account that forgets makes more
		same(t, "reads", b.at(start)[:2], []time.Duration{0, 0})
		equal(t, "told", b.told(), 1)
	})
}
