package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/jivo-amocrm/bridge/internal/crashpoint"
)

// What one commit takes at most: enough for any burst, little enough that
// nobody waits long for the others and memory stays small.
const (
	groupRequests = 512
	groupBytes    = 8 << 20
	// groupUpdates bounds the part of it that is no append. When amoCRM answers a
	// request of fifty, fifty events are written down at once; whom Jivo waits for
	// must not wait for all of them.
	groupUpdates = 8
)

// fullPause is how long nothing is tried after the disk was full: bbolt reads
// the whole file to find its free pages after a failed commit.
const fullPause = time.Second

// request is one caller's wish to write.
type request struct {
	ctx     context.Context
	fn      func(*Tx) error
	reserve uint64 // refused while less than this is free on the disk
	size    int    // of what it writes, roughly, in bytes
	stage   atomic.Int32
	done    chan error // capacity 1; answered exactly once
	failure error      // of the attempt under way
}

const (
	waiting int32 = iota
	started
	withdrawn
)

// submit hands a request to the writer and waits for its answer. Once started,
// a request is waited for even if ctx ends: only the answer says whether it is
// stored.
func (s *Store) submit(ctx context.Context, to chan *request, r *request) error {
	if s.opt.ReadOnly {
		return ErrReadOnly
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r.done = make(chan error, 1)
	select {
	case to <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return ErrClosed
	}
	var withdrawal error
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		withdrawal = ctx.Err()
	case <-s.stopped:
		withdrawal = ErrClosed // queued after the writer looked for the last time
	}
	if r.stage.CompareAndSwap(waiting, withdrawn) {
		return withdrawal
	}
	return <-r.done
}

// write is the writer's goroutine.
func (s *Store) write() {
	defer close(s.stopped)
	crashpoint.Pin()
	debug.SetPanicOnFault(true) // a page that cannot be read becomes ErrCorrupt, not a crash
	for {
		if group := s.gather(nil); group != nil {
			s.run(group)
			continue
		}
		select {
		case r := <-s.appends:
			s.run(s.gather(r))
		case r := <-s.updates:
			s.run(s.gather(r))
		case r := <-s.idle:
			s.run([]*request{r})
		case <-s.closing:
			for group := s.gather(nil); group != nil; group = s.gather(nil) {
				s.run(group)
			}
			return
		}
	}
}

// gather adds to first, if there is one, what is queued already, without
// waiting: appends, then some updates.
func (s *Store) gather(first *request) (group []*request) {
	bytes := 0
	take := func(r *request) { group, bytes = append(group, r), bytes+r.size }
	if first != nil {
		take(first)
	}
	for queued := true; queued && len(group) < groupRequests-groupUpdates && bytes < groupBytes; {
		select {
		case r := <-s.appends:
			take(r)
		default:
			queued = false
		}
	}
	for range groupUpdates {
		select {
		case r := <-s.updates:
			take(r)
		default:
			return group
		}
	}
	return group
}

// run works a group until every request of it is answered.
func (s *Store) run(group []*request) {
	group = s.admit(group)
	for len(group) > 0 {
		group = s.attempt(group)
	}
}

// admit starts the requests that were not withdrawn and answers those that
// cannot be taken now.
func (s *Store) admit(group []*request) []*request {
	refusal := s.refusal()
	if refusal == nil && time.Now().Before(s.fullUntil) {
		refusal = ErrFull
	}
	kept := group[:0]
	for _, r := range group {
		if !r.stage.CompareAndSwap(waiting, started) {
			continue
		}
		switch {
		case refusal != nil:
			r.done <- refusal
		case s.short(r.reserve):
			r.done <- ErrFull
		default:
			kept = append(kept, r)
		}
	}
	return kept
}

// refusal is why nothing can be written any more, or nil.
func (s *Store) refusal() error {
	if err := s.broken.Load(); err != nil {
		return *err
	}
	select {
	case <-s.stopped:
		if s.opt.ReadOnly {
			return nil
		}
		return ErrClosed
	default:
		return nil
	}
}

// short reports whether less than limit bytes are free. A disk that cannot be
// asked is left to answer the write itself.
func (s *Store) short(limit uint64) bool {
	if limit == 0 {
		return false
	}
	free, err := s.opt.free(s.dir)
	return err == nil && free < limit
}

// attempt runs a group in one transaction. If a request fails after it wrote
// something, everything is rolled back and the others are returned to be run
// again; one that fails before it wrote anything spoils nothing.
func (s *Store) attempt(group []*request) (again []*request) {
	tx, err := s.db.Begin(true)
	if err != nil {
		s.breakDown(group, fmt.Errorf("beginning a transaction: %w", err))
		return nil
	}
	t := &Tx{tx: tx, now: s.opt.Now, delta: map[tallyKey]int{}}
	var changed bool
	for i, r := range group {
		t.wrote = false
		r.failure = t.call(r.fn)
		if errors.Is(r.failure, errDamage) {
			rollback(tx)
			s.breakDown(group, r.failure)
			return nil
		}
		if r.failure != nil && t.wrote {
			rollback(tx)
			r.done <- r.failure
			return append(group[:i:i], group[i+1:]...)
		}
		changed = changed || t.wrote
	}
	if !changed {
		rollback(tx)
		answer(group, nil)
		return nil
	}
	s.finish(group, t)
	return nil
}

// finish commits and answers the group.
func (s *Store) finish(group []*request, t *Tx) {
	id, began := t.tx.ID(), time.Now()
	crashpoint.At("before-commit")
	err := s.commit(t.tx)
	crashpoint.At("after-commit")
	if s.opt.Observe != nil {
		s.opt.Observe(time.Since(began).Seconds())
	}
	switch {
	case err == nil:
		s.lastCommit.Store(time.Now().UnixNano())
		s.apply(t)
		answer(group, nil)
		if s.isFull {
			s.isFull = false
			s.opt.Logger.Info("store: there is room on the disk again")
		}
	case isNoSpace(err) && !s.landed(id):
		s.fullUntil = time.Now().Add(fullPause)
		if !s.isFull {
			s.isFull = true
			s.opt.Logger.Error("store: the disk is full", "err", err)
		}
		answer(group, fmt.Errorf("%w: %w", ErrFull, err))
	default:
		s.breakDown(group, err)
	}
}

// commit commits, with a panic of bbolt (a damaged page) made an error.
func (s *Store) commit(tx *bolt.Tx) (err error) {
	defer func() {
		if v := recover(); v != nil {
			rollback(tx)
			err = damage(v)
		}
	}()
	return s.opt.commit(tx)
}

// landed reports whether a commit that failed is there all the same: bbolt
// reads its meta page through the mapping, so an unsynced one counts.
func (s *Store) landed(id int) bool {
	landed := true
	err := s.db.View(func(tx *bolt.Tx) error {
		landed = tx.ID() >= id
		return nil
	})
	return err != nil || landed
}

// apply takes a commit over into what is kept in memory.
func (s *Store) apply(t *Tx) {
	s.mu.Lock()
	for k, n := range t.delta {
		s.add(k.connection, k.state, n)
	}
	s.mu.Unlock()
	if t.due {
		s.signal()
	}
}

// breakDown ends writing for good. The callers' events are perhaps stored.
func (s *Store) breakDown(group []*request, err error) {
	err = fmt.Errorf("%w: %w", ErrBroken, err)
	first := s.broken.CompareAndSwap(nil, &err)
	answer(group, err)
	if first && s.opt.OnFatal != nil {
		s.opt.OnFatal(err)
	}
}

// answer gives each request its own failure, or the outcome of the commit.
func answer(group []*request, err error) {
	for _, r := range group {
		if r.failure != nil {
			r.done <- r.failure
			continue
		}
		r.done <- err
	}
}

// rollback takes a transaction back, whatever state bbolt left it in.
func rollback(tx *bolt.Tx) {
	defer func() { _ = recover() }()
	_ = tx.Rollback()
}

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
