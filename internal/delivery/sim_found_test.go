package delivery

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/mapping"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// Found by the simulation (N7).

// A look-up settles what left first by what was made first: the younger of two
// equal tasks is that of another intent, whose answer may be lost as well.
func TestDoubt_TheOldestOfEqualsIsTaken(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		y.post(chat("chat_accepted", 1, ""))
		pass(time.Second)
		y.loseAnswer(nil)
		seq := y.post(task(2, 1, 0))
		pass(2 * time.Second)
		var own int64
		y.crm.set(func() {
			for place, list := range y.crm.tasks {
				if len(list) != 1 {
					t.Fatalf("%d tasks", len(list))
				}
				own = list[0].ID
				later := list[0]
				later.ID, later.CreatedAt = own+500, later.CreatedAt+60
				y.crm.tasks[place] = []event.Task{later, list[0]} // newest first
			}
		})
		pass(time.Minute)
		ev := y.is(seq, event.Done, "")
		for _, ch := range ev.Changes {
			if ch.Target == event.OnTask {
				equal(t, "the task", ch.AmoID, own)
			}
		}
	})
}

// A deal and its change that waited for a client in vain: the change does not
// overtake the deal while that is in doubt.
func TestPark_OverdueEventsOfOneDealKeepTheirOrder(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.dict.Fields = nil // a lead is known by its name
		y.loseAnswer(nil)
		y.run()
		first := y.post(deal(1, "D"))
		second := y.post(strings.Replace(strings.Replace(deal(1, "D"), "created_deal", "updated_deal", 1), `"amount":5`, `"amount":7`, 1))
		pass(y.c.Park + time.Minute)
		y.is(first, event.Done, "")
		y.is(second, event.Done, "")
		equal(t, "leads", y.crm.made(), 1)
	})
}

// A deal that is taken up after a newer event of it was carried out, because the
// clock had put it off, takes nothing back: not on the lead, nor in what the next
// change is compared with. Its task likewise.
func TestPark_WhatComesLateTakesNothingBack(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		update := func(amount string) string {
			return strings.Replace(strings.Replace(deal(1, "D"), "created_deal", "updated_deal", 1), `"amount":5`, `"amount":`+amount, 1)
		}
		late := y.post(deal(1, "D"))
		pass(time.Second)
		y.update(func(tx *store.Tx) error {
			ev, err := tx.Event(late)
			if err != nil {
				return err
			}
			ev.NextAt = time.Now().Add(24 * time.Hour)
			return tx.Put(ev)
		})
		y.post(update("7"))
		pass(y.c.Park + time.Minute)
		equal(t, "prices before it", y.prices(), "7")
		pass(25 * time.Hour)
		y.is(late, event.Done, "")
		equal(t, "prices after it", y.prices(), "7")
		y.post(update("5"))
		pass(y.c.Park + time.Minute)
		equal(t, "prices after it changed back in Jivo", y.prices(), "7 5")

		y.post(update("9"))
		pass(y.c.Park + time.Minute)
		y.update(func(tx *store.Tx) error {
			ev, err := tx.Event(late)
			if err != nil {
				return err
			}
			ev.State, ev.Frozen, ev.Replays, ev.NextAt = event.Pending, false, 1, time.Now()
			return tx.Put(ev)
		})
		pass(time.Minute)
		equal(t, "prices after it was asked for again", y.prices(), "7 5 9 5")
	})
}

// prices are what was written to leads as their price, in order.
func (y *yard) prices() string {
	var all []string
	y.crm.set(func() {
		for _, w := range y.crm.writes {
			if _, after, ok := strings.Cut(string(w.Item), `"price":`); ok {
				all = append(all, after[:strings.IndexAny(after, ",}")])
			}
		}
	})
	return strings.Join(all, " ")
}

// Who is woken to link the contact of a bare lead is the deal's last event: what
// the first one says of it is out of date by then.
func TestPark_TheLastEventOfABareDealIsWoken(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		y.post(deal(1, "D"))
		second := y.post(strings.Replace(strings.Replace(deal(1, "D"), "created_deal", "updated_deal", 1), `"amount":5`, `"amount":7`, 1))
		pass(y.c.Park + time.Minute)
		y.update(func(tx *store.Tx) error {
			d, _, err := store.Get[event.Deal](tx, store.Deals, store.Key(shop, "3"))
			equal(t, "to be woken", d.Seq, second)
			return err
		})
		y.post(`{"event_name":"created_client","client_id":1,"name":"V","contacts":[{"type":"phone","value":"+79160000001"}]}`)
		pass(time.Minute)
		if p := y.prices(); p != "7" && !strings.HasSuffix(p, " 7") {
			t.Errorf("prices written: %q", p)
		}
	})
}

// A contact that turns up in a look-up may be known by its hook already, and others
// may have written to it: what was sent when it was made replaces none of that.
func TestDoubt_AFoundContactKeepsWhatIsKnownOfIt(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.dict.Fields = nil
		const added = "second@example.com"
		key := func(id int64) string { return store.Key(shop, "contact", strconv.FormatInt(id, 10)) }
		var cid int64
		y.loseAnswer(func() {
			for id, c := range y.crm.contacts {
				cid = id
				c.Emails = append(c.Emails, event.Value{Text: added})
				y.update(func(tx *store.Tx) error {
					return store.Set(tx, store.Cards, key(id), event.ContactCard{Contact: c, ReadAt: time.Now()})
				})
			}
		})
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(time.Minute)
		y.is(seq, event.Done, "")
		y.update(func(tx *store.Tx) error {
			card, _, err := store.Get[event.ContactCard](tx, store.Cards, key(cid))
			if !slices.Contains(event.Texts(card.Contact.Emails), added) || !card.Dirty {
				t.Errorf("card %+v", card)
			}
			if ids := tx.ContactsBy(demoHost, "e:"+added); !slices.Contains(ids, cid) {
				t.Errorf("found by it: %v", ids)
			}
			return err
		})
	})
}

// What is known of a contact goes with the one client who was linked to it; an update of
// somebody else that lands afterwards tells no more of it than what it wrote: neither that
// it has no phone, nor that it has no lead. The next chat finds both.
func TestForget_AContactWrittenMeanwhileIsReadAgain(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		const shared = "+79160000001"
		y.post(calls("chat_accepted", 1, shared))
		pass(time.Second)
		let := make(chan struct{})
		y.crm.set(func() {
			y.crm.after = func(w amocrm.Write) error {
				if w.Endpoint == amocrm.PatchContacts {
					<-let
				}
				return nil
			}
		})
		y.post(calls("chat_accepted", 7, shared))
		pass(time.Second)
		y.forget("1")
		y.crm.set(func() { // amoCRM's search is late
			y.crm.unindexed = map[int64]bool{}
			for id := range y.crm.contacts {
				y.crm.unindexed[id] = true
			}
		})
		close(let)
		pass(time.Second)
		y.post(calls("chat_updated", 1, shared))
		pass(time.Minute)
		equal(t, "contacts", y.crm.people(), 1)
		equal(t, "leads", y.crm.made(), 1)
	})
}

// What was being written to a contact when its person was forgotten stands there, and is
// known to those who share it: their next write does not take it away (seed 20748 with
// -sim.hand).
func TestForget_WhatWasBeingWrittenIsNotTakenAway(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		const shared, added, later = "+79160000001", "+79160000002", "+79160000003"
		y.post(calls("chat_accepted", 1, shared))
		y.post(calls("chat_accepted", 7, shared))
		pass(time.Minute)
		let := make(chan struct{})
		y.crm.set(func() {
			y.crm.after = func(w amocrm.Write) error {
				if w.Endpoint == amocrm.PatchContacts {
					<-let
				}
				return nil
			}
		})
		y.post(calls("chat_updated", 7, added))
		pass(time.Second)
		y.forget("7")
		close(let)
		pass(time.Second)
		y.post(calls("chat_updated", 1, later))
		pass(time.Minute)
		same(t, "phones", y.phones(), []string{shared, added, later})
	})
}

// Who is forgotten while their contact, lead or deal is being made is not made again by
// what comes next: what amoCRM answers is kept, without them.
func TestForget_WhatWasBeingMadeIsNotMadeAgain(t *testing.T) {
	next := strings.Replace(deal(1, "D"), "created_deal", "updated_deal", 1)
	for name, c := range map[string]struct{ before, held, after string }{
		"a chat": {"", chat("chat_accepted", 1, ""), chat("chat_updated", 1, "")},
		"a deal": {chat("chat_accepted", 1, ""), deal(1, "D"), next},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				y.run()
				if c.before != "" {
					y.post(c.before)
					pass(time.Second)
				}
				let := make(chan struct{})
				y.crm.set(func() { y.crm.after = func(amocrm.Write) error { <-let; return nil } })
				y.post(c.held)
				pass(time.Second)
				y.forget("1")
				y.crm.set(func() { // amoCRM's search is late
					y.crm.unindexed = map[int64]bool{}
					for id := range y.crm.contacts {
						y.crm.unindexed[id] = true
					}
				})
				close(let)
				pass(time.Second)
				y.post(c.after)
				pass(y.c.Park + time.Minute)
				equal(t, "contacts", y.crm.people(), 1)
				equal(t, "leads", y.crm.made(), 1)
			})
		})
	}
}

// A task that is wanted once is made once, though two visitors with one phone ask for it
// at the same moment: their lead is one, their lines are not.
func TestTask_OnceForTwoVisitorsWithOnePhone(t *testing.T) {
	for name, first := range map[string]bool{"both known": true, "one of them new": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				y.c.Program = onceProgram(t)
				y.run()
				const shared = "+79160000001"
				y.post(calls("chat_accepted", 1, shared))
				pass(time.Second)
				if first {
					y.post(calls("chat_accepted", 7, shared))
					pass(time.Second)
				}
				y.crm.set(func() {
					y.crm.before = func(amocrm.Write) error { time.Sleep(time.Second); return nil }
				})
				y.post(calls("offline_message", 7, shared))
				y.post(calls("offline_message", 1, shared))
				pass(time.Minute)
				tasks := 0
				y.crm.set(func() {
					for _, list := range y.crm.tasks {
						tasks += len(list)
					}
				})
				equal(t, "tasks", tasks, 1)
			})
		})
	}
}

// … also while the first of them does not know yet that the lead is its own: the answer was
// lost, and a hook told of the contact before the look-up.
func TestTask_OnceWhileTheLeadIsInDoubt(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.c.Program = onceProgram(t)
		y.run()
		const shared = "+79160000001"
		y.loseAnswer(func() {
			y.crm.set(func() {
				for id, l := range y.crm.leads {
					l.Fields = map[int64]event.Values{7: {{Text: "jv-c1@shop jv-kk1@shop"}}}
					y.crm.leads[id] = l
				}
			})
		})
		first := y.post(calls("offline_message", 1, shared))
		pass(time.Second)
		y.update(func(tx *store.Tx) error { // a hook
			for cid := range y.crm.contacts {
				if err := tx.SetContactKeys(demoHost, cid, []string{"p:" + shared}); err != nil {
					return err
				}
			}
			return nil
		})
		second := y.post(calls("offline_message", 7, shared))
		pass(5 * time.Second)
		y.is(first, event.Pending, "")
		y.is(second, event.Done, "")
		pass(time.Minute)
		y.is(first, event.Done, "")
		equal(t, "leads", y.crm.made(), 1)
		equal(t, "tasks", y.tasksMade(), 1)
	})
}

// onceProgram has a message bring a task, once.
func onceProgram(t *testing.T) *mapping.Program {
	t.Helper()
	yes := true
	p, problems := mapping.Compile([]mapping.Rule{
		{
			Name: txt("lead"), On: txts("chat_accepted", "chat_updated", "offline_message"), When: txt("has_contact() or known()"),
			Contact: &mapping.ContactBlock{Find: txts("client", "phone", "email"), Create: &yes, Name: txt("{{ visitor.name }}"), Phone: txt("{{ visitor.phone }}")},
			Lead:    &mapping.LeadBlock{Find: txts("chat", "open"), Create: &yes, Name: txt("Chat {{ visitor.number }}")},
		},
		{Name: txt("answer"), On: txts("offline_message"), Task: &mapping.TaskBlock{To: txt("lead"), Text: txt("Answer"), Due: txt("1h"), Once: true}},
	}, mapping.Env{Kinds: jivo.Kinds(), Schema: jivo.Schema, Language: "ru", Region: "RU", Anonymous: "hold"})
	if len(problems) > 0 {
		t.Fatalf("rules: %v", problems)
	}
	return p
}
