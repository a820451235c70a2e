package budget

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/farend"
)

// network is what requests go through: it notes when they arrive.
type network struct {
	mu       sync.Mutex
	arrivals []time.Time
	wg       sync.WaitGroup
}

// send has a request leave after a while, arrive after its way and be answered
// after the way back.
func (n *network) send(s *Slot, before, way, back time.Duration) {
	n.wg.Go(func() {
		time.Sleep(before)
		s.wrote(time.Now())
		time.Sleep(way)
		n.mu.Lock()
		n.arrivals = append(n.arrivals, time.Now())
		n.mu.Unlock()
		time.Sleep(back)
		s.answered(time.Now())
	})
}

// most is how many requests arrived within one second at most, once all have.
func (n *network) most() int {
	n.wg.Wait()
	return farend.InAnySecond(n.arrivals)
}

// Whatever the order of giving, writing and answering, R+1 arrivals never
// share a second, as long as the network delays none by more than the margin.
func TestBudget_HoldsForRandomDelays(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			b := newBudget(7)
			var net network
			for range 60 {
				s, err := b.wait(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				before := time.Duration(rnd.IntN(700)) * time.Millisecond
				way := time.Duration(rnd.IntN(15)) * time.Millisecond
				after := time.Duration(100+rnd.IntN(1500)) * time.Millisecond
				net.send(s, before, way, after)
			}
			if most := net.most(); most > 7 {
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
			var net network
			for i := range 60 {
				s, err := b.wait(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				way := time.Duration(0)
				if i%14 == 1 { // and the eighth after it is not
					way = 60 * time.Millisecond
				}
				net.send(s, 0, way, back)
			}
			if most := net.most(); most > 7 {
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
			var net network
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
				net.send(s, 0, way, back)
			}
			if most := net.most(); most > 7 {
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
		"901":                           maxHold,
		"86400":                         maxHold,
		"86401":                         -1,
		"99999999999999999999999":       -1,
		"Sat, 21 Nov 2026 12:00:09 GMT": 9 * time.Second,
		"Sat, 21 Nov 2020 12:00:09 GMT": 0,
		"Sat, 21 Nov 2026 18:00:00 GMT": maxHold,
		"Sat, 21 Nov 2099 12:00:09 GMT": -1,
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
		if n, err := strconv.ParseUint(header, 10, 64); err == nil && n <= 86400 && !ok {
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

func TestLabel_IsAClosedSet(t *testing.T) {
	for path, want := range map[string]string{
		"/api/v4/leads":                       "leads",
		"/api/v4/leads/501":                   "leads",
		"/api/v4/leads/complex":               "leads/complex",
		"/api/v4/leads/link":                  "leads/link",
		"/api/v4/leads/501/notes":             "leads/notes",
		"/api/v4/contacts/notes":              "contacts/notes",
		"/api/v4/leads/pipelines":             "pipelines",
		"/api/v4/contacts/custom_fields":      "custom_fields",
		"/api/v4/tasks/7":                     "tasks",
		"/api/v4/account":                     "account",
		"/api/v4/events":                      "events",
		"/api/v4/webhooks":                    "webhooks",
		"/oauth2/access_token":                "token",
		"/oauth2/account/current/subdomain":   "token",
		"/api/v4/leads/unsorted":              "unsorted",
		"/api/v4/whatever/+79990000001":       "other",
		"/":                                   "other",
		"/api/v4/leads/unsorted/uid-of-a-man": "other",
	} {
		if got := Label(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestTransport_AsksNoOtherHost(t *testing.T) {
	rt := New(Config{BaseURL: "https://demo.amocrm.ru", RPS: 7, Timeout: time.Second, Next: http.DefaultTransport})
	for _, u := range []string{"https://evil.example/", "http://demo.amocrm.ru/", "https://demo.amocrm.ru.evil.example/", "https://demo.amocrm.ru:8443/"} {
		req, _ := http.NewRequest(http.MethodGet, u, nil)
		if _, err := rt.RoundTrip(req); err == nil || !strings.Contains(err.Error(), "not the account's") {
			t.Errorf("%s: %v", u, err)
		}
	}
}
