package delivery

import (
	"context"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/amocrm/items"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/mapping"
)

// CRM is what delivery needs of the amoCRM client.
type CRM interface {
	Write(ctx context.Context, w amocrm.Write) (amocrm.Result, error)
	Lead(ctx context.Context, id int64) (event.Lead, bool, error)
	Leads(ctx context.Context, ids []int64) (map[int64]event.Lead, error)
	Contact(ctx context.Context, id int64) (event.Contact, bool, error)
	SearchContacts(ctx context.Context, query string, prio amocrm.Priority) ([]event.Contact, error)
	SearchLeads(ctx context.Context, query string) ([]event.Lead, error)
	SearchCompanies(ctx context.Context, query string) ([]event.Contact, error)
	NewestLeads(ctx context.Context, since int64) ([]event.Lead, error)
	NewestContacts(ctx context.Context, since int64) ([]event.Contact, error)
	NewestCompanies(ctx context.Context, since int64) ([]event.Contact, error)
	NotesOf(ctx context.Context, entity string, id int64) ([]amocrm.NoteInfo, error)
	TasksOf(ctx context.Context, entity string, id int64) ([]event.Task, error)
	State() amocrm.Status
	ServerTime() time.Time
}

// Account is one amoCRM account. Connections on the same account share it:
// one budget, one dictionary, one directory, one pause, one set of locks.
type Account struct {
	Host string // the directory's key
	CRM  CRM
	// Dict returns the account's dictionary, nil until it has been read.
	Dict func() *dict.Snapshot
	// Doubtful asks for the dictionary to be read again soon: amoCRM refused a
	// value that it has.
	Doubtful func()
	// Complete reports whether the contact directory knows every contact
	// there was at its last pass.
	Complete func() bool
	// CatchUp makes it complete, if one look at what changed can.
	CatchUp func(ctx context.Context)
	// Idle reports whether the budget has room that nobody wants.
	Idle func() bool

	locks  locks
	misses misses
	newest struct { // lists shared by everything in doubt
		leads               shared[event.Lead]
		contacts, companies shared[event.Contact]
	}
}

func (a *Account) ready() bool { return a.Dict() != nil && !a.CRM.State().Paused }

// Connection is one Jivo account tied to one amoCRM account. It is not changed
// once given to a Dispatcher.
type Connection struct {
	Name string
	// Waiting says the account's dictionary has not come into this yet, and with
	// it region, zone and the pin: nothing is claimed.
	Waiting  bool
	Account  *Account
	Program  *mapping.Program
	Region   string
	Location *time.Location
	Kinds    []string // the event names Jivo has

	MarkerField string
	Shaper      func(d *dict.Snapshot) *items.Shaper

	Anonymous     string // hold | lead | ignore
	AnonymousHold time.Duration
	Park          time.Duration
	Refresh       time.Duration // how long what is known of an entity counts
	InDoubtAfter  time.Duration
	BackoffFirst  time.Duration
	BackoffMax    time.Duration
	GiveUp        time.Duration
	Hours         Hours
	NoteLimit     int // runes in one note
}

// backoff returns how long to put off an event that failed for the n-th time
// (n counts from 1): first, doubling, at most max, less up to a fifth at random
// so that events that failed together do not come back together.
func (c *Connection) backoff(n int, random float64) time.Duration {
	d := c.BackoffFirst
	for i := 1; i < n && d < c.BackoffMax; i++ {
		d *= 2
	}
	d = min(d, c.BackoffMax)
	return d - time.Duration(random*float64(d)/5)
}
