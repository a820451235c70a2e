package amocrm

import "time"

// Idle reports whether the budget has room for more than one request and
// nothing waits for it: then a search costs nobody anything.
func (c *Client) Idle() bool {
	c.queue.mu.Lock()
	waiting := len(c.queue.waiting)
	c.queue.mu.Unlock()
	return waiting == 0 && c.budget.spare(time.Now())
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
