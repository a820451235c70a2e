package app

import (
	"context"
	"errors"
	"time"

	"github.com/jivo-amocrm/bridge/internal/console"
	"github.com/jivo-amocrm/bridge/internal/delivery"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// Replay implements console.Backend.
func (a *App) Replay(ctx context.Context, seq uint64, again bool) error {
	return a.store.Update(ctx, func(tx *store.Tx) error { return replay(tx, seq, again) })
}

// replay puts a settled event to work again, if it can be.
func replay(tx *store.Tx, seq uint64, again bool) error {
	ev, err := tx.Event(seq)
	if err != nil {
		return notFound(err)
	}
	switch {
	case !ev.State.Settled():
		return &console.Conflict{Why: "the event is " + string(ev.State) + " already"}
	case ev.Reason == event.Duplicate:
		return &console.Conflict{Why: "it is a repeat (" + ev.Detail + "); replay the first one"}
	case ev.Reason == event.Forgotten:
		return &console.Conflict{Why: "its person was forgotten; there is nothing left to replay"}
	case tx.Body(seq) == nil:
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

// ReplayAll implements console.Backend.
func (a *App) ReplayAll(ctx context.Context, f console.ReplayFilter) (int, error) {
	total := 0
	filter := store.Filter{Connection: f.Connection, State: f.State, Reason: f.Reason, Limit: replaySlice}
	for {
		var evs []*event.Event
		var next uint64
		err := a.store.View(func(tx *store.Tx) (err error) {
			evs, next, err = tx.Events(filter)
			return err
		})
		if err != nil {
			return total, err
		}
		n := 0
		err = a.store.Update(ctx, func(tx *store.Tx) error {
			n = 0
			for _, ev := range evs {
				err := replay(tx, ev.Seq, f.Again)
				var conflict *console.Conflict
				if errors.As(err, &conflict) {
					continue
				}
				if err != nil {
					return err
				}
				n++
			}
			return nil
		})
		total += n
		if err != nil || next == 0 {
			return total, err
		}
		filter.Before = next
	}
}
