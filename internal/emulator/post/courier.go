package post

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// How hooks are delivered (amocrm-api.md §6.1, §6.7).
const (
	timeout   = 2 * time.Second
	agent     = "amoCRM-Webhooks/3.0"
	drainMost = 1 << 20
)

// Hook is one POST on its way. It belongs to the courier once it is put.
type Hook struct {
	URL, Body, ID string
	Account       bool // of the account rather than of a pipeline stage
	Retries       bool
	attempts      int
	Due           time.Time // zero: at once
}

// retryAfter says when an invalid answer is tried again: after 5 and 15
// minutes for every code, then after 15 minutes and an hour for 499 and 5xx
// alone (amocrm-api.md §6.7). code 0 is no answer at all.
func retryAfter(attempts, code int) (time.Duration, bool) {
	server := code == 499 || code >= 500 && code <= 599
	switch {
	case attempts == 1:
		return 5 * time.Minute, true
	case attempts == 2, attempts == 3 && server:
		return 15 * time.Minute, true
	case attempts == 4 && server:
		return time.Hour, true
	}
	return 0, false
}

// Courier delivers hooks, one at a time for each destination, destinations
// side by side. Its goroutines end with Close. It is safe for concurrent use.
type Courier struct {
	client *http.Client
	own    bool // the client is ours to shut
	report func(*Hook, bool) (retry bool)
	ctx    context.Context // the life of the goroutines, ended by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	lanes   map[string]*lane
	pending int
	idle    chan struct{} // closed whenever pending falls to zero
	closed  bool
}

// lane is the queue of one destination.
type lane struct {
	hooks []*Hook
	wake  chan struct{}
}

// New returns a courier that is told by report whether a hook whose
// answer was invalid should be tried again. client may be nil.
func New(client *http.Client, report func(*Hook, bool) bool) *Courier {
	c := &Courier{report: report, lanes: map[string]*lane{}, idle: make(chan struct{})}
	if client == nil {
		c.own = true
		client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute}}
	}
	copied := *client
	// A redirect is an invalid answer, not an invitation.
	copied.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.client = &copied
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Close ends every delivery and waits for it.
func (c *Courier) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
	if c.own {
		c.client.CloseIdleConnections()
	}
}

// Put has a hook delivered when it is due, after those put before it.
func (c *Courier) Put(h *Hook) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.pending++
	c.queue(h)
}

// queue puts the hook into its lane. The lock is held.
func (c *Courier) queue(h *Hook) {
	l := c.lanes[h.URL]
	if l == nil {
		l = &lane{wake: make(chan struct{}, 1)}
		c.lanes[h.URL] = l
		c.wg.Go(func() { c.run(l) })
	}
	l.hooks = append(l.hooks, h)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Drop forgets what waits for a destination.
func (c *Courier) Drop(url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.lanes[url]; l != nil {
		c.settle(len(l.hooks))
		l.hooks = nil
	}
}

// settle counts hooks that need no more waiting for. The lock is held.
func (c *Courier) settle(n int) {
	c.pending -= n
	if c.pending == 0 && n > 0 {
		close(c.idle)
		c.idle = make(chan struct{})
	}
}

// Flush waits until nothing is on its way, hooks that wait for another attempt included.
func (c *Courier) Flush(ctx context.Context) error {
	c.mu.Lock()
	pending, idle := c.pending, c.idle
	c.mu.Unlock()
	if pending == 0 {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Courier) run(l *lane) {
	for {
		h, wait := c.take(l)
		if h != nil {
			c.deliver(h)
			continue
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-l.wake:
			t.Stop()
		case <-c.ctx.Done():
			t.Stop()
			return
		}
	}
}

// take removes the first hook that is due, or says how long until one is.
func (c *Courier) take(l *lane) (*Hook, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, time.Hour
	}
	now, wait := time.Now(), time.Hour
	for i, h := range l.hooks {
		if d := h.Due.Sub(now); d > 0 {
			wait = min(wait, d)
			continue
		}
		l.hooks = append(l.hooks[:i], l.hooks[i+1:]...)
		return h, 0
	}
	return nil, wait
}

func (c *Courier) deliver(h *Hook) {
	code := c.send(h)
	if c.ctx.Err() != nil {
		return
	}
	valid := code >= 100 && code <= 299
	h.attempts++
	wanted := c.report(h, valid)

	c.mu.Lock()
	defer c.mu.Unlock()
	if d, again := retryAfter(h.attempts, code); again && !valid && wanted && h.Retries && !c.closed {
		h.Due = time.Now().Add(d)
		c.queue(h)
		return
	}
	c.settle(1)
}

// send makes one attempt and returns the status, 0 if there was no answer.
func (c *Courier) send(h *Hook) int {
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, strings.NewReader(h.Body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", agent)
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Set("X-Amocrm-Requestid", h.ID)
	resp, err := c.client.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()                                          // read or not, the status counts
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, drainMost)) // only to reuse the connection
	return resp.StatusCode
}
