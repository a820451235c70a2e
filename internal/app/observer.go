package app

import (
	"log/slog"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/console"
)

// observer is the metrics as delivery sees them, with the distinct unresolved
// names counted and logged.
type observer struct {
	*console.Metrics
	names *nameCounts
	log   *slog.Logger
	// stands reports whether the connection's config names this itself: what a
	// template made may quote a person, and is not for the log.
	stands func(connection, name string) bool
}

// sayAgain is how often one name is complained of (product.md › Rules).
const sayAgain = time.Hour

// Unresolved implements delivery.Observer.
func (o observer) Unresolved(connection string, seq uint64, name string) {
	n, say := o.names.add(connection, name, time.Now())
	o.Metrics.Unresolved(connection, n)
	if !say {
		return
	}
	attrs := []any{slog.String("connection", connection), slog.Uint64("seq", seq)}
	if o.stands(connection, name) {
		attrs = append(attrs, slog.String("name", name))
	}
	o.log.Warn("amoCRM does not have a name that was wanted; the event's warnings say which", attrs...)
}

// named reports whether the name stands in the connection's config.
func (a *App) named(connection, name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.conns[connection]
	if c == nil {
		return false
	}
	for _, ref := range c.cfg.References {
		if ref.Name == name && ref.Kind != config.RefUser { // an e-mail, as a rule
			return true
		}
	}
	return false
}

// nameCounts counts distinct names per connection; bounded, because names may
// come from rules and rules may quote visitors.
type nameCounts struct {
	mu   sync.Mutex
	seen map[string]map[string]time.Time // connection → name → when it was last complained of
}

const maxNames = 1000

func newNames() *nameCounts { return &nameCounts{seen: map[string]map[string]time.Time{}} }

// add counts a name and reports whether it is time to complain of it.
func (n *nameCounts) add(connection, name string, now time.Time) (count int, say bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := n.seen[connection]
	if m == nil {
		m = map[string]time.Time{}
		n.seen[connection] = m
	}
	last, known := m[name]
	if !known && len(m) >= maxNames {
		return len(m), false
	}
	if known && now.Sub(last) < sayAgain {
		return len(m), false
	}
	m[name] = now
	return len(m), true
}
