package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Retention says how long things are kept; zero: for ever.
type Retention struct {
	Events time.Duration // done and skipped events, since they settled
	Bodies time.Duration // bodies of done and skipped events, and what was written out of them; a dead one keeps both, or it could not be replayed
	Dead   time.Duration // dead events, since they died
	Dedup  time.Duration // dedup keys, since last seen; less than 30 days counts as 30 (product.md §8.2)
}

const minDedup = 30 * 24 * time.Hour

// PurgeStats counts what a Purge removed.
type PurgeStats struct{ Events, Bodies, Dead, Dedup int }

const (
	purgeSlice = 200  // removed in one commit
	purgeLook  = 1000 // looked at in one read transaction
	// clockSlack is how far ahead of now a time may be before it is taken for
	// one of a wrong clock, which says nothing about age.
	clockSlack = time.Hour
)

// Purge removes what is older than p allows, as seen from now. It reads outside
// the writer and removes in slices of 200, each only when nobody waits to
// write, so it may take long; it can be ended through ctx and called again at
// any time. Old records come first in the file, so it stops where young ones
// begin and never reads what it keeps, but for events that wait or are dead.
// Guarding against a clock that jumped is the caller's matter.
func (s *Store) Purge(ctx context.Context, p Retention, now time.Time) (PurgeStats, error) {
	var stats PurgeStats
	g := &purge{s: s, p: p, now: now, stats: &stats}
	for _, pass := range []func(context.Context) error{g.bodies, g.events, g.dedup} {
		if err := pass(ctx); err != nil {
			return stats, fmt.Errorf("purging: %w", err)
		}
	}
	return stats, nil
}

type purge struct {
	s     *Store
	p     Retention
	now   time.Time
	stats *PurgeStats
}

func (g *purge) before(t time.Time, keep time.Duration) bool {
	return keep > 0 && t.Before(g.now.Add(-keep))
}

func settledAt(ev *event.Event) time.Time {
	if ev.SettledAt.IsZero() {
		return ev.ReceivedAt
	}
	return ev.SettledAt
}

func (g *purge) staleEvent(ev *event.Event) bool {
	switch ev.State {
	case event.Done, event.Skipped:
		return g.before(settledAt(ev), g.p.Events)
	case event.Dead:
		return g.before(settledAt(ev), g.p.Dead)
	}
	return false
}

func (g *purge) staleBody(ev *event.Event) bool {
	return (ev.State == event.Done || ev.State == event.Skipped) && g.before(settledAt(ev), g.p.Bodies)
}

// young reports whether an event is so young that neither it nor, by all
// likelihood, what came after it can be stale. When an imported one was received
// says nothing of its place in the journal; when it settled does.
func (g *purge) young(ev *event.Event, keep time.Duration) bool {
	at := ev.ReceivedAt
	if ev.Imported {
		at = settledAt(ev)
	}
	return !g.before(at, keep) && !at.After(g.now.Add(clockSlack))
}

func (g *purge) bodies(ctx context.Context) error {
	if g.p.Bodies <= 0 {
		return nil
	}
	return g.sweep(ctx, bucketBodies, g.p.Bodies, g.staleBody, func(t *Tx, ev *event.Event, did *PurgeStats) error {
		did.Bodies++
		return t.dropTexts(ev)
	})
}

// dropTexts removes an event's body and what its changes quote of it: without the
// body it is never mapped anew, and what is settled is only told by its ids.
func (t *Tx) dropTexts(ev *event.Event) error {
	if err := t.DropBody(ev.Seq); err != nil {
		return err
	}
	quotes := func(c event.Change) bool { return len(c.Item) > 0 || c.Marker != "" }
	if !slices.ContainsFunc(ev.Changes, quotes) {
		return nil
	}
	for i := range ev.Changes {
		ev.Changes[i].Item, ev.Changes[i].Marker = nil, ""
	}
	return t.record(ev)
}

func (g *purge) events(ctx context.Context) error {
	keep := g.p.Events
	if keep <= 0 || (g.p.Dead > 0 && g.p.Dead < keep) {
		keep = g.p.Dead
	}
	if keep <= 0 {
		return nil
	}
	return g.sweep(ctx, bucketEvents, keep, g.staleEvent, func(t *Tx, ev *event.Event, did *PurgeStats) error {
		if ev.State == event.Dead {
			did.Dead++
		} else {
			did.Events++
		}
		return t.drop(ev)
	})
}

// drop removes an event with its body and everything that finds it.
func (t *Tx) drop(ev *event.Event) error {
	if err := t.DropBody(ev.Seq); err != nil {
		return err
	}
	if err := t.del(bucketEvents, be64(ev.Seq)); err != nil {
		return err
	}
	return t.write(ev, nil)
}

// sweep walks a bucket of events from the oldest on and removes the stale ones,
// until it saw a whole slice of young ones.
func (g *purge) sweep(ctx context.Context, bucket string, keep time.Duration, stale func(*event.Event) bool,
	remove func(*Tx, *event.Event, *PurgeStats) error) error {
	for from := uint64(0); ; {
		var victims []uint64
		var end bool
		err := g.s.View(func(t *Tx) (err error) {
			victims, from, end, err = g.look(t, bucket, keep, stale, from)
			return err
		})
		if err != nil {
			return err
		}
		if err := g.slice(ctx, func(t *Tx, did *PurgeStats) error {
			return removeAll(t, victims, stale, func(ev *event.Event) error { return remove(t, ev, did) })
		}, len(victims)); err != nil {
			return err
		}
		if end {
			return nil
		}
	}
}

// look finds the next victims from a seq on, and where to go on.
func (g *purge) look(t *Tx, bucket string, keep time.Duration, stale func(*event.Event) bool, from uint64) (victims []uint64, next uint64, end bool, err error) {
	c := t.bucket(bucket).Cursor()
	young, next := 0, from
	k, _ := c.Seek([]byte(be64(from)))
	for looked := 0; k != nil && looked < purgeLook && len(victims) < purgeSlice; looked++ {
		seq := seqAt(k)
		next = seq + 1
		ev, err := t.Event(seq)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, 0, false, err
		}
		switch {
		case err != nil: // a body without its event cannot be: skip it
		case stale(ev):
			victims = append(victims, seq)
		case g.young(ev, keep):
			young++
		}
		k, _ = c.Next()
		if young >= purgeSlice && len(victims) == 0 {
			return nil, next, true, nil
		}
	}
	return victims, next, k == nil, nil
}

// removeAll looks again, inside the writing transaction, whether each victim is
// still stale: it may have been replayed meanwhile.
func removeAll(t *Tx, victims []uint64, stale func(*event.Event) bool, remove func(*event.Event) error) error {
	for _, seq := range victims {
		ev, err := t.Event(seq)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if !stale(ev) {
			continue
		}
		if err := remove(ev); err != nil {
			return err
		}
	}
	return nil
}

// slice runs one removal when the writer is idle and counts it once committed.
func (g *purge) slice(ctx context.Context, fn func(*Tx, *PurgeStats) error, victims int) error {
	if victims == 0 {
		return ctx.Err()
	}
	var did PurgeStats
	err := g.s.submit(ctx, g.s.idle, &request{ctx: ctx, fn: func(t *Tx) error {
		did = PurgeStats{}
		return fn(t, &did)
	}})
	if err != nil {
		return err
	}
	g.stats.Events += did.Events
	g.stats.Bodies += did.Bodies
	g.stats.Dead += did.Dead
	g.stats.Dedup += did.Dedup
	return nil
}

// dedup removes the dedup keys of the days that are over for long enough.
func (g *purge) dedup(ctx context.Context) error {
	last := g.now.Add(-max(g.p.Dedup, minDedup)).Unix()/secondsPerDay - 1
	if g.p.Dedup <= 0 || last < 0 {
		return nil
	}
	for {
		var victims []string
		err := g.s.View(func(t *Tx) error {
			t.each(bucketSeenDay, "", func(k, _ []byte) bool {
				if int64(binary.BigEndian.Uint32(k)) > last || len(victims) == purgeSlice {
					return false
				}
				victims = append(victims, string(k))
				return true
			})
			return nil
		})
		if err != nil {
			return err
		}
		err = g.slice(ctx, func(t *Tx, did *PurgeStats) error {
			for _, day := range victims {
				if err := t.lapseDay(day, did); err != nil {
					return err
				}
			}
			return nil
		}, len(victims))
		if err != nil || len(victims) < purgeSlice {
			return err
		}
	}
}
