package store

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// sighting is what is remembered under a dedup key: when it was last seen, and
// the first event that had this value.
type sighting struct {
	at    int64 // unix seconds, by the store's own clock: an imported event's old time must not shorten its memory
	seq   uint64
	value digest
}

const (
	sightingVersion = 2
	sightingSize    = 1 + 8 + 8 + 16
)

func (s sighting) encode() []byte {
	b := make([]byte, 0, sightingSize)
	b = append(b, sightingVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(s.at))
	b = binary.BigEndian.AppendUint64(b, s.seq)
	return append(b, s.value[:]...)
}

func decodeSighting(rec []byte) (s sighting, err error) {
	if len(rec) != sightingSize || rec[0] != sightingVersion {
		return s, errRecord
	}
	s.at = int64(binary.BigEndian.Uint64(rec[1:]))
	s.seq = binary.BigEndian.Uint64(rec[9:])
	copy(s.value[:], rec[17:])
	return s, nil
}

// day is the key of bucketSeenDay: purging goes by it. By number rather than by
// digest, so that what is seen together stands together and a commit touches
// one page of it, not one for each.
func (s sighting) day() string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(max(s.at, 0)/secondsPerDay))
	return string(b[:]) + be64(s.seq)
}

const secondsPerDay = 24 * 60 * 60

// place is where a dedup key is kept: behind the digest of the part it can be
// cleared by, so that all of one part stand together.
type place string

func placeOf(connection, key string) place {
	part, whole := digest{}, hash(connection, key) // zero: it can only be cleared itself
	if i := strings.LastIndexByte(key, '|'); i >= 0 {
		part = hash(connection, key[:i+1])
	}
	return place(string(part[:]) + string(whole[:]))
}

// sight decides whether an event is a repeat, and remembers it if it is none.
func (t *Tx) sight(connection string, d event.Dedup, seq uint64) (of uint64, repeat bool, err error) {
	var at place
	var old *sighting
	if d.Key != "" {
		at = placeOf(connection, d.Key)
		if old, err = t.sighting(at); err != nil {
			return 0, false, err
		}
	}
	value := hash(d.Value)
	if old != nil && old.value == value {
		again := *old
		again.at = t.now().Unix()
		return old.seq, true, t.remember(at, old, again)
	}
	if err := t.clear(connection, d.Clear); err != nil {
		return 0, false, err
	}
	if d.Key == "" {
		return 0, false, nil
	}
	if old, err = t.sighting(at); err != nil { // its own Clear may have dropped it
		return 0, false, err
	}
	return 0, false, t.remember(at, old, sighting{at: t.now().Unix(), seq: seq, value: value})
}

func (t *Tx) sighting(at place) (*sighting, error) {
	rec := t.get(bucketSeen, string(at))
	if rec == nil {
		return nil, nil
	}
	s, err := decodeSighting(rec)
	if err != nil {
		return nil, fmt.Errorf("dedup key: %w", err)
	}
	return &s, nil
}

// remember replaces what is kept at a place.
func (t *Tx) remember(at place, old *sighting, now sighting) error {
	if err := t.put(bucketSeen, string(at), now.encode()); err != nil {
		return err
	}
	switch {
	case old != nil && old.day() == now.day():
		return nil
	case old != nil:
		if err := t.del(bucketSeenDay, old.day()); err != nil {
			return err
		}
	}
	return t.put(bucketSeenDay, now.day(), []byte(at))
}

// lapse drops what is kept at a place.
func (t *Tx) lapse(at place, old *sighting) error {
	if err := t.del(bucketSeen, string(at)); err != nil {
		return err
	}
	return t.del(bucketSeenDay, old.day())
}

// clear drops the keys an event.Dedup.Clear names.
func (t *Tx) clear(connection, clear string) error {
	if clear == "" {
		return nil
	}
	places := []place{placeOf(connection, clear)}
	if strings.HasSuffix(clear, "|") {
		part := hash(connection, clear)
		for _, at := range t.keys(bucketSeen, string(part[:])) {
			places = append(places, place(at))
		}
	}
	for _, at := range places {
		old, err := t.sighting(at)
		if err != nil {
			return err
		}
		if old == nil {
			continue
		}
		if err := t.lapse(at, old); err != nil {
			return err
		}
	}
	return nil
}

// lapseDay drops the key a day's entry names, unless it was seen again since.
func (t *Tx) lapseDay(day string, did *PurgeStats) error {
	at := place(t.get(bucketSeenDay, day))
	old, err := t.sighting(at)
	if err != nil {
		return err
	}
	if old == nil || old.day() != day {
		return t.del(bucketSeenDay, day)
	}
	did.Dedup++
	return t.lapse(at, old)
}
