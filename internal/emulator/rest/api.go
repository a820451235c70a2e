// Package rest is the REST API of an emulated account (amocrm-api.md §4): its
// routes, how a request is read, how lists are filtered, sorted and paged, and
// what entities look like as JSON. What a write may hold is said by check, what
// it does by clerk.
package rest

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
	"github.com/jivo-amocrm/bridge/internal/emulator/clerk"
	"github.com/jivo-amocrm/bridge/internal/emulator/gate"
	"github.com/jivo-amocrm/bridge/internal/emulator/oauth"
)

// Options say what kind of account answers.
type Options struct {
	NotAdmin       bool // the token's user is no admin: /users and all set-up writes are 403
	FilterEnabled  bool // the paid filter option; without it filters of leads, contacts and companies are ignored
	DanglingNext   bool // full last pages link to a next one that is empty (amocrm-api.md §1)
	LinkTwiceFails bool // linking a linked pair answers 500 (amocrm-api.md §4.5)
}

// API answers requests. It is not safe for concurrent use: the account's lock
// guards it.
type API struct {
	book    *book.Book
	clerk   *clerk.Clerk
	issuer  *oauth.Issuer
	referee *gate.Referee
	clock   func() time.Time
	opt     Options
	router  *mux.Router
}

// New returns the API of the account b is of, which lets k carry out what it
// has checked and tells the referee what was wrong.
func New(b *book.Book, k *clerk.Clerk, tokens *oauth.Issuer, watch *gate.Referee, now func() time.Time, opt Options) *API {
	a := &API{book: b, clerk: k, issuer: tokens, referee: watch, clock: now, opt: opt}
	a.router = a.routes()
	return a
}

// Answer carries out one request, whose body has been read.
func (a *API) Answer(r *http.Request, body []byte) answer.Answer {
	x := &exchange{body: body, header: http.Header{}}
	a.router.ServeHTTP(x, r)
	return x.out
}

// exchange carries one request through the router and collects its answer. It
// is the router's ResponseWriter; handlers return answers instead of writing.
type exchange struct {
	body   []byte
	out    answer.Answer
	header http.Header
}

func (x *exchange) Header() http.Header         { return x.header }
func (x *exchange) WriteHeader(status int)      { x.out.Status = status }
func (x *exchange) Write(b []byte) (int, error) { return len(b), nil }

// call is what a handler is given.
type call struct {
	*API
	r    *http.Request
	body []byte
	vars map[string]string
	q    url.Values
	user int64 // whose rights the call has
	now  int64
	base string // scheme and host, for _links
}

// open wraps a handler that needs no bearer token.
func (a *API) open(fn func(*call) answer.Answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := w.(*exchange) // the router is only ever given an exchange
		scheme := "https://"
		if r.TLS == nil && !strings.HasSuffix(r.Host, ".ru") && !strings.HasSuffix(r.Host, ".com") {
			scheme = "http://"
		}
		x.out = fn(&call{
			API: a, r: r, body: x.body, vars: mux.Vars(r), q: r.URL.Query(),
			user: a.book.TokenUser, now: a.clock().Unix(), base: scheme + r.Host,
		})
	})
}

// guarded wraps a handler that needs a valid bearer token and a paid account.
func (a *API) guarded(fn func(*call) answer.Answer) http.Handler {
	return a.open(func(c *call) answer.Answer {
		user, refusal, refused := a.issuer.Authorize(c.r, c.now)
		if refused {
			return refusal
		}
		c.user = user
		if a.book.Unpaid > 1 || a.book.Unpaid == 1 && c.r.Method != http.MethodGet {
			return answer.Problem(http.StatusPaymentRequired, "Аккаунт не оплачен")
		}
		if c.writes() {
			a.referee.CheckWrite(c.r)
		}
		return fn(c)
	})
}

// admin wraps a handler that needs an admin's token.
func (a *API) admin(fn func(*call) answer.Answer) http.Handler {
	return a.guarded(func(c *call) answer.Answer {
		if a.opt.NotAdmin {
			return answer.Problem(http.StatusForbidden, "Недостаточно прав для выполнения запроса")
		}
		return fn(c)
	})
}

func (c *call) token() answer.Answer { return c.issuer.Token(c.r, c.body, c.now) }

func (c *call) subdomain() answer.Answer { return c.issuer.Subdomain(c.r, c.now) }

func (c *call) writes() bool {
	return c.r.Method != http.MethodGet && len(bytes.TrimSpace(c.body)) > 0
}

// violate tells the referee of a protocol violation of this call.
func (c *call) violate(format string, args ...any) {
	c.referee.Violate(c.r.Method+" "+c.r.URL.Path, format, args...)
}
