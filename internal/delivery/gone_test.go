package delivery

import (
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
