package clerk

import (
	"fmt"
	"slices"

	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// What follows are deeds of the manager's hand: a person, the first admin, who
// works in amoCRM's web interface.

// byHand changes a record by hand.
func (k *Clerk) byHand(r *book.Record, fn func(r *book.Record)) {
	before := r.Clone()
	fn(r)
	r.UpdatedAt, r.UpdatedBy = k.now().Unix(), k.book.TokenUser
	if r.Kind == book.Leads {
		k.closeOrOpen(r)
	}
	k.reindex(r)
	k.changed(&before, r)
}

func (k *Clerk) closeOrOpen(r *book.Record) {
	if r.StatusID != book.StatusLost {
		r.LossReasonID = 0
	}
	switch {
	case !r.Closed():
		r.ClosedAt = 0
	case r.ClosedAt == 0:
		r.ClosedAt = k.now().Unix()
	}
}

// Move moves a lead to a stage; pipelineID 0 keeps its pipeline.
func (k *Clerk) Move(r *book.Record, statusID, pipelineID int64) error {
	if pipelineID == 0 {
		pipelineID = r.PipelineID
	}
	p, ok := k.book.Pipeline(pipelineID)
	if !ok || !p.Has(statusID) {
		return fmt.Errorf("stage %d of pipeline %d: %w", statusID, pipelineID, book.ErrNoSuch)
	}
	k.byHand(r, func(r *book.Record) { r.PipelineID, r.StatusID = pipelineID, statusID })
	return nil
}

// Lose closes a lead as lost for a reason (0: none).
func (k *Clerk) Lose(r *book.Record, reasonID int64) {
	k.byHand(r, func(r *book.Record) { r.StatusID, r.LossReasonID = book.StatusLost, reasonID })
}

// Give gives a card to another user.
func (k *Clerk) Give(r *book.Record, userID int64) {
	k.byHand(r, func(r *book.Record) { r.ResponsibleID = userID })
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

// Edit changes a card. It fails with ErrNoSuch if the account has no such field.
func (k *Clerk) Edit(r *book.Record, e Edit) error {
	if err := k.known(r.Kind, e); err != nil {
		return err
	}
	k.byHand(r, func(r *book.Record) { k.apply(r, e) })
	return nil
}

// known refuses an edit of fields the account does not have.
func (k *Clerk) known(kind string, e Edit) error {
	for name := range e.Fields {
		if !slices.ContainsFunc(k.book.Fields[kind], func(f book.FieldDef) bool { return f.Name == name || f.Code == name }) {
			return fmt.Errorf("field %q of %s: %w", name, kind, book.ErrNoSuch)
		}
	}
	return nil
}

func (k *Clerk) apply(r *book.Record, e Edit) {
	if e.Name != "" {
		r.Name = e.Name
		if r.Kind == book.Contacts {
			nameParts(r, obj{"name": e.Name})
		}
	}
	if e.Price != nil {
		r.Price = *e.Price
	}
	for _, name := range e.Tags {
		if t, _ := k.book.Tag(r.Kind, 0, name); !r.HasTag(name) {
			r.Tags = append(r.Tags, t)
		}
	}
	for _, def := range k.book.Fields[r.Kind] {
		texts, ok := e.Fields[def.Name]
		if !ok && def.Code != "" {
			texts, ok = e.Fields[def.Code]
		}
		if !ok {
			continue
		}
		values := make([]book.Value, len(texts))
		for i, t := range texts {
			values[i] = storedValue(def, obj{"value": t})
			values[i].Text = t
		}
		r.SetField(def, values)
	}
}

// DeleteLead puts a lead into the bin.
func (k *Clerk) DeleteLead(r *book.Record) {
	r.Deleted, r.UpdatedAt, r.UpdatedBy = true, k.now().Unix(), k.book.TokenUser
	k.event("lead_deleted", r, r.UpdatedBy, nil, nil)
	k.out.LeadDeleted(r)
}

// RestoreLead takes a lead out of the bin.
func (k *Clerk) RestoreLead(r *book.Record) {
	r.Deleted, r.UpdatedAt, r.UpdatedBy = false, k.now().Unix(), k.book.TokenUser
	k.event("lead_restored", r, r.UpdatedBy, nil, nil)
	k.out.LeadRestored(r)
}

// DeleteContact deletes a contact; its leads stay.
func (k *Clerk) DeleteContact(r *book.Record) {
	k.removeContact(r)
	k.event("contact_deleted", r, k.book.TokenUser, nil, nil)
}

// removeContact takes a contact and its links away and says so in a hook.
func (k *Clerk) removeContact(r *book.Record) {
	for _, id := range slices.Clone(r.Leads) {
		k.book.UnlinkContact(k.book.Cards[book.Leads].ByID[id], r.ID)
	}
	r.Deleted, r.UpdatedAt = true, k.now().Unix()
	k.out.ContactDeleted(r)
}

// MergeContacts merges contact lose into w, which gets its leads and the phones
// and e-mails it lacks (amocrm-api.md §7.8, unverified). It fails with
// ErrNoSuch if lose is no other contact.
func (k *Clerk) MergeContacts(w *book.Record, lose int64) error {
	l, ok := k.book.Cards[book.Contacts].Live(lose)
	if !ok || w.ID == lose {
		return fmt.Errorf("contact %d: %w", lose, book.ErrNoSuch)
	}
	moved := slices.Clone(l.Leads)
	k.removeContact(l)
	k.byHand(w, func(w *book.Record) {
		for _, f := range l.Fields {
			absorb(w, f)
		}
		for _, id := range moved {
			k.book.LinkContact(k.book.Cards[book.Leads].ByID[id], w.ID, false)
		}
	})
	k.event("entity_merged", w, k.book.TokenUser, nil, nil)
	return nil
}

// absorb adds what a merged contact knew: values of multitext beside the own
// ones, other fields only where empty.
func absorb(r *book.Record, f book.Field) {
	own := r.Field(f.ID)
	if own == nil {
		f.Values = slices.Clone(f.Values)
		r.Fields = append(r.Fields, f)
		return
	}
	if f.Type != "multitext" {
		return
	}
	for _, v := range f.Values {
		if !slices.ContainsFunc(own.Values, func(o book.Value) bool { return o.Text == v.Text }) {
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

// NewLead makes a lead. It fails with ErrNoSuch if the account has no such field.
func (k *Clerk) NewLead(n NewCard) (*book.Record, error) {
	if err := k.known(book.Leads, n.Edit); err != nil {
		return nil, err
	}
	item := obj{"name": n.Name}
	if n.PipelineID != 0 {
		item["pipeline_id"] = body.Number(n.PipelineID)
	}
	if n.StatusID != 0 {
		item["status_id"] = body.Number(n.StatusID)
	}
	r := k.makeCard(book.Leads, item, k.book.TokenUser)
	if n.ContactID != 0 {
		k.book.LinkContact(r, n.ContactID, true)
	}
	k.finish(r, n.Edit)
	return r, nil
}

// NewContact makes a contact. It fails with ErrNoSuch if the account has no such field.
func (k *Clerk) NewContact(n NewCard) (*book.Record, error) {
	if err := k.known(book.Contacts, n.Edit); err != nil {
		return nil, err
	}
	r := k.makeCard(book.Contacts, obj{"name": n.Name}, k.book.TokenUser)
	for code, v := range map[string]string{"PHONE": n.Phone, "EMAIL": n.Email} {
		if def, ok := k.book.Field(book.Contacts, 0, code); ok && v != "" {
			r.SetField(def, []book.Value{storedValue(def, obj{"value": v})})
		}
	}
	k.finish(r, n.Edit)
	return r, nil
}

func (k *Clerk) finish(r *book.Record, e Edit) {
	k.apply(r, e)
	slices.SortFunc(r.Fields, func(x, y book.Field) int { return int(x.ID - y.ID) })
	k.reindex(r)
	k.created(r)
}

// DeleteTask removes a task.
func (k *Clerk) DeleteTask(t *book.Task) {
	t.Deleted = true
	k.eventOf("task_deleted", "tasks", t.ID, k.book.TokenUser, nil, nil)
	k.out.TaskDeleted(t.ID)
}
