package app

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/token"
)

// consentFor is how long a person may take to consent.
const consentFor = time.Hour

// states are the OAuth states given out: a redirect that carries none of them is
// somebody else's.
type states struct {
	mu   sync.Mutex
	live map[string]consent
}

type consent struct {
	connection string
	until      time.Time
	denied     bool // the person said no: the state is used up, and who waits is told why
}

func newStates() *states { return &states{live: map[string]consent{}} }

// give makes a state for a connection.
func (s *states) give(connection string) string {
	state := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, c := range s.live {
		if time.Now().After(c.until) {
			delete(s.live, k)
		}
	}
	s.live[state] = consent{connection: connection, until: time.Now().Add(consentFor)}
	return state
}

// knows reports whether the state was given out for the connection and is good.
func (s *states) knows(state, connection string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.good(state, connection)
}

// take uses a state up.
func (s *states) take(state, connection string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.good(state, connection) {
		return false
	}
	delete(s.live, state)
	return true
}

// deny uses a state up without a consent.
func (s *states) deny(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.live[state]; ok {
		c.denied = true
		s.live[state] = c
	}
}

// stand tells how the consent that a state is of stands: whether it may still be
// given, or was denied. One that was given is neither.
func (s *states) stand(state, connection string) (open, denied bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.live[state]
	return s.good(state, connection), c.denied && c.connection == connection
}

func (s *states) good(state, connection string) bool {
	c, ok := s.live[state]
	return ok && !c.denied && c.connection == connection && !time.Now().After(c.until)
}

// errNoOAuth says that a connection has a long-lived token.
var errNoOAuth = errors.New("this connection has a long-lived token; there is nothing to consent to")

// ConsentURL gives the page on which a person lets the connection in.
func (a *App) ConsentURL(connection string) (string, error) {
	a.mu.Lock()
	c := a.conns[connection]
	a.mu.Unlock()
	switch {
	case c == nil:
		return "", errors.New("no such connection")
	case c.account.oauth == nil:
		return "", errNoOAuth
	}
	return c.account.oauth.ConsentURL(a.states.give(connection)), nil
}

// Exchange trades a code for the connection's grant and wakes its account.
func (a *App) Exchange(ctx context.Context, connection, code string) error {
	a.mu.Lock()
	c := a.conns[connection]
	a.mu.Unlock()
	switch {
	case c == nil:
		return errors.New("no such connection")
	case c.account.oauth == nil:
		return errNoOAuth
	}
	if err := c.account.oauth.Exchange(ctx, code); err != nil {
		return err
	}
	c.account.client.ProbeNow()
	c.account.keeper.Doubtful()
	a.log.Info("consent taken", "connection", connection)
	return nil
}

// Callback implements intake.OAuth: the browser came back from amoCRM.
func (a *App) Callback(ctx context.Context, connection string, q url.Values) (status int, message string) {
	if !a.states.knows(q.Get("state"), connection) {
		return http.StatusNotFound, ""
	}
	a.mu.Lock()
	c := a.conns[connection]
	a.mu.Unlock()
	if c == nil || c.account.oauth == nil {
		return http.StatusNotFound, ""
	}
	if q.Get("error") == "access_denied" { // RFC 6749 §4.1.2.1
		a.states.deny(q.Get("state"))
		a.log.Warn("consent refused", "connection", connection)
		return http.StatusBadRequest, "The consent was refused in amoCRM. Nothing was changed; run `bridge auth` to try again."
	}
	if !token.SameAccount(q.Get("referer"), c.cfg.AmoCRM.Account) {
		return http.StatusForbidden, "The consent is for another account than the one in the config. Nothing was changed."
	}
	if q.Get("error") != "" || q.Get("code") == "" {
		return http.StatusBadRequest, "amoCRM sent no code along. Nothing was changed; open the page that `bridge auth` printed once more."
	}
	if !a.states.take(q.Get("state"), connection) { // of two redirects at once, one
		return http.StatusNotFound, ""
	}
	if err := a.Exchange(ctx, connection, q.Get("code")); err != nil {
		a.log.Error("consent not taken", "connection", connection, "error", err)
		return http.StatusBadGateway, "amoCRM did not take the code. It is good for twenty minutes and one use; run `bridge auth` to try again."
	}
	return http.StatusOK, "Done. The bridge has access to " + c.cfg.AmoCRM.Host + "; you may close this page."
}
