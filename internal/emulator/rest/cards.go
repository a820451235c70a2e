package rest

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
	"github.com/jivo-amocrm/bridge/internal/emulator/check"
)

// cardsList is GET /leads, /contacts, /companies (amocrm-api.md §4.2–4.4).
func (c *call) cardsList() answer.Answer {
	kind := c.vars["kind"]
	t := c.book.Cards[kind]
	bin := kind == book.Leads && slices.Contains(c.with(), "only_deleted")
	query, now := c.q.Get("query"), c.clock()
	filtering := c.filtering()
	var found []*book.Record
	for _, id := range t.IDs {
		r := t.ByID[id]
		if r.Hidden || r.Deleted != bin {
			continue
		}
		if query != "" && !r.Matches(query, now) || filtering && !c.passes(r) {
			continue
		}
		found = append(found, r)
	}
	c.sort(kind, found)
	return c.page(kind, len(found), 250, func(i int) obj {
		if bin {
			return obj{"id": found[i].ID, "updated_at": found[i].UpdatedAt, "updated_by": found[i].UpdatedBy,
				"is_deleted": true, "_links": c.selfOf(kind, found[i].ID)}
		}
		return c.card(found[i])
	})
}

// filtering tells whether filters count: without the paid option they are
// ignored without a word (amocrm-api.md §7.14).
func (c *call) filtering() bool {
	return c.opt.FilterEnabled && strings.Contains(c.r.URL.RawQuery, "filter")
}

// passes applies the filters of amocrm-api.md §4.2.
func (c *call) passes(r *book.Record) bool {
	ints := map[string]int64{
		"id": r.ID, "responsible_user_id": r.ResponsibleID, "created_by": r.CreatedBy, "updated_by": r.UpdatedBy,
		"pipeline_id": r.PipelineID,
	}
	for name, have := range ints {
		if want := c.filter(name); want != nil && !slices.Contains(want, itoa(have)) {
			return false
		}
	}
	if want := c.filter("name"); want != nil && !slices.Contains(want, r.Name) {
		return false
	}
	spans := map[string]float64{
		"created_at": float64(r.CreatedAt), "updated_at": float64(r.UpdatedAt), "closed_at": float64(r.ClosedAt), "price": r.Price,
	}
	for name, have := range spans {
		if from, to, ok := c.span(name); ok && (have < from || have > to) {
			return false
		}
	}
	return c.passesStatuses(r) && c.passesFields(r)
}

func (c *call) passesStatuses(r *book.Record) bool {
	q := c.q
	asked := false
	for key := range q {
		stem, ok := strings.CutSuffix(key, "[status_id]")
		if !ok || !strings.HasPrefix(key, "filter[statuses][") {
			continue
		}
		asked = true
		if q.Get(key) == itoa(r.StatusID) && q.Get(stem+"[pipeline_id]") == itoa(r.PipelineID) {
			return true
		}
	}
	return !asked
}

// passesFields filters by custom fields; multitext ones are not in the list of
// supported types and are ignored (amocrm-api.md §4.3).
func (c *call) passesFields(r *book.Record) bool {
	for key, want := range c.q {
		rest, ok := strings.CutPrefix(key, "filter[custom_fields_values][")
		if !ok {
			continue
		}
		id, _, _ := strings.Cut(rest, "]")
		def, ok := c.book.Field(r.Kind, atoi(id), "")
		if !ok || def.Type == "multitext" {
			continue
		}
		f := r.Field(def.ID)
		if f == nil || !slices.ContainsFunc(f.Values, func(v book.Value) bool { return slices.Contains(want, v.Text) }) {
			return false
		}
	}
	return true
}

// sort applies `order`: contacts and companies know no created_at (amocrm-api.md §4.3).
func (c *call) sort(kind string, found []*book.Record) {
	id := func(r *book.Record) int64 { return r.ID }
	keys := map[string]func(*book.Record) int64{"id": id, "updated_at": func(r *book.Record) int64 { return r.UpdatedAt }}
	if kind == book.Leads {
		keys["created_at"] = func(r *book.Record) int64 { return r.CreatedAt }
	}
	sortBy(c, found, keys, id)
}

func (c *call) cardByID() answer.Answer {
	r, ok := c.book.Cards[c.vars["kind"]].Live(c.id())
	if !ok {
		return answer.Nothing() // documented for leads and contacts (amocrm-api.md §1)
	}
	return answer.HAL(c.card(r))
}

// card is the model of a lead, contact or company as read.
func (c *call) card(r *book.Record) obj {
	tags := make([]obj, len(r.Tags))
	for i, t := range r.Tags {
		tags[i] = obj{"id": t.ID, "name": t.Name, "color": nil}
	}
	linked := []obj{}
	if r.CompanyID != 0 {
		linked = append(linked, obj{"id": r.CompanyID, "_links": c.selfOf(book.Companies, r.CompanyID)})
	}
	embedded := obj{"tags": tags}
	v := obj{
		"id": r.ID, "name": r.Name, "responsible_user_id": r.ResponsibleID, "group_id": 0,
		"created_by": r.CreatedBy, "updated_by": r.UpdatedBy, "created_at": r.CreatedAt, "updated_at": r.UpdatedAt,
		"closest_task_at": body.OrNull(c.book.ClosestTask(r)), "is_deleted": false, "custom_fields_values": fieldsJSON(r),
		"account_id": c.book.AccountID(), "_links": c.selfOf(r.Kind, r.ID), "_embedded": embedded,
		// Keys nobody documented: newer answers grow such ones (amocrm-api.md §4.2).
		"is_computed_by_future": false, "future": obj{"enabled": true, "items": []int{}},
	}
	switch r.Kind {
	case book.Leads:
		embedded["companies"] = linked
		c.leadKeys(r, v, embedded)
	case book.Contacts:
		embedded["companies"] = linked
		v["first_name"], v["last_name"] = r.FirstName, r.LastName
		if slices.Contains(c.with(), book.Leads) {
			embedded[book.Leads] = c.refs(book.Leads, r.Leads)
		}
	case book.Companies:
		if slices.Contains(c.with(), book.Leads) {
			embedded[book.Leads] = c.refs(book.Leads, r.Leads)
		}
		if slices.Contains(c.with(), book.Contacts) {
			embedded[book.Contacts] = c.refs(book.Contacts, c.book.ContactsOfCompany(r.ID))
		}
	}
	return v
}

func (c *call) leadKeys(r *book.Record, v, embedded obj) {
	v["price"] = r.Price
	v["status_id"], v["pipeline_id"], v["loss_reason_id"] = r.StatusID, r.PipelineID, body.OrNull(r.LossReasonID)
	v["closed_at"], v["score"], v["labor_cost"], v["source_id"] = body.OrNull(r.ClosedAt), nil, nil, nil
	v["is_price_computed"] = false
	with := c.with()
	if slices.Contains(with, book.Contacts) {
		list := []obj{}
		for _, l := range r.Contacts {
			if _, ok := c.book.Cards[book.Contacts].Live(l.ID); ok {
				list = append(list, obj{"id": l.ID, "is_main": l.Main, "_links": c.selfOf(book.Contacts, l.ID)})
			}
		}
		embedded[book.Contacts] = list
	}
	if slices.Contains(with, "loss_reason") {
		reasons := []obj{} // an array, though described as an object
		if l, ok := c.book.LossReason(r.LossReasonID); ok {
			reasons = append(reasons, obj{"id": l.ID, "name": l.Name, "sort": 10000})
		}
		embedded["loss_reason"] = reasons
	}
}

func (c *call) refs(kind string, ids []int64) []obj {
	out := []obj{}
	for _, id := range ids {
		if _, ok := c.book.Cards[kind].Live(id); ok {
			out = append(out, obj{"id": id, "_links": c.selfOf(kind, id)})
		}
	}
	return out
}

func (c *call) cardsCreate() answer.Answer {
	kind := c.vars["kind"]
	items, bad := c.items(250)
	if bad == nil {
		bad = c.validateCards(kind, items, check.Card(kind))
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, len(items))
	for i, item := range items {
		r := c.clerk.Create(kind, item, c.user)
		out[i] = obj{"id": r.ID, "request_id": body.RequestID(item, i), "_links": c.selfOf(kind, r.ID)}
	}
	return answer.HAL(obj{"_links": c.self("/api/v4/" + kind), "_embedded": obj{kind: out}})
}

func (c *call) cardsPatch() answer.Answer {
	kind := c.vars["kind"]
	items, bad := c.items(250)
	if bad == nil {
		bad = c.validateCards(kind, items, check.CardPatch(kind))
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, len(items))
	for i, item := range items {
		id, _ := body.Int(item, "id")
		r := c.patchCard(kind, id, item)
		out[i] = obj{"id": r.ID, "updated_at": r.UpdatedAt, "request_id": body.RequestID(item, i), "_links": c.selfOf(kind, r.ID)}
		if kind != book.Leads {
			out[i]["name"] = r.Name
		}
	}
	return answer.HAL(obj{"_links": c.self("/api/v4/" + kind), "_embedded": obj{kind: out}})
}

// cardPatch is the single form; it answers flat (amocrm-api.md §4.2).
func (c *call) cardPatch() answer.Answer {
	kind := c.vars["kind"]
	item, bad := c.one()
	if bad != nil {
		return *bad
	}
	item["id"] = json.Number(c.vars["id"])
	if bad = c.validateCards(kind, []obj{item}, check.CardPatch(kind)); bad != nil {
		return *bad
	}
	r := c.patchCard(kind, c.id(), item)
	return answer.HAL(obj{"id": r.ID, "updated_at": r.UpdatedAt, "_links": c.selfOf(kind, r.ID)})
}

func (c *call) patchCard(kind string, id int64, item obj) *book.Record {
	r := c.book.Cards[kind].ByID[id]
	before := r.Clone()
	c.clerk.Patch(r, item, c.user)
	c.referee.Lost(book.LostValues(&before, r))
	if len(r.Tags) < len(before.Tags) && body.Object(item["_embedded"])["tags"] != nil {
		c.referee.Lost([]string{"tags of " + strings.TrimSuffix(kind, "s") + " " + itoa(id)})
	}
	return r
}

// validateCards is validate for cards, and what a card's fields forbid each other.
func (c *call) validateCards(kind string, items []obj, f check.Form) *answer.Answer {
	if bad := c.validate(items, f); bad != nil || kind != book.Leads {
		return bad
	}
	return c.checkLoss(items)
}

// checkLoss refuses a loss reason on a lead that is not lost, whole batch and
// all, by entity id (amocrm-api.md §5, I#88).
func (c *call) checkLoss(items []obj) *answer.Answer {
	errors := map[string]string{}
	for i, item := range items {
		if reason, ok := body.Int(item, "loss_reason_id"); !ok || reason == 0 {
			continue
		}
		id, patch := body.Int(item, "id")
		status, moved := body.Int(item, "status_id")
		if !moved && patch {
			status = c.book.Cards[book.Leads].ByID[id].StatusID
		}
		if status == book.StatusLost {
			continue
		}
		key := strconv.Itoa(i)
		if patch {
			key = itoa(id)
		}
		errors[key] = "Loss reason can be specified only for lost lead"
		c.violate("loss_reason_id on a lead that is not lost")
	}
	if len(errors) == 0 {
		return nil
	}
	return ptr(answer.BusinessError(errors))
}

// fieldsJSON is `custom_fields_values` as read: null when none is filled.
func fieldsJSON(r *book.Record) any {
	if len(r.Fields) == 0 {
		return nil
	}
	out := make([]obj, len(r.Fields))
	for i, f := range r.Fields {
		values := make([]obj, len(f.Values))
		for j, v := range f.Values {
			values[j] = valueJSON(f.Type, v)
		}
		out[i] = obj{
			"field_id": f.ID, "field_name": f.Name, "field_code": body.TextOrNull(f.Code),
			"field_type": f.Type, "is_computed": false, "values": values,
		}
	}
	return out
}

func valueJSON(fieldType string, v book.Value) obj {
	switch fieldType {
	case "checkbox":
		return obj{"value": v.Text == "1"}
	case "date", "date_time", "birthday":
		return obj{"value": v.Unix()}
	}
	m := obj{"value": v.Text}
	if v.EnumID != 0 {
		m["enum_id"], m["enum_code"] = v.EnumID, body.TextOrNull(v.EnumCode)
	}
	return m
}
