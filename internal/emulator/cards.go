package emulator

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cardsList is GET /leads, /contacts, /companies (amocrm-api.md §4.2–4.4).
func (c *call) cardsList() answer {
	kind := c.vars["kind"]
	t := c.a.st.Cards[kind]
	bin := kind == leads && slices.Contains(c.with(), "only_deleted")
	query, now := c.q.Get("query"), c.a.opt.Now()
	filtering := c.filtering()
	var found []*Record
	for _, id := range t.IDs {
		r := t.ByID[id]
		if r.Hidden || r.Deleted != bin {
			continue
		}
		if query != "" && !r.matches(query, now) || filtering && !c.passes(r) {
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
	return c.a.opt.FilterEnabled && strings.Contains(c.r.URL.RawQuery, "filter")
}

// passes applies the filters of amocrm-api.md §4.2.
func (c *call) passes(r *Record) bool {
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

func (c *call) passesStatuses(r *Record) bool {
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
func (c *call) passesFields(r *Record) bool {
	for key, want := range c.q {
		rest, ok := strings.CutPrefix(key, "filter[custom_fields_values][")
		if !ok {
			continue
		}
		id, _, _ := strings.Cut(rest, "]")
		def, ok := c.a.st.field(r.Kind, atoi(id), "")
		if !ok || def.Type == "multitext" {
			continue
		}
		f := r.field(def.ID)
		if f == nil || !slices.ContainsFunc(f.Values, func(v Value) bool { return slices.Contains(want, v.Text) }) {
			return false
		}
	}
	return true
}

// sort applies `order`: contacts and companies know no created_at (amocrm-api.md §4.3).
func (c *call) sort(kind string, found []*Record) {
	id := func(r *Record) int64 { return r.ID }
	keys := map[string]func(*Record) int64{"id": id, "updated_at": func(r *Record) int64 { return r.UpdatedAt }}
	if kind == leads {
		keys["created_at"] = func(r *Record) int64 { return r.CreatedAt }
	}
	sortBy(c, found, keys, id)
}

func (c *call) cardByID() answer {
	r, ok := c.a.st.Cards[c.vars["kind"]].live(c.id())
	if !ok {
		return nothing() // documented for leads and contacts (amocrm-api.md §1)
	}
	return hal(c.card(r))
}

// card is the model of a lead, contact or company as read.
func (c *call) card(r *Record) obj {
	tags := make([]obj, len(r.Tags))
	for i, t := range r.Tags {
		tags[i] = obj{"id": t.ID, "name": t.Name, "color": nil}
	}
	linked := []obj{}
	if r.CompanyID != 0 {
		linked = append(linked, obj{"id": r.CompanyID, "_links": c.selfOf(companies, r.CompanyID)})
	}
	embedded := obj{"tags": tags}
	v := obj{
		"id": r.ID, "name": r.Name, "responsible_user_id": r.ResponsibleID, "group_id": 0,
		"created_by": r.CreatedBy, "updated_by": r.UpdatedBy, "created_at": r.CreatedAt, "updated_at": r.UpdatedAt,
		"closest_task_at": orNull(c.a.closestTask(r)), "is_deleted": false, "custom_fields_values": fieldsJSON(r),
		"account_id": c.a.opt.AccountID, "_links": c.selfOf(r.Kind, r.ID), "_embedded": embedded,
		// Keys nobody documented: newer answers grow such ones (amocrm-api.md §4.2).
		"is_computed_by_future": false, "future": obj{"enabled": true, "items": []int{}},
	}
	switch r.Kind {
	case leads:
		embedded["companies"] = linked
		c.leadKeys(r, v, embedded)
	case contacts:
		embedded["companies"] = linked
		v["first_name"], v["last_name"] = r.FirstName, r.LastName
		if slices.Contains(c.with(), leads) {
			embedded[leads] = c.refs(leads, r.Leads)
		}
	case companies:
		if slices.Contains(c.with(), leads) {
			embedded[leads] = c.refs(leads, r.Leads)
		}
		if slices.Contains(c.with(), contacts) {
			embedded[contacts] = c.refs(contacts, c.a.contactsOfCompany(r.ID))
		}
	}
	return v
}

func (c *call) leadKeys(r *Record, v, embedded obj) {
	v["price"] = r.Price
	v["status_id"], v["pipeline_id"], v["loss_reason_id"] = r.StatusID, r.PipelineID, orNull(r.LossReasonID)
	v["closed_at"], v["score"], v["labor_cost"], v["source_id"] = orNull(r.ClosedAt), nil, nil, nil
	v["is_price_computed"] = false
	with := c.with()
	if slices.Contains(with, contacts) {
		list := []obj{}
		for _, l := range r.Contacts {
			if _, ok := c.a.st.Cards[contacts].live(l.ID); ok {
				list = append(list, obj{"id": l.ID, "is_main": l.Main, "_links": c.selfOf(contacts, l.ID)})
			}
		}
		embedded[contacts] = list
	}
	if slices.Contains(with, "loss_reason") {
		reasons := []obj{} // an array, though described as an object
		if l, ok := c.a.st.lossReason(r.LossReasonID); ok {
			reasons = append(reasons, obj{"id": l.ID, "name": l.Name, "sort": 10000})
		}
		embedded["loss_reason"] = reasons
	}
}

func (c *call) refs(kind string, ids []int64) []obj {
	out := []obj{}
	for _, id := range ids {
		if _, ok := c.a.st.Cards[kind].live(id); ok {
			out = append(out, obj{"id": id, "_links": c.selfOf(kind, id)})
		}
	}
	return out
}

func (c *call) cardsCreate() answer {
	kind := c.vars["kind"]
	items, bad := c.items(250)
	if bad == nil {
		bad = c.validateCards(kind, true, items, c.a.cardSchema(kind, true))
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, len(items))
	for i, item := range items {
		r := c.a.createCard(kind, item, c.user)
		out[i] = obj{"id": r.ID, "request_id": requestID(item, i), "_links": c.selfOf(kind, r.ID)}
	}
	return hal(obj{"_links": c.self("/api/v4/" + kind), "_embedded": obj{kind: out}})
}

func (c *call) cardsPatch() answer {
	kind := c.vars["kind"]
	items, bad := c.items(250)
	if bad == nil {
		s := c.a.cardSchema(kind, false)
		s["id"] = spec{kind: integer, required: true, check: existing(kind)}
		bad = c.validateCards(kind, false, items, s)
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, len(items))
	for i, item := range items {
		id, _ := num(item, "id")
		r := c.patchCard(kind, id, item)
		out[i] = obj{"id": r.ID, "updated_at": r.UpdatedAt, "request_id": requestID(item, i), "_links": c.selfOf(kind, r.ID)}
		if kind != leads {
			out[i]["name"] = r.Name
		}
	}
	return hal(obj{"_links": c.self("/api/v4/" + kind), "_embedded": obj{kind: out}})
}

// cardPatch is the single form; it answers flat (amocrm-api.md §4.2).
func (c *call) cardPatch() answer {
	kind := c.vars["kind"]
	item, bad := c.one()
	if bad != nil {
		return *bad
	}
	s := c.a.cardSchema(kind, false)
	item["id"] = json.Number(c.vars["id"])
	s["id"] = spec{kind: integer, check: existing(kind)}
	if bad = c.validateCards(kind, false, []obj{item}, s); bad != nil {
		return *bad
	}
	r := c.patchCard(kind, c.id(), item)
	return hal(obj{"id": r.ID, "updated_at": r.UpdatedAt, "_links": c.selfOf(kind, r.ID)})
}

func (c *call) patchCard(kind string, id int64, item obj) *Record {
	r := c.a.st.Cards[kind].ByID[id]
	before := r.clone()
	c.a.patchCard(r, item, c.user)
	c.a.referee.lost(lostValues(&before, r))
	if len(r.Tags) < len(before.Tags) && asObj(item["_embedded"])["tags"] != nil {
		c.a.referee.lost([]string{"tags of " + strings.TrimSuffix(kind, "s") + " " + itoa(id)})
	}
	return r
}

// validateCards is validate for cards, and what a card's fields forbid each other.
func (c *call) validateCards(kind string, create bool, items []obj, s schema) *answer {
	if bad := c.validate(kind, create, items, s, crossCheck); bad != nil || kind != leads {
		return bad
	}
	return c.checkLoss(items)
}

// checkLoss refuses a loss reason on a lead that is not lost, whole batch and
// all, by entity id (amocrm-api.md §5, I#88).
func (c *call) checkLoss(items []obj) *answer {
	errors := map[string]string{}
	for i, item := range items {
		if reason, ok := num(item, "loss_reason_id"); !ok || reason == 0 {
			continue
		}
		id, patch := num(item, "id")
		status, moved := num(item, "status_id")
		if !moved && patch {
			status = c.a.st.Cards[leads].ByID[id].StatusID
		}
		if status == StatusLost {
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
	return ptr(businessError(errors))
}

// closestTask is when the record's nearest open task is due, or 0.
func (a *Account) closestTask(r *Record) int64 {
	var at int64
	for _, t := range a.st.Tasks {
		if t.EntityType == r.Kind && t.EntityID == r.ID && !t.Completed && !t.Deleted && (at == 0 || t.CompleteTill < at) {
			at = t.CompleteTill
		}
	}
	return at
}

func (a *Account) contactsOfCompany(id int64) []int64 {
	var out []int64
	t := a.st.Cards[contacts]
	for _, cid := range t.IDs {
		if t.ByID[cid].CompanyID == id {
			out = append(out, cid)
		}
	}
	return out
}

func local(loc *time.Location, unix int64) string {
	return time.Unix(unix, 0).In(loc).Format("2006-01-02 15:04:05")
}

// methodOf names the endpoint of a request for the referee's tallies: ids are
// folded, the query is left out.
func methodOf(r *http.Request) string {
	parts := strings.Split(r.URL.Path, "/")
	for i, p := range parts {
		if p != "" && strings.Trim(p, "0123456789") == "" {
			parts[i] = "{id}"
		}
	}
	return r.Method + " " + strings.Join(parts, "/")
}
