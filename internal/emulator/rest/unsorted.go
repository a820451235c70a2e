package rest

import (
	"net/http"
	"slices"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
	"github.com/jivo-amocrm/bridge/internal/emulator/check"
)

// unsortedForms is POST /leads/unsorted/forms (amocrm-api.md §4.11).
func (c *call) unsortedForms() answer.Answer {
	items, bad := c.items(250)
	if bad == nil {
		bad = c.validate(items, check.Unsorted())
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, len(items))
	for i, item := range items {
		out[i] = c.unsortedJSON(c.clerk.AddForm(item, c.user))
		out[i]["request_id"] = body.RequestID(item, i)
	}
	return answer.HAL(obj{"_total_items": len(out), "_links": c.self(c.r.URL.Path), "_embedded": obj{"unsorted": out}})
}

func (c *call) unsortedList() answer.Answer {
	uids, categories, pipes := c.filter("uid"), c.filter("category"), c.filter("pipeline_id")
	var found []*book.Unsorted
	for _, u := range c.book.Unsorted {
		if u.State == "" && (uids == nil || slices.Contains(uids, u.UID)) &&
			(categories == nil || slices.Contains(categories, u.Category)) && (pipes == nil || slices.Contains(pipes, itoa(u.PipelineID))) {
			found = append(found, u)
		}
	}
	at := func(u *book.Unsorted) int64 { return u.CreatedAt }
	sortBy(c, found, map[string]func(*book.Unsorted) int64{"created_at": at, "updated_at": at}, at)
	return c.page("unsorted", len(found), 250, func(i int) obj { return c.unsortedJSON(found[i]) })
}

func (c *call) unsortedOne() answer.Answer {
	u, ok := c.book.UnsortedBy(c.vars["uid"])
	if !ok {
		return answer.Nothing()
	}
	return answer.HAL(c.unsortedJSON(u))
}

func (c *call) unsortedJSON(u *book.Unsorted) obj {
	ref := func(kind string, id int64) []obj {
		if id == 0 {
			return []obj{}
		}
		return []obj{{"id": id, "_links": c.selfOf(kind, id)}}
	}
	return obj{
		"uid": u.UID, "source_uid": u.SourceUID, "source_name": u.SourceName, "category": u.Category, "pipeline_id": u.PipelineID,
		"created_at": u.CreatedAt, "metadata": u.Metadata, "account_id": c.book.AccountID(),
		"_links":    c.self("/api/v4/leads/unsorted/" + u.UID),
		"_embedded": obj{"leads": ref(book.Leads, u.LeadID), "contacts": ref(book.Contacts, u.ContactID), "companies": ref(book.Companies, u.CompanyID)},
	}
}

func (c *call) unsortedAccept() answer.Answer {
	item, bad := c.one()
	if bad == nil {
		bad = c.validate([]obj{item}, check.Acceptance())
	}
	if bad != nil {
		return *bad
	}
	u, ok := c.book.UnsortedBy(c.vars["uid"])
	if !ok {
		return answer.Problem(http.StatusNotFound, "Unsorted not found")
	}
	user, _ := body.Int(item, "user_id")
	status, _ := body.Int(item, "status_id")
	c.clerk.AcceptUnsorted(u, user, status)
	return answer.HAL(c.unsortedJSON(u))
}

func (c *call) unsortedDecline() answer.Answer {
	u, ok := c.book.UnsortedBy(c.vars["uid"])
	if !ok {
		return answer.Problem(http.StatusNotFound, "Unsorted not found")
	}
	c.clerk.DeclineUnsorted(u)
	return answer.HAL(c.unsortedJSON(u))
}
