// Package upkeep keeps what the bridge knows of an amoCRM account true: the
// dictionary, the cards that must be read again, what hooks missed, the contact
// directory and the hook subscription. Everything here is repair and runs with
// the least urgent priorities; delivery never waits for it, but for the first
// dictionary.
package upkeep

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// CRM is what upkeep needs of the amoCRM client.
type CRM interface {
	Leads(ctx context.Context, ids []int64) (map[int64]event.Lead, error)
	OpenTasks(ctx context.Context, entity string, ids []int64) ([]event.Task, error)
	Events(ctx context.Context, from int64, page int) ([]amocrm.FeedEvent, bool, error)
	ContactsChanged(ctx context.Context, page int, since int64) ([]event.Contact, bool, error)
	ContactsFrom(ctx context.Context, n int) (amocrm.ContactsWindow, error)
	Webhooks(ctx context.Context, destination string) ([]amocrm.WebhookInfo, error)
	SubscribeWebhook(ctx context.Context, destination string, settings []string) (amocrm.WebhookInfo, error)
	CreateTextField(ctx context.Context, entity, name string) error
	Resumed() <-chan struct{}
	ServerTime() time.Time
}

// Connection is what upkeep knows of a connection of its account.
type Connection struct {
	Name     string
	HookPath string // "" if there is no webhook_secret
	HookURL  string // the same with public_url before it; "" without one
	Setup    bool   // may subscribe HookURL and make MarkerField
	// MarkerField is made where Setup is allowed and it is missing; "": none.
	MarkerField string
	Region      string
	Pinned      int64 // the account its name belongs to; 0: none yet
}

// of reports whether the connection's name does not belong to another account than
// the one d is of: in that one nothing is set up for it.
func (c Connection) of(d *dict.Snapshot) bool {
	return c.Pinned == 0 || d == nil || d.AccountID == 0 || c.Pinned == d.AccountID
}

// Config paces the work.
type Config struct {
	Host         string        // the contact directory's key
	Refresh      time.Duration // of the dictionary
	Sweep        time.Duration
	ContactsSync bool
	InDoubtAfter time.Duration // how long after a lost answer it is looked whether the field was made
	Load         func(ctx context.Context) (*dict.Snapshot, error)
	Read         func(first bool)                                                       // the dictionary was read, for the first time or anew
	Drop         func(tx *store.Tx, connection, account, entity string, id int64) error // removes links to what is gone
}

// Keeper looks after one account. Its methods are safe for concurrent use.
type Keeper struct {
	cfg   Config
	crm   CRM
	store *store.Store
	log   *slog.Logger

	dict     atomic.Pointer[dict.Snapshot]
	unread   atomic.Pointer[error] // why it could not be read
	doubtful chan struct{}
	loaded   chan struct{}                 // closed when the dictionary came for the first time
	syncing  chan struct{}                 // holds one while a full pass over the contacts is under way
	catching atomic.Pointer[chan struct{}] // closed when what changed since the last pass was read; nil while nobody is at it
	caughtUp atomic.Int64                  // when CatchUp last tried, unix nanoseconds
	synced   atomic.Int64                  // unix seconds up to which the directory is complete; 0: not

	mu     sync.Mutex
	conns  []Connection
	dirty  map[string]map[int64]bool // connection → leads to be read again
	wake   chan struct{}
	anew   chan struct{}     // the connections are others than at the last sweep
	hooks  map[string]string // connection → state of its subscription
	barred map[string]error  // why amoCRM refuses steps of the sweep, by name

	// Of the loop that rereads.
	untold bool           // tasks were refused
	closed map[int64]bool // leads that were

	// Of the loop that sets up: dictionary until the first has come, sweeps from then on.
	asked    map[marker]time.Time // what is read from then on shows whether it was made
	denied   *dict.Snapshot       // the token had no right to make the fields this one lacks
	deniedBy error
}

// New returns a keeper; Run sets it to work.
func New(cfg Config, crm CRM, st *store.Store, log *slog.Logger) *Keeper {
	return &Keeper{
		cfg: cfg, crm: crm, store: st, log: log,
		doubtful: make(chan struct{}, 1), syncing: make(chan struct{}, 1), loaded: make(chan struct{}), dirty: map[string]map[int64]bool{}, wake: make(chan struct{}, 1), hooks: map[string]string{}, asked: map[marker]time.Time{}, anew: make(chan struct{}, 1),
		barred: map[string]error{}, closed: map[int64]bool{},
	}
}

// SetConnections replaces the connections that share the account. What new ones want
// set up is seen to at once.
func (k *Keeper) SetConnections(conns []Connection) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Equal(k.conns, conns) {
		poke(k.anew)
	}
	k.conns = conns
}

func (k *Keeper) connections() []Connection {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.conns)
}

// ours are the connections whose cards are this account's.
func (k *Keeper) ours() []Connection {
	d := k.Dict()
	return slices.DeleteFunc(k.connections(), func(c Connection) bool { return !c.of(d) })
}

// Dict returns the account's dictionary, nil until it was read once.
func (k *Keeper) Dict() *dict.Snapshot { return k.dict.Load() }

// Doubtful asks for the dictionary to be read again soon: amoCRM refused
// something that stands in it.
func (k *Keeper) Doubtful() { poke(k.doubtful) }

// Complete reports whether the contact directory knows every contact: a full
// sync is done and what changed since is no older than the sweep, but for the while
// that the next pass takes.
func (k *Keeper) Complete() bool {
	at := k.synced.Load()
	return at != 0 && time.Since(time.Unix(at, 0)) < k.cfg.Sweep+min(k.cfg.Sweep/2, time.Minute)
}

// Hooks returns how the connection's hook subscription stands: ok, partial (some hooks
// are not among it), missing, disabled, off or unknown.
func (k *Keeper) Hooks(connection string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s, ok := k.hooks[connection]; ok {
		return s
	}
	return "unknown"
}

// Dirty asks for a lead's card to be read again.
func (k *Keeper) Dirty(connection string, leadID int64) {
	k.mu.Lock()
	if k.dirty[connection] == nil {
		k.dirty[connection] = map[int64]bool{}
	}
	k.dirty[connection][leadID] = true
	k.mu.Unlock()
	poke(k.wake)
}

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Run looks after the account until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	ctx = amocrm.WithPriority(ctx, amocrm.Sync)
	var wg sync.WaitGroup
	for _, loop := range []func(context.Context){k.dictionary, k.rereads, k.sweeps} {
		wg.Go(func() { loop(ctx) })
	}
	wg.Wait()
}

// firstTry and lastTry space the attempts at a dictionary that cannot be had;
// doubtRest is how soon after a look at it a doubt is worth the next: many
// refusals make one refresh, or they would eat the account's budget.
const (
	firstTry  = time.Second
	lastTry   = time.Minute
	doubtRest = 10 * time.Second
)

// dictionary reads the dictionary at once, again every Refresh, and soon after
// it became doubtful.
func (k *Keeper) dictionary(ctx context.Context) {
	wait := firstTry
	for {
		read := time.Now()
		d, err := k.cfg.Load(ctx)
		switch {
		case err == nil:
			first := k.dict.Load() == nil
			if first {
				d = k.withMarkers(ctx, d, read)
			}
			k.dict.Store(d)
			wait = k.cfg.Refresh
			if first {
				k.log.Info("dictionary read", "account", k.cfg.Host)
			}
			k.cfg.Read(first)
			if first {
				close(k.loaded)
			}
		case ctx.Err() != nil: // the end is nobody's trouble
			return
		case k.dict.Load() == nil:
			k.unread.Store(&err)
			if wait == firstTry {
				k.log.Warn("the account's dictionary cannot be read yet; events wait", "account", k.cfg.Host, "error", err)
			}
			if wait < lastTry && wait*2 >= lastTry { // a minute of tries
				k.log.Error("the account's dictionary cannot be read; events wait", "account", k.cfg.Host, "error", err)
			}
			wait = min(wait*2, lastTry)
		default:
			wait = lastTry
		}
		rest := min(wait, doubtRest)
		if !sleep(ctx, rest, nil) || !sleep(ctx, wait-rest, k.doubtfulAfter(err == nil)) {
			return
		}
	}
}

// Unread says why the dictionary could not be read, nil once it was or before the
// first try has ended.
func (k *Keeper) Unread() error {
	err := k.unread.Load()
	if err == nil || k.Dict() != nil {
		return nil
	}
	return *err
}

// doubtfulAfter returns the channel that cuts the wait for the next refresh
// short. It is nil while amoCRM does not answer: that a dictionary is in doubt
// makes no difference then. One that never came may be asked for, for example
// when somebody has just consented.
func (k *Keeper) doubtfulAfter(ok bool) <-chan struct{} {
	if !ok && k.Dict() != nil {
		return nil
	}
	return k.doubtful
}

// sleep waits; it returns false when ctx ended.
func sleep(ctx context.Context, d time.Duration, early <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-early:
		return true
	case <-t.C:
		return true
	}
}
