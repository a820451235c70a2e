package emulator

import (
	"net/http"
	"strings"
)

// callsCreate is POST /calls: a call finds its card by the last ten digits of
// the phone; one that finds none is not added (amocrm-api.md §4.13).
func (c *call) callsCreate() answer {
	items, bad := c.items(250)
	if bad == nil {
		bad = c.validate("", true, items, schema{
			"direction": {kind: text, required: true, check: func(ck *checker, path string, v any) {
				if v != "inbound" && v != "outbound" {
					ck.choice(path)
				}
			}},
			"duration": {kind: integer, required: true}, "source": {kind: text, required: true}, "phone": {kind: text, required: true},
			"uniq": {kind: text}, "link": {kind: text}, "call_responsible": {kind: anything}, "call_result": {kind: text},
			"call_status": {kind: integer}, "responsible_user_id": {kind: integer, check: someUser},
			"created_by": {kind: integer, check: someUserOrRobot}, "updated_by": {kind: integer, check: someUserOrRobot},
			"created_at": {kind: integer}, "updated_at": {kind: integer}, "request_id": {kind: text},
		}, nil)
	}
	if bad != nil {
		return *bad
	}
	added, errors := []obj{}, []obj{}
	for i, item := range items {
		kind, id, ok := c.a.callee(str(item, "phone"))
		if !ok {
			errors = append(errors, obj{"title": "Entity not found", "status": http.StatusBadRequest,
				"detail": "Entity not found", "request_id": requestID(item, i)})
			continue
		}
		n := c.a.addNote(kind, id, callNote(item), c.user)
		added = append(added, obj{"id": n.ID, "entity_id": id, "entity_type": singular(kind), "account_id": c.a.opt.AccountID,
			"request_id": requestID(item, i), "_links": c.selfOf("calls", n.ID)})
	}
	status := http.StatusOK
	if len(added) == 0 {
		status = http.StatusBadRequest
	}
	return jsonAnswer(status, halJSON, obj{"_total_items": len(added), "errors": errors, "_embedded": obj{"calls": added}})
}

func callNote(item obj) obj {
	n := obj{"note_type": map[string]string{"inbound": "call_in", "outbound": "call_out"}[str(item, "direction")], "params": obj{}}
	for _, key := range []string{"uniq", "duration", "source", "link", "phone", "call_responsible", "call_result", "call_status"} {
		if v, ok := item[key]; ok {
			asObj(n["params"])[key] = v
		}
	}
	for _, key := range []string{"created_by", "responsible_user_id", "created_at"} {
		if v, ok := item[key]; ok {
			n[key] = v
		}
	}
	return n
}

// callee is the single open lead of the contact or company with the number,
// else the contact or company itself.
func (a *Account) callee(phone string) (string, int64, bool) {
	want := lastTen(digits(phone))
	if want == "" {
		return "", 0, false
	}
	for _, kind := range []string{contacts, companies} {
		t := a.st.Cards[kind]
		for _, id := range t.IDs {
			r, ok := t.live(id)
			if !ok || !r.hasPhone(want) {
				continue
			}
			if open := a.openLeads(r); len(open) == 1 {
				return leads, open[0], true
			}
			return kind, id, true
		}
	}
	return "", 0, false
}

func (r *Record) hasPhone(lastDigits string) bool {
	for _, v := range r.Values("PHONE") {
		if strings.HasSuffix(digits(v), lastDigits) {
			return true
		}
	}
	return false
}

func (a *Account) openLeads(r *Record) []int64 {
	var out []int64
	for _, id := range r.Leads {
		if l, ok := a.st.Cards[leads].live(id); ok && !l.Closed() {
			out = append(out, id)
		}
	}
	return out
}
