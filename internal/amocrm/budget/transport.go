package budget

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// maxAnswer bounds an answer; amoCRM's longest honest one, 250 contacts with
// all their fields, is far below.
const maxAnswer = 8 << 20

// NewHTTP1 returns the transport beneath, where none is given. It speaks
// HTTP/1.1 only: one exchange a connection makes it certain which request has
// left and which has not, and seven requests a second gain nothing by HTTP/2.
func NewHTTP1() *http.Transport {
	h1 := new(http.Protocols)
	h1.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        30 * time.Second, // before any gateway's (60, 75 s): one closed under a write leaves that in doubt
		MaxResponseHeaderBytes: 64 << 10,
		Protocols:              h1,
	}
}

// Unsent wraps the error of a request of which not one byte left.
type Unsent struct{ err error }

func (e *Unsent) Error() string { return e.err.Error() }
func (e *Unsent) Unwrap() error { return e.err }

// Dropped wraps the error of a request under which a kept-alive connection was
// closed before a byte of an answer: the far end may have seen it or not. A read
// may go again, with a place in the budget of its own.
type Dropped struct{ err error }

func (e *Dropped) Error() string { return e.err.Error() }
func (e *Dropped) Unwrap() error { return e.err }

// Unread wraps the error of an answer whose body could not be read whole.
type Unread struct {
	Status int
	Err    error
}

func (e *Unread) Error() string { return fmt.Sprintf("read answer (%d): %v", e.Status, e.Err) }
func (e *Unread) Unwrap() error { return e.Err }

var errTooLong = errors.New("answer is too long")

// Config is what a Transport must know of its account.
type Config struct {
	BaseURL  string            // the only host that is ever contacted
	RPS      float64           // requests in any sliding second
	Timeout  time.Duration     // one exchange, from its first byte to its last
	Recent   []time.Time       // when an earlier client of the account sent its last requests: they count here
	OnSend   func(time.Time)   // told of each request before it leaves; may be nil, must not block
	Observer Observer          // may be nil
	Next     http.RoundTripper // nil: NewHTTP1
}

// Observer takes the metrics of a Transport.
type Observer interface {
	Request(method, endpoint string, status int, d time.Duration) // status 0: no answer came
	LimiterWait(d time.Duration)
}

// Transport is the transport under go-retryablehttp: every request, retries
// included, has its place in the budget before it leaves, and goes to no host
// but the account's. It reads answers whole, within maxAnswer and the timeout,
// which spans one exchange. It is safe for concurrent use.
type Transport struct {
	next    http.RoundTripper
	budget  *budget
	hosts   *hosts
	timeout time.Duration
	obs     Observer
	onSend  func(time.Time) // may be nil
}

// New returns the transport of one account.
func New(cfg Config) *Transport {
	t := &Transport{
		next: cfg.Next, budget: newBudget(cfg.RPS), hosts: newHosts(cfg.BaseURL),
		timeout: cfg.Timeout, obs: cfg.Observer, onSend: cfg.OnSend,
	}
	if t.next == nil {
		t.next = NewHTTP1()
	}
	if t.obs == nil {
		t.obs = unobserved{}
	}
	t.budget.resume(cfg.Recent, time.Now())
	return t
}

// Base is the account's scheme and host, which follow a renamed account.
func (t *Transport) Base() *url.URL { return t.hosts.base() }

// Move makes host the account's.
func (t *Transport) Move(host string) { t.hosts.move(host) }

// Pace is how many requests a second may go now: the configured figure, or
// less after 429s.
func (t *Transport) Pace() float64 { return t.budget.current() }

// Counts returns for how long from now something that was sent may still count at the
// far end.
func (t *Transport) Counts(now time.Time) time.Duration { return t.budget.counts(now) }

// Held returns until when a 429 holds everything back.
func (t *Transport) Held() time.Time { return t.budget.held() }

// Spare reports whether at least half of the budget is unused.
func (t *Transport) Spare() bool { return t.budget.spare(time.Now()) }

// Wait blocks until the budget has a place and takes it. Its error is ErrHeld
// or that of ctx.
func (t *Transport) Wait(ctx context.Context) (*Slot, error) { return t.budget.wait(ctx) }

// slotKey carries the place a request was given before it was made.
type slotKey struct{}

// WithSlot returns a context whose request has its place already.
func WithSlot(ctx context.Context, s *Slot) context.Context {
	h := &heldSlot{}
	h.slot.Store(s)
	return context.WithValue(ctx, slotKey{}, h)
}

// heldSlot hands its slot out once: a retry must get one of its own.
type heldSlot struct{ slot atomic.Pointer[Slot] }

func slotOf(ctx context.Context) *Slot {
	if h, ok := ctx.Value(slotKey{}).(*heldSlot); ok {
		return h.slot.Swap(nil)
	}
	return nil
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	s := slotOf(req.Context())
	if err := t.hosts.allows(req.Context(), req.URL); err != nil {
		closeBody(req)
		if s != nil {
			s.Release()
		}
		return nil, &Unsent{err}
	}
	if s == nil {
		began := time.Now()
		var err error
		if s, err = t.budget.wait(req.Context()); err != nil {
			closeBody(req)
			return nil, &Unsent{err}
		}
		t.obs.LimiterWait(time.Since(began))
	}
	return t.exchange(req, s)
}

func (t *Transport) exchange(req *http.Request, s *Slot) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), t.timeout)
	defer cancel()
	s.kind = req.Method + " " + Label(req.URL.Path)
	var kept, left, wrote, answered atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:          func(info httptrace.GotConnInfo) { kept.Store(info.Reused) },
		WroteHeaderField: func(string, []string) { left.Store(true) },
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if wrote.Swap(true) {
				t.budget.again(time.Now())
				return
			}
			s.wrote(time.Now())
		},
		GotFirstResponseByte: func() { answered.Store(true); s.answered(time.Now()) },
	})
	began := time.Now()
	if t.onSend != nil {
		t.onSend(began)
	}
	resp, err := t.next.RoundTrip(once(req.WithContext(ctx)))
	if err != nil {
		s.failed(time.Now())
		t.obs.Request(req.Method, Label(req.URL.Path), 0, time.Since(began))
		if kept.Load() && !answered.Load() && ctx.Err() == nil {
			err = &Dropped{err}
			t.hangUp()
		}
		if !left.Load() {
			return nil, &Unsent{err}
		}
		return nil, err
	}
	body, err := ReadAll(resp.Body)
	s.answered(time.Now())
	t.obs.Request(req.Method, Label(req.URL.Path), resp.StatusCode, time.Since(began))
	if Throttled(resp.StatusCode) { // whatever became of its words
		after, _ := retryAfter(resp.Header.Get("Retry-After"), answeredAt(resp))
		t.budget.throttled(time.Now(), after)
	} else if err == nil {
		t.budget.healthy()
	}
	if err != nil {
		return nil, &Unread{Status: resp.StatusCode, Err: err}
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// once has net/http send a read no second time by itself, past the budget, when
// a kept-alive connection is closed under it: to net/http a request with a body
// that cannot be had again is not replayable. "identity" keeps the empty body off
// the wire, without a look into it that may be taken for a slow one.
func once(req *http.Request) *http.Request {
	if req.Method != http.MethodGet || req.Body != nil && req.Body != http.NoBody {
		return req
	}
	req.Body, req.GetBody = io.NopCloser(strings.NewReader("")), nil
	req.TransferEncoding = []string{"identity"}
	return req
}

// hangUp closes the connections that are kept: a far end that closed one has
// closed its like.
func (t *Transport) hangUp() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// ReadAll reads an answer whole, within bounds, and closes it.
func ReadAll(r io.ReadCloser) ([]byte, error) {
	defer r.Close()
	body, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxAnswer {
		return nil, errTooLong
	}
	return body, nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// Throttled reports whether a status says "not now".
func Throttled(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusTooEarly
}

// Retrying returns a client over t. It repeats within a call only what surely did
// not land: a request of which no byte left, because the connection could not be
// made. Everything else is decided above, where requests can regroup.
func (t *Transport) Retrying() *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport:     t,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		Logger:       nil, // its lines would show URLs
		RetryMax:     1,
		RetryWaitMin: 200 * time.Millisecond,
		RetryWaitMax: time.Second,
		CheckRetry:   mayRepeat,
		Backoff:      retryablehttp.DefaultBackoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
}

// mayRepeat is go-retryablehttp's CheckRetry.
func mayRepeat(ctx context.Context, _ *http.Response, err error) (bool, error) {
	if err == nil || ctx.Err() != nil {
		return false, nil
	}
	if _, ok := errors.AsType[*Unsent](err); !ok {
		return false, nil
	}
	// A name that does not resolve or a certificate that does not hold is
	// not mended in a second; a refused or broken dial may be.
	_, isDNS := errors.AsType[*net.DNSError](err)
	op, isOp := errors.AsType[*net.OpError](err)
	return isOp && !isDNS && op.Op == "dial" && !op.Timeout(), nil
}

// Plain strips what may carry a person's data from an error of net/http, and keeps
// its cause: the URL with its query, and what the far end sent instead of HTTP,
// which may be what it was told.
func Plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if _, ok := errors.AsType[*Unsent](err); ok || err == nil {
		return err // nothing was answered
	}
	if _, ok := errors.AsType[textproto.ProtocolError](err); ok {
		return &plain{"malformed HTTP header", err}
	}
	if text := err.Error(); strings.Contains(text, `"`) {
		return &plain{aQuote.ReplaceAllString(text, "…"), err}
	}
	return err
}

// aQuote is a value as %q prints it; net/http quotes all it complains of.
var aQuote = regexp.MustCompile(`"(?:[^"\\]|\\.)*"?`)

// plain is an error told in other words.
type plain struct {
	text string
	err  error
}

func (e *plain) Error() string { return e.text }
func (e *plain) Unwrap() error { return e.err }

// answeredAt is when an answer was given, by the clock of who gave it: ours may be
// another.
func answeredAt(resp *http.Response) time.Time {
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		return at
	}
	return time.Now()
}

// absurd is a Retry-After that nobody means; it is heeded no more than none.
const absurd = 24 * time.Hour

// retryAfter reads a Retry-After header: seconds or an HTTP date. ok is false
// if it says nothing, or something absurd; the figure is never negative nor above
// maxHold.
func retryAfter(header string, now time.Time) (d time.Duration, ok bool) {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0, false
	}
	if strings.Trim(header, "0123456789") == "" {
		n, err := strconv.ParseInt(header, 10, 64)
		if err != nil || n > int64(absurd/time.Second) {
			return 0, false
		}
		return min(time.Duration(n)*time.Second, maxHold), true
	}
	at, err := http.ParseTime(header)
	if err != nil || at.Sub(now) > absurd {
		return 0, false
	}
	return min(max(at.Sub(now), 0), maxHold), true
}

type unobserved struct{}

func (unobserved) Request(string, string, int, time.Duration) {}
func (unobserved) LimiterWait(time.Duration)                  {}
