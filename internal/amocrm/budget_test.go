package amocrm

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/farend"
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
			inBubble(t, Config{RPS: c.rps, Batch: 1, Timeout: time.Minute}, nil, farend.Landing(c.latency), func(t *testing.T, w *world) {
				n := max(int(c.rps*10), 3)
				began := time.Now()
				_, errs := w.writeAll(leads(n))
				for _, err := range errs {
					if err != nil {
						t.Fatal(err)
					}
				}
				if most := w.InAnySecond(); float64(most) > max(c.rps, 1) {
					t.Errorf("%d requests in one second, allowed %v", most, c.rps)
				}
				last := w.Seen()[n-1].At
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
	inBubble(t, Config{RPS: 7, Batch: 1}, nil, farend.Landing(400*time.Millisecond), func(t *testing.T, w *world) {
		rnd := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		w.Dial = func(context.Context) error {
			mu.Lock()
			d := time.Duration(rnd.IntN(1500)) * time.Millisecond
			mu.Unlock()
			time.Sleep(d)
			return nil
		}
		w.writeAll(leads(60))
		if most := w.InAnySecond(); most > 7 {
			t.Errorf("%d requests in one second", most)
		}
	})
}

// The ledger's commit, too, lies between the place and the bytes.
func TestBudget_SlowLedgerDoesNotPushRequestsTogether(t *testing.T) {
	inBubble(t, Config{RPS: 7, Batch: 1}, nil, farend.Landing(10*time.Millisecond), func(t *testing.T, w *world) {
		var n atomic.Int32
		w.ledger.hook = func() {
			if n.Add(1) == 1 {
				time.Sleep(900 * time.Millisecond)
			}
		}
		w.writeAll(leads(30))
		if most := w.InAnySecond(); most > 7 {
			t.Errorf("%d requests in one second", most)
		}
	})
}

func TestThrottled_BurnsNothingAndGoesAgainByItself(t *testing.T) {
	for _, header := range []string{"", "2", "soon", "-5"} {
		t.Run("Retry-After "+header, func(t *testing.T) {
			inBubble(t, Config{}, nil, nil, func(t *testing.T, w *world) {
				n, ok := 0, farend.Landing(0)
				w.Answer(func(rw http.ResponseWriter, r *http.Request, body []byte) {
					if n++; n == 1 {
						rw.Header().Set("Retry-After", header)
						farend.Page(429)(rw, r, body)
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
				if w.budget.Pace() > 3.5 || w.State().Paused {
					t.Errorf("pace %v, paused %v", w.budget.Pace(), w.State())
				}
			})
		})
	}
}

func TestThrottled_LongWaitIsToldInsteadOfWaitedOut(t *testing.T) {
	inBubble(t, Config{}, nil, func(rw http.ResponseWriter, r *http.Request, body []byte) {
		rw.Header().Set("Retry-After", "300")
		farend.Page(429)(rw, r, body)
	}, func(t *testing.T, w *world) {
		began := time.Now()
		for range 2 {
			_, err := w.Write(t.Context(), lead(1))
			e, ok := err.(*NotSent)
			if !ok || e.Trouble != RateLimited || !e.Until.Equal(began.Add(300*time.Second)) {
				t.Fatalf("got %v", err)
			}
		}
		if n := len(w.Seen()); n != 1 || time.Since(began) > time.Second {
			t.Errorf("%d requests, %v", n, time.Since(began))
		}
		if s := w.Standing(); !s.Paused || s.Reason != RateLimited || !s.Until.Equal(began.Add(300*time.Second)) || w.State().Paused {
			t.Errorf("people are told %+v", s)
		}
		pass(301 * time.Second)
		if s := w.Standing(); s.Paused {
			t.Errorf("afterwards people are told %+v", s)
		}
	})
}

// A Retry-After that is a date is meant by the clock of who says it, which its answer
// tells; ours may run an hour ahead or behind.
func TestThrottled_ADateIsReadByTheClockOfWhoSaysIt(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, 0, time.Hour} {
		inBubble(t, Config{}, nil, func(rw http.ResponseWriter, r *http.Request, body []byte) {
			there := time.Now().Add(skew).UTC()
			rw.Header().Set("Date", there.Format(http.TimeFormat))
			rw.Header().Set("Retry-After", there.Add(5*time.Minute).Format(http.TimeFormat))
			farend.Page(429)(rw, r, body)
		}, func(t *testing.T, w *world) {
			_, err := w.Write(t.Context(), lead(1))
			e, ok := errors.AsType[*NotSent](err)
			if !ok || time.Until(e.Until).Round(time.Second) != 5*time.Minute {
				t.Errorf("their clock is ours and %v: %v", skew, err)
			}
		})
	}
}

// The words of a 429 say nothing that its status does not: one whose page breaks
// off slows down like any other.
func TestThrottled_SlowsDownThoughItsPageBreaksOff(t *testing.T) {
	inBubble(t, Config{}, nil, nil, func(t *testing.T, w *world) {
		n, ok := 0, farend.Landing(0)
		w.Answer(func(rw http.ResponseWriter, r *http.Request, body []byte) {
			if n++; n == 1 {
				rw.Header().Set("Retry-After", "2")
				rw.Header().Set("Content-Length", "5000")
				farend.Page(429)(rw, r, body)
				return
			}
			ok(rw, r, body)
		})
		began := time.Now()
		if _, err := w.Write(t.Context(), lead(1)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 2*time.Second || w.budget.Pace() > 3.5 {
			t.Errorf("went again after %v, pace %v", took, w.budget.Pace())
		}
	})
}

// A command's client closes once what it has sent counts no more: the next command
// begins with a whole second's budget.
func TestBudget_ACommandLeavesTheNextItsSecond(t *testing.T) {
	inBubble(t, Config{Linger: true}, nil, farend.Landing(0), func(t *testing.T, w *world) {
		for i := range 3 {
			if _, err := w.Write(t.Context(), lead(i)); err != nil {
				t.Fatal(err)
			}
		}
		last := time.Now()
		w.Close()
		if took := time.Since(last); took < 900*time.Millisecond || took > 2*time.Second {
			t.Errorf("closed %v after the last answer", took)
		}
	})
}
