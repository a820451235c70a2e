package delivery

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

func TestEvent_NewVisitorIsAContactAndALead(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(time.Second)
		ev := y.is(seq, event.Done, "")
		c := y.client(1)
		if y.crm.made() != 1 || y.crm.people() != 1 || len(c.Leads) != 1 || c.ContactID == 0 {
			t.Fatalf("%d leads, %d contacts, client %+v", y.crm.made(), y.crm.people(), c)
		}
		if ev.Lead == nil || !ev.Lead.Created || ev.Lead.ID != c.Leads[0].LeadID || ev.Contact == nil || ev.Contact.ID != c.ContactID {
			t.Errorf("matches %+v, %+v", ev.Contact, ev.Lead)
		}
		same(t, "the lead's chats", c.Leads[0].Chats, []string{"k1"})
		same(t, "settled", y.obs.settled, []string{"chat_accepted done"})
	})
}

func TestDispatcher_OneStuckClientBlocksNone(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		let := make(chan struct{})
		y.crm.before = func(w amocrm.Write) error {
			if strings.Contains(string(w.Item), "Chat 1\"") {
				<-let
			}
			return nil
		}
		y.run()
		stuck, behind := y.post(chat("chat_accepted", 1, "")), y.post(chat("chat_updated", 1, ""))
		var others []uint64
		for n := range 50 {
			others = append(others, y.post(chat("chat_accepted", n+2, "")))
		}
		pass(time.Second)
		for _, seq := range others {
			y.is(seq, event.Done, "")
		}
		y.is(stuck, event.Pending, "")
		y.is(behind, event.Pending, "")
		equal(t, "in flight", y.d.InFlight(shop), 1)
		close(let)
		pass(time.Second)
		y.is(stuck, event.Done, "")
		y.is(behind, event.Done, "")
		equal(t, "in flight", y.d.InFlight(shop), 0)
		equal(t, "leads of everybody", y.crm.made(), 51)
	})
}

func TestDispatcher_EventsOfALineGoInOrder(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		var order []string
		y.crm.before = func(w amocrm.Write) error {
			y.crm.set(func() { order = append(order, string(w.Item)) })
			time.Sleep(time.Second) // of the bubble, in a worker
			return nil
		}
		y.run()
		y.post(chat("chat_accepted", 1, ""))
		y.post(chat("chat_finished", 1, said("first", 100)))
		y.post(chat("chat_accepted", 1, ""))
		y.post(chat("chat_finished", 1, said("second", 200)))
		pass(time.Minute)
		var seen []string
		for _, o := range order {
			for _, word := range []string{"Chat 1", "first", "second"} {
				if strings.Contains(o, word) {
					seen = append(seen, word)
				}
			}
		}
		same(t, "written", seen, []string{"Chat 1", "first", "second"})
	})
}

func TestDispatcher_FailingNoteHoldsNobodyUp(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.crm.before = func(w amocrm.Write) error {
			if w.Endpoint == amocrm.PostNotes {
				return &amocrm.Failed{Status: 500, Trouble: amocrm.Unavailable}
			}
			return nil
		}
		y.run()
		first := y.post(chat("chat_finished", 1, said("first", 100)))
		second := y.post(chat("chat_updated", 1, ""))
		pass(time.Second)
		ev := y.is(first, event.Pending, "")
		if !ev.Detached || ev.Attempts != 1 {
			t.Errorf("detached %v, attempts %d", ev.Detached, ev.Attempts)
		}
		y.is(second, event.Done, "")
		y.crm.set(func() { y.crm.before = nil })
		pass(time.Minute)
		y.is(first, event.Done, "")
		equal(t, "leads", y.crm.made(), 1)
	})
}

func TestDispatcher_NoteUnderWayHoldsNobodyUp(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		let := make(chan struct{})
		y.crm.before = func(w amocrm.Write) error {
			if w.Endpoint == amocrm.PostNotes {
				<-let
			}
			return nil
		}
		y.run()
		first := y.post(chat("chat_finished", 1, said("first", 100)))
		second := y.post(chat("chat_updated", 1, ""))
		pass(time.Minute)
		y.is(first, event.Pending, "")
		y.is(second, event.Done, "")
		close(let)
		pass(time.Second)
		y.is(first, event.Done, "")
	})
}

func TestDispatcher_SnoozeBurnsNothing(t *testing.T) {
	inBubble(t, func(c *Connection) { c.GiveUp = time.Minute }, func(t *testing.T, y *yard) {
		y.crm.before = func(amocrm.Write) error {
			return &amocrm.NotSent{Trouble: amocrm.RateLimited, Reason: amocrm.RateLimited, Until: time.Now().Add(30 * time.Second)}
		}
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(10 * time.Minute)
		ev := y.is(seq, event.Pending, "")
		if ev.Attempts != 0 || ev.Waited != 0 {
			t.Errorf("attempts %d, waited %s", ev.Attempts, ev.Waited)
		}
		if n := y.crm.tries(); n < 19 || n > 21 {
			t.Errorf("%d tries in ten minutes of 429 for 30 s", n)
		}
		y.crm.set(func() { y.crm.before = nil })
		pass(time.Minute)
		y.is(seq, event.Done, "")
		equal(t, "leads", y.crm.made(), 1)
	})
}

func TestDispatcher_PauseHoldsEverythingAndIsMadeUpForAtOnce(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.crm.before = func(amocrm.Write) error {
			y.crm.set(func() { y.crm.paused = true })
			return &amocrm.NotSent{Trouble: amocrm.Paused, Reason: amocrm.Unreachable, Until: time.Now().Add(time.Hour)}
		}
		y.run()
		var seqs []uint64
		for n := range 5 {
			seqs = append(seqs, y.post(chat("chat_accepted", n+1, "")))
		}
		pass(72 * time.Hour)
		tried := y.crm.tries()
		if tried > 5 {
			t.Errorf("%d writes while paused", tried)
		}
		y.crm.set(func() { y.crm.before, y.crm.paused = nil, false })
		y.d.Kick() // as the resume does
		pass(10 * time.Millisecond)
		for _, seq := range seqs {
			if ev := y.is(seq, event.Done, ""); ev.Attempts != 0 {
				t.Errorf("attempts %d", ev.Attempts)
			}
		}
	})
}

func TestDispatcher_GivesUpByWhatItWaitedForItself(t *testing.T) {
	inBubble(t, func(c *Connection) { c.GiveUp, c.BackoffMax = time.Minute, 20*time.Second }, func(t *testing.T, y *yard) {
		y.crm.before = func(amocrm.Write) error { return &amocrm.Failed{Status: 500, Trouble: amocrm.Unavailable} }
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		behind := y.post(chat("chat_updated", 1, ""))
		pass(4 * time.Second)
		if ev := y.is(seq, event.Pending, ""); ev.Attempts != 1 || ev.Waited != 5*time.Second {
			t.Errorf("attempts %d, waited %s", ev.Attempts, ev.Waited)
		}
		y.crm.set(func() { y.crm.paused = true }) // the account's trouble stops the clock
		pass(10 * time.Hour)
		if ev := y.is(seq, event.Pending, ""); ev.Waited != 5*time.Second {
			t.Errorf("waited %s while the account was paused", ev.Waited)
		}
		y.crm.set(func() { y.crm.paused = false })
		y.d.Kick()
		pass(10 * time.Minute) // 5 + 10 + 20 + 20 + 20 s
		ev := y.is(seq, event.Dead, event.GaveUp)
		equal(t, "attempts", ev.Attempts, 6)
		equal(t, "waited", ev.Waited, 75*time.Second)
		y.is(behind, event.Dead, event.GaveUp) // went on after it, to the same trouble
	})
}

func TestDispatcher_PanicIsOneDeadEvent(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.crm.before = func(w amocrm.Write) error {
			if strings.Contains(string(w.Item), "Chat 1\"") {
				panic("a bug with +79160000001") // client 1's phone: a canary
			}
			return nil
		}
		y.run()
		bad, behind, other := y.post(chat("chat_accepted", 1, "")), y.post(chat("client_updated", 1, "")), y.post(chat("chat_accepted", 2, ""))
		pass(time.Minute)
		y.is(bad, event.Dead, event.Panicked)
		if ev := y.event(behind); !ev.State.Settled() {
			t.Errorf("the one behind it is %s", ev.State)
		}
		y.is(other, event.Done, "")
		equal(t, "in flight", y.d.InFlight(shop), 0)
	})
}

func TestDispatcher_RefusedIsDeadAndSaysWhy(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.crm.before = func(amocrm.Write) error { return &amocrm.Refused{Status: 400, Code: "Invalid", Path: "id"} }
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(time.Hour)
		ev := y.is(seq, event.Dead, event.Refused)
		equal(t, "tries", y.crm.tries(), 1)
		if !strings.Contains(ev.Detail, "400") {
			t.Errorf("detail %q", ev.Detail)
		}
	})
}

func TestDispatcher_LostAnswerIsLookedUpAndNotSentAgain(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.dict.Fields = nil // no marker field: by name and contact
		y.crm.after = func(amocrm.Write) error {
			y.crm.set(func() { y.crm.after = nil })
			return &amocrm.InDoubt{Trouble: amocrm.Unreachable, SentAt: time.Now()}
		}
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(5 * time.Second)
		if ev := y.is(seq, event.Pending, ""); ev.Attempts != 0 || !ev.Frozen {
			t.Errorf("attempts %d, frozen %v", ev.Attempts, ev.Frozen)
		}
		pass(time.Minute)
		y.is(seq, event.Done, "")
		equal(t, "leads", y.crm.made(), 1)
		same(t, "doubts", y.obs.doubts, []string{"found"})
	})
}

func TestDispatcher_WriteThatNeverLandedIsSentAgainAfterTwoLooks(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.crm.after = func(amocrm.Write) error {
			y.crm.set(func() { y.crm.after = nil; clear(y.crm.leads); clear(y.crm.contacts) })
			return &amocrm.InDoubt{Trouble: amocrm.Unreachable, SentAt: time.Now()}
		}
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(y.c.InDoubtAfter + 5*time.Second)
		equal(t, "tries after one look", y.crm.tries(), 1)
		pass(time.Minute)
		y.is(seq, event.Done, "")
		equal(t, "leads", y.crm.made(), 1)
		same(t, "doubts", y.obs.doubts, []string{"missing", "resent"})
	})
}

func TestDispatcher_StopLeavesWhatWasNotSentAsItWas(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		let := make(chan struct{})
		y.crm.before = func(amocrm.Write) error {
			<-let
			return &amocrm.NotSent{Trouble: amocrm.Closing, Reason: amocrm.Closing}
		}
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(time.Second)
		go func() { pass(time.Second); close(let) }()
		y.stop()
		ev := y.is(seq, event.Pending, "")
		if ev.Frozen || len(ev.Changes) != 0 || ev.Attempts != 0 {
			t.Errorf("event %+v", ev)
		}
	})
}

func TestForget_WhileInFlightNothingComesBack(t *testing.T) {
	for _, sent := range []bool{false, true} {
		name := map[bool]string{false: "before it is sent", true: "after it was sent"}[sent]
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				let := make(chan struct{})
				hold := func(amocrm.Write) error { <-let; return nil }
				if sent {
					y.crm.after = hold
				} else {
					y.crm.before = hold
				}
				y.run()
				seq, behind := y.post(chat("chat_finished", 1, said("hello", 100))), y.post(chat("chat_updated", 1, ""))
				pass(time.Second)
				y.forget("1")
				close(let)
				pass(time.Hour)
				y.is(seq, event.Dead, event.Forgotten)
				y.is(behind, event.Dead, event.Forgotten)
				y.view(func(tx *store.Tx) {
					if tx.HasClient(shop, "1") || tx.Body(seq) != nil {
						t.Error("something of the person is there again")
					}
					_ = store.Each(tx, store.Cards, "", func(key string, _ any) bool { t.Errorf("card %q", key); return true })
					_ = store.Each(tx, store.Chats, "", func(key string, _ any) bool { t.Errorf("chat %q", key); return true })
				})
				if !sent && len(y.crm.writes) > 0 {
					t.Errorf("%d writes left after the person was forgotten", len(y.crm.writes))
				}
			})
		})
	}
}

// A person forgotten between the moment an event was read and the moment it is
// learned is not written back by it.
func TestForget_BeforeItIsLearnedNothingComesBack(t *testing.T) {
	y := newYard(t, nil)
	j := &job{d: y.d, c: y.c, seq: y.post(chat("chat_accepted", 1, named))}
	body, err := j.load()
	if err != nil {
		t.Fatal(err)
	}
	y.forget("1")
	if err := j.settle(t.Context(), j.attempt(t.Context(), body)); err != nil {
		t.Error(err)
	}
	y.is(j.seq, event.Dead, event.Forgotten)
	y.view(func(tx *store.Tx) {
		if tx.HasClient(shop, "1") {
			t.Error("the person is there again")
		}
		for _, b := range []store.Bucket{store.Chats, store.Names, store.Last, store.Cards} {
			_ = store.Each(tx, b, "", func(key string, _ any) bool { t.Errorf("%s %q", b, key); return true })
		}
	})
	equal(t, "writes", y.crm.tries(), 0)
}

func TestForget_KeepsWhichLeadADealIs(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.update(func(tx *store.Tx) error {
			for id, client := range map[string]string{"1": "1", "2": "2"} {
				if err := store.Set(tx, store.Deals, store.Key(shop, id), event.Deal{ID: id, Client: client, LeadID: 5, Last: event.Object{"title": "T"}}); err != nil {
					return err
				}
				last := event.Object{"text": "T", "client": event.Object{"client_id": client}}
				if err := store.Set(tx, store.Tasks, store.Key(shop, id), event.JivoTask{ID: id, AmoID: 6, Last: last}); err != nil {
					return err
				}
			}
			return nil
		})
		y.forget("1")
		y.view(func(tx *store.Tx) {
			for id, kept := range map[string]bool{"1": false, "2": true} {
				d, _, _ := store.Get[event.Deal](tx, store.Deals, store.Key(shop, id))
				k, _, _ := store.Get[event.JivoTask](tx, store.Tasks, store.Key(shop, id))
				if d.LeadID != 5 || k.AmoID != 6 || (d.Last != nil) != kept || (k.Last != nil) != kept {
					t.Errorf("client %s: deal %+v, task %+v", id, d, k)
				}
			}
		})
	})
}

func TestEnded_TellsTroubleApart(t *testing.T) {
	until := time.Now().Add(time.Minute)
	ctx := t.Context()
	for name, c := range map[string]struct {
		err  error
		want event.Ending
	}{
		"rate limit: until then":  {&amocrm.NotSent{Trouble: amocrm.RateLimited, Reason: amocrm.RateLimited, Until: until}, event.Snooze{Until: until, Why: "the account: rate_limited"}},
		"pause: due when it ends": {&amocrm.NotSent{Trouble: amocrm.Paused, Reason: amocrm.Banned, Until: until}, event.Snooze{Why: "the account: banned"}},
		"refused":                 {&amocrm.Refused{Status: 400}, event.Kill{Reason: event.Refused, Detail: "amocrm: refused (400)"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ended(ctx, c.err); got != c.want {
				t.Errorf("got %#v, want %#v", got, c.want)
			}
		})
	}
	for _, err := range []error{&amocrm.Failed{Status: 500}, &amocrm.InDoubt{}, errors.New("else")} {
		if _, ok := ended(ctx, err).(event.Retry); !ok {
			t.Errorf("%v burns no attempt", err)
		}
	}
	for _, err := range []error{store.ErrFull, store.ErrBroken} {
		if _, ok := ended(ctx, err).(event.Snooze); !ok {
			t.Errorf("%v burns an attempt", err)
		}
	}
}
