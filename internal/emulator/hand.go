package emulator

import (
	"errors"
	"fmt"
	"slices"
)

// The manager's hand: a person working in amoCRM's web interface. Every deed
// shows up in the event feed and goes out as hooks, like the API's own writes.
// The person is the first admin unless a method takes somebody else.

// ErrNoSuch says the hand was asked to touch what does not exist.
var ErrNoSuch = errors.New("no such thing in the account")

// deed runs fn under the lock with the live record and posts the hooks after it.
func (a *Account) deed(kind string, id int64, fn func(r *Record) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.st.Cards[kind].live(id)
	if !ok {
		return fmt.Errorf("%s %d: %w", singular(kind), id, ErrNoSuch)
	}
	if err := fn(r); err != nil {
		return err
	}
	a.postHooks()
	return nil
}

// edit changes a record by hand.
func (a *Account) edit(r *Record, fn func(r *Record)) {
	before := r.clone()
	fn(r)
	r.UpdatedAt, r.UpdatedBy = a.opt.Now().Unix(), a.st.TokenUser
	if r.Kind == leads {
		a.closeOrOpen(r)
	}
	a.reindex(r)
	a.changed(&before, r)
}

func (a *Account) closeOrOpen(r *Record) {
	if r.StatusID != StatusLost {
		r.LossReasonID = 0
	}
	switch {
	case !r.Closed():
		r.ClosedAt = 0
	case r.ClosedAt == 0:
		r.ClosedAt = a.opt.Now().Unix()
	}
}

// MoveLead moves a lead to a stage; pipelineID 0 keeps its pipeline.
func (a *Account) MoveLead(id, statusID, pipelineID int64) error {
	return a.deed(leads, id, func(r *Record) error {
		if pipelineID == 0 {
			pipelineID = r.PipelineID
		}
		p, ok := a.st.pipeline(pipelineID)
		if !ok || !p.has(statusID) {
			return fmt.Errorf("stage %d of pipeline %d: %w", statusID, pipelineID, ErrNoSuch)
		}
		a.edit(r, func(r *Record) { r.PipelineID, r.StatusID = pipelineID, statusID })
		return nil
	})
}

// LoseLead closes a lead as lost for a reason (0: none).
func (a *Account) LoseLead(id, reasonID int64) error {
	return a.deed(leads, id, func(r *Record) error {
		a.edit(r, func(r *Record) { r.StatusID, r.LossReasonID = StatusLost, reasonID })
		return nil
	})
}

// Edit is what a person types into a card: fields by name or code, tags beside
// those that are there. Empty strings and nils leave things alone; a field with
// no values is cleared.
type Edit struct {
	Name   string
	Price  *float64
	Fields map[string][]string
	Tags   []string
}

// EditLead changes a lead by hand.
func (a *Account) EditLead(id int64, e Edit) error { return a.editCard(leads, id, e) }

// EditContact changes a contact by hand.
func (a *Account) EditContact(id int64, e Edit) error { return a.editCard(contacts, id, e) }

func (a *Account) editCard(kind string, id int64, e Edit) error {
	return a.deed(kind, id, func(r *Record) error {
		if err := a.known(kind, e); err != nil {
			return err
		}
		a.edit(r, func(r *Record) { a.apply(r, e) })
		return nil
	})
}

// known refuses an edit of fields the account does not have.
func (a *Account) known(kind string, e Edit) error {
	for name := range e.Fields {
		if !slices.ContainsFunc(a.st.Fields[kind], func(f FieldDef) bool { return f.Name == name || f.Code == name }) {
			return fmt.Errorf("field %q of %s: %w", name, kind, ErrNoSuch)
		}
	}
	return nil
}

func (a *Account) apply(r *Record, e Edit) {
	if e.Name != "" {
		r.Name = e.Name
		if r.Kind == contacts {
			a.nameParts(r, obj{"name": e.Name})
		}
	}
	if e.Price != nil {
		r.Price = *e.Price
	}
	for _, name := range e.Tags {
		if t, _ := a.tag(r.Kind, 0, name); !r.hasTag(name) {
			r.Tags = append(r.Tags, t)
		}
	}
	for _, def := range a.st.Fields[r.Kind] {
		texts, ok := e.Fields[def.Name]
		if !ok && def.Code != "" {
			texts, ok = e.Fields[def.Code]
		}
		if !ok {
			continue
		}
		values := make([]Value, len(texts))
		for i, t := range texts {
			values[i] = storedValue(def, obj{"value": t})
			values[i].Text = t
		}
		r.setField(def, values)
	}
}

// SetPrice sets a lead's budget.
func (a *Account) SetPrice(id int64, price float64) error {
	return a.EditLead(id, Edit{Price: &price})
}

// SetResponsible gives a lead to another user.
func (a *Account) SetResponsible(id, userID int64) error {
	return a.deed(leads, id, func(r *Record) error {
		a.edit(r, func(r *Record) { r.ResponsibleID = userID })
		return nil
	})
}

// SetContactResponsible gives a contact to another user; amoCRM tells it as an update.
func (a *Account) SetContactResponsible(id, userID int64) error {
	return a.deed(contacts, id, func(r *Record) error {
		a.edit(r, func(r *Record) { r.ResponsibleID = userID })
		return nil
	})
}

// DeleteLead puts a lead into the bin: the API answers 204 for it from now on.
func (a *Account) DeleteLead(id int64) error {
	return a.deed(leads, id, func(r *Record) error {
		r.Deleted, r.UpdatedAt, r.UpdatedBy = true, a.opt.Now().Unix(), a.st.TokenUser
		a.event("lead_deleted", r, r.UpdatedBy, nil, nil)
		a.emit("delete_lead", leads, "delete", []pair{{"[id]", itoa(id)}, {"[status_id]", itoa(r.StatusID)}, {"[pipeline_id]", itoa(r.PipelineID)}})
		return nil
	})
}

// RestoreLead takes a lead out of the bin.
func (a *Account) RestoreLead(id int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.st.Cards[leads].ByID[id]
	if r == nil || !r.Deleted {
		return fmt.Errorf("deleted lead %d: %w", id, ErrNoSuch)
	}
	r.Deleted, r.UpdatedAt, r.UpdatedBy = false, a.opt.Now().Unix(), a.st.TokenUser
	a.event("lead_restored", r, r.UpdatedBy, nil, nil)
	a.emit("restore_lead", leads, "restore", a.leadPairs(r, nil))
	a.postHooks()
	return nil
}

// DeleteContact deletes a contact; its leads stay.
func (a *Account) DeleteContact(id int64) error {
	return a.deed(contacts, id, func(r *Record) error {
		a.removeContact(r)
		a.event("contact_deleted", r, a.st.TokenUser, nil, nil)
		return nil
	})
}

// removeContact takes a contact and its links away and says so in a hook.
func (a *Account) removeContact(r *Record) {
	for _, id := range slices.Clone(r.Leads) {
		a.unlinkContact(a.st.Cards[leads].ByID[id], r.ID)
	}
	r.Deleted, r.UpdatedAt = true, a.opt.Now().Unix()
	a.emit("delete_contact", contacts, "delete", []pair{{"[id]", itoa(r.ID)}, {"[type]", "contact"}})
}

// MergeContacts merges two contacts: win keeps its id and gets lose's leads
// and the phones and e-mails it lacks; lose answers 204 from now on
// (amocrm-api.md §7.8, unverified).
func (a *Account) MergeContacts(win, lose int64) error {
	return a.deed(contacts, win, func(w *Record) error {
		l, ok := a.st.Cards[contacts].live(lose)
		if !ok || win == lose {
			return fmt.Errorf("contact %d: %w", lose, ErrNoSuch)
		}
		moved := slices.Clone(l.Leads)
		a.removeContact(l)
		a.edit(w, func(w *Record) {
			for _, f := range l.Fields {
				w.absorb(f)
			}
			for _, id := range moved {
				a.linkContact(a.st.Cards[leads].ByID[id], win, false)
			}
		})
		a.event("entity_merged", w, a.st.TokenUser, nil, nil)
		return nil
	})
}

// absorb adds what a merged contact knew: values of multitext beside the own
// ones, other fields only where empty.
func (r *Record) absorb(f Field) {
	own := r.field(f.ID)
	if own == nil {
		f.Values = slices.Clone(f.Values)
		r.Fields = append(r.Fields, f)
		return
	}
	if f.Type != "multitext" {
		return
	}
	for _, v := range f.Values {
		if !slices.ContainsFunc(own.Values, func(o Value) bool { return o.Text == v.Text }) {
			own.Values = append(own.Values, v)
		}
	}
}

// NewCard is a card made by hand.
type NewCard struct {
	Edit
	Phone      string // contacts
	Email      string
	PipelineID int64 // leads; 0: main
	StatusID   int64 // 0: first stage
	ContactID  int64 // 0: none
}

// CreateLead makes a lead by hand and returns its id.
func (a *Account) CreateLead(n NewCard) (int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.known(leads, n.Edit); err != nil {
		return 0, err
	}
	item := obj{"name": n.Name}
	if n.PipelineID != 0 {
		item["pipeline_id"] = jsonInt(n.PipelineID)
	}
	if n.StatusID != 0 {
		item["status_id"] = jsonInt(n.StatusID)
	}
	r := a.makeCard(leads, item, a.st.TokenUser)
	if n.ContactID != 0 {
		a.linkContact(r, n.ContactID, true)
	}
	a.finish(r, n.Edit)
	return r.ID, nil
}

// CreateContact makes a contact by hand and returns its id.
func (a *Account) CreateContact(n NewCard) (int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.known(contacts, n.Edit); err != nil {
		return 0, err
	}
	r := a.makeCard(contacts, obj{"name": n.Name}, a.st.TokenUser)
	for code, v := range map[string]string{"PHONE": n.Phone, "EMAIL": n.Email} {
		if def, ok := a.st.field(contacts, 0, code); ok && v != "" {
			r.setField(def, []Value{storedValue(def, obj{"value": v})})
		}
	}
	a.finish(r, n.Edit)
	return r.ID, nil
}

func (a *Account) finish(r *Record, e Edit) {
	a.apply(r, e)
	slices.SortFunc(r.Fields, func(x, y Field) int { return int(x.ID - y.ID) })
	a.reindex(r)
	a.created(r)
	a.postHooks()
}

// AddTask puts a task on a lead and returns its id.
func (a *Account) AddTask(leadID int64, text string, due int64, userID int64) (int64, error) {
	var id int64
	err := a.deed(leads, leadID, func(r *Record) error {
		id = a.addTask(obj{"text": text, "complete_till": jsonInt(due), "entity_id": jsonInt(r.ID), "entity_type": leads,
			"responsible_user_id": jsonInt(userID)}, a.st.TokenUser).ID
		return nil
	})
	return id, err
}

// CompleteTask closes a task with a result.
func (a *Account) CompleteTask(id int64, result string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.task(id); !ok {
		return fmt.Errorf("task %d: %w", id, ErrNoSuch)
	}
	a.patchTask(id, obj{"is_completed": true, "result": obj{"text": result}}, a.st.TokenUser)
	a.postHooks()
	return nil
}

// DeleteTask removes a task; its hook has the id alone.
func (a *Account) DeleteTask(id int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, ok := a.task(id)
	if !ok {
		return fmt.Errorf("task %d: %w", id, ErrNoSuch)
	}
	t.Deleted = true
	a.eventOf("task_deleted", "tasks", id, a.st.TokenUser, nil, nil)
	a.emit("delete_task", "task", "delete", []pair{{"[id]", itoa(id)}})
	a.postHooks()
	return nil
}

// AddNote writes a note on a lead and returns its id.
func (a *Account) AddNote(leadID int64, text string) (int64, error) {
	var id int64
	err := a.deed(leads, leadID, func(r *Record) error {
		id = a.addNote(leads, r.ID, obj{"note_type": "common", "params": obj{"text": text}}, a.st.TokenUser).ID
		return nil
	})
	return id, err
}

// AcceptUnsorted accepts the unsorted lead; 0 as stage is the first one.
func (a *Account) AcceptUnsorted(uid string, statusID int64) error {
	return a.decide(uid, func(u *Unsorted) { a.acceptUnsorted(u, a.st.TokenUser, statusID) })
}

// DeclineUnsorted declines the unsorted lead, which then is gone.
func (a *Account) DeclineUnsorted(uid string) error { return a.decide(uid, a.declineUnsorted) }

func (a *Account) decide(uid string, fn func(*Unsorted)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	u, ok := a.unsortedBy(uid)
	if !ok {
		return fmt.Errorf("unsorted %s: %w", uid, ErrNoSuch)
	}
	fn(u)
	a.postHooks()
	return nil
}

// DPEvent fires the digital-pipeline hooks of the lead's stage for something
// other than a move: call_in, chat, mail_in, site_visit (amocrm-api.md §6.6).
func (a *Account) DPEvent(leadID int64, kind string) error {
	return a.deed(leads, leadID, func(r *Record) error {
		a.thin(r, kind, nil)
		return nil
	})
}
