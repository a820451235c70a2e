package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/jivo-amocrm/bridge/internal/event"
)

func TestBackup_ConsistentWhileWriting(t *testing.T) {
	s := open(t, Options{})
	fill(t, s, 300, func(int, *event.Incoming) {})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					mustAppend(t, s, incoming("7"))
				}
			}
		})
	}
	path := filepath.Join(t.TempDir(), "backup.db")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	n, err := s.Backup(f)
	close(stop)
	wg.Wait()
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Size() != n {
		t.Errorf("%d bytes reported, %d written", n, info.Size())
	}
	if err := Verify(path); err != nil {
		t.Fatal(err)
	}
	b := open(t, Options{Path: path})
	read(t, b, 300)
	verifyIndexes(t, b)
	mustAppend(t, b, incoming("7")) // and it can be worked with
}

// A backup that is slow to be taken away must not hold up the journal.
func TestBackup_DoesNotHoldUpTheWriter(t *testing.T) {
	s := open(t, Options{})
	w := &slowWriter{began: make(chan struct{}), goOn: make(chan struct{})}
	done := make(chan error, 1)
	go func() { _, err := s.Backup(w); done <- err }()
	<-w.began
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	in := incoming("7")
	in.Body = make([]byte, 1<<20)
	for range 8 { // more than bbolt's first mapping would hold
		if _, err := s.Append(ctx, in); err != nil {
			t.Fatal(err)
		}
	}
	close(w.goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

type slowWriter struct {
	once        sync.Once
	began, goOn chan struct{}
}

func (w *slowWriter) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.began); <-w.goOn })
	return len(p), nil
}

func TestCompact_SameContentLessSpace(t *testing.T) {
	s := open(t, Options{})
	fill(t, s, 1000, func(i int, in *event.Incoming) {
		in.Body = make([]byte, 4000)
		if i%10 == 0 {
			in.Event.State = event.Pending
		}
	})
	if _, err := s.Purge(context.Background(), Retention{Events: time.Hour}, t0.Add(day)); err != nil {
		t.Fatal(err)
	}
	before, last := dump(t, s), mustAppend(t, s, incoming("7")).Seq
	settle(t, s, last, event.Done, t0)
	update(t, s, func(tx *Tx) error {
		ev, err := tx.Event(last)
		if err != nil {
			return err
		}
		return tx.drop(ev)
	})
	if diff := cmp.Diff(before, dump(t, s)); diff != "" {
		t.Fatal(diff)
	}
	dst := filepath.Join(t.TempDir(), "small.db")
	if err := Compact(s.opt.Path, dst); !errors.Is(err, ErrLocked) {
		t.Errorf("of a store in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Compact(s.opt.Path, dst); err != nil {
		t.Fatal(err)
	}
	if err := Compact(s.opt.Path, dst); !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto a file that is there: %v", err)
	}
	c := open(t, Options{Path: dst})
	if diff := cmp.Diff(before, dump(t, c)); diff != "" {
		t.Errorf("content (-want +got):\n%s", diff)
	}
	info, err := os.Stat(dst)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if old, _ := os.Stat(s.opt.Path); info.Size() > old.Size()/3 {
		t.Errorf("%d bytes of %d", info.Size(), old.Size())
	}
	if next := mustAppend(t, c, incoming("7")).Seq; next != last+1 {
		t.Errorf("numbers start again at %d", next)
	}
}

func TestCompact_NoticesWhatDidNotArrive(t *testing.T) {
	bare := func(path string, fn func(*bolt.Tx) error) *bolt.DB {
		edit(t, path, fn)
		db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	one := stored(t) // each writes its own times
	stored := func(t *testing.T) string {
		t.Helper()
		raw, err := os.ReadFile(one)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "bridge.db")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	from := bare(stored(t), func(*bolt.Tx) error { return nil })
	for name, fn := range map[string]func(*bolt.Tx) error{
		"bucket":   func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte(bucketBodies)) },
		"key":      func(tx *bolt.Tx) error { return tx.Bucket([]byte(bucketEvents)).Delete([]byte(be64(400))) },
		"value":    func(tx *bolt.Tx) error { return tx.Bucket([]byte(bucketEvents)).Put([]byte(be64(7)), nil) },
		"more":     func(tx *bolt.Tx) error { return tx.Bucket([]byte(bucketEvents)).Put([]byte(be64(401)), nil) },
		"sequence": func(tx *bolt.Tx) error { return tx.Bucket([]byte(bucketEvents)).SetSequence(1) },
	} {
		if err := same(from, bare(stored(t), fn)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := same(from, bare(stored(t), func(*bolt.Tx) error { return nil })); err != nil {
		t.Errorf("equal files: %v", err)
	}
}

func TestCompact_RefusesDamageAndLeavesNothing(t *testing.T) {
	src, dst := stored(t), filepath.Join(t.TempDir(), "small.db")
	if err := os.Truncate(src, 20*4096); err != nil {
		t.Fatal(err)
	}
	if err := Compact(src, dst); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
	if err := Verify(src); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Verify: %v", err)
	}
	if _, err := os.Stat(dst); !errors.Is(err, fs.ErrNotExist) {
		t.Error("something was left")
	}
}
