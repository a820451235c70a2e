// Package app wires the rooms together and gives them a life: it opens the
// store, keeps an account for each amoCRM host, serves the two listeners,
// reloads the config and shuts everything down in order. It is the only package
// that imports all others, and nothing imports it but the commands.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jivo-amocrm/bridge/internal/amocrm/hook"
	"github.com/jivo-amocrm/bridge/internal/card"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/console"
	"github.com/jivo-amocrm/bridge/internal/delivery"
	"github.com/jivo-amocrm/bridge/internal/intake"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// StoreFile is the name of the store in the config's data folder.
const StoreFile = "bridge.db"

// drain is how long a stop waits for what is under way (product.md; SIGTERM
// ends within ten seconds).
const drain = 8 * time.Second

// closing is how long the store may take to close after that: with the drain it
// stays below ten seconds.
const closing = 1500 * time.Millisecond

// lastWords is how long writes that have left may take for their answers when
// their account is closed.
const lastWords = 4 * time.Second

// Options are what an App is made of besides its config.
type Options struct {
	Version string
	Log     *slog.Logger
	// Reload reads the config again; nil: SIGHUP does nothing.
	Reload func() (*config.Config, error)
	// Transport carries the requests to amoCRM; nil: the network.
	Transport http.RoundTripper
	// Listen opens a listener for an address of the config; nil: TCP.
	Listen func(addr string) (net.Listener, error)
}

// App is a running bridge.
type App struct {
	opt     Options
	log     *slog.Logger
	store   *store.Store
	metrics *console.Metrics
	disp    *delivery.Dispatcher
	intake  *intake.Server
	console *console.Server
	compose *card.Composer
	barrier *barrier
	states  *states      // of OAuth consents given out
	names   *names       // that the accounts do not have
	certs   certificates // of the public listener; nil: it is plain

	public, admin net.Listener
	fatal         chan error

	applying   sync.Mutex // held by apply
	connecting sync.Mutex // held while the rooms are given their connections; taken before mu, and never over what waits for an account to close

	began *config.Config // what the process started with: what takes a restart is told by it

	mu       sync.Mutex
	cfg      *config.Config
	refusal  string              // what is wrong with the config as it was last read
	accounts map[string]*account // by host
	conns    map[string]*connection
	removed  map[string]string    // connections that were in an earlier config: name → account
	hooked   map[string]time.Time // when the newest hook of a connection came
	life     context.Context
	work     sync.WaitGroup
}

// New opens the store and the listeners of cfg. Close must follow, also when
// Run was called.
func New(cfg *config.Config, opt Options) (a *App, err error) {
	a = &App{
		opt: opt, log: opt.Log, began: cfg, cfg: cfg, barrier: newBarrier(), states: newStates(), names: newNames(),
		accounts: map[string]*account{}, conns: map[string]*connection{}, removed: map[string]string{}, hooked: map[string]time.Time{}, fatal: make(chan error, 1),
	}
	half := a // a failing return sets a to nil
	defer func() {
		if err != nil {
			half.Close()
		}
	}()
	if a.certs, err = newCertificates(cfg, opt.Log); err != nil {
		return nil, err
	}
	reg := prometheus.NewRegistry()
	a.metrics = console.NewMetrics(reg, opt.Version, jivo.Kinds())
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, &store.OpenError{Path: filepath.Join(cfg.Data, StoreFile), Kind: store.ErrFolder, Err: err} // it knows the way out
	}
	a.store, err = store.Open(store.Options{
		Path: filepath.Join(cfg.Data, StoreFile), FreeSpace: uint64(cfg.Limits.FreeSpace), Logger: opt.Log,
		OnFatal: a.fail, Observe: a.metrics.StoreCommit,
	})
	if err != nil {
		return nil, err
	}
	keeper := card.NewKeeper(a.store, a.cardConnection, a.dirty, drop)
	a.disp = delivery.New(a.store, keeper, observer{a.metrics, a.names, opt.Log, a.named}, opt.Log)
	a.disp.OnEnd(a.barrier.lower)
	a.compose = card.NewComposer(a.store, a.cardConnection, a.metrics, a.disp.WaitCore, a.barrier.wait(a.hookApplied), a.dirty)
	a.intake = intake.New(bounds(cfg), intake.Deps{
		Journal: journal{a}, Pending: a.store.Pending, Replier: a.compose,
		HookKind: hookKind, OAuth: a, Observer: a.metrics, Log: opt.Log,
	})
	a.console = console.New(console.Config{Token: cfg.Admin.Token.Reveal()}, a, reg, opt.Log)
	console.WatchGauges(reg, a.gauges)
	listen := opt.Listen
	if listen == nil {
		listen = func(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
	}
	if a.public, err = listen(cfg.Listen); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if a.admin, err = listen(cfg.Admin.Listen); err != nil {
		return nil, fmt.Errorf("admin.listen: %w", err)
	}
	return a, nil
}

// PublicAddr and AdminAddr are the addresses the listeners have.
func (a *App) PublicAddr() string { return a.public.Addr().String() }

// AdminAddr is the admin listener's address.
func (a *App) AdminAddr() string { return a.admin.Addr().String() }

// Store gives tests and commands the open store.
func (a *App) Store() *store.Store { return a.store }

// fail ends Run: the store cannot be trusted any more (architecture.md, decision 2).
func (a *App) fail(err error) {
	select {
	case a.fatal <- err:
	default:
	}
}

// Run serves until ctx ends, then drains: the public listener first, so that
// nothing new is accepted, then what is under way, then the admin listener. It
// returns nil after an orderly stop. reload is told to read the config again.
func (a *App) Run(ctx context.Context, reload <-chan os.Signal) error {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	a.mu.Lock()
	a.life = life
	a.mu.Unlock()

	a.apply(a.config())
	public := intake.HTTPServer(a.intake.Handler(), a.log)
	admin := console.HTTPServer(a.console, a.log)
	errs := make(chan error, 2)
	serveTLS, err := a.tls(life, public)
	if err != nil {
		return err
	}
	go func() { errs <- serveTLS(a.public) }()
	go func() { errs <- admin.Serve(a.admin) }()
	work, endWork := context.WithCancel(life)
	defer endWork()
	a.work.Go(func() { a.disp.Run(work) })
	a.work.Go(func() { a.housekeeping(work) })
	a.work.Go(func() { a.leftoverHooks(work) })
	a.log.Info("serving", "version", a.opt.Version, "listen", a.PublicAddr(), "admin", a.AdminAddr(), "connections", len(a.config().Connections))

	err = a.wait(ctx, reload, errs)

	down, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if e := public.Shutdown(down); e != nil {
		_ = public.Close() // what is still open has had its time
	}
	endWork()
	soon, hurry := context.WithTimeout(down, lastWords)
	defer hurry()
	_ = within(soon, a.work.Wait) // what has left for amoCRM has its answer recorded
	if !within(down, func() { a.closeAccounts(); a.work.Wait() }) {
		a.log.Warn("stopped with work under way; it goes on with the next start")
	}
	_ = admin.Close()
	return err
}

// closeAccounts closes every account; what is still on its way to amoCRM is in
// doubt, and looked up with the next start.
func (a *App) closeAccounts() {
	a.mu.Lock()
	accounts := slices.Collect(maps.Values(a.accounts))
	a.mu.Unlock() // an account that ends may still tell of a pause
	var closing sync.WaitGroup
	for _, acc := range accounts {
		closing.Go(acc.close)
	}
	closing.Wait()
}

// wait returns when the bridge is to stop: nil when asked to.
func (a *App) wait(ctx context.Context, reload <-chan os.Signal, errs <-chan error) error {
	for {
		select {
		case <-ctx.Done():
			a.log.Info("stopping")
			return nil
		case err := <-a.fatal:
			return fmt.Errorf("the store cannot be written; what was not answered 200 is not promised: %w", err)
		case err := <-errs:
			if !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve: %w", err)
			}
		case <-reload:
			a.Reload()
		}
	}
}

// within runs fn and reports whether it returned before ctx ended.
func within(ctx context.Context, fn func()) bool {
	done := make(chan struct{})
	go func() { fn(); close(done) }()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// Close releases the listeners and the store. It may be called twice.
func (a *App) Close() {
	for _, l := range []net.Listener{a.public, a.admin} {
		if l != nil {
			_ = l.Close()
		}
	}
	if a.store == nil {
		return
	}
	soon, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	if !within(soon, a.closeStore) {
		a.log.Warn("the disk is slow; the store is left as a power cut would leave it, which loses nothing")
	}
}

func (a *App) closeStore() {
	if err := a.store.Close(); err != nil {
		a.log.Error("cannot close the store", "error", err)
	}
}

func (a *App) config() *config.Config {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cfg
}

// Reload reads the config again and takes it over; a bad one is refused and the
// old one stays.
func (a *App) Reload() {
	if a.opt.Reload == nil {
		return
	}
	cfg, err := a.opt.Reload()
	if err != nil {
		a.metrics.Reloaded(false)
		a.refuse(err.Error())
		a.log.Error("the new config was refused; the old one stays", "error", err)
		return
	}
	for _, key := range config.Diff(a.began, cfg).Restart {
		a.log.Warn("this change takes a restart", "key", key)
	}
	a.apply(cfg)
	a.metrics.Reloaded(true)
	a.refuse("")
	a.log.Info("config reloaded", "connections", len(cfg.Connections))
}

func (a *App) refuse(why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refusal = why
}

// drop removes the links to an entity that amoCRM no longer has.
func drop(tx *store.Tx, connection, account, entity string, id int64) error {
	if entity == "contact" {
		return delivery.DropContact(tx, connection, account, id)
	}
	return delivery.DropLead(tx, connection, id)
}

// hookKind names a hook for the journal.
func hookKind(contentType string, body []byte) (string, error) {
	h, err := hook.Decoder{}.Decode(contentType, body)
	if err != nil {
		return "", err
	}
	return h.Kind(), nil
}
