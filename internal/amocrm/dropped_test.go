package amocrm

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/farend"
)

// closer is a far end that hangs up under every request for a lead that comes on
// a connection which served one before, and answers it on a fresh one.
type closer struct {
	mu   sync.Mutex
	used map[string]int
	bad  []string // requests that say they have a body
}

func (c *closer) answer(w http.ResponseWriter, r *http.Request, body []byte) {
	if len(r.TransferEncoding) > 0 || r.ContentLength != 0 || r.Header.Get("Content-Length") != "" || len(body) > 0 || r.Close {
		c.mu.Lock()
		c.bad = append(c.bad, r.Method+" "+r.URL.Path)
		c.mu.Unlock()
	}
	if r.URL.Path == accountPath {
		fmt.Fprint(w, `{"id":1,"is_api_filter_enabled":false}`)
		return
	}
	c.mu.Lock()
	c.used[r.URL.Path]++
	first := c.used[r.URL.Path] == 1
	c.mu.Unlock()
	if first {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
		return
	}
	_, id, _ := strings.Cut(r.URL.Path, "/leads/")
	fmt.Fprintf(w, `{"id":%s}`, id)
}

// net/http would send a read again by itself when its kept-alive connection is
// closed under it, past the budget and every count.
func TestRead_OnAClosedConnectionGoesAgainUnderTheBudget(t *testing.T) {
	far := &closer{used: map[string]int{}}
	var told int
	var mu sync.Mutex
	cfg := Config{RPS: 7, OnSend: func(time.Time) { mu.Lock(); told++; mu.Unlock() }}
	inBubble(t, cfg, nil, far.answer, func(t *testing.T, w *world) {
		for id := range int64(20) {
			if _, err := w.Account(t.Context()); err != nil { // leaves a kept-alive connection
				t.Fatal(err)
			}
			ctx, requests := traced(t.Context())
			if l, ok, err := w.Lead(ctx, 500+id); err != nil || !ok || l.ID != 500+id {
				t.Fatalf("lead %d: %v, %v, %v", id, l.ID, ok, err)
			}
			if len(*requests) != 2 || (*requests)[0].Status != 0 || (*requests)[1].Status != 200 {
				t.Errorf("lead %d: traced %+v", id, *requests)
			}
		}
		seen := len(w.Seen())
		if seen != 60 {
			t.Errorf("the far end saw %d requests", seen)
		}
		w.obs.mu.Lock()
		counted := len(w.obs.codes)
		w.obs.mu.Unlock()
		if counted != seen || told != seen {
			t.Errorf("of %d requests %d were counted and %d told of", seen, counted, told)
		}
		if most := w.InAnySecond(); most > 7 {
			t.Errorf("%d requests in one second", most)
		}
		if len(far.bad) > 0 {
			t.Errorf("reads with a body: %v", far.bad)
		}
	})
}

// What is closed under twice is the account's trouble.
func TestRead_OnAConnectionClosedTwicePauses(t *testing.T) {
	hangUp := func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = conn.Close()
		}
	}
	inBubble(t, Config{Probe: time.Minute}, nil, farend.Landing(0), func(t *testing.T, w *world) {
		if _, err := w.Account(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.Answer(hangUp)
		if _, _, err := w.Lead(t.Context(), 1); TroubleOf(err) != Unreachable {
			t.Errorf("%v", err)
		}
		if n := len(w.Seen()); n != 3 || !w.State().Paused { // the account, and the lead twice
			t.Errorf("%d requests, %+v", n, w.State())
		}
	})
}

// A probe whose connection is closed under it goes again at once: what is over is
// not waited out for another minute.
func TestProbe_OnAClosedConnectionGoesAgain(t *testing.T) {
	inBubble(t, Config{Probe: 20 * time.Second}, nil, farend.Page(503), func(t *testing.T, w *world) {
		_, _, _ = w.Lead(t.Context(), 1)
		began, closed, ok := time.Now(), false, farend.Landing(0)
		w.Answer(func(rw http.ResponseWriter, r *http.Request, body []byte) {
			if !closed {
				closed = true
				panic(http.ErrAbortHandler)
			}
			ok(rw, r, body)
		})
		<-w.Resumed()
		if took := time.Since(began); !closed || took > 22*time.Second {
			t.Errorf("closed under the probe: %t; resumed after %v", closed, took)
		}
	})
}

// Whoever reads the account, reads by id share requests from then on.
func TestRead_SharesRequestsOnceAnybodyReadTheAccount(t *testing.T) {
	inBubble(t, Config{}, nil, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		time.Sleep(100 * time.Millisecond)
		if r.URL.Path == accountPath {
			fmt.Fprint(w, `{"id":1,"is_api_filter_enabled":true}`)
			return
		}
		w.WriteHeader(204)
	}, func(t *testing.T, w *world) {
		if _, err := w.Get(t.Context(), accountPath, nil, nil); err != nil {
			t.Fatal(err)
		}
		before := len(w.Seen())
		ids := make([]int64, 40)
		for i := range ids {
			ids[i] = int64(i + 1)
		}
		if _, err := w.Leads(t.Context(), ids); err != nil {
			t.Fatal(err)
		}
		if n := len(w.Seen()) - before; n > 6 {
			t.Errorf("%d requests for 40 leads", n)
		}
	})
}
