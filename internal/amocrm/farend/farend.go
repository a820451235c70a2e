package farend

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
	"testing/synctest"
	"time"
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

// Far is the far end: an amoCRM whose answers a test gives. It is made and used
// inside one synctest bubble.
type Far struct {
	pipes   *pipes
	handler Handler
	Dial    func(ctx context.Context) error // fails a dial, if set

	mu       sync.Mutex
	arrivals []time.Time
	requests []Sent
	serving  sync.WaitGroup
}

// Handler answers a request whose body was read.
type Handler = func(w http.ResponseWriter, r *http.Request, body []byte)

// Start returns a far end that serves until stop is called, which waits for
// whatever still answers.
func Start(handler Handler) (f *Far, stop func()) {
	f = &Far{pipes: &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}, handler: handler}
	server := &http.Server{Handler: f}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(f.pipes) })
	return f, func() {
		_ = server.Close()
		serving.Wait()
		synctest.Wait()
		f.serving.Wait()
	}
}

// Answer changes what answers from now on.
func (f *Far) Answer(h Handler) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handler = h
}

// Sent is a request as it arrived.
type Sent struct {
	Method, URI, Token string
	Body               []byte
	At                 time.Time
}

// ServeHTTP implements http.Handler.
func (f *Far) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	f.serving.Add(1)
	defer f.serving.Done()
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.arrivals = append(f.arrivals, at)
	f.requests = append(f.requests, Sent{r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), body, at})
	h := f.handler
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/hal+json")
	h(w, r, body)
}

// Seen returns what has arrived so far.
func (f *Far) Seen() []Sent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

// InAnySecond returns the most requests that any sliding second saw.
func (f *Far) InAnySecond() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return InAnySecond(f.arrivals)
}

// InAnySecond returns the most of some moments that any sliding second holds.
func InAnySecond(arrivals []time.Time) int {
	most := 0
	for i, first := range arrivals {
		n := 0
		for _, at := range arrivals[i:] {
			if d := at.Sub(first); d >= 0 && d < time.Second {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// Behind has tr dial nobody but f, and returns it.
func (f *Far) Behind(tr *http.Transport) *http.Transport {
	tr.Proxy = nil
	tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		if f.Dial != nil {
			if err := f.Dial(ctx); err != nil {
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

// Items decodes a bulk request's body.
func Items(body []byte) []map[string]any {
	var list []map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	_ = d.Decode(&list)
	return list
}

// Landing answers bulk writes as amoCRM does, giving ids from 1001 on.
func Landing(after time.Duration) func(http.ResponseWriter, *http.Request, []byte) {
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
		for _, item := range Items(body) {
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

// Page answers with a gateway's page.
func Page(status int) func(http.ResponseWriter, *http.Request, []byte) {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		fmt.Fprint(w, "<html><body>nginx</body></html>")
	}
}
