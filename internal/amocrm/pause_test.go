package amocrm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/farend"
)

func TestPause_EndsWhatWaitsAndTriesOncePerProbe(t *testing.T) {
	inBubble(t, Config{RPS: 1, Batch: 1, Probe: time.Minute}, nil, farend.Page(502), func(t *testing.T, w *world) {
		began := time.Now()
		_, errs := w.writeAll(leads(5))
		var doubt, paused int
		for _, err := range errs {
			if _, ok := errors.AsType[*InDoubt](err); ok {
				doubt++
			} else if e, ok := errors.AsType[*NotSent](err); ok && e.Trouble == Paused && e.Reason == Unavailable && e.Until.After(began) {
				paused++
			}
		}
		if doubt != 1 || paused != 4 || time.Since(began) > 5*time.Second {
			t.Fatalf("%d in doubt, %d paused, in %v: %v", doubt, paused, time.Since(began), errs)
		}
		if _, err := w.Write(t.Context(), lead(9)); TroubleOf(err) != Unavailable {
			t.Errorf("new write: %v", err)
		}
		if _, _, err := w.Lead(t.Context(), 1); TroubleOf(err) != Unavailable {
			t.Errorf("new read: %v", err)
		}
		resumed := w.Resumed()
		pass(3*time.Minute + time.Second)
		if n := len(w.Seen()); n != 4 {
			t.Errorf("%d requests in three probes' time, want the write and 3 probes", n)
		}
		for _, s := range w.Seen()[1:] {
			if !strings.HasPrefix(s.URI, "/api/v4/account") {
				t.Errorf("probe %s", s.URI)
			}
		}
		select {
		case <-resumed:
			t.Fatal("resumed while amoCRM is down")
		default:
		}
		w.Answer(farend.Landing(0))
		<-resumed
		if _, err := w.Write(t.Context(), lead(10)); err != nil || w.State().Paused {
			t.Errorf("after resuming: %v %+v", err, w.State())
		}
		select {
		case <-w.Resumed():
		default:
			t.Error("Resumed of an open account blocks")
		}
	})
}

func TestPause_BanIsTriedEverMoreRarely(t *testing.T) {
	var told []Status
	cfg := Config{Probe: time.Minute, OnPause: func(s Status) { told = append(told, s) }}
	inBubble(t, cfg, nil, farend.Page(403), func(t *testing.T, w *world) {
		_, err := w.Write(t.Context(), lead(1))
		if TroubleOf(err) != Banned {
			t.Fatalf("%v", err)
		}
		pass(2 * time.Hour)
		var gaps []time.Duration
		seen := w.Seen()
		for i := 1; i < len(seen); i++ {
			gaps = append(gaps, seen[i].At.Sub(seen[i-1].At).Round(time.Minute))
		}
		want := []time.Duration{1, 2, 4, 8, 15, 15, 15}
		for i := range want {
			if gaps[i] != want[i]*time.Minute {
				t.Fatalf("gaps %v, want minutes %v", gaps, want)
			}
		}
		if len(told) != 1 || told[0].Reason != Banned {
			t.Errorf("OnPause %+v", told)
		}
		w.Answer(farend.Landing(0))
		<-w.Resumed()
	})
}

func TestPause_ForAnothersSakeTellsNobody(t *testing.T) {
	told := 0
	inBubble(t, Config{Probe: 2 * time.Second, OnPause: func(Status) { told++ }}, nil, farend.Landing(0), func(t *testing.T, w *world) {
		w.PauseWith(Banned)
		began := time.Now()
		if _, err := w.Write(t.Context(), lead(1)); TroubleOf(err) != Banned {
			t.Errorf("%v", err)
		}
		<-w.Resumed()
		if took := time.Since(began); took != 2*time.Second || told != 0 {
			t.Errorf("resumed after %v, OnPause called %d times", took, told)
		}
	})
}

// A lone request that fails again although the account was healthy in between
// has trouble of its own, and must not pause the others for ever.
func TestPause_PoisonedRequestPausesOnce(t *testing.T) {
	ok := farend.Landing(0)
	inBubble(t, Config{Probe: time.Minute}, nil, func(w http.ResponseWriter, r *http.Request, body []byte) {
		switch {
		case strings.Contains(string(body), "lead 666"):
			farend.Page(500)(w, r, body)
		case r.URL.Path == "/api/v4/leads/666":
			farend.Page(200)(w, r, body)
		case strings.Contains(string(body), "lead 404"):
			farend.Page(404)(w, r, body)
		default:
			ok(w, r, body)
		}
	}, func(t *testing.T, w *world) {
		for name, do := range map[string]func() error{
			"write": func() error { _, err := w.Write(t.Context(), lead(666)); return err },
			"read":  func() error { _, _, err := w.Lead(t.Context(), 666); return err },
			"page":  func() error { _, err := w.Write(t.Context(), lead(404)); return err },
		} {
			_ = do()
			if !w.State().Paused {
				t.Errorf("%s: the first failure did not pause", name)
			}
			<-w.Resumed()
			for range 2 {
				err := do()
				if w.State().Paused {
					t.Fatalf("%s: paused again", name)
				}
				switch e := err.(type) {
				case *InDoubt:
					if name != "write" || !e.Own {
						t.Errorf("%s: %v", name, err)
					}
				case *Failed:
					if name == "write" {
						t.Errorf("%s: %v", name, err)
					}
				default:
					t.Errorf("%s: %T", name, err)
				}
			}
			if _, err := w.Write(t.Context(), lead(1)); err != nil {
				t.Errorf("%s: another item: %v", name, err)
			}
		}
	})
}

func TestPause_SilenceUnreachableAndTLSPause(t *testing.T) {
	for name, dial := range map[string]error{
		"DNS":  &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "demo.amocrm.ru"}},
		"dial": &net.OpError{Op: "dial", Err: errors.New("connection refused")},
		"TLS":  errors.New("x509: certificate signed by unknown authority"),
	} {
		inBubble(t, Config{}, nil, farend.Landing(0), func(t *testing.T, w *world) {
			w.Dial = func(context.Context) error { return dial }
			_, err := w.SearchContacts(t.Context(), "+79990000001", NewLead)
			if TroubleOf(err) != Unreachable || strings.Contains(err.Error(), "9990000001") {
				t.Errorf("%s: %v", name, err)
			}
			if s := w.State(); s.Reason != Unreachable {
				t.Errorf("%s: %+v", name, s)
			}
		})
	}
	inBubble(t, Config{Timeout: 15 * time.Second}, nil, farend.Landing(time.Hour), func(t *testing.T, w *world) {
		began := time.Now()
		_, _, err := w.Lead(t.Context(), 1)
		if TroubleOf(err) != Unreachable || time.Since(began) != 15*time.Second {
			t.Errorf("silence: %v after %v", err, time.Since(began))
		}
	})
}

func TestPause_AnswerThatIsTooLongIsNone(t *testing.T) {
	inBubble(t, Config{}, nil, func(w http.ResponseWriter, r *http.Request, body []byte) {
		fmt.Fprint(w, `{"id":1}`)
		tenMegabytes(w, r, body)
	}, func(t *testing.T, w *world) {
		if l, _, err := w.Lead(t.Context(), 1); TroubleOf(err) != BadAnswer {
			t.Errorf("%+v, %v", l, err)
		}
	})
}

func TestPause_NoRedirectIsFollowedAndNoOtherHostAsked(t *testing.T) {
	var hosts []string
	inBubble(t, Config{}, nil, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		hosts = append(hosts, r.Host)
		w.Header().Set("Location", map[string]string{"1": "http://evil.example/", "2": "/elsewhere"}[r.URL.Path[len("/api/v4/leads/"):]])
		w.WriteHeader(302)
	}, func(t *testing.T, w *world) {
		for id := int64(1); id <= 2; id++ {
			c := New(Config{BaseURL: "http://demo.amocrm.ru"}, fixed("t"), nil, nil, nil, w.tr)
			_, _, err := c.Lead(t.Context(), id)
			c.Close()
			if TroubleOf(err) != BadAnswer || len(hosts) != int(id) {
				t.Errorf("%v, asked %v", err, hosts)
			}
		}
	})
}

func TestToken_RefusedOnceIsRefreshedAndTheItemsGoAgain(t *testing.T) {
	tokens := &rotating{}
	inBubble(t, Config{RPS: 1}, tokens, nil, func(t *testing.T, w *world) {
		ok := farend.Landing(0)
		w.Answer(func(rw http.ResponseWriter, r *http.Request, body []byte) {
			if r.Header.Get("Authorization") == "Bearer t0" {
				rw.WriteHeader(401)
				fmt.Fprint(rw, `{"title":"Unauthorized","status":401}`)
				return
			}
			ok(rw, r, body)
		})
		_, errs := w.writeAll(leads(10))
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
		if tokens.n != 1 || w.State().Paused {
			t.Errorf("%d rotations, %+v", tokens.n, w.State())
		}
	})
}

func TestToken_RefusedTwicePauses(t *testing.T) {
	tokens := &rotating{}
	inBubble(t, Config{}, tokens, func(rw http.ResponseWriter, _ *http.Request, _ []byte) {
		rw.WriteHeader(401)
		fmt.Fprint(rw, `{"title":"Unauthorized","status":401}`)
	}, func(t *testing.T, w *world) {
		_, err := w.Write(t.Context(), lead(1))
		if TroubleOf(err) != Unauthorized || w.State().Reason != Unauthorized || len(w.Seen()) != 2 {
			t.Errorf("%v, %+v, %d requests", err, w.State(), len(w.Seen()))
		}
	})
}

func TestToken_NeedsAuthPausesAndResumesWhenGranted(t *testing.T) {
	tokens := &rotating{err: &NeedsAuth{Hint: "run bridge auth"}}
	inBubble(t, Config{}, tokens, farend.Landing(0), func(t *testing.T, w *world) {
		_, err := w.Write(t.Context(), lead(1))
		if TroubleOf(err) != AuthNeeded || w.State().Reason != AuthNeeded || len(w.Seen()) != 0 {
			t.Fatalf("%v, %+v", err, w.State())
		}
		synctest.Wait()
		tokens.err = nil
		w.ProbeNow()
		began := time.Now()
		<-w.Resumed()
		if time.Since(began) > time.Second {
			t.Errorf("resumed after %v", time.Since(began))
		}
	})
}

// rotating is a Tokens whose token changes when refused.
type rotating struct {
	mu  sync.Mutex
	n   int
	err error
}

func (r *rotating) Token(context.Context) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("t%d", r.n), r.err
}

func (r *rotating) Refused(_ context.Context, token string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if token == fmt.Sprintf("t%d", r.n) {
		r.n++
	}
	return r.err
}

func TestHTTPServerTime_FollowsTheDateHeader(t *testing.T) {
	inBubble(t, Config{}, nil, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		w.WriteHeader(204)
	}, func(t *testing.T, w *world) {
		_, _, _ = w.Lead(t.Context(), 1)
		if d := w.ServerTime().Sub(time.Now().Add(time.Hour)); d > 0 || d < -time.Second {
			t.Errorf("off by %v", d)
		}
	})
}

// A probe may find something else wrong than what paused the account; what
// somebody must mend shows rather than what passes.
func TestPause_ReasonFollowsWhatIsFound(t *testing.T) {
	inBubble(t, Config{Probe: time.Minute}, nil, farend.Page(502), func(t *testing.T, w *world) {
		_, _, _ = w.Lead(t.Context(), 1)
		for _, c := range []struct {
			status int
			want   Trouble
		}{{503, Unavailable}, {402, Unpaid}, {401, Unauthorized}, {403, Banned}, {500, Unavailable}} {
			w.Answer(farend.Page(c.status))
			w.ProbeNow()
			synctest.Wait()
			time.Sleep(2 * time.Second) // the budget
			if s := w.State(); !s.Paused || s.Reason != c.want {
				t.Errorf("%d: %+v", c.status, s)
			}
		}
		w.PauseWith(Banned)
		w.PauseWith(Unreachable)
		if s := w.State(); s.Reason != Banned {
			t.Errorf("%+v", s)
		}
		w.Answer(farend.Landing(0))
		<-w.Resumed()
		if s := w.State(); s.Paused || s.Reason != "" {
			t.Errorf("after resuming: %+v", s)
		}
	})
}

// Two requests that were on their way when the account went down are both the
// account's trouble, however alike they are.
func TestPause_FailingTwiceBeforeAProbeProvesNothing(t *testing.T) {
	inBubble(t, Config{}, nil, func(rw http.ResponseWriter, r *http.Request, body []byte) {
		time.Sleep(time.Second)
		farend.Page(502)(rw, r, body)
	}, func(t *testing.T, w *world) {
		errs := make(chan error, 2)
		for range 2 {
			go func() { _, _, err := w.Lead(t.Context(), 1); errs <- err }()
			synctest.Wait()
		}
		for range 2 {
			if err := <-errs; typeOf(err) != "*amocrm.NotSent" {
				t.Errorf("%v", err)
			}
		}
		if len(w.Seen()) != 2 {
			t.Errorf("%d requests", len(w.Seen()))
		}
	})
}
