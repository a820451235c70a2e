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

// Under load exactly the events whose handling panics are dead; all others arrive
// once, and nothing is left locked or in flight.
func TestPanic_UnderLoadExactlyThatEventIsDead(t *testing.T) {
	bad := func(n int) bool { return n%7 == 0 }
	// slowly does something for the leads of bad visitors; every write takes a moment.
	slowly := func(do func(w amocrm.Write)) func(amocrm.Write) error {
		return func(w amocrm.Write) error {
			time.Sleep(100 * time.Millisecond)
			if w.Endpoint == amocrm.ComplexLeads && bad(numberIn(string(w.Item))) {
				do(w)
			}
			return nil
		}
	}
	inStore := func(y *yard) func(amocrm.Write) error {
		return slowly(func(w amocrm.Write) {
			y.d.mu.Lock()
			j := y.d.jobs[mustSeq(t, w.Keys[0])]
			y.d.mu.Unlock()
			j.effect(func(*store.Tx) error { panic("a bug") })
		})
	}
	for name, arm := range map[string]func(y *yard){
		"where a lead is written": func(y *yard) { y.crm.before = slowly(func(amocrm.Write) { panic("a bug") }) },
		"where the store is told": func(y *yard) { y.crm.after = inStore(y) },
		"before the lead leaves":  func(y *yard) { y.crm.before = inStore(y) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				arm(y)
				y.run()
				const visitors = 50
				seqs := map[int][]uint64{}
				for n := 1; n <= visitors; n++ {
					seqs[n] = []uint64{y.post(chat("chat_accepted", n, "")), y.post(chat("chat_finished", n, said("hello", 100)))}
				}
				pass(time.Minute)
				y.crm.set(func() { y.crm.before, y.crm.after = nil, nil })
				pass(time.Hour)
				for n, list := range seqs {
					if bad(n) {
						y.is(list[0], event.Dead, event.Panicked)
						if ev := y.event(list[1]); !ev.State.Settled() {
							t.Errorf("the event behind it is %s", ev.State)
						}
						continue
					}
					for _, seq := range list {
						y.is(seq, event.Done, "")
					}
				}
				equal(t, "in flight", y.d.InFlight(shop), 0)
				equal(t, "locks held", len(y.c.Account.locks.held), 0)
				if n := y.crm.made(); n < visitors-visitors/7 {
					t.Errorf("%d leads", n)
				}
			})
		})
	}
}

func mustSeq(t *testing.T, key string) uint64 {
	seq, ok := seqOf(key)
	if !ok {
		t.Errorf("%q is no key", key)
	}
	return seq
}

// numberIn is the visitor whose lead an item makes, 0 if it is none.
func numberIn(item string) (n int) {
	_, after, _ := strings.Cut(item, `"name":"Chat `)
	_, _ = fmt.Sscanf(after, "%d", &n)
	return n
}
