package delivery

import (
	"context"
	"slices"
	"sync"
)

// locks are named locks, taken by several names at once. Contacts are locked by
// phone and e-mail, not only by client: two unknown visitors with one phone must
// not both be created (architecture.md, decision 9). The zero value is ready.
type locks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when released
}

// lock takes every name, in one order so that two takers cannot block each
// other, and returns what releases them. It fails only when ctx ends.
func (l *locks) lock(ctx context.Context, names []string) (release func(), err error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	var got []string
	release = func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, n := range got {
			close(l.held[n])
			delete(l.held, n)
		}
		got = nil
	}
	for _, n := range names {
		if err := l.one(ctx, n); err != nil {
			release()
			return nil, err
		}
		got = append(got, n)
	}
	return release, nil
}

func (l *locks) one(ctx context.Context, name string) error {
	for {
		l.mu.Lock()
		if l.held == nil {
			l.held = map[string]chan struct{}{}
		}
		ch, taken := l.held[name]
		if !taken {
			l.held[name] = make(chan struct{})
			l.mu.Unlock()
			return nil
		}
		l.mu.Unlock()
		select {
		case <-ch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
