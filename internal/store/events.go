package store

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Event reads an event, or ErrNotFound.
func (t *Tx) Event(seq uint64) (*event.Event, error) {
	rec := t.get(bucketEvents, be64(seq))
	if rec == nil {
		return nil, fmt.Errorf("event %d: %w", seq, ErrNotFound)
	}
	ev := new(event.Event)
	if err := decode(rec, ev); err != nil {
		return nil, fmt.Errorf("event %d: %w", seq, err)
	}
	return ev, nil
}

// Body gives an event's body as it came; nil if it was empty, dropped or purged.
func (t *Tx) Body(seq uint64) []byte { return bytes.Clone(t.get(bucketBodies, be64(seq))) }

// DropBody removes an event's body; BodySize goes on saying how long it was.
func (t *Tx) DropBody(seq uint64) error {
	if t.get(bucketBodies, be64(seq)) == nil {
		return nil
	}
	return t.del(bucketBodies, be64(seq))
}

// Put writes an event that Append gave out and keeps every index in step. Seq,
// Connection, Source, ReceivedAt and BodySize stay as they were stored, also in
// *ev. ErrNotFound if the event was purged meanwhile.
func (t *Tx) Put(ev *event.Event) error {
	old, err := t.Event(ev.Seq)
	if err != nil {
		return err
	}
	ev.Connection, ev.Source, ev.ReceivedAt, ev.BodySize = old.Connection, old.Source, old.ReceivedAt, old.BodySize
	return t.write(old, ev)
}

func (t *Tx) record(ev *event.Event) error {
	rec, err := encode(ev)
	if err != nil {
		return fmt.Errorf("event %d: %w", ev.Seq, err)
	}
	return t.put(bucketEvents, be64(ev.Seq), rec)
}

// write replaces old by ev; either may be nil: a new event, a dropped one.
func (t *Tx) write(old, ev *event.Event) error {
	lines := lineChange(t, old, ev)
	if err := t.syncIndex(entriesOf(old), entriesOf(ev)); err != nil {
		return err
	}
	if old != nil {
		t.count(old, -1)
		if err := t.undue(old); err != nil {
			return err
		}
	}
	if ev != nil {
		t.count(ev, +1)
		if err := t.record(ev); err != nil {
			return err
		}
		if t.isDue(ev) {
			if err := t.enterDue(ev); err != nil {
				return err
			}
		}
	}
	return t.moveHeads(lines, old, ev)
}

func (t *Tx) count(ev *event.Event, n int) {
	if t.delta == nil { // a View, which fails at its first write
		return
	}
	switch ev.State {
	case event.Pending, event.Parked, event.Dead:
		t.delta[tallyKey{ev.Connection, ev.State}] += n
	}
}

// entry is one key of one index bucket.
type entry struct{ bucket, key string }

// syncIndex deletes what is only in old and adds what is only in now.
func (t *Tx) syncIndex(old, now []entry) error {
	for _, e := range old {
		if !slices.Contains(now, e) {
			if err := t.del(e.bucket, e.key); err != nil {
				return err
			}
		}
	}
	for _, e := range now {
		if !slices.Contains(old, e) {
			if err := t.put(e.bucket, e.key, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// entriesOf lists an event's keys in every index but the due one, which also
// depends on the event's line.
func entriesOf(ev *event.Event) []entry {
	if ev == nil {
		return nil
	}
	var es []entry
	seq := be64(ev.Seq)
	switch ev.State {
	case event.Pending, event.Parked, event.Dead:
		es = append(es, entry{bucketStates, prefix(ev.Connection, string(ev.State)) + seq})
	}
	if attached(ev) {
		es = append(es, entry{bucketLines, prefix(ev.Connection, ev.Line) + seq})
		if ev.Frozen { // once more, in front of them all
			es = append(es, entry{bucketLines, prefix(ev.Connection, ev.Line) + be64(0) + seq})
		}
	}
	if ev.Client != "" {
		es = append(es, entry{bucketByClient, prefix(ev.Connection, ev.Client) + seq})
		if ev.State == event.Parked {
			es = append(es, entry{bucketParked, prefix(ev.Connection, ev.Client) + seq})
		}
	}
	if ev.Chat != "" {
		es = append(es, entry{bucketByChat, prefix(ev.Connection, ev.Chat) + seq})
	}
	for _, id := range amoIDs(ev) {
		es = append(es, entry{bucketByAmo, prefix(ev.Connection) + be64(uint64(id)) + seq})
	}
	return es
}

// amoIDs lists the leads and contacts an event found, made or changed.
func amoIDs(ev *event.Event) []int64 {
	var ids []int64
	add := func(id int64) {
		if id > 0 && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for _, m := range []*event.Match{ev.Contact, ev.Lead} {
		if m != nil {
			add(m.ID)
		}
	}
	for _, c := range ev.Changes {
		if c.Target == event.OnLead || c.Target == event.OnContact {
			add(c.AmoID)
		}
	}
	return ids
}

// attached reports whether an event holds a place in its line.
func attached(ev *event.Event) bool {
	return ev != nil && ev.State == event.Pending && !ev.Detached && ev.Line != ""
}

// lineHead is a line an event enters or leaves, with its head before.
type lineHead struct {
	connection, line string
	head             uint64
}

// lineChange notes the heads of the lines that old and ev stand in.
func lineChange(t *Tx, old, ev *event.Event) []lineHead {
	var lines []lineHead
	for _, e := range []*event.Event{old, ev} {
		if !attached(e) || (len(lines) == 1 && lines[0].line == e.Line) {
			continue
		}
		head, _ := t.Head(e.Connection, e.Line)
		lines = append(lines, lineHead{e.Connection, e.Line, head})
	}
	return lines
}

// moveHeads keeps in the due index exactly the head of each line noted: a head
// that left is followed by the next one, and a head that another event came in
// front of, because it is older or its change list froze, steps aside.
func (t *Tx) moveHeads(lines []lineHead, old, ev *event.Event) error {
	for _, l := range lines {
		head, ok := t.Head(l.connection, l.line)
		if ok && head != l.head {
			if err := t.redue(head, ev, t.enterDue); err != nil {
				return err
			}
		}
		if l.head != 0 && head != l.head {
			if err := t.redue(l.head, ev, t.undueBehind); err != nil {
				return err
			}
		}
	}
	return nil
}

// redue applies fn to the event seq, unless it is the one being written, whose
// own place in the due index is settled already.
func (t *Tx) redue(seq uint64, written *event.Event, fn func(*event.Event) error) error {
	if written != nil && written.Seq == seq {
		return nil
	}
	rec := t.get(bucketEvents, be64(seq))
	if rec == nil { // the one being dropped
		return nil
	}
	other, err := t.Event(seq)
	if err != nil {
		return err
	}
	return fn(other)
}

// undueBehind takes a former head out of the due index while it still waits in its line.
func (t *Tx) undueBehind(ev *event.Event) error {
	if !attached(ev) {
		return nil
	}
	return t.undue(ev)
}

// isDue reports whether an event belongs in the due index.
func (t *Tx) isDue(ev *event.Event) bool {
	switch {
	case ev.State == event.Parked:
		return true
	case ev.State != event.Pending:
		return false
	case !attached(ev):
		return true
	}
	head, _ := t.Head(ev.Connection, ev.Line)
	return head == ev.Seq
}

func dueKey(ev *event.Event) string {
	return prefix(ev.Connection) + be64(stamp(ev.DueAt())) + be64(ev.Seq)
}

func (t *Tx) enterDue(ev *event.Event) error {
	t.due = true
	return t.put(bucketDue, dueKey(ev), nil)
}

func (t *Tx) undue(ev *event.Event) error {
	key := dueKey(ev)
	if t.get(bucketDue, key) == nil {
		return nil
	}
	return t.del(bucketDue, key)
}

// Due gives the events of a connection that are due by now, in order of their
// time, until fn returns false. Of a line only the first event is ever due.
// next is the first time after now something will be due; zero: nothing.
// fn must not write events.
func (t *Tx) Due(connection string, now time.Time, fn func(seq uint64, at time.Time) (more bool)) (next time.Time, err error) {
	p := prefix(connection)
	limit := stamp(now)
	c := t.bucket(bucketDue).Cursor()
	for k, _ := c.Seek([]byte(p)); bytes.HasPrefix(k, []byte(p)); k, _ = c.Next() {
		at := seqAt(k[:len(k)-8])
		if at > limit || !fn(seqAt(k), unstamp(at)) {
			break
		}
	}
	k, _ := c.Seek([]byte(p + be64(limit+1)))
	if !bytes.HasPrefix(k, []byte(p)) {
		return time.Time{}, nil
	}
	return unstamp(seqAt(k[:len(k)-8])), nil
}

// DueAfter gives the events of a connection that are due later than after, in
// order of their time, until fn returns false. fn must not write events.
func (t *Tx) DueAfter(connection string, after time.Time, fn func(ev *event.Event) (more bool)) error {
	p := prefix(connection)
	c := t.bucket(bucketDue).Cursor()
	for k, _ := c.Seek([]byte(p + be64(stamp(after)+1))); bytes.HasPrefix(k, []byte(p)); k, _ = c.Next() {
		ev, err := t.Event(seqAt(k[len(k)-8:]))
		if err != nil {
			return err
		}
		if !fn(ev) {
			return nil
		}
	}
	return nil
}

// Head gives the first event that holds a place in a line: the first of those whose
// change list is frozen, for what has begun keeps its place when an older event comes
// back into the line; else the first of all.
func (t *Tx) Head(connection, line string) (seq uint64, ok bool) {
	return t.first(bucketLines, prefix(connection, line))
}

// Behind gives the first event that holds a place in a line after seq.
func (t *Tx) Behind(connection, line string, seq uint64) (next uint64, ok bool) {
	p := prefix(connection, line)
	k, _ := t.bucket(bucketLines).Cursor().Seek([]byte(p + be64(seq+1)))
	if !bytes.HasPrefix(k, []byte(p)) || len(k) != len(p)+8 {
		return 0, false
	}
	return seqAt(k), true
}

func (t *Tx) first(bucket, p string) (seq uint64, ok bool) {
	k, _ := t.bucket(bucket).Cursor().Seek([]byte(p))
	if !bytes.HasPrefix(k, []byte(p)) {
		return 0, false
	}
	return seqAt(k), true
}

// oldest is when the first pending event of a connection came.
func (t *Tx) oldest(connection string) time.Time {
	seq, ok := t.first(bucketStates, prefix(connection, string(event.Pending)))
	if !ok {
		return time.Time{}
	}
	ev, err := t.Event(seq)
	if err != nil {
		t.note(err)
		return time.Time{}
	}
	return ev.ReceivedAt
}

// ParkedOf lists the events that wait for a client, oldest first.
func (t *Tx) ParkedOf(connection, client string) []uint64 {
	var seqs []uint64
	t.each(bucketParked, prefix(connection, client), func(k, _ []byte) bool {
		seqs = append(seqs, seqAt(k))
		return true
	})
	return seqs
}

// countAll fills the counts from the state index, which holds nothing settled
// but the dead.
func (s *Store) countAll(t *Tx) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.each(bucketStates, "", func(k, _ []byte) bool {
		parts := Parts(string(k[:max(len(k)-9, 0)]))
		if len(parts) == 2 {
			s.add(parts[0], event.State(parts[1]), 1)
		}
		return true
	})
	return nil
}
