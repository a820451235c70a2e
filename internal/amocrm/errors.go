package amocrm

import (
	"errors"
	"fmt"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Trouble is why a request did not succeed: a word of a closed set, used as
// metric label, pause reason and `reason` of the API alike.
type Trouble string

// Every Trouble there is. The first eight may pause an account.
const (
	Unreachable  Trouble = "unreachable"  // DNS, dial, TLS, silence
	Unavailable  Trouble = "unavailable"  // 5xx
	Unpaid       Trouble = "unpaid"       // 402
	Unauthorized Trouble = "unauthorized" // 401 with a token that cannot be refreshed, or again after a refresh
	AuthNeeded   Trouble = "needs_auth"   // the token.OAuth grant is dead; somebody must consent anew
	Banned       Trouble = "banned"       // 403 with the gateway's HTML page
	RateLimited  Trouble = "rate_limited" // 429
	BadAnswer    Trouble = "bad_answer"   // HTML or broken JSON where an answer was due
	Forbidden    Trouble = "forbidden"    // 403 with a JSON problem: rights
	Paused       Trouble = "paused"       // the account is paused; NotSent.Reason says for what
	Unrecorded   Trouble = "unrecorded"   // the ledger would not take the entry
	Closing      Trouble = "closing"      // the client is closed, or the caller gave up
)

// NotSent says that a request surely had no effect: it never left, or amoCRM
// turned it away for trouble that is not the item's own. It may go again as it
// is, no look-up needed and no attempt burnt.
type NotSent struct {
	Trouble Trouble
	Reason  Trouble   // under Paused: what the account is paused for; else equal to Trouble
	Until   time.Time // no use trying earlier; zero if not known
	Err     error     // the cause, if there is one
}

func (e *NotSent) Error() string {
	s := "amocrm: not sent: " + string(e.Trouble)
	if e.Reason != "" && e.Reason != e.Trouble {
		s += " (" + string(e.Reason) + ")"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *NotSent) Unwrap() error { return e.Err }

// InDoubt says that a write left and its answer was lost or unusable: it may
// have landed. It must be looked up before it goes again (product.md §8.2).
type InDoubt struct {
	Trouble Trouble
	SentAt  time.Time // our clock, before the request left
	Own     bool      // the item's own trouble: it failed alone, again, while the account was healthy
	Err     error
}

func (e *InDoubt) Error() string {
	s := "amocrm: in doubt: " + string(e.Trouble)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *InDoubt) Unwrap() error { return e.Err }

// Problem is one complaint of amoCRM about one item (amocrm-api.md §5).
type Problem struct {
	Code   string // NotSupportedChoice, InvalidType, FieldMissing, …; "" if not given
	Path   string // dotted, inside the item: custom_fields_values.0.field_id
	Detail string // amoCRM's words, with anything that may be a person's data blanked
}

// Refused says that amoCRM said no to this very item or read. Sending it again
// unchanged is of no use. Code, Path and Detail are those of the first problem.
type Refused struct {
	Status   int // 0: refused by the client itself (no JSON object)
	Code     string
	Path     string
	Detail   string
	Problems []Problem // all of them
	Request  event.Request
}

func (e *Refused) Error() string {
	s := fmt.Sprintf("amocrm: refused (%d)", e.Status)
	for _, part := range []string{e.Code, e.Path, e.Detail} {
		if part != "" {
			s += ": " + part
		}
	}
	return s
}

// Failed says that a read, or a write that surely did not land, failed for
// its own trouble: it fails while the account is healthy. An attempt is burnt.
type Failed struct {
	Status  int // 0: no answer
	Trouble Trouble
	Err     error
}

func (e *Failed) Error() string {
	s := fmt.Sprintf("amocrm: failed: %s (%d)", e.Trouble, e.Status)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Failed) Unwrap() error { return e.Err }

// NeedsAuth says that the grant is dead and somebody must consent anew.
type NeedsAuth struct {
	Hint string // what to do about it
	Err  error  // what amoCRM said, without secrets
}

func (e *NeedsAuth) Error() string {
	if e.Err != nil {
		return "amocrm: needs authorization: " + e.Err.Error()
	}
	return "amocrm: needs authorization"
}

func (e *NeedsAuth) Unwrap() error { return e.Err }

// TroubleOf returns the word for what is wrong with err: the account's trouble
// where it is the account's, "" if err is none of this package's errors.
func TroubleOf(err error) Trouble {
	if e, ok := errors.AsType[*NotSent](err); ok {
		return e.Reason
	}
	if e, ok := errors.AsType[*InDoubt](err); ok {
		return e.Trouble
	}
	if e, ok := errors.AsType[*Failed](err); ok {
		return e.Trouble
	}
	if _, ok := errors.AsType[*NeedsAuth](err); ok {
		return AuthNeeded
	}
	if e, ok := errors.AsType[*Refused](err); ok && e.Status == 403 {
		return Forbidden
	}
	return ""
}

func notSent(t Trouble, err error) *NotSent { return &NotSent{Trouble: t, Reason: t, Err: err} }
