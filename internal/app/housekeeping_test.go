package app

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// keptHouse is an App with nothing but a store and a config: what housekeeping needs.
func keptHouse(t *testing.T) *App {
	t.Helper()
	st, err := store.Open(store.Options{Path: filepath.Join(t.TempDir(), "bridge.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	c := &config.Connection{Name: "shop", Park: 10 * time.Minute}
	c.AmoCRM.Backoff.Max, c.AmoCRM.InDoubtAfter = time.Hour, 10*time.Second
	return &App{log: slog.New(slog.DiscardHandler), store: st, cfg: &config.Config{
		Connections: []*config.Connection{c},
		Retention:   config.Retention{Events: 30 * 24 * time.Hour, Bodies: 7 * 24 * time.Hour, Dead: 90 * 24 * time.Hour},
	}}
}

// put journals an event in a state, due at a time.
func (a *App) put(t *testing.T, s event.State, next time.Time) uint64 {
	t.Helper()
	got, err := a.store.Append(context.Background(), event.Incoming{Event: event.Event{Connection: "shop", Source: event.Jivo, Kind: "created_deal", Client: "1", ReceivedAt: time.Now()}, Body: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	err = a.store.Update(context.Background(), func(tx *store.Tx) error {
		ev, err := tx.Event(got.Seq)
		if err != nil {
			return err
		}
		ev.State, ev.NextAt = s, next
		if s.Settled() {
			ev.SettledAt = time.Now()
		}
		return tx.Put(ev)
	})
	if err != nil {
		t.Fatal(err)
	}
	return got.Seq
}

func (a *App) dueIn(t *testing.T, seq uint64) time.Duration {
	t.Helper()
	var ev *event.Event
	err := a.store.View(func(tx *store.Tx) (err error) {
		ev, err = tx.Event(seq)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return time.Until(ev.NextAt)
}

func TestWakeUp_ParkedEventsWaitInServingTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, ctx := keptHouse(t), context.Background()
		parked := a.put(t, event.Parked, time.Now().Add(10*time.Minute))
		overdue := a.put(t, event.Parked, time.Now().Add(-time.Second))
		pending := a.put(t, event.Pending, time.Now().Add(10*time.Minute))
		a.alive(ctx, []string{"shop"})
		time.Sleep(8 * time.Minute) // down
		a.wakeUp(ctx, []string{"shop"})
		for seq, want := range map[uint64]time.Duration{parked: 10 * time.Minute, overdue: -8*time.Minute - time.Second, pending: 2 * time.Minute} {
			if got := a.dueIn(t, seq); got != want {
				t.Errorf("event %d is due in %s, want %s", seq, got, want)
			}
		}
	})
}

func TestWakeUp_FirstStartMovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := keptHouse(t)
		seq := a.put(t, event.Parked, time.Now().Add(time.Minute))
		a.wakeUp(context.Background(), []string{"shop"})
		if got := a.dueIn(t, seq); got != time.Minute {
			t.Errorf("due in %s", got)
		}
	})
}

func TestWakeUp_MoreThanOneSliceIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, ctx := keptHouse(t), context.Background()
		var seqs []uint64
		for range replaySlice + 3 {
			seqs = append(seqs, a.put(t, event.Parked, time.Now().Add(10*time.Minute)))
		}
		a.alive(ctx, []string{"shop"})
		time.Sleep(time.Minute)
		a.wakeUp(ctx, []string{"shop"})
		for _, seq := range seqs {
			if got := a.dueIn(t, seq); got != 10*time.Minute {
				t.Fatalf("event %d is due in %s", seq, got)
			}
		}
	})
}

func TestHousekeeping_PurgesByRetentionAndKeepsItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := keptHouse(t)
		old := a.put(t, event.Done, time.Time{})
		time.Sleep(31 * 24 * time.Hour)
		young := a.put(t, event.Done, time.Time{})
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { a.housekeeping(ctx); close(done) }()
		time.Sleep(purgeEvery*beat + time.Second)
		stop()
		<-done
		err := a.store.View(func(tx *store.Tx) error {
			if _, err := tx.Event(old); err == nil {
				t.Error("what retention lets go is there")
			}
			if _, err := tx.Event(young); err != nil {
				t.Errorf("what retention keeps: %v", err)
			}
			at, ok, err := store.Get[time.Time](tx, store.Positions, aliveKey("shop"))
			if !ok || !at.Equal(time.Now()) {
				t.Errorf("last alive %s ago", time.Since(at))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// What an anonymous visitor said is not kept for ever if they never come back.
func TestHousekeeping_WhatIsHeldLapses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := keptHouse(t)
		a.cfg.Connections[0].AnonymousHold = 30 * 24 * time.Hour
		began := time.Now()
		held := func(days ...int) (h []event.Held) {
			for _, d := range days {
				h = append(h, event.Held{Text: "hello", At: began.Add(time.Duration(d) * 24 * time.Hour)})
			}
			return h
		}
		touch := &event.Touch{At: began}
		err := a.store.Update(t.Context(), func(tx *store.Tx) error {
			for _, c := range []*event.Client{
				{ID: "1", Name: "kept", FirstTouch: touch, Held: held(0, 1, 9)},
				{ID: "2", Held: held(0)},
				{ID: "3", FirstTouch: touch},
				{ID: "4", Held: held(9)},
			} {
				if err := tx.PutClient("shop", c); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		time.Sleep(30*24*time.Hour - purgeEvery*beat - time.Hour)
		go func() { a.housekeeping(ctx); close(done) }()
		left := func() (out []int) {
			err := a.store.View(func(tx *store.Tx) error {
				return tx.EachClient("shop", func(c *event.Client) bool {
					n := len(c.Held)
					if c.FirstTouch != nil {
						n += 10
					}
					out = append(out, n)
					return true
				})
			})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		for _, c := range []struct {
			more time.Duration
			want []int
		}{
			{purgeEvery*beat + time.Second, []int{13, 1, 10, 1}}, // its first round is too early by an hour
			{24 * time.Hour, []int{2, 0, 0, 1}},
		} {
			time.Sleep(c.more)
			if got := left(); !slices.Equal(got, c.want) {
				t.Errorf("held after %s: %v, want %v", time.Since(began), got, c.want)
			}
		}
		stop()
		<-done
		_ = a.store.View(func(tx *store.Tx) error {
			if tx.Client("shop", "1").Name != "kept" {
				t.Error("the picture went along")
			}
			return nil
		})
	})
}

// A key that knew repeats for a shorter time than their first is kept would have
// them worked anew beside it.
func TestRetention_DedupKeysOutliveTheirEvents(t *testing.T) {
	const day = 24 * time.Hour
	for want, r := range map[time.Duration]config.Retention{
		30 * day: {Events: 7 * day, Bodies: day, Dead: 14 * day},
		90 * day: {Events: 30 * day, Bodies: 7 * day, Dead: 90 * day},
		99 * day: {Events: 99 * day, Bodies: 7 * day, Dead: 90 * day},
	} {
		if got := retention(r); got != (store.Retention{Events: r.Events, Bodies: r.Bodies, Dead: r.Dead, Dedup: want}) {
			t.Errorf("%+v: %+v", r, got)
		}
	}
}

// A clock that is set while the bridge runs, either way, ends no waiting of what is
// parked: that is serving time.
func TestHousekeeping_WhatIsParkedFollowsAClockThatIsSet(t *testing.T) {
	const day = 24 * time.Hour
	c := clock{wall: time.Unix(1000, 0)}
	for i, look := range []struct{ wall, up, want time.Duration }{
		{time.Second, time.Second, 0},
		{2*time.Second + day, 2 * time.Second, day}, // set ahead
		{3*time.Second + day, 3 * time.Second, 0},
		{4 * time.Second, 4 * time.Second, -day},
		{time.Hour, time.Hour, 0}, // looked at late
	} {
		if got := c.leap(time.Unix(1000, 0).Add(look.wall), look.up); got != look.want {
			t.Errorf("look %d: a leap by %v", i, got)
		}
	}
	for _, by := range []time.Duration{day, -day} {
		synctest.Test(t, func(t *testing.T) {
			a, then := keptHouse(t), time.Now().Add(-by) // what the clock showed before it was set
			waits, due := a.put(t, event.Parked, then.Add(10*time.Minute)), a.put(t, event.Parked, then.Add(-time.Second))
			pending := a.put(t, event.Pending, then.Add(10*time.Minute))
			a.follow(t.Context(), time.Now(), by)
			for seq, want := range map[uint64]time.Duration{waits: 10 * time.Minute, due: -by - time.Second, pending: -by + 10*time.Minute} {
				if got := a.dueIn(t, seq); got != want {
					t.Errorf("set by %v: event %d is due in %s, want %s", by, seq, got, want)
				}
			}
		})
	}
}

// A machine that wakes up in the wrong year purges nothing of the right one for a day,
// however often it is started: what it goes by is on disk, as an older version wrote it
// too. One that wakes up in the past believes the right year a day after it has come.
func TestHousekeeping_NothingIsPurgedInAWrongYear(t *testing.T) {
	const day = 24 * time.Hour
	for name, before := range map[string]func(a *App, ctx context.Context){
		"purged before": func(a *App, ctx context.Context) { a.tidy(ctx, time.Now(), false) },
		"in the past":   func(a *App, ctx context.Context) { a.tidy(ctx, time.Unix(1000, 0), false) },
		"an older version": func(a *App, ctx context.Context) {
			_ = a.store.Update(ctx, func(tx *store.Tx) error { return store.Set(tx, store.Positions, aliveKey(), time.Now()) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := keptHouse(t)
				seq := a.put(t, event.Done, time.Time{})
				before(a, t.Context())
				time.Sleep(365 * day) // the clock, for all it knows
				serve := func(d time.Duration) {
					for range d / (purgeEvery * beat) {
						time.Sleep(purgeEvery * beat)
						a.tidy(t.Context(), time.Now(), false)
					}
				}
				there := func() bool {
					return a.store.View(func(tx *store.Tx) error {
						_, err := tx.Event(seq)
						return err
					}) == nil
				}
				if serve(day); !there() {
					t.Fatal("purged within a day")
				}
				if serve(time.Hour); there() {
					t.Error("the clock is never believed")
				}
			})
		})
	}
}
