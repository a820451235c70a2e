package budget

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// margin is added to the window, so that requests which the network
	// brings closer together still do not share a second at the far end.
	margin = 15 * time.Millisecond
	// drift is how much later than its writing a request is taken to arrive
	// while nothing is known. With margin it keeps 7 requests a second above 6.5
	// (7 / 1.065 s).
	drift = 50 * time.Millisecond
	// late bounds how much later its answer may prove it to have arrived. An
	// answer that is late because the far end was slow costs a little pace; one
	// that is late because the request was must not bring eight into a second.
	late = 500 * time.Millisecond
	// forget is how slowly the shortest trip known of a kind of request gives way
	// to longer ones: a network that became slower is learned within minutes.
	forget = 256

	recoverAfter = 30 * time.Second // quiet time after which the pace is raised by a tenth
	maxHold      = 15 * time.Minute // a long Retry-After is cut to this
	slowest      = 1.0 / 32         // of the configured rate: the floor of lowering
)

// budget keeps requests under a rate in any sliding second *as the far end
// sees it*. It is a log of what may still count there: a request counts from
// the moment its place is given until a window after it has surely arrived.
// Its place is given before a connection is had, so dialling and the ledger's
// commit cannot push requests together unseen. Requests are spaced evenly once
// half of the window is used; before that they go at once.
type budget struct {
	mu      sync.Mutex
	limit   float64 // configured, per second
	pace    float64 // ≤ limit
	log     []*Slot // may count at the far end, in the order given
	last    time.Time
	hold    time.Time // nothing before
	strikes int       // 429s in a row
	lowered time.Time
	raised  time.Time
	trips   map[string]time.Duration // the shortest round trip of each kind of request
	changed chan struct{}            // closed and renewed when a slot may have become free
}

// Slot is one request's place in the budget.
type Slot struct {
	b       *budget
	kind    string    // requests of one kind take about as long
	written time.Time // zero: not yet
	known   bool      // its answer said when it arrived
	arrived time.Time // the latest moment it can have reached the far end
}

func newBudget(rate float64) *budget {
	return &budget{limit: rate, pace: rate, trips: map[string]time.Duration{}, changed: make(chan struct{})}
}

// resume has the requests of an earlier client count where they still may. A
// time ahead of now is one of a clock that was set back, and counts as now.
func (b *budget) resume(sent []time.Time, now time.Time) {
	for _, at := range sent {
		if at.After(now) {
			at = now
		}
		b.log = append(b.log, &Slot{b: b, written: at, known: true, arrived: at.Add(drift)})
	}
}

// window returns how many requests may count at once, and for how long each does.
func window(rate float64) (int, time.Duration) {
	if rate < 1 {
		return 1, time.Duration(float64(time.Second)/rate) + margin
	}
	return int(rate + 1e-9), time.Second + margin
}

// patience is how long a request waits out a 429 by itself.
const patience = 10 * time.Second

// ErrHeld says that a 429 holds everything back for longer than patience.
var ErrHeld = errors.New("held back by 429")

// wait blocks until the budget has a place and takes it.
func (b *budget) wait(ctx context.Context) (*Slot, error) {
	for {
		s, d, changed := b.take(time.Now())
		if s != nil {
			return s, nil
		}
		if time.Until(b.held()) > patience {
			return nil, ErrHeld
		}
		if err := Sleep(ctx, d, changed); err != nil {
			return nil, err
		}
	}
}

// Sleep waits for d (0: without end), for changed or for the end of ctx, which
// alone is an error.
func Sleep(ctx context.Context, d time.Duration, changed <-chan struct{}) error {
	var due <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-due:
	}
	return nil
}

// take returns a place, or how long to wait for one. A wait of 0 means until
// changed: every place is held by a request whose bytes have not left yet.
func (b *budget) take(now time.Time) (*Slot, time.Duration, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recover(now)
	if d := b.hold.Sub(now); d > 0 {
		return nil, d, b.changed
	}
	n, w := window(b.pace)
	b.log = slices.DeleteFunc(b.log, func(s *Slot) bool { return !s.arrived.IsZero() && !now.Before(s.arrived.Add(w)) })
	if len(b.log) >= n {
		var next time.Time
		for _, s := range b.log {
			if !s.arrived.IsZero() && (next.IsZero() || s.arrived.Before(next)) {
				next = s.arrived
			}
		}
		if next.IsZero() {
			return nil, 0, b.changed
		}
		return nil, next.Add(w).Sub(now), b.changed
	}
	if d := b.last.Add(w / time.Duration(n)).Sub(now); n > 1 && 2*len(b.log) >= n && d > 0 {
		return nil, d, b.changed
	}
	s := &Slot{b: b}
	b.log = append(b.log, s)
	b.last = now
	return s, 0, nil
}

func (b *budget) counts(now time.Time) (left time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, w := window(b.limit)
	for _, s := range b.log {
		left = max(left, s.arrived.Add(w).Sub(now))
	}
	return left
}

// wrote is called when the request's bytes have left.
func (s *Slot) wrote(now time.Time) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.written = now
	if !s.known {
		s.arrived = now.Add(drift)
	}
	s.b.wake()
}

// answered is called with the answer's first byte: what took no longer than
// the shortest trip known of its kind was not delayed on its way there.
func (s *Slot) answered(now time.Time) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.known {
		return
	}
	s.known = true
	if s.written.IsZero() {
		s.written = now
	}
	trip := now.Sub(s.written)
	shortest, seen := s.b.trips[s.kind] // of the first of its kind all of the trip may have been the way there
	s.arrived = s.written.Add(min(late, max(trip-shortest, 0)))
	if !seen || trip < shortest {
		shortest = trip
	}
	s.b.trips[s.kind] = shortest + (trip-shortest)/forget
	s.b.wake()
}

// failed is called when the exchange ended without an answer. A request that
// never left still counts from now: a failing dial must not be hammered.
func (s *Slot) failed(now time.Time) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.written.IsZero() {
		s.arrived = now
	}
	s.b.wake()
}

// Release gives the place back: nothing was tried with it.
func (s *Slot) Release() {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.log = slices.DeleteFunc(s.b.log, func(o *Slot) bool { return o == s })
	s.b.wake()
}

// again counts a second writing of the same request: net/http repeats one of
// which nothing has left a connection that died.
func (b *budget) again(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log = append(b.log, &Slot{b: b, written: now, arrived: now.Add(drift)})
}

func (b *budget) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// throttled is told of a 429: the pace is halved, at most once a second, and
// nothing goes until the far end's Retry-After, or for 1 s, 2 s, 4 s… if it
// names none.
func (b *budget) throttled(now time.Time, after time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.lowered) >= time.Second {
		b.pace = max(b.pace/2, b.limit*slowest)
		b.lowered, b.raised = now, now
		b.strikes++
	}
	if after <= 0 {
		after = time.Second << min(max(b.strikes-1, 0), 6)
	}
	if until := now.Add(min(after, maxHold)); until.After(b.hold) {
		b.hold = until
		b.wake()
	}
}

// healthy is told of an answer that was no 429.
func (b *budget) healthy() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.strikes = 0
}

func (b *budget) recover(now time.Time) {
	for b.pace < b.limit && now.Sub(b.raised) >= recoverAfter {
		b.pace = min(b.pace+b.limit/10, b.limit)
		b.raised = b.raised.Add(recoverAfter)
	}
}

func (b *budget) current() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recover(time.Now())
	return b.pace
}

// held returns until when a 429 holds everything back.
func (b *budget) held() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.hold
}

// spare reports whether at least half of the window is unused.
func (b *budget) spare(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, w := window(b.pace)
	used := 0
	for _, s := range b.log {
		if s.arrived.IsZero() || now.Before(s.arrived.Add(w)) {
			used++
		}
	}
	return now.After(b.hold) && 2*used < max(n, 2)
}
