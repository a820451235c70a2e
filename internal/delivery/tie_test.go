package delivery

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// linksOf are the items of links that were sent.
func (y *yard) linksOf() (out []string) {
	y.crm.set(func() {
		for _, w := range y.crm.writes {
			if w.Endpoint == amocrm.LinkLeads {
				out = append(out, string(w.Item))
			}
		}
	})
	return out
}

// A pair is linked once, and only where it is known not to be: amoCRM may answer
// 500 to one that is linked already. What is known is enough in the common case.
func TestLink_OnlyWhatIsKnownNotToBeLinked(t *testing.T) {
	const another = 77
	for name, c := range map[string]struct {
		stands  []int64 // the lead's contacts in amoCRM; 0 is the client's
		known   []int64 // on the lead's card
		tied    bool    // the contact's card has the lead
		unknown bool    // the client is not linked to the contact: it is found by phone
		want    int     // links that are sent
		main    bool
		reads   int
	}{
		"known to be, by the lead":                  {stands: []int64{0}, known: []int64{0}},
		"known to be, by the contact":               {stands: []int64{0}, tied: true},
		"known to be, of a contact new to them":     {stands: []int64{0}, known: []int64{0}, unknown: true},
		"linked by hand, which nobody told":         {stands: []int64{0}, reads: 1},
		"the lead has no contact":                   {want: 1, main: true, reads: 1},
		"a manager gave the lead another":           {stands: []int64{another}, known: []int64{another}},
		"a manager gave it another, unheard":        {stands: []int64{another}, reads: 1},
		"the contact is new to the client":          {stands: []int64{another}, known: []int64{another}, unknown: true, want: 1, reads: 1},
		"the contact is new, the lead has none":     {unknown: true, want: 1, main: true, reads: 1},
		"the contact is new, and linked by a merge": {stands: []int64{0}, known: []int64{another}, unknown: true, reads: 1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				y.run()
				y.post(chat("chat_accepted", 1, ""))
				pass(time.Second)
				cl := y.client(1)
				cid, lid := cl.ContactID, cl.Leads[0].LeadID
				real := func(ids []int64) []int64 {
					out := slices.Clone(ids)
					for i := range out {
						if out[i] == 0 {
							out[i] = cid
						}
					}
					return out
				}
				y.crm.set(func() {
					l := y.crm.leads[lid]
					l.ContactIDs = real(c.stands)
					y.crm.leads[lid] = l
				})
				y.update(func(tx *store.Tx) error {
					err := changeRecord(tx, store.Cards, store.Key(shop, "lead", id(lid)), func(k *event.LeadCard) { k.Lead.ContactIDs = real(c.known) })
					if err != nil {
						return err
					}
					if !c.tied {
						err = changeRecord(tx, store.Cards, store.Key(shop, "contact", id(cid)), func(k *event.ContactCard) { k.Contact.LeadIDs = nil })
					}
					if c.unknown {
						k := tx.Client(shop, "1")
						k.ContactID = 0
						return tx.PutClient(shop, k)
					}
					return err
				})
				for range 2 { // and never again
					y.post(chat("chat_updated", 1, ""))
					pass(time.Second)
				}
				links := y.linksOf()
				if len(links) != c.want {
					t.Fatalf("links: %q, want %d", links, c.want)
				}
				if c.want > 0 && strings.Contains(links[0], `"is_main":true`) != c.main {
					t.Errorf("link: %s, want it the main one: %v", links[0], c.main)
				}
				equal(t, "reads of the lead", y.crm.leadReads, c.reads)
			})
		})
	}
}

// A change list that froze stands, but a pair that somebody else's event linked since
// is not linked again.
func TestLink_NotAgainWhatAnotherEventLinkedMeanwhile(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		y.post(chat("chat_accepted", 1, ""))
		pass(time.Second)
		cid, lid := y.client(1).ContactID, y.client(1).Leads[0].LeadID
		tie := func(contacts []int64) {
			y.crm.set(func() {
				l := y.crm.leads[lid]
				l.ContactIDs = contacts
				y.crm.leads[lid] = l
			})
			y.update(func(tx *store.Tx) error {
				err := changeRecord(tx, store.Cards, store.Key(shop, "lead", id(lid)), func(k *event.LeadCard) { k.Lead.ContactIDs = contacts })
				if err != nil || contacts != nil {
					return err
				}
				return changeRecord(tx, store.Cards, store.Key(shop, "contact", id(cid)), func(k *event.ContactCard) { k.Contact.LeadIDs = nil })
			})
		}
		tie(nil)
		y.crm.set(func() {
			y.crm.before = func(w amocrm.Write) error {
				if w.Endpoint != amocrm.LinkLeads {
					return nil
				}
				return &amocrm.NotSent{Trouble: amocrm.Unreachable, Reason: amocrm.Unreachable}
			}
		})
		seq := y.post(strings.Replace(chat("chat_updated", 1, ""), `"visitor":{`, `"visitor":{"email":"new@example.com",`, 1))
		pass(time.Second)
		if ev := y.event(seq); ev.State != event.Pending || !ev.Frozen || !slices.ContainsFunc(ev.Changes, func(ch event.Change) bool { return ch.Op == event.OpLink && ch.State == event.Open }) {
			t.Fatalf("before: %+v", ev)
		}
		tie([]int64{cid})
		y.crm.set(func() { y.crm.before = nil })
		pass(10 * time.Minute)
		y.is(seq, event.Done, "")
		if links := y.linksOf(); len(links) > 0 {
			t.Errorf("links: %q", links)
		}
	})
}

// The contact that takes the place of one that is gone is the lead's main one,
// whether a hook told that it is gone or the account does when it is asked.
func TestLink_InPlaceOfAContactThatIsGone(t *testing.T) {
	for name, gone := range map[string]func(*yard, int64){
		"told by a hook": func(y *yard, cid int64) {
			y.update(func(tx *store.Tx) error { return DropContact(tx, shop, demoHost, cid) })
		},
		"found out": func(y *yard, cid int64) {
			y.update(func(tx *store.Tx) error {
				return changeRecord(tx, store.Cards, store.Key(shop, "contact", id(cid)), func(k *event.ContactCard) { k.Dirty = true })
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				y.run()
				y.post(chat("chat_accepted", 1, ""))
				pass(time.Second)
				was := y.client(1)
				y.crm.set(func() { delete(y.crm.contacts, was.ContactID) })
				gone(y, was.ContactID)
				y.post(chat("chat_updated", 1, ""))
				pass(time.Second)
				links := y.linksOf()
				if len(links) != 1 || !strings.Contains(links[0], `"is_main":true`) {
					t.Errorf("links: %q, want one, to the main contact", links)
				}
				lead := was.Leads[0].LeadID
				y.view(func(tx *store.Tx) {
					card, _, err := store.Get[event.LeadCard](tx, store.Cards, store.Key(shop, "lead", id(lead)))
					if err != nil {
						t.Fatal(err)
					}
					same(t, "contacts on the lead's card", card.Lead.ContactIDs, []int64{y.client(1).ContactID})
				})
				equal(t, "reads of the lead", y.crm.leadReads, 0)
			})
		})
	}
}

// came journals an event with a time of its own.
func (y *yard) came(at time.Time, imported bool, kind, name string) uint64 {
	y.t.Helper()
	body := `{"event_name":"` + kind + `","chat_id":"k1","offline_message_id":"1","message":"m","visitor":{"number":"1","name":"` + name + `","phone":"+79160000001"}}`
	y.seen.Learn([]byte(body))
	ev := event.Event{Connection: shop, Source: event.Jivo, Kind: kind, Client: "1", Chat: "k1", Line: "c:1", ReceivedAt: at, Imported: imported}
	got, err := y.st.Append(context.Background(), event.Incoming{Event: ev, Body: []byte(body)})
	if err != nil {
		y.t.Fatal(err)
	}
	pass(2 * time.Second)
	return got.Seq
}

// The clock is set back by an hour: what comes in later is newer all the same, and
// what came before is older still when it comes back. An import goes by its own time.
func TestClock_SetBackWhatComesLaterIsNewer(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		is := func(what, name string) {
			t.Helper()
			cl := y.client(1)
			equal(t, what+": the client", cl.Name, name)
			y.crm.set(func() { equal(t, what+": the contact", y.crm.contacts[cl.ContactID].Name, name) })
		}
		noon := time.Now()
		first := y.came(noon, false, "chat_accepted", "First")
		back := noon.Add(-time.Hour)
		y.came(back, false, "chat_updated", "Second")
		is("set back", "Second")
		y.came(back.Add(time.Minute), false, "chat_updated", "Third")
		is("still behind", "Third")
		y.came(noon.Add(-time.Minute), true, "offline_message", "Imported")
		is("an older import", "Third")
		again := func(seq uint64) {
			y.update(func(tx *store.Tx) error {
				ev, err := tx.Event(seq)
				if err != nil {
					return err
				}
				ev.State, ev.Frozen, ev.Detached, ev.NextAt = event.Pending, false, false, time.Now()
				return tx.Put(ev)
			})
			pass(2 * time.Second)
		}
		again(first)
		is("the first once more", "Third")
		y.came(noon.Add(time.Second), true, "chat_updated", "Fourth")
		is("a newer import", "Fourth")
		fifth := y.came(back.Add(2*time.Minute), false, "chat_updated", "Fifth")
		is("and live again", "Fifth")
		y.came(noon.Add(2*time.Second), true, "chat_updated", "Sixth")
		y.came(back.Add(3*time.Minute), false, "chat_updated", "Sixth") // nothing new, but newer
		again(fifth)
		is("what is older than what said nothing new", "Sixth")
	})
}

// What was claimed as the first of its line, by a look at the store that is older
// than what was woken in front of it, steps aside.
func TestLine_WhatIsNoLongerFirstStepsAside(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		first, second := y.post(chat("chat_accepted", 1, "")), y.post(chat("chat_updated", 1, ""))
		y.d.start(t.Context(), &job{d: y.d, c: y.c, seq: second, line: lineOf(y.event(second)), turns: y.d.turns})
		pass(time.Second)
		y.is(second, event.Pending, "")
		equal(t, "writes", y.crm.tries(), 0)
		y.run()
		pass(5 * time.Second)
		y.is(first, event.Done, "")
		y.is(second, event.Done, "")
		equal(t, "leads", y.crm.made(), 1)
	})
}

// A deal that waited in vain for its client goes before the chat that describes
// them, at once, and whoever waits for the chat's lead waits on.
func TestBareDeal_GoesBeforeTheChatThatDescribesItsClient(t *testing.T) {
	inBubble(t, func(c *Connection) { c.Park = time.Minute }, func(t *testing.T, y *yard) {
		y.run()
		deal := y.post(`{"event_name":"created_deal","deal_id":"3","client":{"client_id":"1"},"title":"Deal"}`)
		pass(2 * time.Minute)
		y.is(deal, event.Done, "")
		equal(t, "leads", y.crm.made(), 1)
		chatted := y.post(chat("chat_accepted", 1, ""))
		waited := false
		go func() {
			y.d.WaitCore(t.Context(), chatted, 1)
			waited = y.event(chatted).Detached || y.event(chatted).State == event.Done
		}()
		pass(100 * time.Millisecond)
		y.is(deal, event.Done, "")
		y.is(chatted, event.Done, "")
		equal(t, "leads", y.crm.made(), 1)
		equal(t, "contacts", y.crm.people(), 1)
		equal(t, "the reply had its lead", waited, true)
		cl := y.client(1)
		if len(cl.Leads) != 1 || cl.Leads[0].Bare || !slices.Contains(cl.Leads[0].Chats, "k1") {
			t.Errorf("links of the client: %+v", cl.Leads)
		}
	})
}
