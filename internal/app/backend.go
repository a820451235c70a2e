package app

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/console"
	"github.com/jivo-amocrm/bridge/internal/delivery"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/phone"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// running returns the running connections in the order of the config.
func (a *App) running() []*connection {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []*connection
	for _, c := range a.cfg.Connections {
		if r := a.conns[c.Name]; r != nil {
			out = append(out, r)
		}
	}
	return out
}

// Connections implements console.Backend.
func (a *App) Connections(context.Context) ([]console.Connection, error) {
	var out []console.Connection
	for _, r := range a.running() {
		out = append(out, a.row(r))
	}
	removed := a.gone()
	for _, name := range slices.Sorted(maps.Keys(removed)) {
		c := console.Connection{Name: name, Account: removed[name], State: console.ConnectionRemoved, UnmatchedAgents: []string{}}
		a.counts(&c)
		c.Hooks.State = "off"
		out = append(out, c)
	}
	return out, nil
}

// gone are the connections that the store knows and the config does not, with
// their accounts, as far as these are known.
func (a *App) gone() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.removed)
}

func (a *App) counts(c *console.Connection) {
	n := a.store.Counts(c.Name)
	c.Pending, c.Parked, c.Dead = n.Pending, n.Parked, n.Dead
	if !n.Oldest.IsZero() {
		c.OldestPendingSeconds = max(0, time.Since(n.Oldest).Seconds())
	}
}

func (a *App) row(r *connection) console.Connection {
	c := console.Connection{Name: r.cfg.Name, Account: r.cfg.AmoCRM.Account, State: console.ConnectionOK}
	a.counts(&c)
	t := r.account.info()
	c.Token = console.Token{Kind: t.Kind, State: t.State}
	if !t.ExpiresAt.IsZero() {
		c.Token.ExpiresAt = &t.ExpiresAt
	}
	s := r.account.client.Standing()
	switch {
	case s.Paused && s.Reason == amocrm.AuthNeeded, t.State == console.TokenNeedsAuth:
		c.State, c.PauseReason = console.ConnectionNeedsAuth, string(amocrm.AuthNeeded)
	case s.Paused:
		c.State, c.PauseReason = console.ConnectionPaused, string(s.Reason)
	case r.refused != nil:
		c.State, c.PauseReason = console.ConnectionPaused, "another_account"
	case !r.known:
		c.State, c.PauseReason = console.ConnectionPaused, "no_dictionary" // nothing is sent before it was read
	}
	if s.Paused && !s.Until.IsZero() {
		c.PausedUntil = &s.Until
	}
	c.Hooks.State = a.hooks(r)
	c.UnmatchedAgents = a.unmatched(r)
	c.AgentsToAdd = agentsToAdd(c.UnmatchedAgents)
	return c
}

func (a *App) hooks(r *connection) string {
	if len(r.cfg.AmoCRM.WebhookSecrets) == 0 {
		return "off"
	}
	return r.account.keeper.Hooks(r.cfg.Name)
}

// agentsToAdd is the config line that would match agents, once the users are
// filled in.
func agentsToAdd(agents []string) string {
	if len(agents) == 0 {
		return ""
	}
	pairs := make([]string, len(agents))
	for i, agent := range agents {
		pairs[i] = strconv.Quote(agent) + ": <amoCRM user's e-mail>"
	}
	return "agents: {" + strings.Join(pairs, ", ") + "}"
}

// unmatched lists the Jivo agents seen so far that no entry of `agents` covers, by
// their e-mails, each once.
func (a *App) unmatched(r *connection) []string {
	out := []string{}
	dict := r.account.keeper.Dict()
	if dict == nil {
		return out
	}
	if _, all := r.cfg.Agents["*"]; all {
		return out
	}
	named := map[string]bool{} // by e-mails in any case, as items.Shaper takes them
	for key := range r.cfg.Agents {
		named[strings.ToLower(strings.TrimSpace(key))] = true
	}
	_ = a.store.View(func(tx *store.Tx) error { // an empty list is better than no page
		return store.Each(tx, store.Names, store.Key(r.cfg.Name, "agent", ""), func(_ string, ag event.Agent) bool {
			_, byID := r.cfg.Agents[ag.ID]
			email := strings.ToLower(ag.Email)
			if _, known := dict.User(ag.Email); !named[email] && !byID && !known && email != "" {
				out = append(out, ag.Email)
				named[email] = true // other agents may have it too
			}
			return len(out) < 100
		})
	})
	return out
}

// Events implements console.Backend.
func (a *App) Events(_ context.Context, f console.Filter) (console.Page, error) {
	return a.page(store.Filter{
		Connection: f.Connection, Source: f.Source, Kind: f.Kind, State: f.State, Reason: f.Reason, Client: f.Client, Limit: f.Limit, Before: f.Before,
	})
}

// pageScans bounds how many short pages of the store make one page of a list.
const pageScans = 20

func (a *App) page(f store.Filter) (p console.Page, err error) {
	p.Events = []console.Item{}
	limit := f.Limit
	for range pageScans {
		var evs []*event.Event
		f.Limit = limit - len(p.Events)
		err = a.store.View(func(tx *store.Tx) (err error) {
			evs, p.Next, err = tx.Events(f)
			return err
		})
		if err != nil {
			return p, err
		}
		for _, ev := range evs {
			p.Events = append(p.Events, console.NewItem(ev))
		}
		if p.Next == 0 || len(p.Events) >= limit {
			break
		}
		f.Before = p.Next
	}
	return p, nil
}

// Event implements console.Backend.
func (a *App) Event(_ context.Context, seq uint64) (d *console.Detail, err error) {
	err = a.store.View(func(tx *store.Tx) error {
		ev, err := tx.Event(seq)
		if err != nil {
			return notFound(err)
		}
		d = console.NewDetail(ev, tx.Body(seq), a.accountOf(ev.Connection))
		return nil
	})
	return d, err
}

func notFound(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return console.ErrNotFound
	}
	return err
}

func (a *App) accountOf(connection string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.conns[connection]; c != nil {
		return c.cfg.AmoCRM.Account
	}
	return a.removed[connection]
}

// searchLimit is how many events a search shows.
const searchLimit = 200

// Search implements console.Backend: by phone, e-mail, name, chat id, client id
// or lead id.
func (a *App) Search(_ context.Context, q string) (console.Page, error) {
	q = strings.TrimSpace(q)
	found := map[uint64]*event.Event{}
	if q == "" {
		return console.Page{Events: []console.Item{}}, nil
	}
	err := a.store.View(func(tx *store.Tx) error {
		for _, r := range a.running() {
			filters := []store.Filter{{Chat: q}, {Client: q}}
			if n, err := strconv.ParseInt(q, 10, 64); err == nil && n > 0 {
				filters = append(filters, store.Filter{AmoID: n})
			}
			for _, id := range a.people(tx, r, q) {
				filters = append(filters, store.Filter{Client: id})
			}
			for _, f := range filters {
				f.Connection, f.Limit = r.cfg.Name, searchLimit
				evs, _, err := tx.Events(f)
				if err != nil {
					return err
				}
				for _, ev := range evs {
					found[ev.Seq] = ev
				}
			}
		}
		return nil
	})
	if err != nil {
		return console.Page{}, err
	}
	p := console.Page{Events: []console.Item{}}
	for _, ev := range found {
		p.Events = append(p.Events, console.NewItem(ev))
	}
	slices.SortFunc(p.Events, func(x, y console.Item) int { return int(int64(y.Seq) - int64(x.Seq)) })
	p.Events = p.Events[:min(len(p.Events), searchLimit)]
	return p, nil
}

// people finds the clients of a connection that a search means.
func (a *App) people(tx *store.Tx, r *connection, q string) []string {
	name := r.cfg.Name
	if e := phone.Email(q); e != "" {
		return tx.ClientsByEmail(name, e)
	}
	var out []string
	if p := phone.Soft(q, regionOf(r.cfg, r.account.keeper.Dict())); p != "" {
		out = tx.ClientsByPhone(name, p)
	}
	lower := strings.ToLower(q)
	if len([]rune(q)) < 2 || strings.Trim(q, "+-() 0123456789") == "" {
		return out
	}
	_ = tx.EachClient(name, func(c *event.Client) bool { // by name, which has no index: a person asks seldom
		if strings.Contains(strings.ToLower(c.Name), lower) {
			out = append(out, c.ID)
		}
		return len(out) < 50
	})
	return out
}

// Client implements console.Backend.
func (a *App) Client(_ context.Context, connection, id string) (*console.Client, error) {
	out := &console.Client{Connection: connection, ID: id, Account: a.accountOf(connection), Events: []console.Item{}}
	cc, _ := a.cardConnection(connection)
	err := a.store.View(func(tx *store.Tx) error {
		evs, _, err := tx.Events(store.Filter{Connection: connection, Client: id, Limit: 100})
		if err != nil {
			return err
		}
		if !tx.HasClient(connection, id) && len(evs) == 0 {
			return console.ErrNotFound
		}
		for _, ev := range evs {
			out.Events = append(out.Events, console.NewItem(ev))
		}
		c := tx.Client(connection, id)
		out.Name = c.Name
		out.Links = console.Links{ContactID: c.ContactID, Leads: c.Leads}
		if out.Links.Leads == nil {
			out.Links.Leads = []event.Link{}
		}
		out.Card = cardOfClient(tx, cc, c)
		return nil
	})
	return out, err
}

// Forget implements console.Backend.
func (a *App) Forget(ctx context.Context, connection, id string) error {
	known := false
	err := a.store.View(func(tx *store.Tx) error {
		f := store.Filter{Connection: connection, Client: id, Limit: 1}
		if chat, ok := event.ChatOfPerson(id); ok {
			f.Client, f.Chat = "", chat
		}
		evs, _, err := tx.Events(f)
		known = len(evs) > 0 || tx.HasClient(connection, id)
		return err
	})
	if err != nil {
		return err
	}
	if !known {
		return console.ErrNotFound
	}
	return delivery.Forget(ctx, a.store, connection, id)
}

// Synced reports whether the contact directory of every account is complete: from
// then on nobody needs to be searched for while work waits.
func (a *App) Synced() bool {
	for _, r := range a.running() {
		if !r.account.keeper.Complete() {
			return false
		}
	}
	return true
}

// Ready implements console.Backend.
func (a *App) Ready(ctx context.Context) (out []console.Problem) {
	if err := a.store.Writable(ctx); err != nil {
		out = append(out, console.Problem{What: "the store cannot be written", Hint: "see the log; is the disk full?"})
	}
	if a.certs != nil {
		out = append(out, a.certs.missing()...)
	}
	running := a.running()
	if len(running) < len(a.config().Connections) {
		out = append(out, console.Problem{What: "the config was not taken over yet"})
	}
	for _, r := range running {
		s := r.account.client.Standing()
		switch {
		case r.refused != nil:
			out = append(out, console.Problem{Connection: r.cfg.Name, What: r.refused.Error()})
		case s.Paused:
			out = append(out, console.Problem{Connection: r.cfg.Name, What: "amoCRM is paused: " + paused(s), Hint: pauseHint(s.Reason)})
		case !r.known:
			out = append(out, console.Problem{Connection: r.cfg.Name, What: unread(r.account.keeper.Unread())})
		case r.account.info().State == console.TokenNeedsAuth:
			out = append(out, console.Problem{Connection: r.cfg.Name, What: "the token is dead", Hint: pauseHint(amocrm.AuthNeeded)})
		case r.account.keeper.Unswept() != nil:
			out = append(out, console.Problem{
				Connection: r.cfg.Name, What: "what hooks miss is not found out: " + r.account.keeper.Unswept().Error(),
				Hint: "give the token's user the right to see it, or take a token of an administrator",
			})
		}
	}
	return out
}

// Refusal is what is wrong with the config as it was last read, while an older
// one is in force.
func (a *App) Refusal() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refusal
}

// unread says that the dictionary is missing, and why where that is known.
func unread(why error) string {
	const what = "the account's dictionary was not read yet"
	if why == nil {
		return what
	}
	return what + ": " + why.Error()
}

// paused is why, with what was seen where that says more.
func paused(s amocrm.Status) string {
	if s.Cause == "" {
		return string(s.Reason)
	}
	return string(s.Reason) + " (" + s.Cause + ")"
}

func pauseHint(t amocrm.Trouble) string {
	switch t {
	case amocrm.AuthNeeded:
		return "run `bridge auth` for this connection"
	case amocrm.Unauthorized:
		return "put a valid long-lived token into the config and send SIGHUP"
	case amocrm.Banned:
		return "amoCRM's support lifts bans; the bridge tries again by itself"
	case amocrm.Unpaid:
		return "the amoCRM account is not paid"
	case amocrm.RateLimited:
		return "amoCRM answered 429 and named this time; does something else use the account's requests?"
	}
	return "the bridge tries again by itself; nothing is lost meanwhile"
}

// Backup implements console.Backend.
func (a *App) Backup(_ context.Context, w io.Writer) (int64, error) { return a.store.Backup(w) }

// gauges is the state at a scrape.
func (a *App) gauges() console.Gauges {
	g := console.Gauges{StoreSize: a.store.Size()}
	for _, r := range a.running() {
		n := a.store.Counts(r.cfg.Name)
		c := console.ConnectionGauges{
			Name: r.cfg.Name, Pending: n.Pending, Parked: n.Parked, Dead: n.Dead, Oldest: n.Oldest,
			TokenExpires: r.account.info().ExpiresAt, LastHook: a.lastHook(r.cfg.Name),
		}
		if s := r.account.client.Standing(); s.Paused {
			c.Paused = string(s.Reason)
		}
		g.Connections = append(g.Connections, c)
	}
	for name := range a.gone() {
		n := a.store.Counts(name)
		g.Connections = append(g.Connections, console.ConnectionGauges{Name: name, Removed: true, Pending: n.Pending, Parked: n.Parked, Dead: n.Dead})
	}
	return g
}
