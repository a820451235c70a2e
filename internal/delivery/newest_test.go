package delivery

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestShared_OneListTellsOfEverythingInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s shared[int]
		reads := 0
		read := func(context.Context, int64) ([]int, error) {
			reads++
			time.Sleep(time.Second)
			return []int{reads}, nil
		}
		now := time.Now()
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				list, err := s.get(t.Context(), 1000+int64(i), now, read)
				if err != nil || len(list) != 1 || list[0] != 1 {
					t.Errorf("got %v, %v", list, err)
				}
			})
		}
		wg.Wait()
		if reads != 1 {
			t.Errorf("%d lists were read for fifty in doubt", reads)
		}
	})
}

// A list begun before a write may be trusted about cannot tell that it is not there.
func TestShared_AnOlderListIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s shared[int]
		reads := 0
		read := func(context.Context, int64) ([]int, error) { reads++; return nil, nil }
		_, _ = s.get(t.Context(), 1000, time.Now(), read)
		time.Sleep(10 * time.Second)
		_, _ = s.get(t.Context(), 1000, time.Now(), read) // the second look
		_, _ = s.get(t.Context(), 1000-2*reach, time.Now().Add(-time.Minute), read)
		if reads != 3 {
			t.Errorf("%d lists were read: one for the second look and one that goes further back are missing", reads)
		}
	})
}

// A reader that panics leaves nobody waiting, and its list says nothing: whoever
// waited for it reads for themselves, and so does who comes next.
func TestShared_AReaderThatPanicsLeavesNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s shared[int]
		now := time.Now()
		go func() {
			defer func() { _ = recover() }()
			_, _ = s.get(t.Context(), 1000, now, func(context.Context, int64) ([]int, error) {
				time.Sleep(time.Second)
				panic("a bug")
			})
		}()
		synctest.Wait()
		for _, who := range []string{"who waited", "who comes next"} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			list, err := s.get(ctx, 1000, now, func(context.Context, int64) ([]int, error) { return []int{1}, nil })
			if cancel(); err != nil || len(list) != 1 {
				t.Errorf("%s got %v, %v", who, list, err)
			}
		}
	})
}
