// Package event is the vocabulary every room of the bridge shares: what came in
// (Event), what a kind of event may carry (Type, Object), what is known of a
// person (Client), what the CRM holds (Lead, Contact), what it should look like
// (Plan, Desired, Change) and how an attempt ended (Ending). It imports the
// standard library only.
package event

import (
	"time"
)

// Source says which service sent an event.
type Source string

// The two services that send events.
const (
	Jivo   Source = "jivo"
	AmoCRM Source = "amocrm"
)

// State is where an event stands in its life; docs/states.md draws it.
type State string

// The five states of product.md §4.
const (
	Pending State = "pending" // to be done, maybe later: NextAt
	Parked  State = "parked"  // waits for its client to be described
	Done    State = "done"
	Skipped State = "skipped" // nothing was to be done: Reason
	Dead    State = "dead"    // cannot succeed by itself: Reason
)

// Settled reports whether nothing more will be done for an event in this state
// unless somebody asks.
func (s State) Settled() bool { return s == Done || s == Skipped || s == Dead }

// Reason is a word of a closed set; the same word is the metric label, the
// column in the console and the `reason` of the API.
type Reason string

// Reasons of dead events (product.md §4, a closed list).
const (
	Unparsable    Reason = "unparsable"
	Refused       Reason = "refused"
	RuleError     Reason = "rule_error"
	ClientUnknown Reason = "client_unknown"
	GaveUp        Reason = "gave_up"
	Forgotten     Reason = "forgotten"
	Panicked      Reason = "panic"
)

// Reasons of skipped events.
const (
	NoRule         Reason = "no_rule"         // no rule and no built-in wanted it
	Duplicate      Reason = "duplicate"       // a repeat (product.md §8.2)
	Anonymous      Reason = "anonymous"       // no phone and no e-mail yet
	Stale          Reason = "stale"           // older than what was applied
	Discarded      Reason = "discarded"       // by hand
	UnknownEvent   Reason = "unknown_event"   // a name nobody knows, or none
	NoTarget       Reason = "no_target"       // a note or task without a lead or contact
	NotLinked      Reason = "not_linked"      // the client has no contact, and this event makes none
	NotOurs        Reason = "not_ours"        // a hook about entities the bridge does not follow
	ForeignAccount Reason = "foreign_account" // a hook of another amoCRM account
	ChannelClosed  Reason = "channel"         // a widget that `jivo.channels` does not let in
	SwitchedOff    Reason = "switched_off"    // a built-in switched off in `builtin`
	Remembered     Reason = "remembered"      // kept locally; nothing to write
	BadLink        Reason = "bad_link"        // chat_assigned with a link that is not of this account
	Ignored        Reason = "ignored"         // a family of events kept and counted only
)

// DeadReasons lists every reason a dead event may have, in the order of product.md §4.
func DeadReasons() []Reason {
	return []Reason{Unparsable, Refused, RuleError, ClientUnknown, GaveUp, Forgotten, Panicked}
}

// Event is one journaled webhook: its identity and everything that happened to
// it since. The raw body is kept beside it in the store, untouched.
type Event struct {
	Seq        uint64    `json:"seq"`
	Connection string    `json:"connection"`
	Source     Source    `json:"source"`
	Kind       string    `json:"kind"`             // Jivo's event name, normalised, or "leads.status"
	Client     string    `json:"client,omitempty"` // Jivo's client id
	Chat       string    `json:"chat,omitempty"`
	Line       string    `json:"line,omitempty"` // events of one line are worked in order; "" = a line of its own
	ReceivedAt time.Time `json:"received_at"`
	// Imported says the event was fed from a file: ReceivedAt is what the file
	// says, and its place in the journal says nothing about when it happened.
	Imported bool `json:"imported,omitempty"`

	State     State     `json:"state"`
	Reason    Reason    `json:"reason,omitempty"`
	Detail    string    `json:"detail,omitempty"` // the reason in words; never a person's data
	NextAt    time.Time `json:"next_at,omitzero"`
	SettledAt time.Time `json:"settled_at,omitzero"`
	Attempts  int       `json:"attempts,omitempty"`
	// Waited is how long the event has been put off for its own trouble: the
	// give_up clock. Pauses of the account add nothing to it.
	Waited time.Duration `json:"waited,omitempty"`
	// Overdue says the event was parked for as long as it may be.
	Overdue bool `json:"overdue,omitempty"`
	// Detached says contact and lead are settled, so that later events of the
	// line no longer wait for this one (product.md §8.3).
	Detached bool `json:"detached,omitempty"`
	// Woken says the client was described while the frozen list was being carried
	// out: once that is done, the event is mapped anew.
	Woken bool `json:"woken,omitempty"`

	Coercions []string    `json:"coercions,omitempty"`
	Warnings  []string    `json:"warnings,omitempty"`
	Rules     []RuleTrace `json:"rules,omitempty"`
	Contact   *Match      `json:"contact,omitempty"` // which contact, and why
	Lead      *Match      `json:"lead,omitempty"`    // which lead, and why
	Changes   []Change    `json:"changes,omitempty"`
	// Frozen says the change list stands: it froze with the first change sent
	// and is continued, never mapped anew, unless a settled event is replayed.
	Frozen bool `json:"frozen,omitempty"`
	// Anew says the list was given up before its contact and lead were made: what the
	// event left behind itself then must not hide what it says.
	Anew     bool      `json:"anew,omitempty"`
	Requests []Request `json:"requests,omitempty"`
	Again    bool      `json:"again,omitempty"` // replayed with --again: settled creates may repeat
	Replays  int       `json:"replays,omitempty"`
	BodySize int       `json:"body_size,omitempty"`
}

// DueAt is when the event is to be worked: at once, unless it was put off.
func (ev *Event) DueAt() time.Time {
	if ev.NextAt.IsZero() {
		return ev.ReceivedAt
	}
	return ev.NextAt
}

// RuleTrace says whether a rule wanted an event, and why not.
type RuleTrace struct {
	Rule    string `json:"rule"`
	Matched bool   `json:"matched"`
	Why     string `json:"why,omitempty"`
}

// Match records how a contact or lead was decided on.
type Match struct {
	ID      int64  `json:"id,omitempty"` // 0: none, or to be created
	By      string `json:"by,omitempty"` // the finder: client, phone, email, chat, open, deal, created…
	Why     string `json:"why,omitempty"`
	Created bool   `json:"created,omitempty"`
}

// Request is one call to amoCRM made for an event. Path carries ids, never queries.
type Request struct {
	At      time.Time `json:"at"`
	Method  string    `json:"method"`
	Path    string    `json:"path"`
	Status  int       `json:"status"` // 0: no answer
	Seconds float64   `json:"seconds"`
	Answer  string    `json:"answer,omitempty"` // amoCRM's complaint, cut; only where it refused
}

// Incoming is what the listener hands to the journal.
type Incoming struct {
	Event Event // Seq is given by the journal
	Body  []byte
	Dedup Dedup
}

// Dedup tells the journal how to recognise a repeat (product.md §8.2). The
// event is a repeat if Key is not empty and the value stored under it equals
// Value. If it is none, Value is stored and every key that begins with Clear
// (when not empty) is dropped. Keys are scoped by connection.
type Dedup struct {
	Key   string
	Value string
	Clear string
}
