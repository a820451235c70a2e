package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Options say where a store lives and how it behaves.
type Options struct {
	// Path of the file. Its directory is made (0700) if it is missing.
	Path string
	// FreeSpace is what must stay free on the disk, in bytes: below it Append
	// answers ErrFull. Hooks of amoCRM are refused at twice as much already:
	// the sweep repairs them, nobody repairs a lost chat (product.md §3).
	FreeSpace uint64
	Logger    *slog.Logger
	// OnFatal is called once, when a commit failed. It runs in the writer's
	// goroutine after the callers were answered and must not call Close.
	OnFatal  func(error)
	ReadOnly bool
	Now      func() time.Time      // time.Now if nil
	Observe  func(seconds float64) // told how long each commit took

	// commit stands in for (*bolt.Tx).Commit in tests of disk faults.
	commit func(*bolt.Tx) error
	// free stands in for the disk's free space in tests.
	free func(dir string) (uint64, error)
}

// Store is an open store file. All methods may be called concurrently.
type Store struct {
	db  *bolt.DB
	opt Options
	dir string

	appends chan *request // holds a whole group, as updates does: who queues is woken once, by the answer
	updates chan *request
	idle    chan *request // taken only while the others are empty
	closing chan struct{}
	stopped chan struct{}
	wake    chan struct{}

	closeOnce sync.Once
	closeErr  error

	broken     atomic.Pointer[error]
	lastCommit atomic.Int64 // unix nanoseconds of the last good commit
	freeSpace  atomic.Uint64

	// Of the writer's goroutine alone.
	fullUntil time.Time // after ENOSPC nothing is tried before
	isFull    bool

	mu     sync.Mutex
	counts map[string]*tally
}

// tally counts the unsettled and dead events of one connection.
type tally map[event.State]int

// Counts is how many events of a connection wait or are dead.
type Counts struct {
	Pending, Parked, Dead int
	Oldest                time.Time // when the oldest pending event came; zero: none
}

// lockWait is how long Open waits for another process to let go of the file.
const lockWait = time.Second

// Open opens the store at o.Path, making it if there is none (unless ReadOnly).
// A file it cannot use is left untouched and refused by an *OpenError that is
// ErrLocked, ErrCorrupt, ErrForeign or ErrNewer.
func Open(o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.commit == nil {
		o.commit = (*bolt.Tx).Commit
	}
	if o.free == nil {
		o.free = freeSpace
	}
	db, err := openFile(o.Path, o.ReadOnly, o.Now)
	if err != nil {
		return nil, err
	}
	s := &Store{
		db: db, opt: o, dir: filepath.Dir(o.Path),
		appends: make(chan *request, groupRequests), updates: make(chan *request, groupRequests), idle: make(chan *request),
		closing: make(chan struct{}), stopped: make(chan struct{}),
		wake: make(chan struct{}, 1), counts: map[string]*tally{},
	}
	s.SetFreeSpace(o.FreeSpace)
	if err := s.View(s.countAll); err != nil {
		_ = db.Close()
		return nil, &OpenError{Path: o.Path, Err: err}
	}
	s.lastCommit.Store(time.Now().UnixNano())
	s.signal()
	if o.ReadOnly {
		close(s.stopped)
		return s, nil
	}
	go s.write()
	return s, nil
}

// SetFreeSpace changes Options.FreeSpace for what is appended from now on.
func (s *Store) SetFreeSpace(bytes uint64) { s.freeSpace.Store(bytes) }

// Close answers what was already taken, stops the writer and closes the file.
// It may be called twice; reads still running are waited for.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		<-s.stopped
		s.closeErr = s.shut()
	})
	return s.closeErr
}

// shut closes the file. A store in good order gets its list of free pages
// written first, so that the next Open need not find them by reading the file.
func (s *Store) shut() error {
	if !s.opt.ReadOnly && s.broken.Load() == nil {
		s.db.NoFreelistSync = false
		if err := s.db.Update(func(*bolt.Tx) error { return nil }); err != nil {
			s.opt.Logger.Warn("store: free pages not saved; the next start takes longer", "err", err)
		}
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}

// Update runs fn in a transaction that is on disk when Update returns nil. fn
// may run again if another of its group failed, so it must do nothing but work
// on the Tx. An error of fn takes back what fn did, and nothing else, and is
// returned. A ctx that ends before fn was started withdraws it.
func (s *Store) Update(ctx context.Context, fn func(*Tx) error) error {
	return s.submit(ctx, s.updates, &request{ctx: ctx, fn: fn})
}

// View runs fn on the newest committed state. The Tx must not outlive fn.
func (s *Store) View(fn func(*Tx) error) error {
	err := s.db.View(func(tx *bolt.Tx) error {
		t := &Tx{tx: tx, now: s.opt.Now}
		return t.call(fn)
	})
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// Wake receives when something entered the due index: an event appended, put
// back or due at another time. Signals may be spurious and are joined.
func (s *Store) Wake() <-chan struct{} { return s.wake }

func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Counts gives a connection's numbers. They are kept in memory, in step with
// what was committed; Oldest is looked up.
func (s *Store) Counts(connection string) Counts {
	var c Counts
	s.mu.Lock()
	if n := s.counts[connection]; n != nil {
		c = Counts{Pending: (*n)[event.Pending], Parked: (*n)[event.Parked], Dead: (*n)[event.Dead]}
	}
	s.mu.Unlock()
	if c.Pending == 0 {
		return c
	}
	err := s.View(func(t *Tx) error {
		c.Oldest = t.oldest(connection)
		return nil
	})
	if err != nil {
		c.Oldest = time.Time{}
	}
	return c
}

// Pending is how many events of a connection are to be done. It is cheap: the
// listener asks with every request.
func (s *Store) Pending(connection string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.counts[connection]; n != nil {
		return (*n)[event.Pending]
	}
	return 0
}

func (s *Store) add(connection string, state event.State, n int) {
	t := s.counts[connection]
	if t == nil {
		t = &tally{}
		s.counts[connection] = t
	}
	(*t)[state] += n
}

// Size is the size of the file in bytes.
func (s *Store) Size() int64 {
	info, err := os.Stat(s.opt.Path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// fresh is how long a good commit answers for the store's health.
const fresh = 10 * time.Second

// Writable reports whether the store takes events: nil, ErrFull, ErrBroken,
// ErrClosed or the end of ctx, if the disk does not answer. It writes something
// small if nothing was written lately.
func (s *Store) Writable(ctx context.Context) error {
	if err := s.refusal(); err != nil {
		return err
	}
	if s.opt.ReadOnly {
		return ErrReadOnly
	}
	if s.short(s.freeSpace.Load()) {
		return ErrFull
	}
	if time.Since(time.Unix(0, s.lastCommit.Load())) < fresh {
		return nil
	}
	probe := func(t *Tx) error { return t.put(bucketMeta, metaProbe, []byte(s.opt.Now().UTC().Format(time.RFC3339))) }
	done := make(chan error, 1)
	go func() { done <- s.Update(ctx, probe) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the store does not answer: %w", ctx.Err())
	}
}
