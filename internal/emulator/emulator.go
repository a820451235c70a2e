// Package emulator is an amoCRM account in memory: its REST API with its
// validation, limits and error bodies, its OAuth endpoints, its web hooks, a
// manager's hand that works in it, faults to inject and a referee who writes
// down what a client did wrong. The visitors who chat on a site are played by site.
//
// A request passes gate, has its token looked at by oauth and is read by rest;
// check says what is wrong with it, clerk carries it out in the book and has
// hook told, which post delivers. An Account puts these together and holds the
// one lock all of them but post rely on: none locks by itself, and nothing but
// copies leaves an Account.
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
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
	"github.com/jivo-amocrm/bridge/internal/emulator/clerk"
	"github.com/jivo-amocrm/bridge/internal/emulator/gate"
	"github.com/jivo-amocrm/bridge/internal/emulator/hook"
	"github.com/jivo-amocrm/bridge/internal/emulator/luck"
	"github.com/jivo-amocrm/bridge/internal/emulator/oauth"
	"github.com/jivo-amocrm/bridge/internal/emulator/post"
	"github.com/jivo-amocrm/bridge/internal/emulator/rest"
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
	opt Options

	mu      sync.Mutex // guards what follows, and what can be reached through it
	book    *book.Book
	luck    *luck.Luck
	referee *gate.Referee
	gate    *gate.Gate
	faults  *gate.Faults
	out     *hook.Outbox
	clerk   *clerk.Clerk
	issuer  *oauth.Issuer
	api     *rest.API

	courier *post.Courier
	quit    chan struct{}
	once    sync.Once
}

// New makes an account with the default dictionary and no leads.
func New(o Options) *Account {
	o = o.withDefaults()
	a := &Account{opt: o, book: o.book(), luck: luck.New(o.Seed), referee: gate.NewReferee(), quit: make(chan struct{})}
	a.courier = post.New(o.HookClient, a.hookDone)
	a.gate = gate.NewGate(o.RPS, o.BanAfter, a.referee)
	a.faults = gate.NewFaults(&a.mu, a.luck)
	a.out = hook.New(a.book, a.luck, a.courier, o.Now, hook.Options{
		Loss: o.HookLoss, Duplicate: o.HookDuplicate, Shuffle: o.HookShuffle, ZeroUser: o.HookZeroUser, Group: o.HookGroup, DPRetries: o.DPRetries,
	})
	a.clerk = clerk.New(a.book, a.out, a.luck, o.Now, clerk.Options{IndexLag: o.IndexLag, DuplicateControl: o.DuplicateControl})
	a.issuer = oauth.New(a.book, a.referee, a.luck, o.Now, oauth.App{
		ClientID: o.ClientID, ClientSecret: o.ClientSecret, RedirectURI: o.RedirectURI, CheckHost: o.CheckHost,
	})
	a.api = rest.New(a.book, a.clerk, a.issuer, a.referee, o.Now, rest.Options{
		NotAdmin: o.NotAdmin, FilterEnabled: o.FilterEnabled, DanglingNext: o.DanglingNext, LinkTwiceFails: o.LinkTwiceFails,
	})
	return a
}

// hookDone is the courier's word on one attempt.
func (a *Account) hookDone(h *post.Hook, valid bool) (retry bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.out.Attempted(h, valid)
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
func (a *Account) arrive(r *http.Request) (answer.Answer, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.opt.Now()
	a.referee.Arrived(r, now)
	return a.gate.Admit(now)
}

// process carries out one admitted request.
func (a *Account) process(r *http.Request, body []byte) (answer.Answer, Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fault, hit := a.faults.Pick(r)
	if hit && fault.Before() {
		return fault.Refusal(), fault
	}
	out := a.api.Answer(r, body)
	a.referee.Answered(out.Status)
	a.out.Post()
	if hit {
		return fault.Spoiled(out), fault
	}
	return out, fault
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
