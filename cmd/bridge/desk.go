package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/console"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// desk is a bridge as commands work with it: running, through its admin
// listener (*admin), or stopped, through its store (*app.Stopped).
type desk interface {
	Events(ctx context.Context, f console.Filter) (console.Page, error)
	Search(ctx context.Context, q string) (console.Page, error)
	Event(ctx context.Context, seq uint64) (*console.Detail, error)
	Replay(ctx context.Context, seq uint64, again bool) error
	Discard(ctx context.Context, seq uint64) error
	ReplayAll(ctx context.Context, f console.ReplayFilter) (int, error)
	Backup(ctx context.Context, w io.Writer) (int64, error)
	Import(ctx context.Context, connection string, lines []app.ImportLine) (app.ImportCounts, error)
	SyncContacts(ctx context.Context, connection string, progress func(done int)) error
	ConsentURL(connection string) (string, error)
	Exchange(ctx context.Context, connection, code string) error
	Close()
}

var (
	_ desk = (*admin)(nil)
	_ desk = (*app.Stopped)(nil)
)

// storePath is where the config's store is.
func storePath(cfg *config.Config) string { return filepath.Join(cfg.Data, app.StoreFile) }

// dataFolder refuses a config whose `data` is no folder, and cannot become one.
func dataFolder(cfg *config.Config) error {
	info, err := os.Stat(cfg.Data)
	if errors.Is(err, syscall.ENOTDIR) || err == nil && !info.IsDir() {
		return hinted{fmt.Errorf("data: %s is not a folder", cfg.Data), "`data` names the folder that the store, " + app.StoreFile + ", lives in; it is made if it does not exist"}
	}
	return nil // what else is wrong with it shows when it is opened
}

// openDesk finds out whether the bridge of cfg runs and opens what there is to
// work with. The lock of the store decides: whoever has it is the bridge. For
// reading only, a store that does not exist is not made.
func openDesk(ctx context.Context, cfg *config.Config, readOnly bool) (desk, error) {
	if err := dataFolder(cfg); err != nil {
		return nil, err
	}
	if _, err := os.Stat(storePath(cfg)); errors.Is(err, fs.ErrNotExist) {
		// The data folder may be another machine's, or a container's.
		a := newAdmin(cfg)
		if a.serves(ctx) {
			return a, nil
		}
		if err := a.tokenless(ctx); err != nil {
			return nil, err
		}
		if readOnly {
			return nil, hinted{fmt.Errorf("there is no store at %s yet", storePath(cfg)), "`bridge run` makes it"}
		}
	}
	if !isLocked(storePath(cfg)) {
		s, err := app.OpenStopped(cfg, options(), readOnly)
		switch {
		case err == nil:
			return s, nil
		case !errors.Is(err, store.ErrLocked):
			return nil, outside{err}
		}
	}
	a := newAdmin(cfg)
	if err := a.alive(ctx); err != nil {
		return nil, hinted{
			outside{fmt.Errorf("the store %s is in use, and no bridge answers at admin.listen (%s): %w", storePath(cfg), cfg.Admin.Listen, err)},
			"another command may be at work; or the running bridge was started with another admin.listen",
		}
	}
	return a, nil
}

// runningBridge returns the admin listener of cfg's bridge if it runs, nil if it
// does not. It does not touch the store.
func runningBridge(ctx context.Context, cfg *config.Config) *admin {
	a := newAdmin(cfg)
	if !a.serves(ctx) {
		return nil
	}
	return a
}

// serves reports whether a bridge with a connection of this config answers here,
// and takes the token.
func (a *admin) serves(ctx context.Context) bool {
	if a.alive(ctx) != nil {
		return false
	}
	for _, c := range a.cfg.Connections {
		if a.works(ctx, c) {
			return true
		}
	}
	return false
}

// works reports whether the running bridge has this connection, on the same
// account: the config may have been changed since it read it.
func (a *admin) works(ctx context.Context, c *config.Connection) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	have, err := a.Connections(ctx)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(have, func(h console.Connection) bool {
		return h.Name == c.Name && h.Account == c.AmoCRM.Account && h.State != console.ConnectionRemoved
	})
}
