package app

import (
	"log/slog"
	"time"

	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/console"
)

// observer is the metrics as delivery sees them, with the distinct unresolved
// names counted and logged.
type observer struct {
	*console.Metrics
	names *names
	log   *slog.Logger
	// stands reports whether the connection's config names this itself: what a
	// template made may quote a person, and is not for the log.
	stands func(connection, name string) bool
}

// sayAgain is how often one name is complained of (product.md › Rules).
const sayAgain = time.Hour

// Unresolved implements delivery.Observer.
func (o observer) Unresolved(connection string, seq uint64, name string) {
	n, say := o.names.want(connection, name, time.Now())
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
