package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed style.css
var styleSheet []byte

const (
	stylePath  = "/style.css"
	deadLooked = MaxLimit // how many dead events the list by reason looks at
)

// pages are the parsed templates, one set per page over the same layout.
type pages struct {
	set      map[string]*template.Template
	styleTag string
	clock    clock
}

func newPages(c clock) *pages {
	p := &pages{set: map[string]*template.Template{}, clock: c}
	for _, name := range []string{"overview", "events", "event", "dead", "client", "login", "error"} {
		p.set[name] = template.Must(template.New("layout.html").Funcs(funcs(c)).
			ParseFS(templateFiles, "templates/layout.html", "templates/parts.html", "templates/"+name+".html"))
	}
	sum := sha256.Sum256(styleSheet)
	p.styleTag = `"` + hex.EncodeToString(sum[:8]) + `"`
	return p
}

// view is what every page gets.
type view struct {
	Title  string
	Page   string // the entry of the menu
	CSRF   string
	Notice string
	Login  bool // a token is set: there is something to log out of
	Query  string
	Data   any
}

func (s *Server) show(w http.ResponseWriter, r *http.Request, status int, page, title string, data any) {
	v := view{Title: title, Page: page, CSRF: s.guard.formToken(r), Login: s.guard.token.Load() != nil,
		Notice: notice(r.URL.Query().Get("did")), Data: data}
	if sv, ok := data.(searchView); ok {
		v.Query = sv.Query
	}
	// Rendered whole before the first byte: a template's error is then a 500
	// and not half a page.
	var out bytes.Buffer
	if err := s.pages.set[page].Execute(&out, v); err != nil {
		s.log.Error("page failed", "page", page, "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes())
}

// notice is the text of a closed set of words that redirects carry.
func notice(did string) string {
	word, n, _ := strings.Cut(did, "-")
	switch word {
	case "replayed":
		if n, err := strconv.Atoi(n); err == nil {
			return "Put to work again: " + count(n, "event") + "."
		}
		return "The event was put to work again."
	case "discarded":
		return "The event was discarded."
	case "forgotten":
		return "The person was forgotten."
	}
	return ""
}

func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, status int, text string) {
	s.show(w, r, status, "error", http.StatusText(status), struct {
		Text string
		Gone bool
	}{text, status == http.StatusNotFound})
}

func (s *Server) pageOverview(w http.ResponseWriter, r *http.Request) {
	all, err := s.backend.Connections(r.Context())
	if err != nil {
		s.failed(w, r, err)
		return
	}
	v := overviewView{Connections: all, Problems: s.backend.Ready(r.Context()), Refusal: s.backend.Refusal()}
	dead := 0
	for _, c := range all {
		v.Waiting += c.Pending + c.Parked
		dead += c.Dead
	}
	v.Needs = needs(dead, v.Problems, v.Refusal)
	s.show(w, r, http.StatusOK, "overview", "Connections", v)
}

// overviewView is every connection's stand, and the sum of it.
type overviewView struct {
	Connections []Connection
	Problems    []Problem
	Refusal     string // of the config as it was last read
	Waiting     int
	Needs       []need
}

// need is something that waits for a person, and where it is shown.
type need struct{ What, URL string }

// Where the overview lists what is not ready, and says why a config was refused.
const (
	notReady = "#not-ready"
	refused  = "#refused"
)

func needs(dead int, problems []Problem, refusal string) (out []need) {
	if dead > 0 {
		out = append(out, need{count(dead, "event") + " cannot succeed without you", "/dead"})
	}
	itself, names := false, map[string]bool{}
	for _, p := range problems {
		if p.Connection == "" {
			itself = true
		} else {
			names[p.Connection] = true
		}
	}
	switch n := len(names); n {
	case 0:
	case 1:
		out = append(out, need{"1 connection is not ready and needs a look", notReady})
	default:
		out = append(out, need{count(n, "connection") + " are not ready and need a look", notReady})
	}
	if itself {
		out = append(out, need{"the bridge itself is not ready", notReady})
	}
	if refusal != "" {
		out = append(out, need{"the config was refused and an older one is in force", refused})
	}
	return out
}

// eventsView is a list of events with the filter it was made by.
type eventsView struct {
	Filter      Filter
	Connections []string
	Kinds       []string
	Quick       []quick
	Narrowed    bool // by anything at all
	Page        Page
	More        string // the next page, "" if there is none
	Newest      string // the first page, "" if this is it
	Bulk        bool   // all that match may be replayed at once
	Search      bool
}

// quick is a filter that is often wanted, one click away.
type quick struct {
	Name, URL string
	Now       bool
}

func quicks(f Filter) []quick {
	var out []quick
	for _, q := range []struct {
		name   string
		source event.Source
		state  event.State
	}{
		{"All", "", ""}, {"From Jivo", event.Jivo, ""}, {"Waiting", "", event.Pending}, {"Parked", "", event.Parked}, {"Dead", "", event.Dead}, {"From amoCRM", event.AmoCRM, ""},
	} {
		now := f.Source == q.source && f.State == q.state && f.Kind == "" && f.Reason == "" && f.Client == ""
		out = append(out, quick{q.name, eventsURL("connection", f.Connection, "source", q.source, "state", q.state), now})
	}
	return out
}

type searchView struct {
	eventsView
	Query string
}

func (s *Server) pageEvents(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	q.Del("did")
	f, err := filterOf(q, false)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	page, err := s.backend.Events(r.Context(), f)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	names, err := s.connectionNames(r)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	v := eventsView{Filter: f, Connections: names, Kinds: allKinds(), Quick: quicks(f), Page: page}
	v.Narrowed = f != Filter{Limit: f.Limit}
	v.Bulk = bulky(f.State, f.Reason) && f.Source == "" && f.Kind == "" && f.Client == "" && len(page.Events) > 0
	if f.Before != 0 {
		newest := maps.Clone(q)
		newest.Del("before")
		v.Newest = "/events?" + newest.Encode()
	}
	if page.Next != 0 {
		q.Set("before", strconv.FormatUint(page.Next, 10))
		v.More = "/events?" + q.Encode()
	}
	s.show(w, r, http.StatusOK, "events", "Events", v)
}

// allKinds are the names of events, to choose from.
func allKinds() []string {
	return slices.Sorted(maps.Keys(knownKinds(jivo.Kinds())))
}

func (s *Server) connectionNames(r *http.Request) ([]string, error) {
	all, err := s.backend.Connections(r.Context())
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(all))
	for _, c := range all {
		names = append(names, c.Name)
	}
	return names, nil
}

// formSearch answers in place: what was looked for never stands in a URL.
func (s *Server) formSearch(w http.ResponseWriter, r *http.Request) {
	q := strings.TrimSpace(r.PostFormValue("q"))
	var page Page
	if q != "" {
		var err error
		if page, err = s.backend.Search(r.Context(), q); err != nil {
			s.failed(w, r, err)
			return
		}
	}
	s.show(w, r, http.StatusOK, "events", "Search", searchView{eventsView{Page: page, Search: true}, q})
}

func (s *Server) formReplay(w http.ResponseWriter, r *http.Request) {
	seq, err := seqOf(r)
	if err == nil {
		err = s.backend.Replay(r.Context(), seq, r.PostFormValue("again") != "")
	}
	s.moved(w, r, "/events/"+strconv.FormatUint(seq, 10)+"?did=replayed", err)
}

func (s *Server) formDiscard(w http.ResponseWriter, r *http.Request) {
	seq, err := seqOf(r)
	if err == nil {
		err = s.backend.Discard(r.Context(), seq)
	}
	s.moved(w, r, "/events/"+strconv.FormatUint(seq, 10)+"?did=discarded", err)
}

// moved goes on to another page after a form has done its work.
func (s *Server) moved(w http.ResponseWriter, r *http.Request, to string, err error) {
	if err != nil {
		s.failed(w, r, err)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// deadGroup is all dead events of a connection that died of the same reason.
type deadGroup struct {
	Connection string
	Reason     event.Reason
	Count      int
	Newest     Item
}

func (s *Server) pageDead(w http.ResponseWriter, r *http.Request) {
	page, err := s.backend.Events(r.Context(), Filter{State: event.Dead, Limit: deadLooked})
	if err != nil {
		s.failed(w, r, err)
		return
	}
	s.show(w, r, http.StatusOK, "dead", "Dead events", struct {
		Groups []deadGroup
		Page   Page
		More   bool
	}{groupDead(page.Events), page, page.Next != 0})
}

func groupDead(items []Item) []deadGroup {
	var groups []deadGroup
	for _, it := range items {
		i := slices.IndexFunc(groups, func(g deadGroup) bool { return g.Connection == it.Connection && g.Reason == it.Reason })
		if i < 0 {
			groups = append(groups, deadGroup{Connection: it.Connection, Reason: it.Reason, Newest: it})
			i = len(groups) - 1
		}
		groups[i].Count++
	}
	slices.SortStableFunc(groups, func(a, b deadGroup) int { return b.Count - a.Count })
	return groups
}

// formReplayAll replays all events of a connection and reason. Only what is
// safe to repeat goes: the button is shown for nothing else either.
func (s *Server) formReplayAll(w http.ResponseWriter, r *http.Request) {
	f := ReplayFilter{Connection: r.PostFormValue("connection"), State: event.State(r.PostFormValue("state")), Reason: event.Reason(r.PostFormValue("reason"))}
	if !bulky(f.State, f.Reason) {
		s.failed(w, r, bad("these events cannot be replayed all at once"))
		return
	}
	unhurried(w)
	n, err := s.backend.ReplayAll(r.Context(), f)
	to := "/dead?"
	if f.State != event.Dead {
		to = eventsURL("connection", f.Connection, "state", f.State, "reason", f.Reason) + "&"
	}
	s.moved(w, r, to+"did=replayed-"+strconv.Itoa(n), err)
}

func (s *Server) pageClient(w http.ResponseWriter, r *http.Request) {
	c, err := s.client(r)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	s.show(w, r, http.StatusOK, "client", "Client "+c.ID, c)
}

func (s *Server) formForget(w http.ResponseWriter, r *http.Request) {
	connection, id, err := clientOf(r)
	if err == nil {
		err = s.backend.Forget(r.Context(), connection, id)
	}
	s.moved(w, r, "/events?connection="+url.QueryEscape(connection)+"&did=forgotten", err)
}

// form wraps the handler of a form of ours: it must carry the hidden token.
func (s *Server) form(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.guard.formHolds(r) {
			s.fail(w, r, http.StatusForbidden, "this form is no longer valid: reload the page it was on")
			return
		}
		next(w, r)
	}
}

func (s *Server) pageLogin(w http.ResponseWriter, r *http.Request) {
	s.loginPage(w, r, http.StatusOK, "")
}

func (s *Server) loginPage(w http.ResponseWriter, r *http.Request, status int, wrong string) {
	s.show(w, r, status, "login", "Log in", wrong)
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	if !s.guard.tokenIs(r.PostFormValue("token")) {
		s.loginPage(w, r, http.StatusUnauthorized, "That is not the admin token.")
		return
	}
	setCookie(w, r, s.guard.session())
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	setCookie(w, r, "")
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

func (s *Server) style(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/css; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", s.pages.styleTag)
	if r.Header.Get("If-None-Match") == s.pages.styleTag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(styleSheet)
}
