package app

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/mux"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// ServeCommands adds to the admin listener what commands of this binary ask of a
// running bridge, behind the same token. These routes are between the two of
// them and no part of the API of product.md §4. Call it before Run.
func (a *App) ServeCommands() {
	for _, r := range []struct {
		method, path string
		answer       func(http.ResponseWriter, *http.Request, string) error
	}{
		{http.MethodPost, "/api/v1/auth/{connection}", a.serveConsent},
		{http.MethodGet, "/api/v1/auth/{connection}", a.serveGranted},
		{http.MethodPost, "/api/v1/auth/{connection}/code", a.serveCode},
		{http.MethodPost, "/api/v1/import/{connection}", a.serveImport},
		{http.MethodPost, "/api/v1/contacts/{connection}/sync", a.serveSync},
		{http.MethodPost, "/api/v1/look/{connection}", a.serveLook},
		{http.MethodPost, "/api/v1/crm/{connection}", a.serveRead},
	} {
		a.console.Handle(r.method, r.path, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			name, err := url.PathUnescape(mux.Vars(req)["connection"])
			if err == nil {
				err = r.answer(w, req, name)
			}
			if err != nil {
				failCommand(w, err)
			}
		}))
	}
}

// badCommand is a request that makes no sense.
type badCommand struct{ error }

// failCommand answers with an error; trouble of amoCRM's carries its word.
func failCommand(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	trouble := amocrm.TroubleOf(err)
	var bad badCommand
	var refused *amocrm.Refused
	switch {
	case errors.Is(err, errNoConnection):
		status = http.StatusNotFound
	case errors.As(err, &bad), errors.Is(err, errNoOAuth):
		status = http.StatusBadRequest
	case errors.Is(err, ErrBacklog):
		status = http.StatusServiceUnavailable
	case trouble != "", errors.As(err, &refused):
		status = http.StatusBadGateway
	}
	answerCommand(w, status, map[string]string{"error": err.Error(), "trouble": string(trouble)})
}

func answerCommand(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // an error is a reader that went away
}

func readCommand(r *http.Request, into any) error {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return badCommand{fmt.Errorf("the body is not the JSON object asked for: %w", err)}
	}
	return nil
}

// Consent is the answer to POST and GET /api/v1/auth/{connection}.
type Consent struct {
	URL    string    `json:"url,omitempty"`
	Open   bool      `json:"open"`              // the consent can still be given
	Denied bool      `json:"denied,omitempty"`  // it was refused: nothing more will come of it
	Grant  time.Time `json:"grant_at,omitzero"` // when the stored grant was given
}

func (a *App) serveConsent(w http.ResponseWriter, r *http.Request, name string) error {
	address, err := a.ConsentURL(name)
	if err != nil {
		return err
	}
	is, err := a.Granted(r.Context(), name, "")
	if err != nil {
		return err
	}
	is.URL, is.Open = address, true
	answerCommand(w, http.StatusOK, is)
	return nil
}

func (a *App) serveGranted(w http.ResponseWriter, r *http.Request, name string) error {
	is, err := a.Granted(r.Context(), name, r.URL.Query().Get("state"))
	if err != nil {
		return err
	}
	answerCommand(w, http.StatusOK, is)
	return nil
}

func (a *App) serveCode(w http.ResponseWriter, r *http.Request, name string) error {
	var ask struct {
		Code string `json:"code"`
	}
	if err := readCommand(r, &ask); err != nil {
		return err
	}
	if ask.Code == "" {
		return badCommand{errors.New("no code")}
	}
	if err := a.Exchange(r.Context(), name, ask.Code); err != nil {
		return err
	}
	answerCommand(w, http.StatusOK, struct{}{})
	return nil
}

// ImportLine is one saved webhook on its way from `bridge import`.
type ImportLine struct {
	At   time.Time `json:"at"`
	File time.Time `json:"file,omitzero"`
	Body string    `json:"body"`
}

// ImportCounts say what became of saved webhooks.
type ImportCounts struct {
	Read       int `json:"read"`
	Taken      int `json:"taken"`      // to be worked
	Repeats    int `json:"repeats"`    // arrived before
	Stale      int `json:"stale"`      // older than what came since
	Skipped    int `json:"skipped"`    // unknown event, channel not let in
	Unparsable int `json:"unparsable"` // kept as dead
	TooLarge   int `json:"too_large"`  // not stored
	Unreadable int `json:"unreadable"` // lines that make no sense, such as one without a time that can be read; not stored
}

// Add adds up counts.
func (c *ImportCounts) Add(d ImportCounts) {
	c.Read += d.Read
	c.Taken += d.Taken
	c.Repeats += d.Repeats
	c.Stale += d.Stale
	c.Skipped += d.Skipped
	c.Unparsable += d.Unparsable
	c.TooLarge += d.TooLarge
	c.Unreadable += d.Unreadable
}

func (c *ImportCounts) count(f Fed) {
	switch {
	case f.State == event.Pending:
		c.Taken++
	case f.State == event.Dead:
		c.Unparsable++
	case f.Reason == event.Duplicate:
		c.Repeats++
	case f.Reason == event.Stale:
		c.Stale++
	default:
		c.Skipped++
	}
}

// ErrBacklog says that too many events wait already. An import must not bring
// the queue to where live events are refused.
var ErrBacklog = errors.New("too many events are waiting to be worked (limits.backlog)")

// importShare of limits.backlog is where an import stops.
const importShare = 0.5

// Import feeds saved webhooks to a connection's journal. What was counted is
// stored, also if an error ends it.
func (a *App) Import(ctx context.Context, connection string, lines []ImportLine) (n ImportCounts, err error) {
	c, err := a.connectionOf(connection)
	if err != nil {
		return n, err
	}
	feed := NewFeed(a.store, a.config(), c.cfg)
	room := int(float64(a.config().Limits.Backlog) * importShare)
	for _, l := range lines {
		if room > 0 && a.store.Counts(connection).Pending >= room {
			return n, ErrBacklog
		}
		fed, err := feed.Put(ctx, Saved{Body: []byte(l.Body), At: l.At, File: l.File})
		if errors.Is(err, ErrTooLarge) {
			n.Read++
			n.TooLarge++
			continue
		}
		if err != nil {
			return n, err
		}
		n.Read++
		n.count(fed)
	}
	return n, nil
}

// importChunk bounds what one request of an import unpacks to, in bytes: one
// event of any size that limits.body may allow, and more than one seldom.
const importChunk = 64 << 20

// serveImport takes a gzipped chunk of ImportLines, one JSON object a line.
func (a *App) serveImport(w http.ResponseWriter, r *http.Request, name string) error {
	zip, err := gzip.NewReader(r.Body)
	if err != nil {
		return badCommand{err}
	}
	var lines []ImportLine
	dec := json.NewDecoder(bufio.NewReader(io.LimitReader(zip, importChunk)))
	for {
		var l ImportLine
		err := dec.Decode(&l)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return badCommand{err}
		}
		lines = append(lines, l)
	}
	unhurried(w)
	n, err := a.Import(r.Context(), name, lines)
	if err != nil {
		return err
	}
	answerCommand(w, http.StatusOK, n)
	return nil
}

// unhurried lifts the write deadline of an answer that takes its time.
func unhurried(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // a recorder in a test has none
}

// SyncStep is one line of the answer to a sync of contacts. The last one says
// that it is finished, or the error.
type SyncStep struct {
	Done     int    `json:"done"`
	Finished bool   `json:"finished,omitempty"`
	Error    string `json:"error,omitempty"`
	Trouble  string `json:"trouble,omitempty"`
}

// serveSync reads all contacts and tells how far it is; it ends with its asker.
func (a *App) serveSync(w http.ResponseWriter, r *http.Request, name string) error {
	if _, err := a.connectionOf(name); err != nil {
		return err
	}
	unhurried(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, step := json.NewEncoder(w), SyncStep{}
	flush := http.NewResponseController(w)
	tell := func() {
		_ = out.Encode(step) // who went away is noticed by the context
		_ = flush.Flush()
	}
	err := a.SyncContacts(r.Context(), name, func(done int) {
		step.Done = done
		tell()
	})
	step.Finished = err == nil
	if err != nil {
		step.Error, step.Trouble = err.Error(), string(amocrm.TroubleOf(err))
	}
	tell()
	return nil
}

func (a *App) serveLook(w http.ResponseWriter, r *http.Request, name string) error {
	var ask struct {
		Hook string `json:"hook"`
		Fix  bool   `json:"fix"`
	}
	if err := readCommand(r, &ask); err != nil {
		return err
	}
	c, err := a.connectionOf(name)
	if err != nil {
		return err
	}
	unhurried(w)
	look, err := c.look(r.Context(), a.opt, ask.Hook, ask.Fix)
	if err != nil {
		return err
	}
	if ask.Fix {
		c.account.keeper.Doubtful()
	}
	answerCommand(w, http.StatusOK, look)
	return nil
}

func (c *connection) look(ctx context.Context, opt Options, hook string, fix bool) (*Look, error) {
	return Looker{CRM: c.account.client, Tokens: c.account.tokens(), Conn: c.cfg, Opt: opt}.Look(ctx, hook, fix)
}

func (acc *account) tokens() amocrm.Tokens {
	if acc.oauth != nil {
		return acc.oauth
	}
	return acc.static
}
