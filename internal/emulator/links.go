package emulator

import (
	"net/http"
	"slices"
	"strconv"
)

// tie is one link as the API spells it.
type tie struct {
	kind   string
	id     int64
	toKind string
	to     int64
	main   bool
}

func (a *Account) ties(r *Record) []tie {
	var out []tie
	for _, l := range r.Contacts {
		out = append(out, tie{r.Kind, r.ID, contacts, l.ID, l.Main})
	}
	if r.CompanyID != 0 {
		out = append(out, tie{r.Kind, r.ID, companies, r.CompanyID, false})
	}
	if r.Kind == leads {
		return out
	}
	for _, id := range r.Leads {
		lead := a.st.Cards[leads].ByID[id]
		out = append(out, tie{r.Kind, r.ID, leads, id, lead != nil && lead.mainContact() == r.ID})
	}
	if r.Kind == companies {
		for _, id := range a.contactsOfCompany(r.ID) {
			out = append(out, tie{r.Kind, r.ID, contacts, id, false})
		}
	}
	return out
}

// json writes a tie; the request says is_main, the answer main_contact (amocrm-api.md §4.5).
func (t tie) json(mass bool) obj {
	v := obj{"to_entity_id": t.to, "to_entity_type": t.toKind, "metadata": nil}
	if t.toKind == contacts {
		v["metadata"] = obj{"main_contact": t.main}
	}
	if mass {
		v["entity_id"], v["entity_type"] = t.id, t.kind
	}
	return v
}

func (c *call) linksOf() answer {
	r, ok := c.a.st.Cards[c.vars["kind"]].live(c.id())
	if !ok {
		return problem(http.StatusNotFound, "Entity not found")
	}
	return c.linkList(c.a.ties(r), false)
}

func (c *call) linksMass() answer {
	var ties []tie
	for _, id := range c.filter("entity_id") {
		if r, ok := c.a.st.Cards[c.vars["kind"]].live(atoi(id)); ok {
			ties = append(ties, c.a.ties(r)...)
		}
	}
	return c.linkList(ties, true)
}

func (c *call) linkList(ties []tie, mass bool) answer {
	if want := c.filter("to_entity_type"); want != nil {
		ties = slices.DeleteFunc(ties, func(t tie) bool { return !slices.Contains(want, t.toKind) })
	}
	if want := c.filter("to_entity_id"); want != nil {
		ties = slices.DeleteFunc(ties, func(t tie) bool { return !slices.Contains(want, itoa(t.to)) })
	}
	items := make([]obj, len(ties))
	for i, t := range ties {
		items[i] = t.json(mass)
	}
	if len(items) == 0 {
		return nothing()
	}
	return hal(obj{"_total_items": len(items), "_links": c.self(c.r.URL.Path), "_embedded": obj{"links": items}})
}

// link ties cards together, from one card or in the mass form where every item
// names its entity_id.
func (c *call) link() answer {
	ties, items, bad := c.tieItems()
	if bad != nil {
		return *bad
	}
	for _, t := range ties {
		if c.a.opt.LinkTwiceFails && c.a.tied(t) {
			c.violate("linking a pair that is linked")
			return problem(http.StatusInternalServerError, "An unknown error occurred.")
		}
	}
	out := make([]obj, len(ties))
	for i, t := range ties {
		c.a.tie(&t, asObj(items[i]["metadata"])["is_main"] == true)
		out[i] = t.json(true)
		if asObj(items[i]["metadata"])["is_main"] == nil && t.toKind == contacts {
			out[i]["metadata"] = obj{"main_contact": t.main}
		}
	}
	return hal(obj{"_total_items": len(out), "_links": c.self(c.r.URL.Path), "_embedded": obj{"links": out}})
}

func (c *call) unlink() answer {
	ties, _, bad := c.tieItems()
	if bad != nil {
		return *bad
	}
	for _, t := range ties {
		c.a.untie(t)
	}
	return nothing()
}

func (c *call) tieItems() ([]tie, []obj, *answer) {
	kind := c.vars["kind"]
	items, bad := c.items(250)
	if bad != nil {
		return nil, nil, bad
	}
	s := schema{
		"to_entity_id":   {kind: integer, required: true},
		"to_entity_type": {kind: text, required: true},
		"metadata": {kind: object, null: true, keys: schema{
			"is_main": {kind: boolean}, "updated_by": {kind: integer, check: someUserOrRobot},
			"quantity": {kind: number}, "catalog_id": {kind: integer}}},
	}
	if c.vars["id"] == "" {
		s["entity_id"] = spec{kind: integer, required: true, check: existing(kind)}
	} else if _, ok := c.a.st.Cards[kind].live(c.id()); !ok {
		return nil, nil, ptr(problem(http.StatusNotFound, "Entity not found"))
	}
	ties := make([]tie, len(items))
	bad = c.validate(kind, true, items, s, func(ck *checker, item obj) { ck.tieTarget(item) })
	if bad != nil {
		return nil, nil, bad
	}
	for i, item := range items {
		id := c.id()
		if c.vars["id"] == "" {
			id, _ = num(item, "entity_id")
		}
		to, _ := num(item, "to_entity_id")
		ties[i] = tie{kind: kind, id: id, toKind: str(item, "to_entity_type"), to: to}
	}
	return ties, items, nil
}

// tieTarget: contacts are linked from the lead's side; contacts take companies
// (amocrm-api.md §4.5).
func (ck *checker) tieTarget(item obj) {
	to, _ := num(item, "to_entity_id")
	kind := str(item, "to_entity_type")
	allowed := map[string][]string{leads: {contacts, companies}, contacts: {companies}, companies: {contacts}}
	if !slices.Contains(allowed[ck.kind], kind) {
		ck.choice("to_entity_type")
		return
	}
	if _, ok := ck.a.st.Cards[kind].live(to); !ok {
		ck.choice("to_entity_id")
	}
}

func (a *Account) tied(t tie) bool {
	r := a.st.Cards[t.kind].ByID[t.id]
	return slices.ContainsFunc(a.ties(r), func(o tie) bool { return o.toKind == t.toKind && o.to == t.to })
}

func (a *Account) tie(t *tie, main bool) {
	r := a.st.Cards[t.kind].ByID[t.id]
	switch {
	case t.kind == leads && t.toKind == contacts:
		if !main { // linking again without is_main does not demote
			main = r.mainContact() == t.to
		}
		a.linkContact(r, t.to, main)
		t.main = r.mainContact() == t.to
	case t.kind == companies:
		a.linkCompany(a.st.Cards[contacts].ByID[t.to], t.id)
	default:
		a.linkCompany(r, t.to)
	}
	a.event("entity_linked", r, a.st.TokenUser, nil, linkValue(*t))
}

func (a *Account) untie(t tie) {
	r := a.st.Cards[t.kind].ByID[t.id]
	switch {
	case t.kind == leads && t.toKind == contacts:
		a.unlinkContact(r, t.to)
	case t.kind == companies:
		a.st.Cards[contacts].ByID[t.to].CompanyID = 0
	case r.CompanyID == t.to:
		r.CompanyID = 0
	}
	a.event("entity_unlinked", r, a.st.TokenUser, linkValue(t), nil)
}

func linkValue(t tie) []obj {
	return []obj{{"link": obj{"entity": obj{"type": singular(t.toKind), "id": t.to}}}}
}

// singular is an entity's name in the events feed.
func singular(kind string) string {
	switch kind {
	case leads:
		return "lead"
	case contacts:
		return "contact"
	case companies:
		return "company"
	}
	return "task"
}

// elementType is the number old interfaces use for a kind (amocrm-api.md §6.3).
func elementType(kind string) string {
	return map[string]string{contacts: "1", leads: "2", companies: "3"}[kind]
}

func index(i int) string { return "[" + strconv.Itoa(i) + "]" }
