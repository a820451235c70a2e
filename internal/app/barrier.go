package app

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// barrier knows the hooks that were acknowledged and are not applied yet. A
// reply waits for those that came before its event: a stage change acknowledged
// before a chat_accepted is in that reply (product.md §6).
type barrier struct {
	mu  sync.Mutex
	set map[uint64]bool
}

func newBarrier() *barrier { return &barrier{set: map[uint64]bool{}} }

func (b *barrier) raise(seq uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set[seq] = true
}

func (b *barrier) lower(seq uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.set, seq)
}

// wait returns what waits until every hook before an event is applied; settled
// waits for one.
func (b *barrier) wait(settled func(context.Context, uint64)) func(context.Context, uint64) {
	return func(ctx context.Context, before uint64) {
		b.mu.Lock()
		seqs := slices.Sorted(maps.Keys(b.set))
		b.mu.Unlock()
		for _, seq := range seqs {
			if seq >= before || ctx.Err() != nil {
				return
			}
			settled(ctx, seq)
		}
	}
}

// hookApplied waits for one hook; no operator asks for it by itself.
func (a *App) hookApplied(ctx context.Context, seq uint64) { a.disp.WaitCore(ctx, seq, math.MaxInt) }

// journal is the store as the listener sees it: a hook that is on disk is
// applied at once, whatever the account's state.
type journal struct{ a *App }

// Append implements intake.Journal.
func (j journal) Append(ctx context.Context, in event.Incoming) (store.Appended, error) {
	got, err := j.a.store.Append(ctx, in)
	if err == nil && in.Event.Source == event.AmoCRM {
		j.a.mu.Lock()
		j.a.hooked[in.Event.Connection] = in.Event.ReceivedAt
		j.a.mu.Unlock()
	}
	if err != nil || in.Event.Source != event.AmoCRM || got.Repeat || in.Event.State.Settled() {
		return got, err
	}
	j.a.applyHook(j.a.lifetime(), in.Event.Connection, got.Seq)
	return got, nil
}

// applyHook applies a hook, and has replies wait for it meanwhile.
func (a *App) applyHook(ctx context.Context, connection string, seq uint64) {
	a.barrier.raise(seq)
	if !a.disp.ApplyHook(ctx, connection, seq) {
		a.barrier.lower(seq) // nobody works this connection: no reply waits for that
	}
}

func (a *App) lifetime() context.Context {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.life
}

// leftoverHooks applies the hooks that an earlier process acknowledged and did
// not get to.
func (a *App) leftoverHooks(ctx context.Context) {
	for _, c := range a.config().Connections {
		var before uint64
		for ctx.Err() == nil {
			var evs []*event.Event
			err := a.store.View(func(tx *store.Tx) (err error) {
				evs, before, err = tx.Events(store.Filter{Connection: c.Name, Source: event.AmoCRM, State: event.Pending, Limit: 500, Before: before})
				return err
			})
			if err != nil {
				a.log.Error("cannot read the hooks left over", "connection", c.Name, "error", err)
				return
			}
			for _, ev := range evs {
				a.applyHook(ctx, c.Name, ev.Seq)
			}
			if before == 0 {
				break
			}
		}
	}
}
