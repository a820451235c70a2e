package app

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jivo-amocrm/bridge/internal/console"
	"github.com/jivo-amocrm/bridge/internal/delivery"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// Replay implements console.Backend.
func (a *App) Replay(ctx context.Context, seq uint64, again bool) error {
	return a.store.Update(ctx, func(tx *store.Tx) error {
		ev, err := tx.Event(seq)
		if err != nil {
			return notFound(err)
		}
		return replay(tx, ev, again)
	})
}

// replay puts a settled event to work again; a *console.Conflict says why it cannot.
func replay(tx *store.Tx, ev *event.Event, again bool) error {
	switch {
	case !ev.State.Settled():
		return &console.Conflict{Why: "the event is " + string(ev.State) + " already"}
	case ev.Reason == event.Duplicate:
		return &console.Conflict{Why: "it is a repeat (" + ev.Detail + "); replay the first one"}
	case ev.Reason == event.Forgotten:
		return &console.Conflict{Why: "its person was forgotten; there is nothing left to replay"}
	case tx.Body(ev.Seq) == nil:
		return &console.Conflict{Why: "its body was purged; there is nothing left to replay"}
	}
	delivery.Replay(ev, again, time.Now())
	return tx.Put(ev)
}

// Discard implements console.Backend.
func (a *App) Discard(ctx context.Context, seq uint64) error {
	return a.store.Update(ctx, func(tx *store.Tx) error {
		ev, err := tx.Event(seq)
		if err != nil {
			return notFound(err)
		}
		if ev.State != event.Dead {
			return &console.Conflict{Why: "only dead events can be discarded; this one is " + string(ev.State)}
		}
		ev.State, ev.Reason, ev.Detail = event.Skipped, event.Discarded, "discarded by hand; it was dead: "+string(ev.Reason)
		return tx.Put(ev)
	})
}

// replaySlice is how many events one commit of a bulk replay takes.
const replaySlice = 200

// ReplayAll implements console.Backend. The oldest go first: what is settled in one
// commit must not be overtaken by what comes with the next.
func (a *App) ReplayAll(ctx context.Context, f console.ReplayFilter) (total int, err error) {
	seqs, err := a.matching(store.Filter{Connection: f.Connection, State: f.State, Reason: f.Reason, Limit: replaySlice})
	if err != nil {
		return 0, err
	}
	slices.Reverse(seqs)
	for slice := range slices.Chunk(seqs, replaySlice) {
		n := 0
		err := a.store.Update(ctx, func(tx *store.Tx) (err error) {
			n, err = replaySome(tx, slice, f)
			return err
		})
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// replaySome replays those of seqs that still match and can be, and counts them.
func replaySome(tx *store.Tx, seqs []uint64, f console.ReplayFilter) (n int, err error) {
	for _, seq := range seqs {
		ev, err := tx.Event(seq)
		if errors.Is(err, store.ErrNotFound) { // purged meanwhile
			continue
		}
		if err != nil {
			return 0, err
		}
		if ev.State != f.State || f.Reason != "" && ev.Reason != f.Reason {
			continue
		}
		err = replay(tx, ev, f.Again)
		if _, conflict := errors.AsType[*console.Conflict](err); conflict {
			continue
		}
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// matching lists the events of a filter, newest first.
func (a *App) matching(f store.Filter) (seqs []uint64, err error) {
	for {
		var next uint64
		err := a.store.View(func(tx *store.Tx) error {
			evs, before, err := tx.Events(f)
			for _, ev := range evs {
				seqs = append(seqs, ev.Seq)
			}
			next = before
			return err
		})
		if err != nil || next == 0 {
			return seqs, err
		}
		f.Before = next
	}
}
