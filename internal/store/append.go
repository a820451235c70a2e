package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
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
// (event.Dedup); a repeat is kept as skipped. The event's State is Pending if
// empty, ReceivedAt is now if zero.
//
// Keys are on disk as digests, so only their part up to the last "|" can be
// cleared: Dedup.Clear "accepted|7|" drops "accepted|7|anna", while a Clear
// that does not end in "|" drops the key it equals.
//
// ErrFull and ErrClosed: not stored. ErrBroken: perhaps stored.
func (s *Store) Append(ctx context.Context, in event.Incoming) (Appended, error) {
	var a Appended
	err := s.submit(ctx, s.queue, &request{
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
		return 2 * s.opt.FreeSpace
	}
	return s.opt.FreeSpace
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

// sighting is what is remembered under a dedup key: when it was last seen, the
// first event that had this value, and digests of the value and of the part of
// the key it can be cleared by.
type sighting struct {
	at     int64 // unix seconds
	seq    uint64
	value  digest
	prefix digest
}

const sightingSize = 1 + 8 + 8 + 16 + 16

func (s sighting) encode() []byte {
	b := make([]byte, 0, sightingSize)
	b = append(b, recordVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(s.at))
	b = binary.BigEndian.AppendUint64(b, s.seq)
	b = append(b, s.value[:]...)
	return append(b, s.prefix[:]...)
}

func decodeSighting(rec []byte) (s sighting, err error) {
	if len(rec) != sightingSize || rec[0] != recordVersion {
		return s, errRecord
	}
	s.at = int64(binary.BigEndian.Uint64(rec[1:]))
	s.seq = binary.BigEndian.Uint64(rec[9:])
	copy(s.value[:], rec[17:])
	copy(s.prefix[:], rec[33:])
	return s, nil
}

// day is the key of bucketDedupDay: purging goes by it. The clock is the
// store's own: an imported event's old time must not shorten its memory.
func (s sighting) day(key digest) string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(max(s.at, 0)/secondsPerDay))
	return string(b[:]) + string(key[:])
}

const secondsPerDay = 24 * 60 * 60

// sight decides whether an event is a repeat, and remembers it if it is none.
func (t *Tx) sight(connection string, d event.Dedup, seq uint64) (of uint64, repeat bool, err error) {
	var key digest
	var old *sighting
	if d.Key != "" {
		key = hash(connection, d.Key)
		if old, err = t.sighting(key); err != nil {
			return 0, false, err
		}
	}
	value := hash(d.Value)
	if old != nil && old.value == value {
		again := *old
		again.at = t.now().Unix()
		return old.seq, true, t.remember(key, old, again)
	}
	if err := t.clear(connection, d.Clear); err != nil {
		return 0, false, err
	}
	if d.Key == "" {
		return 0, false, nil
	}
	if old, err = t.sighting(key); err != nil { // its own Clear may have dropped it
		return 0, false, err
	}
	now := sighting{at: t.now().Unix(), seq: seq, value: value, prefix: clearable(connection, d.Key)}
	return 0, false, t.remember(key, old, now)
}

func (t *Tx) sighting(key digest) (*sighting, error) {
	rec := t.get(bucketDedup, string(key[:]))
	if rec == nil {
		return nil, nil
	}
	s, err := decodeSighting(rec)
	if err != nil {
		return nil, fmt.Errorf("dedup key: %w", err)
	}
	return &s, nil
}

// clearable is the digest of the part of a key it can be cleared by; zero: none.
func clearable(connection, key string) digest {
	i := strings.LastIndexByte(key, '|')
	if i < 0 {
		return digest{}
	}
	return hash(connection, key[:i+1])
}

// remember replaces what is kept under a key, in all three buckets.
func (t *Tx) remember(key digest, old *sighting, now sighting) error {
	if err := t.put(bucketDedup, string(key[:]), now.encode()); err != nil {
		return err
	}
	return t.syncIndex(sightingEntries(key, old), sightingEntries(key, &now))
}

// lapse drops a key from all three buckets.
func (t *Tx) lapse(key digest, old *sighting) error {
	if err := t.del(bucketDedup, string(key[:])); err != nil {
		return err
	}
	return t.syncIndex(sightingEntries(key, old), nil)
}

func sightingEntries(key digest, s *sighting) []entry {
	if s == nil {
		return nil
	}
	es := []entry{{bucketDedupDay, s.day(key)}}
	if s.prefix != (digest{}) {
		es = append(es, entry{bucketDedupPrefix, string(s.prefix[:]) + string(key[:])})
	}
	return es
}

// clear drops the keys an event.Dedup.Clear names.
func (t *Tx) clear(connection, clear string) error {
	if clear == "" {
		return nil
	}
	exact, p := hash(connection, clear), ""
	keys := []digest{exact}
	if strings.HasSuffix(clear, "|") {
		p = string(exact[:])
		for _, k := range t.keys(bucketDedupPrefix, p) {
			keys = append(keys, digest([]byte(k[len(p):])))
		}
	}
	for _, key := range keys {
		old, err := t.sighting(key)
		if err != nil {
			return err
		}
		if old == nil {
			continue
		}
		if err := t.lapse(key, old); err != nil {
			return err
		}
	}
	return nil
}
