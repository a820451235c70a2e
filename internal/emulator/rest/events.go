package rest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// eventsMax bounds a page, filterMax the ids of one filter (amocrm-api.md §3).
const (
	eventsMax = 100
	filterMax = 10
)

// eventsList is GET /events, newest first (order undocumented; observed so).
func (c *call) eventsList() answer.Answer {
	entities, ids, by := c.filter("entity"), c.filter("entity_id"), c.filter("created_by")
	if len(ids) > filterMax || len(by) > filterMax || len(ids) > 0 && len(entities) != 1 {
		c.violate("events filter: %d entity_id of %d entities, %d created_by", len(ids), len(entities), len(by))
		return answer.Problem(http.StatusBadRequest, "Invalid filter")
	}
	types := c.filter("type")
	if len(types) > 1 && slices.ContainsFunc(types, func(t string) bool { return strings.HasPrefix(t, "custom_field_") && t != "custom_field_value_changed" }) {
		c.violate("custom_field_{ID}_value_changed beside other types")
		return answer.Problem(http.StatusBadRequest, "Invalid filter")
	}
	from, to, _ := c.span("created_at")
	if after := c.q.Get("filter[created_at]"); after != "" {
		bounds := strings.Split(after, ",")
		from = float64(atoi(bounds[0]))
		if len(bounds) > 1 {
			to = float64(atoi(bounds[1]))
		}
	}
	var found []*book.Event
	for _, e := range slices.Backward(c.book.Events) {
		if float64(e.CreatedAt) < from { // in order of time: nothing older fits
			break
		}
		if float64(e.CreatedAt) > to || entities != nil && !slices.Contains(entities, book.Singular(e.EntityType)) ||
			ids != nil && !slices.Contains(ids, itoa(e.EntityID)) || by != nil && !slices.Contains(by, itoa(e.CreatedBy)) ||
			types != nil && !slices.Contains(types, e.Type) {
			continue
		}
		found = append(found, e)
	}
	return c.page("events", len(found), eventsMax, func(i int) obj { return c.eventJSON(found[i]) })
}

func (c *call) eventJSON(e *book.Event) obj {
	id := eventID(e.N)
	return obj{
		"id": id, "type": e.Type, "entity_id": e.EntityID, "entity_type": book.Singular(e.EntityType), "created_by": e.CreatedBy,
		"created_at": e.CreatedAt, "value_after": e.ValueAfter, "value_before": e.ValueBefore, "account_id": c.book.AccountID(),
		"_links":    c.self("/api/v4/events/" + id),
		"_embedded": obj{"entity": obj{"id": e.EntityID, "_links": c.selfOf(e.EntityType, e.EntityID)}},
	}
}

// eventID is a 26-character id as the feed has them.
func eventID(n int64) string {
	s := strconv.FormatInt(n, 32)
	return "01hx" + strings.Repeat("0", 22-len(s)) + s
}
