package emulator

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// RenamePipeline gives a pipeline another name.
func (a *Account) RenamePipeline(id int64, name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, ok := a.st.pipeline(id)
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
	if p, ok := a.st.pipeline(pipelineID); ok {
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
	a.st.Users = slices.DeleteFunc(a.st.Users, func(u User) bool { return u.ID == id })
}

// AddField adds a custom field to leads, contacts or companies and returns its id.
func (a *Account) AddField(kind string, f FieldDef) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f.ID == 0 {
		f.ID = a.st.id("fields")
	}
	a.st.Fields[kind] = append(a.st.Fields[kind], f)
	return f.ID
}

// RemoveField deletes a custom field and its values.
func (a *Account) RemoveField(kind string, id int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.st.Fields[kind] = slices.DeleteFunc(a.st.Fields[kind], func(f FieldDef) bool { return f.ID == id })
	for _, r := range a.st.Cards[kind].ByID {
		r.Fields = slices.DeleteFunc(r.Fields, func(f Field) bool { return f.ID == id })
	}
}

// Leads returns copies of all leads that are not deleted, unsorted ones included, by id.
func (a *Account) Leads() []Record { return a.records(leads) }

// Contacts returns copies of all contacts that are not deleted, hidden ones included, by id.
func (a *Account) Contacts() []Record { return a.records(contacts) }

// Companies returns copies of all companies that are not deleted, by id.
func (a *Account) Companies() []Record { return a.records(companies) }

func (a *Account) records(kind string) []Record {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.st.Cards[kind]
	out := make([]Record, 0, len(t.IDs))
	for _, id := range t.IDs {
		if r := t.ByID[id]; !r.Deleted {
			out = append(out, r.clone())
		}
	}
	return out
}

// Lead returns a copy of one lead, deleted or not.
func (a *Account) Lead(id int64) (Record, bool) { return a.record(leads, id) }

// Contact returns a copy of one contact, deleted or not.
func (a *Account) Contact(id int64) (Record, bool) { return a.record(contacts, id) }

func (a *Account) record(kind string, id int64) (Record, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.st.Cards[kind].ByID[id]
	if !ok {
		return Record{}, false
	}
	return r.clone(), true
}

// Notes returns the notes of a lead, oldest first.
func (a *Account) Notes(leadID int64) []Note { return a.notes(leads, leadID) }

// ContactNotes returns the notes of a contact, oldest first.
func (a *Account) ContactNotes(contactID int64) []Note { return a.notes(contacts, contactID) }

func (a *Account) notes(kind string, id int64) []Note {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Note
	for _, n := range a.st.Notes {
		if n.EntityType == kind && n.EntityID == id {
			out = append(out, n.clone())
		}
	}
	return out
}

// AllNotes returns every note of the account, oldest first.
func (a *Account) AllNotes() []Note {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]Note, len(a.st.Notes))
	for i, n := range a.st.Notes {
		out[i] = n.clone()
	}
	return out
}

// Tasks returns every task that is not deleted, oldest first.
func (a *Account) Tasks() []Task {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Task
	for _, t := range a.st.Tasks {
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
	for _, u := range a.st.Unsorted {
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
	out := make([]Event, len(a.st.Events))
	for i, e := range a.st.Events {
		out[i] = *e
	}
	return out
}

// StageName returns the names a person reads a lead's place by, "" where unknown.
func (a *Account) StageName(pipelineID, statusID int64) (pipeline, stage string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, ok := a.st.pipeline(pipelineID)
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
	var out []string
	seen := map[string]int64{}
	see := func(key string, id int64) {
		if first, ok := seen[key]; ok && first != id {
			out = append(out, fmt.Sprintf("%s: %d and %d", key, first, id))
			return
		}
		seen[key] = id
	}
	for _, kind := range []string{leads, contacts} {
		t := a.st.Cards[kind]
		for _, id := range t.IDs {
			if r := t.ByID[id]; !r.Deleted {
				for _, token := range markerTokens(kind, r.Value("Jivo ID")) {
					see(singular(kind)+" "+token, id)
				}
			}
		}
	}
	for _, n := range a.st.Notes {
		if u := n.Uniq(); u != "" {
			see("call "+u, n.ID)
		} else {
			see(n.EntityType+" "+itoa(n.EntityID)+" "+n.Type+" "+n.Text(), n.ID)
		}
	}
	return out
}

// TwinTasks names open tasks of one card with the same text. Rules may want
// that, so they are no Doubles.
func (a *Account) TwinTasks() []string {
	var out []string
	seen := map[string]bool{}
	for _, t := range a.Tasks() {
		key := t.EntityType + " " + itoa(t.EntityID) + " task " + t.Text
		if seen[key] && !t.Completed {
			out = append(out, key)
		}
		seen[key] = seen[key] || !t.Completed
	}
	return out
}

// markerTokens are the tokens that must be unique among cards of a kind: a
// client has one contact, a chat or a deal one lead; a client's token on leads
// may repeat, since a client may have several.
func markerTokens(kind, marker string) []string {
	prefix := map[string][]string{leads: {"jv-k", "jv-d"}, contacts: {"jv-c"}}[kind]
	return slices.DeleteFunc(strings.Fields(marker), func(token string) bool {
		return !slices.ContainsFunc(prefix, func(p string) bool { return strings.HasPrefix(token, p) })
	})
}

// Save writes the whole account, tokens included, as JSON.
func (a *Account) Save(w io.Writer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := json.NewEncoder(w).Encode(a.st); err != nil {
		return fmt.Errorf("saving the account: %w", err)
	}
	return nil
}

// Load replaces the account's memory by a saved one; the search index knows
// all of it at once. Hooks that were on their way stay on their way.
func (a *Account) Load(r io.Reader) error {
	st := newState(a.opt)
	if err := json.NewDecoder(r).Decode(st); err != nil {
		return fmt.Errorf("loading the account: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.st = st
	lag := a.opt.IndexLag
	a.opt.IndexLag = 0
	for _, t := range st.Cards {
		for _, rec := range t.ByID {
			a.reindex(rec)
		}
	}
	a.opt.IndexLag = lag
	return nil
}
