package delivery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// However many are due, no more of one connection are worked at once than are
// wanted to fill the shared requests; the others follow.
func TestBounds_SoManyAreWorkedAtOnce(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		let := make(chan struct{})
		y.crm.before = func(amocrm.Write) error { <-let; return nil }
		const others = maxInFlight - 2
		y.d.inFlight[shop] = others // that many more are at it: five visitors stand for all the rest
		y.run()
		for n := range 5 {
			y.post(chat("chat_accepted", n+1, ""))
		}
		pass(time.Hour)
		equal(t, "in flight", y.d.InFlight(shop), maxInFlight)
		close(let)
		pass(time.Second)
		equal(t, "leads", y.crm.made(), 5)
		equal(t, "in flight", y.d.InFlight(shop), others)
	})
}

// An event does not grow with its trouble: it remembers so many requests and
// warnings, each warning once.
func TestBounds_EventInTroubleDoesNotGrow(t *testing.T) {
	y := newYard(t, nil)
	j := y.at(chat("chat_accepted", 1, ""), &event.Client{ID: "1"})
	for range 10 * keptRequests {
		j.trace(event.Request{Method: "GET"})
	}
	equal(t, "requests", len(j.ev.Requests), keptRequests)
	for range 3 {
		j.warn("the same")
	}
	equal(t, "warnings", len(j.ev.Warnings), 1)
	for n := range 500 {
		j.warn("no. %d", n)
	}
	equal(t, "warnings", len(j.ev.Warnings), 50)
}

// What was searched for in vain takes no more room than that, whoever comes.
func TestBounds_MissesAreForgottenBeforeTheyAreTooMany(t *testing.T) {
	var m misses
	now := time.Now()
	for n := range 2*missesKept + 1 {
		m.add(fmt.Sprint(n), now)
		if len(m.at) > missesKept {
			t.Fatalf("%d misses are kept", len(m.at))
		}
	}
	if !m.has(fmt.Sprint(2*missesKept), now) {
		t.Error("the newest is not known")
	}
}

// A visitor who never leaves a phone has so many transcripts held, from the first on.
func TestBounds_SoManyTranscriptsAreHeld(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.run()
		for n := range 25 {
			y.post(nobody("chat_finished", 1, said(fmt.Sprintf("text %d.", n), 100+n)))
		}
		pass(time.Minute)
		held := y.client(1).Held
		equal(t, "held", len(held), 20)
		if !strings.Contains(held[0].Text, "text 0.") {
			t.Errorf("the first held: %q", held[0].Text)
		}
	})
}

// Of a contact with very many leads the newest are looked at, in one request.
func TestBounds_NewestOfVeryManyLeadsAreLookedAt(t *testing.T) {
	const many = 3 * manyLeads
	for name, at := range map[string]int64{"the newest": many, "the last that is looked at": many - manyLeads + 1} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, nil)
			asked := y.slowly(nil)
			card := contactOf(900, 1)
			for lid := int64(1); lid <= many; lid++ {
				l := event.Lead{ID: lid, PipelineID: 1, StatusID: event.StatusLost}
				if lid == at {
					l.StatusID = open
				}
				y.leads(l)
				card.Contact.LeadIDs = append(card.Contact.LeadIDs, lid)
			}
			j := y.at(chat("chat_accepted", 1, ""), &event.Client{ID: "1"})
			got, _, err := j.leadOfContact(t.Context(), "open", &event.Find{}, card)
			if err != nil || got == nil {
				t.Fatalf("got %v, %v", got, err)
			}
			equal(t, "lead", got.Lead.ID, at)
			equal(t, "leads asked for", asked.most, manyLeads)
		})
	}
}
