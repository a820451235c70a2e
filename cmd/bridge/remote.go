package main

import (
	"context"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// remote reads an amoCRM account through the running bridge: its budget and its
// token serve both. It implements app.Reader.
type remote struct {
	bridge     *admin
	connection string
}

func (r remote) ask(ctx context.Context, q app.Read) (app.Answer, error) {
	return r.bridge.read(ctx, r.connection, q)
}

func (r remote) dictionary(ctx context.Context) (*dict.Snapshot, error) {
	a, err := r.ask(ctx, app.Read{Call: "dictionary"})
	return a.Dictionary, err
}

// Lead implements app.Reader.
func (r remote) Lead(ctx context.Context, id int64) (event.Lead, bool, error) {
	all, err := r.Leads(ctx, []int64{id})
	l, ok := all[id]
	return l, ok, err
}

// Leads implements app.Reader.
func (r remote) Leads(ctx context.Context, ids []int64) (map[int64]event.Lead, error) {
	a, err := r.ask(ctx, app.Read{Call: "leads", IDs: ids})
	return a.Leads, err
}

// Contact implements app.Reader.
func (r remote) Contact(ctx context.Context, id int64) (c event.Contact, ok bool, err error) {
	a, err := r.ask(ctx, app.Read{Call: "contact", ID: id})
	if len(a.Contacts) == 0 {
		return c, false, err
	}
	return a.Contacts[0], true, err
}

func (r remote) contacts(ctx context.Context, q app.Read) ([]event.Contact, error) {
	a, err := r.ask(ctx, q)
	return a.Contacts, err
}

// SearchContacts implements app.Reader.
func (r remote) SearchContacts(ctx context.Context, query string, _ amocrm.Priority) ([]event.Contact, error) {
	return r.contacts(ctx, app.Read{Call: "search_contacts", Query: query})
}

// SearchCompanies implements app.Reader.
func (r remote) SearchCompanies(ctx context.Context, query string) ([]event.Contact, error) {
	return r.contacts(ctx, app.Read{Call: "search_companies", Query: query})
}

// TasksOf implements app.Reader.
func (r remote) TasksOf(ctx context.Context, entity string, id int64) ([]event.Task, error) {
	a, err := r.ask(ctx, app.Read{Call: "tasks", Entity: entity, ID: id})
	return a.Tasks, err
}

// ServerTime implements app.Reader. This machine's clock is the running
// bridge's, near enough for a rehearsal.
func (r remote) ServerTime() time.Time { return time.Now() }
