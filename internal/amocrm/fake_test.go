package amocrm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/budget"
	"github.com/jivo-amocrm/bridge/internal/amocrm/farend"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// world is a client, running, and its far end, inside a bubble.
type world struct {
	*farend.Far
	*Client
	ledger *book
	obs    *gauges
	tr     *http.Transport
}

// pass lets virtual time go by in a bubble, and what falls due in it come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func inBubble(t *testing.T, cfg Config, tokens Tokens, handler func(http.ResponseWriter, *http.Request, []byte), test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f, stop := farend.Start(handler)
		if cfg.BaseURL == "" {
			cfg.BaseURL = "http://demo.amocrm.ru"
		}
		if tokens == nil {
			tokens = fixed("tok-1")
		}
		w := &world{Far: f, ledger: &book{}, obs: &gauges{}, tr: f.Behind(budget.NewHTTP1())}
		w.Client = New(cfg, tokens, w.ledger, w.obs, nil, w.tr)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.Run(ctx) })
		synctest.Wait()

		defer func() {
			cancel()
			running.Wait()
			w.Close()
			w.Close()
			w.tr.CloseIdleConnections()
			stop()
		}()
		test(t, w)
	})
}

// fixed is a token for which there is no other.
type fixed string

func (f fixed) Token(context.Context) (string, error) { return string(f), nil }

func (fixed) Refused(context.Context, string) error { return errors.New("no other token") }

// book is a Ledger that remembers.
type book struct {
	mu   sync.Mutex
	sent [][]string
	err  error
	hook func()
}

func (b *book) Sent(_ context.Context, keys []string) error {
	if b.hook != nil {
		b.hook()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = append(b.sent, slices.Clone(keys))
	return b.err
}

// gauges is an Observer that remembers.
type gauges struct {
	mu      sync.Mutex
	batches []int
	codes   []string
	labels  []string
}

func (g *gauges) Request(_, endpoint, code string, _ time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.codes, g.labels = append(g.codes, code), append(g.labels, endpoint)
}

func (g *gauges) Batch(_ string, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.batches = append(g.batches, n)
}
func (g *gauges) LimiterWait(time.Duration) {}

func lead(n int) Write {
	return Write{
		Endpoint: ComplexLeads, Priority: NewLead, Keys: []string{fmt.Sprintf("k%d", n)},
		Item: json.RawMessage(fmt.Sprintf(`{"name":"lead %d"}`, n)),
	}
}

// writeAll writes many items at once and returns what became of each.
func (w *world) writeAll(writes []Write) ([]Result, []error) {
	results, errs := make([]Result, len(writes)), make([]error, len(writes))
	var wg sync.WaitGroup
	for i := range writes {
		wg.Go(func() { results[i], errs[i] = w.Write(context.Background(), writes[i]) })
	}
	wg.Wait()
	return results, errs
}

func leads(n int) []Write {
	writes := make([]Write, n)
	for i := range writes {
		writes[i] = lead(i)
	}
	return writes
}

func traced(ctx context.Context) (context.Context, *[]event.Request) {
	var requests []event.Request
	return WithTrace(ctx, func(r event.Request) { requests = append(requests, r) }), &requests
}
