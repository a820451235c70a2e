// Package clerk carries out what was asked of an emulated account and found in
// order, by its API or by a manager's hand: it changes the book, writes into the
// event feed and has the hooks told. Every deed goes this way, so that none is
// silent.
package clerk

import (
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator/book"
	"github.com/jivo-amocrm/bridge/internal/emulator/hook"
	"github.com/jivo-amocrm/bridge/internal/emulator/luck"
)

// Options say how an account treats what is written.
type Options struct {
	IndexLag         time.Duration // how long `query` lags behind writes (amocrm-api.md §7.3)
	DuplicateControl bool          // leads/complex merges with what it finds (amocrm-api.md §4.2)
}

// Clerk carries out what was asked and checked: it changes the book, writes a
// line into the feed and has the hooks told. by is the user who does it; items
// are checked JSON. It is not safe for concurrent use: the account's lock
// guards it.
type Clerk struct {
	book *book.Book
	out  *hook.Outbox
	luck *luck.Luck
	now  func() time.Time
	opt  Options
}

// New returns the clerk who keeps b.
func New(b *book.Book, out *hook.Outbox, l *luck.Luck, now func() time.Time, opt Options) *Clerk {
	return &Clerk{book: b, out: out, luck: l, now: now, opt: opt}
}

// reindex tells the search index what a card holds now.
func (k *Clerk) reindex(r *book.Record) { r.Reindex(k.now(), k.opt.IndexLag) }

// obj is a JSON object being built or read.
type obj = map[string]any
