package amocrm

// Idle reports whether the budget has room for more than one request and
// nothing waits for it: then a search costs nobody anything.
func (c *Client) Idle() bool {
	c.queue.mu.Lock()
	waiting := len(c.queue.waiting)
	c.queue.mu.Unlock()
	return waiting == 0 && c.budget.Spare()
}
