package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
)

const day = 24 * time.Hour

// usual is the default retention of product.md §2.
var usual = Retention{Events: 30 * day, Bodies: 7 * day, Dead: 90 * day, Dedup: 30 * day}

func purgeAt(t *testing.T, s *Store, p Retention, now time.Time) PurgeStats {
	t.Helper()
	stats, err := s.Purge(context.Background(), p, now)
	if err != nil {
		t.Fatal(err)
	}
	verifyIndexes(t, s)
	return stats
}

func TestPurge_ByAgeAndState(t *testing.T) {
	s := open(t, Options{})
	seqs := map[event.State]uint64{}
	for _, state := range []event.State{event.Pending, event.Parked, event.Done, event.Skipped, event.Dead} {
		in := incoming(string(state))
		in.Event.State, in.Event.SettledAt = state, t0
		seqs[state] = mustAppend(t, s, in).Seq
	}
	has := func() (events, bodies int) {
		view(t, s, func(tx *Tx) {
			for _, seq := range seqs {
				if _, err := tx.Event(seq); err == nil {
					events++
				}
				if tx.Body(seq) != nil {
					bodies++
				}
			}
		})
		return events, bodies
	}
	for _, c := range []struct {
		after          time.Duration
		want           PurgeStats
		events, bodies int
	}{
		{7 * day, PurgeStats{}, 5, 5},
		{7*day + 1, PurgeStats{Bodies: 2}, 5, 3}, // done and skipped; a dead one may be replayed
		{30 * day, PurgeStats{}, 5, 3},
		{30*day + 1, PurgeStats{Events: 2}, 3, 3},
		{90*day + 1, PurgeStats{Dead: 1}, 2, 2},
		{1000 * day, PurgeStats{}, 2, 2}, // what waits stays
	} {
		if diff := cmp.Diff(c.want, purgeAt(t, s, usual, t0.Add(c.after))); diff != "" {
			t.Errorf("after %v (-want +got):\n%s", c.after, diff)
		}
		if events, bodies := has(); events != c.events || bodies != c.bodies {
			t.Errorf("after %v: %d events, %d bodies left", c.after, events, bodies)
		}
	}
	if diff := cmp.Diff(PurgeStats{}, purgeAt(t, s, Retention{}, t0.Add(9999*day))); diff != "" {
		t.Errorf("no retention (-want +got):\n%s", diff)
	}
}

// What was written out of a body goes with it: a change keeps a transcript twice.
// Which entities were made stays; of a dead event all stays, or it could not go on.
func TestPurge_TextsGoWithTheBody(t *testing.T) {
	s := open(t, Options{})
	seqs := map[event.State]uint64{}
	for _, state := range []event.State{event.Done, event.Skipped, event.Dead, event.Pending} {
		in := personal(state)
		in.Event.SettledAt = t0
		in.Event.Changes = append(in.Event.Changes, event.Change{Key: "2", State: event.Dropped, Marker: canary}, event.Change{Key: "3", State: event.Settled, AmoID: 8})
		seqs[state] = mustAppend(t, s, in).Seq
	}
	purgeAt(t, s, usual, t0.Add(7*day))
	if ev := read(t, s, seqs[event.Done]); len(ev.Changes[0].Item) == 0 {
		t.Error("the texts went before the body")
	}
	purgeAt(t, s, usual, t0.Add(8*day))
	for state, seq := range seqs {
		kept := state == event.Dead || state == event.Pending
		ev := read(t, s, seq)
		if got := len(ev.Changes[0].Item) > 0 && ev.Changes[0].Marker != "" && ev.Changes[1].Marker != ""; got != kept {
			t.Errorf("%s: texts kept is %v", state, got)
		}
		if got := len(ev.Changes[0].Item) > 0 || ev.Changes[0].Marker != "" || ev.Changes[1].Marker != ""; got != kept {
			t.Errorf("%s: texts left: %+v", state, ev.Changes)
		}
		if ev.Changes[0].AmoID != 6 || ev.Changes[2].AmoID != 8 || ev.Changes[0].Key == "" || ev.BodySize == 0 || ev.Lead.ID != 6 {
			t.Errorf("%s: what was done is gone: %+v", state, ev)
		}
	}
	if got := purgeAt(t, s, usual, t0.Add(9*day)); got != (PurgeStats{}) {
		t.Errorf("purged once more: %+v", got)
	}
}

func TestPurge_DedupKeysOutliveTheirEvents(t *testing.T) {
	now := t0
	s := open(t, Options{Now: func() time.Time { return now }})
	in := deduped("task|1|x", "v", "")
	in.Event.State, in.Event.ReceivedAt = event.Done, t0.Add(-1000*day) // imported: the key's age is the store's
	mustAppend(t, s, in)
	short := Retention{Events: time.Hour, Bodies: time.Hour, Dedup: time.Hour} // below the promised 30 days
	if got := purgeAt(t, s, short, t0.Add(30*day)); got.Events != 1 || got.Dedup != 0 {
		t.Errorf("after 30 days: %+v", got)
	}
	now = t0.Add(30 * day)
	if !mustAppend(t, s, in).Repeat { // and seen again it is kept from then on
		t.Error("a repeat after 30 days is taken for new")
	}
	if got := purgeAt(t, s, usual, t0.Add(59*day)); got.Dedup != 0 {
		t.Errorf("seen again, yet dropped: %+v", got)
	}
	if got := purgeAt(t, s, usual, t0.Add(62*day)); got.Dedup != 1 {
		t.Errorf("after 62 days: %+v", got)
	}
	view(t, s, func(tx *Tx) {
		for _, b := range []string{bucketSeen, bucketSeenDay} {
			if left := tx.keys(b, ""); left != nil {
				t.Errorf("left in %s: %q", b, left)
			}
		}
	})
	if mustAppend(t, s, in).Repeat {
		t.Error("still a repeat")
	}
}

// Between the look and the removal a key may be seen again.
func TestPurge_SparesAKeySeenAgainMeanwhile(t *testing.T) {
	now := t0
	s := open(t, Options{Now: func() time.Time { return now }})
	mustAppend(t, s, deduped("k", "", ""))
	var days []string
	view(t, s, func(tx *Tx) { days = tx.keys(bucketSeenDay, "") })
	now = t0.Add(40 * day)
	mustAppend(t, s, deduped("k", "", ""))
	update(t, s, func(tx *Tx) error { return tx.lapseDay(days[0], new(PurgeStats)) })
	if !mustAppend(t, s, deduped("k", "", "")).Repeat {
		t.Error("it was dropped")
	}
}

func fill(t testing.TB, s *Store, n int, fn func(i int, in *event.Incoming)) {
	t.Helper()
	for from := 0; from < n; from += 500 {
		update(t, s, func(tx *Tx) error {
			for i := from; i < min(from+500, n); i++ {
				in := incoming(fmt.Sprint(i % 100))
				in.Event.State, in.Event.SettledAt = event.Done, t0
				fn(i, &in)
				if _, err := tx.append(in); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func TestPurge_SmallSlicesThroughAllThereIs(t *testing.T) {
	var commits atomic.Int32
	s := open(t, Options{Observe: func(float64) { commits.Add(1) }, Now: func() time.Time { return t0 }})
	const n = 3*purgeSlice + 50
	fill(t, s, n, func(i int, in *event.Incoming) { in.Dedup.Key = fmt.Sprint("k", i) })
	commits.Store(0)
	got := purgeAt(t, s, usual, t0.Add(40*day))
	if diff := cmp.Diff(PurgeStats{Events: n, Bodies: n, Dedup: n}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if c := commits.Load(); c != 12 {
		t.Errorf("%d commits, want 4 for each of bodies, events and keys", c)
	}
}

// Old events that cannot go, wrong clocks and imported ones must not hide what
// comes after them, and young ones must not be read through.
func TestPurge_FindsTheOldBetweenAndStopsAtTheYoung(t *testing.T) {
	s := open(t, Options{})
	fill(t, s, purgeLook+100, func(_ int, in *event.Incoming) { in.Event.State = event.Pending })
	fill(t, s, purgeLook+100, func(_ int, in *event.Incoming) {
		in.Event.ReceivedAt, in.Event.SettledAt = t0.Add(1000*day), t0.Add(1000*day)
	})
	fill(t, s, 10, func(int, *event.Incoming) {})
	if got := purgeAt(t, s, Retention{Events: 30 * day}, t0.Add(31*day)); got.Events != 10 {
		t.Errorf("removed %+v", got)
	}
	young := func(_ int, in *event.Incoming) {
		in.Event.ReceivedAt, in.Event.SettledAt = t0.Add(30*day), t0.Add(30*day)
	}
	fill(t, s, purgeSlice-1, young)
	fill(t, s, 1, func(int, *event.Incoming) {})
	if got := purgeAt(t, s, Retention{Events: 30 * day}, t0.Add(31*day)); got.Events != 1 {
		t.Errorf("an old one behind fewer than a slice of young ones: %+v", got)
	}
	fill(t, s, purgeSlice, young)
	fill(t, s, 1, func(int, *event.Incoming) {})
	if got := purgeAt(t, s, Retention{Events: 30 * day}, t0.Add(31*day)); got.Events != 0 {
		t.Errorf("read on through the young: %+v", got)
	}
}

// Imported events were received long ago and stand among the young: history that
// settled lately is not read through at every purge.
func TestPurge_StopsAtImportedHistory(t *testing.T) {
	s := open(t, Options{})
	imported := func(settled time.Time) func(int, *event.Incoming) {
		return func(_ int, in *event.Incoming) {
			in.Event.Imported, in.Event.ReceivedAt, in.Event.SettledAt = true, t0.Add(-1000*day), settled
		}
	}
	fill(t, s, purgeSlice-1, imported(t0.Add(30*day)))
	fill(t, s, 1, imported(t0))
	if got := purgeAt(t, s, Retention{Events: 30 * day}, t0.Add(31*day)); got.Events != 1 {
		t.Errorf("removed %+v, want the one that settled long ago", got)
	}
	fill(t, s, 1, imported(t0.Add(30*day)))
	fill(t, s, 1, imported(t0)) // can only be found by reading on
	if got := purgeAt(t, s, Retention{Events: 30 * day}, t0.Add(31*day)); got.Events != 0 {
		t.Errorf("read on through what settled lately: %+v", got)
	}
}

func TestPurge_SparesWhatWasReplayedMeanwhile(t *testing.T) {
	s := open(t, Options{})
	a := mustAppend(t, s, incoming("7"))
	settle(t, s, a.Seq, event.Done, t0)
	g := &purge{s: s, p: usual, now: t0.Add(100 * day), stats: new(PurgeStats)}
	update(t, s, func(tx *Tx) error {
		ev, err := tx.Event(a.Seq)
		if err != nil {
			return err
		}
		ev.State = event.Pending // between the look and the removal
		if err := tx.Put(ev); err != nil {
			return err
		}
		return removeAll(tx, []uint64{a.Seq, 99}, g.staleEvent, tx.drop)
	})
	if read(t, s, a.Seq).State != event.Pending {
		t.Error("it is gone")
	}
}

func TestPurge_WaitsUntilNobodyWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{})
		fill(t, s, 10, func(int, *event.Incoming) {})
		release := stall(t, s)
		var order []string
		done := make(chan struct{}, 2)
		go func() {
			if _, err := s.Purge(context.Background(), Retention{Events: day}, t0.Add(2*day)); err != nil {
				t.Error(err)
			}
			done <- struct{}{}
		}()
		synctest.Wait() // the purge queues first…
		go func() {
			_ = s.Update(context.Background(), func(tx *Tx) error {
				order = append(order, fmt.Sprintf("%d events", len(tx.keys(bucketEvents, ""))))
				return nil
			})
			done <- struct{}{}
		}()
		synctest.Wait() // …and is overtaken
		release()
		<-done
		<-done
		if diff := cmp.Diff([]string{"10 events"}, order); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		_ = s.Close()
	})
}

func TestPurge_EndsWithItsContext(t *testing.T) {
	s := open(t, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Purge(ctx, usual, t0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Freed pages are used again: a store that keeps as much as it drops does not grow.
func TestPurge_FileStopsGrowing(t *testing.T) {
	now := t0
	s := open(t, Options{Now: func() time.Time { return now }})
	round := func() int64 {
		now = now.Add(40 * day)
		fill(t, s, 1000, func(i int, in *event.Incoming) {
			in.Event.ReceivedAt, in.Event.SettledAt = now, now
			in.Dedup.Key = fmt.Sprint(now.Unix(), i)
			in.Body = make([]byte, 2000)
		})
		if _, err := s.Purge(context.Background(), usual, now); err != nil {
			t.Fatal(err)
		}
		info, err := usedPages(s)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	round()
	round()
	settled := round()
	for range 6 {
		if grown := round(); grown > settled*11/10 {
			t.Fatalf("grew from %d to %d bytes", settled, grown)
		}
	}
}
