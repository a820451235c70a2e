package emulator

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Event is one line of the account's event feed (amocrm-api.md §4.12).
type Event struct {
	N           int64
	Type        string
	EntityType  string // leads | contacts | companies | tasks
	EntityID    int64
	CreatedBy   int64
	CreatedAt   int64
	ValueAfter  any
	ValueBefore any
}

func (a *Account) event(kind string, r *Record, by int64, before, after []obj) {
	a.eventOf(kind, r.Kind, r.ID, by, before, after)
}

func (a *Account) eventOf(kind, entity string, id, by int64, before, after []obj) {
	if before == nil {
		before = []obj{}
	}
	if after == nil {
		after = []obj{}
	}
	a.st.Events = append(a.st.Events, &Event{
		N: a.st.id("events"), Type: kind, EntityType: entity, EntityID: id, CreatedBy: by,
		CreatedAt: a.opt.Now().Unix(), ValueBefore: before, ValueAfter: after,
	})
}

// created tells feed and hooks of a new card.
func (a *Account) created(r *Record) {
	a.event(singular(r.Kind)+"_added", r, r.CreatedBy, nil, nil)
	a.emit("add_"+singular(r.Kind), hookEntity(r.Kind), "add", a.cardPairs(r, nil))
	if r.Kind == leads {
		a.thin(r, "add", nil)
	}
}

// changed tells feed and hooks of a written card. A stage move is an update
// and a status hook, in either order (amocrm-api.md §6.2).
func (a *Account) changed(before, r *Record) {
	a.events(before, r)
	entity, one := hookEntity(r.Kind), singular(r.Kind)
	moved := before.StatusID != r.StatusID || before.PipelineID != r.PipelineID
	passed := before.ResponsibleID != r.ResponsibleID
	update := func() {
		settings := "update_" + one
		if r.Kind != leads && passed { // told as an update, too (amocrm-api.md §6.3)
			settings += ",responsible_" + one
		}
		a.emit(settings, entity, "update", a.cardPairs(r, before))
	}
	rest := func() {
		if r.Kind != leads {
			return
		}
		if moved {
			a.emit("status_lead", entity, "status", a.cardPairs(r, before))
		}
		if passed {
			a.emit("responsible_lead", entity, "responsible", a.cardPairs(r, before))
		}
	}
	if a.rnd.IntN(2) == 0 {
		update()
		rest()
	} else {
		rest()
		update()
	}
	if moved {
		a.thin(r, "status", before)
	}
}

func (a *Account) events(before, r *Record) {
	by := r.UpdatedBy
	if before.StatusID != r.StatusID || before.PipelineID != r.PipelineID {
		stage := func(x *Record) []obj {
			return []obj{{"lead_status": obj{"id": x.StatusID, "pipeline_id": x.PipelineID}}}
		}
		a.event("lead_status_changed", r, by, stage(before), stage(r))
	}
	if before.ResponsibleID != r.ResponsibleID {
		who := func(x *Record) []obj { return []obj{{"responsible_user": obj{"id": x.ResponsibleID}}} }
		a.event("entity_responsible_changed", r, by, who(before), who(r))
	}
	if before.Price != r.Price {
		sale := func(x *Record) []obj { return []obj{{"sale_field_value": obj{"sale": x.Price}}} }
		a.event("sale_field_changed", r, by, sale(before), sale(r))
	}
	if before.Name != r.Name {
		name := func(x *Record) []obj { return []obj{{"name_field_value": obj{"name": x.Name}}} }
		a.event("name_field_changed", r, by, name(before), name(r))
	}
	a.tagEvents(before, r, by)
	a.fieldEvents(before, r, by)
}

func (a *Account) tagEvents(before, r *Record, by int64) {
	tag := func(t Tag) []obj { return []obj{{"tag": obj{"name": t.Name}}} }
	for _, t := range r.Tags {
		if !before.hasTag(t.Name) {
			a.event("entity_tag_added", r, by, nil, tag(t))
		}
	}
	for _, t := range before.Tags {
		if !r.hasTag(t.Name) {
			a.event("entity_tag_deleted", r, by, tag(t), nil)
		}
	}
}

func (a *Account) fieldEvents(before, r *Record, by int64) {
	values := func(f *Field) []obj {
		out := []obj{}
		if f == nil {
			return out
		}
		for _, v := range f.Values {
			out = append(out, obj{"custom_field_value": obj{"field_id": f.ID, "field_type": 1, "enum_id": orNull(v.EnumID), "text": v.Text}})
		}
		return out
	}
	for _, def := range a.st.Fields[r.Kind] {
		was, is := before.field(def.ID), r.field(def.ID)
		if was == nil && is == nil || was != nil && is != nil && slices.Equal(was.Values, is.Values) {
			continue
		}
		a.event("custom_field_"+itoa(def.ID)+"_value_changed", r, by, values(was), values(is))
	}
}

// noted tells feed and hooks of a new note.
func (a *Account) noted(n *Note) {
	kind := map[string]string{
		"common": "common_note_added", "call_in": "incoming_call", "call_out": "outgoing_call", "sms_in": "incoming_sms",
		"sms_out": "outgoing_sms", "attachment": "attachment_note_added", "geolocation": "geo_note_added",
	}[n.Type]
	if kind == "" {
		kind = "service_note_added"
	}
	a.eventOf(kind, n.EntityType, n.EntityID, n.CreatedBy, nil, []obj{{"note": obj{"id": n.ID}}})
	pairs := a.notePairs(n)
	if n.EntityType != leads {
		pairs = append(pairs, pair{"[type]", singular(n.EntityType)})
	}
	a.emit("note_"+singular(n.EntityType), hookEntity(n.EntityType), "note", pairs)
}

func (a *Account) taskAdded(t *Task) {
	a.eventOf("task_added", "tasks", t.ID, t.CreatedBy, nil, nil)
	a.emit("add_task", "task", "add", a.taskPairs(t, nil))
}

func (a *Account) taskChanged(before, t *Task) {
	if t.Completed && !before.Completed {
		a.eventOf("task_completed", "tasks", t.ID, t.UpdatedBy, nil, nil)
	}
	if t.Result != "" && t.Result != before.Result {
		a.eventOf("task_result_added", "tasks", t.ID, t.UpdatedBy, nil, []obj{{"note": obj{"id": t.ID}}})
	}
	if t.CompleteTill != before.CompleteTill {
		a.eventOf("task_deadline_changed", "tasks", t.ID, t.UpdatedBy, nil, nil)
	}
	settings := "update_task"
	if t.ResponsibleID != before.ResponsibleID {
		settings += ",responsible_task"
	}
	a.emit(settings, "task", "update", a.taskPairs(t, before))
}

// eventsMax bounds a page, filterMax the ids of one filter (amocrm-api.md §3).
const (
	eventsMax = 100
	filterMax = 10
)

// eventsList is GET /events, newest first (order undocumented; observed so).
func (c *call) eventsList() answer {
	entities, ids, by := c.filter("entity"), c.filter("entity_id"), c.filter("created_by")
	if len(ids) > filterMax || len(by) > filterMax || len(ids) > 0 && len(entities) != 1 {
		c.violate("events filter: %d entity_id of %d entities, %d created_by", len(ids), len(entities), len(by))
		return problem(http.StatusBadRequest, "Invalid filter")
	}
	types := c.filter("type")
	if len(types) > 1 && slices.ContainsFunc(types, func(t string) bool { return strings.HasPrefix(t, "custom_field_") && t != "custom_field_value_changed" }) {
		c.violate("custom_field_{ID}_value_changed beside other types")
		return problem(http.StatusBadRequest, "Invalid filter")
	}
	from, to, _ := c.span("created_at")
	if after := c.q.Get("filter[created_at]"); after != "" {
		bounds := strings.Split(after, ",")
		from = float64(atoi(bounds[0]))
		if len(bounds) > 1 {
			to = float64(atoi(bounds[1]))
		}
	}
	var found []*Event
	for _, e := range slices.Backward(c.a.st.Events) {
		if float64(e.CreatedAt) < from { // in order of time: nothing older fits
			break
		}
		if float64(e.CreatedAt) > to || entities != nil && !slices.Contains(entities, singular(e.EntityType)) ||
			ids != nil && !slices.Contains(ids, itoa(e.EntityID)) || by != nil && !slices.Contains(by, itoa(e.CreatedBy)) ||
			types != nil && !slices.Contains(types, e.Type) {
			continue
		}
		found = append(found, e)
	}
	return c.page("events", len(found), eventsMax, func(i int) obj { return c.eventJSON(found[i]) })
}

func (c *call) eventJSON(e *Event) obj {
	id := eventID(e.N)
	return obj{
		"id": id, "type": e.Type, "entity_id": e.EntityID, "entity_type": singular(e.EntityType), "created_by": e.CreatedBy,
		"created_at": e.CreatedAt, "value_after": e.ValueAfter, "value_before": e.ValueBefore, "account_id": c.a.opt.AccountID,
		"_links":    c.self("/api/v4/events/" + id),
		"_embedded": obj{"entity": obj{"id": e.EntityID, "_links": c.selfOf(e.EntityType, e.EntityID)}},
	}
}

// eventID is a 26-character id as the feed has them.
func eventID(n int64) string {
	s := strconv.FormatInt(n, 32)
	return "01hx" + strings.Repeat("0", 22-len(s)) + s
}
