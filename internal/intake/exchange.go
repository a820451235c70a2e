package intake

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Why a request was refused: the label of events_refused_total.
const (
	whyNotFound = "not_found" // wrong connection or secret
	whyMethod   = "method"
	whyEncoding = "encoding"  // a compressed body
	whyTooLarge = "too_large" // limits.body
	whyRead     = "read"      // the body broke off or came too slowly
	whyBacklog  = "backlog"   // limits.backlog
	whyFull     = "full"      // limits.free_space, or no space at all
	whyBroken   = "broken"    // the commit failed
	whyClosing  = "closing"   // the bridge is going down
	whyPanic    = "panic"
)

// retryAfter is the Retry-After of a 503, in seconds.
const retryAfter = 5

// exchange is one request and its answer. It belongs to the request's goroutine.
type exchange struct {
	s          *Server
	w          http.ResponseWriter
	r          *http.Request
	start      time.Time
	source     event.Source // "" where it is no event
	route      string       // the pattern, never the path: that carries the secret
	connection string       // of the config, "" if none was named

	kind    string
	seq     uint64
	repeat  bool
	size    int
	stored  bool
	written bool
	status  int
	why     string
}

func (s *Server) begin(w http.ResponseWriter, r *http.Request, source event.Source, route string) *exchange {
	return &exchange{s: s, w: w, r: r, start: time.Now(), source: source, route: route}
}

// end closes every exchange, also one that panicked, with one log line.
func (x *exchange) end() {
	if v := recover(); v != nil {
		x.recovered(v)
	}
	log := x.s.deps.Log
	if !log.Enabled(x.r.Context(), slog.LevelDebug) {
		return
	}
	log.LogAttrs(x.r.Context(), slog.LevelDebug, "request",
		slog.String("route", x.route), slog.String("method", methodWord(x.r.Method)),
		slog.String("connection", x.connection), slog.String("source", string(x.source)),
		slog.String("kind", x.kindLabel()), slog.Uint64("seq", x.seq), slog.Bool("repeat", x.repeat),
		slog.Int("bytes", x.size), slog.Int("status", x.status), slog.String("why", x.why),
		slog.Duration("took", time.Since(x.start)), slog.String("remote", x.r.RemoteAddr))
}

// recovered answers for a handler that panicked: an event that is on disk was
// received, whatever happened after. The panic's own text may quote a person.
func (x *exchange) recovered(v any) {
	if err, ok := v.(error); ok && err == http.ErrAbortHandler {
		panic(v)
	}
	x.s.deps.Log.Error("request panicked", "route", x.route, "connection", x.connection, "seq", x.seq,
		"type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
	switch {
	case x.written:
	case x.stored:
		x.ok()
	case x.source == "":
		x.text(http.StatusInternalServerError, "internal error")
	default:
		x.unavailable(whyPanic, nil)
	}
}

// ok is the plain answer to an event that is on disk.
func (x *exchange) ok() {
	if x.source == event.Jivo {
		x.json([]byte(`{"result":"ok"}`))
		return
	}
	x.header(http.StatusOK)
}

func (x *exchange) json(body []byte) {
	x.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	x.write(http.StatusOK, body)
}

func (x *exchange) text(status int, body string) {
	h := x.w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	x.write(status, []byte(body+"\n"))
}

func (x *exchange) write(status int, body []byte) {
	x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	x.header(status)
	_, _ = x.w.Write(body) // an error is a sender that went away
}

// header writes the status line. A slow commit may have used up the write
// deadline, and a late 200 beats none: it is set anew. What has no deadline (a
// recorder in a test) refuses, which does no harm.
func (x *exchange) header(status int) {
	x.written = true
	x.status = status
	_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(writeTimeout))
	x.w.WriteHeader(status)
}

func (x *exchange) notFound() { x.text(http.StatusNotFound, "not found") }

func (x *exchange) wrongMethod(allow string) {
	x.w.Header().Set("Allow", allow)
	x.text(http.StatusMethodNotAllowed, "method not allowed")
}

// refuse answers a request that is not stored, and counts it.
func (x *exchange) refuse(status int, why, text string) {
	x.count(why)
	x.text(status, text)
}

// unavailable is the refusal of an event that could not be put on disk; it is
// an alarm. err may be nil.
func (x *exchange) unavailable(why string, err error) {
	x.count(why)
	x.s.alarms.raise(x.r.Context(), x.s.deps.Log, x.connection, x.source, why, err)
	x.w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	x.text(http.StatusServiceUnavailable, "not stored")
}

func (x *exchange) count(why string) {
	x.why = why
	x.s.deps.Observer.Refused(x.connection, x.source, why)
}

// methodWord keeps what somebody made up as a method out of the logs.
func methodWord(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

// kindLabel is the event's name where somebody knows it: x.kind is only set then.
func (x *exchange) kindLabel() string {
	if x.kind == "" {
		return "other"
	}
	return x.kind
}
