package app_test

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// courierDoor brings amoCRM's hooks to the bridge that runs at the moment.
type courierDoor struct{ lab *lab }

// RoundTrip implements http.RoundTripper.
func (c *courierDoor) RoundTrip(req *http.Request) (*http.Response, error) {
	tr := &http.Transport{DialContext: c.lab.door.dial, DisableKeepAlives: true}
	return tr.RoundTrip(req)
}

// inDoubtAfter is the default of that name.
const inDoubtAfter = 10 * time.Second

// lateWire has a write reach amoCRM when its sender has given up on it already.
type lateWire struct {
	*wire
	late *atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (w *lateWire) RoundTrip(req *http.Request) (*http.Response, error) {
	d := time.Duration(0)
	if req.Method != http.MethodGet && w.state() == nil {
		d = time.Duration(w.late.Swap(0))
	}
	if d == 0 {
		return w.wire.RoundTrip(req)
	}
	if req.Method == http.MethodPatch {
		d = min(d, inDoubtAfter-time.Second) // an update is not looked up but goes again
	}
	body, _ := io.ReadAll(req.Body) // it is in memory
	_ = req.Body.Close()
	w.count(1)
	defer w.count(-1)
	w.told(requestLine(req, body))
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && trace.WroteHeaderField != nil {
		trace.WroteHeaderField("Host", []string{req.URL.Host})
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
	in := httptest.NewRequest(req.Method, req.URL.String(), bytes.NewReader(body))
	in.Header = req.Header.Clone()
	go func() {
		defer func() { _ = recover() }() // http.ErrAbortHandler, of another fault
		time.Sleep(d)
		w.amo.ServeHTTP(httptest.NewRecorder(), in)
	}()
	return nil, io.ErrUnexpectedEOF
}

// count keeps the numbers of requests: one more left, or came back.
func (w *wire) count(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent += max(n, 0)
	w.waiting += n
}

// requestLine tells requests apart that differ in anything, time included.
func requestLine(req *http.Request, body []byte) string {
	return fmt.Sprintf("%s %s %s %x", time.Now().Format(time.RFC3339Nano), req.Method, req.URL.RequestURI(), crc32.ChecksumIEEE(body))
}

// theirs is the time by amoCRM's clock.
func (s *sim) theirs() time.Time {
	s.clock.Lock()
	defer s.clock.Unlock()
	if !s.still.IsZero() {
		return s.still
	}
	return time.Now().Add(s.ahead)
}

// setClock moves amoCRM's clock, or holds it still.
func (s *sim) setClock(ahead time.Duration, still time.Time) {
	s.clock.Lock()
	defer s.clock.Unlock()
	s.ahead, s.still = ahead, still
}
