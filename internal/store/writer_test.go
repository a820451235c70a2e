package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// stall holds the writer inside a transaction until release is called.
func stall(t *testing.T, s *Store) (release func()) {
	t.Helper()
	in, out, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.Update(context.Background(), func(*Tx) error {
			close(in)
			<-out
			return nil
		})
	}()
	<-in
	return func() {
		close(out)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestWriter_OneCommitServesWhoeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var commits atomic.Int32
		s := open(t, Options{Observe: func(float64) { commits.Add(1) }})
		release := stall(t, s)
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() { mustAppend(t, s, incoming(fmt.Sprint(i))) })
		}
		synctest.Wait()
		release()
		wg.Wait()
		if n := commits.Load(); n != 1 {
			t.Errorf("%d commits for 64 waiting callers", n)
		}
		if s.Counts("shop").Pending != 64 {
			t.Errorf("counts %+v", s.Counts("shop"))
		}
		_ = s.Close()
	})
}

func TestWriter_AloneNobodyIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{})
		began := time.Now()
		for range 10 {
			mustAppend(t, s, incoming("7"))
		}
		if d := time.Since(began); d != 0 { // the bubble's clock moves only when all sleep
			t.Errorf("ten lone appends slept %v", d)
		}
		_ = s.Close()
	})
}

func TestWriter_LargeBodiesDoNotShareOneCommitWithoutBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var commits atomic.Int32
		s := open(t, Options{Observe: func(float64) { commits.Add(1) }})
		release := stall(t, s)
		var wg sync.WaitGroup
		for range 6 {
			in := incoming("7")
			in.Body = make([]byte, 4<<20)
			wg.Go(func() { mustAppend(t, s, in) })
		}
		synctest.Wait()
		release()
		wg.Wait()
		if n := commits.Load(); n < 2 || n > 5 {
			t.Errorf("%d commits for 24 MiB", n)
		}
		_ = s.Close()
	})
}

func TestWriter_ManyCallersEachGetTheirOwn(t *testing.T) {
	s := open(t, Options{})
	const callers, each = 64, 20
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[uint64]string{}
	for i := range callers {
		wg.Go(func() {
			for n := range each {
				client := fmt.Sprintf("%d-%d", i, n)
				a, err := s.Append(context.Background(), incoming(client))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				seen[a.Seq] = client
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != callers*each {
		t.Fatalf("%d numbers for %d events", len(seen), callers*each)
	}
	s = reopen(t, s)
	for seq, client := range seen {
		if got := read(t, s, seq).Client; got != client {
			t.Errorf("event %d is of %s, want %s", seq, got, client)
		}
	}
	verifyIndexes(t, s)
}

// Failing, panicking and good functions share a group: each gets its own
// answer, and only the good ones leave a trace.
func TestWriter_AFailureIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{})
		release := stall(t, s)
		errMine := errors.New("mine")
		set := func(tx *Tx, key string) error { return Set(tx, Names, key, true) }
		kinds := []struct {
			fn   func(tx *Tx, key string) error
			want error
		}{
			{set, nil},
			{func(tx *Tx, key string) error { _ = set(tx, key); return errMine }, errMine},
			{func(*Tx, string) error { return errMine }, errMine},
			{func(tx *Tx, key string) error { _ = set(tx, key); panic("visitor's text") }, errPanic},
			{func(*Tx, string) error { panic("an index out of range, say") }, errPanic},
			{func(*Tx, string) error { return nil }, nil},
		}
		var wg sync.WaitGroup
		for i := range 10 * len(kinds) {
			wg.Go(func() {
				k := kinds[i%len(kinds)]
				err := s.Update(context.Background(), func(tx *Tx) error { return k.fn(tx, fmt.Sprint(i)) })
				if !errors.Is(err, k.want) {
					t.Errorf("kind %d: %v, want %v", i%len(kinds), err, k.want)
				}
				if err != nil && strings.Contains(err.Error(), "visitor") {
					t.Errorf("error repeats what was panicked with: %v", err)
				}
			})
		}
		synctest.Wait()
		release()
		wg.Wait()
		var keys []string
		view(t, s, func(tx *Tx) { keys = tx.keys(string(Names), "") })
		if len(keys) != 10 {
			t.Errorf("%d records, want the 10 of the good functions: %v", len(keys), keys)
		}
		_ = s.Close()
	})
}

func TestWriter_RerunDoesNotCountTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{})
		release := stall(t, s)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if i%4 == 3 {
					_ = s.Update(context.Background(), func(tx *Tx) error {
						_, err := tx.append(incoming("bad"))
						return errors.Join(err, errors.New("taken back"))
					})
					return
				}
				mustAppend(t, s, incoming("7"))
			})
		}
		synctest.Wait()
		release()
		wg.Wait()
		verifyIndexes(t, s)
		if n := s.Counts("shop").Pending; n != 15 {
			t.Errorf("%d pending, want 15", n)
		}
		_ = s.Close()
	})
}

func TestWriter_EndedContextWithdrawsWhatHasNotStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{})
		release := stall(t, s)
		ctx, cancel := context.WithCancel(context.Background())
		errc := make(chan error, 1)
		go func() { _, err := s.Append(ctx, incoming("7")); errc <- err }()
		synctest.Wait()
		cancel()
		if err := <-errc; !errors.Is(err, context.Canceled) { // answered although the writer is held up
			t.Errorf("got %v", err)
		}
		release()
		if err := s.Update(ctx, func(*Tx) error { t.Error("ran"); return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("a context ended before: %v", err)
		}
		if n := s.Counts("shop").Pending; n != 0 {
			t.Errorf("%d events stored", n)
		}
		_ = s.Close()
	})
}

func TestWriter_StartedIsWaitedForAlsoPastItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		s := open(t, Options{commit: func(tx *bolt.Tx) error { <-slow; return tx.Commit() }})
		ctx, cancel := context.WithCancel(context.Background())
		errc := make(chan error, 1)
		go func() { _, err := s.Append(ctx, incoming("7")); errc <- err }()
		synctest.Wait() // in its commit now
		cancel()
		synctest.Wait()
		select {
		case err := <-errc:
			t.Fatalf("answered %v before the commit was over", err)
		default:
		}
		close(slow)
		if err := <-errc; err != nil {
			t.Errorf("a late commit was answered %v", err)
		}
		_ = s.Close()
	})
}

func TestDisk_FailedCommitEndsWriting(t *testing.T) {
	for _, landed := range []bool{false, true} { // both may be behind an EIO (architecture.md, decision 2)
		t.Run(fmt.Sprintf("landed=%v", landed), func(t *testing.T) {
			var fatal atomic.Int32
			fail := false
			s := open(t, Options{
				OnFatal: func(err error) {
					fatal.Add(1)
					if !errors.Is(err, syscall.EIO) {
						t.Errorf("OnFatal got %v", err)
					}
				},
				commit: func(tx *bolt.Tx) error {
					switch {
					case !fail:
						return tx.Commit()
					case landed:
						_ = tx.Commit()
					default:
						_ = tx.Rollback()
					}
					return syscall.EIO
				},
			})
			first := mustAppend(t, s, incoming("7"))
			fail = true
			if _, err := s.Append(context.Background(), incoming("7")); !errors.Is(err, ErrBroken) || !errors.Is(err, syscall.EIO) {
				t.Errorf("failed commit answered %v", err)
			}
			fail = false
			if _, err := s.Append(context.Background(), incoming("7")); !errors.Is(err, ErrBroken) {
				t.Errorf("next append answered %v", err)
			}
			if err := s.Writable(context.Background()); !errors.Is(err, ErrBroken) {
				t.Errorf("Writable: %v", err)
			}
			if n := fatal.Load(); n != 1 {
				t.Errorf("OnFatal called %d times", n)
			}
			s = reopen(t, s)
			read(t, s, first.Seq)
			verifyIndexes(t, s)
		})
	}
}

func TestDisk_NoSpaceRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		var tries int
		s := open(t, Options{
			OnFatal: func(err error) { t.Errorf("fatal: %v", err) },
			commit: func(tx *bolt.Tx) error {
				if full.Load() {
					tries++
					_ = tx.Rollback()
					return &os.PathError{Op: "write", Path: "bridge.db", Err: syscall.ENOSPC}
				}
				return tx.Commit()
			},
		})
		full.Store(true)
		for range 2 {
			if _, err := s.Append(context.Background(), incoming("7")); !errors.Is(err, ErrFull) {
				t.Errorf("got %v", err)
			}
		}
		if tries != 1 {
			t.Errorf("%d commits tried within %v", tries, fullPause)
		}
		time.Sleep(fresh + fullPause)
		if err := s.Writable(context.Background()); !errors.Is(err, ErrFull) {
			t.Errorf("Writable: %v", err)
		}
		full.Store(false)
		time.Sleep(fullPause)
		if err := s.Writable(context.Background()); err != nil {
			t.Errorf("Writable with room again: %v", err)
		}
		mustAppend(t, s, incoming("7"))
		verifyIndexes(t, s)
		_ = s.Close()
	})
}

// A commit that says ENOSPC but is there nevertheless must not be answered as
// not stored.
func TestDisk_NoSpaceThatLandedIsBroken(t *testing.T) {
	s := open(t, Options{commit: func(tx *bolt.Tx) error { _ = tx.Commit(); return syscall.ENOSPC }})
	_, err := s.Append(context.Background(), incoming("7"))
	if !errors.Is(err, ErrBroken) || errors.Is(err, ErrFull) {
		t.Errorf("got %v", err)
	}
}

func TestDisk_LowSpaceRefusesHooksFirst(t *testing.T) {
	var free atomic.Uint64
	s := open(t, Options{FreeSpace: 100, free: func(string) (uint64, error) { return free.Load(), nil }})
	jivo, hook := incoming("7"), incoming("")
	hook.Event.Source = event.AmoCRM
	a := mustAppendAt(t, s, &free, 1000, jivo)
	for _, c := range []struct {
		free       uint64
		jivo, hook error
	}{{200, nil, nil}, {199, nil, ErrFull}, {100, nil, ErrFull}, {99, ErrFull, ErrFull}, {500, nil, nil}} {
		free.Store(c.free)
		if _, err := s.Append(context.Background(), jivo); !errors.Is(err, c.jivo) {
			t.Errorf("%d free: Jivo's event answered %v, want %v", c.free, err, c.jivo)
		}
		if _, err := s.Append(context.Background(), hook); !errors.Is(err, c.hook) {
			t.Errorf("%d free: hook answered %v, want %v", c.free, err, c.hook)
		}
		if err := s.Writable(context.Background()); !errors.Is(err, c.jivo) {
			t.Errorf("%d free: Writable %v, want %v", c.free, err, c.jivo)
		}
	}
	free.Store(0) // what was taken goes on being worked
	settle(t, s, a.Seq, event.Done, t0)
}

func mustAppendAt(t *testing.T, s *Store, free *atomic.Uint64, n uint64, in event.Incoming) Appended {
	t.Helper()
	free.Store(n)
	return mustAppend(t, s, in)
}

func TestDisk_FreeSpaceIsAskedOfTheSystem(t *testing.T) {
	s := open(t, Options{FreeSpace: 1 << 62})
	if _, err := s.Append(context.Background(), incoming("7")); !errors.Is(err, ErrFull) {
		t.Errorf("with an exabyte to be left free: %v", err)
	}
}

func TestWritable_SaysWhenTheDiskHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		s := open(t, Options{commit: func(tx *bolt.Tx) error { <-hang; return tx.Commit() }})
		time.Sleep(2 * fresh)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := s.Writable(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(hang)
		if err := s.Writable(context.Background()); err != nil {
			t.Errorf("got %v", err)
		}
		_ = s.Close()
	})
}
