package clerk

import (
	"slices"
	"strconv"

	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// event writes a line about a card into the feed.
func (k *Clerk) event(kind string, r *book.Record, by int64, before, after []obj) {
	k.eventOf(kind, r.Kind, r.ID, by, before, after)
}

func (k *Clerk) eventOf(kind, entity string, id, by int64, before, after []obj) {
	if before == nil {
		before = []obj{}
	}
	if after == nil {
		after = []obj{}
	}
	k.book.AddEvent(book.Event{Type: kind, EntityType: entity, EntityID: id, CreatedBy: by,
		CreatedAt: k.now().Unix(), ValueBefore: before, ValueAfter: after})
}

// created tells feed and hooks of a new card.
func (k *Clerk) created(r *book.Record) {
	k.event(book.Singular(r.Kind)+"_added", r, r.CreatedBy, nil, nil)
	k.out.CardAdded(r)
}

// changed tells feed and hooks of a written card.
func (k *Clerk) changed(before, r *book.Record) {
	k.events(before, r)
	k.out.CardChanged(before, r)
}

// events tells the feed what is another than before.
func (k *Clerk) events(before, r *book.Record) {
	by := r.UpdatedBy
	if before.StatusID != r.StatusID || before.PipelineID != r.PipelineID {
		stage := func(x *book.Record) []obj {
			return []obj{{"lead_status": obj{"id": x.StatusID, "pipeline_id": x.PipelineID}}}
		}
		k.event("lead_status_changed", r, by, stage(before), stage(r))
	}
	if before.ResponsibleID != r.ResponsibleID {
		who := func(x *book.Record) []obj { return []obj{{"responsible_user": obj{"id": x.ResponsibleID}}} }
		k.event("entity_responsible_changed", r, by, who(before), who(r))
	}
	if before.Price != r.Price {
		sale := func(x *book.Record) []obj { return []obj{{"sale_field_value": obj{"sale": x.Price}}} }
		k.event("sale_field_changed", r, by, sale(before), sale(r))
	}
	if before.Name != r.Name {
		name := func(x *book.Record) []obj { return []obj{{"name_field_value": obj{"name": x.Name}}} }
		k.event("name_field_changed", r, by, name(before), name(r))
	}
	k.tagEvents(before, r, by)
	k.fieldEvents(before, r, by)
}

func (k *Clerk) tagEvents(before, r *book.Record, by int64) {
	tag := func(t book.Tag) []obj { return []obj{{"tag": obj{"name": t.Name}}} }
	for _, t := range r.Tags {
		if !before.HasTag(t.Name) {
			k.event("entity_tag_added", r, by, nil, tag(t))
		}
	}
	for _, t := range before.Tags {
		if !r.HasTag(t.Name) {
			k.event("entity_tag_deleted", r, by, tag(t), nil)
		}
	}
}

func (k *Clerk) fieldEvents(before, r *book.Record, by int64) {
	values := func(f *book.Field) []obj {
		out := []obj{}
		if f == nil {
			return out
		}
		for _, v := range f.Values {
			out = append(out, obj{"custom_field_value": obj{"field_id": f.ID, "field_type": 1, "enum_id": body.OrNull(v.EnumID), "text": v.Text}})
		}
		return out
	}
	for _, def := range k.book.Fields[r.Kind] {
		was, is := before.Field(def.ID), r.Field(def.ID)
		if was == nil && is == nil || was != nil && is != nil && slices.Equal(was.Values, is.Values) {
			continue
		}
		k.event("custom_field_"+strconv.FormatInt(def.ID, 10)+"_value_changed", r, by, values(was), values(is))
	}
}

// noted tells feed and hooks of a new note.
func (k *Clerk) noted(n *book.Note) {
	kind := map[string]string{
		"common": "common_note_added", "call_in": "incoming_call", "call_out": "outgoing_call", "sms_in": "incoming_sms",
		"sms_out": "outgoing_sms", "attachment": "attachment_note_added", "geolocation": "geo_note_added",
	}[n.Type]
	if kind == "" {
		kind = "service_note_added"
	}
	k.eventOf(kind, n.EntityType, n.EntityID, n.CreatedBy, nil, []obj{{"note": obj{"id": n.ID}}})
	k.out.NoteAdded(n)
}

func (k *Clerk) taskAdded(t *book.Task) {
	k.eventOf("task_added", "tasks", t.ID, t.CreatedBy, nil, nil)
	k.out.TaskAdded(t)
}

func (k *Clerk) taskChanged(before, t *book.Task) {
	if t.Completed && !before.Completed {
		k.eventOf("task_completed", "tasks", t.ID, t.UpdatedBy, nil, nil)
	}
	if t.Result != "" && t.Result != before.Result {
		k.eventOf("task_result_added", "tasks", t.ID, t.UpdatedBy, nil, []obj{{"note": obj{"id": t.ID}}})
	}
	if t.CompleteTill != before.CompleteTill {
		k.eventOf("task_deadline_changed", "tasks", t.ID, t.UpdatedBy, nil, nil)
	}
	k.out.TaskChanged(before, t)
}
