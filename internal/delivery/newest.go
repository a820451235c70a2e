package delivery

import (
	"context"
	"errors"
	"sync"
	"time"
)

// shared is one list of the newest entities of an account, read once for every
// write that is in doubt: when a request of fifty items loses its answer, or a
// killed process left hundreds open, one list tells of all of them
// (product.md §8.2). The zero value is ready.
type shared[T any] struct {
	mu   sync.Mutex
	last *reading[T]
}

// reading is one pass over the list, under way until done is closed.
type reading[T any] struct {
	since int64     // unix seconds, the server's clock: how far back it goes
	began time.Time // what was there by then is in it
	done  chan struct{}
	list  []T
	err   error
}

// errUnread is what a list is that its reader did not bring to an end: it panicked.
var errUnread = errors.New("delivery: the list was not read")

// reach is how much further back than asked a list goes, so that others in doubt
// about the same minutes find theirs in it.
const reach = 60

// get returns a list that goes back to since at least and was begun at notBefore
// or later. The list is everybody's and must not be changed.
func (s *shared[T]) get(ctx context.Context, since int64, notBefore time.Time, read func(ctx context.Context, since int64) ([]T, error)) ([]T, error) {
	s.mu.Lock()
	r := s.last
	if r == nil || r.since > since || r.began.Before(notBefore) || r.failed() {
		r = &reading[T]{since: since - reach, began: time.Now(), done: make(chan struct{}), err: errUnread}
		s.last = r
		s.mu.Unlock()
		defer close(r.done)
		r.list, r.err = read(ctx, r.since)
		return r.list, r.err
	}
	s.mu.Unlock()
	select {
	case <-r.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if r.err != nil { // its reader's trouble: a ctx that ended, say
		return read(ctx, since)
	}
	return r.list, nil
}

func (r *reading[T]) failed() bool {
	select {
	case <-r.done:
		return r.err != nil
	default:
		return false
	}
}
