package emulator

import (
	"fmt"

	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// The manager's hand: a person working in amoCRM's web interface. Every deed
// shows up in the event feed and goes out as hooks, like the API's own writes.
// The person is the first admin unless a method takes somebody else.

// deed runs fn under the lock with the live record and posts the hooks after it.
func (a *Account) deed(kind string, id int64, fn func(r *Record) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.book.Cards[kind].Live(id)
	if !ok {
		return fmt.Errorf("%s %d: %w", book.Singular(kind), id, ErrNoSuch)
	}
	if err := fn(r); err != nil {
		return err
	}
	a.out.Post()
	return nil
}

// MoveLead moves a lead to a stage; pipelineID 0 keeps its pipeline.
func (a *Account) MoveLead(id, statusID, pipelineID int64) error {
	return a.deed(book.Leads, id, func(r *Record) error { return a.clerk.Move(r, statusID, pipelineID) })
}

// LoseLead closes a lead as lost for a reason (0: none).
func (a *Account) LoseLead(id, reasonID int64) error {
	return a.deed(book.Leads, id, func(r *Record) error {
		a.clerk.Lose(r, reasonID)
		return nil
	})
}

// EditLead changes a lead by hand.
func (a *Account) EditLead(id int64, e Edit) error {
	return a.deed(book.Leads, id, func(r *Record) error { return a.clerk.Edit(r, e) })
}

// EditContact changes a contact by hand.
func (a *Account) EditContact(id int64, e Edit) error {
	return a.deed(book.Contacts, id, func(r *Record) error { return a.clerk.Edit(r, e) })
}

// SetPrice sets a lead's budget.
func (a *Account) SetPrice(id int64, price float64) error {
	return a.EditLead(id, Edit{Price: &price})
}

// SetResponsible gives a lead to another user.
func (a *Account) SetResponsible(id, userID int64) error {
	return a.deed(book.Leads, id, func(r *Record) error {
		a.clerk.Give(r, userID)
		return nil
	})
}

// SetContactResponsible gives a contact to another user; amoCRM tells it as an update.
func (a *Account) SetContactResponsible(id, userID int64) error {
	return a.deed(book.Contacts, id, func(r *Record) error {
		a.clerk.Give(r, userID)
		return nil
	})
}

// DeleteLead puts a lead into the bin: the API answers 204 for it from now on.
func (a *Account) DeleteLead(id int64) error {
	return a.deed(book.Leads, id, func(r *Record) error {
		a.clerk.DeleteLead(r)
		return nil
	})
}

// RestoreLead takes a lead out of the bin.
func (a *Account) RestoreLead(id int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.book.Cards[book.Leads].ByID[id]
	if r == nil || !r.Deleted {
		return fmt.Errorf("deleted lead %d: %w", id, ErrNoSuch)
	}
	a.clerk.RestoreLead(r)
	a.out.Post()
	return nil
}

// DeleteContact deletes a contact; its leads stay.
func (a *Account) DeleteContact(id int64) error {
	return a.deed(book.Contacts, id, func(r *Record) error {
		a.clerk.DeleteContact(r)
		return nil
	})
}

// MergeContacts merges two contacts: win keeps its id and gets lose's leads
// and the phones and e-mails it lacks; lose answers 204 from now on
// (amocrm-api.md §7.8, unverified).
func (a *Account) MergeContacts(win, lose int64) error {
	return a.deed(book.Contacts, win, func(w *Record) error { return a.clerk.MergeContacts(w, lose) })
}

// CreateLead makes a lead by hand and returns its id.
func (a *Account) CreateLead(n NewCard) (int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.clerk.NewLead(n)
	if err != nil {
		return 0, err
	}
	a.out.Post()
	return r.ID, nil
}

// CreateContact makes a contact by hand and returns its id.
func (a *Account) CreateContact(n NewCard) (int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.clerk.NewContact(n)
	if err != nil {
		return 0, err
	}
	a.out.Post()
	return r.ID, nil
}

// AddTask puts a task on a lead and returns its id.
func (a *Account) AddTask(leadID int64, text string, due int64, userID int64) (int64, error) {
	var id int64
	err := a.deed(book.Leads, leadID, func(r *Record) error {
		id = a.clerk.AddTask(map[string]any{"text": text, "complete_till": body.Number(due), "entity_id": body.Number(r.ID), "entity_type": book.Leads,
			"responsible_user_id": body.Number(userID)}, a.book.TokenUser).ID
		return nil
	})
	return id, err
}

// CompleteTask closes a task with a result.
func (a *Account) CompleteTask(id int64, result string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, ok := a.book.Task(id)
	if !ok {
		return fmt.Errorf("task %d: %w", id, ErrNoSuch)
	}
	a.clerk.PatchTask(t, map[string]any{"is_completed": true, "result": map[string]any{"text": result}}, a.book.TokenUser)
	a.out.Post()
	return nil
}

// DeleteTask removes a task; its hook has the id alone.
func (a *Account) DeleteTask(id int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, ok := a.book.Task(id)
	if !ok {
		return fmt.Errorf("task %d: %w", id, ErrNoSuch)
	}
	a.clerk.DeleteTask(t)
	a.out.Post()
	return nil
}

// AddNote writes a note on a lead and returns its id.
func (a *Account) AddNote(leadID int64, text string) (int64, error) {
	var id int64
	err := a.deed(book.Leads, leadID, func(r *Record) error {
		id = a.clerk.AddNote(book.Leads, r.ID, map[string]any{"note_type": "common", "params": map[string]any{"text": text}}, a.book.TokenUser).ID
		return nil
	})
	return id, err
}

// AcceptUnsorted accepts the unsorted lead; 0 as stage is the first one.
func (a *Account) AcceptUnsorted(uid string, statusID int64) error {
	return a.decide(uid, func(u *Unsorted) { a.clerk.AcceptUnsorted(u, a.book.TokenUser, statusID) })
}

// DeclineUnsorted declines the unsorted lead, which then is gone.
func (a *Account) DeclineUnsorted(uid string) error { return a.decide(uid, a.clerk.DeclineUnsorted) }

func (a *Account) decide(uid string, fn func(*Unsorted)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	u, ok := a.book.UnsortedBy(uid)
	if !ok {
		return fmt.Errorf("unsorted %s: %w", uid, ErrNoSuch)
	}
	fn(u)
	a.out.Post()
	return nil
}

// DPEvent fires the digital-pipeline hooks of the lead's stage for something
// other than a move: call_in, chat, mail_in, site_visit (amocrm-api.md §6.6).
func (a *Account) DPEvent(leadID int64, kind string) error {
	return a.deed(book.Leads, leadID, func(r *Record) error {
		a.out.DigitalPipeline(r, kind, nil)
		return nil
	})
}

// LeaveForm has somebody fill in the form of a site that amoCRM itself serves: an
// unsorted lead, at no cost to the API's budget. It returns its uid.
func (a *Account) LeaveForm(site string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.clerk.LeaveForm(site)
	a.out.Post()
	return u.UID
}
