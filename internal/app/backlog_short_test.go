package app_test

import (
	"sync"
	"testing"
	"time"
)

// A queue that is gone within the wait turns no operator away: seats are for a long one.
func TestBacklog_AShortQueueHasRoomForEveryOperator(t *testing.T) {
	inLab(t, labSetup{conn: waited2s}, func(l *lab) {
		time.Sleep(time.Minute) // the directory is complete
		l.backlog(300)
		var all sync.WaitGroup
		for n := range 10 {
			all.Go(func() {
				if took, lead := l.operator(n); !lead {
					t.Errorf("operator %d was answered after %v without the lead", n, took)
				}
			})
		}
		all.Wait()
	})
}
