package app

import (
	"context"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/console"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// What is settled in one commit must not be overtaken by what comes with the next:
// an older amount would be written over a newer one.
func TestReplayAll_OldestGoFirst(t *testing.T) {
	a := keptHouse(t)
	var seqs []uint64
	for range replaySlice + 3 {
		seqs = append(seqs, a.put(t, event.Dead, time.Time{}))
	}
	n, err := a.ReplayAll(context.Background(), console.ReplayFilter{State: event.Dead})
	if err != nil || n != len(seqs) {
		t.Fatalf("%d replayed, %v", n, err)
	}
	err = a.store.View(func(tx *store.Tx) error {
		oldest, err := tx.Event(seqs[0])
		if err != nil {
			return err
		}
		newest, err := tx.Event(seqs[len(seqs)-1])
		if err == nil && !oldest.NextAt.Before(newest.NextAt) {
			t.Errorf("the oldest goes %s after the newest", oldest.NextAt.Sub(newest.NextAt))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
