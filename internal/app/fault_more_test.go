package app_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// An account that is not paid refuses writes and still answers reads
// (amocrm-api.md §8, 402): that is the account's trouble too. Nothing burns an
// attempt, nobody is given up, and each probe is followed by no more tries than two seconds of the budget hold.
func TestFault_UnpaidForWritesOnlyBurnsNothing(t *testing.T) {
	inLab(t, labSetup{conn: ruleLead, amocrm: "backoff: {first: 5s, max: 1h, give_up: 1h}\n"}, func(l *lab) {
		l.tell(visitors(1)[0].accepted())
		l.settle(time.Hour)
		l.amo.SetUnpaid(1)
		for _, p := range visitors(20)[1:] {
			l.tell(p.accepted())
		}
		before := l.amo.Report().Requests
		time.Sleep(3 * time.Hour)
		if n := l.amo.Report().Requests - before; n > 3*60*16 {
			t.Errorf("%d requests in three hours without a paid account", n)
		}
		for _, ev := range l.events(store.Filter{Source: event.Jivo}) {
			if ev.State == event.Dead || ev.Attempts > 0 {
				t.Errorf("event %d is %s after %d attempts: %s", ev.Seq, ev.State, ev.Attempts, ev.Detail)
			}
		}
		l.amo.SetUnpaid(0)
		l.settle(5 * time.Minute)
		l.verdict()
		if n := len(l.amo.Leads()); n != 20 {
			t.Errorf("%d leads", n)
		}
	})
}

// The clock is set while the bridge runs, with writes in doubt and events put off.
// A bubble's clock cannot jump, so the rest of the world's does, by as much the
// other way; what was dated by ours before is the business of internal/delivery. (The
// emulated rate limit has no use for a clock that runs backwards.)
func TestFault_ClockIsSetWhileRunning(t *testing.T) {
	for name, jump := range map[string]time.Duration{"an hour back": -time.Hour, "a day ahead": 24 * time.Hour} {
		for _, marker := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", marker ", marker), func(t *testing.T) {
				var ahead atomic.Int64 // of the rest of the world
				set := labSetup{conn: ruleLead + `
  - name: note
    on: [chat_updated]
    note: {to: lead, text: 'Пришёл {{ visitor.name }}'}
`, amo: emulator.Options{
					RPS: -1, NoMarker: !marker, IndexLag: time.Hour, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
				}}
				inLab(t, set, func(l *lab) {
					all := visitors(40)
					lose := func(kind emulator.FaultKind) {
						l.amo.Inject(emulator.Fault{Method: "POST", PathPrefix: "/api/v4/leads", Kind: kind, Times: 2})
					}
					for i, p := range all {
						switch i {
						case 8, 28:
							lose(emulator.DropAfterCommit)
						case 16:
							lose(emulator.DropBefore)
						case 10, 30: // answers are lost, and not looked up yet
							ahead.Add(int64(-jump))
						case 20:
							ahead.Store(0)
						}
						l.tell(p.accepted())
						l.tell(p.updated())
						time.Sleep(3 * time.Second)
					}
					began := time.Now()
					l.settle(2 * time.Hour)
					if took := time.Since(began); took > 10*time.Minute {
						t.Errorf("settled after %v", took)
					}
					l.verdict()
					if leads, notes := len(l.amo.Leads()), len(l.amo.AllNotes()); leads != len(all) || notes != len(all) {
						t.Errorf("%d leads and %d notes of %d visitors", leads, notes, len(all))
					}
				})
			})
		}
	}
}

// A company that an operator linked and amoCRM does not have is refused along with
// the lead: it is unlinked, the one of the visitor's own is taken, and lead and
// contact go through (product.md §2).
func TestE2E_CompanyThatIsGoneKeepsNoLeadBack(t *testing.T) {
	for _, own := range []string{"", "Ромашка"} {
		t.Run("own company "+own, func(t *testing.T) {
			w := newWorld(t, setup{refused: "_embedded.companies.0.id"})
			p := nobody()
			w.tell(p.event("chat_assigned", m{"agent": agentOne, "assign_to": w.link("companies", 987654)}))
			w.ended("chat_assigned", "done", "")
			p.Phone, p.Company = "+79160000003", own
			w.tell(p.accepted())
			r := w.ended("chat_accepted", "done", "")
			w.warned(r, "company the operator linked is gone")
			c := w.oneContact()
			w.oneLead()
			if own == "" {
				equal(t, "companies", len(w.amo.Companies()), 0)
				return
			}
			company := one(t, "companies", w.amo.Companies())
			equal(t, "company", company.Name, own)
			equal(t, "the contact's company", c.CompanyID, company.ID)
			if strings.Contains(fmt.Sprint(r.Warnings), own) {
				t.Errorf("a warning names it: %q", r.Warnings)
			}
		})
	}
}
