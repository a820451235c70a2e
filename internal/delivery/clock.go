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
type clock struct {
	wall time.Time     // at the last look
	up   time.Duration // then, by the clock that cannot be set
}

// setBack takes a look: at the wall clock, and at how long the process has run.
func (c *clock) setBack(wall time.Time, up time.Duration) bool {
	last := *c
	c.wall, c.up = wall.Round(0), up // without its monotonic reading
	return last.wall.IsZero() || (up-last.up)-c.wall.Sub(last.wall) > setBackBy
}

// clockSlack is how much amoCRM's clock and ours may differ and count as one:
// amoCRM counts whole seconds, and its clock is known from Date headers only.
const clockSlack = 5 * time.Second

// ranAhead is how long ago a write left, at most, that seems to leave only later:
// the clock of that moment was wrong by no one knows how much.
const ranAhead = time.Hour

// now is the time by which writes and look-ups are dated: ours, while amoCRM's
// clock agrees with it, else amoCRM's. What was made is told by amoCRM's time, and
// a clock that is set between a write and its look-up must not hide it.
func (a *Account) now() time.Time {
	ours, theirs := time.Now().Round(0), a.CRM.ServerTime().Round(0)
	if theirs.Sub(ours).Abs() <= clockSlack {
		return ours
	}
	return theirs
}

// moment is a point in time as now tells it, and how far that is ahead of our clock.
type moment struct {
	at    time.Time
	ahead time.Duration
}

func (a *Account) moment() moment {
	at := a.now()
	return moment{at, time.Until(at).Round(time.Second)}
}

// madeSince is the earliest a change in doubt can have been made, by amoCRM's clock
// of now: if that has fallen behind since the write left, by what it fell earlier
// than it was then.
func (j *job) madeSince(ch event.Change) time.Time {
	return ch.SentAt.Add(-clockSlack - max(0, ch.Ahead-j.c.Account.moment().ahead))
}

// ours turns a moment told by now into one of our clock.
func (a *Account) ours(at time.Time) time.Time { return time.Now().Add(at.Sub(a.now())) }

// theirs turns a moment told by now into one of amoCRM's clock.
func (a *Account) theirs(at time.Time) time.Time { return a.CRM.ServerTime().Add(at.Sub(a.now())) }

// backdate mends the dates of writes that left under a clock that ran ahead.
func (j *job) backdate() {
	now := j.c.Account.now()
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range j.ev.Changes {
		ch := &j.ev.Changes[i]
		if ch.SentAt.Sub(now) > 2*clockSlack {
			ch.SentAt = now.Add(-ranAhead)
		}
		if ch.LookedAt.Sub(now) > 2*clockSlack {
			ch.LookedAt = now
		}
	}
}

// lookable is since when a look-up may trust what a list does not have.
func (j *job) lookable(ch event.Change) time.Time {
	at := ch.SentAt
	if ch.LookedAt.After(at) {
		at = ch.LookedAt
	}
	return at.Add(j.c.InDoubtAfter)
}

// since is lookable by our clock.
func (j *job) since(ch event.Change) time.Time { return j.c.Account.ours(j.lookable(ch)) }

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
				if ev.DueAt().Sub(now) > c.furthest(ev) {
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
				if ev.NextAt = now; ev.State == event.Parked {
					ev.NextAt = now.Add(c.Park) // how long it has waited is not known any more
				}
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
