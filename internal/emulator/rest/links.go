package rest

import (
	"net/http"
	"slices"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
	"github.com/jivo-amocrm/bridge/internal/emulator/check"
)

// tieJSON writes a tie; the request says is_main, the answer main_contact (amocrm-api.md §4.5).
func tieJSON(t book.Tie, mass bool) obj {
	v := obj{"to_entity_id": t.To, "to_entity_type": t.ToKind, "metadata": nil}
	if t.ToKind == book.Contacts {
		v["metadata"] = obj{"main_contact": t.Main}
	}
	if mass {
		v["entity_id"], v["entity_type"] = t.ID, t.Kind
	}
	return v
}

func (c *call) linksOf() answer.Answer {
	r, ok := c.book.Cards[c.vars["kind"]].Live(c.id())
	if !ok {
		return answer.Problem(http.StatusNotFound, "Entity not found")
	}
	return c.linkList(c.book.Ties(r), false)
}

func (c *call) linksMass() answer.Answer {
	var ties []book.Tie
	for _, id := range c.filter("entity_id") {
		if r, ok := c.book.Cards[c.vars["kind"]].Live(atoi(id)); ok {
			ties = append(ties, c.book.Ties(r)...)
		}
	}
	return c.linkList(ties, true)
}

func (c *call) linkList(ties []book.Tie, mass bool) answer.Answer {
	if want := c.filter("to_entity_type"); want != nil {
		ties = slices.DeleteFunc(ties, func(t book.Tie) bool { return !slices.Contains(want, t.ToKind) })
	}
	if want := c.filter("to_entity_id"); want != nil {
		ties = slices.DeleteFunc(ties, func(t book.Tie) bool { return !slices.Contains(want, itoa(t.To)) })
	}
	items := make([]obj, len(ties))
	for i, t := range ties {
		items[i] = tieJSON(t, mass)
	}
	if len(items) == 0 {
		return answer.Nothing()
	}
	return answer.HAL(obj{"_total_items": len(items), "_links": c.self(c.r.URL.Path), "_embedded": obj{"links": items}})
}

// link ties cards together, from one card or in the mass form where every item
// names its entity_id.
func (c *call) link() answer.Answer {
	ties, items, bad := c.tieItems()
	if bad != nil {
		return *bad
	}
	for _, t := range ties {
		if c.opt.LinkTwiceFails && c.book.Tied(t) {
			c.violate("linking a pair that is linked")
			return answer.Problem(http.StatusInternalServerError, "An unknown error occurred.")
		}
	}
	out := make([]obj, len(ties))
	for i, t := range ties {
		c.clerk.Link(&t, body.Object(items[i]["metadata"])["is_main"] == true)
		out[i] = tieJSON(t, true)
		if body.Object(items[i]["metadata"])["is_main"] == nil && t.ToKind == book.Contacts {
			out[i]["metadata"] = obj{"main_contact": t.Main}
		}
	}
	return answer.HAL(obj{"_total_items": len(out), "_links": c.self(c.r.URL.Path), "_embedded": obj{"links": out}})
}

func (c *call) unlink() answer.Answer {
	ties, _, bad := c.tieItems()
	if bad != nil {
		return *bad
	}
	for _, t := range ties {
		c.clerk.Unlink(t)
	}
	return answer.Nothing()
}

func (c *call) tieItems() ([]book.Tie, []obj, *answer.Answer) {
	kind := c.vars["kind"]
	items, bad := c.items(250)
	if bad != nil {
		return nil, nil, bad
	}
	named := c.vars["id"] == ""
	if _, ok := c.book.Cards[kind].Live(c.id()); !named && !ok {
		return nil, nil, ptr(answer.Problem(http.StatusNotFound, "Entity not found"))
	}
	if bad = c.validate(items, check.Link(kind, named)); bad != nil {
		return nil, nil, bad
	}
	ties := make([]book.Tie, len(items))
	for i, item := range items {
		id := c.id()
		if named {
			id, _ = body.Int(item, "entity_id")
		}
		to, _ := body.Int(item, "to_entity_id")
		ties[i] = book.Tie{Kind: kind, ID: id, ToKind: body.Text(item, "to_entity_type"), To: to}
	}
	return ties, items, nil
}
