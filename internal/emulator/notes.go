package emulator

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Note is a note on a card. Params are as sent.
type Note struct {
	ID            int64
	EntityType    string // leads | contacts | companies
	EntityID      int64
	Type          string
	Params        map[string]any
	CreatedBy     int64
	UpdatedBy     int64
	ResponsibleID int64
	CreatedAt     int64
	UpdatedAt     int64
	Trigger       bool // is_need_to_trigger_digital_pipeline
}

// Text is the note's text, "" for a call.
func (n Note) Text() string { return str(n.Params, "text") }

// Uniq is a call note's uniq, "" for others.
func (n Note) Uniq() string { return str(n.Params, "uniq") }

func (n *Note) clone() Note {
	c := *n
	c.Params = maps.Clone(n.Params)
	return c
}

// noteParams are the ten editable note types and their params (amocrm-api.md §4.6).
func noteParams(kind string) (schema, bool) {
	need := spec{kind: text, required: true}
	phoneCall := schema{
		"uniq": {kind: text}, "duration": {kind: integer, required: true}, "source": need, "link": {kind: text},
		"phone": need, "call_responsible": {kind: anything}, "call_result": {kind: text}, "call_status": {kind: integer},
	}
	sms := schema{"text": need, "phone": need}
	service := schema{"service": need, "text": need}
	s, ok := map[string]schema{
		"common": {"text": need}, "call_in": phoneCall, "call_out": phoneCall,
		"service_message": service, "extended_service_message": service,
		"message_cashier": {"text": need, "status": {kind: text, required: true, check: cashierStatus}},
		"geolocation":     {"text": need, "address": need, "longitude": need, "latitude": need},
		"sms_in":          sms, "sms_out": sms,
		"attachment": {"file_uuid": need, "version_uuid": {kind: text}, "file_name": need},
	}[kind]
	return s, ok
}

func cashierStatus(ck *checker, path string, v any) {
	if v != "created" && v != "shown" && v != "canceled" {
		ck.choice(path)
	}
}

func (c *call) noteSchema(create bool) schema {
	s := schema{
		"note_type": {kind: text, required: create}, "params": {kind: object, required: create},
		"created_by": {kind: integer, check: someUserOrRobot}, "responsible_user_id": {kind: integer, check: someUser},
		"request_id": {kind: text}, "is_need_to_trigger_digital_pipeline": {kind: boolean},
		"created_at": {kind: integer}, "updated_at": {kind: integer},
	}
	if c.vars["id"] == "" {
		s["entity_id"] = spec{kind: integer, required: create, check: existing(c.vars["kind"])}
	}
	if !create {
		s["id"] = spec{kind: integer, required: true}
	}
	return s
}

func (c *call) notesCreate() answer {
	kind := c.vars["kind"]
	items, bad := c.items(250)
	if bad == nil {
		if _, ok := c.a.st.Cards[kind].live(c.id()); c.vars["id"] != "" && !ok {
			return problem(http.StatusNotFound, "Entity not found")
		}
		bad = c.validate(kind, true, items, c.noteSchema(true), func(ck *checker, item obj) {
			ck.params(str(item, "note_type"), item)
		})
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, len(items))
	for i, item := range items {
		id := c.id()
		if c.vars["id"] == "" {
			id, _ = num(item, "entity_id")
		}
		n := c.a.addNote(kind, id, item, c.user)
		out[i] = obj{"id": n.ID, "entity_id": id, "request_id": requestID(item, i), "_links": c.noteSelf(n)}
	}
	return hal(obj{"_links": c.self(c.r.URL.Path), "_embedded": obj{"notes": out}})
}

func (ck *checker) params(noteType string, item obj) {
	s, ok := noteParams(noteType)
	if !ok {
		ck.choice("note_type")
		return
	}
	if p := asObj(item["params"]); p != nil {
		ck.object("params", p, s)
	}
}

func (a *Account) addNote(kind string, id int64, item obj, by int64) *Note {
	now := a.opt.Now().Unix()
	n := &Note{
		ID: a.st.id("notes"), EntityType: kind, EntityID: id, Type: str(item, "note_type"), Params: plain(asObj(item["params"])),
		CreatedBy: by, UpdatedBy: by, CreatedAt: now, UpdatedAt: now,
		Trigger: item["is_need_to_trigger_digital_pipeline"] != false,
	}
	if v, ok := num(item, "created_by"); ok {
		n.CreatedBy, n.UpdatedBy = v, v
	}
	if v, ok := num(item, "created_at"); ok {
		n.CreatedAt, n.UpdatedAt = v, v
	}
	n.ResponsibleID = a.st.Cards[kind].ByID[id].ResponsibleID
	if v, ok := num(item, "responsible_user_id"); ok {
		n.ResponsibleID = v
	}
	a.st.Notes = append(a.st.Notes, n)
	a.noted(n)
	return n
}

// plain turns json.Number into numbers, so that params survive Save and compare.
func plain(m obj) obj {
	out := obj{}
	for k, v := range m {
		if n, ok := v.(json.Number); ok {
			v, _ = n.Int64()
		}
		out[k] = v
	}
	return out
}

func (c *call) notesPatch() answer {
	items, bad := c.items(250)
	if bad == nil {
		bad = c.validate(c.vars["kind"], false, items, c.noteSchema(false), c.notePatchCheck)
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, len(items))
	for i, item := range items {
		n := c.patchNote(item)
		out[i] = obj{"id": n.ID, "entity_id": n.EntityID, "updated_at": n.UpdatedAt, "request_id": requestID(item, i), "_links": c.noteSelf(n)}
	}
	return hal(obj{"_links": c.self(c.r.URL.Path), "_embedded": obj{"notes": out}})
}

func (c *call) notePatch() answer {
	item, bad := c.one()
	if bad != nil {
		return *bad
	}
	item["id"] = json.Number(c.vars["note"])
	if bad = c.validate(c.vars["kind"], false, []obj{item}, c.noteSchema(false), c.notePatchCheck); bad != nil {
		return *bad
	}
	n := c.patchNote(item)
	return hal(obj{"id": n.ID, "entity_id": n.EntityID, "updated_at": n.UpdatedAt, "_links": c.noteSelf(n)})
}

func (c *call) notePatchCheck(ck *checker, item obj) {
	id, _ := num(item, "id")
	n, ok := c.note(id)
	if !ok {
		ck.choice("id")
		return
	}
	if t := str(item, "note_type"); t != "" && t != n.Type {
		ck.choice("note_type")
		return
	}
	ck.params(n.Type, item)
}

func (c *call) patchNote(item obj) *Note {
	id, _ := num(item, "id")
	n, _ := c.note(id)
	if p := asObj(item["params"]); p != nil {
		n.Params = plain(p)
	}
	n.UpdatedAt, n.UpdatedBy = c.now, c.user
	return n
}

// note finds a note of the path's kind, and of its card if the path names one.
func (c *call) note(id int64) (*Note, bool) {
	for _, n := range c.a.st.Notes {
		if n.ID == id && n.EntityType == c.vars["kind"] && (c.vars["id"] == "" || n.EntityID == c.id()) {
			return n, true
		}
	}
	return nil, false
}

func (c *call) noteByID() answer {
	n, ok := c.note(atoi(c.vars["note"]))
	if !ok {
		return nothing()
	}
	return hal(c.noteJSON(n))
}

func (c *call) notesList() answer {
	types, ids, entities := c.filter("note_type"), c.filter("id"), c.filter("entity_id")
	from, to, span := c.span("updated_at")
	var found []*Note
	for _, n := range c.a.st.Notes {
		switch {
		case n.EntityType != c.vars["kind"], c.vars["id"] != "" && n.EntityID != c.id(),
			types != nil && !slices.Contains(types, n.Type), ids != nil && !slices.Contains(ids, itoa(n.ID)),
			entities != nil && !slices.Contains(entities, itoa(n.EntityID)),
			span && (float64(n.UpdatedAt) < from || float64(n.UpdatedAt) > to):
			continue
		}
		found = append(found, n)
	}
	byID := func(n *Note) int64 { return n.ID }
	sortBy(c, found, map[string]func(*Note) int64{"id": byID, "updated_at": func(n *Note) int64 { return n.UpdatedAt }}, byID)
	return c.page("notes", len(found), 250, func(i int) obj { return c.noteJSON(found[i]) })
}

// sortBy applies `order` to a list that is in order of ids.
func sortBy[T any](c *call, list []T, keys map[string]func(T) int64, id func(T) int64) {
	for param, v := range c.q {
		name, ok := strings.CutPrefix(param, "order[")
		if !ok {
			continue
		}
		key, known := keys[strings.TrimSuffix(name, "]")]
		if !known {
			c.violate("cannot be ordered by %s", name)
			continue
		}
		sign := 1
		if v[0] == "desc" {
			sign = -1
		}
		slices.SortStableFunc(list, func(x, y T) int {
			return sign * cmp.Or(cmp.Compare(key(x), key(y)), cmp.Compare(id(x), id(y)))
		})
	}
}

func (c *call) noteSelf(n *Note) obj {
	return c.self("/api/v4/" + n.EntityType + "/" + itoa(n.EntityID) + "/notes/" + itoa(n.ID))
}

func (c *call) noteJSON(n *Note) obj {
	return obj{
		"id": n.ID, "entity_id": n.EntityID, "created_by": n.CreatedBy, "updated_by": n.UpdatedBy,
		"created_at": n.CreatedAt, "updated_at": n.UpdatedAt, "responsible_user_id": n.ResponsibleID, "group_id": 0,
		"note_type": n.Type, "params": n.Params, "account_id": c.a.opt.AccountID, "_links": c.noteSelf(n),
	}
}
