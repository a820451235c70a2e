// Package luck is where an emulated account's random choices come from.
package luck

import (
	"math/rand/v2"
	"time"
)

// Luck is every random choice of an account, from one seed, so that the same
// requests in the same order end the same way. It is not safe for concurrent
// use: the account's lock guards it.
type Luck struct{ rnd *rand.Rand }

// New returns the luck of a seed.
func New(seed uint64) *Luck { return &Luck{rand.New(rand.NewPCG(seed, 0x6a69766f))} }

// Chance says yes with probability p; it draws only if p can matter, so that
// switching a quirk on does not change the others.
func (l *Luck) Chance(p float64) bool { return p > 0 && l.rnd.Float64() < p }

// Coin says yes half of the time.
func (l *Luck) Coin() bool { return l.rnd.IntN(2) == 0 }

// Within is some time from 0 up to most.
func (l *Luck) Within(most time.Duration) time.Duration {
	return time.Duration(l.rnd.Int64N(int64(most)))
}

// Hex is n hexadecimal digits.
func (l *Luck) Hex(n int) string {
	const set = "0123456789abcdef"
	b := make([]byte, n)
	for i := range b {
		b[i] = set[l.rnd.IntN(len(set))]
	}
	return string(b)
}

// UUID is a version-4 UUID.
func (l *Luck) UUID() string {
	h := l.Hex(32)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}
