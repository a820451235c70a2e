package app

import (
	"sync"

	"github.com/jivo-amocrm/bridge/internal/console"
)

// observer is the metrics as delivery sees them, with the distinct unresolved
// names counted.
type observer struct {
	*console.Metrics
	names *nameCounts
}

// Unresolved implements delivery.Observer.
func (o observer) Unresolved(connection, name string) {
	if n, fresh := o.names.add(connection, name); fresh {
		o.Metrics.Unresolved(connection, n)
	}
}

// nameCounts counts distinct names per connection; bounded, because names may
// come from rules and rules may quote visitors.
type nameCounts struct {
	mu   sync.Mutex
	seen map[string]map[string]bool
}

const maxNames = 1000

func newNames() *nameCounts { return &nameCounts{seen: map[string]map[string]bool{}} }

func (n *nameCounts) add(connection, name string) (count int, fresh bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := n.seen[connection]
	if m == nil {
		m = map[string]bool{}
		n.seen[connection] = m
	}
	if m[name] || len(m) >= maxNames {
		return len(m), false
	}
	m[name] = true
	return len(m), true
}
