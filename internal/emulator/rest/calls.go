package rest

import (
	"net/http"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
	"github.com/jivo-amocrm/bridge/internal/emulator/check"
)

// callsCreate is POST /calls: a call finds its card by the last ten digits of
// the phone; one that finds none is not added (amocrm-api.md §4.13).
func (c *call) callsCreate() answer.Answer {
	items, bad := c.items(250)
	if bad == nil {
		bad = c.validate(items, check.Call())
	}
	if bad != nil {
		return *bad
	}
	added, errors := []obj{}, []obj{}
	for i, item := range items {
		kind, id, ok := c.book.Callee(body.Text(item, "phone"))
		if !ok {
			errors = append(errors, obj{"title": "Entity not found", "status": http.StatusBadRequest,
				"detail": "Entity not found", "request_id": body.RequestID(item, i)})
			continue
		}
		n := c.clerk.AddNote(kind, id, callNote(item), c.user)
		added = append(added, obj{"id": n.ID, "entity_id": id, "entity_type": book.Singular(kind), "account_id": c.book.AccountID(),
			"request_id": body.RequestID(item, i), "_links": c.selfOf("calls", n.ID)})
	}
	status := http.StatusOK
	if len(added) == 0 {
		status = http.StatusBadRequest
	}
	return answer.JSON(status, answer.HALJSON, obj{"_total_items": len(added), "errors": errors, "_embedded": obj{"calls": added}})
}

func callNote(item obj) obj {
	n := obj{"note_type": map[string]string{"inbound": "call_in", "outbound": "call_out"}[body.Text(item, "direction")], "params": obj{}}
	for _, key := range []string{"uniq", "duration", "source", "link", "phone", "call_responsible", "call_result", "call_status"} {
		if v, ok := item[key]; ok {
			body.Object(n["params"])[key] = v
		}
	}
	for _, key := range []string{"created_by", "responsible_user_id", "created_at"} {
		if v, ok := item[key]; ok {
			n[key] = v
		}
	}
	return n
}
