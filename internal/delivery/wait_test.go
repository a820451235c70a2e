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

// nobody is an event of a visitor who left nothing.
func nobody(kind string, client int, more string) string {
	return fmt.Sprintf(`{"event_name":%q,"chat_id":"k%d","visitor":{"number":"%d"},"session":{"utm_json":{"source":"ads%d"}},"page":{"url":"https://shop.example/"}%s}`, kind, client, client, client, more)
}

func TestAnonymous_IsHeldUntilAContactComes(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		accepted := y.post(nobody("chat_accepted", 1, ""))
		finished := y.post(nobody("chat_finished", 1, said("hello", 100)))
		pass(time.Second)
		y.is(accepted, event.Skipped, event.Anonymous)
		y.is(finished, event.Skipped, event.Anonymous)
		c := y.client(1)
		if c.FirstTouch == nil || c.FirstTouch.UTM["source"] != "ads1" || len(c.Held) != 1 || !strings.Contains(c.Held[0].Text, "hello") {
			t.Fatalf("first touch %+v, held %+v", c.FirstTouch, c.Held)
		}
		equal(t, "writes", y.crm.tries(), 0)
		y.post(chat("chat_updated", 1, ""))
		pass(time.Second)
		c = y.client(1)
		if c.ContactID == 0 || len(c.Leads) != 1 {
			t.Fatalf("client %+v", c)
		}
		if len(c.Held) != 0 || c.FirstTouch != nil {
			t.Errorf("held still: %+v, %+v", c.Held, c.FirstTouch)
		}
	})
}

func TestAnonymous_TheEarliestTouchIsHeld(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		y.post(nobody("chat_accepted", 1, ""))
		pass(24 * time.Hour)
		y.post(strings.Replace(nobody("chat_updated", 1, ""), "ads1", "later", 1))
		pass(time.Second)
		equal(t, "source", y.client(1).FirstTouch.UTM["source"], "ads1")
	})
}

func TestAnonymous_HoldEnds(t *testing.T) {
	inBubble(t, func(c *Connection) { c.AnonymousHold = 48 * time.Hour }, func(t *testing.T, y *yard) {
		y.run()
		y.post(nobody("chat_finished", 1, said("old", 100)))
		pass(49 * time.Hour)
		y.post(strings.Replace(nobody("chat_updated", 1, ""), "ads1", "later", 1))
		pass(time.Second)
		c := y.client(1)
		if len(c.Held) != 0 || c.FirstTouch == nil || c.FirstTouch.UTM["source"] != "later" {
			t.Errorf("held %+v, first touch %+v", c.Held, c.FirstTouch)
		}
	})
}

func TestAnonymous_IgnoredIsNotHeld(t *testing.T) {
	inBubble(t, func(c *Connection) { c.Anonymous = "ignore" }, func(t *testing.T, y *yard) {
		y.run()
		seq := y.post(nobody("chat_finished", 1, said("hello", 100)))
		pass(time.Second)
		y.is(seq, event.Skipped, event.Anonymous)
		equal(t, "held", len(y.client(1).Held), 0)
	})
}

func TestAnonymous_LeadIsMadeIfSoSet(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.c.Anonymous, y.c.Program = "lead", program(t, "lead")
		y.run()
		seq := y.post(nobody("chat_accepted", 1, ""))
		pass(time.Second)
		y.is(seq, event.Done, "")
		equal(t, "leads", y.crm.made(), 1)
	})
}

func deal(client int, title string) string {
	return fmt.Sprintf(`{"event_name":"created_deal","deal_id":3,"client":{"client_id":%d},"title":%q,"amount":5,"pipeline":{"pipeline_id":1,"pipeline_status":{"pipeline_status_id":1}}}`, client, title)
}

func task(id, client, deal int) string {
	d := ""
	if deal != 0 {
		d = fmt.Sprintf(`,"deal":{"deal_id":%d}`, deal)
	}
	return fmt.Sprintf(`{"event_name":"created_task","text":"Call","status":"active","task_id":%d,"client":{"client_id":%d},"notify_ts":1900000000%s}`, id, client, d)
}

func TestPark_UntilTheClientIsDescribed(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		seq := y.post(deal(1, "D"))
		pass(time.Minute)
		ev := y.is(seq, event.Parked, "")
		if !ev.NextAt.Equal(ev.ReceivedAt.Add(y.c.Park)) {
			t.Errorf("parked until %s after it came", ev.NextAt.Sub(ev.ReceivedAt))
		}
		y.post(chat("chat_accepted", 1, ""))
		pass(time.Second)
		y.is(seq, event.Done, "")
		equal(t, "leads: the deal took the chat's over", y.crm.made(), 1)
		if l := y.client(1).Leads; len(l) != 1 || l[0].Deal != "3" {
			t.Errorf("links %+v", l)
		}
	})
}

func TestPark_BlocksNoLaterEventOfTheClient(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		parked := y.post(deal(1, "D"))
		behind := y.post(nobody("chat_accepted", 1, ""))
		pass(time.Second)
		if ev := y.event(behind); !ev.State.Settled() {
			t.Errorf("the one behind it is %s", ev.State)
		}
		if ev := y.event(parked); ev.State == event.Dead {
			t.Errorf("it is %s", ev.State)
		}
	})
}

func TestPark_OverdueDealIsALeadWithoutAContactUntilDescribed(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		seq := y.post(deal(1, "D"))
		pass(y.c.Park + time.Second)
		ev := y.is(seq, event.Done, "")
		if !strings.Contains(strings.Join(ev.Warnings, " "), "client_unknown") {
			t.Errorf("warnings %q", ev.Warnings)
		}
		if y.crm.made() != 1 || y.crm.people() != 0 {
			t.Fatalf("%d leads, %d contacts", y.crm.made(), y.crm.people())
		}
		y.post(`{"event_name":"created_client","client_id":1,"name":"V","contacts":[{"type":"phone","value":"+79160000001"}]}`)
		pass(time.Minute)
		y.is(seq, event.Done, "")
		if y.crm.made() != 1 {
			t.Errorf("%d leads", y.crm.made())
		}
	})
}

func TestPark_OverdueTaskIsDeadAndRevivedWhenDescribed(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration
		alive bool
	}{"within 30 days": {29 * 24 * time.Hour, true}, "later": {31 * 24 * time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				y.run()
				seq := y.post(task(2, 1, 0))
				pass(y.c.Park + time.Second)
				y.is(seq, event.Dead, event.ClientUnknown)
				equal(t, "writes", y.crm.tries(), 0)
				pass(c.after)
				y.post(chat("chat_accepted", 1, ""))
				pass(time.Minute)
				if c.alive {
					y.is(seq, event.Done, "")
				} else {
					y.is(seq, event.Dead, event.ClientUnknown)
				}
				made := 0
				for _, list := range y.crm.tasks {
					made += len(list)
				}
				equal(t, "a task was made", made == 1, c.alive)
			})
		})
	}
}

func TestPark_OverdueTaskOfAKnownDealGoesOnItsLead(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.crm.leads[500] = event.Lead{ID: 500, PipelineID: 1, StatusID: 11}
		y.update(func(tx *store.Tx) error {
			return store.Set(tx, store.Deals, store.Key(shop, "3"), event.Deal{ID: "3", Client: "1", LeadID: 500})
		})
		y.run()
		seq := y.post(task(2, 1, 3))
		pass(y.c.Park + time.Second)
		y.is(seq, event.Done, "")
		equal(t, "tasks on the lead", len(y.crm.tasks["leads/500"]), 1)
	})
}

func TestPark_OverdueAttributesAreKept(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		seq := y.post(`{"event_name":"client_attribute_updated","client_id":1,"attributes":{"size":"XL"}}`)
		pass(time.Minute)
		y.is(seq, event.Parked, "")
		pass(y.c.Park)
		y.is(seq, event.Skipped, event.Remembered)
		equal(t, "attribute", y.client(1).Attributes["size"], "XL")
	})
}

func TestPark_SnoozedWhenOverdueIsNotParkedAgain(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.crm.before = func(amocrm.Write) error {
			y.crm.set(func() { y.crm.before = nil })
			return &amocrm.NotSent{Trouble: amocrm.RateLimited, Reason: amocrm.RateLimited, Until: time.Now().Add(5 * time.Second)}
		}
		y.run()
		seq := y.post(deal(1, "D"))
		pass(y.c.Park + time.Second)
		y.is(seq, event.Pending, "")
		pass(10 * time.Second)
		y.is(seq, event.Done, "")
	})
}

// A client who is described while the lead of their deal is under way, or in doubt,
// is tied to it all the same: nobody will be told of them again.
func TestPark_DescribedWhileTheBareLeadIsMade(t *testing.T) {
	const described = `{"event_name":"created_client","client_id":1,"name":"V","contacts":[{"type":"phone","value":"+79160000001"}]}`
	for name, doubt := range map[string]bool{"under way": false, "in doubt": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				y.dict.Fields = nil
				describe := func() { y.post(described); pass(time.Second) }
				if doubt {
					y.loseAnswer(nil)
				} else {
					y.crm.after = func(amocrm.Write) error {
						y.crm.set(func() { y.crm.after = nil })
						y.post(described)
						time.Sleep(time.Second)
						return nil
					}
				}
				y.run()
				seq := y.post(deal(1, "D"))
				pass(y.c.Park + 2*time.Second)
				if doubt {
					y.is(seq, event.Pending, "")
					describe()
				}
				pass(time.Minute)
				y.is(seq, event.Done, "")
				equal(t, "leads", y.crm.made(), 1)
				equal(t, "contacts", y.crm.people(), 1)
				linked := 0
				for _, w := range y.crm.writes {
					if w.Endpoint == amocrm.LinkLeads {
						linked++
					}
				}
				equal(t, "links", linked, 1)
				if l := y.client(1).Leads; len(l) != 1 || l[0].Bare {
					t.Errorf("links %+v", l)
				}
			})
		})
	}
}
