package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
)

func TestJournal_AppendedIsReadBack(t *testing.T) {
	s := open(t, Options{})
	in := incoming("7")
	in.Event.Chat = "c1"
	a := mustAppend(t, s, in)
	want := in.Event
	want.Seq, want.State, want.BodySize = a.Seq, event.Pending, len(in.Body)
	s = reopen(t, s)
	if diff := cmp.Diff(&want, read(t, s, a.Seq)); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	view(t, s, func(tx *Tx) {
		if got := tx.Body(a.Seq); !bytes.Equal(got, in.Body) {
			t.Errorf("body %q", got)
		}
		if _, err := tx.Event(a.Seq + 1); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown event: %v", err)
		}
		if diff := cmp.Diff([]string{"shop"}, tx.Connections()); diff != "" {
			t.Error(diff)
		}
	})
	verifyIndexes(t, s)
}

func TestJournal_StateAsHandedInIsKept(t *testing.T) {
	s := open(t, Options{Now: func() time.Time { return t0.Add(time.Second) }})
	in := incoming("7")
	in.Event.State, in.Event.Reason, in.Event.ReceivedAt = event.Dead, event.Unparsable, time.Time{}
	ev := read(t, s, mustAppend(t, s, in).Seq)
	if ev.State != event.Dead || ev.Reason != event.Unparsable || !ev.SettledAt.Equal(t0.Add(time.Second)) || !ev.ReceivedAt.Equal(t0.Add(time.Second)) {
		t.Errorf("got %+v", ev)
	}
	verifyIndexes(t, s)
}

func TestJournal_SeqNeverComesBack(t *testing.T) {
	s := open(t, Options{})
	a := mustAppend(t, s, incoming("7"))
	settle(t, s, a.Seq, event.Done, t0)
	_, err := s.Purge(context.Background(), Retention{Events: time.Hour}, t0.Add(2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	if b := mustAppend(t, s, incoming("7")); b.Seq != a.Seq+1 {
		t.Errorf("seq %d after purged %d", b.Seq, a.Seq)
	}
}

func TestPut_KeepsIdentityAndRefusesThePurged(t *testing.T) {
	s := open(t, Options{})
	a := mustAppend(t, s, incoming("7"))
	change(t, s, a.Seq, func(ev *event.Event) {
		ev.Connection, ev.Source, ev.ReceivedAt, ev.BodySize = "other", event.AmoCRM, t0.Add(time.Hour), 1
		ev.Attempts = 3
	})
	ev := read(t, s, a.Seq)
	if ev.Connection != "shop" || ev.Source != event.Jivo || !ev.ReceivedAt.Equal(t0) || ev.BodySize != len(incoming("").Body) || ev.Attempts != 3 {
		t.Errorf("got %+v", ev)
	}
	err := s.Update(context.Background(), func(tx *Tx) error { return tx.Put(&event.Event{Seq: 99}) })
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown event: %v", err)
	}
	verifyIndexes(t, s)
}

func TestBody_Dropped(t *testing.T) {
	s := open(t, Options{})
	a := mustAppend(t, s, incoming("7"))
	size := len(incoming("").Body)
	update(t, s, func(tx *Tx) error { return tx.DropBody(a.Seq) })
	view(t, s, func(tx *Tx) {
		if tx.Body(a.Seq) != nil {
			t.Error("body is still there")
		}
	})
	if got := read(t, s, a.Seq).BodySize; got != size {
		t.Errorf("BodySize %d after drop, want %d", got, size)
	}
}

func TestCounts_FollowEveryStateAndRestart(t *testing.T) {
	s := open(t, Options{})
	var seqs []uint64
	for i := range 5 {
		in := incoming(fmt.Sprint(i))
		in.Event.ReceivedAt = t0.Add(time.Duration(i) * time.Minute)
		seqs = append(seqs, mustAppend(t, s, in).Seq)
	}
	settle(t, s, seqs[0], event.Done, t0)
	settle(t, s, seqs[1], event.Parked, time.Time{})
	settle(t, s, seqs[2], event.Dead, t0)
	want := Counts{Pending: 2, Parked: 1, Dead: 1, Oldest: t0.Add(3 * time.Minute)}
	for _, when := range []string{"running", "after a restart"} {
		if diff := cmp.Diff(want, s.Counts("shop")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
		if got := s.Counts("nobody"); got != (Counts{}) {
			t.Errorf("%s: unknown connection has %+v", when, got)
		}
		s = reopen(t, s)
	}
	// A failed Update leaves the counts alone.
	err := s.Update(context.Background(), func(tx *Tx) error {
		ev, _ := tx.Event(seqs[3])
		ev.State = event.Dead
		if err := tx.Put(ev); err != nil {
			return err
		}
		return errors.New("no")
	})
	if err == nil || err.Error() != "no" {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, s.Counts("shop")); diff != "" {
		t.Errorf("after a failure (-want +got):\n%s", diff)
	}
}

func TestWake_WhenSomethingBecomesDue(t *testing.T) {
	s := open(t, Options{})
	woken := func() bool {
		select {
		case <-s.Wake():
			return true
		default:
			return false
		}
	}
	if !woken() {
		t.Error("not after opening: a restart has to look at what is due")
	}
	a := mustAppend(t, s, incoming("7"))
	if !woken() {
		t.Error("not after an append")
	}
	b := mustAppend(t, s, incoming("7"))
	if woken() {
		t.Error("although the second of a line is not due")
	}
	settle(t, s, a.Seq, event.Done, t0)
	if !woken() {
		t.Error("not when the next of the line came up")
	}
	settle(t, s, b.Seq, event.Done, t0)
	if woken() {
		t.Error("after the last was settled")
	}
	settle(t, s, b.Seq, event.Pending, time.Time{})
	if !woken() {
		t.Error("not after a replay")
	}
}

func TestClose_TwiceAndThenRefuses(t *testing.T) {
	s := open(t, Options{})
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Append(context.Background(), incoming("7")); !errors.Is(err, ErrClosed) {
		t.Errorf("Append: %v", err)
	}
	if err := s.View(func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("View: %v", err)
	}
	if err := s.Writable(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("Writable: %v", err)
	}
	if _, err := s.Backup(new(bytes.Buffer)); !errors.Is(err, ErrClosed) {
		t.Errorf("Backup: %v", err)
	}
}

func TestClose_AnswersEveryCaller(t *testing.T) {
	s := open(t, Options{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	acked := map[uint64]bool{}
	for range 32 {
		wg.Go(func() {
			for {
				a, err := s.Append(context.Background(), incoming("7"))
				if err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				acked[a.Seq] = true
				n := len(acked)
				mu.Unlock()
				if n == 100 {
					go s.Close()
				}
			}
		})
	}
	wg.Wait()
	s = reopen(t, s)
	for seq := range acked {
		read(t, s, seq)
	}
}

func TestReadOnly_ReadsAndNeverWrites(t *testing.T) {
	s := open(t, Options{})
	a := mustAppend(t, s, incoming("7"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(s.opt.Path)
	r := open(t, Options{Path: s.opt.Path, ReadOnly: true})
	second := open(t, Options{Path: s.opt.Path, ReadOnly: true}) // readers share
	read(t, second, a.Seq)
	if got := read(t, r, a.Seq).Client; got != "7" {
		t.Errorf("client %q", got)
	}
	if r.Counts("shop").Pending != 1 {
		t.Error("no counts")
	}
	if _, err := r.Append(context.Background(), incoming("7")); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Append: %v", err)
	}
	if err := r.Writable(context.Background()); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Writable: %v", err)
	}
	err := r.View(func(tx *Tx) error { return tx.PutClient("shop", &event.Client{ID: "1"}) })
	if !errors.Is(err, ErrReadOnly) {
		t.Errorf("write in a View: %v", err)
	}
	if err := errors.Join(r.Close(), second.Close()); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(s.opt.Path); !bytes.Equal(before, after) {
		t.Error("the file changed")
	}
}

const childEnv = "BRIDGE_STORE_TEST_CHILD"

// child is what the test binary does when a test runs it again: append until
// killed, and print each number only after it was acknowledged.
func child() {
	s, err := Open(Options{Path: os.Getenv(childEnv)})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var mu sync.Mutex
	for i := range 8 {
		go func() {
			for n := 0; ; n++ {
				client := fmt.Sprintf("%d", i)
				a, err := s.Append(context.Background(), incoming(client))
				if err != nil {
					fmt.Println("error", err)
					os.Exit(3)
				}
				mu.Lock()
				fmt.Println("acked", a.Seq, client)
				mu.Unlock()
			}
		}()
	}
	select {}
}

func TestJournal_AckedEventSurvivesKill(t *testing.T) {
	path := t.TempDir() + "/bridge.db"
	acked := map[uint64]string{}
	for round := range 4 { // each start goes on with the file the last kill left
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			var seq uint64
			var client string
			if _, err := fmt.Sscanf(lines.Text(), "acked %d %s", &seq, &client); err != nil {
				if strings.HasPrefix(lines.Text(), "error") {
					t.Fatalf("child: %s", lines.Text())
				}
				continue // the kill cut the line
			}
			if _, twice := acked[seq]; twice {
				t.Fatalf("seq %d given twice", seq)
			}
			acked[seq] = client
			if n == 50+round*37 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait()
		s := open(t, Options{Path: path})
		for seq, client := range acked {
			if ev := read(t, s, seq); ev.Client != client || ev.State != event.Pending {
				t.Errorf("event %d: %+v", seq, ev)
			}
			view(t, s, func(tx *Tx) {
				if !bytes.Equal(tx.Body(seq), incoming("").Body) {
					t.Errorf("event %d lost its body", seq)
				}
			})
		}
		verifyIndexes(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
