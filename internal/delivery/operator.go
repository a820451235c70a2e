package delivery

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// WaitCore returns when the event's contact and lead are settled, when it came
// to its end or was put off, or when ctx ends. Meanwhile the event, and what stands
// before it in its line, goes before all others.
func (d *Dispatcher) WaitCore(ctx context.Context, seq uint64) {
	ch := make(chan struct{})
	d.mu.Lock()
	d.waiters[seq] = append(d.waiters[seq], ch)
	d.mu.Unlock()
	defer d.forgetWaiter(seq, ch)
	var over bool
	var line string
	err := d.store.View(func(tx *store.Tx) error {
		ev, err := tx.Event(seq)
		if err != nil {
			return err
		}
		over = ev.State != event.Pending || ev.Detached || ev.Attempts > 0
		line = lineOf(ev)
		return nil
	})
	if err != nil || over {
		return
	}
	if line != "" {
		d.waits(line, 1)
		defer d.waits(line, -1)
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

// waits notes that more operators wait for an event of a line, or fewer.
func (d *Dispatcher) waits(line string, more int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.awaited[line] += more; d.awaited[line] == 0 {
		delete(d.awaited, line)
	}
}

// Operators reports how many operators wait for an event of a connection.
func (d *Dispatcher) Operators(connection string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for line, operators := range d.awaited {
		if strings.HasPrefix(line, connection+lineSep) {
			n += operators
		}
	}
	return n
}

// awaitedLines lists the lines of a connection in which an operator waits for an event.
func (d *Dispatcher) awaitedLines(connection string) (lines []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for line := range d.awaited {
		if l, ok := strings.CutPrefix(line, connection+lineSep); ok {
			lines = append(lines, l)
		}
	}
	slices.Sort(lines)
	return lines
}

// isAwaited reports whether an operator waits for j, or for what stands behind it.
// That of a chat just accepted may not have begun to.
func (j *job) isAwaited() bool {
	if (j.ev.Kind == "chat_accepted" || j.ev.Kind == "chat_updated") && time.Since(j.ev.ReceivedAt) < j.c.ReplyWait {
		return true
	}
	j.d.mu.Lock()
	defer j.d.mu.Unlock()
	return j.d.awaited[j.line] > 0
}

// urgency is the priority of what brings contact and lead about: an operator's, if
// one waits for them.
func (j *job) urgency(otherwise amocrm.Priority) amocrm.Priority {
	if j.isAwaited() {
		return amocrm.Operator
	}
	return otherwise
}
