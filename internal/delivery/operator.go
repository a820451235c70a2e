package delivery

import (
	"cmp"
	"context"
	"slices"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// WaitCore returns when the event's contact and lead are settled, when it came
// to its end or was put off, or when ctx ends; at once if as many operators as there
// are seats wait for events of the account already. Meanwhile the event, and what
// stands before it in its line, goes before all others.
func (d *Dispatcher) WaitCore(ctx context.Context, seq uint64, seats int) {
	ch := make(chan struct{})
	d.mu.Lock()
	d.waiters[seq] = append(d.waiters[seq], ch)
	d.mu.Unlock()
	defer d.forgetWaiter(seq, ch)
	var over bool
	var in line
	err := d.store.View(func(tx *store.Tx) error {
		ev, err := tx.Event(seq)
		if err != nil {
			return err
		}
		over = ev.State != event.Pending || ev.Detached || ev.Attempts > 0
		in = lineOf(ev)
		return nil
	})
	if err != nil || over {
		return
	}
	if in != (line{}) { // else it is a hook, which is worked at once; no operator asks for it by itself
		if !d.takeSeat(in, seats) {
			return
		}
		defer d.leaveSeat(in)
		d.Kick()
	}
	select {
	case <-ch:
	case <-ctx.Done():
	}
}

func (d *Dispatcher) forgetWaiter(seq uint64, ch chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ws := slices.DeleteFunc(d.waiters[seq], func(w chan struct{}) bool { return w == ch })
	if len(ws) == 0 {
		delete(d.waiters, seq)
		return
	}
	d.waiters[seq] = ws
}

// announce wakes those who wait for the event's core.
func (d *Dispatcher) announce(seq uint64) {
	d.mu.Lock()
	ws := d.waiters[seq]
	delete(d.waiters, seq)
	d.mu.Unlock()
	for _, w := range ws {
		close(w)
	}
}

// takeSeat has an operator wait for what stands in a line, if there is room on the
// account for one more.
func (d *Dispatcher) takeSeat(in line, seats int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	taken := 0
	for l, operators := range d.awaited {
		if d.sameAccount(l.connection, in.connection) {
			taken += operators
		}
	}
	if taken >= seats {
		return false
	}
	d.awaited[in]++
	return true
}

func (d *Dispatcher) leaveSeat(in line) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.awaited[in]--; d.awaited[in] == 0 {
		delete(d.awaited, in)
	}
}

// sameAccount needs the lock.
func (d *Dispatcher) sameAccount(a, b string) bool {
	ca, cb := d.conns[a], d.conns[b]
	return a == b || ca != nil && cb != nil && ca.Account == cb.Account
}

// isAwaited reports whether an operator waits for what stands in j's line. It is safe
// for concurrent use.
func (j *job) isAwaited() bool {
	j.d.mu.Lock()
	defer j.d.mu.Unlock()
	return j.d.awaited[j.line] > 0
}

// awaitedHeads gives the heads of the lines in which an operator waits for something,
// as they stand in the journal.
func (d *Dispatcher) awaitedHeads(tx *store.Tx, connection string) (heads []*event.Event) {
	var lines []line
	d.mu.Lock()
	for l := range d.awaited {
		if l.connection == connection {
			lines = append(lines, l)
		}
	}
	d.mu.Unlock()
	for _, l := range lines {
		if head, ok := tx.Head(connection, l.name); ok {
			if ev, err := tx.Event(head); err == nil {
				heads = append(heads, ev)
			}
		}
	}
	slices.SortFunc(heads, func(a, b *event.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	return heads
}
