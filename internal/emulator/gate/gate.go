// Package gate is what stands between a client and an emulated account: the
// rate limit and the ban, faults to inject, and a referee who writes down what a
// client did wrong. It does not know what an account holds.
package gate

import (
	"net/http"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
)

// Gate is the rate limit and the ban (amocrm-api.md §3). It is not safe for
// concurrent use: the account's lock guards it.
type Gate struct {
	rps      int
	banAfter int
	referee  *Referee
	passed   []time.Time // admitted within the last second, oldest first
	refused  []time.Time // 429s within the last minute
	banned   bool
}

// NewGate lets rps requests pass in any sliding second, all of them if rps is
// negative; after banAfter refusals within a minute it bans, never if that is 0.
func NewGate(rps, banAfter int, watch *Referee) *Gate {
	return &Gate{rps: rps, banAfter: banAfter, referee: watch}
}

// Admit lets a request pass or refuses it as the gateway does: 403 on every
// path while banned, 429 beyond the rate; both HTML.
func (g *Gate) Admit(now time.Time) (refusal answer.Answer, refused bool) {
	if g.banned {
		g.referee.report.Banned++
		return answer.Nginx(http.StatusForbidden), true
	}
	if g.rps < 0 {
		return answer.Answer{}, false
	}
	g.passed = since(g.passed, now.Add(-time.Second))
	if len(g.passed) < g.rps {
		g.passed = append(g.passed, now)
		return answer.Answer{}, false
	}
	g.referee.Violate("rate", "over %d requests in a second", g.rps)
	g.referee.report.Limited++
	g.refused = append(since(g.refused, now.Add(-time.Minute)), now)
	if g.banAfter > 0 && len(g.refused) >= g.banAfter {
		g.banned = true
	}
	return answer.Nginx(http.StatusTooManyRequests), true
}

// since drops the times that are not after t.
func since(times []time.Time, t time.Time) []time.Time {
	for len(times) > 0 && !times[0].After(t) {
		times = times[1:]
	}
	return times
}

// Ban answers 403 on every path from now on.
func (g *Gate) Ban() { g.banned = true }

// Lift ends a ban and forgets what led to it.
func (g *Gate) Lift() { g.banned, g.refused = false, nil }

// Banned reports whether there is a ban.
func (g *Gate) Banned() bool { return g.banned }
