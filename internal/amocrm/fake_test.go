package amocrm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// pipes is a listener whose connections are net.Pipes, so that a real HTTP
// server runs inside a synctest bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// far is the far end: an amoCRM whose answers a test gives.
type far struct {
	t       *testing.T
	pipes   *pipes
	handler func(w http.ResponseWriter, r *http.Request, body []byte)
	dial    func(ctx context.Context) error // fails a dial, if set

	mu       sync.Mutex
	arrivals []time.Time
	requests []sent
	serving  sync.WaitGroup
}

type sent struct {
	method, uri, token string
	body               []byte
	at                 time.Time
}

func (f *far) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	f.serving.Add(1)
	defer f.serving.Done()
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.arrivals = append(f.arrivals, at)
	f.requests = append(f.requests, sent{r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), body, at})
	h := f.handler
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/hal+json")
	h(w, r, body)
}

func (f *far) seen() []sent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

// inAnySecond returns the most requests that any sliding second saw.
func (f *far) inAnySecond() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	most := 0
	for i, first := range f.arrivals {
		n := 0
		for _, at := range f.arrivals[i:] {
			if d := at.Sub(first); d >= 0 && d < time.Second {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

func (f *far) transport() *http.Transport {
	tr := NewTransport()
	tr.Proxy = nil
	tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		if f.dial != nil {
			if err := f.dial(ctx); err != nil {
				return nil, err
			}
		}
		ours, theirs := net.Pipe()
		select {
		case f.pipes.conns <- theirs:
			return ours, nil
		case <-f.pipes.closed:
			return nil, &net.OpError{Op: "dial", Net: "pipe", Err: io.ErrClosedPipe}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return tr
}

// world is a client, running, and its far end, inside a bubble.
type world struct {
	*far
	*Client
	ledger *book
	obs    *gauges
	tr     *http.Transport
}

func inBubble(t *testing.T, cfg Config, tokens Tokens, handler func(http.ResponseWriter, *http.Request, []byte), test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &far{t: t, pipes: &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}, handler: handler}
		server := &http.Server{Handler: f}
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(f.pipes) })
		if cfg.BaseURL == "" {
			cfg.BaseURL = "http://demo.amocrm.ru"
		}
		if tokens == nil {
			tokens = NewStaticToken("tok-1")
		}
		w := &world{far: f, ledger: &book{}, obs: &gauges{}, tr: f.transport()}
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
			_ = server.Close()
			serving.Wait()
			synctest.Wait()
			f.serving.Wait()
		}()
		test(t, w)
	})
}

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
	paused  []string
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
func (g *gauges) Paused(reason string, on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.paused = append(g.paused, fmt.Sprintf("%s %t", reason, on))
}

// items decodes a bulk request's body.
func items(body []byte) []map[string]any {
	var list []map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	_ = d.Decode(&list)
	return list
}

// landing answers bulk writes as amoCRM does, giving ids from 1001 on.
func landing(after time.Duration) func(http.ResponseWriter, *http.Request, []byte) {
	var mu sync.Mutex
	next := 1000
	return func(w http.ResponseWriter, r *http.Request, body []byte) {
		time.Sleep(after)
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `{"id":31000001,"is_api_filter_enabled":true}`)
			return
		}
		var bare []map[string]any
		for _, item := range items(body) {
			next++
			entry := map[string]any{"id": next, "updated_at": 1795000100}
			if id, ok := item["id"]; ok {
				entry["id"] = id
			} else {
				entry["request_id"] = item["request_id"]
			}
			if strings.HasSuffix(r.URL.Path, "/complex") {
				entry = map[string]any{
					"id": next, "contact_id": next + 5000, "company_id": nil, "merged": false,
					"request_id": []any{item["request_id"]},
				}
			}
			bare = append(bare, entry)
		}
		if strings.HasSuffix(r.URL.Path, "/complex") {
			_ = json.NewEncoder(w).Encode(bare)
			return
		}
		parts := strings.Split(r.URL.Path, "/")
		_ = json.NewEncoder(w).Encode(map[string]any{"_embedded": map[string]any{parts[len(parts)-1]: bare}})
	}
}

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

func page(status int) func(http.ResponseWriter, *http.Request, []byte) {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		fmt.Fprint(w, "<html><body>nginx</body></html>")
	}
}

func (f *far) answer(h func(http.ResponseWriter, *http.Request, []byte)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handler = h
}

func traced(ctx context.Context) (context.Context, *[]event.Request) {
	var requests []event.Request
	return WithTrace(ctx, func(r event.Request) { requests = append(requests, r) }), &requests
}
