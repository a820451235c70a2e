package delivery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

const nine = `{"event_name":"updated_client","client_id":9,"name":"Ivan","contacts":[{"contact_type":"phone","contact":"+79160000009"}]}`

func jivoTask(deal string) string {
	return `{"event_name":"created_task","task_id":5,"text":"call","status":"active","client":{"client_id":9},"agent":{"agent_id":1},"notify_ts":1795000000,"deal":{"deal_id":` + deal + `}}`
}

func jivoDeal(kind string, amount int, title string) string {
	return fmt.Sprintf(`{"event_name":%q,"deal_id":50,"client":{"client_id":9},"title":%q,"amount":%d,"pipeline":{"pipeline_id":1,"pipeline_status":{"pipeline_status_id":1}}}`, kind, title, amount)
}

// tasksMade counts the tasks of the account.
func (y *yard) tasksMade() (n int) {
	y.crm.set(func() {
		for _, l := range y.crm.tasks {
			n += len(l)
		}
	})
	return n
}

// A task of a client who is described and not in amoCRM yet waits for a place, within
// `park` and, once it was given up, for a month (product.md §7).
func TestTask_WaitsForAPlace(t *testing.T) {
	for name, c := range map[string]struct {
		then  string
		after time.Duration
	}{
		"its deal comes":               {jivoDeal("created_deal", 5, "D"), time.Minute},
		"a chat comes":                 {chat("chat_accepted", 9, ""), time.Minute},
		"a chat comes a week later":    {chat("chat_accepted", 9, ""), 7 * 24 * time.Hour},
		"its deal comes a week later":  {jivoDeal("created_deal", 5, "D"), 7 * 24 * time.Hour},
		"too late: two months, a chat": {chat("chat_accepted", 9, ""), 60 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				y.run()
				y.post(nine)
				pass(time.Second)
				seq := y.post(jivoTask("50"))
				pass(c.after)
				equal(t, "tasks before there is a place", y.tasksMade(), 0)
				y.post(c.then)
				pass(time.Hour)
				want := 1
				if c.after > reviveWithin {
					want = 0
				}
				equal(t, "tasks", y.tasksMade(), want)
				if want == 1 {
					y.is(seq, event.Done, "")
				} else {
					y.is(seq, event.Skipped, event.NoTarget)
				}
			})
		})
	}
}

// What an anonymous visitor wrote while nobody was there becomes a note once they have
// left a phone, as their chats do.
func TestHeld_MessageBecomesANote(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		y.post(nameless("offline_message", "k1", `,"message":"is anybody there?","offline_message_id":"m1"`))
		pass(time.Second)
		y.post(chat("chat_accepted", 1, ""))
		pass(time.Minute)
		said := ""
		for _, notes := range y.crm.notes {
			for _, n := range notes {
				said += n.Text
			}
		}
		if !strings.Contains(said, "is anybody there?") {
			t.Errorf("notes: %q", said)
		}
	})
}

// A replay of an older state of a deal sends it again, as was asked for, and the next
// event of the deal is compared with its newest state all the same: what did not change
// in Jivo is not written over what a manager chose.
func TestReplay_OfAnOlderStateIsNotWhatTheNextIsComparedWith(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		y.post(nine)
		first := y.post(jivoDeal("created_deal", 10, "D"))
		pass(time.Minute)
		y.post(jivoDeal("updated_deal", 20, "D"))
		pass(time.Minute)
		y.update(func(tx *store.Tx) error {
			ev, err := tx.Event(first)
			if err != nil {
				return err
			}
			Replay(ev, false, time.Now())
			return tx.Put(ev)
		})
		pass(time.Minute)
		writes := len(y.crm.writes)
		y.post(jivoDeal("updated_deal", 20, "another title"))
		pass(time.Minute)
		for _, w := range y.crm.writes[writes:] {
			if strings.Contains(string(w.Item), `"price"`) {
				t.Errorf("the amount did not change in Jivo, and was written: %s", w.Item)
			}
		}
		if len(y.crm.writes) == writes {
			t.Error("the title was not written")
		}
	})
}

// An event that was discarded and then replayed goes on as the dead one it was.
func TestReplay_OfADiscardedEventForgetsItsRefusal(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		y.crm.before = func(w amocrm.Write) error {
			if w.Endpoint == amocrm.ComplexLeads {
				return &amocrm.Refused{Status: 400, Code: "Invalid", Path: "id"}
			}
			return nil
		}
		seq := y.post(chat("chat_finished", 1, said("hello", 100)))
		pass(time.Minute)
		y.is(seq, event.Dead, event.Refused)
		y.crm.set(func() { y.crm.before = nil })
		y.update(func(tx *store.Tx) error {
			ev, err := tx.Event(seq)
			if err != nil {
				return err
			}
			ev.State, ev.Reason = event.Skipped, event.Discarded
			if err := tx.Put(ev); err != nil {
				return err
			}
			Replay(ev, false, time.Now())
			return tx.Put(ev)
		})
		pass(time.Minute)
		y.is(seq, event.Done, "")
		equal(t, "notes", len(y.noteTexts()), 1)
		equal(t, "leads", y.crm.made(), 1)
	})
}

// A company that an operator ties the chat to is the contact's, at once where there is
// one.
func TestAssigned_CompanyOfAKnownContact(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		y.post(chat("chat_accepted", 1, ""))
		pass(time.Minute)
		seq := y.post(chat("chat_assigned", 1, `,"assign_to":"https://`+demoHost+`/companies/detail/700"`))
		pass(time.Minute)
		y.is(seq, event.Done, "")
		var linked []string
		for _, w := range y.crm.writes {
			if strings.Contains(string(w.Item), `"companies"`) {
				linked = append(linked, string(w.Item))
			}
		}
		if len(linked) != 1 || !strings.Contains(linked[0], "700") {
			t.Errorf("links to companies: %v", linked)
		}
	})
}
