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
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/store"
)

type backupCmd struct {
	configFlag
	File  string `arg:"" help:"Where the copy goes." placeholder:"FILE"`
	Force bool   `help:"Replace a file that is there."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// Run writes a consistent copy of the store, whether the bridge runs or not. The
// copy is read through before it takes its name, so that a file of that name is
// always a whole one.
func (c backupCmd) Run(e *env) error {
	cfg, err := c.loadForStore()
	if err != nil {
		return err
	}
	if err := spared(cfg, c.File); err != nil {
		return err
	}
	if _, err := os.Lstat(c.File); err == nil && !c.Force {
		return hinted{fmt.Errorf("%s exists", c.File), "--force replaces it"}
	}
	n, err := c.copy(e.ctx, cfg)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, map[string]any{"file": c.File, "bytes": n})
	}
	fmt.Fprintf(e.stdout, "%s: %s\n", c.File, size(n))
	return nil
}

// copy writes the copy. A store that an older version left behind and no bridge
// has brought up to date yet is copied as it is: that is when a backup is wanted.
func (c backupCmd) copy(ctx context.Context, cfg *config.Config) (int64, error) {
	d, err := openDesk(ctx, cfg, true)
	if errors.Is(err, store.ErrOlder) {
		return writeCopy(c.File, func(w io.Writer) (int64, error) { return store.Copy(storePath(cfg), w) })
	}
	if err != nil {
		return 0, err
	}
	defer d.Close()
	return copyStore(ctx, d, c.File)
}

// copyStore copies the store of d to a file.
func copyStore(ctx context.Context, d desk, file string) (int64, error) {
	return writeCopy(file, func(w io.Writer) (int64, error) { return d.Backup(ctx, w) })
}

// spared refuses a target that is a store at work: a copy that took its name
// would leave the bridge writing into a file that has none any more. Files are
// told by what they are, not by how they are called.
func spared(cfg *config.Config, target string) error {
	const elsewhere = "name a file outside of the data folder"
	live := storePath(cfg)
	is, err := os.Stat(target)
	if err == nil {
		if own, err := os.Stat(live); err == nil && os.SameFile(is, own) {
			return hinted{fmt.Errorf("%s is the store itself", target), elsewhere}
		}
		if is.Mode().IsRegular() && isLocked(target) { // of a bridge with another config, or one that has changed since
			return hinted{fmt.Errorf("%s is a store in use", target), elsewhere}
		}
	}
	folder, err := os.Stat(filepath.Dir(target))
	if err != nil {
		return hinted{fmt.Errorf("the folder of the copy: %w", err), "make the folder first"}
	}
	data, err := os.Stat(cfg.Data)
	if err == nil && os.SameFile(folder, data) && ownName(filepath.Base(target)) {
		return hinted{fmt.Errorf("%s is a name of the store's own", target), elsewhere}
	}
	return nil
}

// ownName reports whether a file of the data folder is the store, or one that the
// store may have beside it for a while, or might be taken for such a one. Letters
// of either case count: some file systems do not tell them apart.
func ownName(base string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(base), app.StoreFile)
	if !ok {
		return false
	}
	return rest == "" || strings.HasPrefix(rest, ".new-") || slices.Contains([]string{".compact", ".lock", "-lock", ".wal", "-wal", "-shm", "-journal"}, rest)
}

// writeCopy has a file written that only its owner may read, and gives it its
// name once it is known to be good.
func writeCopy(file string, write func(io.Writer) (int64, error)) (n int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(file), ".bridge-*.db") // mode 0600
	if err != nil {
		return 0, outside{err}
	}
	defer func() {
		_ = f.Close() // a second one does no harm
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if n, err = write(f); err != nil {
		return n, err
	}
	if err = errors.Join(f.Sync(), f.Close()); err != nil {
		return n, outside{err}
	}
	if err = store.Verify(f.Name()); err != nil {
		return n, outside{fmt.Errorf("the copy is no good: %w", err)}
	}
	if err = os.Rename(f.Name(), file); err != nil {
		return n, outside{err}
	}
	return n, nil
}

// size writes bytes for people.
func size(n int64) string {
	for _, u := range []struct {
		least int64
		name  string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.least {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.least), u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

type compactCmd struct {
	configFlag
	JSON bool `name:"json" help:"Print JSON."`
}

// lockPatience is longer than a store waits for the lock of its file.
const lockPatience = 1500 * time.Millisecond

// Run makes the store of a stopped bridge smaller. It holds the lock of the old
// file until the new one has its name, and then as long as anybody may be waiting
// who opened the old one: a bridge that got its lock would write into a file that
// has no name any more. Whoever is turned away finds the new one when it tries
// again.
func (c compactCmd) Run(e *env) error {
	cfg, err := c.loadForStore()
	if err != nil {
		return err
	}
	if err := dataFolder(cfg); err != nil {
		return err
	}
	path := storePath(cfg)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return hinted{fmt.Errorf("there is no store at %s yet", path), "`bridge run` makes it"}
	}
	st, err := store.Open(store.Options{Path: path, ReadOnly: true})
	if errors.Is(err, store.ErrLocked) {
		return hinted{errors.New("the store is in use"), "stop the bridge first; what settled long ago is purged while it runs, too"}
	}
	if err != nil {
		return outside{err}
	}
	defer st.Close()
	before := st.Size()
	after, err := shrink(path)
	if err != nil {
		return outside{err}
	}
	time.Sleep(lockPatience)
	if c.JSON {
		return printJSON(e.stdout, map[string]int64{"before": before, "after": after})
	}
	fmt.Fprintf(e.stdout, "%s: %s, was %s\n", path, size(after), size(before))
	return nil
}

// shrink puts a smaller store in the place of one nobody writes to, and gives its
// length. Who could open the old one can open the new one, whoever makes it;
// where that cannot be, the old one stays.
func shrink(path string) (length int64, err error) {
	old, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	small := path + ".compact"
	_ = os.Remove(small) // left behind by a compaction that was cut short
	if err := store.Compact(path, small); err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(small)
		}
	}()
	// The owner first: nobody but it gains anything by the mode.
	if err := giveTo(small, old); err != nil {
		return 0, err
	}
	if err := os.Chmod(small, old.Mode().Perm()); err != nil {
		return 0, err
	}
	info, err := os.Stat(small)
	if err != nil {
		return 0, err
	}
	return info.Size(), os.Rename(small, path)
}
