package emulator

import (
	"encoding/json"
	"slices"
	"strings"
)

// cardSchema is what a lead, contact or company may carry when written
// (amocrm-api.md §4.2–4.4).
func (a *Account) cardSchema(kind string, create bool) schema {
	embedded := schema{"tags": {kind: list, null: true, keys: tagKeys()}}
	s := schema{
		"name": {kind: text}, "responsible_user_id": {kind: integer, check: someUser},
		"created_by": {kind: integer, check: someUserOrRobot}, "updated_by": {kind: integer, check: someUserOrRobot},
		"created_at": {kind: integer}, "updated_at": {kind: integer},
		"custom_fields_values": fieldsSpec(), "request_id": {kind: text},
		"tags_to_add": {kind: list, keys: tagKeys()},
		"_embedded":   {kind: object, keys: embedded},
	}
	if !create {
		s["tags_to_delete"] = spec{kind: list, keys: tagKeys()}
	}
	switch kind {
	case contacts:
		s["first_name"], s["last_name"] = spec{kind: text}, spec{kind: text}
	case leads:
		s["price"] = spec{kind: number}
		s["status_id"] = spec{kind: integer}
		s["pipeline_id"] = spec{kind: integer, check: somePipeline}
		s["loss_reason_id"] = spec{kind: integer, null: true, check: someLossReason}
		s["closed_at"] = spec{kind: integer}
		s["visitor_uid"] = spec{kind: text}
		if create {
			embedded["contacts"] = spec{kind: list, keys: schema{
				"id": {kind: integer, required: true, check: existing(contacts)}, "is_main": {kind: boolean}}}
			embedded["companies"] = spec{kind: list, keys: schema{"id": {kind: integer, required: true, check: existing(companies)}}}
			embedded["source"] = spec{kind: object, keys: schema{"external_id": {kind: text}, "type": {kind: text}}}
		}
	}
	return s
}

func tagKeys() schema {
	return schema{"id": {kind: integer}, "name": {kind: text}}
}

// someUser: ids of removed and switched-off users are no valid choice (amocrm-api.md §7.9).
func someUser(ck *checker, path string, v any) {
	id := intOf(v)
	if u, ok := ck.a.st.user(id); !ok || !u.Active {
		ck.choice(path)
	}
}

func someUserOrRobot(ck *checker, path string, v any) {
	if intOf(v) != 0 {
		someUser(ck, path, v)
	}
}

func somePipeline(ck *checker, path string, v any) {
	id := intOf(v)
	if _, ok := ck.a.st.pipeline(id); !ok {
		ck.choice(path)
	}
}

func someLossReason(ck *checker, path string, v any) {
	id := intOf(v)
	if _, ok := ck.a.st.lossReason(id); !ok {
		ck.choice(path)
	}
}

func existing(kind string) func(*checker, string, any) {
	return func(ck *checker, path string, v any) {
		id := intOf(v)
		if _, ok := ck.a.st.Cards[kind].live(id); !ok {
			ck.choice(path)
		}
	}
}

// crossCheck looks at keys that depend on one another: a stage must belong to
// its pipeline, and 142 and 143 need the pipeline named, since all pipelines
// share them (amocrm-api.md §4.2).
func crossCheck(ck *checker, item obj) {
	status, ok := num(item, "status_id")
	if !ok || ck.kind != leads {
		return
	}
	pipeline, named := num(item, "pipeline_id")
	if status == StatusWon || status == StatusLost {
		if !named {
			ck.missing("pipeline_id")
		}
		return
	}
	p, known := ck.a.st.pipelineOf(status)
	if !known || named && p.ID != pipeline {
		ck.choice("status_id")
	}
}

// createCard makes a record of a checked item and tells the world.
func (a *Account) createCard(kind string, item obj, by int64) *Record {
	r := a.makeCard(kind, item, by)
	a.created(r)
	return r
}

func (a *Account) makeCard(kind string, item obj, by int64) *Record {
	now := a.opt.Now().Unix()
	r := &Record{Kind: kind, ID: a.st.id(kind), CreatedBy: by, UpdatedBy: by, ResponsibleID: a.st.TokenUser, CreatedAt: now, UpdatedAt: now}
	if kind == leads {
		p := a.st.mainPipeline()
		r.PipelineID, r.StatusID = p.ID, p.first()
	}
	a.write(r, item)
	if at, ok := num(item, "created_at"); ok {
		r.CreatedAt = at
	}
	if id, ok := num(item, "created_by"); ok {
		r.CreatedBy = id
	}
	if kind == leads && r.Name == "" {
		r.Name = "Сделка #" + itoa(r.ID)
	}
	a.st.Cards[kind].add(r)
	e := asObj(item["_embedded"])
	for _, v := range asList(e["contacts"]) {
		if id, ok := num(asObj(v), "id"); ok {
			a.linkContact(r, id, asObj(v)["is_main"] == true)
		}
	}
	for _, v := range asList(e["companies"]) {
		if id, ok := num(asObj(v), "id"); ok {
			a.linkCompany(r, id)
		}
	}
	return r
}

// patchCard applies a checked item to a record and tells the world.
func (a *Account) patchCard(r *Record, item obj, by int64) {
	before := r.clone()
	r.UpdatedAt, r.UpdatedBy = a.opt.Now().Unix(), by
	a.write(r, item)
	a.changed(&before, r)
}

// write sets what the item carries.
func (a *Account) write(r *Record, m obj) {
	setText := func(key string, p *string) {
		if s, ok := m[key].(string); ok {
			*p = s
		}
	}
	setInt := func(key string, p *int64) {
		if n, ok := num(m, key); ok {
			*p = n
		}
	}
	setText("name", &r.Name)
	setText("first_name", &r.FirstName)
	setText("last_name", &r.LastName)
	if r.Kind == contacts {
		a.nameParts(r, m)
	}
	setInt("responsible_user_id", &r.ResponsibleID)
	setInt("updated_by", &r.UpdatedBy)
	setInt("updated_at", &r.UpdatedAt)
	if n, ok := m["price"].(json.Number); ok {
		r.Price, _ = n.Float64()
	}
	if r.Kind == leads {
		a.writeStage(r, m)
	}
	a.writeFields(r, m["custom_fields_values"])
	a.writeTags(r, m)
	a.reindex(r)
}

// nameParts keeps name and first_name, last_name in step.
func (a *Account) nameParts(r *Record, m obj) {
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
func (a *Account) writeStage(r *Record, m obj) {
	status, moved := num(m, "status_id")
	pipeline, named := num(m, "pipeline_id")
	switch {
	case moved && named:
		r.PipelineID, r.StatusID = pipeline, status
	case moved:
		p, _ := a.st.pipelineOf(status)
		r.PipelineID, r.StatusID = p.ID, status
	case named && pipeline != r.PipelineID:
		p, _ := a.st.pipeline(pipeline)
		r.PipelineID, r.StatusID = pipeline, p.first()
	}
	if id, ok := num(m, "loss_reason_id"); ok {
		r.LossReasonID = id
	} else if v, sent := m["loss_reason_id"]; sent && v == nil {
		r.LossReasonID = 0
	}
	if r.StatusID != StatusLost {
		r.LossReasonID = 0
	}
	switch closed, ok := num(m, "closed_at"); {
	case !r.Closed():
		r.ClosedAt = 0
	case ok:
		r.ClosedAt = closed
	case r.ClosedAt == 0:
		r.ClosedAt = a.opt.Now().Unix()
	}
}

// writeTags: `_embedded.tags` replaces the set, tags_to_add and tags_to_delete
// change it (amocrm-api.md §4.2).
func (a *Account) writeTags(r *Record, m obj) {
	if e := asObj(m["_embedded"]); e != nil {
		if v, sent := e["tags"]; sent {
			r.Tags = nil
			a.addTags(r, v)
		}
	}
	a.addTags(r, m["tags_to_add"])
	for _, v := range asList(m["tags_to_delete"]) {
		id, _ := num(asObj(v), "id")
		name := str(asObj(v), "name")
		r.Tags = slices.DeleteFunc(r.Tags, func(t Tag) bool { return id != 0 && t.ID == id || id == 0 && t.Name == name })
	}
}

func (a *Account) addTags(r *Record, v any) {
	for _, e := range asList(v) {
		id, _ := num(asObj(e), "id")
		t, ok := a.tag(r.Kind, id, str(asObj(e), "name"))
		if ok && !r.hasTag(t.Name) {
			r.Tags = append(r.Tags, t)
		}
	}
}

// tag finds a tag of the kind's own dictionary or makes it.
func (a *Account) tag(kind string, id int64, name string) (Tag, bool) {
	for _, t := range a.st.Tags[kind] {
		if id != 0 && t.ID == id || name != "" && t.Name == name {
			return t, true
		}
	}
	if name == "" {
		return Tag{}, false
	}
	t := Tag{ID: a.st.id("tags"), Name: name}
	a.st.Tags[kind] = append(a.st.Tags[kind], t)
	return t, true
}

// linkContact ties a contact to a lead; the first one is the main one.
func (a *Account) linkContact(lead *Record, id int64, main bool) {
	ct, ok := a.st.Cards[contacts].ByID[id]
	if !ok {
		return
	}
	main = main || len(lead.Contacts) == 0
	lead.Contacts = slices.DeleteFunc(lead.Contacts, func(l ContactLink) bool { return l.ID == id })
	if main {
		for i := range lead.Contacts {
			lead.Contacts[i].Main = false
		}
	}
	lead.Contacts = append(lead.Contacts, ContactLink{id, main})
	if !slices.Contains(ct.Leads, lead.ID) {
		ct.Leads = append(ct.Leads, lead.ID)
	}
}

// linkCompany ties a company to a lead or contact.
func (a *Account) linkCompany(r *Record, id int64) {
	r.CompanyID = id
	if co, ok := a.st.Cards[companies].ByID[id]; ok && r.Kind == leads && !slices.Contains(co.Leads, r.ID) {
		co.Leads = append(co.Leads, r.ID)
	}
}

func (a *Account) unlinkContact(lead *Record, id int64) {
	lead.Contacts = slices.DeleteFunc(lead.Contacts, func(l ContactLink) bool { return l.ID == id })
	if len(lead.Contacts) > 0 && !slices.ContainsFunc(lead.Contacts, func(l ContactLink) bool { return l.Main }) {
		lead.Contacts[0].Main = true
	}
	if ct, ok := a.st.Cards[contacts].ByID[id]; ok {
		ct.Leads = slices.DeleteFunc(ct.Leads, func(n int64) bool { return n == lead.ID })
	}
}
