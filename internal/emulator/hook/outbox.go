// Package hook is what an emulated account sends by itself: the form bodies of
// its web hooks (amocrm-api.md §6.2–6.5) and of its digital pipeline (§6.6), who
// gets which, the account's share of bad luck with them, and when a destination
// is switched off (§6.7). Delivering them is package post's.
package hook

import (
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator/book"
	"github.com/jivo-amocrm/bridge/internal/emulator/luck"
	"github.com/jivo-amocrm/bridge/internal/emulator/post"
)

// Options say how an account's hooks behave. The chances are from 0 to 1.
type Options struct {
	Loss      float64 // a hook is never sent
	Duplicate float64 // … is sent twice
	Shuffle   float64 // … is overtaken by later ones
	ZeroUser  float64 // … says modified_user_id=0 (amocrm-api.md §7.1)
	Group     bool    // equal hooks of one request share one POST
	DPRetries bool    // digital-pipeline hooks are retried, as on Kommo; else sent once
}

// Outbox gathers what is to be told about a request or a manager's deed, and
// hands it to the courier when that is over. It is not safe for concurrent
// use: the account's lock guards it.
type Outbox struct {
	book    *book.Book
	luck    *luck.Luck
	courier *post.Courier
	opt     Options
	now     func() time.Time
	items   []item
}

// New returns an outbox of the account b is of. Whoever makes the
// courier has it report to Attempted.
func New(b *book.Book, l *luck.Luck, courier *post.Courier, now func() time.Time, opt Options) *Outbox {
	return &Outbox{book: b, luck: l, courier: courier, now: now, opt: opt}
}
