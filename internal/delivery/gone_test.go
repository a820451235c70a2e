package delivery

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// A lead or contact that this very event made and a manager deleted before its
// note was written: the event is mapped anew, and what was said is not lost.
func TestGone_MadeByTheEventItself(t *testing.T) {
	for name, contactToo := range map[string]bool{"the lead": false, "the lead and the contact": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				var first int64
				y.refuseIf(func(w amocrm.Write) *amocrm.Refused {
					if w.Endpoint != amocrm.PostNotes {
						return nil
					}
					y.crm.mu.Lock()
					defer y.crm.mu.Unlock()
					if first == 0 {
						first = w.EntityID
						delete(y.crm.leads, first)
						if contactToo {
							clear(y.crm.contacts)
						}
					}
					if _, ok := y.crm.leads[w.EntityID]; ok {
						return nil
					}
					return refusal("entity_id")
				})
				y.run()
				seq := y.post(chat("chat_finished", 1, said("hello", 100)))
				pass(10 * time.Minute)
				y.is(seq, event.Done, "")
				equal(t, "leads", y.crm.made(), 1)
				equal(t, "contacts", y.crm.people(), 1)
				for lid := range y.crm.leads {
					equal(t, "notes", len(y.crm.notes["leads/"+id(lid)]), 1)
					equal(t, "the client's lead", y.client(1).Leads[0].LeadID, lid)
				}
				if n := y.crm.tries(); n > 5 {
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}

// … also where the lead was found and the event has more than one thing to add, of
// which some stand, and where amoCRM is away in between.
func TestGone_WhatIsStillToBeAddedFindsAnotherPlace(t *testing.T) {
	for name, away := range map[string]bool{"at once": false, "amoCRM is away in between": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(c *Connection) { c.NoteLimit = 300 }, func(t *testing.T, y *yard) {
				y.run()
				y.post(chat("chat_accepted", 1, ""))
				pass(time.Second)
				var notes int
				var gone int64
				y.refuseIf(func(w amocrm.Write) *amocrm.Refused {
					if w.Endpoint != amocrm.PostNotes {
						return nil
					}
					y.crm.mu.Lock()
					defer y.crm.mu.Unlock()
					if notes++; notes == 2 { // the first part stands
						gone = w.EntityID
						delete(y.crm.leads, gone)
						y.crm.paused = away
					}
					if w.EntityID == gone {
						return refusal("entity_id")
					}
					return nil
				})
				seq := y.post(chat("chat_finished", 1, said(strings.Repeat("long story ", 80), 100)))
				pass(time.Minute)
				if away {
					y.is(seq, event.Pending, "")
					y.crm.set(func() { y.crm.paused = false })
					y.d.Kick()
				}
				pass(time.Hour)
				y.is(seq, event.Done, "")
				equal(t, "leads", y.crm.made(), 1)
				equal(t, "leads it was put on", len(y.crm.notes), 2)
				var all []string
				for _, list := range y.crm.notes {
					for _, n := range list {
						all = append(all, n.Text)
					}
				}
				slices.Sort(all)
				if len(all) < 3 || len(slices.Compact(all)) != len(all) {
					t.Errorf("%d parts: %q", len(all), all)
				}
				if n := strings.Count(strings.Join(all, ""), "long story"); n < 75 {
					t.Errorf("%d of 80 words arrived", n)
				}
			})
		})
	}
}

// An event that is mapped anew because its note has lost its lead stands in its line
// again: the client's next chat waits for the lead it makes.
func TestGone_MappedAnewInItsLine(t *testing.T) {
	inBubble(t, func(c *Connection) { c.Anonymous = "lead" }, func(t *testing.T, y *yard) {
		y.c.Program = program(t, "lead")
		y.run()
		y.post(nameless("chat_accepted", "k1", ""))
		pass(time.Minute)
		equal(t, "leads", y.crm.made(), 1)
		gone := false
		y.crm.before = func(w amocrm.Write) error {
			switch w.Endpoint {
			case amocrm.PostNotes: // a manager deleted the lead this moment
				y.crm.set(func() {
					if !gone {
						gone = true
						delete(y.crm.leads, w.EntityID)
					}
				})
				if _, ok, _ := y.crm.Lead(t.Context(), w.EntityID); !ok {
					_ = y.d.Sent(t.Context(), w.Keys)
					return &amocrm.Refused{Status: 404, Path: "entity_id", Detail: "not found"}
				}
			case amocrm.ComplexLeads:
				time.Sleep(2 * time.Second)
			}
			return nil
		}
		y.post(nameless("chat_finished", "k1", said("hello", 100)))
		pass(5500 * time.Millisecond) // it is tried again after five seconds
		y.post(nameless("chat_accepted", "k2", ""))
		pass(time.Minute)
		equal(t, "leads", y.crm.made(), 1)
	})
}
