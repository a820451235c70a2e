package app

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/config"
)

// MissingName is a name of the config that the account does not have.
type MissingName struct {
	config.Reference
	What    string   // what is missing, in words, the name with it
	Nearest []string // the names the account has that look most like it
}

// MissingNames lists the connection's names that are not in its account's
// dictionary, in the config's order.
func MissingNames(c *config.Connection, d *dict.Snapshot) (missing []MissingName) {
	for _, ref := range c.References {
		if what, nearest, ok := lookUp(d, ref); !ok {
			missing = append(missing, MissingName{ref, what, nearest})
		}
	}
	slices.SortStableFunc(missing, func(a, b MissingName) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return missing
}

func lookUp(d *dict.Snapshot, ref config.Reference) (what string, nearest []string, ok bool) {
	switch ref.Kind {
	case config.RefPipeline:
		_, ok = d.Pipeline(ref.Name)
		return fmt.Sprintf("the account has no pipeline %q", ref.Name), d.Nearest(dict.KindPipeline, ref.Name), ok
	case config.RefStage:
		return lookUpStage(d, ref)
	case config.RefUser:
		_, ok = d.User(ref.Name)
		if !ok && !d.UsersReadable {
			return fmt.Sprintf("user %q: users cannot be read with this token, so only ids work", ref.Name), nil, false
		}
		return fmt.Sprintf("the account has no active user %q", ref.Name), d.Nearest(dict.KindUser, ref.Name), ok
	case config.RefField:
		_, ok = d.Field(ref.Entity, ref.Name)
		return fmt.Sprintf("%s have no field %q", ref.Entity, ref.Name), d.Nearest(ref.Entity, ref.Name), ok
	case config.RefLossReason:
		_, ok = d.LossReason(ref.Name)
		return fmt.Sprintf("the account has no loss reason %q", ref.Name), d.Nearest(dict.KindLossReason, ref.Name), ok
	}
	return "", nil, true
}

func lookUpStage(d *dict.Snapshot, ref config.Reference) (what string, nearest []string, ok bool) {
	p, found := d.MainPipeline()
	if ref.Pipeline != "" {
		p, found = d.Pipeline(ref.Pipeline)
	}
	if !found {
		return "", nil, true // the pipeline is a reference of its own
	}
	_, ok = d.Stage(p.ID, ref.Name)
	return fmt.Sprintf("pipeline %q has no stage %q", p.Name, ref.Name), d.NearestStage(p.ID, ref.Name), ok
}

// lookForNames compares the connection's config with its account as last read: what
// is missing is said at once, before an event wants it and goes without. a.mu is held.
func (a *App) lookForNames(r *connection) {
	d := r.account.keeper.Dict()
	missing := MissingNames(r.cfg, d)
	if field := r.cfg.AmoCRM.MarkerField; !r.cfg.AmoCRM.SetupAuto {
		for _, entity := range []string{"leads", "contacts"} {
			if _, ok := d.Field(entity, field); !ok {
				missing = append(missing, MissingName{Reference: config.Reference{Kind: refMarker, Name: field, Entity: entity}})
			}
		}
	}
	n, anew := a.names.compare(r.cfg.Name, missing)
	a.metrics.Unresolved(r.cfg.Name, n)
	for _, m := range anew {
		if m.Kind == refMarker {
			a.log.Warn("the marker field is missing: after a lost answer an entity may be doubled; `bridge check --fix` makes it",
				"connection", r.cfg.Name, "field", m.Name, "on", m.Entity)
			continue
		}
		attrs := []any{slog.String("connection", r.cfg.Name), slog.String("kind", string(m.Kind)), slog.String("at", fmt.Sprintf("%s:%d:%d", a.cfg.File, m.Line, m.Col))}
		if m.Kind != config.RefUser { // an e-mail, as a rule
			attrs = append(attrs, slog.String("name", m.Name))
			if len(m.Nearest) > 0 {
				attrs = append(attrs, slog.String("nearest", m.Nearest[0]))
			}
		}
		a.log.Warn("the account does not have a name of the config; events go without it", attrs...)
	}
}

// refMarker is the kind of a missing marker field, which the config need not name.
const refMarker config.ReferenceKind = "marker"

// names counts, per connection, the distinct names that its account does not have:
// those of its config, and those that events wanted since it was read.
// It is safe for concurrent use.
type names struct {
	mu sync.Mutex
	of map[string]*missed
}

type missed struct {
	config map[config.Reference]bool
	wanted map[string]time.Time // when it was last complained of
}

// maxNames bounds them: a name may come from a rule, and rules may quote visitors.
const maxNames = 1000

func newNames() *names { return &names{of: map[string]*missed{}} }

func (n *names) connection(name string) *missed {
	m := n.of[name]
	if m == nil {
		m = &missed{wanted: map[string]time.Time{}}
		n.of[name] = m
	}
	return m
}

func (m *missed) count() int {
	distinct := map[string]bool{}
	for ref := range m.config {
		if ref.Kind != refMarker {
			distinct[ref.Name] = true
		}
	}
	for name := range m.wanted {
		distinct[name] = true
	}
	return len(distinct)
}

// want counts a name that an event did not find and reports whether it is time to
// complain of it.
func (n *names) want(connection, name string, now time.Time) (count int, say bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := n.connection(connection)
	last, known := m.wanted[name]
	if !known && len(m.wanted) >= maxNames {
		return m.count(), false
	}
	if known && now.Sub(last) < sayAgain {
		return m.count(), false
	}
	m.wanted[name] = now
	return m.count(), true
}

// compare takes over which names of a config are missing as of a dictionary just
// read, and returns those that were not missing in the one before. What has come
// meanwhile is wanted no more.
func (n *names) compare(connection string, missing []MissingName) (count int, anew []MissingName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m, now := n.connection(connection), map[config.Reference]bool{}
	for _, miss := range missing {
		now[miss.Reference] = true
		if !m.config[miss.Reference] {
			anew = append(anew, miss)
		}
	}
	for ref := range m.config {
		if !now[ref] {
			delete(m.wanted, ref.Name)
		}
	}
	m.config = now
	return m.count(), anew
}

// forget begins anew, with a new config.
func (n *names) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.of)
}
