package hook

import "github.com/jivo-amocrm/bridge/internal/emulator/book"

// emit notes something to tell; Post sends it when the request or the
// manager's deed is over.
func (o *Outbox) emit(settings, entity, action string, pairs []pair) {
	o.items = append(o.items, item{settings, entity, action, pairs})
}

// DigitalPipeline sends the digital-pipeline hooks of the stage a lead stands on, at once:
// before tells where it came from, nil if it did not move (amocrm-api.md §6.6).
func (o *Outbox) DigitalPipeline(r *book.Record, action string, before *book.Record) {
	for _, h := range o.book.DPHooks {
		if h.PipelineID == r.PipelineID && (h.StatusID == r.StatusID || h.StatusID == 0) {
			o.post(h.URL, o.thinForm(r, action, before), nil)
		}
	}
}

// CardAdded tells of a new card.
func (o *Outbox) CardAdded(r *book.Record) {
	o.emit("add_"+book.Singular(r.Kind), entityOf(r.Kind), "add", o.cardPairs(r, nil))
	if r.Kind == book.Leads {
		o.DigitalPipeline(r, "add", nil)
	}
}

// CardChanged tells of a written card. A stage move is an update and a status
// hook, in either order (amocrm-api.md §6.2).
func (o *Outbox) CardChanged(before, r *book.Record) {
	entity, one := entityOf(r.Kind), book.Singular(r.Kind)
	moved := before.StatusID != r.StatusID || before.PipelineID != r.PipelineID
	passed := before.ResponsibleID != r.ResponsibleID
	update := func() {
		settings := "update_" + one
		if r.Kind != book.Leads && passed { // told as an update, too (amocrm-api.md §6.3)
			settings += ",responsible_" + one
		}
		o.emit(settings, entity, "update", o.cardPairs(r, before))
	}
	rest := func() {
		if r.Kind != book.Leads {
			return
		}
		if moved {
			o.emit("status_lead", entity, "status", o.cardPairs(r, before))
		}
		if passed {
			o.emit("responsible_lead", entity, "responsible", o.cardPairs(r, before))
		}
	}
	if o.luck.Coin() {
		update()
		rest()
	} else {
		rest()
		update()
	}
	if moved {
		o.DigitalPipeline(r, "status", before)
	}
}

// LeadDeleted tells of a lead put into the bin.
func (o *Outbox) LeadDeleted(r *book.Record) {
	o.emit("delete_lead", book.Leads, "delete", []pair{{"[id]", itoa(r.ID)}, {"[status_id]", itoa(r.StatusID)}, {"[pipeline_id]", itoa(r.PipelineID)}})
}

// LeadRestored tells of a lead taken out of the bin.
func (o *Outbox) LeadRestored(r *book.Record) {
	o.emit("restore_lead", book.Leads, "restore", o.leadPairs(r, nil))
}

// ContactDeleted tells of a contact that is gone.
func (o *Outbox) ContactDeleted(r *book.Record) {
	o.emit("delete_contact", book.Contacts, "delete", []pair{{"[id]", itoa(r.ID)}, {"[type]", "contact"}})
}

// NoteAdded tells of a new note.
func (o *Outbox) NoteAdded(n *book.Note) {
	pairs := o.notePairs(n)
	if n.EntityType != book.Leads {
		pairs = append(pairs, pair{"[type]", book.Singular(n.EntityType)})
	}
	o.emit("note_"+book.Singular(n.EntityType), entityOf(n.EntityType), "note", pairs)
}

// TaskAdded tells of a new task.
func (o *Outbox) TaskAdded(t *book.Task) { o.emit("add_task", "task", "add", o.taskPairs(t, nil)) }

// TaskChanged tells of a written task.
func (o *Outbox) TaskChanged(before, t *book.Task) {
	settings := "update_task"
	if t.ResponsibleID != before.ResponsibleID {
		settings += ",responsible_task"
	}
	o.emit(settings, "task", "update", o.taskPairs(t, before))
}

// TaskDeleted tells of a task that is gone; all it says is the id.
func (o *Outbox) TaskDeleted(id int64) {
	o.emit("delete_task", "task", "delete", []pair{{"[id]", itoa(id)}})
}

// UnsortedAdded tells of an incoming lead.
func (o *Outbox) UnsortedAdded(u *book.Unsorted) {
	o.emit("add_unsorted", "unsorted", "add", []pair{
		{"[uid]", u.UID}, {"[source]", u.SourceName}, {"[source_uid]", u.SourceUID}, {"[category]", u.Category},
		{"[created_at]", itoa(u.CreatedAt)}, {"[pipeline_id]", itoa(u.PipelineID)}, {"[lead_id]", itoa(u.LeadID)},
	})
}

// UnsortedAccepted tells of an incoming lead somebody took: a delete with
// action=accept (amocrm-api.md §6.5).
func (o *Outbox) UnsortedAccepted(u *book.Unsorted, by int64) {
	o.emit("delete_unsorted", "unsorted", "delete", append(decided(u, "accept", by), pair{"[accept_result][leads][0]", itoa(u.LeadID)}))
}

// UnsortedDeclined tells of an incoming lead somebody turned away.
func (o *Outbox) UnsortedDeclined(u *book.Unsorted, by int64) {
	o.emit("delete_unsorted", "unsorted", "delete", append(decided(u, "decline", by), pair{"[decline_result][leads][0]", itoa(u.LeadID)}))
}
