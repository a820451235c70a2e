package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Backend is what the console shows and does; app implements it. Its methods
// are called by many requests at once. They return ErrNotFound for a thing that
// does not exist and *Conflict for one that cannot be done to it now; any other
// error is answered 500 without its text.
type Backend interface {
	Connections(ctx context.Context) ([]Connection, error)
	// Events lists newest first, at most f.Limit of them.
	Events(ctx context.Context, f Filter) (Page, error)
	Event(ctx context.Context, seq uint64) (*Detail, error)
	// Search finds events by phone, e-mail, name, chat id or lead id.
	Search(ctx context.Context, q string) (Page, error)
	// Replay puts a settled event to work again. again: settled creates, notes,
	// tasks and calls may be repeated (product.md › Replay).
	Replay(ctx context.Context, seq uint64, again bool) error
	// Discard makes a dead event skipped.
	Discard(ctx context.Context, seq uint64) error
	// ReplayAll replays every event that matches and says how many.
	ReplayAll(ctx context.Context, f ReplayFilter) (int, error)
	Client(ctx context.Context, connection, id string) (*Client, error)
	// Forget removes a person: links, card, bodies; pending → dead forgotten.
	Forget(ctx context.Context, connection, id string) error
	// Ready lists what keeps the bridge from being ready; none = ready. Its
	// texts are shown without a login.
	Ready(ctx context.Context) []Problem
	// Refusal says what is wrong with the config as it was last read, while an
	// older one is in force; "" when it was taken over.
	Refusal() string
	// Backup writes a consistent copy of the store.
	Backup(ctx context.Context, w io.Writer) (int64, error)
}

// ErrNotFound says that there is no such event, client or connection.
var ErrNotFound = errors.New("not found")

// Conflict says why something cannot be done to an event as it stands. Why is
// shown to the person who asked.
type Conflict struct{ Why string }

func (c *Conflict) Error() string { return c.Why }

// States of a connection, its token and its hooks, as the API spells them.
const (
	ConnectionOK        = "ok"
	ConnectionPaused    = "paused"
	ConnectionNeedsAuth = "needs_auth"
	ConnectionRemoved   = "removed"

	TokenLongLived = "long_lived"
	TokenOAuth     = "oauth"

	TokenOK        = "ok"
	TokenExpiring  = "expiring"
	TokenExpired   = "expired"
	TokenNeedsAuth = "needs_auth"
)

// Connection is one row of GET /api/v1/connections.
type Connection struct {
	Name                 string     `json:"name"`
	Account              string     `json:"account"` // https://example.amocrm.ru
	State                string     `json:"state"`
	Token                Token      `json:"token"`
	Pending              int        `json:"pending"`
	Parked               int        `json:"parked"`
	Dead                 int        `json:"dead"`
	OldestPendingSeconds float64    `json:"oldest_pending_seconds"`
	PausedUntil          *time.Time `json:"paused_until"` // the next try
	PauseReason          string     `json:"pause_reason"`
	Hooks                Hooks      `json:"hooks"`
	UnmatchedAgents      []string   `json:"unmatched_agents"` // Jivo agents without an amoCRM user
	// AgentsToAdd is the line for the config that would match them, "" if all are.
	AgentsToAdd string `json:"agents_to_add,omitempty"`
}

// Token is the state of a connection's way into amoCRM.
type Token struct {
	Kind      string     `json:"kind"`
	State     string     `json:"state"`
	ExpiresAt *time.Time `json:"expires_at"`
}

// Hooks is the state of a connection's hook subscription, in a word: ok,
// missing, disabled, off (no webhook_secret), unknown.
type Hooks struct {
	State string `json:"state"`
}

// Item is one event of a list.
type Item struct {
	Seq        uint64       `json:"seq"`
	Connection string       `json:"connection"`
	Source     event.Source `json:"source"`
	Kind       string       `json:"kind"`
	State      event.State  `json:"state"`
	Client     string       `json:"client"`
	ReceivedAt time.Time    `json:"received_at"`
	SettledAt  *time.Time   `json:"settled_at"`
	NextAt     *time.Time   `json:"next_at"`
	Attempts   int          `json:"attempts"`
	Reason     event.Reason `json:"reason"`
	Warnings   []string     `json:"warnings"`
	Detail     string       `json:"detail"` // the reason in words; beyond product.md §4
}

// Page is one page of events. Next is the `before` of the next page, 0 when
// there is none.
type Page struct {
	Events []Item `json:"events"`
	Next   uint64 `json:"next"`
}

// Detail is the whole story of one event. Names beyond product.md §4 are
// account, chat and those inside the lists.
type Detail struct {
	Item
	Account   string            `json:"account"` // for links to the contact and the lead
	Chat      string            `json:"chat"`
	Body      *string           `json:"body"` // null once it was purged
	Coercions []string          `json:"coercions"`
	Rules     []event.RuleTrace `json:"rules"`
	Contact   *event.Match      `json:"contact"`
	Lead      *event.Match      `json:"lead"`
	Changes   []Change          `json:"changes"`
	Requests  []event.Request   `json:"requests"`
}

// Change is one intent of an event and where it stands.
type Change struct {
	Op     event.Op          `json:"op"`
	Target event.Target      `json:"target"`
	AmoID  int64             `json:"amocrm_id"`
	State  event.ChangeState `json:"state"`
	Rule   string            `json:"rule"`
	Error  string            `json:"error"`
	// On is where a new note, call or task goes.
	On *Place `json:"on,omitempty"`
}

// Place is an entity of amoCRM. ID 0 is the one the event itself resolves.
type Place struct {
	Entity string `json:"entity"` // leads | contacts | companies
	ID     int64  `json:"id"`
}

// NewItem is the list row of an event.
func NewItem(ev *event.Event) Item {
	return Item{
		Seq: ev.Seq, Connection: ev.Connection, Source: ev.Source, Kind: ev.Kind, State: ev.State,
		Client: ev.Client, ReceivedAt: ev.ReceivedAt, SettledAt: stamp(ev.SettledAt), NextAt: stamp(ev.NextAt),
		Attempts: ev.Attempts, Reason: ev.Reason, Warnings: list(ev.Warnings), Detail: ev.Detail,
	}
}

// NewDetail is the whole story of an event. body is nil once it was purged;
// account is the connection's amoCRM address.
func NewDetail(ev *event.Event, body []byte, account string) *Detail {
	d := &Detail{
		Item: NewItem(ev), Account: account, Chat: ev.Chat,
		Coercions: list(ev.Coercions), Rules: list(ev.Rules), Contact: ev.Contact, Lead: ev.Lead,
		Changes: make([]Change, 0, len(ev.Changes)), Requests: list(ev.Requests),
	}
	if body != nil {
		s := string(body)
		d.Body = &s
	}
	for _, c := range ev.Changes {
		d.Changes = append(d.Changes, Change{Op: c.Op, Target: c.Target, AmoID: c.AmoID, State: c.State, Rule: c.Rule, Error: c.Error, On: standsOn(c)})
	}
	return d
}

// standsOn is the entity that a new note, call or task goes to. Of an update
// the entity is the thing itself.
func standsOn(c event.Change) *Place {
	switch c.Target {
	case event.OnNote, event.OnCall, event.OnTask:
		if c.Op == event.OpCreate && c.EntityType != "" {
			return &Place{Entity: c.EntityType, ID: c.EntityID}
		}
	}
	return nil
}

// Client is what the bridge keeps of one Jivo client.
type Client struct {
	Connection string `json:"connection"`
	ID         string `json:"id"`
	Name       string `json:"name"`
	Account    string `json:"account"`
	Links      Links  `json:"links"`
	Card       *Card  `json:"card"` // null if nothing is linked
	Events     []Item `json:"events"`
}

// Links are a client's ties to amoCRM.
type Links struct {
	ContactID int64        `json:"contact_id"`
	Leads     []event.Link `json:"leads"` // newest last
}

// Card is what the operator is shown of the newest linked lead, or of the
// contact where there is no lead (product.md §6).
type Card struct {
	Name        string     `json:"name"`
	URL         string     `json:"url"`
	Pipeline    string     `json:"pipeline"`
	Stage       string     `json:"stage"`
	Since       *time.Time `json:"since"`
	Price       float64    `json:"price"`
	Responsible string     `json:"responsible"`
	Task        string     `json:"task"`
	Last        string     `json:"last"` // last incoming mail, call or message
	Dirty       bool       `json:"dirty"`
}

// Problem is one thing that keeps the bridge from being ready. No secrets and
// no people in it: /readyz is open.
type Problem struct {
	Connection string `json:"connection,omitempty"` // "" = the bridge itself
	What       string `json:"what"`
	Hint       string `json:"hint,omitempty"`
}

// Filter narrows a list of events; zero fields do not.
type Filter struct {
	Connection string
	Source     event.Source
	Kind       string
	State      event.State
	Reason     event.Reason
	Client     string
	Limit      int    // 1 to MaxLimit
	Before     uint64 // only events with a smaller seq
}

// The page sizes of a list.
const (
	DefaultLimit = 50
	MaxLimit     = 500
)

// ReplayFilter is the body of POST /api/v1/replay. Connection and Reason may
// be "" for all; State is a settled one.
type ReplayFilter struct {
	Connection string       `json:"connection"`
	State      event.State  `json:"state"`
	Reason     event.Reason `json:"reason"`
	Again      bool         `json:"again"`
}

func (f ReplayFilter) check() error {
	if !f.State.Settled() {
		return fmt.Errorf(`"state" must be dead, skipped or done, not %q`, cut(string(f.State)))
	}
	return nil
}

// stamp is t for JSON: null when there is none.
func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// list is s for JSON: [] rather than null.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// cut shortens what somebody typed for an error text.
func cut(s string) string {
	if r := []rune(s); len(r) > 64 {
		return string(r[:64]) + "…"
	}
	return s
}
