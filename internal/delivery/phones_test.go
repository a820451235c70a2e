package delivery

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

const other = "other"

// second is another connection on the same account.
func (y *yard) second() {
	c := *y.c
	c.Name = other
	y.d.SetConnections([]*Connection{y.c, &c})
}

// calls is a chat of a client with this phone.
func calls(kind string, client int, phone string) string {
	return strings.Replace(chat(kind, client, ""), fmt.Sprintf("+7916000%04d", client), phone, 1)
}

// phones are those of the one contact there is.
func (y *yard) phones() []string {
	y.t.Helper()
	var got []string
	y.crm.set(func() {
		if len(y.crm.contacts) != 1 {
			y.t.Errorf("%d contacts", len(y.crm.contacts))
		}
		for _, c := range y.crm.contacts {
			got = event.Texts(c.Phones)
		}
	})
	slices.Sort(got)
	return got
}

// Two connections of one account meet the same contact, and each adds a phone: a
// contact's phones are written as a whole, and neither takes the other's away.
func TestPhones_OfTwoConnectionsStandSideBySide(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.second()
		y.run()
		const p1, p2, p3 = "+79160000001", "+79160000002", "+79160000003"
		y.post(calls("chat_accepted", 1, p1))
		pass(time.Second)
		y.postTo(other, calls("chat_accepted", 7, p1))
		pass(time.Second)
		y.post(calls("chat_updated", 1, p2))
		pass(time.Second)
		y.postTo(other, calls("chat_updated", 7, p3))
		pass(time.Second)
		same(t, "phones", y.phones(), []string{p1, p2, p3})
	})
}

// … also when both are written at the same moment.
func TestPhones_OfTwoConnectionsAtOnce(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.second()
		y.run()
		const p1, p2, p3 = "+79160000001", "+79160000002", "+79160000003"
		y.post(calls("chat_accepted", 1, p1))
		y.postTo(other, calls("chat_accepted", 7, p1))
		pass(time.Minute)
		y.crm.before = func(amocrm.Write) error { time.Sleep(time.Second); return nil }
		y.post(calls("chat_updated", 1, p2))
		y.postTo(other, calls("chat_updated", 7, p3))
		pass(time.Minute)
		same(t, "phones", y.phones(), []string{p1, p2, p3})
	})
}

// A write of phones that goes again after its answer was lost, or after a pause,
// takes away nothing that another client's event added meanwhile.
func TestPhones_AddedMeanwhileAreKept(t *testing.T) {
	for name, err := range map[string]error{
		"in doubt": &amocrm.InDoubt{Trouble: amocrm.Unreachable},
		"not sent": &amocrm.NotSent{Trouble: amocrm.RateLimited, Reason: amocrm.RateLimited},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				y.run()
				const p1, p2, p3 = "+79160000001", "+79160000002", "+79160000003"
				y.post(calls("chat_accepted", 1, p1))
				y.post(calls("chat_accepted", 7, p1))
				pass(time.Minute)
				y.crm.after = func(amocrm.Write) error {
					y.crm.set(func() { y.crm.after = nil })
					if e, ok := err.(*amocrm.NotSent); ok {
						e.Until = time.Now().Add(20 * time.Second)
					}
					return err
				}
				y.post(calls("chat_updated", 1, p2))
				pass(time.Second)
				y.post(calls("chat_updated", 7, p3))
				pass(time.Second)
				if name == "in doubt" { // it has landed, and is not gone for a moment either
					same(t, "phones meanwhile", y.phones(), []string{p1, p2})
				}
				pass(time.Minute)
				same(t, "phones", y.phones(), []string{p1, p2, p3})
			})
		})
	}
}

// … nor does one that amoCRM carries out late, after its sender gave up and before it
// goes again (simulation, seed 8055): whoever shares the phone waits for it, also a
// connection of the account that never met the contact.
func TestPhones_AWriteCarriedOutLateTakesNothingAway(t *testing.T) {
	const p1, p2, p3, mail = "+79160000001", "+79160000002", "+79160000003", "ivan@example.com"
	mailed := func(kind string, client int, phone string) string {
		return calls(kind, client, phone+`","email":"`+mail)
	}
	for name, c := range map[string]struct {
		before func(y *yard)
		second func(y *yard) uint64
	}{
		"of a client who shares the phone": {
			func(y *yard) { y.post(calls("chat_accepted", 7, p1)) },
			func(y *yard) uint64 { return y.post(calls("chat_updated", 7, p3)) },
		},
		"of one who comes after somebody had the contact read by a search": {
			func(y *yard) { y.post(calls("chat_accepted", 7, p1)) },
			func(y *yard) uint64 {
				y.crm.set(func() {
					for cid, c := range y.crm.contacts {
						c.Emails = append(c.Emails, event.Value{Text: "byhand@example.com"})
						y.crm.contacts[cid] = c
					}
				})
				y.post(`{"event_name":"chat_accepted","chat_id":"k9","visitor":{"number":"9","name":"V9","email":"byhand@example.com"}}`)
				pass(time.Second)
				return y.post(calls("chat_updated", 7, p3))
			},
		},
		"of another connection, at its first sight": {
			func(*yard) {},
			func(y *yard) uint64 { return y.postTo(other, mailed("chat_accepted", 7, p3)) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				y.second()
				y.run()
				y.post(mailed("chat_accepted", 1, p1))
				c.before(y)
				pass(time.Minute)
				y.crm.before = func(w amocrm.Write) error {
					y.crm.set(func() { y.crm.before = nil })
					time.AfterFunc(y.c.InDoubtAfter-time.Second, func() {
						y.crm.set(func() {
							for cid, c := range y.crm.contacts {
								c.Phones = []event.Value{{Text: p1}, {Text: p2}}
								y.crm.contacts[cid] = c
							}
						})
					})
					return errors.Join(y.d.Sent(t.Context(), w.Keys), &amocrm.InDoubt{Trouble: amocrm.Unreachable, SentAt: time.Now()})
				}
				y.post(mailed("chat_updated", 1, p2))
				pass(time.Second)
				second := c.second(y)
				pass(y.c.InDoubtAfter / 2)
				y.is(second, event.Pending, "")
				pass(time.Minute)
				y.is(second, event.Done, "")
				same(t, "phones", y.phones(), []string{p1, p2, p3})
			})
		})
	}
}

// An update that landed right before the process was killed is known by nobody. Its
// contact is to be read before anything is worked: who shares the phone may come to
// their turn before the event in doubt does, and would take away what it has written.
func TestPhones_LandedBeforeAKillAreReadFirst(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.second()
		y.update(func(tx *store.Tx) error {
			for _, conn := range []string{shop, other} {
				for _, c := range []int64{5, 6} {
					card := event.ContactCard{Contact: event.Contact{ID: c}, ReadAt: time.Now()}
					if err := store.Set(tx, store.Cards, store.Key(conn, "contact", id(c)), card); err != nil {
						return err
					}
				}
			}
			return nil
		})
		for cid, state := range map[int64]event.ChangeState{5: event.Sent, 6: event.Settled} {
			seq := y.post(chat("chat_updated", int(cid), ""))
			y.update(func(tx *store.Tx) error {
				ev, err := tx.Event(seq)
				if err != nil {
					return err
				}
				ev.Frozen, ev.NextAt = true, time.Now().Add(time.Minute)
				ev.Changes = []event.Change{{Op: event.OpUpdate, Target: event.OnContact, EntityType: contacts, EntityID: cid, State: state}}
				return tx.Put(ev)
			})
		}
		y.c.Waiting = true // nothing is worked yet
		y.run()
		pass(time.Second)
		for _, conn := range []string{shop, other} {
			for cid, want := range map[int64]bool{5: true, 6: false} {
				_ = y.st.View(func(tx *store.Tx) error {
					card, _, err := store.Get[event.ContactCard](tx, store.Cards, store.Key(conn, "contact", id(cid)))
					equal(t, fmt.Sprint(conn, " ", cid, " is to be read"), card.Dirty, want)
					return err
				})
			}
		}
	})
}

// Two clients of one contact, of one connection or of two, come at the same moment
// with phones of their own: the second finds the lead that the first one made.
func TestLead_OfOneContactIsMadeOnce(t *testing.T) {
	for name, connections := range map[string][2]string{"one connection": {shop, shop}, "two connections": {shop, other}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				y.second()
				const p1, p2 = "+79160000001", "+79160000002"
				c := event.Contact{ID: 5, Phones: []event.Value{{Text: p1}, {Text: p2}}}
				y.crm.contacts[5] = c
				y.update(func(tx *store.Tx) error {
					for i, client := range []string{"1", "7"} {
						if err := tx.PutClient(connections[i], &event.Client{ID: client, ContactID: 5, Described: true}); err != nil {
							return err
						}
						card := event.ContactCard{Contact: c, ReadAt: time.Now()}
						if err := store.Set(tx, store.Cards, store.Key(connections[i], "contact", "5"), card); err != nil {
							return err
						}
					}
					return nil
				})
				y.crm.before = func(amocrm.Write) error { time.Sleep(time.Second); return nil }
				y.run()
				y.postTo(connections[0], calls("chat_accepted", 1, p1))
				y.postTo(connections[1], calls("chat_accepted", 7, p2))
				pass(time.Minute)
				equal(t, "leads", y.crm.made(), 1)
			})
		})
	}
}
