package amocrm

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
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// maxAnswer bounds an answer; amoCRM's longest honest one, 250 contacts with
// all their fields, is far below.
const maxAnswer = 8 << 20

// NewTransport returns the transport a Client makes for itself. It speaks
// HTTP/1.1 only: one exchange a connection makes it certain which request has
// left and which has not, and seven requests a second gain nothing by HTTP/2.
func NewTransport() *http.Transport {
	h1 := new(http.Protocols)
	h1.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        60 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		Protocols:              h1,
	}
}

// unsent wraps the error of a request of which not one byte left.
type unsent struct{ err error }

func (e *unsent) Error() string { return e.err.Error() }
func (e *unsent) Unwrap() error { return e.err }

// unread wraps the error of an answer whose body could not be read whole.
type unread struct {
	status int
	err    error
}

func (e *unread) Error() string { return fmt.Sprintf("read answer (%d): %v", e.status, e.err) }
func (e *unread) Unwrap() error { return e.err }

var errTooLong = errors.New("answer is too long")

// budgeted is the transport under go-retryablehttp: every request, retries
// included, has its place in the budget before it leaves. It reads answers
// whole, within maxAnswer and the timeout, which spans one exchange.
type budgeted struct {
	next    http.RoundTripper
	budget  *budget
	hosts   *hosts
	timeout time.Duration
	obs     Observer
	onSend  func(time.Time) // may be nil
}

// slotKey carries the place a request was given before it was made.
type slotKey struct{}

func withSlot(ctx context.Context, s *slot) context.Context {
	h := &heldSlot{}
	h.slot.Store(s)
	return context.WithValue(ctx, slotKey{}, h)
}

// heldSlot hands its slot out once: a retry must get one of its own.
type heldSlot struct{ slot atomic.Pointer[slot] }

func slotOf(ctx context.Context) *slot {
	if h, ok := ctx.Value(slotKey{}).(*heldSlot); ok {
		return h.slot.Swap(nil)
	}
	return nil
}

// RoundTrip implements http.RoundTripper.
func (t *budgeted) RoundTrip(req *http.Request) (*http.Response, error) {
	s := slotOf(req.Context())
	if err := t.hosts.allows(req.Context(), req.URL); err != nil {
		closeBody(req)
		if s != nil {
			s.release()
		}
		return nil, &unsent{err}
	}
	if s == nil {
		began := time.Now()
		var err error
		if s, err = t.budget.wait(req.Context()); err != nil {
			closeBody(req)
			return nil, &unsent{err}
		}
		t.obs.LimiterWait(time.Since(began))
	}
	return t.exchange(req, s)
}

func (t *budgeted) exchange(req *http.Request, s *slot) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), t.timeout)
	defer cancel()
	s.kind = req.Method + " " + label(req.URL.Path)
	var left, wrote atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaderField: func(string, []string) { left.Store(true) },
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if wrote.Swap(true) {
				t.budget.again(time.Now())
				return
			}
			s.wrote(time.Now())
		},
		GotFirstResponseByte: func() { s.answered(time.Now()) },
	})
	began := time.Now()
	if t.onSend != nil {
		t.onSend(began)
	}
	resp, err := t.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		s.failed(time.Now())
		t.obs.Request(req.Method, label(req.URL.Path), string(Unreachable), time.Since(began))
		if !left.Load() {
			return nil, &unsent{err}
		}
		return nil, err
	}
	body, err := readAll(resp.Body)
	s.answered(time.Now())
	t.obs.Request(req.Method, label(req.URL.Path), strconv.Itoa(resp.StatusCode), time.Since(began))
	if err != nil {
		return nil, &unread{status: resp.StatusCode, err: err}
	}
	if v, _ := judge(resp.StatusCode, false); v == throttled {
		after, _ := retryAfter(resp.Header.Get("Retry-After"), time.Now())
		t.budget.throttled(time.Now(), after)
	} else {
		t.budget.healthy()
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

func readAll(r io.ReadCloser) ([]byte, error) {
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

// newRetrying returns the client every request goes through. It repeats within
// a call only what surely did not land: a request of which no byte left,
// because the connection could not be made. Everything else is decided above,
// where requests can regroup.
func newRetrying(rt http.RoundTripper) *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport:     rt,
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
	if _, ok := errors.AsType[*unsent](err); !ok {
		return false, nil
	}
	// A name that does not resolve or a certificate that does not hold is
	// not mended in a second; a refused or broken dial may be.
	_, isDNS := errors.AsType[*net.DNSError](err)
	op, isOp := errors.AsType[*net.OpError](err)
	return isOp && !isDNS && op.Op == "dial" && !op.Timeout(), nil
}

// plain strips what may carry a query (with a phone in it) from an error of
// net/http, and keeps its cause.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// retryAfter reads a Retry-After header: seconds or an HTTP date. ok is false
// if it says nothing; the figure is never negative nor above maxHold.
func retryAfter(header string, now time.Time) (d time.Duration, ok bool) {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0, false
	}
	if strings.Trim(header, "0123456789") == "" {
		n, err := strconv.ParseInt(header, 10, 64)
		if err != nil || n > int64(maxHold/time.Second) {
			return maxHold, true
		}
		return time.Duration(n) * time.Second, true
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), maxHold), true
}
