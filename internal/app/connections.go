package app

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/amocrm/items"
	"github.com/jivo-amocrm/bridge/internal/card"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/delivery"
	"github.com/jivo-amocrm/bridge/internal/intake"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
	"github.com/jivo-amocrm/bridge/internal/upkeep"
)

// noteLimit is how many characters one note holds; longer transcripts become
// several. amoCRM names no limit (amocrm-api.md §4.6).
const noteLimit = 10_000

// seats is how many operators can be served within wait seconds while others wait too.
// Two requests of three are theirs; each visitor nobody knows takes two searches,
// all of them one request with their leads, and the answers take a while.
func seats(wait, rps float64) int {
	const answers = 0.3
	return max(0, int(((wait-answers)*rps*2/3-1)/2))
}

// connection is one connection of the config that is running.
type connection struct {
	cfg     *config.Connection
	account *account
	card    card.Connection
	refused error // the store has this name for another account
	known   bool  // the account's dictionary is in it: its events are worked
}

// apply takes a config over: accounts whose settings did not change go on,
// others are closed and opened anew, and every room learns of its connections.
// The old config is in force, whole, until the accounts that close have closed:
// what happens meanwhile, as a dictionary that comes, goes by it.
func (a *App) apply(cfg *config.Config) {
	a.applying.Lock()
	defer a.applying.Unlock()
	old := a.outdated(cfg)
	var retired sync.WaitGroup
	for _, acc := range old { // side by side: one that hangs holds the others up once, not each in turn
		retired.Go(acc.retire)
	}
	retired.Wait()
	a.takeOver(cfg, old)
	a.intake.SetConfig(bounds(cfg))
	a.store.SetFreeSpace(uint64(cfg.Limits.FreeSpace))
	a.console.SetToken(cfg.Admin.Token.Reveal())
}

// outdated lists the accounts that cfg has no longer, or with other settings.
func (a *App) outdated(cfg *config.Config) (old []*account) {
	wanted := map[string]string{}
	for _, c := range cfg.Connections {
		if wanted[c.AmoCRM.Host] == "" { // an account is made with the settings of its first connection
			wanted[c.AmoCRM.Host] = fingerprint(&c.AmoCRM)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for host, acc := range a.accounts {
		if wanted[host] != acc.print {
			old = append(old, acc)
		}
	}
	return old
}

// takeOver puts cfg in the place of the config before, and new accounts in that of
// old ones, which are closed. Nobody sees the one without the other: each
// connection of the config in force has its account.
func (a *App) takeOver(cfg *config.Config, old []*account) {
	a.connecting.Lock()
	defer a.connecting.Unlock()
	a.comeAndGo(a.lifetime(), cfg)
	a.mu.Lock()
	for name, c := range a.conns {
		if cfg.Connection(name) == nil {
			a.removed[name] = c.cfg.AmoCRM.Account
			a.metrics.Drop(name)
		}
	}
	a.cfg = cfg
	a.names.forget() // what is amiss with this config is said anew
	for _, acc := range old {
		delete(a.accounts, acc.host)
	}
	for _, c := range cfg.Connections {
		delete(a.removed, c.Name)
		a.metrics.Meet(c.Name)
		if a.accounts[c.AmoCRM.Host] == nil {
			a.accounts[c.AmoCRM.Host] = a.openAccount(c)
		}
	}
	for _, c := range slices.Backward(cfg.Connections) { // an account counts for the first of its connections
		a.accounts[c.AmoCRM.Host].counts.CountFor(c.Name)
	}
	a.mu.Unlock()
	a.frozen(cfg)
	a.joinUp()
}

// bounds are the public listener's.
func bounds(cfg *config.Config) intake.Config {
	return intake.Config{Body: cfg.Limits.Body, Backlog: cfg.Limits.Backlog}
}

// frozen remembers the connections that the store knows and the config does not:
// their queues stand still until the name returns.
func (a *App) frozen(cfg *config.Config) {
	names := slices.Collect(maps.Keys(a.pins()))
	err := a.store.View(func(tx *store.Tx) error { // one whose account was never reached has no pin
		names = append(names, tx.Connections()...)
		return nil
	})
	if err != nil {
		a.log.Error("cannot read the connections of the store", "error", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		if _, known := a.removed[name]; !known && cfg.Connection(name) == nil {
			a.removed[name] = ""
			a.log.Warn("the store has events of a connection that is not in the config; they are frozen", "connection", name)
		}
	}
}

// connect gives every room its connections as they now are.
func (a *App) connect() {
	a.connecting.Lock() // or one that began before a dictionary came could end last
	defer a.connecting.Unlock()
	a.joinUp()
}

// joinUp is connect for whoever holds a.connecting.
func (a *App) joinUp() {
	a.mu.Lock()
	cfg := a.cfg
	conns := map[string]*connection{}
	for _, c := range cfg.Connections {
		acc := a.accounts[c.AmoCRM.Host]
		conns[c.Name] = &connection{cfg: c, account: acc, card: a.cardOf(c, acc)}
	}
	accounts := make([]*account, 0, len(a.accounts))
	for _, acc := range a.accounts {
		accounts = append(accounts, acc)
	}
	a.mu.Unlock()

	var work []*delivery.Connection
	var doors []intake.Connection
	for name, r := range conns {
		doors = append(doors, door(r.cfg))
		dict := r.account.keeper.Dict()
		if dict == nil {
			work = append(work, delivered(r.cfg, r.account, nil))
			continue
		}
		if err := a.pin(name, dict.AccountID); errors.Is(err, errOtherAccount) {
			r.refused, r.card.Seats = err, func() int { return 0 } // nothing will come: no operator waits
			a.log.Error("connection not worked", "connection", name, "error", err)
			continue
		} else if err != nil { // the disk's trouble: housekeeping tries again
			a.log.Error("connection not worked yet", "connection", name, "error", err)
			work = append(work, delivered(r.cfg, r.account, nil))
			continue
		}
		r.known = true
		work = append(work, delivered(r.cfg, r.account, dict))
	}
	a.mu.Lock()
	a.conns = conns
	for _, r := range conns {
		if r.known {
			a.lookForNames(r)
		}
	}
	a.mu.Unlock()
	byHost, pins := map[string][]upkeep.Connection{}, a.pins()
	for _, c := range cfg.Connections {
		acc := conns[c.Name].account
		byHost[acc.host] = append(byHost[acc.host], upkeep.Connection{
			Name: c.Name, HookPath: hookPath(c), HookURL: hookURL(cfg, c), Setup: c.AmoCRM.SetupAuto, MarkerField: c.AmoCRM.MarkerField,
			Region: regionOf(c, acc.keeper.Dict()), Pinned: pins[c.Name],
		})
	}
	for _, acc := range accounts {
		acc.keeper.SetConnections(byHost[acc.host])
	}
	a.intake.SetConnections(doors)
	a.disp.SetConnections(work)
}

// pins says which account each connection's name belongs to, as far as the store knows.
func (a *App) pins() map[string]int64 {
	of := map[string]int64{}
	err := a.store.View(func(tx *store.Tx) error {
		return store.Each(tx, store.Pins, "", func(key string, id int64) bool {
			of[store.Parts(key)[0]] = id
			return true
		})
	})
	if err != nil {
		a.log.Error("cannot read the connections of the store", "error", err)
	}
	return of
}

// dictionaryRead is told when an account's dictionary was read: with the first,
// zone, region and pin follow from it; with each, which names of the config there are.
func (a *App) dictionaryRead(acc *account, first bool) {
	a.connecting.Lock() // while a config is taken over, a.conns are still those of the one before
	defer a.connecting.Unlock()
	if first {
		a.joinUp()
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.conns {
		if r.account == acc && r.known {
			a.lookForNames(r)
		}
	}
}

func hookURL(cfg *config.Config, c *config.Connection) string {
	if cfg.PublicURL == "" || hookPath(c) == "" {
		return ""
	}
	return cfg.PublicURL + hookPath(c)
}

// hookPath is where a connection's hooks arrive; "" if it takes none.
func hookPath(c *config.Connection) string {
	if len(c.AmoCRM.WebhookSecrets) == 0 {
		return ""
	}
	return "/amocrm/" + c.Name + "/" + c.AmoCRM.WebhookSecrets[0].Reveal()
}

func door(c *config.Connection) intake.Connection {
	d := intake.Connection{Name: c.Name, Channels: c.Jivo.Channels, OAuth: c.AmoCRM.OAuth != nil}
	for _, s := range c.Jivo.Secrets {
		d.JivoSecrets = append(d.JivoSecrets, s.Reveal())
	}
	for _, s := range c.AmoCRM.WebhookSecrets {
		d.AmoSecrets = append(d.AmoSecrets, s.Reveal())
	}
	return d
}

// regionOf and zoneOf are the connection's, else the account's.
func regionOf(c *config.Connection, dict *dict.Snapshot) string {
	if c.Region != "" || dict == nil {
		return c.Region
	}
	return strings.ToUpper(dict.Country)
}

func zoneOf(c *config.Connection, dict *dict.Snapshot) *time.Location {
	if c.Location != nil {
		return c.Location
	}
	if dict != nil && dict.Location() != nil {
		return dict.Location()
	}
	return time.UTC
}

func delivered(c *config.Connection, acc *account, names *dict.Snapshot) *delivery.Connection {
	region, zone := regionOf(c, names), zoneOf(c, names)
	d := &delivery.Connection{
		Name: c.Name, Waiting: names == nil, Account: acc.shared, Program: c.Program.InRegion(region), Region: region, Location: zone,
		Kinds: jivo.Kinds(), MarkerField: c.AmoCRM.MarkerField, Anonymous: c.Anonymous, AnonymousHold: c.AnonymousHold, Park: c.Park,
		Refresh: c.AmoCRM.Refresh, InDoubtAfter: c.AmoCRM.InDoubtAfter,
		BackoffFirst: c.AmoCRM.Backoff.First, BackoffMax: c.AmoCRM.Backoff.Max, GiveUp: c.AmoCRM.Backoff.GiveUp, NoteLimit: noteLimit,
		Shaper: func(names *dict.Snapshot) *items.Shaper {
			return &items.Shaper{Dict: names, Agents: c.Agents, Region: region, MarkerField: c.AmoCRM.MarkerField, Location: zone, Cents: strings.HasSuffix(c.AmoCRM.Host, ".kommo.com")}
		},
	}
	if h := c.WorkHours; h != nil {
		d.Hours = delivery.Hours{Days: h.Days, From: h.From, To: h.To}
	}
	return d
}

func (a *App) cardOf(c *config.Connection, acc *account) card.Connection {
	name, batch, rps := c.Name, c.AmoCRM.Batch, c.AmoCRM.RequestsPerSecond
	return card.Connection{
		Name: name, BaseURL: c.AmoCRM.Account, Account: acc.host, Language: c.Language,
		Region: regionOf(c, acc.keeper.Dict()), Location: zoneOf(c, acc.keeper.Dict()), Dict: acc.keeper.Dict,
		Wait: c.Reply.Wait, Refresh: c.AmoCRM.Refresh, Link: c.Reply.CRMLink, ContactInfo: c.Reply.ContactInfo, Assign: c.Reply.EnableAssign,
		Templates: replyTemplates(c, regionOf(c, acc.keeper.Dict())),
		Seats: func() int {
			wait := c.Reply.Wait.Seconds()
			switch long := float64(a.store.Pending(name)) > wait*rps*float64(batch); {
			case acc.client.Standing().Paused || acc.keeper.Dict() == nil:
				return 0
			case long, !acc.keeper.Complete(): // longer than the wait in groups of up to `batch`, or whoever comes is searched for
				return seats(wait, rps)
			}
			return math.MaxInt
		},
	}
}

// cardConnection finds a connection for replies and hooks.
func (a *App) cardConnection(name string) (card.Connection, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.conns[name]
	if !ok {
		return card.Connection{}, false
	}
	return c.card, true
}

// dirty has a lead's card read again.
func (a *App) dirty(connection string, leadID int64) {
	a.mu.Lock()
	c := a.conns[connection]
	a.mu.Unlock()
	if c != nil {
		c.account.keeper.Dirty(connection, leadID)
	}
}
