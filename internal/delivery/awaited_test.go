package delivery

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// waitCore has an operator wait for an event and tells for how long he did.
func (y *yard) waitCore(seq uint64, most time.Duration, seats int) time.Duration {
	began := time.Now()
	ctx, cancel := context.WithTimeout(y.t.Context(), most)
	defer cancel()
	y.d.WaitCore(ctx, seq, seats)
	return time.Since(began)
}

// Nobody waits for an event whose contact and lead stand: that came to its end, or of
// which only the note is under way.
func TestWaitCore_DoesNotWaitForWhatIsSettled(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		let := make(chan struct{})
		defer close(let)
		y.crm.before = func(w amocrm.Write) error {
			if w.Endpoint == amocrm.PostNotes {
				<-let
			}
			return nil
		}
		y.run()
		done, detached := y.post(chat("chat_accepted", 1, "")), y.post(chat("chat_finished", 2, said("hello", 100)))
		pass(time.Second)
		y.is(done, event.Done, "")
		if ev := y.is(detached, event.Pending, ""); !ev.Detached || ev.Attempts != 0 {
			t.Fatalf("%+v", ev)
		}
		equal(t, "waited for the one that is done", y.waitCore(done, 3*time.Second, 1), 0)
		equal(t, "waited for the one whose note is under way", y.waitCore(detached, 3*time.Second, 1), 0)
	})
}

// What an operator waits for is claimed at once though there is room for no more; what
// stands in a line of the same name of another connection is not.
func TestWaitCore_IsClaimedBeyondTheBound(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.second()
		y.d.mu.Lock()
		y.d.inFlight[shop], y.d.inFlight[other] = maxInFlight, maxInFlight
		y.d.mu.Unlock()
		y.run()
		seq, namesake := y.postTo(other, chat("chat_accepted", 1, "")), y.postTo(shop, chat("chat_accepted", 1, ""))
		pass(time.Second)
		y.is(seq, event.Pending, "")
		equal(t, "waited", y.waitCore(seq, 3*time.Second, 1), 0)
		pass(time.Second)
		y.is(seq, event.Done, "")
		y.is(namesake, event.Pending, "")
	})
}

// A line goes first as long as one operator waits for something in it, and no longer.
func TestWaitCore_ALineIsAwaitedUntilItsLastOperatorLeaves(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		let := make(chan struct{})
		y.crm.before = func(amocrm.Write) error { <-let; return nil }
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		elsewhere := y.post(chat("chat_accepted", 2, ""))
		pass(time.Second)
		awaited := func(when string, seq uint64, want bool) {
			t.Helper()
			y.d.mu.Lock()
			j := y.d.jobs[seq]
			y.d.mu.Unlock()
			if j == nil {
				t.Fatalf("%s: event %d is not worked", when, seq)
			}
			equal(t, when, j.isAwaited(), want)
		}
		awaited("before", seq, false)
		for _, most := range []time.Duration{2 * time.Second, 4 * time.Second} {
			go y.waitCore(seq, most, 2)
		}
		pass(time.Second)
		awaited("with two operators", seq, true)
		awaited("somebody else's", elsewhere, false)
		pass(2 * time.Second)
		awaited("with one of them", seq, true)
		pass(2 * time.Second)
		awaited("without", seq, false)
		close(let)
		pass(time.Second)
	})
}

// Who waits for an event that stands in no line makes no other of that kind go first.
func TestWaitCore_WithoutALineNothingIsAwaited(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		got, err := y.st.Append(t.Context(), event.Incoming{
			Event: event.Event{Connection: shop, Source: event.AmoCRM, Kind: "leads.update", ReceivedAt: time.Now()}, Body: []byte("leads[update][0][id]=1"),
		})
		if err != nil {
			t.Fatal(err)
		}
		go y.waitCore(got.Seq, 3*time.Second, 1)
		pass(time.Second)
		equal(t, "a job without a line is awaited", (&job{d: y.d}).isAwaited(), false)
		pass(3 * time.Second)
	})
}

// Who came first is served first, also among those whom operators wait for.
func TestClaim_WhatIsAwaitedComesInItsOrder(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		var want []uint64
		for n := range 8 {
			seq := y.post(chat("chat_accepted", n+1, ""))
			want = append(want, seq)
			go y.waitCore(seq, 30*time.Second, 8)
		}
		pass(time.Second)
		for range 20 {
			var got []uint64
			y.view(func(tx *store.Tx) {
				for _, ev := range y.d.awaitedHeads(tx, shop) {
					got = append(got, ev.Seq)
				}
			})
			same(t, "heads", got, want)
		}
		pass(time.Minute)
	})
}

// Events of one claim began one after the other, in their order: by that their reads
// stand, and who was looked for first has the second search first (ADR 13).
func TestClaim_WhatStandsFirstBeganFirst(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		let := make(chan struct{})
		y.crm.before = func(amocrm.Write) error { <-let; return nil }
		var seqs []uint64
		for n := range 8 {
			seqs = append(seqs, y.post(chat("chat_accepted", n+1, "")))
		}
		y.run()
		pass(time.Second)
		y.d.mu.Lock()
		for i := range seqs[1:] {
			if a, b := y.d.jobs[seqs[i]], y.d.jobs[seqs[i+1]]; !a.began.Before(b.began) {
				t.Errorf("event %d began at %v, the next one at %v", a.seq, a.began, b.began)
			}
		}
		y.d.mu.Unlock()
		close(let)
		pass(time.Second)
	})
}

// An event that is worked already takes no room because an operator waits for it.
func TestClaim_WhatIsAwaitedAndWorkedTakesNoRoom(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		let := make(chan struct{})
		y.crm.before = func(amocrm.Write) error { <-let; return nil }
		y.d.inFlight[shop] = maxInFlight - 2
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(time.Second)
		go y.waitCore(seq, 10*time.Second, 1)
		pass(time.Second)
		y.post(chat("chat_accepted", 2, ""))
		pass(time.Second)
		equal(t, "in flight", y.d.InFlight(shop), maxInFlight)
		close(let)
		pass(10 * time.Second)
	})
}

// An event that left its line early does not give the line free again at its end: the
// next one is at work in it. Nor does its note go first because an operator waits there.
func TestLine_LeftEarlyIsTheNextOnes(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		note, rest := make(chan struct{}), make(chan struct{})
		y.crm.before = func(w amocrm.Write) error {
			switch {
			case w.Endpoint == amocrm.PostNotes:
				<-note
			case w.Endpoint == amocrm.PatchContacts:
				<-rest
			}
			return nil
		}
		y.run()
		first := y.post(chat("chat_finished", 1, said("first", 100)))
		pass(time.Second)
		second := y.post(calls("chat_updated", 1, "+79169999999"))
		pass(time.Second)
		go y.waitCore(second, 10*time.Second, 1)
		pass(time.Second)
		held := func() (held, detachedAwaited bool) {
			y.d.mu.Lock()
			held = y.d.lines[line{shop, "c:1"}]
			j := y.d.jobs[first]
			y.d.mu.Unlock()
			return held, j != nil && j.isAwaited()
		}
		if held, awaited := held(); !held || awaited {
			t.Errorf("the second holds the line: %t; the first one's note is awaited: %t", held, awaited)
		}
		close(note)
		pass(time.Second)
		y.is(first, event.Done, "")
		y.is(second, event.Pending, "")
		if held, _ := held(); !held {
			t.Error("the second does not hold its line any more")
		}
		close(rest)
		pass(time.Minute)
		y.is(second, event.Done, "")
	})
}

// Events without a line hold nobody up: neither hooks nor each other.
func TestLine_NoneIsNotOne(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		failed := map[uint64]bool{}
		let := make(chan struct{})
		y.crm.before = func(w amocrm.Write) error {
			if w.Endpoint != amocrm.PostNotes {
				return nil
			}
			seq, again := mustSeq(t, w.Keys[0]), false
			y.crm.set(func() { again, failed[seq] = failed[seq], true })
			if !again {
				return &amocrm.Failed{Status: 500, Trouble: amocrm.Unavailable}
			}
			<-let
			return nil
		}
		y.run()
		for n := range 2 { // their notes are tried again, without a line
			y.post(chat("chat_finished", n+1, said("hello", 100)))
		}
		pass(time.Minute)
		got, err := y.st.Append(t.Context(), event.Incoming{
			Event: event.Event{Connection: shop, Source: event.AmoCRM, Kind: "leads.update", ReceivedAt: time.Now()}, Body: []byte("leads[update][0][id]=1"),
		})
		if err != nil {
			t.Fatal(err)
		}
		y.d.ApplyHook(t.Context(), shop, got.Seq)
		pass(time.Second)
		equal(t, "notes under way", y.d.InFlight(shop), 2)
		y.is(got.Seq, event.Done, "")
		close(let)
		pass(time.Minute)
	})
}

// slowHooks takes its time, and counts.
type slowHooks struct{ n atomic.Int32 }

func (h *slowHooks) Apply(context.Context, string, *event.Event, []byte) event.Ending {
	h.n.Add(1)
	time.Sleep(time.Second)
	return event.Finished{}
}

// A hook that the listener has worked at once and the dispatcher claims is worked once.
func TestHook_IsWorkedOnce(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		hooks := &slowHooks{}
		y.d.hooks = hooks
		y.run()
		got, err := y.st.Append(t.Context(), event.Incoming{
			Event: event.Event{Connection: shop, Source: event.AmoCRM, Kind: "leads.update", ReceivedAt: time.Now()}, Body: []byte("leads[update][0][id]=1"),
		})
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Millisecond) // the dispatcher has claimed it
		y.d.ApplyHook(t.Context(), shop, got.Seq)
		pass(5 * time.Second)
		equal(t, "times it was worked", hooks.n.Load(), 1)
		y.is(got.Seq, event.Done, "")
	})
}

// However many stand there at once, no more are claimed than there is room for.
func TestClaim_AtOnceNoMoreThanThereIsRoomFor(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		let := make(chan struct{})
		y.crm.before = func(amocrm.Write) error { <-let; return nil }
		y.d.inFlight[shop] = maxInFlight - 2
		for n := range 5 {
			y.post(chat("chat_accepted", n+1, ""))
		}
		y.run()
		pass(time.Second)
		equal(t, "in flight", y.d.InFlight(shop), maxInFlight)
		close(let)
		pass(time.Second)
		equal(t, "leads", y.crm.made(), 5)
	})
}
