package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jivo-amocrm/bridge/internal/event"
)

func TestLine_OneAtATimeInOrder(t *testing.T) {
	s := open(t, Options{})
	var seqs []uint64
	for range 4 {
		seqs = append(seqs, mustAppend(t, s, incoming("7")).Seq)
	}
	other := mustAppend(t, s, incoming("8")).Seq
	expect := func(why string, want ...uint64) {
		t.Helper()
		if got := due(t, s, t0); !slices.Equal(got, want) {
			t.Errorf("%s: due %v, want %v", why, got, want)
		}
		verifyIndexes(t, s)
	}
	expect("at first", seqs[0], other)
	change(t, s, seqs[0], func(ev *event.Event) { ev.NextAt = t0.Add(time.Minute) })
	expect("the first waits, so does its line, but no other", other)
	change(t, s, seqs[0], func(ev *event.Event) { ev.Detached = true })
	expect("detached", seqs[1], other)
	change(t, s, seqs[1], func(ev *event.Event) { ev.State, ev.NextAt = event.Parked, t0.Add(time.Hour) })
	expect("parked", seqs[2], other)
	settle(t, s, seqs[2], event.Dead, t0)
	expect("dead", seqs[3], other)
	change(t, s, seqs[1], func(ev *event.Event) { ev.State, ev.NextAt = event.Pending, time.Time{} })
	expect("unparked: it goes first again", seqs[1], other)
	settle(t, s, seqs[1], event.Skipped, t0)
	settle(t, s, seqs[3], event.Done, t0)
	expect("all but the detached", other)
}

func TestLine_WhatHasBegunKeepsItsPlace(t *testing.T) {
	s := open(t, Options{})
	parked, begun, behind := mustAppend(t, s, incoming("7")).Seq, mustAppend(t, s, incoming("7")).Seq, mustAppend(t, s, incoming("7")).Seq
	change(t, s, parked, func(ev *event.Event) { ev.State, ev.NextAt = event.Parked, t0.Add(time.Hour) })
	expect := func(why string, want uint64) {
		t.Helper()
		if got := due(t, s, t0); !slices.Equal(got, []uint64{want}) {
			t.Errorf("%s: due %v, want %v", why, got, want)
		}
		verifyIndexes(t, s)
	}
	change(t, s, begun, func(ev *event.Event) { ev.Frozen = true })
	change(t, s, parked, func(ev *event.Event) { ev.State, ev.NextAt = event.Pending, time.Time{} })
	expect("one comes back", begun)
	change(t, s, begun, func(ev *event.Event) { ev.Frozen = false })
	expect("mapped anew", parked)
	change(t, s, begun, func(ev *event.Event) { ev.Frozen = true })
	expect("frozen while another stands in front", begun)
	change(t, s, begun, func(ev *event.Event) { ev.Detached = true })
	settle(t, s, begun, event.Done, t0)
	expect("through", parked)
	settle(t, s, parked, event.Done, t0)
	expect("both through", behind)
}

func TestLine_ChangedOneKeepsBothInOrder(t *testing.T) {
	s := open(t, Options{})
	a1, b2, a3 := mustAppend(t, s, incoming("a")).Seq, mustAppend(t, s, incoming("b")).Seq, mustAppend(t, s, incoming("a")).Seq
	change(t, s, a1, func(ev *event.Event) { ev.Line = "b" }) // in front of b2, and away from a3
	if got := due(t, s, t0); !slices.Equal(got, []uint64{a1, a3}) {
		t.Errorf("due %v, want %v", got, []uint64{a1, a3})
	}
	change(t, s, a1, func(ev *event.Event) { ev.Line = "a" })
	if got := due(t, s, t0); !slices.Equal(got, []uint64{a1, b2}) {
		t.Errorf("back again: due %v, want %v", got, []uint64{a1, b2})
	}
	verifyIndexes(t, s)
}

func TestDue_SaysWhenToComeBack(t *testing.T) {
	s := open(t, Options{})
	at := []time.Duration{time.Minute, 0, time.Hour, -time.Minute}
	for i, d := range at {
		in := incoming(fmt.Sprint(i))
		in.Event.NextAt = t0.Add(d)
		mustAppend(t, s, in)
	}
	cases := []struct {
		now  time.Duration
		want []uint64
		next time.Duration // 0: none
	}{
		{-time.Hour, nil, -time.Minute}, {-time.Minute, []uint64{4}, 0}, {0, []uint64{4, 2}, time.Minute},
		{30 * time.Minute, []uint64{4, 2, 1}, time.Hour}, {time.Hour, []uint64{4, 2, 1, 3}, -1},
	}
	for _, c := range cases {
		view(t, s, func(tx *Tx) {
			var got []uint64
			next, err := tx.Due("shop", t0.Add(c.now), func(seq uint64, at time.Time) bool { got = append(got, seq); return true })
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("at %v: due %v, %v, want %v", c.now, got, err, c.want)
			}
			if want := t0.Add(c.next); c.next == -1 && !next.IsZero() || c.next != -1 && !next.Equal(want) {
				t.Errorf("at %v: next %v", c.now, next)
			}
			stopped := 0
			early, _ := tx.Due("shop", t0.Add(c.now), func(uint64, time.Time) bool { stopped++; return false })
			if stopped > 1 || !early.Equal(next) {
				t.Errorf("at %v: stopped after %d, next %v", c.now, stopped, early)
			}
		})
	}
	view(t, s, func(tx *Tx) {
		next, _ := tx.Due("sho", t0, func(seq uint64, _ time.Time) bool { t.Errorf("event %d of another connection", seq); return true })
		if !next.IsZero() {
			t.Error("another connection's time")
		}
	})
}

func TestDue_TimesBeyondTheClockStillSort(t *testing.T) {
	s := open(t, Options{})
	far := incoming("1")
	far.Event.NextAt = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	past := incoming("2")
	past.Event.NextAt = time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC)
	mustAppend(t, s, far)
	p := mustAppend(t, s, past)
	if got := due(t, s, t0); !slices.Equal(got, []uint64{p.Seq}) {
		t.Errorf("due %v", got)
	}
}

func TestParked_FoundByTheirClient(t *testing.T) {
	s := open(t, Options{})
	var want []uint64
	for range 3 {
		want = append(want, mustAppend(t, s, incoming("7")).Seq)
	}
	other := mustAppend(t, s, incoming("77")).Seq
	for _, seq := range append(slices.Clone(want), other) {
		change(t, s, seq, func(ev *event.Event) { ev.State, ev.NextAt = event.Parked, t0.Add(time.Hour) })
	}
	change(t, s, want[1], func(ev *event.Event) { ev.State = event.Pending })
	want = slices.Delete(want, 1, 2)
	view(t, s, func(tx *Tx) {
		if got := tx.ParkedOf("shop", "7"); !slices.Equal(got, want) {
			t.Errorf("parked %v, want %v", got, want)
		}
	})
}

// Whatever happens to events in whatever order, groups and restarts, the
// indexes say what the records say.
func TestLine_Model(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := open(t, Options{})
		defer s.Close()
		var seqs []uint64
		mutate := func(ev *event.Event) {
			ev.State = rapid.SampledFrom([]event.State{event.Pending, event.Pending, event.Parked, event.Done, event.Skipped, event.Dead}).Draw(rt, "state")
			ev.Detached = rapid.IntRange(0, 3).Draw(rt, "detached") == 0
			ev.Frozen = rapid.IntRange(0, 2).Draw(rt, "frozen") == 0
			ev.NextAt = rapid.SampledFrom([]time.Time{{}, t0.Add(-time.Hour), t0, t0.Add(time.Hour)}).Draw(rt, "next")
			if rapid.IntRange(0, 2).Draw(rt, "reline") == 0 {
				ev.Line = rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "line")
			}
			ev.SettledAt = t0
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0, 1, 2, 3:
				in := incoming(rapid.SampledFrom([]string{"a", "b", ""}).Draw(rt, "client"))
				in.Event.Connection = rapid.SampledFrom([]string{"shop", "sh"}).Draw(rt, "connection")
				in.Event.Chat = rapid.SampledFrom([]string{"", "1", "2"}).Draw(rt, "chat")
				seqs = append(seqs, mustAppend(t, s, in).Seq)
			case 4:
				s = reopen(t, s)
			case 5:
				_, err := s.Purge(t.Context(), Retention{Events: time.Hour, Dead: 2 * time.Hour}, t0.Add(90*time.Minute))
				if err != nil {
					rt.Fatal(err)
				}
			default:
				update(t, s, func(tx *Tx) error { // several in one transaction
					for range rapid.IntRange(1, 4).Draw(rt, "many") {
						if len(seqs) == 0 {
							return nil
						}
						ev, err := tx.Event(rapid.SampledFrom(seqs).Draw(rt, "seq"))
						if err != nil {
							continue // purged
						}
						mutate(ev)
						if err := tx.Put(ev); err != nil {
							return err
						}
					}
					return nil
				})
			}
			verifyIndexes(rt0{t, rt}, s)
		}
	})
}

// rt0 makes a rapid test fail where a helper wants a testing.TB.
type rt0 struct {
	testing.TB
	rt *rapid.T
}

func (r rt0) Fatal(args ...any)            { r.rt.Fatal(args...) }
func (r rt0) Fatalf(f string, args ...any) { r.rt.Fatalf(f, args...) }
