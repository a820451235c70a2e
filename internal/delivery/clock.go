package delivery

import (
	"context"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// setBackBy is how far the wall clock may fall behind before it counts as set back.
const setBackBy = 10 * time.Second

// clock notices that the wall clock was set back. Its zero value takes the first
// look for such a moment: nobody knows what the clock did while nothing ran.
type clock struct{ last time.Time }

func (c *clock) setBack(now time.Time) bool {
	last := c.last
	c.last = now
	// Sub uses the monotonic clock, Round(0) the wall: their difference is a leap.
	return last.IsZero() || now.Sub(last)-now.Round(0).Sub(last.Round(0)) > setBackBy
}

// pullSlice is how many events one commit of pullBack takes.
const pullSlice = 500

// pullBack makes events due that were put off by a clock that ran ahead: to a
// time further away than anything could put them off.
func (d *Dispatcher) pullBack(ctx context.Context) {
	d.mu.Lock()
	conns := make([]*Connection, 0, len(d.conns))
	for _, c := range d.conns {
		conns = append(conns, c)
	}
	d.mu.Unlock()
	for _, c := range conns {
		n, err := d.pullConnection(ctx, c)
		switch {
		case err != nil && ctx.Err() == nil:
			d.log.Error("cannot pull events back", "connection", c.Name, "error", err)
		case n > 0:
			d.log.Warn("events were put off by a clock that ran ahead; they are due now", "connection", c.Name, "events", n)
		}
	}
}

func (d *Dispatcher) pullConnection(ctx context.Context, c *Connection) (pulled int, err error) {
	for from := time.Now().Add(clockSlack); ; {
		now := time.Now()
		var far []uint64
		more := false
		err := d.store.View(func(tx *store.Tx) error {
			return tx.DueAfter(c.Name, from, func(ev *event.Event) bool {
				if more = len(far) == pullSlice; more {
					return false
				}
				if dueAt(ev).Sub(now) > c.furthest(ev) {
					far = append(far, ev.Seq)
				}
				return true
			})
		})
		if err != nil || len(far) == 0 {
			return pulled, err
		}
		err = d.store.Update(ctx, func(tx *store.Tx) error {
			for _, seq := range far {
				ev, err := tx.Event(seq)
				if err != nil {
					return err
				}
				ev.NextAt = now
				if err := tx.Put(ev); err != nil {
					return err
				}
			}
			return nil
		})
		pulled += len(far)
		if err != nil || !more {
			return pulled, err
		}
	}
}

func dueAt(ev *event.Event) time.Time {
	if ev.NextAt.IsZero() {
		return ev.ReceivedAt
	}
	return ev.NextAt
}

// longestHold is the longest a 429 or a banned account puts an event off.
const longestHold = 15 * time.Minute

// furthest is how far ahead an event may be due: as far as its own trouble, its
// account's or its waiting for a client can have put it off.
func (c *Connection) furthest(ev *event.Event) time.Duration {
	switch {
	case ev.NextAt.IsZero(): // due since it came
		return 0
	case ev.State == event.Parked:
		return c.Park + time.Minute
	}
	return max(c.backoff(ev.Attempts, 0), c.InDoubtAfter, longestHold) + time.Minute
}
