package emulator

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// RenamePipeline gives a pipeline another name.
func (a *Account) RenamePipeline(id int64, name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, ok := a.book.Pipeline(id)
	if !ok {
		return fmt.Errorf("pipeline %d: %w", id, ErrNoSuch)
	}
	p.Name = name
	return nil
}

// RenameStage gives a stage of a pipeline another name.
func (a *Account) RenameStage(pipelineID, statusID int64, name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p, ok := a.book.Pipeline(pipelineID); ok {
		for i := range p.Statuses {
			if p.Statuses[i].ID == statusID {
				p.Statuses[i].Name = name
				return nil
			}
		}
	}
	return fmt.Errorf("stage %d of pipeline %d: %w", statusID, pipelineID, ErrNoSuch)
}

// RemoveUser removes a user; writes naming them are refused (amocrm-api.md §7.9).
func (a *Account) RemoveUser(id int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.book.Users = slices.DeleteFunc(a.book.Users, func(u User) bool { return u.ID == id })
}

// AddField adds a custom field to leads, contacts or companies and returns its id.
func (a *Account) AddField(kind string, f FieldDef) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f.ID == 0 {
		f.ID = a.book.NextID("fields")
	}
	a.book.Fields[kind] = append(a.book.Fields[kind], f)
	return f.ID
}

// RemoveField deletes a custom field and its values.
func (a *Account) RemoveField(kind string, id int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.book.Fields[kind] = slices.DeleteFunc(a.book.Fields[kind], func(f FieldDef) bool { return f.ID == id })
	for _, r := range a.book.Cards[kind].ByID {
		r.Fields = slices.DeleteFunc(r.Fields, func(f Field) bool { return f.ID == id })
	}
}

// Leads returns copies of all leads that are not deleted, unsorted ones included, by id.
func (a *Account) Leads() []Record { return a.records(book.Leads) }

// Contacts returns copies of all contacts that are not deleted, hidden ones included, by id.
func (a *Account) Contacts() []Record { return a.records(book.Contacts) }

// Companies returns copies of all companies that are not deleted, by id.
func (a *Account) Companies() []Record { return a.records(book.Companies) }

func (a *Account) records(kind string) []Record {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.book.Cards[kind]
	out := make([]Record, 0, len(t.IDs))
	for _, id := range t.IDs {
		if r := t.ByID[id]; !r.Deleted {
			out = append(out, r.Clone())
		}
	}
	return out
}

// Lead returns a copy of one lead, deleted or not.
func (a *Account) Lead(id int64) (Record, bool) { return a.record(book.Leads, id) }

// Contact returns a copy of one contact, deleted or not.
func (a *Account) Contact(id int64) (Record, bool) { return a.record(book.Contacts, id) }

func (a *Account) record(kind string, id int64) (Record, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.book.Cards[kind].ByID[id]
	if !ok {
		return Record{}, false
	}
	return r.Clone(), true
}

// Notes returns the notes of a lead, oldest first.
func (a *Account) Notes(leadID int64) []Note { return a.notes(book.Leads, leadID) }

// ContactNotes returns the notes of a contact, oldest first.
func (a *Account) ContactNotes(contactID int64) []Note { return a.notes(book.Contacts, contactID) }

func (a *Account) notes(kind string, id int64) []Note {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Note
	for _, n := range a.book.Notes {
		if n.EntityType == kind && n.EntityID == id {
			out = append(out, n.Clone())
		}
	}
	return out
}

// AllNotes returns every note of the account, oldest first.
func (a *Account) AllNotes() []Note {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]Note, len(a.book.Notes))
	for i, n := range a.book.Notes {
		out[i] = n.Clone()
	}
	return out
}

// Tasks returns every task that is not deleted, oldest first.
func (a *Account) Tasks() []Task {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Task
	for _, t := range a.book.Tasks {
		if !t.Deleted {
			out = append(out, *t)
		}
	}
	return out
}

// UnsortedLeads returns the incoming leads nobody has decided on.
func (a *Account) UnsortedLeads() []Unsorted {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Unsorted
	for _, u := range a.book.Unsorted {
		if u.State == "" {
			out = append(out, *u)
		}
	}
	return out
}

// Events returns the event feed, oldest first.
func (a *Account) Events() []Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]Event, len(a.book.Events))
	for i, e := range a.book.Events {
		out[i] = *e
	}
	return out
}

// StageName returns the names a person reads a lead's place by, "" where unknown.
func (a *Account) StageName(pipelineID, statusID int64) (pipeline, stage string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, ok := a.book.Pipeline(pipelineID)
	if !ok {
		return "", ""
	}
	for _, s := range p.Statuses {
		if s.ID == statusID {
			return p.Name, s.Name
		}
	}
	return p.Name, ""
}

// Doubles names what must not exist twice: leads or contacts that share a
// token of the marker field, calls that share a uniq, notes of one card with
// the same text. Deleted cards do not count; of tasks see TwinTasks.
func (a *Account) Doubles() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.book.Doubles()
}

// TwinTasks names open tasks of one card with the same text. Rules may want
// that, so they are no Doubles.
func (a *Account) TwinTasks() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.book.TwinTasks()
}

// Save writes the whole account, tokens included, as JSON.
func (a *Account) Save(w io.Writer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := json.NewEncoder(w).Encode(a.book); err != nil {
		return fmt.Errorf("saving the account: %w", err)
	}
	return nil
}

// Load replaces the account's memory by a saved one; the search index knows
// all of it at once. Hooks that were on their way stay on their way.
func (a *Account) Load(r io.Reader) error {
	b := a.opt.book()
	if err := json.NewDecoder(r).Decode(b); err != nil {
		return fmt.Errorf("loading the account: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.book.Replace(b)
	for _, t := range b.Cards {
		for _, rec := range t.ByID {
			rec.Reindex(a.opt.Now(), 0)
		}
	}
	return nil
}
