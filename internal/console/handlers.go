package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// problem is the body of every answer that is an error.
type problem struct {
	Error string `json:"error"`
}

// badRequest is a request that makes no sense; why is shown to the asker.
type badRequest struct{ why string }

func (b *badRequest) Error() string { return b.why }

func bad(format string, args ...any) error { return &badRequest{fmt.Sprintf(format, args...)} }

func (s *Server) apiConnections(w http.ResponseWriter, r *http.Request) {
	all, err := s.backend.Connections(r.Context())
	if err != nil {
		s.failed(w, r, err)
		return
	}
	for i := range all {
		all[i].UnmatchedAgents = list(all[i].UnmatchedAgents)
	}
	writeJSON(w, http.StatusOK, map[string][]Connection{"connections": list(all)})
}

func (s *Server) apiEvents(w http.ResponseWriter, r *http.Request) {
	f, err := filterOf(r.URL.Query(), true)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	page, err := s.backend.Events(r.Context(), f)
	s.answerPage(w, r, page, err)
}

func (s *Server) apiSearch(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Q string `json:"q"`
	}
	if err := readJSON(r, &ask, true); err != nil {
		s.failed(w, r, err)
		return
	}
	if ask.Q == "" {
		s.failed(w, r, bad(`"q" must not be empty`))
		return
	}
	page, err := s.backend.Search(r.Context(), ask.Q)
	s.answerPage(w, r, page, err)
}

func (s *Server) answerPage(w http.ResponseWriter, r *http.Request, page Page, err error) {
	if err != nil {
		s.failed(w, r, err)
		return
	}
	page.Events = list(page.Events)
	writeJSON(w, http.StatusOK, page)
}

func (s *Server) apiEvent(w http.ResponseWriter, r *http.Request) {
	d, err := s.event(r)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, d)
}

func (s *Server) apiReplay(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Again bool `json:"again"`
	}
	seq, err := seqOf(r)
	if err == nil {
		err = readJSON(r, &ask, false)
	}
	if err == nil {
		err = s.backend.Replay(r.Context(), seq, ask.Again)
	}
	s.answerMoved(w, r, seq, event.Pending, err)
}

func (s *Server) apiDiscard(w http.ResponseWriter, r *http.Request) {
	seq, err := seqOf(r)
	if err == nil {
		err = readJSON(r, &struct{}{}, false)
	}
	if err == nil {
		err = s.backend.Discard(r.Context(), seq)
	}
	s.answerMoved(w, r, seq, event.Skipped, err)
}

// answerMoved says where an event was put.
func (s *Server) answerMoved(w http.ResponseWriter, r *http.Request, seq uint64, to event.State, err error) {
	if err != nil {
		s.failed(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Seq   uint64      `json:"seq"`
		State event.State `json:"state"`
	}{seq, to})
}

func (s *Server) apiReplayAll(w http.ResponseWriter, r *http.Request) {
	var f ReplayFilter
	if err := readJSON(r, &f, true); err != nil {
		s.failed(w, r, err)
		return
	}
	if err := f.check(); err != nil {
		s.failed(w, r, bad("%s", err))
		return
	}
	unhurried(w)
	n, err := s.backend.ReplayAll(r.Context(), f)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]int{"replayed": n})
}

func (s *Server) apiClient(w http.ResponseWriter, r *http.Request) {
	c, err := s.client(r)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	c.Links.Leads = list(c.Links.Leads)
	c.Events = list(c.Events)
	writeJSON(w, http.StatusOK, c)
}

func (s *Server) apiForget(w http.ResponseWriter, r *http.Request) {
	connection, id, err := clientOf(r)
	if err == nil {
		err = s.backend.Forget(r.Context(), connection, id)
	}
	if err != nil {
		s.failed(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]bool{"forgotten": true})
}

// apiBackup streams a copy of the store. A copy that breaks off ends the
// connection, so that half a copy is never taken for a whole one.
func (s *Server) apiBackup(w http.ResponseWriter, r *http.Request) {
	unhurried(w)
	out := &lateHeader{w: w}
	if _, err := s.backend.Backup(r.Context(), out); err != nil {
		if !out.begun {
			s.failed(w, r, err)
			return
		}
		s.log.Error("backup broke off", "error", err)
		panic(http.ErrAbortHandler)
	}
}

// unhurried lifts the deadline of an answer that takes its time. One that cannot be
// lifted (a recorder's in a test) does no harm.
func unhurried(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
}

// lateHeader writes the headers of a download with its first byte, so that an
// error before it can still be answered as one.
type lateHeader struct {
	w     http.ResponseWriter
	begun bool
}

func (l *lateHeader) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", "application/octet-stream")
		l.w.Header().Set("Content-Disposition", `attachment; filename="bridge.db"`)
	}
	return l.w.Write(p)
}

// filterOf reads the query of an event list. strict refuses parameters nobody
// knows, which would otherwise widen the list without a word.
func filterOf(q url.Values, strict bool) (Filter, error) {
	f := Filter{Limit: DefaultLimit}
	for name, values := range q {
		v := values[0]
		if v == "" {
			continue
		}
		var err error
		switch name {
		case "connection":
			f.Connection = v
		case "source":
			f.Source, err = sourceOf(v)
		case "kind":
			f.Kind = v
		case "state":
			f.State, err = stateOf(v)
		case "reason":
			f.Reason = event.Reason(v)
		case "client":
			f.Client = v
		case "limit":
			f.Limit, err = strconv.Atoi(v)
			if err != nil || f.Limit < 1 || f.Limit > MaxLimit {
				err = bad("limit must be a number from 1 to %d", MaxLimit)
			}
		case "before":
			f.Before, err = number("before", v)
		default:
			if strict {
				err = bad("unknown parameter %q", cut(name))
			}
		}
		if err != nil {
			return Filter{}, err
		}
	}
	return f, nil
}

func sourceOf(v string) (event.Source, error) {
	if s := event.Source(v); s == event.Jivo || s == event.AmoCRM {
		return s, nil
	}
	return "", bad("source must be jivo or amocrm, not %q", cut(v))
}

func states() []event.State {
	return []event.State{event.Pending, event.Parked, event.Done, event.Skipped, event.Dead}
}

func stateOf(v string) (event.State, error) {
	for _, s := range states() {
		if string(s) == v {
			return s, nil
		}
	}
	return "", bad("state must be pending, parked, done, skipped or dead, not %q", cut(v))
}

func number(name, v string) (uint64, error) {
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return 0, bad("%s must be a number, not %q", name, cut(v))
	}
	return n, nil
}

func seqOf(r *http.Request) (uint64, error) { return number("seq", mux.Vars(r)["seq"]) }

func clientOf(r *http.Request) (connection, id string, err error) {
	vars := mux.Vars(r)
	if connection, err = url.PathUnescape(vars["connection"]); err != nil {
		return "", "", ErrNotFound
	}
	if id, err = url.PathUnescape(vars["client"]); err != nil {
		return "", "", ErrNotFound
	}
	return connection, id, nil
}

// event is the event a request's path names.
func (s *Server) event(r *http.Request) (*Detail, error) {
	seq, err := seqOf(r)
	if err != nil {
		return nil, err
	}
	return s.backend.Event(r.Context(), seq)
}

// client is the client a request's path names.
func (s *Server) client(r *http.Request) (*Client, error) {
	connection, id, err := clientOf(r)
	if err != nil {
		return nil, err
	}
	return s.backend.Client(r.Context(), connection, id)
}

// readJSON reads one JSON object, strictly. An empty body is an error only
// where one is needed.
func readJSON(r *http.Request, into any, needed bool) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if errors.Is(err, io.EOF) && !needed {
		return nil
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	if err != nil {
		return bad("the body is not the JSON object asked for: %s", cut(err.Error()))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return bad("one JSON object, nothing after it")
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// An error here is a reader that went away.
	_ = json.NewEncoder(w).Encode(v)
}
