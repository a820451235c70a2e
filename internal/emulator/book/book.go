// Package book is what an emulated account remembers: its dictionary, its cards
// with their links, notes and tasks, the incoming leads, the event feed, the
// subscriptions and the tokens, and what can be asked of all that.
//
// It knows neither requests nor hooks, and tells nobody of a change: see clerk.
package book

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// ErrNoSuch says somebody was asked to touch what does not exist.
var ErrNoSuch = errors.New("no such thing in the account")

// Profile is what an account was set up as. It is not saved.
type Profile struct {
	AccountID int64
	Subdomain string
	Host      string // "": {subdomain}.amocrm.ru
	Country   string
	Timezone  string
	Users     []User
	Pipelines []Pipeline
	NoMarker  bool // leave out the "Jivo ID" fields
}

// Book is everything an account remembers; its exported fields are what is
// saved. It is not safe for concurrent use: the account's lock guards it and
// whatever can be reached through it.
type Book struct {
	profile Profile
	zone    *time.Location

	Subdomain string
	TokenUser int64 // who granted the integration
	Unpaid    int   // 0 paid, 1 writes refused, 2 everything refused
	Next      map[string]int64

	Users       []User
	Pipelines   []Pipeline
	LossReasons []LossReason
	Fields      map[string][]FieldDef
	Tags        map[string][]Tag

	Cards    map[string]*Table
	Notes    []*Note
	Tasks    []*Task
	Unsorted []*Unsorted
	Events   []*Event
	Hooks    []*Subscription
	DPHooks  []DPHook

	Access  map[string]int64 // access token → unix expiry; 0: never
	Refresh map[string]int64
	Spent   map[string]bool  // refresh tokens and codes used up
	Codes   map[string]int64 // authorisation code → unix expiry
}

// Table keeps the cards of one kind in order of their ids.
type Table struct {
	ByID map[int64]*Record
	IDs  []int64
}

// newTable returns an empty table.
func newTable() *Table { return &Table{ByID: map[int64]*Record{}} }

// Add puts a new card at the end.
func (t *Table) Add(r *Record) {
	t.ByID[r.ID] = r
	t.IDs = append(t.IDs, r.ID)
}

// Live returns the record if it exists and a reader may see it.
func (t *Table) Live(id int64) (*Record, bool) {
	r, ok := t.ByID[id]
	if !ok || r.Deleted || r.Hidden {
		return nil, false
	}
	return r, true
}

// New opens the book of an account without leads.
func New(o Profile) *Book {
	s := &Book{
		profile:   o,
		zone:      location(o.Timezone),
		Subdomain: o.Subdomain,
		Next: map[string]int64{
			Leads: 5000001, Contacts: 8000001, "notes": 9900001, "tasks": 7000001,
			"tags": 31, "fields": 2001, "enums": 5001, "webhooks": 1, "calls": 1, "events": 1,
		},
		Users:     slices.Clone(o.Users),
		Pipelines: clonePipelines(o.Pipelines),
		LossReasons: []LossReason{
			{1, "Слишком дорого"}, {2, "Пропала потребность"}, {3, "Не устроили условия"}, {4, "Выбрали других"},
		},
		Fields:  defaultFields(o.NoMarker),
		Tags:    map[string][]Tag{},
		Cards:   map[string]*Table{Leads: newTable(), Contacts: newTable(), Companies: newTable()},
		Access:  map[string]int64{},
		Refresh: map[string]int64{},
		Spent:   map[string]bool{},
		Codes:   map[string]int64{},
	}
	for _, u := range s.Users {
		if u.Active && (u.Admin || s.TokenUser == 0) {
			s.TokenUser = u.ID
			break
		}
	}
	return s
}

// NextID hands out the next id of a sequence. Contacts and companies share one.
func (b *Book) NextID(seq string) int64 {
	if seq == Companies {
		seq = Contacts
	}
	n := b.Next[seq]
	b.Next[seq] = n + 1
	return n
}

// User finds a user.
func (b *Book) User(id int64) (User, bool) {
	for _, u := range b.Users {
		if u.ID == id {
			return u, true
		}
	}
	return User{}, false
}

// Pipeline finds a pipeline; what is returned is the book's own.
func (b *Book) Pipeline(id int64) (*Pipeline, bool) {
	for i := range b.Pipelines {
		if b.Pipelines[i].ID == id {
			return &b.Pipelines[i], true
		}
	}
	return nil, false
}

// MainPipeline is where leads go when no pipeline is named.
func (b *Book) MainPipeline() *Pipeline {
	for i := range b.Pipelines {
		if b.Pipelines[i].Main {
			return &b.Pipelines[i]
		}
	}
	return &b.Pipelines[0]
}

// PipelineOf finds the pipeline of an own (not shared) stage.
func (b *Book) PipelineOf(status int64) (*Pipeline, bool) {
	if status == StatusWon || status == StatusLost {
		return nil, false
	}
	for i := range b.Pipelines {
		if b.Pipelines[i].Has(status) {
			return &b.Pipelines[i], true
		}
	}
	return nil, false
}

// LossReason finds a loss reason.
func (b *Book) LossReason(id int64) (LossReason, bool) {
	for _, l := range b.LossReasons {
		if l.ID == id {
			return l, true
		}
	}
	return LossReason{}, false
}

// Field finds a custom field of a kind of card: by id, by code where that is 0.
func (b *Book) Field(kind string, id int64, code string) (FieldDef, bool) {
	for _, f := range b.Fields[kind] {
		if f.ID == id || id == 0 && code != "" && f.Code == code {
			return f, true
		}
	}
	return FieldDef{}, false
}

// AccountID is the account's number.
func (b *Book) AccountID() int64 { return b.profile.AccountID }

// Country is the account's country, of two letters.
func (b *Book) Country() string { return b.profile.Country }

// Timezone is the account's time zone by name.
func (b *Book) Timezone() string { return b.profile.Timezone }

// Local is a moment as the account's people read it (amocrm-api.md §6.5).
func (b *Book) Local(unix int64) time.Time { return time.Unix(unix, 0).In(b.zone) }

// Host is the account's current domain.
func (b *Book) Host() string {
	if b.profile.Host != "" {
		return b.profile.Host
	}
	return b.Subdomain + ".amocrm.ru"
}

// Rename gives the account another subdomain (amocrm-api.md §7.16).
func (b *Book) Rename(subdomain string) {
	b.Subdomain = subdomain
	if h := b.profile.Host; h != "" {
		b.profile.Host = subdomain + h[strings.IndexByte(h, '.'):]
	}
}

// Replace turns the page: the account remembers what other does from now on,
// and stays who it is.
func (b *Book) Replace(other *Book) {
	host := b.profile.Host
	*b = *other
	b.profile.Host = host
}

func location(name string) *time.Location {
	if loc, err := time.LoadLocation(name); err == nil {
		return loc
	}
	// Machines without a zone database still get the default account right.
	return time.FixedZone("MSK", 3*60*60)
}
