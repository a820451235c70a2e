// Package intake is the public listener: it authenticates, bounds and journals
// what Jivo and amoCRM send, and answers once it is on disk. Nothing here waits
// for amoCRM, except that the reply to Jivo may be composed for a moment by the
// Replier. Handlers hold no lock while the journal commits.
package intake

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// ReplyLimit is how long after the receipt of a request composing its answer
// may end at the latest (product.md §6).
const ReplyLimit = 2 * time.Second

// Journal keeps an event durably: when Append returns nil, it is on disk. When
// space runs low it refuses amoCRM's hooks before Jivo's events.
type Journal interface {
	Append(ctx context.Context, in event.Incoming) (store.Appended, error)
}

// Pending is how many events of a connection are to be done. It is asked with
// every request and must be cheap.
type Pending func(connection string) int

// Replier composes the answer to chat_accepted and chat_updated.
type Replier interface {
	// Reply returns at once with what is known when ctx ends. seq is the
	// event's own; of a repeat that of the first, where the journal knows it.
	Reply(ctx context.Context, connection string, msg *jivo.Message, seq uint64, repeat bool) jivo.Reply
}

// HookKind names an amoCRM hook ("leads.status"). An error means that the body
// makes no sense; its text is kept with the event and must not quote the body.
type HookKind func(contentType string, body []byte) (kind string, err error)

// OAuth takes what an amoCRM consent page sent a browser back with. message is
// shown to the person in plain text; a 404 is answered like any other.
type OAuth interface {
	Callback(ctx context.Context, connection string, q url.Values) (status int, message string)
}

// Observer is told what the listener does. Its methods must not block.
type Observer interface {
	Received(connection string, source event.Source, kind string)
	// Settled: an event was stored in a state in which nothing is left to do,
	// so many seconds after it was received. Whoever works the others tells of those.
	Settled(connection string, source event.Source, kind string, state event.State, seconds float64)
	Refused(connection string, source event.Source, why string)
	Acked(source event.Source, d time.Duration)
	Replied(kind string, d time.Duration)
}

// Config bounds the listener.
type Config struct {
	Body    int64 // limits.body: the largest body, in bytes
	Backlog int   // limits.backlog: pending events of one connection; 0: no limit
}

// Connection is what the listener knows of one connection.
type Connection struct {
	Name        string
	JivoSecrets []string
	AmoSecrets  []string // none: /amocrm/{connection}/… is 404
	Channels    []string // widget ids let in; none: all
	OAuth       bool     // has a redirect; else /oauth/{connection} is 404
}

// Deps are the rooms the listener hands on to. OAuth may be nil.
type Deps struct {
	Journal  Journal
	Pending  Pending
	Replier  Replier
	HookKind HookKind
	OAuth    OAuth
	Observer Observer
	Log      *slog.Logger
}

// Server is the public listener's handler. It is safe for concurrent use.
type Server struct {
	deps   Deps
	cfg    atomic.Pointer[Config]
	table  atomic.Pointer[table]
	router *mux.Router
	alarms alarms
}

// New builds the listener; it knows no connection until SetConnections.
func New(cfg Config, deps Deps) *Server {
	s := &Server{deps: deps}
	s.SetConfig(cfg)
	s.SetConnections(nil)
	s.router = mux.NewRouter().SkipClean(true).UseEncodedPath()
	s.router.Handle("/jivo/{connection}/{secret}", s.endpoint(event.Jivo, s.jivo))
	s.router.Handle("/amocrm/{connection}/{secret}", s.endpoint(event.AmoCRM, s.hook))
	s.router.HandleFunc("/oauth/{connection}", s.oauth)
	s.router.NotFoundHandler = http.HandlerFunc(s.nowhere)
	return s
}

// SetConfig changes the bounds for the requests that begin from now on.
func (s *Server) SetConfig(cfg Config) { s.cfg.Store(&cfg) }

// SetConnections replaces all connections at once; requests under way end with
// those they began with.
func (s *Server) SetConnections(all []Connection) { s.table.Store(newTable(all)) }

// Handler returns the listener's http.Handler.
func (s *Server) Handler() http.Handler { return s.router }

// HTTPServer wraps h with the bounds of reliability.md › Threats to the
// listener. net/http's own complaints go to log at debug level.
func HTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:                      h,
		ReadHeaderTimeout:            5 * time.Second,
		ReadTimeout:                  10 * time.Second,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  time.Minute,
		MaxHeaderBytes:               16 << 10,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

const writeTimeout = 10 * time.Second

// oauth serves GET /oauth/{connection}.
func (s *Server) oauth(w http.ResponseWriter, r *http.Request) {
	x := s.begin(w, r, "", "/oauth/{connection}")
	defer x.end()
	c := s.table.Load().byName[pathVar(r, "connection")]
	if s.deps.OAuth == nil || c == nil || !c.oauth {
		x.notFound()
		return
	}
	x.connection = c.name
	if r.Method != http.MethodGet {
		x.wrongMethod(http.MethodGet)
		return
	}
	status, message := s.deps.OAuth.Callback(r.Context(), c.name, r.URL.Query())
	if status == http.StatusNotFound {
		x.notFound()
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer") // the URL carries the code
	x.text(status, message)
}

// nowhere answers every path that is none of ours, with the work a wrong
// secret would have cost.
func (s *Server) nowhere(w http.ResponseWriter, r *http.Request) {
	x := s.begin(w, r, "", "none")
	defer x.end()
	s.table.Load().decoy.holds(r.URL.EscapedPath())
	x.notFound()
}
