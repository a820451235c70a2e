package amocrm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/farend"
)

func TestWrite_LoneItemGoesAtOnce(t *testing.T) {
	inBubble(t, Config{}, nil, farend.Landing(0), func(t *testing.T, w *world) {
		began := time.Now()
		r, err := w.Write(t.Context(), lead(1))
		if err != nil || r.ID != 1001 || r.ContactID != 6001 || r.CompanyID != 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		if at := w.Seen()[0].At; !at.Equal(began) {
			t.Errorf("left %v late", at.Sub(began))
		}
		if !r.SentAt.Equal(began) {
			t.Errorf("sent at %v", r.SentAt)
		}
	})
}

func TestWrite_WhatWaitsSharesARequest(t *testing.T) {
	inBubble(t, Config{RPS: 7, Batch: 50}, nil, farend.Landing(150*time.Millisecond), func(t *testing.T, w *world) {
		results, errs := w.writeAll(leads(300))
		ids := map[int64]bool{}
		for i := range results {
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			ids[results[i].ID] = true
		}
		if len(ids) != 300 {
			t.Errorf("%d different ids for 300 items", len(ids))
		}
		if n := len(w.Seen()); n > 11 {
			t.Errorf("%d requests for 300 items", n)
		}
		if most := slices.Max(w.obs.batches); most > 50 {
			t.Errorf("%d items in one request", most)
		}
		var sizes []int
		for _, s := range w.Seen() {
			sizes = append(sizes, len(farend.Items(s.Body)))
		}
		if got := slices.Sorted(slices.Values(w.obs.batches)); !slices.Equal(got, slices.Sorted(slices.Values(sizes))) {
			t.Errorf("observed %v, sent %v", got, sizes)
		}
	})
}

func TestWrite_ComplexNeverTakesMoreThanAmoCRMDoes(t *testing.T) {
	inBubble(t, Config{Batch: 250}, nil, farend.Landing(0), func(t *testing.T, w *world) {
		w.writeAll(leads(200))
		if most := slices.Max(w.obs.batches); most > maxComplex {
			t.Errorf("%d leads in one leads/complex", most)
		}
	})
}

// Each item must get its own answer, whatever order the answers come in.
func TestWrite_AnswersAreMatchedByRequestID(t *testing.T) {
	inBubble(t, Config{}, nil, func(w http.ResponseWriter, _ *http.Request, body []byte) {
		var out []map[string]any
		for _, item := range farend.Items(body) {
			var n int
			_, _ = fmt.Sscanf(item["name"].(string), "lead %d", &n)
			out = append(out, map[string]any{"id": 500 + n, "contact_id": 900 + n, "request_id": []any{item["request_id"]}})
		}
		slices.Reverse(out)
		_ = json.NewEncoder(w).Encode(out)
	}, func(t *testing.T, w *world) {
		results, errs := w.writeAll(leads(60))
		for i, r := range results {
			if errs[i] != nil || r.ID != int64(500+i) || r.ContactID != int64(900+i) {
				t.Errorf("item %d got %+v, %v", i, r, errs[i])
			}
		}
	})
}

func TestWrite_ItemNotMentionedInTheAnswerIsInDoubt(t *testing.T) {
	inBubble(t, Config{}, nil, func(w http.ResponseWriter, _ *http.Request, body []byte) {
		out := []map[string]any{}
		for _, item := range farend.Items(body) {
			if item["name"] != "lead 3" {
				out = append(out, map[string]any{"id": 1, "request_id": []any{item["request_id"]}})
			}
		}
		_ = json.NewEncoder(w).Encode(out)
	}, func(t *testing.T, w *world) {
		_, errs := w.writeAll(leads(10))
		for i, err := range errs {
			if _, doubt := errors.AsType[*InDoubt](err); doubt != (i == 3) {
				t.Errorf("item %d: %v", i, err)
			}
		}
		if w.State().Paused {
			t.Error("paused for it")
		}
	})
}

func validation(w http.ResponseWriter, request any) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"validation-errors": []any{map[string]any{"request_id": request, "errors": []any{
			map[string]any{"code": "NotSupportedChoice", "path": "custom_fields_values.0.values.0.value", "detail": `The value "+79990000001" you selected is not a valid choice.`},
			map[string]any{"code": "InvalidType", "path": "price", "detail": "This value should be of type int."},
		}}},
		"title": "Bad Request", "status": 400, "detail": "Request validation failed",
	})
}

func TestWrite_NamedItemIsTakenOutAndTheOthersGo(t *testing.T) {
	for name, naming := range map[string]func(item map[string]any, i int) any{
		"by request_id":       func(item map[string]any, _ int) any { return item["request_id"] },
		"by index":            func(_ map[string]any, i int) any { return fmt.Sprint(i) },
		"by index, as number": func(_ map[string]any, i int) any { return i },
	} {
		t.Run(name, func(t *testing.T) {
			ok := farend.Landing(0)
			inBubble(t, Config{RPS: 2}, nil, func(w http.ResponseWriter, r *http.Request, body []byte) {
				for i, item := range farend.Items(body) {
					if item["name"] == "lead 7" {
						validation(w, naming(item, i))
						return
					}
				}
				ok(w, r, body)
			}, func(t *testing.T, w *world) {
				_, errs := w.writeAll(leads(20))
				for i, err := range errs {
					if (err != nil) != (i == 7) {
						t.Errorf("item %d: %v", i, err)
					}
				}
				r, isRefused := errors.AsType[*Refused](errs[7])
				if !isRefused || r.Status != 400 || r.Code != "NotSupportedChoice" || r.Path != "custom_fields_values.0.values.0.value" || len(r.Problems) != 2 {
					t.Fatalf("%+v", errs[7])
				}
				if strings.Contains(r.Error()+r.Request.Answer+r.Problems[0].Detail, "9990000001") {
					t.Errorf("a phone shows in %v", r)
				}
				if !strings.Contains(r.Request.Answer, "NotSupportedChoice") {
					t.Errorf("answer %q", r.Request.Answer)
				}
				if n := len(w.Seen()); n > 4 {
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}

func TestWrite_BusinessErrorByIDRefusesItsItem(t *testing.T) {
	ok := farend.Landing(0)
	inBubble(t, Config{}, nil, func(w http.ResponseWriter, r *http.Request, body []byte) {
		for _, item := range farend.Items(body) {
			if fmt.Sprint(item["id"]) == "503" {
				w.WriteHeader(400)
				fmt.Fprint(w, `{"errors":{"503":"Loss reason can be specified only for lost lead"},"title":"Bad Request","status":400,"detail":"Invalid request body"}`)
				return
			}
		}
		ok(w, r, body)
	}, func(t *testing.T, w *world) {
		var writes []Write
		for id := int64(500); id < 510; id++ {
			writes = append(writes, Write{Endpoint: PatchLeads, EntityID: id, Item: json.RawMessage(`{"name":"x"}`), Keys: []string{fmt.Sprint(id)}})
		}
		results, errs := w.writeAll(writes)
		for i, err := range errs {
			r, isRefused := errors.AsType[*Refused](err)
			if isRefused != (i == 3) || isRefused && r.Detail != "Loss reason can be specified only for lost lead" {
				t.Errorf("item %d: %v", i, err)
			}
			if i != 3 && (results[i].ID != int64(500+i) || results[i].UpdatedAt != 1795000100) {
				t.Errorf("item %d: %+v", i, results[i])
			}
		}
	})
}

func TestWrite_RefusalThatNamesNoneIsHalvedDownToTheGuilty(t *testing.T) {
	for name, refuse := range map[string]func(http.ResponseWriter, *http.Request, []byte){
		"400": func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			w.WriteHeader(400)
			fmt.Fprint(w, `{"title":"Bad Request","status":400,"detail":"Invalid request body"}`)
		},
		"403 rights": func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			w.WriteHeader(403)
			fmt.Fprint(w, `{"title":"Forbidden","status":403,"detail":"no rights"}`)
		},
		"413": farend.Page(413),
	} {
		t.Run(name, func(t *testing.T) {
			ok := farend.Landing(0)
			guilty := func(body []byte) bool {
				return slices.ContainsFunc(farend.Items(body), func(i map[string]any) bool {
					return i["name"] == "lead 11" || i["name"] == "lead 30"
				})
			}
			inBubble(t, Config{RPS: 1}, nil, func(w http.ResponseWriter, r *http.Request, body []byte) {
				if guilty(body) {
					refuse(w, r, body)
					return
				}
				ok(w, r, body)
			}, func(t *testing.T, w *world) {
				_, errs := w.writeAll(leads(40))
				for i, err := range errs {
					_, isRefused := errors.AsType[*Refused](err)
					if isRefused != (i == 11 || i == 30) || err != nil && !isRefused {
						t.Errorf("item %d: %v", i, err)
					}
				}
				if n := len(w.Seen()); n > 24 {
					t.Errorf("%d requests to find two of forty", n)
				}
				if w.State().Paused {
					t.Error("paused for it")
				}
			})
		})
	}
}

func TestWrite_LostAnswerIsInDoubtForEveryItem(t *testing.T) {
	ok := farend.Landing(0)
	for name, lose := range map[string]func(http.ResponseWriter, *http.Request, []byte){
		"500":               func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(500) },
		"502 page":          farend.Page(502),
		"504 page":          farend.Page(504),
		"200 page":          farend.Page(200),
		"timeout":           func(_ http.ResponseWriter, r *http.Request, _ []byte) { <-r.Context().Done() },
		"dropped":           func(http.ResponseWriter, *http.Request, []byte) { panic(http.ErrAbortHandler) },
		"truncated":         truncated,
		"trickle":           trickle,
		"ten megabytes":     tenMegabytes,
		"wrong shape":       func(w http.ResponseWriter, _ *http.Request, _ []byte) { fmt.Fprint(w, `[1,"two",{"id":"three"}]`) },
		"empty list":        func(w http.ResponseWriter, _ *http.Request, _ []byte) { fmt.Fprint(w, `[]`) },
		"no content at all": func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(200) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{RPS: 1}, nil, ok, func(t *testing.T, w *world) {
				if _, err := w.Write(t.Context(), lead(100)); err != nil {
					t.Fatal(err)
				}
				before := time.Now()
				w.Answer(lose)
				_, errs := w.writeAll(leads(10))
				for i, err := range errs {
					d, isDoubt := errors.AsType[*InDoubt](err)
					if !isDoubt {
						t.Errorf("item %d: %v", i, err)
						continue
					}
					if d.SentAt.Before(before) || d.SentAt.After(before.Add(2*time.Second)) {
						t.Errorf("sent at %v", d.SentAt.Sub(before))
					}
				}
				if w.State().Paused {
					t.Error("a shared request paused the account")
				}
				if took := time.Since(before); took > 20*time.Second {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

func truncated(w http.ResponseWriter, _ *http.Request, _ []byte) {
	w.Header().Set("Content-Length", "1000")
	fmt.Fprint(w, `[{"id":1,`)
	panic(http.ErrAbortHandler)
}

func trickle(w http.ResponseWriter, r *http.Request, _ []byte) {
	for range 300 {
		if _, err := io.WriteString(w, " "); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

func tenMegabytes(w http.ResponseWriter, _ *http.Request, _ []byte) {
	chunk := []byte(strings.Repeat(" ", 1<<20))
	for range 10 {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func TestWrite_AfterA504TheGroupGoesInHalves(t *testing.T) {
	ok := farend.Landing(0)
	inBubble(t, Config{RPS: 1, Batch: 40}, nil, ok, func(t *testing.T, w *world) {
		_, _ = w.Write(t.Context(), lead(100))
		w.Answer(farend.Page(504))
		w.writeAll(leads(40))
		w.Answer(ok)
		w.writeAll(leads(40))
		w.writeAll(leads(40))
		if got := w.obs.batches; !slices.Equal(got[:3], []int{1, 40, 20}) || slices.Max(got[3:]) != 40 {
			t.Errorf("batches %v", got)
		}
	})
}

func TestWrite_DialRefusedIsNotSentAndTriedTwice(t *testing.T) {
	inBubble(t, Config{}, nil, farend.Landing(0), func(t *testing.T, w *world) {
		dials := 0
		w.Dial = func(context.Context) error {
			dials++
			return &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		}
		_, err := w.Write(t.Context(), lead(1))
		e, isNotSent := errors.AsType[*NotSent](err)
		if !isNotSent || e.Trouble != Unreachable || dials != 2 {
			t.Errorf("%v after %d dials", err, dials)
		}
		if s := w.State(); !s.Paused || s.Reason != Unreachable {
			t.Errorf("state %+v", s)
		}
	})
}

func TestWrite_RefusedDialThatMendsItselfGoesThrough(t *testing.T) {
	inBubble(t, Config{RPS: 1}, nil, farend.Landing(0), func(t *testing.T, w *world) {
		dials := 0
		w.Dial = func(context.Context) error {
			if dials++; dials == 1 {
				return &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
			}
			return nil
		}
		began := time.Now()
		if _, err := w.Write(t.Context(), lead(1)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < time.Second {
			t.Errorf("the retry did not pass the budget: %v", took)
		}
	})
}

func TestWrite_LedgerIsToldOnceARequestAndBeforeItLeaves(t *testing.T) {
	inBubble(t, Config{RPS: 1}, nil, farend.Landing(0), func(t *testing.T, w *world) {
		var early []int
		w.ledger.hook = func() {
			early = append(early, len(w.Seen()))
			time.Sleep(100 * time.Millisecond)
		}
		w.writeAll(leads(10))
		if n := len(w.Seen()); len(w.ledger.sent) != n || !slices.Equal(early, []int{0, 1}[:n]) {
			t.Errorf("%d entries for %d requests; requests seen before each: %v", len(w.ledger.sent), n, early)
		}
		all := slices.Sorted(slices.Values(slices.Concat(w.ledger.sent...)))
		if len(slices.Compact(all)) != 10 {
			t.Errorf("keys %v", all)
		}
		for i, s := range w.Seen() {
			if len(w.ledger.sent[i]) != len(farend.Items(s.Body)) {
				t.Errorf("request %d: %d keys, %d items", i, len(w.ledger.sent[i]), len(farend.Items(s.Body)))
			}
		}
	})
}

func TestWrite_WithoutTheLedgerNothingIsSent(t *testing.T) {
	inBubble(t, Config{RPS: 1}, nil, farend.Landing(0), func(t *testing.T, w *world) {
		w.ledger.err = errors.New("disk")
		_, err := w.Write(t.Context(), lead(1))
		if e, ok := errors.AsType[*NotSent](err); !ok || e.Trouble != Unrecorded {
			t.Errorf("%v", err)
		}
		if len(w.Seen()) != 0 || w.State().Paused {
			t.Errorf("%d requests, %+v", len(w.Seen()), w.State())
		}
		w.ledger.err = nil
		if _, err := w.Write(t.Context(), lead(1)); err != nil {
			t.Errorf("then: %v", err) // its place in the budget was given back
		}
	})
}

func TestWrite_ExclusiveKeysNeverRideTogetherAndKeepTheirOrder(t *testing.T) {
	inBubble(t, Config{RPS: 100}, nil, farend.Landing(50*time.Millisecond), func(t *testing.T, w *world) {
		var done []int
		ends := make(chan int, 20)
		for i := range 20 {
			wr := lead(i)
			wr.Exclusive = []string{fmt.Sprintf("p:%d", i%4)}
			ctx := context.Background()
			if i%5 == 0 {
				ctx = WithOperator(ctx, func() bool { return true }) // urgency does not overtake within a key
			}
			go func() { _, _ = w.Write(ctx, wr); ends <- i }()
			synctest.Wait()
		}
		for range 20 {
			done = append(done, <-ends)
		}
		for _, s := range w.Seen() {
			seen := map[int]bool{}
			for _, item := range farend.Items(s.Body) {
				var n int
				_, _ = fmt.Sscanf(item["name"].(string), "lead %d", &n)
				if seen[n%4] {
					t.Errorf("two items with one key in a request")
				}
				seen[n%4] = true
			}
		}
		for k := range 4 {
			var of []int
			for _, n := range done {
				if n%4 == k {
					of = append(of, n)
				}
			}
			if !slices.IsSorted(of) || len(of) != 5 {
				t.Errorf("key %d ended in order %v", k, of)
			}
		}
	})
}

func TestWrite_PatchesOfOneEntityNeverRideTogether(t *testing.T) {
	inBubble(t, Config{RPS: 1}, nil, farend.Landing(0), func(t *testing.T, w *world) {
		var writes []Write
		for i := range 6 {
			writes = append(writes, Write{Endpoint: PatchContacts, EntityID: int64(800 + i%2), Item: json.RawMessage(`{}`), Keys: []string{fmt.Sprint(i)}})
		}
		w.writeAll(writes)
		for _, s := range w.Seen() {
			ids := map[string]bool{}
			for _, item := range farend.Items(s.Body) {
				id := fmt.Sprint(item["id"])
				if ids[id] {
					t.Errorf("contact %s twice in one request", id)
				}
				ids[id] = true
			}
		}
	})
}

func TestWrite_UrgentFirstAndNothingStarves(t *testing.T) {
	for _, operators := range []bool{false, true} {
		inBubble(t, Config{RPS: 1, Batch: 1}, nil, farend.Landing(0), func(t *testing.T, w *world) {
			_, _ = w.Write(t.Context(), lead(0))
			ctx, cancel := context.WithCancel(t.Context())
			began := time.Now()
			swept := make(chan time.Duration, 1)
			go func() {
				_, _, err := w.Events(WithPriority(t.Context(), Sync), 1, 1)
				if err != nil {
					t.Error(err)
				}
				swept <- time.Since(began)
			}()
			synctest.Wait()
			// A new urgent item every half second, twice what the budget bears.
			go func() {
				for i := 1; ctx.Err() == nil && time.Since(began) < time.Hour; i++ {
					go func() { _, _ = w.Write(WithOperator(ctx, func() bool { return operators }), lead(i)) }()
					time.Sleep(500 * time.Millisecond)
				}
			}()
			took := <-swept
			cancel()
			pass(time.Second) // let the last of them see it
			if took < 20*time.Second || took > 2*time.Minute {
				t.Errorf("operators %t: the sweep waited %v", operators, took)
			}
		})
	}
}

// waits is what was asked for, and how long each took.
type waits struct {
	t    *testing.T
	mu   sync.Mutex
	took map[string]time.Duration
	all  sync.WaitGroup
}

func (l *waits) do(what string, fn func() error) {
	l.all.Go(func() {
		at := time.Now()
		if err := fn(); err != nil {
			l.t.Errorf("%s: %v", what, err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.took[what] = time.Since(at)
	})
	synctest.Wait()
}

// about checks that each took what it should, give or take two seconds.
func (l *waits) about(want map[string]time.Duration) {
	l.t.Helper()
	l.all.Wait()
	for what, want := range want {
		if got, ok := l.took[what]; !ok || got < want-2*time.Second || got > want+2*time.Second {
			l.t.Errorf("%s took %v, want about %v", what, got, want)
		}
	}
}

// manySearches is a queue of three minutes: visitor n is asked for after n seconds.
func (l *waits) manySearches(w *world) {
	for i := range 180 {
		l.do(fmt.Sprint("visitor ", i), func() error {
			_, err := w.SearchContacts(l.t.Context(), fmt.Sprint(9160000000+i), NewLead)
			return err
		})
	}
}

// In a long queue of reads a write waits no longer than patience, and what was begun
// first comes first to its end.
func TestQueue_ReadsDoNotHoldWritesUp(t *testing.T) {
	inBubble(t, Config{RPS: 1}, nil, farend.Landing(0), func(t *testing.T, w *world) {
		l := &waits{t: t, took: map[string]time.Duration{}}
		began := time.Now()
		l.manySearches(w)
		pass(30 * time.Second)
		l.do("the first one's e-mail", func() error {
			_, err := w.SearchContacts(WithSince(t.Context(), began.Add(-1)), "first@example.com", NewLead)
			return err
		})
		for i := range 3 {
			l.do(fmt.Sprint("lead ", i), func() error { _, err := w.Write(t.Context(), lead(i)); return err })
		}
		l.about(map[string]time.Duration{
			"visitor 29": 29 * time.Second, "the first one's e-mail": time.Second, "visitor 179": 183 * time.Second,
			"lead 0": patience * time.Second, "lead 1": patience * time.Second, "lead 2": patience * time.Second,
		})
		if n := len(w.Seen()); n != 182 {
			t.Errorf("%d requests: the leads did not share one", n)
		}
	})
}

// What an operator waits for goes at once, however old the queue is: also what stood
// in it before he came, what others wait for too, and what shares a request with more
// than fit into one.
func TestQueue_AnOperatorGoesFirst(t *testing.T) {
	inBubble(t, Config{RPS: 1, Batch: 2}, nil, farend.Landing(0), func(t *testing.T, w *world) {
		l := &waits{t: t, took: map[string]time.Duration{}}
		l.manySearches(w)
		var here atomic.Bool
		ctx := WithOperator(t.Context(), here.Load)
		search := func(ctx context.Context, query string) func() error {
			return func() error { _, err := w.SearchContacts(ctx, query, NewLead); return err }
		}
		l.do("asked for before", search(ctx, "9990000000"))
		l.do("by one of two", search(t.Context(), "8880000000"))
		pass(150 * time.Second)
		for i := range 4 {
			l.do(fmt.Sprint("lead ", i), func() error { _, err := w.Write(t.Context(), lead(i)); return err })
		}
		pass(14 * time.Second)
		here.Store(true)
		l.do("by the other", search(ctx, "8880000000"))
		l.do("his lead", func() error { _, err := w.Write(ctx, lead(5)); return err })
		l.do("his card", func() error { _, _, err := w.Lead(ctx, 5); return err })
		pass(6 * time.Second)
		here.Store(false)
		l.about(map[string]time.Duration{
			"asked for before": 166 * time.Second, "by one of two": 167 * time.Second, "by the other": 3 * time.Second,
			"his lead": 4 * time.Second, "his card": 5 * time.Second,
		})
	})
}

func TestWrite_CallerThatGivesUpWhileWaitingWasNotSent(t *testing.T) {
	inBubble(t, Config{RPS: 0.1}, nil, farend.Landing(5*time.Second), func(t *testing.T, w *world) {
		inFlight, cancelFlying := context.WithCancel(t.Context())
		flew := make(chan error, 1)
		go func() { _, err := w.Write(inFlight, lead(0)); flew <- err }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := w.Write(ctx, lead(1))
		if _, ok := errors.AsType[*NotSent](err); !ok || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting: %v", err)
		}
		cancelFlying()
		if err := <-flew; err != nil {
			t.Errorf("on its way: its answer was not waited for: %v", err)
		}
		pass(time.Minute)
		if n := len(w.Seen()); n != 1 {
			t.Errorf("%d requests: the waiting one went all the same", n)
		}
	})
}

// What nobody waits for any more must not go again after a 429.
func TestWrite_AbandonedItemDoesNotGoAgain(t *testing.T) {
	inBubble(t, Config{}, nil, func(rw http.ResponseWriter, r *http.Request, body []byte) {
		time.Sleep(time.Second)
		farend.Page(429)(rw, r, body)
	}, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if _, err := w.Write(ctx, lead(1)); err == nil {
			t.Fatal("no error")
		}
		pass(time.Minute)
		if n := len(w.Seen()); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestWrite_LinksAndNotesTakeTheirEndpointsShape(t *testing.T) {
	inBubble(t, Config{}, nil, func(rw http.ResponseWriter, r *http.Request, body []byte) {
		if strings.HasSuffix(r.URL.Path, "/link") {
			fmt.Fprint(rw, `{"_total_items":1,"_embedded":{"links":[{"entity_id":501,"entity_type":"leads","to_entity_id":801,"to_entity_type":"contacts","metadata":{"main_contact":true}}]}}`)
			return
		}
		farend.Landing(0)(rw, r, body)
	}, func(t *testing.T, w *world) {
		r, err := w.Write(t.Context(), Write{Endpoint: LinkLeads, EntityID: 501, Keys: []string{"a"},
			Item: json.RawMessage(`{"to_entity_id":801,"to_entity_type":"contacts"}`)})
		if err != nil || r.ID != 501 || r.ContactID != 801 {
			t.Errorf("link: %+v, %v", r, err)
		}
		r, err = w.Write(t.Context(), Write{Endpoint: PostNotes, Entity: "contacts", EntityID: 801, Keys: []string{"b"},
			Item: json.RawMessage(`{"note_type":"common","params":{"text":"x"}}`)})
		if err != nil || r.ID == 0 {
			t.Errorf("note: %+v, %v", r, err)
		}
		r, err = w.Write(t.Context(), Write{Endpoint: PatchNotes, Entity: "leads", EntityID: 9901, Keys: []string{"c"},
			Item: json.RawMessage(`{"params":{"text":"x"}}`)})
		if err != nil || r.ID != 9901 {
			t.Errorf("patched note: %+v, %v", r, err)
		}
		seen := w.Seen()
		for i, want := range []struct {
			line, id  string
			requestID bool
		}{
			{"POST /api/v4/leads/link", "entity_id 501", false},
			{"POST /api/v4/contacts/notes", "entity_id 801", true},
			{"PATCH /api/v4/leads/notes", "id 9901", true},
		} {
			item := farend.Items(seen[i].Body)[0]
			key, id, _ := strings.Cut(want.id, " ")
			_, has := item["request_id"]
			if seen[i].Method+" "+seen[i].URI != want.line || fmt.Sprint(item[key]) != id || has != want.requestID {
				t.Errorf("%s %s %s", seen[i].Method, seen[i].URI, seen[i].Body)
			}
		}
	})
}

func TestWrite_WhatIsNoItemIsRefusedHere(t *testing.T) {
	inBubble(t, Config{}, nil, farend.Landing(0), func(t *testing.T, w *world) {
		for _, wr := range []Write{
			{Endpoint: ComplexLeads, Item: json.RawMessage(`[]`)},
			{Endpoint: ComplexLeads, Item: json.RawMessage(`null`)},
			{Endpoint: ComplexLeads},
			{Endpoint: 99, Item: json.RawMessage(`{}`)},
			{Endpoint: PostNotes, Entity: "../account", Item: json.RawMessage(`{}`)},
		} {
			if _, err := w.Write(t.Context(), wr); TroubleOf(err) != "" {
				t.Errorf("%+v: %v", wr, err)
			} else if _, ok := errors.AsType[*Refused](err); !ok {
				t.Errorf("%+v: %v", wr, err)
			}
		}
		if len(w.Seen()) != 0 {
			t.Error("something was sent")
		}
	})
}

func TestClose_EndsWhatWaitsAndWhatIsOnItsWay(t *testing.T) {
	inBubble(t, Config{RPS: 0.1}, nil, farend.Landing(time.Hour), func(t *testing.T, w *world) {
		errs := make(chan error, 2)
		for i := range 2 {
			go func() { _, err := w.Write(context.Background(), lead(i)); errs <- err }()
			synctest.Wait()
		}
		w.Close()
		var doubt, not int
		for range 2 {
			switch err := <-errs; err.(type) {
			case *InDoubt:
				doubt++
			case *NotSent:
				not++
			}
		}
		if doubt != 1 || not != 1 {
			t.Errorf("%d in doubt, %d not sent", doubt, not)
		}
		_, err := w.Write(t.Context(), lead(3))
		if TroubleOf(err) != Closing {
			t.Errorf("after closing: %v", err)
		}
		if w.State().Paused {
			t.Error("closing paused the account")
		}
	})
}

// A client that is retired takes nothing new, and gives what has left for amoCRM
// a bounded time for its answer: that spares a look-up.
func TestDrain_WaitsForWhatHasLeftAndTakesNothingNew(t *testing.T) {
	for _, c := range []struct {
		name                string
		answers, waits, was time.Duration
	}{
		{"an answer in time", time.Second, 4 * time.Second, time.Second},
		{"an answer too late", 10 * time.Second, 4 * time.Second, 4 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, Config{RPS: 1}, nil, farend.Landing(c.answers), func(t *testing.T, w *world) {
				left, waiting := make(chan error, 1), make(chan error, 1)
				go func() { _, err := w.Write(t.Context(), lead(1)); left <- err }()
				synctest.Wait()
				go func() { _, err := w.Write(t.Context(), lead(2)); waiting <- err }()
				synctest.Wait()
				began := time.Now()
				w.Drain(c.waits)
				if took := time.Since(began); took != c.was {
					t.Errorf("drained in %v, want %v", took, c.was)
				}
				if err := <-waiting; TroubleOf(err) != Closing {
					t.Errorf("what waited: %v", err)
				}
				if _, err := w.Write(t.Context(), lead(3)); TroubleOf(err) != Closing {
					t.Errorf("what came later: %v", err)
				}
				if err := <-left; err != nil {
					t.Errorf("what had left: %v", err)
				}
				if n := len(w.Seen()); n != 1 {
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}
