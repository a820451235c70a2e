package delivery

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
)

const other = "other"

// second is another connection on the same account.
func (y *yard) second() {
	c := *y.c
	c.Name = other
	y.d.SetConnections([]*Connection{y.c, &c})
}

// calls is a chat of a client with this phone.
func calls(kind string, client int, phone string) string {
	return strings.Replace(chat(kind, client, ""), fmt.Sprintf("+7916000%04d", client), phone, 1)
}

// phones are those of the one contact there is.
func (y *yard) phones() []string {
	y.t.Helper()
	if len(y.crm.contacts) != 1 {
		y.t.Fatalf("%d contacts", len(y.crm.contacts))
	}
	for _, c := range y.crm.contacts {
		got := event.Texts(c.Phones)
		slices.Sort(got)
		return got
	}
	return nil
}

// Two connections of one account meet the same contact, and each adds a phone: a
// contact's phones are written as a whole, and neither takes the other's away.
func TestPhones_OfTwoConnectionsStandSideBySide(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.second()
		y.run()
		const p1, p2, p3 = "+79160000001", "+79160000002", "+79160000003"
		y.post(calls("chat_accepted", 1, p1))
		pass(time.Second)
		y.postTo(other, calls("chat_accepted", 7, p1))
		pass(time.Second)
		y.post(calls("chat_updated", 1, p2))
		pass(time.Second)
		y.postTo(other, calls("chat_updated", 7, p3))
		pass(time.Second)
		same(t, "phones", y.phones(), []string{p1, p2, p3})
	})
}

// … also when both are written at the same moment.
func TestPhones_OfTwoConnectionsAtOnce(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		y.second()
		y.run()
		const p1, p2, p3 = "+79160000001", "+79160000002", "+79160000003"
		y.post(calls("chat_accepted", 1, p1))
		y.postTo(other, calls("chat_accepted", 7, p1))
		pass(time.Minute)
		y.crm.before = func(amocrm.Write) error { time.Sleep(time.Second); return nil }
		y.post(calls("chat_updated", 1, p2))
		y.postTo(other, calls("chat_updated", 7, p3))
		pass(time.Minute)
		same(t, "phones", y.phones(), []string{p1, p2, p3})
	})
}

// A write of phones that goes again after its answer was lost, or after a pause,
// takes away nothing that another client's event added meanwhile.
func TestPhones_AddedMeanwhileAreKept(t *testing.T) {
	for name, err := range map[string]error{
		"in doubt": &amocrm.InDoubt{Trouble: amocrm.Unreachable},
		"not sent": &amocrm.NotSent{Trouble: amocrm.RateLimited, Reason: amocrm.RateLimited},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, y *yard) {
				y.run()
				const p1, p2, p3 = "+79160000001", "+79160000002", "+79160000003"
				y.post(calls("chat_accepted", 1, p1))
				y.post(calls("chat_accepted", 7, p1))
				pass(time.Minute)
				y.crm.after = func(amocrm.Write) error {
					y.crm.set(func() { y.crm.after = nil })
					if e, ok := err.(*amocrm.NotSent); ok {
						e.Until = time.Now().Add(20 * time.Second)
					}
					return err
				}
				y.post(calls("chat_updated", 1, p2))
				pass(time.Second)
				y.post(calls("chat_updated", 7, p3))
				pass(time.Second)
				pass(time.Minute)
				same(t, "phones", y.phones(), []string{p1, p2, p3})
			})
		})
	}
}
