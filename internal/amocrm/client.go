package amocrm

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/jivo-amocrm/bridge/internal/amocrm/budget"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// Config is what a Client must know of its account. Zero values take the
// defaults of product.md §2.
type Config struct {
	BaseURL   string        // https://example.amocrm.ru: the only host that is ever contacted
	RPS       float64       // requests in any sliding second; default 7
	Batch     int           // items in one request; default 50
	Timeout   time.Duration // one exchange, from its first byte to its last; default 15s
	Probe     time.Duration // how often a paused account is tried; default 1m
	UserAgent string        // default "jivo-amocrm-bridge"
	// Linger has Close wait, about a second, until what was sent counts no more: whoever
	// asks the account next knows nothing of it.
	Linger bool

	// Recent are the times at which an earlier client of this account, perhaps
	// of a process that was killed, sent its last requests: they count as this
	// one's own. OnSend is told of each request, retries included, before it
	// leaves, and must not block. It may be nil.
	Recent []time.Time
	OnSend func(time.Time)

	// OnPause is told each time this client pauses its account by its own
	// finding (not through PauseWith). It must not block nor call the client's
	// reads or writes.
	OnPause func(Status)
}

// Tokens gives access tokens. It must be safe for concurrent use.
type Tokens interface {
	// Token returns a token that is good as far as is known. Its error is a
	// *NeedsAuth or a *NotSent; anything else counts as Unauthorized.
	Token(ctx context.Context) (string, error)
	// Refused says amoCRM answered 401 to the token. nil: another one may be
	// had by Token.
	Refused(ctx context.Context, token string) error
}

// Ledger records what is about to be sent, durably, before it leaves.
type Ledger interface {
	// Sent is called once per write request, after its place in the budget is
	// had and before its first byte leaves. With an error nothing is sent.
	Sent(ctx context.Context, keys []string) error
}

// Observer takes the client's metrics, but for how the account stands: State says
// that. Endpoint and code are of closed sets.
type Observer interface {
	Request(method, endpoint, code string, d time.Duration) // code: the status, or a Trouble if none came
	Batch(endpoint string, items int)
	LimiterWait(d time.Duration)
}

// Write is one item for a bulk endpoint.
type Write struct {
	Endpoint Endpoint
	Entity   string          // of notes: leads, contacts or companies
	EntityID int64           // fills the item's id (PATCH) or entity_id (links, new notes) if it has none
	Item     json.RawMessage // one JSON object; the client adds request_id
	Keys     []string        // ledger keys this item settles
	// Exclusive keys (a phone, an e-mail): two items that share one never
	// are on their way together, and go in the order they came. The same holds
	// for two PATCHes of one entity.
	Exclusive []string
	Priority  Priority
}

// Result is what amoCRM says of an item that landed.
type Result struct {
	ID        int64 // of the entity made or changed; of a link: the entity linked from
	ContactID int64 // ComplexLeads: the contact; of a link to a contact: that contact
	CompanyID int64
	Merged    bool  // ComplexLeads: duplicate control put it into an existing lead
	UpdatedAt int64 // unix seconds, the server's clock; 0 if not told
	SentAt    time.Time
}

// Client is one amoCRM account. It is safe for concurrent use by hundreds of
// callers; the more of them wait at once, the fewer requests it takes.
type Client struct {
	cfg    Config
	tokens Tokens
	ledger Ledger
	obs    Observer
	log    *slog.Logger
	rest   atomic.Int64 // the end of the rest that was last said, unix nanoseconds; 0: it is over

	budget *budget.Transport
	http   *retryablehttp.Client
	queue  *queue
	gate   *gate

	ids     atomic.Uint64
	filters atomic.Bool  // is_api_filter_enabled, as last told
	skew    atomic.Int64 // server's clock minus ours, nanoseconds

	life context.Context // ends with Close; requests live on it, not on their callers'
	end  context.CancelFunc
	wg   sync.WaitGroup
}

// New returns a client of one account. ledger, obs, log and transport may be
// nil; with a nil transport a plain HTTP/1.1 one is made. Run must be running
// for a pause to end by itself.
func New(cfg Config, tokens Tokens, ledger Ledger, obs Observer, log *slog.Logger, transport http.RoundTripper) *Client {
	cfg.RPS = cmp.Or(cfg.RPS, 7)
	cfg.Batch = min(max(cmp.Or(cfg.Batch, 50), 1), maxItems)
	cfg.Timeout = cmp.Or(cfg.Timeout, 15*time.Second)
	cfg.Probe = cmp.Or(cfg.Probe, time.Minute)
	cfg.UserAgent = cmp.Or(cfg.UserAgent, "jivo-amocrm-bridge")
	if ledger == nil {
		ledger = noLedger{}
	}
	if obs == nil {
		obs = noObserver{}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Client{
		cfg: cfg, tokens: tokens, ledger: ledger, obs: obs, log: log,
		gate: newGate(),
	}
	c.queue = newQueue(cfg.Batch, func() { c.wg.Go(c.dispatch) })
	c.life, c.end = context.WithCancel(context.Background())
	c.budget = budget.New(budget.Config{
		BaseURL: cfg.BaseURL, RPS: cfg.RPS, Timeout: cfg.Timeout, Recent: cfg.Recent, OnSend: cfg.OnSend,
		Observer: requests{obs}, Next: transport,
	})
	c.http = c.budget.Retrying()
	if b, ok := tokens.(binder); ok {
		b.Bind(c.budget, c.ProbeNow)
	}
	return c
}

// binder is a Tokens that makes requests of its own: they must pass the
// client's budget, and it may learn that the account moved. It calls granted
// when somebody consented anew.
type binder interface {
	Bind(t *budget.Transport, granted func())
}

// keeper is a Tokens that must be looked after while nobody asks for one. It
// tells of each time it came to grief.
type keeper interface {
	KeepAlive(ctx context.Context, failed func(error))
}

// requests tells an Observer of requests, by their status or their Trouble.
type requests struct{ Observer }

func (r requests) Request(method, endpoint string, status int, d time.Duration) {
	code := string(Unreachable)
	if status != 0 {
		code = strconv.Itoa(status)
	}
	r.Observer.Request(method, endpoint, code, d)
}

// Run probes a paused account and keeps the grant alive until ctx ends. It
// must run at most once at a time.
func (c *Client) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	if k, ok := c.tokens.(keeper); ok {
		wg.Go(func() { k.KeepAlive(ctx, c.keepFailed) })
	}
	c.probes(ctx)
}

// Drain ends every waiting call with *NotSent{Closing}, as it does every later
// one, and waits at most d for the answers to writes that have left.
func (c *Client) Drain(d time.Duration) {
	c.queue.close()
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case <-c.queue.quiet:
	case <-late.C:
	}
}

// Close ends every waiting call with *NotSent{Closing}, aborts what is on its
// way (its callers get *InDoubt) and waits for it. It may be called twice.
func (c *Client) Close() {
	c.queue.close()
	c.end()
	c.wg.Wait()
	c.http.HTTPClient.CloseIdleConnections()
	if c.cfg.Linger {
		time.Sleep(c.budget.Counts(time.Now()))
	}
}

// Account is what GET /api/v4/account tells (amocrm-api.md §4.1).
type Account struct {
	ID            int64
	Name          string
	Subdomain     string
	Country       string
	CurrentUserID int64
	Timezone      string
	FilterEnabled bool
}

// ServerTime is our clock corrected by amoCRM's Date headers; it errs to the
// past by up to a second.
func (c *Client) ServerTime() time.Time { return time.Now().Add(time.Duration(c.skew.Load())) }

// Idle reports whether the budget has room for more than one request and
// nothing waits for it: then a search costs nobody anything.
func (c *Client) Idle() bool { return c.queue.empty() && c.budget.Spare() }

type traceKey struct{}

// WithTrace returns a context whose requests are reported to fn, each after it
// ended and before the call it was made for returns, on the caller's goroutine.
func WithTrace(ctx context.Context, fn func(event.Request)) context.Context {
	return context.WithValue(ctx, traceKey{}, fn)
}

func traceOf(ctx context.Context, requests []event.Request) {
	fn, ok := ctx.Value(traceKey{}).(func(event.Request))
	if !ok {
		return
	}
	for _, r := range requests {
		fn(r)
	}
}

type priorityKey struct{}

// WithPriority sets the priority of the reads made with the context; without
// it they are CardReads.
func WithPriority(ctx context.Context, p Priority) context.Context {
	return context.WithValue(ctx, priorityKey{}, p)
}

type sinceKey struct{}

// WithSince has the reads made with the context stand where they would, had they
// been made at that moment: what was begun first comes first to its end. A write
// stands where it comes, so that others gather with it.
func WithSince(ctx context.Context, began time.Time) context.Context {
	return context.WithValue(ctx, sinceKey{}, began)
}

type operatorKey struct{}

// WithOperator has what is read and written with the context go before everything
// else while waits says that an operator waits for it; but every third request is
// others', if any wait. waits is called from other goroutines, as long as the read or
// write waits; it must be quick and not call the client.
func WithOperator(ctx context.Context, waits func() bool) context.Context {
	return context.WithValue(ctx, operatorKey{}, waits)
}

func operatorOf(ctx context.Context) (waits func() bool) {
	waits, _ = ctx.Value(operatorKey{}).(func() bool)
	return waits
}

// read makes the job of a read.
func read(ctx context.Context) *job {
	now := time.Now()
	began, ok := ctx.Value(sinceKey{}).(time.Time)
	if !ok {
		began = now
	}
	p, ok := ctx.Value(priorityKey{}).(Priority)
	if !ok {
		p = CardRead
	}
	return &job{at: now, due: p.due(began)}
}

type noLedger struct{}

func (noLedger) Sent(context.Context, []string) error { return nil }

type noObserver struct{}

func (noObserver) Request(string, string, string, time.Duration) {}
func (noObserver) Batch(string, int)                             {}
func (noObserver) LimiterWait(time.Duration)                     {}
