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

const describes = `{"event_name":"created_client","client_id":1,"name":"V","contacts":[{"contact_type":"phone","contact":"+79160000001"}]}`

// bareDeal is a deal with something to be noted, whose client nobody describes in time.
func bareDeal() string {
	return strings.Replace(deal(1, "D"), `"amount":5`, `"amount":5,"text":"what was said"`, 1)
}

// isLinked expects one lead and one contact, linked once.
func (y *yard) isLinked() {
	y.t.Helper()
	equal(y.t, "leads", y.crm.made(), 1)
	equal(y.t, "contacts", y.crm.people(), 1)
	equal(y.t, "links", len(y.linksOf()), 1)
	if l := y.client(1).Leads; len(l) != 1 || l[0].Bare {
		y.t.Errorf("links of the client: %+v", l)
	}
}

// The client of a bare lead is described while its note is under way, or has trouble
// of its own, whoever describes them: the wake outlives whatever is written down of
// the event meanwhile, the note is written once, and one that describes with a chat
// does not wait for it.
func TestBareDeal_DescribedWhileItsNoteIsUnderWay(t *testing.T) {
	for name, c := range map[string]struct {
		by    string
		stuck bool
	}{
		"by Jivo's CRM":               {by: describes},
		"by Jivo's CRM, note in vain": {by: describes, stuck: true},
		"by a chat":                   {by: chat("chat_accepted", 1, "")},
		"by a chat, the note in vain": {by: chat("chat_accepted", 1, ""), stuck: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				let := make(chan struct{})
				y.crm.before = func(w amocrm.Write) error {
					if w.Endpoint != amocrm.PostNotes {
						return nil
					}
					if c.stuck {
						return &amocrm.Failed{Status: 500, Trouble: amocrm.Unavailable}
					}
					<-let
					return nil
				}
				y.run()
				seq := y.post(bareDeal())
				pass(y.c.Park + 2*time.Second)
				if ev := y.event(seq); ev.State.Settled() || !ev.Detached {
					t.Fatalf("before: %s, detached %v", ev.State, ev.Detached)
				}
				by := y.post(c.by)
				pass(shortest / 2)
				if ev := y.event(by); !ev.State.Settled() {
					t.Errorf("who describes them waits: %s (%s)", ev.State, ev.Detail)
				}
				if strings.Contains(c.by, "chat_accepted") {
					y.isLinked()
				}
				if c.stuck {
					y.crm.set(func() { y.crm.before = nil })
				} else {
					close(let)
				}
				pass(time.Hour)
				ev := y.is(seq, event.Done, "")
				equal(t, "woken still", ev.Woken, false)
				equal(t, "notes", len(y.noteTexts()), 1)
				y.isLinked()
				y.obs.mu.Lock()
				defer y.obs.mu.Unlock()
				ends := slices.DeleteFunc(y.obs.settled, func(s string) bool { return s != "created_deal done" })
				equal(t, "ends that were counted", len(ends), 1)
			})
		})
	}
}

// deafCRM is away for one search, if so set: then nothing can be decided.
type deafCRM struct {
	*fakeCRM
	away bool
}

func (c *deafCRM) SearchContacts(ctx context.Context, query string, prio amocrm.Priority) ([]event.Contact, error) {
	if c.away {
		c.away = false
		return nil, &amocrm.NotSent{Trouble: amocrm.Unreachable, Reason: amocrm.Unreachable}
	}
	return c.fakeCRM.SearchContacts(ctx, query, prio)
}

// An event that had come to a bad end is woken with its note still to be written.
func TestBareDeal_WokenAfterItGaveUpItStillBringsItsNote(t *testing.T) {
	inBubble(t, func(c *Connection) { c.GiveUp = time.Minute }, func(t *testing.T, y *yard) {
		deaf := &deafCRM{fakeCRM: y.crm}
		y.c.Account.CRM = deaf
		y.crm.before = func(w amocrm.Write) error {
			if w.Endpoint == amocrm.PostNotes {
				return &amocrm.Failed{Status: 500, Trouble: amocrm.Unavailable}
			}
			return nil
		}
		y.run()
		seq := y.post(bareDeal())
		pass(y.c.Park + time.Hour)
		y.is(seq, event.Dead, event.GaveUp)
		y.crm.set(func() { y.crm.before = nil })
		deaf.away = true
		y.post(describes)
		pass(time.Hour)
		y.is(seq, event.Done, "")
		equal(t, "amoCRM was away", deaf.away, false)
		equal(t, "notes", len(y.noteTexts()), 1)
		y.isLinked()
	})
}

// The deal's event, or its body alone, is purged before its client is described: it is
// left as it is, and the chat that comes finds the deal's lead and links its contact.
func TestBareDeal_PurgedTheNextChatFindsItsLead(t *testing.T) {
	for name, days := range map[string]int{"its body": 8, "all of it": 31} {
		for first, by := range map[string]string{"": "", ", after Jivo's CRM described them": describes} {
			t.Run(name+first, func(t *testing.T) {
				inBubble(t, nil, func(t *testing.T, y *yard) {
					y.run()
					seq := y.post(deal(1, "D"))
					pass(y.c.Park + time.Minute)
					y.is(seq, event.Done, "")
					pass(time.Duration(days) * 24 * time.Hour)
					keep := store.Retention{Events: 30 * 24 * time.Hour, Bodies: 7 * 24 * time.Hour}
					if _, err := y.st.Purge(context.Background(), keep, time.Now()); err != nil {
						t.Fatal(err)
					}
					if by != "" {
						y.post(by)
						pass(time.Hour)
					}
					chatted := y.post(chat("chat_accepted", 1, ""))
					pass(time.Hour)
					y.is(chatted, event.Done, "")
					if days < 30 {
						y.is(seq, event.Done, "")
					}
					y.isLinked()
					if l := y.client(1).Leads; !slices.Contains(l[0].Chats, "k1") {
						t.Errorf("the chat is not the lead's: %+v", l)
					}
				})
			})
		}
	}
}

// A bare lead counts like one of the contact's: open, and of the rule's pipeline.
func TestFindLead_OfADealWithoutAContact(t *testing.T) {
	at := time.Now().Unix()
	for name, c := range map[string]struct {
		lead event.Lead
		link event.Link
		find event.Find
		want int64
	}{
		"open":             {event.Lead{StatusID: 11}, event.Link{Bare: true, Deal: "3"}, event.Find{By: []string{"open"}}, 5},
		"won":              {event.Lead{StatusID: event.StatusWon, ClosedAt: at}, event.Link{Bare: true, Deal: "3"}, event.Find{By: []string{"open"}}, 0},
		"another pipeline": {event.Lead{StatusID: 22}, event.Link{Bare: true, Deal: "3"}, event.Find{By: []string{"open"}, Pipeline: "Bulk"}, 0},
		"any pipeline":     {event.Lead{StatusID: 22}, event.Link{Bare: true, Deal: "3"}, event.Find{By: []string{"open_any"}, Pipeline: "Bulk"}, 5},
		"has its contact":  {event.Lead{StatusID: 11}, event.Link{Deal: "3"}, event.Find{By: []string{"open"}}, 0},
		"of a chat":        {event.Lead{StatusID: 11}, event.Link{Bare: true, Chats: []string{"k9"}}, event.Find{By: []string{"open"}}, 0},
		"only the chat's":  {event.Lead{StatusID: 11}, event.Link{Bare: true, Deal: "3"}, event.Find{By: []string{"chat"}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, nil)
			c.lead.ID, c.lead.PipelineID, c.link.LeadID = 5, 1, 5
			y.crm.leads[5] = c.lead
			j := y.at(chat("chat_accepted", 1, ""), &event.Client{ID: "1", Leads: []event.Link{c.link}})
			card, match, err := j.findLead(context.Background(), &c.find, nil)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "lead", match.ID, c.want)
			equal(t, "card", card != nil, c.want != 0)
		})
	}
}
