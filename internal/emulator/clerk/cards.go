package clerk

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// Create makes a record of a checked item and tells the world.
func (k *Clerk) Create(kind string, item obj, by int64) *book.Record {
	r := k.makeCard(kind, item, by)
	k.created(r)
	return r
}

// makeCard makes a record of a checked item and tells nobody yet.
func (k *Clerk) makeCard(kind string, item obj, by int64) *book.Record {
	now := k.now().Unix()
	r := &book.Record{Kind: kind, ID: k.book.NextID(kind), CreatedBy: by, UpdatedBy: by, ResponsibleID: k.book.TokenUser, CreatedAt: now, UpdatedAt: now}
	if kind == book.Leads {
		p := k.book.MainPipeline()
		r.PipelineID, r.StatusID = p.ID, p.First()
	}
	k.write(r, item)
	if at, ok := body.Int(item, "created_at"); ok {
		r.CreatedAt = at
	}
	if id, ok := body.Int(item, "created_by"); ok {
		r.CreatedBy = id
	}
	if kind == book.Leads && r.Name == "" {
		r.Name = "Сделка #" + strconv.FormatInt(r.ID, 10)
	}
	k.book.Cards[kind].Add(r)
	e := body.Object(item["_embedded"])
	for _, v := range body.List(e["contacts"]) {
		if id, ok := body.Int(body.Object(v), "id"); ok {
			k.book.LinkContact(r, id, body.Object(v)["is_main"] == true)
		}
	}
	for _, v := range body.List(e["companies"]) {
		if id, ok := body.Int(body.Object(v), "id"); ok {
			k.book.LinkCompany(r, id)
		}
	}
	return r
}

// Patch applies a checked item to a record and tells the world.
func (k *Clerk) Patch(r *book.Record, item obj, by int64) {
	before := r.Clone()
	r.UpdatedAt, r.UpdatedBy = k.now().Unix(), by
	k.write(r, item)
	k.changed(&before, r)
}

// write sets what the item carries.
func (k *Clerk) write(r *book.Record, m obj) {
	setText := func(key string, p *string) {
		if s, ok := m[key].(string); ok {
			*p = s
		}
	}
	setInt := func(key string, p *int64) {
		if n, ok := body.Int(m, key); ok {
			*p = n
		}
	}
	setText("name", &r.Name)
	setText("first_name", &r.FirstName)
	setText("last_name", &r.LastName)
	if r.Kind == book.Contacts {
		nameParts(r, m)
	}
	setInt("responsible_user_id", &r.ResponsibleID)
	setInt("updated_by", &r.UpdatedBy)
	setInt("updated_at", &r.UpdatedAt)
	if n, ok := m["price"].(json.Number); ok {
		r.Price, _ = n.Float64()
	}
	if r.Kind == book.Leads {
		k.writeStage(r, m)
	}
	k.writeFields(r, m["custom_fields_values"])
	k.writeTags(r, m)
	k.reindex(r)
}

// nameParts keeps name and first_name, last_name in step.
func nameParts(r *book.Record, m obj) {
	if _, ok := m["name"]; ok && m["first_name"] == nil && m["last_name"] == nil {
		r.FirstName, r.LastName, _ = strings.Cut(r.Name, " ")
		return
	}
	if _, ok := m["name"]; !ok {
		r.Name = strings.TrimSpace(r.FirstName + " " + r.LastName)
	}
}

// writeStage moves the lead. closed_at follows the stage, and a reopened lead
// has no loss reason any more (amocrm-api.md §7.7; set by the server: unverified).
func (k *Clerk) writeStage(r *book.Record, m obj) {
	status, moved := body.Int(m, "status_id")
	pipeline, named := body.Int(m, "pipeline_id")
	switch {
	case moved && named:
		r.PipelineID, r.StatusID = pipeline, status
	case moved:
		p, _ := k.book.PipelineOf(status)
		r.PipelineID, r.StatusID = p.ID, status
	case named && pipeline != r.PipelineID:
		p, _ := k.book.Pipeline(pipeline)
		r.PipelineID, r.StatusID = pipeline, p.First()
	}
	if id, ok := body.Int(m, "loss_reason_id"); ok {
		r.LossReasonID = id
	} else if v, sent := m["loss_reason_id"]; sent && v == nil {
		r.LossReasonID = 0
	}
	if r.StatusID != book.StatusLost {
		r.LossReasonID = 0
	}
	switch closed, ok := body.Int(m, "closed_at"); {
	case !r.Closed():
		r.ClosedAt = 0
	case ok:
		r.ClosedAt = closed
	case r.ClosedAt == 0:
		r.ClosedAt = k.now().Unix()
	}
}

// writeTags: `_embedded.tags` replaces the set, tags_to_add and tags_to_delete
// change it (amocrm-api.md §4.2).
func (k *Clerk) writeTags(r *book.Record, m obj) {
	if e := body.Object(m["_embedded"]); e != nil {
		if v, sent := e["tags"]; sent {
			r.Tags = nil
			k.addTags(r, v)
		}
	}
	k.addTags(r, m["tags_to_add"])
	for _, v := range body.List(m["tags_to_delete"]) {
		id, _ := body.Int(body.Object(v), "id")
		name := body.Text(body.Object(v), "name")
		r.Tags = slices.DeleteFunc(r.Tags, func(t book.Tag) bool { return id != 0 && t.ID == id || id == 0 && t.Name == name })
	}
}

func (k *Clerk) addTags(r *book.Record, v any) {
	for _, e := range body.List(v) {
		id, _ := body.Int(body.Object(e), "id")
		t, ok := k.book.Tag(r.Kind, id, body.Text(body.Object(e), "name"))
		if ok && !r.HasTag(t.Name) {
			r.Tags = append(r.Tags, t)
		}
	}
}
