package amocrm

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudget_NeverOverInAnySlidingSecondAndNearlyUsedUp(t *testing.T) {
	for _, c := range []struct {
		name    string
		rps     float64
		latency time.Duration
		atLeast float64 // requests a second while work waits
	}{
		{"as amoCRM allows", 7, 150 * time.Millisecond, 6.5},
		{"no latency", 7, 0, 6.5},
		{"slow far end", 7, 3 * time.Second, 6.5},
		{"fast account", 100, 20 * time.Millisecond, 90},
		{"one a second", 1, 150 * time.Millisecond, 0.9},
		{"one in ten seconds", 0.1, 150 * time.Millisecond, 0.09},
		{"fraction", 2.5, 150 * time.Millisecond, 1.9},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, Config{RPS: c.rps, Batch: 1, Timeout: time.Minute}, nil, landing(c.latency), func(t *testing.T, w *world) {
				n := max(int(c.rps*10), 3)
				began := time.Now()
				_, errs := w.writeAll(leads(n))
				for _, err := range errs {
					if err != nil {
						t.Fatal(err)
					}
				}
				if most := w.inAnySecond(); float64(most) > max(c.rps, 1) {
					t.Errorf("%d requests in one second, allowed %v", most, c.rps)
				}
				last := w.seen()[n-1].at
				if rate := float64(n-1) / last.Sub(began).Seconds(); rate < c.atLeast {
					t.Errorf("%.2f requests a second while work waited, want at least %v", rate, c.atLeast)
				}
			})
		})
	}
}

// A dial takes time after the place in the budget was given: the requests
// behind it must not catch up with it.
func TestBudget_SlowDialsDoNotPushRequestsTogether(t *testing.T) {
	inBubble(t, Config{RPS: 7, Batch: 1}, nil, landing(400*time.Millisecond), func(t *testing.T, w *world) {
		rnd := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		w.dial = func(context.Context) error {
			mu.Lock()
			d := time.Duration(rnd.IntN(1500)) * time.Millisecond
			mu.Unlock()
			time.Sleep(d)
			return nil
		}
		w.writeAll(leads(60))
		if most := w.inAnySecond(); most > 7 {
			t.Errorf("%d requests in one second", most)
		}
	})
}

// The ledger's commit, too, lies between the place and the bytes.
func TestBudget_SlowLedgerDoesNotPushRequestsTogether(t *testing.T) {
	inBubble(t, Config{RPS: 7, Batch: 1}, nil, landing(10*time.Millisecond), func(t *testing.T, w *world) {
		var n atomic.Int32
		w.ledger.hook = func() {
			if n.Add(1) == 1 {
				time.Sleep(900 * time.Millisecond)
			}
		}
		w.writeAll(leads(30))
		if most := w.inAnySecond(); most > 7 {
			t.Errorf("%d requests in one second", most)
		}
	})
}

// Whatever the order of giving, writing and answering, R+1 arrivals never
// share a second, as long as the network delays none by more than the margin.
func TestBudget_HoldsForRandomDelays(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			b := newBudget(7)
			var mu sync.Mutex
			var arrivals []time.Time
			var wg sync.WaitGroup
			for range 60 {
				s, err := b.wait(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				before := time.Duration(rnd.IntN(700)) * time.Millisecond
				way := time.Duration(rnd.IntN(15)) * time.Millisecond
				after := time.Duration(100+rnd.IntN(1500)) * time.Millisecond
				wg.Go(func() {
					time.Sleep(before)
					s.wrote(time.Now())
					time.Sleep(way)
					mu.Lock()
					arrivals = append(arrivals, time.Now())
					mu.Unlock()
					time.Sleep(after)
					s.answered(time.Now())
				})
			}
			wg.Wait()
			f := &far{arrivals: arrivals}
			if most := f.inAnySecond(); most > 7 {
				t.Errorf("seed %d: %d arrivals in one second", seed, most)
			}
		})
	}
}

// A request that the network holds up for longer than the margin is known by
// its late answer, and counted as late until that has come.
func TestBudget_HoldsForRequestsHeldUpOnTheirWay(t *testing.T) {
	for _, back := range []time.Duration{100 * time.Millisecond, 1200 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			b := newBudget(7)
			var mu sync.Mutex
			var arrivals []time.Time
			var wg sync.WaitGroup
			for i := range 60 {
				s, err := b.wait(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				way := time.Duration(0)
				if i%14 == 1 { // and the eighth after it is not
					way = 60 * time.Millisecond
				}
				wg.Go(func() {
					s.wrote(time.Now())
					time.Sleep(way)
					mu.Lock()
					arrivals = append(arrivals, time.Now())
					mu.Unlock()
					time.Sleep(back)
					s.answered(time.Now())
				})
			}
			wg.Wait()
			slices.SortFunc(arrivals, time.Time.Compare)
			f := &far{arrivals: arrivals}
			if most := f.inAnySecond(); most > 7 {
				t.Errorf("answers after %v: %d arrivals in one second", back, most)
			}
		})
	}
}

// A machine that is short of processors holds requests up for much longer than
// any network; their late answers say so, whatever they are about.
func TestBudget_HoldsForRequestsHeldUpForLong(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 11))
			b := newBudget(7)
			var mu sync.Mutex
			var arrivals []time.Time
			var wg sync.WaitGroup
			began := time.Now()
			for i := range 80 {
				s, err := b.wait(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				s.kind = []string{"short", "long"}[i%2]
				back := []time.Duration{150 * time.Millisecond, 600 * time.Millisecond}[i%2]
				way := time.Duration(0)
				if i > 4 && rnd.IntN(6) == 0 {
					way = time.Duration(rnd.IntN(400)) * time.Millisecond
				}
				wg.Go(func() {
					s.wrote(time.Now())
					time.Sleep(way)
					mu.Lock()
					arrivals = append(arrivals, time.Now())
					mu.Unlock()
					time.Sleep(back)
					s.answered(time.Now())
				})
			}
			wg.Wait()
			f := &far{arrivals: arrivals}
			if most := f.inAnySecond(); most > 7 {
				t.Errorf("seed %d: %d arrivals in one second", seed, most)
			}
			if took := time.Since(began); took > 16*time.Second {
				t.Errorf("seed %d: 80 requests took %v", seed, took)
			}
		})
	}
}

func TestBudget_429HalvesThePaceAndReturnsSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(8)
		b.throttled(time.Now(), 0)
		b.throttled(time.Now(), 0) // of the same second: one lowering
		if got := b.current(); got != 4 {
			t.Fatalf("pace %v after 429s of one second, want 4", got)
		}
		for range 20 {
			time.Sleep(2 * time.Second)
			b.throttled(time.Now(), 0)
		}
		if got := b.current(); got != 8*slowest {
			t.Errorf("pace %v, want the floor %v", got, 8*slowest)
		}
		time.Sleep(recoverAfter)
		if got := b.current(); got >= 2 {
			t.Errorf("pace %v half a minute later: too fast a return", got)
		}
		time.Sleep(20 * recoverAfter)
		if got := b.current(); got != 8 {
			t.Errorf("pace %v ten minutes later, want 8 again", got)
		}
	})
}

func TestBudget_429WithoutRetryAfterWaitsLongerEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(7)
		var waits []time.Duration
		for range 8 {
			b.throttled(time.Now(), 0)
			d := time.Until(b.held())
			waits = append(waits, d)
			time.Sleep(d)
		}
		for i := 1; i < 7; i++ {
			if waits[i] != 2*waits[i-1] {
				t.Fatalf("waits %v do not double", waits)
			}
		}
		b.healthy()
		time.Sleep(time.Minute)
		b.throttled(time.Now(), 0)
		if d := time.Until(b.held()); d != time.Second {
			t.Errorf("after a good answer the wait is %v, want 1s again", d)
		}
	})
}

func TestThrottled_BurnsNothingAndGoesAgainByItself(t *testing.T) {
	for _, header := range []string{"", "2", "soon", "-5"} {
		t.Run("Retry-After "+header, func(t *testing.T) {
			inBubble(t, Config{}, nil, nil, func(t *testing.T, w *world) {
				n, ok := 0, landing(0)
				w.answer(func(rw http.ResponseWriter, r *http.Request, body []byte) {
					if n++; n == 1 {
						rw.Header().Set("Retry-After", header)
						page(429)(rw, r, body)
						return
					}
					ok(rw, r, body)
				})
				began := time.Now()
				ctx, requests := traced(t.Context())
				if _, err := w.Write(ctx, lead(1)); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took < time.Second || took > 3*time.Second {
					t.Errorf("went again after %v", took)
				}
				if len(*requests) != 2 || (*requests)[0].Status != 429 || (*requests)[1].Status != 200 {
					t.Errorf("trace %+v", *requests)
				}
				if w.Pace() > 3.5 || w.State().Paused {
					t.Errorf("pace %v, paused %v", w.Pace(), w.State())
				}
			})
		})
	}
}

func TestThrottled_LongWaitIsToldInsteadOfWaitedOut(t *testing.T) {
	inBubble(t, Config{}, nil, func(rw http.ResponseWriter, r *http.Request, body []byte) {
		rw.Header().Set("Retry-After", "300")
		page(429)(rw, r, body)
	}, func(t *testing.T, w *world) {
		began := time.Now()
		for range 2 {
			_, err := w.Write(t.Context(), lead(1))
			e, ok := err.(*NotSent)
			if !ok || e.Trouble != RateLimited || !e.Until.Equal(began.Add(300*time.Second)) {
				t.Fatalf("got %v", err)
			}
		}
		if n := len(w.seen()); n != 1 || time.Since(began) > time.Second {
			t.Errorf("%d requests, %v", n, time.Since(began))
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                              -1,
		"soon":                          -1,
		"-5":                            -1,
		"1.5":                           -1,
		"0":                             0,
		" 7 ":                           7 * time.Second,
		"300":                           300 * time.Second,
		"99999999":                      maxHold,
		"99999999999999999999999":       maxHold,
		"Sat, 21 Nov 2026 12:00:09 GMT": 9 * time.Second,
		"Sat, 21 Nov 2020 12:00:09 GMT": 0,
		"Sat, 21 Nov 2099 12:00:09 GMT": maxHold,
	} {
		got, ok := retryAfter(header, now)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "7", "-1", "99999999999999999999", "Sat, 21 Nov 2026 12:00:09 GMT", "1e9", "٣"} {
		f.Add(s)
	}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, header string) {
		d, ok := retryAfter(header, now)
		if d < 0 || d > maxHold || !ok && d != 0 {
			t.Errorf("%q: %v %v", header, d, ok)
		}
		if n, err := strconv.ParseUint(header, 10, 64); err == nil && !ok {
			t.Errorf("%q is not understood as %d", header, n)
		}
	})
}

func TestWindow_SlowRatesStretchTheWindow(t *testing.T) {
	for _, c := range []struct {
		rate float64
		n    int
		w    time.Duration
	}{
		{7, 7, time.Second}, {2.5, 2, time.Second}, {1, 1, time.Second}, {0.1, 1, 10 * time.Second}, {1000, 1000, time.Second},
	} {
		if n, w := window(c.rate); n != c.n || w != c.w+margin {
			t.Errorf("%v: %d in %v, want %d in %v", c.rate, n, w, c.n, c.w)
		}
	}
}

func TestBudget_RequestsOfAnEarlierClientCount(t *testing.T) {
	now := time.Unix(1795000000, 0)
	b := newBudget(7)
	b.resume([]time.Time{
		now.Add(-time.Hour), now.Add(-900 * time.Millisecond), now.Add(-800 * time.Millisecond), now.Add(-700 * time.Millisecond),
		now.Add(-600 * time.Millisecond), now.Add(-500 * time.Millisecond), now.Add(-400 * time.Millisecond), now.Add(time.Hour),
	}, now)
	s, wait, _ := b.take(now)
	if s != nil || wait <= 0 || wait > 200*time.Millisecond {
		t.Fatalf("the eighth request of this second: %v, %v", s, wait)
	}
	if s, _, _ = b.take(now.Add(wait)); s == nil {
		t.Error("the oldest counts no more, and there is still no place")
	}
}

func TestBudget_TheFirstOfAKindMayHaveArrivedAsLateAsItsAnswer(t *testing.T) {
	now := time.Unix(1795000000, 0)
	b := newBudget(1)
	arrival := func(trip time.Duration) time.Duration {
		now = now.Add(time.Minute)
		s, _, _ := b.take(now)
		s.kind = "GET leads"
		s.wrote(now)
		s.answered(now.Add(trip))
		return s.arrived.Sub(now)
	}
	for _, step := range [][2]time.Duration{{80 * time.Millisecond, 80 * time.Millisecond}, {80 * time.Millisecond, 0}, {20 * time.Millisecond, 0}, {70 * time.Millisecond, 50 * time.Millisecond}} {
		if got := arrival(step[0]); got.Round(time.Millisecond) != step[1] {
			t.Errorf("after a trip of %v it counts as arrived after %v, want %v", step[0], got, step[1])
		}
	}
}
