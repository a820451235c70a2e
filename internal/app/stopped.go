package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/delivery"
	"github.com/jivo-amocrm/bridge/internal/store"
	"github.com/jivo-amocrm/bridge/internal/upkeep"
)

// Stopped is a bridge that does not run: its store, open, and its accounts,
// doing nothing by themselves. Commands that need the store work on it just as
// they work on a running bridge through its admin listener.
type Stopped struct{ *App }

// OpenStopped opens the store of cfg and nothing else. For reading only, a store
// that does not exist is not made. Its error is one of store.Open's.
func OpenStopped(cfg *config.Config, opt Options, readOnly bool) (*Stopped, error) {
	a := &App{
		opt: opt, log: opt.Log, cfg: cfg, barrier: newBarrier(), states: newStates(),
		accounts: map[string]*account{}, conns: map[string]*connection{}, removed: map[string]string{},
	}
	a.life = context.Background()
	st, err := store.Open(store.Options{
		Path: filepath.Join(cfg.Data, StoreFile), FreeSpace: uint64(cfg.Limits.FreeSpace), Logger: opt.Log, ReadOnly: readOnly,
	})
	if err != nil {
		return nil, err
	}
	a.store = st
	for _, c := range cfg.Connections {
		acc := a.accounts[c.AmoCRM.Host]
		if acc == nil {
			acc = a.idleAccount(c)
			a.accounts[acc.host] = acc
		}
		a.conns[c.Name] = &connection{cfg: c, account: acc, card: a.cardOf(c, acc)}
	}
	return &Stopped{a}, nil
}

// idleAccount makes an account that does only what it is asked to.
func (a *App) idleAccount(c *config.Connection) *account {
	acc := &account{host: c.AmoCRM.Host, stop: func() {}}
	var recent []time.Time
	acc.spent, recent = openSpent(a.cfg.Data, acc.host, c.AmoCRM.RequestsPerSecond)
	of := clientConfig(&c.AmoCRM, a.opt)
	of.Linger, of.Recent, of.OnSend = true, recent, acc.spent.add // a killed one is followed by one that knows
	acc.client = amocrm.New(of, a.tokens(acc, c), nil, nil, a.opt.Log, a.opt.Transport)
	acc.keeper = upkeep.New(upkeep.Config{Host: acc.host, Refresh: c.AmoCRM.Refresh, Sweep: c.AmoCRM.Sweep}, acc.client, a.store, a.log)
	acc.keeper.SetConnections([]upkeep.Connection{{Name: c.Name, Region: c.Region}})
	return acc
}

// Look looks at a connection's account with the token or grant that the bridge has of
// it (Looker.Look).
func (s *Stopped) Look(ctx context.Context, connection, hook string, fix bool) (*Look, error) {
	c, err := s.connectionOf(connection)
	if err != nil {
		return nil, err
	}
	return c.look(ctx, s.opt, hook, fix)
}

// Close closes the accounts and the store. It may be called twice.
func (s *Stopped) Close() {
	for _, acc := range s.accounts {
		acc.close()
	}
	s.App.Close()
}

// NewClient makes a client of a connection's account for a command: it keeps to
// the account's pace, also where another command follows at once, sends no write
// through a ledger and does not probe.
func NewClient(c *config.Connection, tokens amocrm.Tokens, opt Options) *amocrm.Client {
	of := clientConfig(&c.AmoCRM, opt)
	of.Linger = true
	return amocrm.New(of, tokens, nil, nil, opt.Log, opt.Transport)
}

// Delivery is a connection as delivery works it on an account of the caller's
// making: for rehearsals, which send nothing.
func Delivery(c *config.Connection, shared *delivery.Account, dict *dict.Snapshot) *delivery.Connection {
	return delivered(c, &account{shared: shared}, dict)
}

// errNoConnection says that a running bridge has no such connection.
var errNoConnection = errors.New("no such connection")

// connectionOf finds a connection with its account.
func (a *App) connectionOf(name string) (*connection, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.conns[name]
	if c == nil {
		return nil, errNoConnection
	}
	return c, nil
}

// SyncContacts reads all contacts of a connection's account into the contact
// directory, going on where an earlier pass was cut short. progress is told how
// many were read so far, those of the earlier pass included.
func (a *App) SyncContacts(ctx context.Context, connection string, progress func(done int)) error {
	c, err := a.connectionOf(connection)
	if err != nil {
		return err
	}
	ctx = amocrm.WithPriority(ctx, amocrm.Sync)
	return c.account.keeper.SyncContacts(ctx, 0, progress)
}

// Granted tells how a consent that ConsentURL asked for stands: whether somebody
// may still give it or has refused it, and when the grant that is stored was given.
func (a *App) Granted(ctx context.Context, connection, state string) (is Consent, err error) {
	c, err := a.connectionOf(connection)
	if err != nil {
		return is, err
	}
	is.Open, is.Denied = a.states.stand(state, connection)
	pair, _, err := pairs{a.store, c.account.host}.Load(ctx)
	if err != nil {
		return is, fmt.Errorf("read the grant: %w", err)
	}
	is.Grant = pair.RefreshedAt
	return is, nil
}
