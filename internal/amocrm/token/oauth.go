package token

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/budget"
	"github.com/jivo-amocrm/bridge/internal/amocrm/lenient"
)

const (
	// refreshAhead is how long before its end an access token is replaced, or a
	// quarter of its life if that is less.
	refreshAhead = 5 * time.Minute
	// earlyRetry is how long after a failed early refresh the next is tried.
	earlyRetry = 30 * time.Second
	// refreshLife is how long a refresh token lives unused (amocrm-api.md §2.2:
	// three months).
	refreshLife = 89 * 24 * time.Hour
	// keepAliveEvery is how often an idle client looks whether its access token
	// (a day long) must be replaced: far more often than a refresh token dies.
	keepAliveEvery = time.Hour
)

// OAuthConfig is an integration's registration at amoCRM.
type OAuthConfig struct {
	BaseURL      string // the account, as in Config
	ClientID     string
	ClientSecret string
	RedirectURL  string // exactly as registered: both grants carry it
	UserAgent    string
	Hint         string // what NeedsAuth tells people to do
}

// Pair is one grant. It is a secret; the store keeps it as JSON.
type Pair struct {
	Access      string    `json:"access"`
	Refresh     string    `json:"refresh"`
	ExpiresAt   time.Time `json:"expires_at"`     // of the access token
	RefreshedAt time.Time `json:"refreshed_at"`   // when amoCRM gave this pair
	Host        string    `json:"host,omitempty"` // of an account that has moved since it was configured
}

// due is when the access token should be replaced.
func (p Pair) due() time.Time {
	ahead := refreshAhead
	if life := p.ExpiresAt.Sub(p.RefreshedAt); life > 0 {
		ahead = min(ahead, life/4)
	}
	return p.ExpiresAt.Add(-ahead)
}

// String keeps the pair out of any output.
func (p Pair) String() string { return "<secret>" }

// GoString keeps the pair out of any output.
func (p Pair) GoString() string { return "<secret>" }

// Store keeps the grant of one account.
type Store interface {
	Load(ctx context.Context) (p Pair, found bool, err error)
	// Save returns once the pair is durable.
	Save(ctx context.Context, p Pair) error
}

// OAuth is a Tokens that lives on a rotating refresh token. Each refresh
// invalidates the token it used, so there is one at a time, the stored pair is
// read again before, and the new pair is durable before it is used
// (amocrm-api.md §2.4). It is safe for concurrent use.
type OAuth struct {
	cfg   OAuthConfig
	store Store
	log   *slog.Logger
	http  *http.Client
	via   *budget.Transport

	turn chan struct{} // capacity 1: who holds it may refresh

	mu      sync.Mutex
	pair    Pair
	loaded  bool
	unsaved bool              // pair is newer than the stored one, and must not be used
	dead    *amocrm.NeedsAuth // the grant is dead
	again   time.Time         // no early refresh before: the last one failed
	granted func()            // told of a new grant by Exchange
}

// NewOAuth returns tokens of one account. transport may be nil; a Client made
// with them puts its own, budgeted one in its place.
func NewOAuth(cfg OAuthConfig, store Store, transport http.RoundTripper, log *slog.Logger) *OAuth {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	o := &OAuth{cfg: cfg, store: store, log: log, turn: make(chan struct{}, 1)}
	o.use(budget.New(budget.Config{BaseURL: cfg.BaseURL, RPS: 1, Timeout: timeout, Next: transport}))
	return o
}

const timeout = 30 * time.Second

func (o *OAuth) use(t *budget.Transport) {
	o.via = t
	o.http = &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Bind puts the client's budget under every request of o, and has granted told
// of a new grant. It is called when the client is made, before anything else.
func (o *OAuth) Bind(t *budget.Transport, granted func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.use(t)
	o.granted = granted
}

// Token implements Tokens.
func (o *OAuth) Token(ctx context.Context) (string, error) {
	if t, ok := o.fresh(time.Now()); ok {
		return t, nil
	}
	return o.renew(ctx, "")
}

// Refused implements Tokens. Of many callers with one refused token, one
// refreshes.
func (o *OAuth) Refused(ctx context.Context, token string) error {
	_, err := o.renew(ctx, token)
	return err
}

// fresh returns the access token if it may be used and lasts long enough.
func (o *OAuth) fresh(now time.Time) (string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	usable := o.loaded && o.dead == nil && !o.unsaved && o.pair.Access != ""
	due := now.After(o.pair.due()) && now.After(o.again)
	return o.pair.Access, usable && !due && now.Before(o.pair.ExpiresAt)
}

// renew returns an access token that is not the refused one, refreshing if it
// must. Once begun, a refresh outlives its caller: a pair whose answer nobody
// reads is lost for good.
func (o *OAuth) renew(ctx context.Context, refused string) (string, error) {
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		return "", notSent(amocrm.Closing, ctx.Err())
	}
	defer func() { <-o.turn }()
	if err := o.load(ctx); err != nil {
		return "", err
	}
	ctx = context.WithoutCancel(ctx)
	if err := o.save(ctx); err != nil {
		return "", err
	}
	p, dead := o.current()
	if dead != nil {
		return "", dead
	}
	if p.Access != "" && p.Access != refused && time.Now().Before(p.due()) {
		return p.Access, nil
	}
	err := o.refresh(ctx, p)
	if err == nil {
		p, _ = o.current()
		return p.Access, nil
	}
	if _, ok := errors.AsType[*amocrm.NeedsAuth](err); !ok && refused == "" && time.Now().Before(p.ExpiresAt) {
		o.mu.Lock()
		o.again = time.Now().Add(earlyRetry)
		o.mu.Unlock()
		return p.Access, nil // it could not be replaced ahead of time; it is good still
	}
	return "", err
}

func (o *OAuth) current() (Pair, *amocrm.NeedsAuth) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pair, o.dead
}

// load reads the stored pair: somebody else, `bridge auth` say, may have put a
// new one there.
func (o *OAuth) load(ctx context.Context) error {
	o.mu.Lock()
	unsaved := o.unsaved
	o.mu.Unlock()
	if unsaved {
		return nil
	}
	p, found, err := o.store.Load(ctx)
	if err != nil {
		return notSent(amocrm.Unrecorded, fmt.Errorf("load token: %w", err))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !found || p.Refresh == "" {
		o.loaded, o.dead = true, &amocrm.NeedsAuth{Hint: o.cfg.Hint, Err: errors.New("nobody has consented yet")}
		return nil
	}
	if p.Refresh != o.pair.Refresh {
		o.dead = nil
	}
	o.pair, o.loaded = p, true
	if p.Host != "" && p.Host != o.via.Base().Host && Platform(p.Host) != "" {
		o.via.Move(p.Host)
	}
	return nil
}

// save stores a pair that could not be stored before.
func (o *OAuth) save(ctx context.Context) error {
	o.mu.Lock()
	p, unsaved := o.pair, o.unsaved
	o.mu.Unlock()
	if !unsaved {
		return nil
	}
	if err := o.store.Save(ctx, p); err != nil {
		return notSent(amocrm.Unrecorded, fmt.Errorf("store token: %w", err))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unsaved = false
	return nil
}

// keep takes a new pair over and makes it durable.
func (o *OAuth) keep(ctx context.Context, p Pair) error {
	o.mu.Lock()
	o.pair, o.loaded, o.unsaved, o.dead = p, true, true, nil
	o.mu.Unlock()
	return o.save(ctx)
}

// refresh trades the refresh token for a new pair. An account that does not
// answer to its name any more is looked for once (amocrm-api.md §2.3).
func (o *OAuth) refresh(ctx context.Context, p Pair) error {
	grant := map[string]string{"grant_type": "refresh_token", "refresh_token": p.Refresh}
	next, err := o.trade(ctx, o.via.Base().Host, grant)
	if said, ok := errors.AsType[*tokenRefused](err); ok && (said.status == http.StatusUnauthorized || said.status == http.StatusNotFound) {
		if host := o.moved(ctx, p); host != "" && host != o.via.Base().Host {
			if next, err = o.trade(ctx, host, grant); err == nil {
				o.log.Warn("account has moved", "host", host)
				o.via.Move(host)
				next.Host = host
			}
		}
	}
	if said, ok := errors.AsType[*tokenRefused](err); ok {
		dead := &amocrm.NeedsAuth{Hint: o.cfg.Hint, Err: said}
		o.mu.Lock()
		o.dead = dead
		o.mu.Unlock()
		return dead
	}
	if err != nil {
		return err
	}
	next.Host = cmp.Or(next.Host, p.Host)
	return o.keep(ctx, next)
}

// Exchange trades an authorization code (20 minutes, single use) for the first
// pair and stores it. Its error is a *NeedsAuth if amoCRM refuses the code.
func (o *OAuth) Exchange(ctx context.Context, code string) error {
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		return notSent(amocrm.Closing, ctx.Err())
	}
	defer func() { <-o.turn }()
	ctx = context.WithoutCancel(ctx)
	p, err := o.trade(ctx, o.via.Base().Host, map[string]string{"grant_type": "authorization_code", "code": code})
	if said, ok := errors.AsType[*tokenRefused](err); ok {
		return &amocrm.NeedsAuth{Hint: o.cfg.Hint, Err: said}
	}
	if err != nil {
		return err
	}
	if err := o.keep(ctx, p); err != nil {
		return err
	}
	o.mu.Lock()
	granted := o.granted
	o.mu.Unlock()
	if granted != nil {
		granted()
	}
	return nil
}

// ConsentURL is the page on which a person lets the integration in.
func (o *OAuth) ConsentURL(state string) string {
	host := o.via.Base().Host
	u := *o.via.Base()
	if p := Platform(host); p != "" {
		u = url.URL{Scheme: "https", Host: "www." + p}
	}
	u.Path = "/oauth"
	u.RawQuery = url.Values{"client_id": {o.cfg.ClientID}, "state": {state}, "mode": {"popup"}}.Encode()
	return u.String()
}

// Info returns how the grant stands, as far as memory knows.
func (o *OAuth) Info() Info {
	o.mu.Lock()
	defer o.mu.Unlock()
	info := Info{Kind: "oauth", State: "ok"}
	if !o.pair.RefreshedAt.IsZero() {
		info.ExpiresAt = o.pair.RefreshedAt.Add(refreshLife)
		info.State = expiryState(info.ExpiresAt, time.Now())
	}
	if o.dead != nil {
		info.State = string(amocrm.AuthNeeded)
	}
	return info
}

// KeepAlive replaces the access token whenever it nears its end, also while
// nobody asks for one, so that the refresh token never comes of age.
// failed is told of each time it cannot.
func (o *OAuth) KeepAlive(ctx context.Context, failed func(error)) {
	for {
		if _, err := o.Token(ctx); err != nil && ctx.Err() == nil {
			failed(err)
			o.log.Debug("token could not be refreshed", "trouble", string(amocrm.TroubleOf(err)))
		}
		if budget.Sleep(ctx, keepAliveEvery, nil) != nil {
			return
		}
	}
}

// SameAccount reports whether referer, which an OAuth redirect carries, names the
// account of base: anybody may send one (amocrm-api.md §2.1).
func SameAccount(referer, base string) bool {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return false
	}
	if strings.Contains(referer, "://") {
		r, err := url.Parse(referer)
		if err != nil {
			return false
		}
		referer = r.Host
	}
	return strings.EqualFold(strings.TrimRight(referer, "/"), u.Host)
}

// tokenRefused is amoCRM's final no to a grant.
type tokenRefused struct {
	status int
	words  string
}

func (e *tokenRefused) Error() string {
	return fmt.Sprintf("grant refused (%d): %s", e.status, e.words)
}

// trade makes one request to the token endpoint.
func (o *OAuth) trade(ctx context.Context, host string, grant map[string]string) (Pair, error) {
	grant["client_id"], grant["client_secret"], grant["redirect_uri"] = o.cfg.ClientID, o.cfg.ClientSecret, o.cfg.RedirectURL
	body, err := json.Marshal(grant)
	if err != nil {
		return Pair{}, err
	}
	u := *o.via.Base()
	u.Host, u.Path = host, "/oauth2/access_token"
	began := time.Now()
	raw, err := o.do(budget.Elsewhere(ctx, host), http.MethodPost, u.String(), body, "")
	if err != nil {
		return Pair{}, err
	}
	var got struct {
		Access    string         `json:"access_token"`
		Refresh   string         `json:"refresh_token"`
		ExpiresIn lenient.Number `json:"expires_in"`
	}
	if err := json.Unmarshal(raw, &got); err != nil || got.Access == "" || got.Refresh == "" {
		return Pair{}, notSent(amocrm.BadAnswer, errors.New("token endpoint gave no pair"))
	}
	life := time.Duration(cmp.Or(int64(got.ExpiresIn), 86400)) * time.Second
	return Pair{Access: got.Access, Refresh: got.Refresh, ExpiresAt: began.Add(life), RefreshedAt: began}, nil
}

// moved asks where the account is now; "" if that cannot be known. Only a host
// of amoCRM's own is asked, and only an account host is believed.
func (o *OAuth) moved(ctx context.Context, p Pair) string {
	domain := strings.ToLower(string(readClaims(p.Access).APIDomain))
	if Platform(domain) == "" {
		return ""
	}
	ctx = budget.Elsewhere(ctx, domain)
	raw, err := o.do(ctx, http.MethodGet, "https://"+domain+"/oauth2/account/current/subdomain", nil, p.Refresh)
	if err != nil {
		return ""
	}
	var at struct {
		Domain string `json:"domain"`
	}
	if json.Unmarshal(raw, &at) != nil || Platform(at.Domain) == "" {
		return ""
	}
	return strings.ToLower(at.Domain)
}

// do makes a request past the client's queue but within its budget, and sorts
// what can go wrong: *tokenRefused for good, *NotSent for the time being.
func (o *OAuth) do(ctx context.Context, method, address string, body []byte, refresh string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, notSent(amocrm.Unreachable, budget.Plain(err))
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", cmp.Or(o.cfg.UserAgent, "jivo-amocrm-bridge"))
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if refresh != "" {
		req.Header.Set("X-Refresh-Token", refresh)
	}
	raw, err := amocrm.Answered(o.http.Do(req))
	if no, ok := errors.AsType[*amocrm.Refused](err); ok {
		return nil, &tokenRefused{status: no.Status, words: no.Detail}
	}
	return raw, err
}

func notSent(t amocrm.Trouble, err error) error {
	return &amocrm.NotSent{Trouble: t, Reason: t, Err: err}
}
