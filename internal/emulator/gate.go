package emulator

import (
	"net/http"
	"time"
)

// gate is what stands before the account: the rate limit and the ban
// (amocrm-api.md §3).
type gate struct {
	passed  []time.Time // admitted within the last second, oldest first
	refused []time.Time // 429s within the last minute
	banned  bool
}

// admit lets a request pass or refuses it as the gateway does: 403 on every
// path while banned, 429 beyond RPS in any sliding second; both HTML.
func (a *Account) admit(now time.Time) (answer, bool) {
	g := &a.gate
	if g.banned {
		a.referee.Banned++
		return nginx(http.StatusForbidden), true
	}
	if a.opt.RPS < 0 {
		return answer{}, false
	}
	g.passed = since(g.passed, now.Add(-time.Second))
	if len(g.passed) < a.opt.RPS {
		g.passed = append(g.passed, now)
		return answer{}, false
	}
	a.referee.violate("rate", "over %d requests in a second", a.opt.RPS)
	a.referee.Limited++
	g.refused = append(since(g.refused, now.Add(-time.Minute)), now)
	if a.opt.BanAfter > 0 && len(g.refused) >= a.opt.BanAfter {
		g.banned = true
	}
	return nginx(http.StatusTooManyRequests), true
}

// since drops the times that are not after t.
func since(times []time.Time, t time.Time) []time.Time {
	for len(times) > 0 && !times[0].After(t) {
		times = times[1:]
	}
	return times
}

// Ban answers 403 on every path, the token endpoint included, until Lift.
func (a *Account) Ban() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gate.banned = true
}

// Lift ends a ban, as support does.
func (a *Account) Lift() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gate.banned, a.gate.refused = false, nil
}

// Banned reports whether the account answers 403 to everything.
func (a *Account) Banned() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.gate.banned
}

// SetUnpaid makes the account answer 402: from level 1 to writes, from level 2
// to reads as well; 0 means paid (amocrm-api.md §3).
func (a *Account) SetUnpaid(level int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.st.Unpaid = level
}
