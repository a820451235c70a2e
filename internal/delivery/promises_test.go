package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/amocrm/items"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// An event whose person was forgotten while it was worked has had its end: however
// long it had been tried, it ends neither once more nor by giving up.
func TestForget_WhatWasForgottenDoesNotEndAgain(t *testing.T) {
	y := newYard(t, nil)
	j := &job{d: y.d, c: y.c, seq: y.post(chat("chat_accepted", 1, ""))}
	body, err := j.load()
	if err != nil {
		t.Fatal(err)
	}
	j.ev.Waited = y.c.GiveUp
	if err := Forget(t.Context(), y.st, shop, "1"); err != nil {
		t.Fatal(err)
	}
	ending := j.attempt(t.Context(), body)
	if _, cut := ending.(event.Cut); !cut {
		t.Errorf("the attempt ended in %#v", ending)
	}
	if err := j.settle(t.Context(), ending); err != nil {
		t.Error(err)
	}
	same(t, "told of its end", y.obs.settled, nil)
}

// Trouble of the account that ends at no known time puts an event off by a second:
// it does not spin while the trouble lasts.
func TestDispatcher_SnoozeIsASecondAtLeast(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.crm.before = func(amocrm.Write) error {
			if y.crm.tries() > 100 {
				return nil // enough: a bubble's time stands still while anybody spins
			}
			return &amocrm.NotSent{Trouble: amocrm.Unrecorded, Reason: amocrm.Unrecorded}
		}
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(10*time.Second + time.Second/2)
		ev := y.is(seq, event.Pending, "")
		equal(t, "attempts", ev.Attempts, 0)
		equal(t, "tries in ten seconds", y.crm.tries(), 11)
	})
}

// jobOf is the worker of an event in flight.
func (y *yard) jobOf(seq uint64) *job {
	y.d.mu.Lock()
	defer y.d.mu.Unlock()
	return y.d.jobs[seq]
}

// An event whose end cannot be written down is due still: it is tried once a second,
// and ends as soon as it can be.
func TestDispatcher_RestsWhereNothingCanBeWrittenDown(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		var mended atomic.Bool
		shaper := y.c.Shaper
		y.c.Shaper = func(d *dict.Snapshot) *items.Shaper { // called by the worker, while it decides what to write
			y.jobOf(1).effect(func(*store.Tx) error {
				if mended.Load() || y.crm.tries() > 100 { // as above
					return nil
				}
				return errors.New("cannot be told")
			})
			return shaper(d)
		}
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(10*time.Second + time.Second/2)
		y.is(seq, event.Pending, "")
		equal(t, "tries in ten seconds", y.crm.tries(), 11)
		mended.Store(true)
		pass(2 * time.Second)
		y.is(seq, event.Done, "")
		equal(t, "leads", y.crm.made(), 1)
	})
}

// After the disk was full nothing is claimed for a while: what would be asked of
// amoCRM could not be written down.
func TestDispatcher_RestsAfterTheDiskWasFull(t *testing.T) {
	for _, sent := range []bool{false, true} {
		t.Run(map[bool]string{false: "before it was sent", true: "after it was sent"}[sent], func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				y.dict.Fields = nil
				fill := func(w amocrm.Write) error {
					y.crm.set(func() { y.crm.before, y.crm.after = nil, nil })
					y.jobOf(mustSeq(t, w.Keys[0])).effect(func(*store.Tx) error { return fmt.Errorf("commit: %w", store.ErrFull) })
					return nil
				}
				if sent {
					y.crm.after = fill
				} else {
					y.crm.before = fill
				}
				y.run()
				first := y.post(chat("chat_accepted", 1, ""))
				pass(time.Second)
				other := y.post(chat("chat_accepted", 2, ""))
				pass(fullRest - 2*time.Second)
				equal(t, "searches, for all that is due", y.crm.searches, 1)
				y.is(other, event.Pending, "")
				pass(15 * time.Second)
				y.is(first, event.Done, "")
				y.is(other, event.Done, "")
				equal(t, "leads", y.crm.made(), 2)
			})
		})
	}
}

// slowly is an account whose answers take a second: what it tells is older then.
type slowly struct {
	*fakeCRM
	mu   sync.Mutex
	slow func(what string) bool
	most int // leads asked for at once
}

func (s *slowly) wait(what string) {
	if s.slow != nil && s.slow(what) {
		time.Sleep(time.Second) // of the bubble
	}
}

func (s *slowly) TasksOf(ctx context.Context, entity string, id int64) ([]event.Task, error) {
	defer s.wait("tasks")
	return s.fakeCRM.TasksOf(ctx, entity, id)
}

func (s *slowly) Contact(ctx context.Context, id int64) (event.Contact, bool, error) {
	defer s.wait("contact")
	return s.fakeCRM.Contact(ctx, id)
}

func (s *slowly) Leads(ctx context.Context, ids []int64) (map[int64]event.Lead, error) {
	s.mu.Lock()
	s.most = max(s.most, len(ids))
	s.mu.Unlock()
	return s.fakeCRM.Leads(ctx, ids)
}

// Write tells of the company that came along with a lead: each name is one of its own.
func (s *slowly) Write(ctx context.Context, w amocrm.Write) (amocrm.Result, error) {
	s.wait("write")
	res, err := s.fakeCRM.Write(ctx, w)
	if cid, name := companyIn(w); cid != 0 || name != "" {
		res.CompanyID = cid
		if cid == 0 {
			s.set(func() { res.CompanyID = s.id() })
		}
	}
	return res, err
}

// slowly makes the account's answers of the given kind slow, while slow says so.
func (y *yard) slowly(slow func(what string) bool) *slowly {
	s := &slowly{fakeCRM: y.crm, slow: slow}
	y.c.Account.CRM = s
	return s
}

// Two equal tasks for one lead are in doubt at once, and one of them stands: it is
// one event's, and the other's is made. Nobody knows their client, by whose phone
// they would wait for each other.
func TestDoubt_OneTaskSettlesOneOfTwoEqual(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.crm.leads[500] = event.Lead{ID: 500, PipelineID: 1, StatusID: open}
		y.update(func(tx *store.Tx) error {
			return store.Set(tx, store.Deals, store.Key(shop, "3"), event.Deal{ID: "3", Client: "1", LeadID: 500})
		})
		y.slowly(func(what string) bool { return what == "tasks" })
		first, second := y.post(task(1, 1, 3)), y.post(task(2, 1, 3))
		lost := map[uint64]bool{}
		lose := func(seq uint64, landed bool) func(amocrm.Write) error {
			return func(w amocrm.Write) (err error) {
				if w.Endpoint != amocrm.PostTasks || mustSeq(t, w.Keys[0]) != seq {
					return nil
				}
				again := false
				y.crm.set(func() { again, lost[seq] = lost[seq], true })
				if again {
					return nil
				}
				if !landed {
					err = y.d.Sent(context.Background(), w.Keys)
				}
				return errors.Join(err, &amocrm.InDoubt{Trouble: amocrm.Unreachable, SentAt: time.Now()})
			}
		}
		y.crm.after, y.crm.before = lose(first, true), lose(second, false)
		y.run()
		pass(y.c.Park + 5*time.Minute)
		y.oneTaskEach(first, second)
	})
}

// oneTaskEach checks that each of two events is done and has made a task of its own.
func (y *yard) oneTaskEach(first, second uint64) {
	y.t.Helper()
	made := func(seq uint64) int64 {
		changes := y.is(seq, event.Done, "").Changes
		return changes[len(changes)-1].AmoID
	}
	equal(y.t, "tasks of the lead", len(y.crm.tasks["leads/500"]), 2)
	if a, b := made(first), made(second); a == b {
		y.t.Errorf("both are task %d", a)
	}
}

// … nor is it settled by what an equal event is making at this moment, whose answer is
// still on its way (simulation, seed 3409).
func TestDoubt_AnEqualTaskOnItsWaySettlesNoOther(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.crm.leads[500] = event.Lead{ID: 500, PipelineID: 1, StatusID: open}
		y.update(func(tx *store.Tx) error {
			return store.Set(tx, store.Deals, store.Key(shop, "3"), event.Deal{ID: "3", Client: "1", LeadID: 500})
		})
		tries := map[uint64]int{}
		y.crm.before = func(w amocrm.Write) error {
			if w.Endpoint != amocrm.PostTasks {
				return nil
			}
			seq, n := mustSeq(t, w.Keys[0]), 0
			y.crm.set(func() { tries[seq]++; n = tries[seq] })
			if err := y.d.Sent(context.Background(), w.Keys); err != nil || n > 1 {
				return err
			}
			return &amocrm.InDoubt{Trouble: amocrm.Unreachable, SentAt: time.Now()} // it never arrived
		}
		y.crm.after = func(w amocrm.Write) error {
			if w.Endpoint == amocrm.PostTasks {
				time.Sleep(5 * time.Second) // it is made, and the answer takes its time
			}
			return nil
		}
		y.run()
		first := y.post(task(1, 1, 3))
		pass(time.Second) // then the second look of one falls into the other's writing
		second := y.post(task(2, 1, 3))
		pass(y.c.Park + 5*time.Minute)
		y.oneTaskEach(first, second)
	})
}

// Visitors of a company that nobody knows yet make it once; and whoever waited for
// that goes on beside the others then, not behind them.
func TestCompany_UnknownIsMadeOnceAndHoldsUpNobodyAfterwards(t *testing.T) {
	inBubble(t, withCompany(t), func(t *testing.T, y *yard) {
		y.slowly(func(what string) bool { return what == "write" })
		var seqs []uint64
		for n := range 6 {
			seqs = append(seqs, y.post(chat("chat_accepted", n+1, named)))
		}
		y.run()
		pass(2*time.Second + time.Second/2) // the first, then all others
		for _, seq := range seqs {
			y.is(seq, event.Done, "")
		}
		made := 0
		for _, w := range y.crm.writes {
			if _, name := companyIn(w); name != "" {
				made++
			}
		}
		equal(t, "leads", y.crm.made(), 6)
		equal(t, "companies made", made, 1)
	})
}

// The first sight of a client is kept, even where an update that says as much waits
// behind it: what has changed since is written over what a manager wrote.
func TestUpdates_TheFirstSightOfAClientIsComparedWith(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		y.post(chat("chat_accepted", 1, ""))
		pass(time.Second)
		cid := y.client(1).ContactID
		y.crm.set(func() {
			c := y.crm.contacts[cid]
			c.Name = "By the manager"
			y.crm.contacts[cid] = c
		})
		y.update(func(tx *store.Tx) error {
			return changeRecord(tx, store.Cards, store.Key(shop, "contact", id(cid)), func(k *event.ContactCard) { k.Contact.Name = "By the manager" })
		})
		y.stop()
		updated := func(name string) uint64 {
			return y.post(fmt.Sprintf(`{"event_name":"updated_client","client_id":1,"name":%q,"contacts":[{"type":"phone","value":"+79160000001"}]}`, name))
		}
		first, second := updated("V1"), updated("Renamed")
		y.run()
		pass(10 * time.Second)
		y.is(first, event.Done, "")
		y.is(second, event.Done, "")
		y.crm.set(func() { equal(t, "the contact", y.crm.contacts[cid].Name, "Renamed") })
	})
}

// A contact whose reading began before a phone was written to it is as old as that:
// it takes the phone off neither the card nor the directory.
func TestContact_ReadingThatIsOlderThanAWriteTakesNothingBack(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		slow := false
		y.slowly(func(what string) bool { return what == "contact" && slow })
		y.run()
		y.post(chat("chat_accepted", 1, ""))
		pass(time.Second)
		cid := y.client(1).ContactID
		slow = true
		y.post(fmt.Sprintf(`{"event_name":"chat_assigned","chat_id":"k2","assign_to":"https://%s/contacts/detail/%d","visitor":{"number":"2"}}`, demoHost, cid))
		pass(time.Second / 2)
		slow = false
		y.post(strings.Replace(chat("chat_updated", 1, ""), "+79160000001", "+79160000777", 1))
		pass(10 * time.Second)
		equal(t, "client 2 is linked", y.client(2).ContactID, cid)
		y.view(func(tx *store.Tx) {
			same(t, "the directory", tx.ContactsBy(demoHost, "p:+79160000777"), []int64{cid})
			card, _, _ := store.Get[event.ContactCard](tx, store.Cards, store.Key(shop, "contact", id(cid)))
			equal(t, "phones on the card", len(card.Contact.Phones), 2)
		})
	})
}

// A note that is tried again holds the client's next event up no more than one that
// is tried for the first time.
func TestDispatcher_NoteTriedAgainHoldsNobodyUp(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		let := make(chan struct{})
		y.crm.before = func(w amocrm.Write) error {
			if w.Endpoint != amocrm.PostNotes {
				return nil
			}
			if y.crm.tries() == 2 { // the lead, and the note for the first time
				return &amocrm.Failed{Status: 500, Trouble: amocrm.Unavailable}
			}
			<-let
			return nil
		}
		y.run()
		first := y.post(chat("chat_finished", 1, said("hello", 100)))
		pass(time.Minute)
		equal(t, "attempts", y.is(first, event.Pending, "").Attempts, 1)
		equal(t, "tries", y.crm.tries(), 3)
		second := y.post(chat("chat_updated", 1, ""))
		pass(time.Minute)
		y.is(second, event.Done, "")
		y.is(first, event.Pending, "")
		close(let)
		pass(time.Second)
		y.is(first, event.Done, "")
	})
}

// Whoever waits for an event's contact and lead does not wait for its notes.
func TestWaitCore_EndsWhenContactAndLeadStand(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		let := make(chan struct{})
		defer close(let)
		y.crm.before = func(w amocrm.Write) error {
			if w.Endpoint == amocrm.PostNotes {
				<-let
			}
			return nil
		}
		seq := y.post(chat("chat_finished", 1, said("hello", 100)))
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		time.AfterFunc(time.Millisecond, y.run)
		y.d.WaitCore(ctx, seq, 1)
		if took := time.Since(began); took > time.Second {
			t.Errorf("waited %s", took)
		}
		equal(t, "leads", y.crm.made(), 1)
		y.is(seq, event.Pending, "")
	})
}

// Nobody waits for an event that was put off: its next attempt may be an hour away.
func TestWaitCore_DoesNotWaitForWhatWasPutOff(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.crm.before = func(amocrm.Write) error { return &amocrm.Failed{Status: 500, Trouble: amocrm.Unavailable} }
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(time.Second)
		equal(t, "attempts", y.is(seq, event.Pending, "").Attempts, 1)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		y.d.WaitCore(ctx, seq, 1)
		equal(t, "waited", time.Since(began), 0)
	})
}

// An event that was put off is not tried again sooner because an operator waits for one
// behind it.
func TestWaitCore_HastensNothingThatWasPutOff(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.crm.before = func(amocrm.Write) error { return &amocrm.Failed{Status: 500, Trouble: amocrm.Unavailable} }
		y.run()
		first := y.post(chat("chat_accepted", 1, ""))
		pass(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		second := y.post(chat("chat_updated", 1, ""))
		go func() {
			for ctx.Err() == nil {
				y.d.Kick()
				pass(100 * time.Millisecond)
			}
		}()
		y.d.WaitCore(ctx, second, 1)
		equal(t, "attempts", y.is(first, event.Pending, "").Attempts, 1)
	})
}

// Operators take seats, which are the account's; who finds none does not wait.
func TestWaitCore_WaitsOnlyWhereASeatIsFree(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		other := *y.c
		other.Name = shop + "2"
		elsewhere := *y.c
		elsewhere.Name, elsewhere.Account = shop+"3", &Account{}
		y.d.SetConnections([]*Connection{y.c, &other, &elsewhere})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var all sync.WaitGroup
		took := map[string]time.Duration{}
		var mu sync.Mutex
		for i, name := range []string{shop, shop, shop + "2", shop + "3"} {
			seq := y.postTo(name, chat("chat_accepted", i+1, ""))
			all.Go(func() {
				began := time.Now()
				y.d.WaitCore(ctx, seq, 2)
				mu.Lock()
				defer mu.Unlock()
				took[fmt.Sprint(name, " ", i)] = time.Since(began)
			})
			pass(time.Second)
		}
		all.Wait()
		for who, want := range map[string]time.Duration{
			shop + " 0": 10 * time.Second, shop + " 1": 9 * time.Second, shop + "2 2": 0, shop + "3 3": 7 * time.Second,
		} {
			if got := took[who].Round(time.Millisecond); got != want {
				t.Errorf("%s waited %v, want %v", who, got, want)
			}
		}
		y.d.mu.Lock()
		defer y.d.mu.Unlock()
		if len(y.d.waiters)+len(y.d.awaited) > 0 {
			t.Errorf("kept: %v, %v", y.d.waiters, y.d.awaited)
		}
	})
}

// A lead that a look-up found is read before it is trusted: it may be a while since
// it was made, and a manager may have closed it.
func TestDoubt_WhatIsFoundIsReadBeforeItIsTrusted(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.dict.Fields = nil // no marker field: by name and contact
		y.loseAnswer(func() {
			y.crm.set(func() {
				for lid, l := range y.crm.leads {
					l.StatusID = event.StatusLost
					y.crm.leads[lid] = l
				}
			})
		})
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(time.Minute)
		y.is(seq, event.Done, "")
		same(t, "doubts", y.obs.doubts, []string{"found"})
		y.post(chat("chat_accepted", 1, ""))
		pass(time.Minute)
		equal(t, "leads: the closed one and one for the new chat", y.crm.made(), 2)
	})
}

// A value that amoCRM refuses although the dictionary has it means that the
// dictionary is out of date: it is asked for again.
func TestMend_RefusalAsksForTheDictionaryAgain(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		asked := 0
		y.c.Account.Doubtful = func() { asked++ }
		y.refuseIf(func(w amocrm.Write) *amocrm.Refused {
			var item map[string]json.RawMessage
			if _ = json.Unmarshal(w.Item, &item); item["name"] == nil {
				return nil
			}
			return refusal("name")
		})
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(time.Second)
		y.is(seq, event.Done, "")
		equal(t, "asked for the dictionary", asked, 1)
	})
}

// A hook waits for no worker's turn: an operator's answer may wait for what it tells.
func TestTurns_HookTakesNone(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		for range cap(y.d.turns) {
			y.d.turns.take()
		}
		y.run()
		got, err := y.st.Append(t.Context(), event.Incoming{
			Event: event.Event{Connection: shop, Source: event.AmoCRM, Kind: "leads.update", ReceivedAt: time.Now()}, Body: []byte("leads[update][0][id]=1"),
		})
		if err != nil {
			t.Fatal(err)
		}
		visitor := y.post(chat("chat_accepted", 1, ""))
		pass(time.Second)
		y.is(got.Seq, event.Done, "")
		y.is(visitor, event.Pending, "")
		for range cap(y.d.turns) {
			y.d.turns.leave()
		}
		pass(time.Second)
		y.is(visitor, event.Done, "")
	})
}
