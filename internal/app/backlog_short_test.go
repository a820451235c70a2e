package app_test

import (
	"strings"
	"sync"
	"sync/atomic"
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

// After a kill, and after an outage, nothing is known of what changed meanwhile: one page
// tells, before hundreds of new visitors are each searched for (issue 5, point 4).
func TestBacklog_ASyncedDirectorySparesTheSearchesAfterARestart(t *testing.T) {
	for name, again := range map[string]func(l *lab){
		"killed":    func(l *lab) { l.kill(time.Second) },
		"an outage": func(*lab) { time.Sleep(20 * time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			var searches, pages atomic.Int32
			told := func(line string) {
				switch {
				case strings.Contains(line, "/contacts?") && strings.Contains(line, "query="):
					searches.Add(1)
				case strings.Contains(line, "/contacts?"):
					pages.Add(1)
				}
			}
			inLab(t, labSetup{told: told, amocrm: "probe: 5s\n"}, func(l *lab) {
				time.Sleep(time.Minute) // the directory is complete
				if pages.Load() == 0 {
					t.Fatal("no page was read, or none is told of as is looked for here")
				}
				l.amo.SetUnpaid(2)
				l.backlog(300)
				again(l)
				l.amo.SetUnpaid(0)
				l.settle(time.Hour)
				if n := searches.Load(); n > 10 {
					t.Errorf("%d searches for 300 visitors", n)
				}
				l.verdict()
			})
		})
	}
}
