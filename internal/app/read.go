package app

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// Reader is what a rehearsal asks of an amoCRM client. It never loses an answer,
// so it never looks anything up that was made.
type Reader interface {
	Lead(ctx context.Context, id int64) (event.Lead, bool, error)
	Leads(ctx context.Context, ids []int64) (map[int64]event.Lead, error)
	Contact(ctx context.Context, id int64) (event.Contact, bool, error)
	SearchContacts(ctx context.Context, query string, prio amocrm.Priority) ([]event.Contact, error)
	SearchCompanies(ctx context.Context, query string) ([]event.Contact, error)
	TasksOf(ctx context.Context, entity string, id int64) ([]event.Task, error)
	ServerTime() time.Time
}

// Read is one question to an account, asked through a running bridge so that its
// budget and its token serve both. Call names a method of Reader, or
// "dictionary".
type Read struct {
	Call   string  `json:"call"`
	ID     int64   `json:"id,omitempty"`
	IDs    []int64 `json:"ids,omitempty"`
	Query  string  `json:"query,omitempty"`
	Entity string  `json:"entity,omitempty"`
}

// Answer is what amoCRM said; only what was asked for is set.
type Answer struct {
	Dictionary *dict.Snapshot       `json:"dictionary,omitempty"`
	Leads      map[int64]event.Lead `json:"leads,omitempty"`
	Contacts   []event.Contact      `json:"contacts,omitempty"`
	Tasks      []event.Task         `json:"tasks,omitempty"`
	Now        time.Time            `json:"now"` // the server's clock
}

func (a *App) serveRead(w http.ResponseWriter, r *http.Request, name string) error {
	var ask Read
	if err := readCommand(r, &ask); err != nil {
		return err
	}
	c, err := a.connectionOf(name)
	if err != nil {
		return err
	}
	unhurried(w)
	ctx := amocrm.WithPriority(r.Context(), amocrm.CardRead)
	var got Answer
	if ask.Call == "dictionary" {
		got.Dictionary, err = a.dictionary(ctx, c)
	} else {
		got, err = ask.of(ctx, c.account.client)
	}
	if err != nil {
		return err
	}
	got.Now = c.account.client.ServerTime()
	answerCommand(w, http.StatusOK, got)
	return nil
}

// dictionary is the one in use, or one read for the occasion.
func (a *App) dictionary(ctx context.Context, c *connection) (*dict.Snapshot, error) {
	if d := c.account.keeper.Dict(); d != nil {
		return d, nil
	}
	return dict.Load(ctx, c.account.client)
}

// of asks one question.
func (q Read) of(ctx context.Context, crm Reader) (a Answer, err error) {
	switch q.Call {
	case "leads":
		a.Leads, err = crm.Leads(ctx, q.IDs)
	case "contact":
		var c event.Contact
		var ok bool
		if c, ok, err = crm.Contact(ctx, q.ID); ok {
			a.Contacts = []event.Contact{c}
		}
	case "search_contacts":
		a.Contacts, err = crm.SearchContacts(ctx, q.Query, amocrm.CardRead)
	case "search_companies":
		a.Contacts, err = crm.SearchCompanies(ctx, q.Query)
	case "tasks":
		a.Tasks, err = crm.TasksOf(ctx, q.Entity, q.ID)
	default:
		return a, badCommand{fmt.Errorf("unknown call %q", q.Call)}
	}
	return a, err
}
