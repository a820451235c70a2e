package amocrm

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/budget"
)

// maxBanProbe is how rarely a banned account is tried (product.md §8.5).
const maxBanProbe = 15 * time.Minute

// Status is how an account stands.
type Status struct {
	Paused bool
	Reason Trouble   // "" while not paused
	Cause  string    // what was seen, in words: "connection refused", "amoCRM answered 502"; may be ""
	Since  time.Time // when the pause began
	Until  time.Time // when the account will be tried next
	Barred time.Time // when it last answered with the ban page, though the ban be over; zero: never
}

// gate is the account's pause. While it is shut, nothing but probes and token
// requests goes out.
type gate struct {
	mu      sync.Mutex
	status  Status
	cause   error         // of the pause, where there is more to tell than its reason
	wait    time.Duration // between probes
	resumed chan struct{} // closed when the pause ends; nil while there is none
	changed chan struct{} // capacity 1: Run looks again
	healthy uint64        // counts good probes
	suspect map[string]uint64
}

func newGate() *gate {
	return &gate{changed: make(chan struct{}, 1), suspect: map[string]uint64{}}
}

// maxSuspects bounds the memory of requests that paused the account.
const maxSuspects = 1024

// suspected reports whether the request named key paused the account before,
// with a good probe since: then the trouble is its own. Otherwise it is
// remembered as the one that paused it.
func (g *gate) suspected(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, known := g.suspect[key]
	if known && g.healthy > at {
		return true
	}
	if len(g.suspect) >= maxSuspects {
		clear(g.suspect)
	}
	g.suspect[key] = g.healthy
	return false
}

// cleared forgets a request that went through.
func (g *gate) cleared(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.suspect, key)
}

// shut begins a pause, or changes its reason if the new one weighs more. It
// reports whether anything changed.
func (g *gate) shut(reason Trouble, cause error, probe time.Duration, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.status.Paused && !heavier(reason, g.status.Reason) {
		return false
	}
	if !g.status.Paused {
		g.status.Since = now
		g.resumed = make(chan struct{})
	}
	g.status.Paused, g.status.Reason, g.status.Until = true, reason, now.Add(probe)
	g.cause, g.wait = cause, probe
	g.poke()
	return true
}

// inWords is what is told of a pause's cause; "" if there is none.
func inWords(cause error) string {
	if cause == nil {
		return ""
	}
	return cause.Error()
}

// heavier reports whether a paused account should rather be called paused for
// reason a than for b: what somebody must mend weighs more than what passes.
func heavier(a, b Trouble) bool { return weight(a) > weight(b) }

func weight(t Trouble) int {
	switch t {
	case Unreachable, Unavailable, BadAnswer:
		return 0
	case Unpaid, Unauthorized:
		return 1
	case AuthNeeded:
		return 2
	case Banned:
		return 3
	}
	return 0
}

// probed takes a probe's outcome: "" opens the gate. It returns the reasons
// before and after.
func (g *gate) probed(t Trouble, cause error, probe time.Duration, now time.Time) (before, after Trouble) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before = g.status.Reason
	if !g.status.Paused {
		return "", ""
	}
	if t == "" {
		g.status, g.cause = Status{Barred: g.status.Barred}, nil
		g.healthy++
		close(g.resumed)
		g.resumed = nil
		return before, ""
	}
	if t == Banned {
		g.status.Barred = now
	}
	if t == Banned && before == Banned {
		g.wait = min(2*g.wait, max(maxBanProbe, probe))
	} else {
		g.wait = probe
	}
	g.status.Reason, g.status.Until, g.cause = t, now.Add(g.wait), cause
	return before, t
}

func (g *gate) now() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.status
	s.Cause = inWords(g.cause)
	return s
}

func (g *gate) poke() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// State returns how the account stands.
func (c *Client) State() Status { return c.gate.now() }

// Standing is State as people are told it: a rest that a 429 asked for and that is too
// long to be waited out by a request is shown as a pause, though it ends by itself.
func (c *Client) Standing() Status {
	s := c.State()
	if until := c.budget.Held(); !s.Paused && c.rest.Load() != 0 && time.Now().Before(until) {
		s.Paused, s.Reason, s.Until = true, RateLimited, until
	}
	return s
}

// Resumed returns a channel that is closed when the present pause ends; one
// that is closed already if there is none.
func (c *Client) Resumed() <-chan struct{} {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	if c.gate.resumed == nil {
		open := make(chan struct{})
		close(open)
		return open
	}
	return c.gate.resumed
}

// PauseWith pauses the account for another's sake (a ban by IP, product.md §2).
// It is a pause like any other, and tried as one: the ban may not be this
// account's, or be over. OnPause is not told.
func (c *Client) PauseWith(reason Trouble) { c.shut(reason, nil) }

// ProbeNow tries a paused account at once, as when somebody mended its token.
// It takes effect only while Run is running.
func (c *Client) ProbeNow() {
	c.gate.mu.Lock()
	if c.gate.status.Paused {
		c.gate.status.Until = time.Now()
	}
	c.gate.mu.Unlock()
	c.gate.poke()
}

// barred notes a ban page.
func (g *gate) barred(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status.Barred = now
}

// pause shuts the gate for trouble this client found, and ends what waits.
func (c *Client) pause(reason Trouble, cause error) {
	if reason == Banned {
		c.gate.barred(time.Now())
	}
	if c.shut(reason, cause) && c.cfg.OnPause != nil {
		c.cfg.OnPause(c.State())
	}
}

func (c *Client) shut(reason Trouble, cause error) bool {
	if !c.gate.shut(reason, cause, c.cfg.Probe, time.Now()) {
		return false
	}
	c.log.Error("account paused", "reason", string(reason), "cause", inWords(cause), "probe", c.cfg.Probe)
	c.queue.flush(c.pausedError())
	return true
}

func (c *Client) pausedError() error {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	s := c.gate.status
	return &NotSent{Trouble: Paused, Reason: s.Reason, Until: s.Until, Err: c.gate.cause}
}

// probes tries the account while it is paused.
func (c *Client) probes(ctx context.Context) {
	for ctx.Err() == nil {
		s := c.State()
		if !s.Paused {
			if budget.Sleep(ctx, 0, c.gate.changed) != nil {
				return
			}
			continue
		}
		if d := time.Until(s.Until); d > 0 {
			if budget.Sleep(ctx, d, c.gate.changed) != nil {
				return
			}
			continue
		}
		c.probe(ctx)
	}
}

// probe asks for the account, past the gate but within the budget.
func (c *Client) probe(ctx context.Context) {
	t, cause := c.ask(ctx)
	if ctx.Err() != nil {
		return
	}
	before, after := c.gate.probed(t, cause, c.cfg.Probe, time.Now())
	switch {
	case before == after:
		c.log.Debug("account still paused", "reason", string(after))
	case after == "":
		c.log.Info("account resumed", "reason", string(before))
	default:
		level := slog.LevelWarn // the alarm was given when it began
		if heavier(after, before) {
			level = slog.LevelError // of what somebody else must mend, not
		}
		c.log.Log(ctx, level, "account paused", "reason", string(after), "cause", inWords(cause), "before", string(before))
		if after == Banned && c.cfg.OnPause != nil {
			c.cfg.OnPause(c.State())
		}
	}
}

// ask makes the probe's request and returns what is wrong, or "", and what more
// there is to tell of it.
func (c *Client) ask(ctx context.Context) (Trouble, error) {
	var again, dropped bool
	for {
		token, err := c.tokens.Token(ctx)
		if err != nil {
			return tokenTrouble(err), err
		}
		s, err := c.budget.Wait(ctx)
		if err != nil {
			return RateLimited, nil
		}
		a := c.exchange(ctx, s, token, http.MethodGet, accountPath, url.Values{"with": {"is_api_filter_enabled"}}, nil)
		_, closed := errors.AsType[*budget.Dropped](a.err)
		switch {
		case closed && !dropped:
			dropped = true
			continue
		case a.err != nil:
			return Unreachable, a.err
		case a.verdict == unauthorized && !again:
			again = true
			if err := c.tokens.Refused(ctx, token); err != nil {
				return tokenTrouble(err), err
			}
			continue
		case a.verdict == accepted:
			c.noteAccount(a.body)
			return "", nil
		}
		return a.trouble, a.cause()
	}
}

// tokenTrouble names what an error of Tokens means for the account.
func tokenTrouble(err error) Trouble {
	if _, ok := errors.AsType[*NeedsAuth](err); ok {
		return AuthNeeded
	}
	if e, ok := errors.AsType[*NotSent](err); ok {
		return e.Trouble
	}
	if errors.Is(err, context.Canceled) {
		return Closing
	}
	return Unauthorized
}
