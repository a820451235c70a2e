package delivery

import (
	"context"
	"testing"
	"testing/synctest"
)

// take takes locks in a goroutine of its own; got is closed when it has them.
func take(ctx context.Context, l *locks, names ...string) (got chan struct{}, release func()) {
	got = make(chan struct{})
	let := make(chan struct{})
	go func() {
		r, err := l.lock(ctx, names)
		if err != nil {
			return
		}
		close(got)
		<-let
		r()
	}()
	return got, func() { close(let) }
}

func has(got chan struct{}) bool {
	synctest.Wait()
	select {
	case <-got:
		return true
	default:
		return false
	}
}

func TestLocks_OneHolderAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l locks
		a, releaseA := take(t.Context(), &l, "p:1", "e:1")
		if !has(a) {
			t.Fatal("a free lock was not given")
		}
		b, releaseB := take(t.Context(), &l, "e:2", "e:1")
		c, releaseC := take(t.Context(), &l, "p:2")
		if has(b) {
			t.Error("two hold e:1")
		}
		if !has(c) {
			t.Error("a lock nobody holds is not given")
		}
		releaseA()
		if !has(b) {
			t.Error("release wakes nobody")
		}
		releaseB()
		releaseC()
		synctest.Wait()
		if len(l.held) != 0 {
			t.Errorf("held in the end: %v", l.held)
		}
	})
}

func TestLocks_TwoNamesInBothOrdersDoNotBlockEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l locks
		for range 100 {
			_, let := take(t.Context(), &l, "b")
			synctest.Wait()
			first, releaseFirst := take(t.Context(), &l, "a", "b")
			synctest.Wait()
			second, releaseSecond := take(t.Context(), &l, "b", "a")
			synctest.Wait()
			let() // whoever comes first to what was let go
			releaseFirst()
			releaseSecond()
			if !has(first) || !has(second) {
				t.Fatal("they wait for each other")
			}
		}
	})
}

func TestLocks_OneNameTwiceIsOneLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l locks
		got, release := take(t.Context(), &l, "a", "a")
		if !has(got) {
			t.Error("it waits for itself")
		}
		release()
	})
}

func TestLocks_NoNamesNeedNoWait(t *testing.T) {
	var l locks
	release, err := l.lock(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	release()
	release() // a second time is harmless
}

func TestLocks_EndOfContextGivesBackWhatWasTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l locks
		_, releaseB := take(t.Context(), &l, "b")
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		waiter, _ := take(ctx, &l, "a", "b")
		synctest.Wait() // it has a and waits for b
		other, releaseOther := take(t.Context(), &l, "a")
		if has(other) {
			t.Fatal("a was not held")
		}
		cancel()
		if !has(other) {
			t.Error("a was kept by one who gave up")
		}
		if has(waiter) {
			t.Error("b was given to one who gave up")
		}
		releaseB()
		releaseOther()
	})
}
