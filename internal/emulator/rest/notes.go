package rest

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
	"github.com/jivo-amocrm/bridge/internal/emulator/check"
)

func (c *call) notesCreate() answer.Answer {
	kind := c.vars["kind"]
	items, bad := c.items(250)
	if bad == nil {
		if _, ok := c.book.Cards[kind].Live(c.id()); c.vars["id"] != "" && !ok {
			return answer.Problem(http.StatusNotFound, "Entity not found")
		}
		bad = c.validate(items, check.Note(kind, c.vars["id"] == ""))
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, len(items))
	for i, item := range items {
		id := c.id()
		if c.vars["id"] == "" {
			id, _ = body.Int(item, "entity_id")
		}
		n := c.clerk.AddNote(kind, id, item, c.user)
		out[i] = obj{"id": n.ID, "entity_id": id, "request_id": body.RequestID(item, i), "_links": c.noteSelf(n)}
	}
	return answer.HAL(obj{"_links": c.self(c.r.URL.Path), "_embedded": obj{"notes": out}})
}

func (c *call) notesPatch() answer.Answer {
	items, bad := c.items(250)
	if bad == nil {
		bad = c.validate(items, c.notePatchForm())
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, len(items))
	for i, item := range items {
		n := c.patchNote(item)
		out[i] = obj{"id": n.ID, "entity_id": n.EntityID, "updated_at": n.UpdatedAt, "request_id": body.RequestID(item, i), "_links": c.noteSelf(n)}
	}
	return answer.HAL(obj{"_links": c.self(c.r.URL.Path), "_embedded": obj{"notes": out}})
}

func (c *call) notePatch() answer.Answer {
	item, bad := c.one()
	if bad != nil {
		return *bad
	}
	item["id"] = json.Number(c.vars["note"])
	if bad = c.validate([]obj{item}, c.notePatchForm()); bad != nil {
		return *bad
	}
	n := c.patchNote(item)
	return answer.HAL(obj{"id": n.ID, "entity_id": n.EntityID, "updated_at": n.UpdatedAt, "_links": c.noteSelf(n)})
}

func (c *call) notePatchForm() check.Form {
	return check.NotePatch(c.vars["kind"], c.vars["id"] == "", c.note)
}

func (c *call) patchNote(item obj) *book.Note {
	id, _ := body.Int(item, "id")
	n, _ := c.note(id)
	c.clerk.PatchNote(n, item, c.user)
	return n
}

// note finds a note of the path's kind, and of its card if the path names one.
func (c *call) note(id int64) (*book.Note, bool) {
	for _, n := range c.book.Notes {
		if n.ID == id && n.EntityType == c.vars["kind"] && (c.vars["id"] == "" || n.EntityID == c.id()) {
			return n, true
		}
	}
	return nil, false
}

func (c *call) noteByID() answer.Answer {
	n, ok := c.note(atoi(c.vars["note"]))
	if !ok {
		return answer.Nothing()
	}
	return answer.HAL(c.noteJSON(n))
}

func (c *call) notesList() answer.Answer {
	types, ids, entities := c.filter("note_type"), c.filter("id"), c.filter("entity_id")
	from, to, span := c.span("updated_at")
	var found []*book.Note
	for _, n := range c.book.Notes {
		switch {
		case n.EntityType != c.vars["kind"], c.vars["id"] != "" && n.EntityID != c.id(),
			types != nil && !slices.Contains(types, n.Type), ids != nil && !slices.Contains(ids, itoa(n.ID)),
			entities != nil && !slices.Contains(entities, itoa(n.EntityID)),
			span && (float64(n.UpdatedAt) < from || float64(n.UpdatedAt) > to):
			continue
		}
		found = append(found, n)
	}
	byID := func(n *book.Note) int64 { return n.ID }
	sortBy(c, found, map[string]func(*book.Note) int64{"id": byID, "updated_at": func(n *book.Note) int64 { return n.UpdatedAt }}, byID)
	return c.page("notes", len(found), 250, func(i int) obj { return c.noteJSON(found[i]) })
}

func (c *call) noteSelf(n *book.Note) obj {
	return c.self("/api/v4/" + n.EntityType + "/" + itoa(n.EntityID) + "/notes/" + itoa(n.ID))
}

func (c *call) noteJSON(n *book.Note) obj {
	return obj{
		"id": n.ID, "entity_id": n.EntityID, "created_by": n.CreatedBy, "updated_by": n.UpdatedBy,
		"created_at": n.CreatedAt, "updated_at": n.UpdatedAt, "responsible_user_id": n.ResponsibleID, "group_id": 0,
		"note_type": n.Type, "params": n.Params, "account_id": c.book.AccountID(), "_links": c.noteSelf(n),
	}
}
