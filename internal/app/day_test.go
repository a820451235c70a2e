package app_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/emulator/site"
)

var (
	daySpan = flag.Duration("day.span", 5*time.Minute, "how much virtual time the day test plays; make day: 24h")
	dayRate = flag.Float64("day.rate", 5, "Jivo's events a second in the day test")
)

// L8 of reliability.md: a day of ordinary work in virtual time, in four quarters.
// After each there is a lull, in which everything must settle; then goroutines and
// the live heap are counted, and neither grows from the second quarter on.
//
// The emulated account lives in the same process and keeps everything for ever,
// so the heap is counted by who allocated it: what the emulator and the visitors
// hold is left out (runtime.MemProfile, every 64 KiB).
func TestDay_NothingGrows(t *testing.T) {
	if underRace {
		t.Skip("ten times as slow under the race detector, and nothing new")
	}
	defer func(rate int) { runtime.MemProfileRate = rate }(runtime.MemProfileRate)
	runtime.MemProfileRate = 64 << 10
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // little lives: less collecting, the same count
	began := time.Now()
	defer func() { t.Logf("%v of wall time", time.Since(began).Round(time.Second)) }()
	d := &day{rnd: rand.New(rand.NewPCG(8, 8)), known: 3000}
	hooks := &courierDoor{}
	set := labSetup{
		top:  "retention: {events: 4m, bodies: 2m, dead: 1h}\n", // so that purging has its share
		conn: "agents: {\"*\": anna@example.com}\n",
		amo: emulator.Options{
			FilterEnabled: true, IndexLag: 20 * time.Second, Latency: 150 * time.Millisecond, HookClient: &http.Client{Transport: hooks},
		},
	}
	if *daySpan < time.Hour {
		d.known = 300 // as many as have a chance to come back
	}
	var seen []sample
	inLab(t, set, func(l *lab) {
		d.l, d.began, hooks.lab = l, time.Now(), l
		d.client = &http.Client{Transport: &http.Transport{DialContext: l.door.dial, MaxIdleConnsPerHost: 64}, Timeout: time.Minute}
		defer d.client.CloseIdleConnections()
		l.amo.Subscribe("http://bridge/amocrm/" + e2eName + "/" + e2eHook)
		for range 4 {
			d.quarter(*daySpan / 4)
			l.settle(10 * time.Minute)
			time.Sleep(2 * time.Minute) // idle connections end
			seen = append(seen, d.sample())
			t.Logf("%v: %s", time.Since(d.began).Round(time.Minute), seen[len(seen)-1])
		}
		l.verdict()
		if d.refused > 0 {
			t.Errorf("%d of %d events were not answered 200", d.refused, d.sent)
		}
	})
	first, last := seen[1], seen[3]
	t.Logf("more than in the second quarter:%s", last.grown(first))
	if last.goroutines > first.goroutines+5 {
		t.Errorf("goroutines grow: %v", seen)
	}
	if last.heap > first.heap+first.heap/5+2<<20 {
		t.Errorf("the live heap grows: %v%s", seen, last.grown(first))
	}
}

// day is a shop's traffic.
type day struct {
	l       *lab
	rnd     *rand.Rand
	client  *http.Client
	known   int // how many of the visitors come back
	people  []*site.Visitor
	waiting []func() []byte // what goes on in conversations under way
	posting sync.WaitGroup
	sent    int
	began   time.Time

	mu      sync.Mutex
	refused int
}

// quarter posts events at the rate for as long as d, and has a manager work beside it.
func (d *day) quarter(span time.Duration) {
	end := time.Now().Add(span)
	for n := 0; time.Now().Before(end); n++ {
		time.Sleep(time.Duration(d.rnd.ExpFloat64() / *dayRate * float64(time.Second)))
		d.post(d.next())
		if n%100 == 99 {
			d.manager()
		}
	}
	d.posting.Wait()
}

// next is the next webhook: mostly what goes on, else somebody new or returning.
func (d *day) next() []byte {
	if n := len(d.waiting); n > 60 || n > 0 && d.rnd.IntN(3) > 0 {
		i := d.rnd.IntN(min(n, 8)) // roughly in the order they came
		then := d.waiting[i]
		d.waiting = append(d.waiting[:i], d.waiting[i+1:]...)
		return then()
	}
	v := d.visitor()
	v.NewChat()
	switch n := d.rnd.IntN(100); {
	case n < 60: // a chat
		if d.rnd.IntN(2) == 0 {
			phone, email := v.Contacts()
			d.later(func() []byte { return v.Updated(phone, email) })
		}
		d.later(func() []byte { return v.Finished("", false) })
		return v.Accepted()
	case n < 72:
		return v.Offline(fmt.Sprintf("Перезвоните, пожалуйста, %d", d.rnd.Uint32()))
	case n < 84: // a call
		for _, b := range v.Call([]string{"incoming", "outgoing", "callback"}[d.rnd.IntN(3)], d.rnd.IntN(4) > 0) {
			d.later(func() []byte { return b })
		}
		return v.Accepted()
	case n < 92: // a chat that becomes a deal
		amount := 1000 + d.rnd.IntN(100000)
		deal := site.Deal{ID: int(v.Chat), Title: "Сделка", Amount: &amount, Pipeline: jivoPipeline, Stage: jivoNew}
		more := amount + 500
		d.later(func() []byte { return v.CreatedDeal(deal) })
		d.later(func() []byte { return v.Finished("positive", false) })
		d.later(func() []byte { deal.Amount = &more; return v.UpdatedDeal(deal) })
		return v.Accepted()
	default:
		return v.ClientUpdated()
	}
}

func (d *day) later(then func() []byte) { d.waiting = append(d.waiting, then) }

// visitor is one who comes back, seven times of eight, or a new one.
func (d *day) visitor() *site.Visitor {
	n := len(d.people)
	if n > 0 && (d.rnd.IntN(8) > 0 && n >= d.known/4) {
		return d.people[d.rnd.IntN(n)]
	}
	v := site.NewVisitor(8, d.sent+1)
	v.Phone, v.Email = v.Contacts()
	if n < d.known {
		d.people = append(d.people, v)
	} else {
		d.people[d.rnd.IntN(n)] = v // somebody else never comes back
	}
	return v
}

// post sends a webhook beside everything else, and one of fifty twice.
func (d *day) post(body []byte) {
	for range 1 + d.rnd.IntN(50)/49 {
		d.sent++
		d.posting.Go(func() {
			res, err := d.client.Post("http://bridge/jivo/"+e2eName+"/"+e2eSecret, "application/json", bytes.NewReader(body))
			if err == nil {
				_, _ = io.Copy(io.Discard, res.Body) // or the connection is not used again
				_ = res.Body.Close()
			}
			if err != nil || res.StatusCode != http.StatusOK {
				d.mu.Lock()
				d.refused++
				d.mu.Unlock()
			}
		})
	}
}

// manager moves one of the newest leads, or writes on it.
func (d *day) manager() {
	leads := d.l.amo.Report().ByEndpoint["POST /api/v4/leads/complex"]
	if leads == 0 {
		return
	}
	id := 5000001 + int64(d.rnd.IntN(leads))
	if d.rnd.IntN(2) == 0 {
		_ = d.l.amo.MoveLead(id, stageTalks, pipeSales) // it may be closed
		return
	}
	_, _ = d.l.amo.AddNote(id, fmt.Sprintf("%s %d", byHand, d.rnd.Uint64()))
}

// sample is what the process holds in a lull.
type sample struct {
	events, requests, goroutines int
	heap                         int64 // live, of the bridge
	disk                         int64
	by                           map[string]int64 // the heap, by who allocated it
}

// grown lists who holds more than in an earlier sample, most first.
func (s sample) grown(since sample) string {
	who := slices.SortedFunc(maps.Keys(s.by), func(a, b string) int { return int((s.by[b] - since.by[b]) - (s.by[a] - since.by[a])) })
	var out strings.Builder
	for _, w := range who[:min(8, len(who))] {
		fmt.Fprintf(&out, "\n  %+d KiB %s", (s.by[w]-since.by[w])>>10, w)
	}
	return out.String()
}

func (s sample) String() string {
	return fmt.Sprintf("%d events, %d requests, %d goroutines, %.1f MiB live, store %.0f MiB",
		s.events, s.requests, s.goroutines, float64(s.heap)/(1<<20), float64(s.disk)/(1<<20))
}

func (d *day) sample() sample {
	runtime.GC()
	runtime.GC() // the profile is of the collection before
	s := sample{events: d.sent, requests: d.l.amo.Report().Requests, goroutines: runtime.NumGoroutine(), by: map[string]int64{}}
	if info, err := os.Stat(d.l.file()); err == nil {
		s.disk = info.Size()
	}
	records := make([]runtime.MemProfileRecord, 1<<16)
	n, ok := runtime.MemProfile(records, false)
	if !ok {
		d.l.t.Fatalf("%d places allocate", n)
	}
	for _, r := range records[:n] {
		if who, ours := allocator(r.Stack()); ours {
			s.heap += unsampled(r)
			s.by[who] += unsampled(r)
		}
	}
	return s
}

// unsampled is what the sampled objects of a place stand for.
func unsampled(r runtime.MemProfileRecord) int64 {
	if r.InUseObjects() == 0 {
		return 0
	}
	size := float64(r.InUseBytes()) / float64(r.InUseObjects())
	return int64(float64(r.InUseBytes()) / (1 - math.Exp(-size/float64(runtime.MemProfileRate))))
}

// allocator names the innermost function of the bridge on a stack. What the
// emulated account, the visitors and the watch over all output hold is not ours.
func allocator(stack []uintptr) (who string, ours bool) {
	frames := runtime.CallersFrames(stack)
	for {
		f, more := frames.Next()
		for _, other := range []string{"/internal/emulator", "/internal/canary", "app_test."} {
			if strings.Contains(f.Function, other) && who == "" {
				return f.Function, false
			}
		}
		if strings.Contains(f.Function, "jivo-amocrm/bridge") && who == "" {
			who = f.Function
		}
		if !more {
			return cmp.Or(who, f.Function), true
		}
	}
}
