package crash_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

var syncStep = flag.Int("syncstep", 60, "how many syncs of the file lie between two kills; 1: every sync")

// N2 of reliability.md: the bridge is killed as it enters its N-th sync of the
// store, for N = 1 and on, while some fifty events come in.
func TestCrash_KilledAtASync(t *testing.T) {
	strace := tracer(t)
	plain, armed := build(t), build(t, "-tags", "crash") // armed: its syncs come from one thread
	for n, struck := 1, true; struck && !t.Failed(); n += *syncStep {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			struck = atSync(t, plain, []string{
				strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", fmt.Sprintf("inject=fdatasync:signal=SIGKILL:when=%d", n), armed,
			})
		})
	}
}

// atSync plays ten visitors to a bridge that is killed at a sync, and to the one
// after it. It reports whether the kill came.
func atSync(t *testing.T, plain string, traced []string) (struck bool) {
	f := newField(t)
	gen := newGenerator(f, *seed)
	p := f.launch(traced, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		var visiting sync.WaitGroup
		for n := 1; n <= 12; n++ {
			visiting.Go(func() { gen.visit(ctx, rand.New(rand.NewPCG(*seed, uint64(n))), n) })
		}
		visiting.Wait()
	}()
	// A bridge that is not killed has settled everything some time after the last event.
	quiet := make(chan struct{})
	go func() {
		defer close(quiet)
		<-done
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for f.pending() != 0 {
			select {
			case <-tick.C:
			case <-p.ended:
				return
			}
		}
	}()
	select {
	case <-p.ended:
		struck = true
	case <-quiet:
		select {
		case <-p.ended:
			struck = true
		default:
			p.kill()
		}
	}
	p.killed(t)
	next := f.start(plain)
	<-done
	<-quiet
	next.kill() // drain has one of its own
	f.drain(plain)
	f.verdict(gen, map[string]int{"": 1})
	return struck
}
