package amocrm

import (
	"context"
	"net/url"
	"strconv"

	"github.com/jivo-amocrm/bridge/internal/amocrm/lenient"
	"github.com/jivo-amocrm/bridge/internal/amocrm/rest"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// How many pages a look-up or search reads at most.
const (
	maxNewestPages = 40 // 10,000 entities since the answer was lost
	maxSearchPages = 4
	maxNotePages   = 4
)

// maxBackdated is how many in a row, in the order of their ids, may have been made
// with a time of creation that is past, as a migration does, before a list of the
// newest has come to those that are old.
const maxBackdated = 100

// SearchContacts asks for contacts by `query`, a full-text search over all
// fields: every hit must be checked against the phone or e-mail that was meant
// (amocrm-api.md §4.3). What was just created may not be found yet.
func (c *Client) SearchContacts(ctx context.Context, query string, prio Priority) ([]event.Contact, error) {
	return search(WithPriority(ctx, prio), c, "contacts", "leads", query, maxSearchPages, rest.Entity.Contact)
}

// SearchCompanies asks for companies by name; hits come with IsCompany set and must
// be compared with the name that was meant.
func (c *Client) SearchCompanies(ctx context.Context, name string) ([]event.Contact, error) {
	return search(ctx, c, "companies", "", name, 1, rest.Entity.Company)
}

// SearchLeads asks for leads by `query`, as a second look for a marker.
func (c *Client) SearchLeads(ctx context.Context, query string) ([]event.Lead, error) {
	return search(ctx, c, "leads", "contacts", query, 1, rest.Entity.Lead)
}

func search[T any](ctx context.Context, c *Client, entity, with, query string, most int, as func(rest.Entity) T) ([]T, error) {
	if query == "" {
		return nil, nil
	}
	q := limited(maxItems, with, "")
	q.Set("query", query)
	var found []T
	err := pages(ctx, c, "/api/v4/"+entity, entity, q, most, func(e rest.Entity) bool {
		found = append(found, as(e))
		return true
	})
	return found, err
}

// NewestLeads lists the leads created since a moment (unix seconds, the
// server's clock), newest first. The list is read from the entities themselves: no
// search index stands in between. One list serves everybody who waits for it.
func (c *Client) NewestLeads(ctx context.Context, since int64) ([]event.Lead, error) {
	return newest(ctx, c, "leads", "contacts", "created_at", since, rest.Entity.Lead)
}

// NewestContacts is NewestLeads for contacts. They cannot be ordered by
// creation (amocrm-api.md §4.3), but their ids rise with it.
func (c *Client) NewestContacts(ctx context.Context, since int64) ([]event.Contact, error) {
	return newest(ctx, c, "contacts", "leads", "id", since, rest.Entity.Contact)
}

// NewestCompanies is NewestContacts for companies.
func (c *Client) NewestCompanies(ctx context.Context, since int64) ([]event.Contact, error) {
	return newest(ctx, c, "companies", "", "id", since, rest.Entity.Company)
}

func newest[T any](ctx context.Context, c *Client, entity, with, order string, since int64, as func(rest.Entity) T) ([]T, error) {
	var found []T
	seen := map[lenient.Number]bool{} // what is created meanwhile pushes entries to the next page
	q := limited(maxItems, with, order)
	old := 0 // in a row
	err := pages(ctx, c, "/api/v4/"+entity, entity, q, maxNewestPages, func(e rest.Entity) bool {
		if int64(e.CreatedAt) < since {
			old++
			return order == "id" && old < maxBackdated
		}
		old = 0
		if !seen[e.ID] {
			seen[e.ID] = true
			found = append(found, as(e))
		}
		return true
	})
	return found, err
}

// NotesOf lists an entity's notes, newest first, at most 1,000.
func (c *Client) NotesOf(ctx context.Context, entity string, id int64) ([]NoteInfo, error) {
	var notes []NoteInfo
	path := "/api/v4/" + entity + "/" + strconv.FormatInt(id, 10) + "/notes"
	err := pages(ctx, c, path, "notes", limited(maxItems, "", "id"), maxNotePages, func(n restNote) bool {
		notes = append(notes, n.note())
		return true
	})
	return notes, err
}

// ContactsWindow is a part of the list of all contacts in the order of their ids.
type ContactsWindow struct {
	First    int // how many stand before it
	Next     int // how many stand before what follows it
	Contacts []event.Contact
	More     bool // something may follow
}

// ContactsFrom reads all contacts in the order of their ids from the n-th on, n
// counting from 0, or from a few before it: as many as one request gives that has
// the n-th and the next among them.
func (c *Client) ContactsFrom(ctx context.Context, n int) (ContactsWindow, error) {
	page, limit := window(n)
	q := url.Values{"limit": {strconv.Itoa(limit)}, "page": {strconv.Itoa(page)}, "order[id]": {"asc"}}
	all, more, err := readPage[rest.Entity](ctx, c, "/api/v4/contacts", "contacts", q)
	w := ContactsWindow{First: (page - 1) * limit, Next: page * limit, More: more}
	for _, e := range all {
		w.Contacts = append(w.Contacts, e.Contact())
	}
	return w, err
}

// window is the page that begins with the n-th entry or before it and reaches
// furthest beyond. A list has pages of one size side by side only; pages of
// another size begin elsewhere.
func window(n int) (page, limit int) {
	for size := maxItems; size > maxItems/2; size-- {
		if p := n/size + 1; p*size > page*limit {
			page, limit = p, size
		}
	}
	return page, limit
}

// ContactsChanged reads one page of the contacts changed since a moment (unix
// seconds, the server's clock), latest first, 250 at a time. more is false after
// the last one. It needs no filters: these may be ignored (amocrm-api.md §4.2).
func (c *Client) ContactsChanged(ctx context.Context, page int, since int64) (contacts []event.Contact, more bool, err error) {
	q := url.Values{"limit": {strconv.Itoa(maxItems)}, "page": {strconv.Itoa(page)}, "order[updated_at]": {"desc"}}
	all, more, err := readPage[rest.Entity](ctx, c, "/api/v4/contacts", "contacts", q)
	for _, e := range all {
		if int64(e.UpdatedAt) < since {
			return contacts, false, err
		}
		contacts = append(contacts, e.Contact())
	}
	return contacts, more, err
}
