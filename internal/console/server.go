// Package console is the admin listener: metrics, health, the JSON API of
// product.md §4 and web pages that work without scripts. It shows and does what
// its Backend lets it, and keeps no state of its own but the key of its
// sessions.
package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	readyTimeout = 5 * time.Second
	maxBody      = 64 << 10 // of a request to the admin listener, bytes
)

// Config is what of the config concerns the admin listener.
type Config struct {
	// Token is admin.token; "" may be given only while listening on loopback,
	// and then only requests by a loopback name are answered.
	Token string
}

// Server is the admin listener's handler.
type Server struct {
	backend Backend
	guard   *guard
	log     *slog.Logger
	router  *mux.Router
	pages   *pages
}

// New builds the admin listener over backend; /metrics serves gatherer.
func New(cfg Config, backend Backend, gatherer prometheus.Gatherer, log *slog.Logger) *Server {
	s := &Server{backend: backend, guard: newGuard(cfg.Token), log: log, pages: newPages(clock{time.Now, time.Local})}
	s.router = mux.NewRouter().SkipClean(true).UseEncodedPath()
	s.router.NotFoundHandler = http.HandlerFunc(s.notFound)
	s.router.MethodNotAllowedHandler = http.HandlerFunc(s.wrongMethod)
	s.routes(promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 8, Timeout: 10 * time.Second,
	}))
	return s
}

func (s *Server) routes(metrics http.Handler) {
	s.router.Handle("/metrics", metrics).Methods(http.MethodGet)
	s.router.HandleFunc("/healthz", s.healthz).Methods(http.MethodGet, http.MethodHead)
	s.router.HandleFunc("/readyz", s.readyz).Methods(http.MethodGet, http.MethodHead)
	for _, r := range []struct {
		method, path string
		h            http.HandlerFunc
	}{
		{http.MethodGet, "/api/v1/connections", s.apiConnections},
		{http.MethodGet, "/api/v1/events", s.apiEvents},
		{http.MethodPost, "/api/v1/search", s.apiSearch},
		{http.MethodGet, "/api/v1/events/{seq}", s.apiEvent},
		{http.MethodPost, "/api/v1/events/{seq}/replay", s.apiReplay},
		{http.MethodPost, "/api/v1/events/{seq}/discard", s.apiDiscard},
		{http.MethodPost, "/api/v1/replay", s.apiReplayAll},
		{http.MethodGet, "/api/v1/clients/{connection}/{client}", s.apiClient},
		{http.MethodDelete, "/api/v1/clients/{connection}/{client}", s.apiForget},
		{http.MethodPost, "/api/v1/backup", s.apiBackup},

		{http.MethodGet, "/", s.pageOverview},
		{http.MethodGet, "/events", s.pageEvents},
		{http.MethodGet, "/events/{seq}", s.pageEvent},
		{http.MethodPost, "/events/{seq}/replay", s.form(s.formReplay)},
		{http.MethodPost, "/events/{seq}/discard", s.form(s.formDiscard)},
		{http.MethodGet, "/dead", s.pageDead},
		{http.MethodPost, "/replay", s.form(s.formReplayAll)},
		{http.MethodPost, "/search", s.form(s.formSearch)},
		{http.MethodGet, "/clients/{connection}/{client}", s.pageClient},
		{http.MethodPost, "/clients/{connection}/{client}/forget", s.form(s.formForget)},
		{http.MethodGet, "/login", s.pageLogin},
		{http.MethodPost, "/login", s.login},
		{http.MethodPost, "/logout", s.form(s.logout)},
		{http.MethodGet, stylePath, s.style},
	} {
		s.router.HandleFunc(r.path, r.h).Methods(r.method)
	}
}

// Handle adds a route behind the same authentication and bounds, for commands
// that work through the running bridge. Call it before serving.
func (s *Server) Handle(method, path string, h http.Handler) {
	s.router.Handle(path, h).Methods(method)
}

// SetToken changes admin.token at once; sessions won by the old one end.
func (s *Server) SetToken(token string) { s.guard.set(token) }

// HTTPServer wraps a handler of this package with the bounds of an admin
// listener. Handlers that stream lift the write deadline themselves.
func HTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer s.recovered(w, r)
	headers(w)
	if isOpen(r) {
		s.router.ServeHTTP(w, r)
		return
	}
	if !s.guard.hostHolds(r) {
		s.fail(w, r, http.StatusForbidden, "without admin.token only loopback names are answered")
		return
	}
	if err := s.guard.origin.Check(r); err != nil {
		s.fail(w, r, http.StatusForbidden, "request from another site")
		return
	}
	if r.URL.Path != "/login" && !s.guard.allowed(r) {
		s.unauthorized(w, r)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	s.router.ServeHTTP(w, r)
}

// isOpen reports whether a path is served to everybody.
func isOpen(r *http.Request) bool {
	switch r.URL.Path {
	case "/healthz", "/readyz", stylePath:
		return true
	}
	return false
}

// headers are those of every answer. The referrer policy is not no-referrer:
// that would make browsers send `Origin: null` with our own forms.
func headers(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// recovered turns a panic of a handler into one failed request.
func (s *Server) recovered(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	s.log.Error("admin request panicked", "type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
	s.fail(w, r, http.StatusInternalServerError, "internal error")
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	problems := s.backend.Ready(ctx)
	status := http.StatusOK
	if len(problems) > 0 {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, struct {
		Ready    bool      `json:"ready"`
		Problems []Problem `json:"problems"`
	}{len(problems) == 0, list(problems)})
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, http.StatusNotFound, "not found")
}

func (s *Server) wrongMethod(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, http.StatusMethodNotAllowed, "method not allowed")
}

func (s *Server) unauthorized(w http.ResponseWriter, r *http.Request) {
	if wantsPage(r) {
		s.loginPage(w, r, http.StatusUnauthorized, "")
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="bridge"`)
	writeJSON(w, http.StatusUnauthorized, problem{"authorization required"})
}

// fail answers with an error in the asker's form: a page or JSON.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, status int, text string) {
	if wantsPage(r) {
		s.errorPage(w, r, status, text)
		return
	}
	writeJSON(w, status, problem{text})
}

// failed answers for an error of the backend.
func (s *Server) failed(w http.ResponseWriter, r *http.Request, err error) {
	var conflict *Conflict
	var bad *badRequest
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, ErrNotFound):
		s.notFound(w, r)
	case errors.As(err, &conflict):
		s.fail(w, r, http.StatusConflict, conflict.Why)
	case errors.As(err, &bad):
		s.fail(w, r, http.StatusBadRequest, bad.why)
	case errors.As(err, &tooLarge):
		s.fail(w, r, http.StatusRequestEntityTooLarge, "body too large")
	default:
		s.log.Error("admin request failed", "route", routeOf(r), "error", err)
		s.fail(w, r, http.StatusInternalServerError, "internal error")
	}
}

// wantsPage reports whether a person's browser asks for a page of the console.
func wantsPage(r *http.Request) bool {
	if strings.HasPrefix(r.URL.Path, "/api/") || r.URL.Path == "/metrics" || isOpen(r) {
		return false
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// routeOf is the route's pattern: what logs say instead of the path.
func routeOf(r *http.Request) string {
	if route := mux.CurrentRoute(r); route != nil {
		if t, err := route.GetPathTemplate(); err == nil {
			return t
		}
	}
	return "none"
}
