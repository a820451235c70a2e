package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Appended is the journal's answer.
type Appended struct {
	Seq    uint64
	Repeat bool   // kept as skipped, reason duplicate
	Of     uint64 // what it repeats
}

// Append journals an event with its body: when it returns nil, both are on
// disk. Whether the event is a repeat is decided in the order of the journal
// (event.Dedup); a repeat is kept as skipped, and without its body if that of
// the first is no longer kept: forgetting a person holds for what is delivered
// again. The event's State is Pending if empty, ReceivedAt is now if zero.
//
// Keys are on disk as digests, so only their part up to the last "|" can be
// cleared: Dedup.Clear "accepted|7|" drops "accepted|7|anna", while a Clear
// that does not end in "|" drops the key it equals.
//
// ErrFull and ErrClosed: not stored. ErrBroken: perhaps stored.
func (s *Store) Append(ctx context.Context, in event.Incoming) (Appended, error) {
	var a Appended
	err := s.submit(ctx, s.appends, &request{
		ctx: ctx, size: len(in.Body), reserve: s.reserve(in.Event.Source),
		fn: func(t *Tx) (err error) {
			a, err = t.append(in)
			return err
		},
	})
	if err != nil {
		return Appended{}, err
	}
	return a, nil
}

func (s *Store) reserve(source event.Source) uint64 {
	if source == event.AmoCRM {
		return 2 * s.freeSpace.Load()
	}
	return s.freeSpace.Load()
}

func (t *Tx) append(in event.Incoming) (Appended, error) {
	seq, err := t.bucket(bucketEvents).NextSequence()
	if err != nil {
		return Appended{}, boltError(err)
	}
	t.wrote = true
	ev := in.Event
	ev.Seq, ev.BodySize = seq, len(in.Body)
	if ev.ReceivedAt.IsZero() {
		ev.ReceivedAt = t.now()
	}
	a := Appended{Seq: seq}
	if a.Of, a.Repeat, err = t.sight(ev.Connection, in.Dedup, seq); err != nil {
		return Appended{}, err
	}
	if a.Repeat {
		ev.State, ev.Reason, ev.NextAt = event.Skipped, event.Duplicate, time.Time{}
		ev.Detail = fmt.Sprintf("repeat of %d", a.Of)
		if t.get(bucketBodies, be64(a.Of)) == nil {
			in.Body = nil // what is not kept of the first, because its person was forgotten, does not come back by the second
		}
	}
	if ev.State == "" {
		ev.State = event.Pending
	}
	if ev.State.Settled() && ev.SettledAt.IsZero() {
		ev.SettledAt = t.now()
	}
	if len(in.Body) > 0 {
		if err := t.put(bucketBodies, be64(seq), in.Body); err != nil {
			return Appended{}, err
		}
	}
	if t.get(bucketConnections, Key(ev.Connection)) == nil {
		if err := t.put(bucketConnections, Key(ev.Connection), []byte{}); err != nil {
			return Appended{}, err
		}
	}
	return a, t.write(nil, &ev)
}
