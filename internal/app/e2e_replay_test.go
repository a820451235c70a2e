package app_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator"
)

// refuseLeads has amoCRM refuse every new lead until what it returns is called.
func (w *world) refuseLeads() (until func()) {
	return w.amo.Inject(emulator.Fault{
		Method: http.MethodPost, PathPrefix: "/api/v4/leads/complex", Kind: emulator.GiveStatus, Status: http.StatusBadRequest, Times: 1000,
	}).Remove
}

// replayDead puts everything that is dead to work again, as the README advises.
func (w *world) replayDead() {
	w.t.Helper()
	w.api("POST", "/api/v1/replay", string(jsonOf(m{"state": "dead", "reason": "refused"})), nil)
	w.settle()
}

// What was refused finds its place by what amoCRM holds when it is replayed, not by
// what it held then: meanwhile the client has come again, or somebody with the phone.
func TestE2E_ReplayOfARefusedChatDoublesNothing(t *testing.T) {
	for name, between := range map[string]func(w *world, p *person){
		"alone":            func(*world, *person) {},
		"the client again": func(w *world, p *person) { again := *p; again.Chat = 7660; w.tell(again.accepted()) },
		"another client": func(w *world, p *person) {
			other := *p
			other.Number, other.Chat = 2199, 7661
			w.tell(other.accepted())
		},
		"a contact by hand": func(w *world, p *person) {
			_, err := w.amo.CreateContact(cardOf{Phone: p.Phone})
			w.manager(err)
			w.settle()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{})
			p := ivan()
			stop := w.refuseLeads()
			then := time.Now().Add(-time.Minute)
			w.tell(p.accepted(), p.finished(said(then, "v:Привет", "a:Здравствуйте")))
			w.ended("chat_accepted", "dead", "refused")
			w.ended("chat_finished", "dead", "refused")
			stop()
			between(w, p)
			w.replayDead()
			w.oneContact()
			lead := w.oneLead()
			notes := 0
			for _, n := range w.amo.Notes(lead.ID) {
				if strings.Contains(string(jsonOf(n)), "Привет") {
					notes++
				}
			}
			equal(t, "transcripts", notes, 1)
		})
	}
}

// What a refused deal left behind, its own last state, hides nothing of it.
func TestE2E_ReplayOfARefusedDealWritesAllOfIt(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(p.accepted())
	w.manager(w.amo.MoveLead(w.oneLead().ID, 142, 0))
	stop := w.refuseLeads()
	w.tell(p.deal("created_deal", deal{id: 3, pipeline: 6, stage: 21, title: "Сайт", amount: 1500, text: "Срочно"}))
	w.ended("created_deal", "dead", "refused")
	stop()
	w.replayDead()
	leads := w.amo.Leads()
	if len(leads) != 2 {
		t.Fatalf("%d leads", len(leads))
	}
	equal(t, "name", leads[1].Name, "Сайт")
	equal(t, "price", leads[1].Price, 1500)
	equal(t, "notes", strings.Join(w.notes(leads[1].ID, common), "|"), "Срочно")
}
