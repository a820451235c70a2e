package delivery

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/amocrm/items"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// only has the other connection work alone: a reload took the first away.
func (y *yard) only() {
	c := *y.c
	c.Name = other
	y.d.SetConnections([]*Connection{&c})
}

// A connection is removed while its update of a contact is in doubt. Another of the
// account does not wait for it for ever: once the first returns, it reads the contact
// before it writes.
func TestRemoved_ADoubtHoldsNobodyUp(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.second()
		y.run()
		const p1, p2, p3 = "+79160000001", "+79160000002", "+79160000003"
		y.post(calls("chat_accepted", 1, p1))
		y.postTo(other, calls("chat_accepted", 7, p1))
		pass(time.Minute)
		y.loseAnswer(nil)
		first := y.post(calls("chat_updated", 1, p2))
		pass(time.Second)
		y.only()
		second := y.postTo(other, calls("chat_updated", 7, p3))
		pass(time.Hour)
		y.is(second, event.Done, "")
		y.second()
		pass(time.Hour)
		y.is(first, event.Done, "")
		same(t, "phones", y.phones(), []string{p1, p2, p3})
	})
}

// A connection is removed while the contact it makes is in doubt, and was not made;
// another of the account makes the person meanwhile. When the name returns it finds them.
func TestRemoved_ReturnsToAContactMadeMeanwhile(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.second()
		y.run()
		y.crm.before = func(w amocrm.Write) error { // it never arrives
			y.crm.set(func() { y.crm.before = nil })
			_ = y.d.Sent(context.Background(), w.Keys)
			return &amocrm.InDoubt{Trouble: amocrm.Unreachable, SentAt: time.Now()}
		}
		first := y.post(calls("chat_accepted", 1, "+79160000001"))
		pass(time.Second)
		y.only()
		second := y.postTo(other, calls("chat_accepted", 7, "+79160000001"))
		pass(time.Hour)
		y.is(second, event.Done, "")
		y.second()
		pass(time.Hour)
		y.is(first, event.Done, "")
		equal(t, "contacts", y.crm.people(), 1)
	})
}

// One whose contact amoCRM never takes holds up nobody with the same phone, and makes
// no second contact when it is taken at last.
func TestStuckCreate_HoldsNoNamesakeUp(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		y.crm.before = func(w amocrm.Write) error {
			if w.Endpoint == amocrm.ComplexLeads && slices.Contains(w.Keys, keyOf(1, event.OpCreate, event.OnLead, "")) {
				_ = y.d.Sent(context.Background(), w.Keys)
				return &amocrm.Failed{Status: 400, Trouble: amocrm.BadAnswer}
			}
			return nil
		}
		first := y.post(calls("chat_accepted", 1, "+79160000001"))
		pass(time.Minute)
		second := y.post(calls("chat_accepted", 7, "+79160000001"))
		pass(time.Minute)
		y.is(second, event.Done, "")
		y.crm.set(func() { y.crm.before = nil })
		pass(2 * time.Hour)
		y.is(first, event.Done, "")
		equal(t, "contacts", y.crm.people(), 1)
	})
}

// `marker_field` is changed by a reload while a lead is in doubt: it is looked for in
// the field that it was sent with.
func TestDoubt_MarkerIsLookedForWhereItWasWritten(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		for _, e := range []string{leads, contacts} {
			y.dict.Fields[e] = append(y.dict.Fields[e], dict.Field{ID: 8, Name: "Jivo ID 2", Type: "text"})
		}
		y.run()
		y.loseAnswer(func() {
			y.crm.set(func() {
				y.crm.paused = true
				for id, l := range y.crm.leads {
					l.Fields = map[int64]event.Values{7: {{Text: "jv-c1@shop jv-kk1@shop"}}}
					y.crm.leads[id] = l
				}
			})
		})
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(time.Second)
		c := *y.c
		c.MarkerField = "Jivo ID 2"
		c.Shaper = func(d *dict.Snapshot) *items.Shaper {
			return &items.Shaper{Dict: d, Region: "RU", MarkerField: c.MarkerField, Location: time.UTC}
		}
		y.d.SetConnections([]*Connection{&c})
		y.crm.set(func() { y.crm.paused = false })
		y.d.Kick()
		pass(time.Hour)
		y.is(seq, event.Done, "")
		equal(t, "leads", y.crm.made(), 1)
	})
}

// hidden is an account of which the token may not see one lead.
type hidden struct {
	*fakeCRM
	lead int64
}

func (h hidden) Leads(ctx context.Context, ids []int64) (map[int64]event.Lead, error) {
	found, _ := h.fakeCRM.Leads(ctx, slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return id == h.lead }))
	if slices.Contains(ids, h.lead) {
		return found, &amocrm.Refused{Status: 403, Detail: "Forbidden"}
	}
	return found, nil
}

func (h hidden) Lead(ctx context.Context, id int64) (event.Lead, bool, error) {
	if id == h.lead {
		return event.Lead{}, false, &amocrm.Refused{Status: 403, Detail: "Forbidden"}
	}
	return h.fakeCRM.Lead(ctx, id)
}

// A contact's lead that the token may not see is no hit; the others are.
func TestLead_ThatIsHiddenIsNoHit(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.c.Account.CRM = hidden{y.crm, 77}
		y.crm.set(func() {
			y.crm.contacts[500] = event.Contact{ID: 500, Name: "Old", Phones: []event.Value{{Text: "+79160000001"}}, LeadIDs: []int64{76, 77}}
			y.crm.leads[76] = event.Lead{ID: 76, Name: "By hand", ContactIDs: []int64{500}, PipelineID: 1, StatusID: 11}
		})
		y.run()
		seq := y.post(chat("chat_accepted", 1, ""))
		pass(time.Minute)
		equal(t, "lead", y.is(seq, event.Done, "").Lead.ID, 76)
	})
}
