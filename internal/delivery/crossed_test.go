package delivery

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// What was found of a write in doubt may be what an equal one is making: of the same
// kind and text, sent later, and not so long ago that its answer can come no more.
// Nothing else keeps a doubt waiting.
func TestDoubt_OnlyAnEqualOneOnItsWayIsWaitedFor(t *testing.T) {
	self := event.Change{Key: "self", Op: event.OpCreate, Target: event.OnNote, State: event.Sent, EntityType: leads, EntityID: 500, Marker: "Перезвоните"}
	sent := func(after time.Duration) func(_, other *event.Change) {
		return func(_, other *event.Change) { other.SentAt = other.SentAt.Add(after) }
	}
	const ago = onItsWay + 10*time.Second // since the one in doubt left
	for name, c := range map[string]struct {
		change func(self, other *event.Change)
		own    bool // it is of the event itself
		want   bool
	}{
		"equal, on its way":   {sent(ago - 5*time.Second), false, true},
		"almost too long ago": {sent(ago - onItsWay + time.Second), false, true},
		"too long ago":        {sent(ago - onItsWay - time.Second), false, false},
		"sent before": {func(self, other *event.Change) {
			self.SentAt, other.SentAt = self.SentAt.Add(ago-5*time.Second), other.SentAt.Add(ago-10*time.Second)
		}, false, false},
		"a lead, which the marker tells": {func(self, other *event.Change) {
			sent(ago-5*time.Second)(self, other)
			self.Target, other.Target = event.OnLead, event.OnLead
		}, false, false},
		"of the event itself": {sent(ago - 5*time.Second), true, false},
		"another text": {func(self, other *event.Change) {
			sent(ago-5*time.Second)(self, other)
			other.Marker = "Напишите"
		}, false, false},
		"another kind":                {func(self, other *event.Change) { sent(ago-5*time.Second)(self, other); other.Target = event.OnTask }, false, false},
		"answered":                    {func(self, other *event.Change) { sent(ago-5*time.Second)(self, other); other.State = event.Settled }, false, false},
		"not sent yet":                {func(self, other *event.Change) { sent(ago-5*time.Second)(self, other); other.State = event.Open }, false, false},
		"an update, which makes none": {func(self, other *event.Change) { sent(ago-5*time.Second)(self, other); other.Op = event.OpUpdate }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, nil)
				mine, other := self, self
				mine.SentAt, other.SentAt, other.Key = time.Now(), time.Now(), "other"
				c.change(&mine, &other)
				time.Sleep(ago)
				first, second := y.post(chat("offline_message", 1, "")), y.post(chat("offline_message", 1, ""))
				y.update(func(tx *store.Tx) error {
					ev, err := tx.Event(second)
					if err != nil {
						return err
					}
					ev.Changes = []event.Change{other}
					return tx.Put(ev)
				})
				j := &job{d: y.d, c: y.c, seq: first, ev: y.event(first), state: state{client: &event.Client{ID: "1"}}}
				if c.own {
					j.seq, j.ev = second, y.event(second)
				}
				equal(t, "it is waited for", j.crossed(mine), c.want)
			})
		})
	}
}
