package app

import (
	"context"
	"slices"
	"testing"
)

func TestBarrier_WaitsForTheHooksBeforeAnEvent(t *testing.T) {
	b := newBarrier()
	for _, seq := range []uint64{9, 3, 7, 5} {
		b.raise(seq)
	}
	b.lower(5) // applied
	b.lower(4) // never raised
	var waited []uint64
	wait := b.wait(func(_ context.Context, seq uint64) { waited = append(waited, seq) })
	wait(context.Background(), 8)
	if !slices.Equal(waited, []uint64{3, 7}) {
		t.Errorf("waited for %v", waited)
	}
	waited = nil
	wait(context.Background(), 7) // its own number is not before it
	if !slices.Equal(waited, []uint64{3}) {
		t.Errorf("waited for %v", waited)
	}
}

func TestBarrier_EndOfTheWaitEndsIt(t *testing.T) {
	b := newBarrier()
	b.raise(1)
	b.raise(2)
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	b.wait(func(context.Context, uint64) { n++; cancel() })(ctx, 9)
	if n != 1 {
		t.Errorf("waited for %d hooks", n)
	}
}

func TestBarrier_ALaterHookHoldsNoEarlierReply(t *testing.T) {
	b := newBarrier()
	b.raise(1)
	b.wait(func(context.Context, uint64) { b.raise(2) })(context.Background(), 2) // must not deadlock nor wait for 2
}
