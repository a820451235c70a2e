package app_test

import (
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// shows posts an event of a chat and says whether its reply shows this lead, and the
// event went to it.
func (w *world) shows(what string, body []byte, kind string, lead int64) {
	w.t.Helper()
	r := w.post(body)
	w.settle()
	equal(w.t, what+": shown", r.CRMLink, w.link("leads", lead))
	equal(w.t, what+": worked on", w.last(kind).Lead.ID, lead)
}

// leadByHand has the manager open a lead for the only contact, which tells of it by hook.
func (w *world) leadByHand() int64 {
	w.t.Helper()
	time.Sleep(1100 * time.Millisecond) // newer by the second
	c := w.oneContact()
	id, err := w.amo.CreateLead(emulator.NewCard{Edit: emulator.Edit{Name: "Руками"}, ContactID: c.ID})
	w.manager(err)
	w.manager(w.amo.EditContact(c.ID, emulator.Edit{Tags: []string{"звонил"}}))
	return id
}

// The operator is shown the lead that the event goes to, for the reply and the delivery
// follow one order: the chat's, though it is closed, but not as the chat begins anew; then
// the contact's newest open one, though made by hand.
func TestE2E_TheReplyShowsTheLeadThatTheEventGoesTo(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(p.accepted())
	first := w.oneLead().ID

	byHand := w.leadByHand()
	p.Chat = 7640
	w.shows("a newer lead made by hand", p.accepted(), "chat_accepted", byHand)
	w.shows("and then", p.updated(), "chat_updated", byHand)
	p.Chat = 7636
	p.Email = "ivan2@example.com"
	w.shows("the first chat's own", p.updated(), "chat_updated", first)

	w.manager(w.amo.MoveLead(first, event.StatusWon, 0))
	p.Email = "i@example.com"
	w.shows("though it is won", p.updated(), "chat_updated", first)

	p.Chat = 7641
	w.shows("the next chat", p.accepted(), "chat_accepted", byHand)
}
