package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/amocrm/token"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/console"
	"github.com/jivo-amocrm/bridge/internal/delivery"
	"github.com/jivo-amocrm/bridge/internal/store"
	"github.com/jivo-amocrm/bridge/internal/upkeep"
)

// account is one amoCRM account with everything that its connections share:
// client, token, dictionary, contact directory, pause and locks.
type account struct {
	host   string
	print  string // of the settings it was made with: another print is another account object
	client *amocrm.Client
	static *token.Static // one of static and oauth
	oauth  *token.OAuth
	keeper *upkeep.Keeper
	shared *delivery.Account
	counts *console.AccountMetrics

	spent *spent

	life context.Context // ends with close
	stop func()
	work sync.WaitGroup
	once sync.Once
}

// fingerprint changes with every setting that a client is made of.
func fingerprint(c *config.AmoCRM) string {
	var id, secret, redirect string
	if c.OAuth != nil {
		id, secret, redirect = c.OAuth.ClientID, c.OAuth.ClientSecret.Reveal(), c.OAuth.RedirectURL
	}
	return fmt.Sprintf("%q", []any{c.Account, c.Token.Reveal(), id, secret, redirect, c.RequestsPerSecond, c.Batch, c.Timeout, c.Probe, c.Sweep, c.Refresh, c.ContactsSync})
}

// clientConfig is what every client must know of an account.
func clientConfig(c *config.AmoCRM, opt Options) amocrm.Config {
	return amocrm.Config{
		BaseURL: c.Account, RPS: c.RequestsPerSecond, Batch: c.Batch, Timeout: c.Timeout, Probe: c.Probe,
		UserAgent: "jivo-amocrm-bridge/" + opt.Version,
	}
}

// openAccount makes and starts the account of a connection.
func (a *App) openAccount(c *config.Connection) *account {
	cfg := c.AmoCRM
	acc := &account{host: cfg.Host, print: fingerprint(&cfg)}
	acc.life, acc.stop = context.WithCancel(a.life)
	tokens := a.tokens(acc, c)
	var recent []time.Time
	acc.spent, recent = openSpent(a.cfg.Data, cfg.Host, cfg.RequestsPerSecond)
	of := clientConfig(&cfg, a.opt)
	of.Recent, of.OnSend, of.OnPause = recent, acc.spent.add, func(s amocrm.Status) { a.paused(acc, s) }
	acc.counts = a.metrics.Account(c.Name)
	acc.client = amocrm.New(of, tokens, a.disp, acc.counts, a.log.With("account", cfg.Host), a.opt.Transport)
	acc.keeper = upkeep.New(upkeep.Config{
		Host: cfg.Host, Refresh: cfg.Refresh, Sweep: cfg.Sweep, ContactsSync: cfg.ContactsSync,
		InDoubtAfter: cfg.InDoubtAfter,
		Load: func(ctx context.Context) (*dict.Snapshot, error) {
			return dict.Load(ctx, acc.client)
		},
		Read: func(first bool) { a.dictionaryRead(acc, first) },
		Drop: drop,
	}, acc.client, a.store, a.log)
	acc.shared = &delivery.Account{
		Host: cfg.Host, CRM: acc.client, Dict: acc.keeper.Dict, Doubtful: acc.keeper.Doubtful,
		Complete: acc.keeper.Complete, CatchUp: acc.keeper.CatchUp, Idle: acc.client.Idle,
	}
	for _, run := range []func(context.Context){acc.client.Run, acc.keeper.Run} {
		acc.work.Go(func() { run(acc.life) })
	}
	return acc
}

// retire gives writes under way a moment for their answers, then closes.
func (acc *account) retire() {
	acc.client.Drain(lastWords)
	acc.close()
}

// close ends the account's goroutines; requests under way are aborted.
func (acc *account) close() {
	acc.once.Do(func() {
		acc.stop()
		acc.client.Close()
		acc.work.Wait()
		acc.spent.close()
	})
}

func (a *App) tokens(acc *account, c *config.Connection) amocrm.Tokens {
	if c.AmoCRM.OAuth == nil {
		acc.static = token.NewStatic(c.AmoCRM.Token.Reveal())
		return acc.static
	}
	o := c.AmoCRM.OAuth
	acc.oauth = token.NewOAuth(token.OAuthConfig{
		BaseURL: c.AmoCRM.Account, ClientID: o.ClientID, ClientSecret: o.ClientSecret.Reveal(), RedirectURL: o.RedirectURL,
		UserAgent: "jivo-amocrm-bridge/" + a.opt.Version, Hint: "run `bridge auth -c " + a.cfg.File + " " + c.Name + "` and consent in the browser",
	}, pairs{a.store, c.AmoCRM.Host}, a.opt.Transport, a.log)
	return acc.oauth
}

// info is how the account's token stands. A long-lived one that amoCRM does not
// take is past its use, whatever end is written in it.
func (acc *account) info() token.Info {
	if acc.oauth != nil {
		return acc.oauth.Info()
	}
	info := acc.static.Info()
	if acc.client.State().Reason == amocrm.Unauthorized {
		info.State = console.TokenExpired
	}
	return info
}

// kickWhenResumed has the dispatcher look again once the account's present pause
// has ended; the pause of an account that is closed never does.
func (a *App) kickWhenResumed(acc *account) {
	select {
	case <-acc.client.Resumed():
		a.disp.Kick()
	case <-acc.life.Done():
	}
}

// banWindow: ban pages from two accounts of one platform within it are a ban by
// IP, and pause all of that platform (product.md §2).
const banWindow = 5 * time.Minute

// paused is told of each pause an account's client found by itself.
func (a *App) paused(acc *account, s amocrm.Status) {
	go a.kickWhenResumed(acc) // ends with the pause or the account
	if s.Reason != amocrm.Banned {
		return
	}
	platform := token.Platform(acc.host)
	if platform == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	second := false
	for _, other := range a.accounts {
		second = second || other != acc && token.Platform(other.host) == platform && time.Since(other.client.State().Barred) < banWindow
	}
	if !second {
		return
	}
	a.log.Error("two accounts of one platform answer with the ban page: the address of this machine is banned", "platform", platform)
	for _, other := range a.accounts {
		if token.Platform(other.host) == platform && !other.client.State().Paused {
			go func() {
				other.client.PauseWith(amocrm.Banned)
				a.kickWhenResumed(other)
			}()
		}
	}
}

// pairs keeps an account's grant in the store.
type pairs struct {
	st   *store.Store
	host string
}

// Load implements token.Store.
func (p pairs) Load(context.Context) (pair token.Pair, found bool, err error) {
	err = p.st.View(func(tx *store.Tx) error {
		pair, found, err = store.Get[token.Pair](tx, store.Tokens, store.Key(p.host))
		return err
	})
	return pair, found, err
}

// Save implements token.Store.
func (p pairs) Save(ctx context.Context, pair token.Pair) error {
	return p.st.Update(ctx, func(tx *store.Tx) error { return store.Set(tx, store.Tokens, store.Key(p.host), pair) })
}

// errOtherAccount: the connection's name is pinned to another amoCRM account.
var errOtherAccount = errors.New("this name belongs to another amoCRM account in the store; use another name, or another data folder")

// pin ties a connection's name to its amoCRM account for good.
func (a *App) pin(name string, accountID int64) error {
	if accountID == 0 {
		return nil
	}
	key := store.Key(name)
	pinned := func(tx *store.Tx) (ok bool, err error) {
		have, ok, err := store.Get[int64](tx, store.Pins, key)
		if ok && have != accountID {
			return true, errOtherAccount
		}
		return ok, err
	}
	var known bool
	err := a.store.View(func(tx *store.Tx) (err error) {
		known, err = pinned(tx)
		return err
	})
	if known || err != nil {
		return err
	}
	return a.store.Update(context.Background(), func(tx *store.Tx) error {
		if ok, err := pinned(tx); ok || err != nil {
			return err
		}
		return store.Set(tx, store.Pins, key, accountID)
	})
}
