package store

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/jivo-amocrm/bridge/internal/event"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
		return
	}
	if os.Getenv(powerEnv) != "" {
		powerChild()
		return
	}
	goleak.VerifyTestMain(m)
}

var t0 = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// open opens a store in a directory of the test's own.
func open(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "bridge.db")
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// reopen closes a store and opens its file again.
func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, s.opt)
}

func incoming(client string) event.Incoming {
	return event.Incoming{
		Event: event.Event{Connection: "shop", Source: event.Jivo, Kind: "chat_updated", Client: client, Line: client, ReceivedAt: t0},
		Body:  []byte(`{"event_name":"chat_updated"}`),
	}
}

func mustAppend(t testing.TB, s *Store, in event.Incoming) Appended {
	t.Helper()
	a, err := s.Append(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func update(t testing.TB, s *Store, fn func(*Tx) error) {
	t.Helper()
	if err := s.Update(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

func view(t testing.TB, s *Store, fn func(*Tx)) {
	t.Helper()
	if err := s.View(func(tx *Tx) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

// change reads an event, changes it and puts it back.
func change(t testing.TB, s *Store, seq uint64, fn func(*event.Event)) {
	t.Helper()
	update(t, s, func(tx *Tx) error {
		ev, err := tx.Event(seq)
		if err != nil {
			return err
		}
		fn(ev)
		return tx.Put(ev)
	})
}

func settle(t testing.TB, s *Store, seq uint64, state event.State, at time.Time) {
	t.Helper()
	change(t, s, seq, func(ev *event.Event) { ev.State, ev.SettledAt = state, at })
}

func read(t testing.TB, s *Store, seq uint64) *event.Event {
	t.Helper()
	var ev *event.Event
	view(t, s, func(tx *Tx) {
		var err error
		if ev, err = tx.Event(seq); err != nil {
			t.Fatal(err)
		}
	})
	return ev
}

// due lists what is due, in order.
func due(t testing.TB, s *Store, now time.Time) []uint64 {
	t.Helper()
	var seqs []uint64
	view(t, s, func(tx *Tx) {
		_, err := tx.Due("shop", now, func(seq uint64, _ time.Time) bool { seqs = append(seqs, seq); return true })
		if err != nil {
			t.Fatal(err)
		}
	})
	return seqs
}

// verifyIndexes compares every index of events with what the records say,
// worked out in the plainest way.
func verifyIndexes(t testing.TB, s *Store) {
	t.Helper()
	want := map[string]map[string]bool{}
	add := func(bucket, key string) {
		if want[bucket] == nil {
			want[bucket] = map[string]bool{}
		}
		want[bucket][key] = true
	}
	counts := map[string]map[event.State]int{}
	heads := map[string]uint64{}
	var all []*event.Event
	view(t, s, func(tx *Tx) {
		tx.each(bucketEvents, "", func(_, rec []byte) bool {
			ev := new(event.Event)
			if err := decode(rec, ev); err != nil {
				t.Fatal(err)
			}
			all = append(all, ev)
			return true
		})
	})
	inLine := func(ev *event.Event) bool { return ev.State == event.Pending && !ev.Detached && ev.Line != "" }
	for _, frozen := range []bool{true, false} { // then ascending by seq
		for _, ev := range all {
			line := ev.Connection + "\x00" + ev.Line
			if heads[line] == 0 && inLine(ev) && ev.Frozen == frozen {
				heads[line] = ev.Seq
			}
		}
	}
	for _, ev := range all {
		inLine := inLine(ev)
		line := ev.Connection + "\x00" + ev.Line
		n := be64(ev.Seq)
		if inLine {
			add(bucketLines, line+"\x00"+n)
		}
		if inLine && ev.Frozen {
			add(bucketLines, line+"\x00"+be64(0)+n)
		}
		at := ev.NextAt
		if at.IsZero() {
			at = ev.ReceivedAt
		}
		if ev.State == event.Parked || (ev.State == event.Pending && (!inLine || heads[line] == ev.Seq)) {
			add(bucketDue, ev.Connection+"\x00"+be64(uint64(at.UnixNano()))+n)
		}
		if ev.State == event.Pending || ev.State == event.Parked || ev.State == event.Dead {
			add(bucketStates, ev.Connection+"\x00"+string(ev.State)+"\x00"+n)
			if counts[ev.Connection] == nil {
				counts[ev.Connection] = map[event.State]int{}
			}
			counts[ev.Connection][ev.State]++
		}
		if ev.Client != "" {
			add(bucketByClient, ev.Connection+"\x00"+ev.Client+"\x00"+n)
		}
		if ev.Client != "" && ev.State == event.Parked {
			add(bucketParked, ev.Connection+"\x00"+ev.Client+"\x00"+n)
		}
		if ev.Chat != "" {
			add(bucketByChat, ev.Connection+"\x00"+ev.Chat+"\x00"+n)
		}
	}
	for _, bucket := range []string{bucketLines, bucketDue, bucketStates, bucketByClient, bucketParked, bucketByChat} {
		var got []string
		view(t, s, func(tx *Tx) { got = tx.keys(bucket, "") })
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want[bucket])), got); diff != "" {
			t.Fatalf("bucket %s (-want +got):\n%s", bucket, diff)
		}
	}
	for connection, c := range counts {
		got := s.Counts(connection)
		if got.Pending != c[event.Pending] || got.Parked != c[event.Parked] || got.Dead != c[event.Dead] {
			t.Fatalf("counts of %s: got %+v, want %v", connection, got, c)
		}
	}
}

// dump renders a whole store, to compare two.
func dump(t testing.TB, s *Store, skip ...string) string {
	t.Helper()
	var out string
	err := s.db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			if slices.Contains(skip, string(name)) {
				return nil
			}
			return b.ForEach(func(k, v []byte) error {
				out += fmt.Sprintf("%s %q %q\n", name, k, v)
				return nil
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// usedPages is how far into the file pages were ever given out, in bytes; the
// file itself grows in steps of many MiB.
func usedPages(s *Store) (n int64, err error) {
	err = s.db.View(func(tx *bolt.Tx) error { n = tx.Size(); return nil })
	return n, err
}
