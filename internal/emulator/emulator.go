// Package emulator is an amoCRM account in memory: its REST API with its
// validation, limits and error bodies, its OAuth endpoints, its web hooks, a
// manager's hand that works in it, faults to inject and a referee who writes
// down what a client did wrong. Its hooks go out through post; the visitors who
// chat on a site are played by site.
//
// It is written from the project's fact sheet (amocrm-api.md) alone and shares
// no code with the product, so that a misreading on one side shows up as a
// failure instead of agreeing with itself. Where the facts are unverified the
// stricter reading was taken.
//
// All time comes from package time and Options.Now, so an Account works inside
// a testing/synctest bubble.
package emulator

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"github.com/jivo-amocrm/bridge/internal/emulator/post"
)

// Options describe an account. The zero value is a usable one.
type Options struct {
	Subdomain string // default "demo"
	AccountID int64  // default 31000001
	Country   string // default "RU"
	Timezone  string // default "Europe/Moscow"; hooks carry local times (amocrm-api.md §6.5)
	Domain    string // host told by /oauth2/account/current/subdomain; default {subdomain}.amocrm.ru

	Token        string // a long-lived token this account accepts; "" = none
	ClientID     string // OAuth credentials; defaults are given where empty
	ClientSecret string
	RedirectURI  string
	NotAdmin     bool // the token's user is no admin: /users and all set-up writes are 403
	CheckHost    bool // refuse requests whose Host is not Domain (amocrm-api.md §8.1)

	RPS      int           // requests in any sliding second; default 7, negative: no limit
	BanAfter int           // so many 429 within a minute bring the 403 ban; 0: never
	Latency  time.Duration // half of it before the request takes effect, half after
	IndexLag time.Duration // how long `query` lags behind writes (amocrm-api.md §7.3)

	FilterEnabled    bool // the paid filter option; without it filters of leads, contacts and companies are ignored
	NoMarker         bool // leave out the "Jivo ID" fields
	DanglingNext     bool // full last pages link to a next one that is empty (amocrm-api.md §1)
	DuplicateControl bool // leads/complex merges with what it finds (amocrm-api.md §4.2)
	LinkTwiceFails   bool // linking a linked pair answers 500 (amocrm-api.md §4.5)

	Users     []User     // default: see DefaultUsers
	Pipelines []Pipeline // default: see DefaultPipelines

	HookClient    *http.Client // default: a client of its own; redirects are never followed
	HookLoss      float64      // probability that a hook is never sent
	HookDuplicate float64      // … is sent twice
	HookShuffle   float64      // … is overtaken by later ones
	HookZeroUser  float64      // … says modified_user_id=0 (amocrm-api.md §7.1)
	HookGroup     bool         // equal hooks of one request share one POST
	DPRetries     bool         // digital-pipeline hooks are retried, as on Kommo; default: sent once

	Seed uint64           // of every random choice
	Now  func() time.Time // default time.Now
}

// Account is an emulated amoCRM account. It is an http.Handler for one account
// host and safe for concurrent use. Close it to stop its goroutines.
type Account struct {
	opt    Options
	loc    *time.Location
	router *mux.Router

	mu      sync.Mutex // guards everything below
	st      *state
	rnd     *rand.Rand
	gate    gate
	faults  []*Injected
	referee referee
	outbox  []hookItem

	courier *post.Courier
	quit    chan struct{}
	once    sync.Once
}

// New makes an account with the default dictionary and no leads.
func New(o Options) *Account {
	o = o.withDefaults()
	a := &Account{
		opt:  o,
		loc:  location(o.Timezone),
		st:   newState(o),
		rnd:  rand.New(rand.NewPCG(o.Seed, 0x6a69766f)),
		quit: make(chan struct{}),
	}
	a.referee = newReferee()
	a.router = a.routes()
	a.courier = post.New(o.HookClient, a.hookDone)
	return a
}

// Close stops hook deliveries and waits for them; what was queued is lost.
// Requests that are being held by a fault end. It may be called twice.
func (a *Account) Close() {
	a.once.Do(func() { close(a.quit) })
	a.courier.Close()
}

// maxBody bounds what a client may send in one request.
const maxBody = 32 << 20

// ServeHTTP answers one API request: gate (rate, ban), fault, authorisation,
// route, in that order, as a far end behind a gateway does.
func (a *Account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	refusal, refused := a.arrive(r)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	a.sleep(context.Background(), a.opt.Latency/2)
	ans, fault := refusal, Fault{}
	if !refused {
		ans, fault = a.process(r, body)
	}
	// The write stands, whether or not its sender still waits for the answer.
	a.sleep(r.Context(), a.opt.Latency-a.opt.Latency/2)
	a.reply(w, r, ans, fault)
}

// arrive lets the referee see the request and asks the gate whether it may pass.
func (a *Account) arrive(r *http.Request) (answer, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.opt.Now()
	a.referee.arrived(r, now)
	return a.admit(now)
}

// process carries out one admitted request.
func (a *Account) process(r *http.Request, body []byte) (answer, Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fault, hit := a.pickFault(r)
	if hit && fault.before() {
		return a.faulty(fault), fault
	}
	x := &exchange{a: a, body: body, header: http.Header{}}
	a.router.ServeHTTP(x, r)
	a.referee.answered(x.out)
	a.postHooks()
	if hit {
		return a.spoiled(fault, x.out), fault
	}
	return x.out, fault
}

// sleep waits on the account's clock; it ends early with ctx or Close.
func (a *Account) sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-a.quit:
	}
}

// exchange carries one request through the router and collects its answer. It
// is the router's ResponseWriter; handlers return answers instead of writing.
type exchange struct {
	a      *Account
	body   []byte
	out    answer
	header http.Header
}

func (x *exchange) Header() http.Header         { return x.header }
func (x *exchange) WriteHeader(status int)      { x.out.status = status }
func (x *exchange) Write(b []byte) (int, error) { return len(b), nil }

// call is what a handler is given. The account's lock is held.
type call struct {
	a    *Account
	r    *http.Request
	body []byte
	vars map[string]string
	q    url.Values
	user int64 // whose rights the call has
	now  int64
	base string // scheme and host, for _links
}

// open wraps a handler that needs no bearer token.
func (a *Account) open(fn func(*call) answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := w.(*exchange) // the router is only ever given an exchange
		scheme := "https://"
		if r.TLS == nil && !strings.HasSuffix(r.Host, ".ru") && !strings.HasSuffix(r.Host, ".com") {
			scheme = "http://"
		}
		x.out = fn(&call{
			a: a, r: r, body: x.body, vars: mux.Vars(r), q: r.URL.Query(),
			user: a.st.TokenUser, now: a.opt.Now().Unix(), base: scheme + r.Host,
		})
	})
}

// guarded wraps a handler that needs a valid bearer token and a paid account.
func (a *Account) guarded(fn func(*call) answer) http.Handler {
	return a.open(func(c *call) answer {
		if refusal, refused := c.authorize(); refused {
			return refusal
		}
		if a.st.Unpaid > 1 || a.st.Unpaid == 1 && c.r.Method != http.MethodGet {
			return problem(http.StatusPaymentRequired, "Аккаунт не оплачен")
		}
		if c.writes() {
			a.referee.checkWrite(c.r)
		}
		return fn(c)
	})
}

// admin wraps a handler that needs an admin's token.
func (a *Account) admin(fn func(*call) answer) http.Handler {
	return a.guarded(func(c *call) answer {
		if a.opt.NotAdmin {
			return problem(http.StatusForbidden, "Недостаточно прав для выполнения запроса")
		}
		return fn(c)
	})
}

func (c *call) writes() bool {
	return c.r.Method != http.MethodGet && len(bytes.TrimSpace(c.body)) > 0
}

// violate tells the referee of a protocol violation of this call.
func (c *call) violate(format string, args ...any) {
	c.a.referee.violate(c.r.Method+" "+c.r.URL.Path, format, args...)
}
