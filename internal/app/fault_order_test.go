package app_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// N5 of reliability.md: the same event any number of times, one after another, at
// the same moment and across restarts, has one effect.
func TestFault_RepeatsHaveOneEffect(t *testing.T) {
	most := 1000
	if underRace {
		most = 100
	}
	p := visitors(1)[0]
	stories := map[string][][]byte{
		"chat":     {p.accepted(), p.finished(said(then, "v:Привет", "a:Добрый день"))},
		"message":  {p.offline(4711, "Перезвоните")},
		"call":     {p.call("incoming", "start"), p.call("incoming", "end", m{"record_url": record(p)})},
		"task":     {p.accepted(), p.task("created_task", 5, 0, "Позвонить", then.AddDate(0, 0, 3))},
		"deal":     {p.accepted(), p.deal("created_deal", deal{id: 9, pipeline: 6, stage: 21, title: "Доски", amount: 100})},
		"client":   {p.clientUpdated()},
		"personal": {p.accepted(), p.crm("updated_client")},
	}
	for name, bodies := range stories {
		t.Run(name, func(t *testing.T) {
			want := ""
			inLab(t, labSetup{}, func(l *lab) {
				for _, b := range bodies {
					l.tell(b)
					l.settle(time.Hour)
				}
				want = l.census()
			})
			inLab(t, labSetup{}, func(l *lab) {
				for i, b := range bodies {
					for n := 1; n <= most; n *= 10 {
						var many [][]byte
						for range n {
							many = append(many, b)
						}
						l.tell(many...)
						if n == 10 {
							l.restart(time.Second)
						}
						if n == 100 && i == 0 {
							l.kill(time.Second)
						}
					}
					l.tell(b, b)
					l.settle(time.Hour)
				}
				l.verdict()
				if got := l.census(); got != want {
					t.Errorf("once:\n%s\nmany times:\n%s", want, got)
				}
			})
		})
	}
}

// A state that returns is news, not a repeat.
func TestFault_AStateThatReturnsIsNotSwallowed(t *testing.T) {
	p := visitors(1)[0]
	worth := func(n int) []byte {
		return p.deal("updated_deal", deal{id: 9, pipeline: 6, stage: 21, title: "Доски", amount: n})
	}
	inLab(t, labSetup{}, func(l *lab) {
		l.tell(p.accepted())
		l.settle(time.Hour)
		l.tell(p.deal("created_deal", deal{id: 9, pipeline: 6, stage: 21, title: "Доски", amount: 100}))
		l.settle(time.Hour)
		for _, n := range []int{100, 200, 100, 300, 200, 200, 100} {
			l.tell(worth(n), worth(n))
			l.settle(time.Hour)
			if got := one(l.t, "leads", l.amo.Leads()).Price; got != float64(n) {
				l.t.Fatalf("price %v, want %d", got, n)
			}
		}
		l.verdict()
	})
}

// N6 of reliability.md: what one client does is carried out in its order,
// whatever goes wrong in between, while all clients run side by side.
func TestFault_OrderOfEachClientIsKept(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inLab(t, labSetup{conn: ruleLead + `
  - name: worth
    on: [chat_updated]
    lead: {find: [chat], update: overwrite, price: '{{ extra.worth }}'}
`}, func(l *lab) { ordered(l, seed) })
		})
	}
}

func ordered(l *lab, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	all := visitors(8)
	const steps = 6
	var wg sync.WaitGroup
	for i, p := range all {
		pauses := make([]time.Duration, steps+1)
		for k := range pauses {
			pauses[k] = time.Duration(rnd.IntN(3000)) * time.Millisecond
		}
		wg.Go(func() {
			l.tell(p.accepted())
			for n := 1; n <= steps; n++ {
				time.Sleep(pauses[n])
				l.tell(p.updated(m{"worth": fmt.Sprint(1000*(i+1) + n)}))
			}
		})
	}
	for range 10 {
		time.Sleep(time.Duration(rnd.IntN(4000)) * time.Millisecond)
		f := []emulator.Fault{
			{Kind: emulator.DropAfterCommit}, {Kind: emulator.GiveStatus, Status: 504, AfterCommit: true}, {Kind: emulator.DropBefore}, {Kind: emulator.RateLimit},
		}[rnd.IntN(4)]
		f.PathPrefix, f.Times = "/api/v4/leads", 1+rnd.IntN(2)
		l.amo.Inject(f)
	}
	wg.Wait()
	l.settle(6 * time.Hour)
	l.verdict()
	for _, lead := range l.amo.Leads() {
		if int(lead.Price)%1000 != steps {
			l.t.Errorf("%s: the last of %d changes is not what stands: %v", lead.Name, steps, lead.Price)
		}
	}
	last := map[string]uint64{} // by client: events settle in the order they came
	evs := l.events(store.Filter{Source: event.Jivo})
	for i := len(evs) - 1; i >= 0; i-- {
		ev := evs[i]
		sent := firstSent(ev)
		if sent.IsZero() {
			continue
		}
		if before := last[ev.Client]; before > uint64(sent.UnixNano()) {
			l.t.Errorf("event %d of client %s left before the one before it", ev.Seq, ev.Client)
		}
		last[ev.Client] = uint64(sent.UnixNano())
	}
}

func firstSent(ev *event.Event) time.Time {
	for _, ch := range ev.Changes {
		if ch.Target == event.OnLead && !ch.SentAt.IsZero() {
			return ch.SentAt
		}
	}
	return time.Time{}
}

// One client whose contact amoCRM cannot write, for trouble of its own, holds up
// its own later events and nobody else's.
func TestFault_OneStuckClientBlocksNobody(t *testing.T) {
	inLab(t, labSetup{conn: ruleLead + `
  - name: stuck
    on: [chat_updated]
    contact: {find: [client], update: overwrite, name: 'Ещё {{ visitor.name }}'}
`}, func(l *lab) {
		all := visitors(30)
		l.tell(all[0].accepted())
		l.settle(time.Hour)
		stuck := l.amo.Inject(emulator.Fault{Method: "PATCH", PathPrefix: "/api/v4/contacts", Kind: emulator.GiveStatus, Status: 500, Times: -1})
		l.tell(all[0].updated())
		for _, p := range all[1:] {
			l.tell(p.accepted())
			time.Sleep(10 * time.Second)
		}
		l.await("the others are through", 15*time.Minute, func() bool { return len(l.amo.Leads()) == len(all) })
		if c := l.app.Store().Counts(e2eName); c.Pending != 1 {
			l.t.Errorf("%+v", c)
		}
		stuck.Remove()
		l.settle(3 * time.Hour)
		l.verdict()
	})
}

// Two visitors with one phone, the first one's contact in doubt: the second waits
// until that is known, also across a kill, and there is one contact.
func TestFault_NamesakesOfAContactInDoubtWait(t *testing.T) {
	for _, f := range []emulator.Fault{{Kind: emulator.DropBefore}, {Kind: emulator.DropAfterCommit}} {
		for _, kill := range []bool{false, true} {
			t.Run(fmt.Sprint(f.Kind, " kill ", kill), func(t *testing.T) {
				inLab(t, labSetup{conn: ruleLead, amo: emulator.Options{IndexLag: time.Hour}, amocrm: "in_doubt_after: 2m\n"}, func(l *lab) {
					all := visitors(2)
					all[1].Phone = all[0].Phone
					f.Method, f.PathPrefix = "POST", "/api/v4/leads/complex"
					l.amo.Inject(f)
					l.tell(all[0].accepted())
					time.Sleep(time.Minute + 2*time.Second) // the pause that follows is over, the doubt is not
					if kill {
						l.kill(time.Second)
					}
					l.tell(all[1].accepted())
					l.settle(time.Hour)
					l.verdict()
					one(l.t, "contacts", l.amo.Contacts())
				})
			})
		}
	}
}
