package amocrm

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/farend"
)

// Writes that trickle in while people are looked for take one request in patience,
// whenever they came, and not one each once the first of them has stood long enough.
func TestQueue_WritesThatTrickleInTakeOneRequestInFifty(t *testing.T) {
	inBubble(t, Config{RPS: 1}, nil, farend.Landing(0), func(t *testing.T, w *world) {
		l := &waits{t: t, took: map[string]time.Duration{}}
		l.manySearches(w)
		for i := range 120 {
			l.do(fmt.Sprint("lead ", i), func() error { _, err := w.Write(t.Context(), lead(i)); return err })
			pass(time.Second)
		}
		l.all.Wait()
		if n := len(w.Seen()); n > 180+4 {
			t.Errorf("%d requests, 180 of them reads", n)
		}
	})
}

// So do the parts of a request that was refused whole: reads are not held up by the
// search for the guilty one.
func TestQueue_HalvesOfARefusedRequestStandBehindReadsToo(t *testing.T) {
	ok := farend.Landing(0)
	inBubble(t, Config{RPS: 1}, nil, func(rw http.ResponseWriter, r *http.Request, body []byte) {
		if strings.Contains(string(body), `"lead 1"`) {
			rw.WriteHeader(400)
			fmt.Fprint(rw, `{"title":"Bad Request","status":400,"detail":"Invalid request body"}`)
			return
		}
		ok(rw, r, body)
	}, func(t *testing.T, w *world) {
		l := &waits{t: t, took: map[string]time.Duration{}}
		l.manySearches(w)
		l.do("lead 0", func() error { _, err := w.Write(t.Context(), lead(0)); return err })
		l.do("lead 1", func() error {
			_, err := w.Write(t.Context(), lead(1))
			if _, refused := errors.AsType[*Refused](err); !refused {
				return fmt.Errorf("not refused: %w", err)
			}
			return nil
		})
		const each = 1035 * time.Millisecond // of the requests, at one a second
		l.about(map[string]time.Duration{"lead 0": 2 * patience * each, "lead 1": 3 * patience * each})
	})
}

// Whoever comes while a refused request is taken apart does not share one with the
// guilty item: neither half of it takes others in.
func TestQueue_HalvesOfARefusedRequestTakeNobodyIn(t *testing.T) {
	for _, guilty := range []int{0, 3} {
		ok := farend.Landing(0)
		inBubble(t, Config{RPS: 1}, nil, func(rw http.ResponseWriter, r *http.Request, body []byte) {
			if strings.Contains(string(body), fmt.Sprintf(`"lead %d"`, guilty)) {
				rw.WriteHeader(400)
				fmt.Fprint(rw, `{"title":"Bad Request","status":400,"detail":"Invalid request body"}`)
				return
			}
			ok(rw, r, body)
		}, func(t *testing.T, w *world) {
			l := &waits{t: t, took: map[string]time.Duration{}}
			write := func(i int) {
				l.do(fmt.Sprint("lead ", i), func() error {
					_, err := w.Write(t.Context(), lead(i))
					if _, refused := errors.AsType[*Refused](err); refused != (i == guilty) {
						return fmt.Errorf("refused: %t, %w", refused, err)
					}
					return nil
				})
			}
			write(99)
			for i := range 4 {
				write(i)
			}
			for len(w.Seen()) < 2 { // the four have been refused
				pass(100 * time.Millisecond)
			}
			write(10)
			write(11)
			l.all.Wait()
			for _, s := range w.Seen() {
				if b := string(s.Body); strings.Contains(b, fmt.Sprintf(`"lead %d"`, guilty)) && strings.Contains(b, `"lead 10"`) {
					t.Errorf("a newcomer shared a request with the guilty lead %d", guilty)
				}
			}
		})
	}
}

// Long transcripts do not become one request that no gateway takes, and one that is
// too long by itself goes alone.
func TestQueue_ARequestTakesNoMoreThanABody(t *testing.T) {
	inBubble(t, Config{RPS: 1}, nil, farend.Landing(0), func(t *testing.T, w *world) {
		writes := leads(20)
		for i := range writes {
			size := 60 << 10
			if i == 7 {
				size = maxBody + 1
			}
			writes[i].Item = json.RawMessage(fmt.Sprintf(`{"name":"lead %d","text":%q}`, i, strings.Repeat("x", size)))
		}
		_, errs := w.writeAll(writes)
		for i, err := range errs {
			if err != nil {
				t.Errorf("item %d: %v", i, err)
			}
		}
		for _, s := range w.Seen() {
			if n := len(farend.Items(s.Body)); n > 1 && len(s.Body) > maxBody+n+1 {
				t.Errorf("%d items in %d bytes", n, len(s.Body))
			}
		}
	})
}

// A lone item that goes well says nothing of a group of the size that failed.
func TestQueue_AHalvedGroupGrowsOnlyByGroupsOfItsSize(t *testing.T) {
	ok := farend.Landing(0)
	inBubble(t, Config{RPS: 1, Batch: 40}, nil, ok, func(t *testing.T, w *world) {
		_, _ = w.Write(t.Context(), lead(100))
		w.Answer(farend.Page(504))
		w.writeAll(leads(40))
		w.Answer(ok)
		_, _ = w.Write(t.Context(), lead(101))
		w.writeAll(leads(40))
		if got := w.obs.batches; len(got) < 4 || got[1] != 40 || got[2] != 1 || got[3] != 20 {
			t.Errorf("batches %v", got)
		}
	})
}

// However large a batch is, a list is not asked for by more ids than its URL bears.
func TestQueue_AListIsAskedForByFiftyIDsAtMost(t *testing.T) {
	inBubble(t, Config{RPS: 1, Batch: 250}, nil, byID(true), func(t *testing.T, w *world) {
		if _, err := w.Account(t.Context()); err != nil {
			t.Fatal(err)
		}
		l := &waits{t: t, took: map[string]time.Duration{}}
		for i := range 120 {
			l.do(fmt.Sprint("lead ", i), func() error { _, _, err := w.Lead(t.Context(), int64(i+10)); return err })
		}
		l.all.Wait()
		synctest.Wait()
		for _, s := range w.Seen() {
			if n := strings.Count(s.URI, "filter"); n > maxReads {
				t.Errorf("%d ids in one request", n)
			}
		}
	})
}
