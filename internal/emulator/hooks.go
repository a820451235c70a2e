package emulator

import (
	"context"
	"slices"
)

// Subscribe makes or replaces a destination, as an admin does in the web
// interface. No settings means every one.
func (a *Account) Subscribe(destination string, settings ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(settings) == 0 {
		settings = EverySetting()
	}
	a.book.Subscribe(destination, settings, 0, a.opt.Now().Unix())
}

// Unsubscribe removes a destination.
func (a *Account) Unsubscribe(destination string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.book.Hooks = slices.DeleteFunc(a.book.Hooks, func(s *Subscription) bool { return s.Destination == destination })
}

// SetHookDisabled switches a destination off, or on again by hand.
func (a *Account) SetHookDisabled(destination string, off bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.book.Hooks {
		if s.Destination == destination {
			s.Disabled, s.Invalid = off, nil
		}
	}
}

// Subscriptions returns copies of the account's destinations.
func (a *Account) Subscriptions() []Subscription {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]Subscription, len(a.book.Hooks))
	for i, s := range a.book.Hooks {
		out[i] = *s
		out[i].Settings = slices.Clone(s.Settings)
	}
	return out
}

// DPHook sets a hook on a stage: thin bodies, sent once (amocrm-api.md §6.6).
func (a *Account) DPHook(pipelineID, statusID int64, destination string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.book.DPHooks = append(a.book.DPHooks, DPHook{PipelineID: pipelineID, StatusID: statusID, URL: destination})
}

// FlushHooks waits until every queued hook is delivered or given up, which
// with retries takes up to 95 minutes; it returns ctx's error if that comes first.
func (a *Account) FlushHooks(ctx context.Context) error { return a.courier.Flush(ctx) }
