package store

import (
	"bytes"
	"errors"

	bolt "go.etcd.io/bbolt"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Filter says which events are wanted; empty fields let everything through.
type Filter struct {
	Connection string
	Source     event.Source
	Kind       string
	State      event.State
	Reason     event.Reason
	Client     string
	Chat       string
	AmoID      int64  // a lead or contact the event found, made or changed
	Limit      int    // 50 if zero
	Before     uint64 // only older ones than this; 0: from the newest
}

const (
	defaultLimit = 50
	// scanLimit bounds how many records one call of Events looks at.
	scanLimit = 5000
)

// Events gives the events a filter lets through, newest first. next, unless it
// is zero, is the Before of the following page. One call looks at 5,000 records
// at most, so a page may be short or even empty while next says there is more;
// the end is reached only when next is zero. Client, Chat, AmoID and the states
// pending, parked and dead are looked up, everything else is read through.
func (t *Tx) Events(f Filter) (evs []*event.Event, next uint64, err error) {
	if f.Limit <= 0 {
		f.Limit = defaultLimit
	}
	d := t.descend(f)
	for range scanLimit {
		seq := d.next()
		if seq == 0 {
			return evs, 0, nil
		}
		ev, err := t.Event(seq)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return evs, 0, err
		}
		next = seq
		if !f.match(ev) {
			continue
		}
		if evs = append(evs, ev); len(evs) == f.Limit {
			break
		}
	}
	if d.peek() == 0 {
		next = 0
	}
	return evs, next, nil
}

func (f Filter) match(ev *event.Event) bool {
	return (f.Connection == "" || f.Connection == ev.Connection) &&
		(f.Source == "" || f.Source == ev.Source) &&
		(f.Kind == "" || f.Kind == ev.Kind) &&
		(f.State == "" || f.State == ev.State) &&
		(f.Reason == "" || f.Reason == ev.Reason) &&
		(f.Client == "" || f.Client == ev.Client) &&
		(f.Chat == "" || f.Chat == ev.Chat)
}

// descend picks the narrowest index for a filter.
func (t *Tx) descend(f Filter) *descent {
	var bucket string
	var under func(connection string) string
	switch {
	case f.AmoID != 0:
		bucket, under = bucketByAmo, func(c string) string { return prefix(c) + be64(uint64(f.AmoID)) }
	case f.Chat != "":
		bucket, under = bucketByChat, func(c string) string { return prefix(c, f.Chat) }
	case f.Client != "":
		bucket, under = bucketByClient, func(c string) string { return prefix(c, f.Client) }
	case f.State == event.Pending || f.State == event.Parked || f.State == event.Dead:
		bucket, under = bucketStates, func(c string) string { return prefix(c, string(f.State)) }
	default:
		return &descent{strands: []*strand{t.strand(bucketEvents, "", f.Before)}}
	}
	connections := []string{f.Connection}
	if f.Connection == "" {
		connections = t.Connections()
	}
	d := new(descent)
	for _, c := range connections {
		d.strands = append(d.strands, t.strand(bucket, under(c), f.Before))
	}
	return d
}

// descent merges the numbers under several prefixes, highest first.
type descent struct{ strands []*strand }

func (d *descent) top() *strand {
	var top *strand
	for _, s := range d.strands {
		if s.seq != 0 && (top == nil || s.seq > top.seq) {
			top = s
		}
	}
	return top
}

func (d *descent) peek() uint64 {
	if s := d.top(); s != nil {
		return s.seq
	}
	return 0
}

func (d *descent) next() uint64 {
	s := d.top()
	if s == nil {
		return 0
	}
	seq := s.seq
	s.take(s.c.Prev())
	return seq
}

// strand walks down the numbers under one prefix; seq 0 is its end.
type strand struct {
	c      *bolt.Cursor
	prefix []byte
	seq    uint64
}

// strand starts at the highest number below before; 0: at the highest.
func (t *Tx) strand(bucket, p string, before uint64) *strand {
	if before == 0 {
		before = ^uint64(0)
	}
	s := &strand{c: t.bucket(bucket).Cursor(), prefix: []byte(p)}
	if k, _ := s.c.Seek([]byte(p + be64(before))); k == nil {
		s.take(s.c.Last())
	} else {
		s.take(s.c.Prev())
	}
	return s
}

func (s *strand) take(k, _ []byte) {
	s.seq = 0
	if bytes.HasPrefix(k, s.prefix) {
		s.seq = seqAt(k)
	}
}
