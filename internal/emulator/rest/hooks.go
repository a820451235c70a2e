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

func (c *call) webhooksList() answer.Answer {
	want := c.q.Get("filter[destination]")
	var out []obj
	for _, s := range c.book.Hooks {
		if want == "" || s.Destination == want {
			out = append(out, c.webhookJSON(s))
		}
	}
	return c.dictionary("webhooks", out)
}

func (c *call) webhookJSON(s *book.Subscription) obj {
	return obj{
		"id": s.ID, "destination": s.Destination, "created_at": s.CreatedAt, "updated_at": s.UpdatedAt, "account_id": c.book.AccountID(),
		"created_by": s.CreatedBy, "sort": s.Sort, "disabled": s.Disabled, "settings": s.Settings,
	}
}

// webhooksMost is how many destinations an account has (amocrm-api.md §3).
const webhooksMost = 100

// webhookPut upserts by destination and answers 201 (amocrm-api.md §4.14).
func (c *call) webhookPut() answer.Answer {
	item, bad := c.one()
	if bad == nil {
		bad = c.validate([]obj{item}, check.Subscription())
	}
	if bad != nil {
		return *bad
	}
	if len(c.book.Hooks) >= webhooksMost {
		return answer.Problem(http.StatusUnprocessableEntity, "Webhooks limit reached")
	}
	var settings []string
	for _, v := range body.List(item["settings"]) {
		settings = append(settings, body.Text(obj{"v": v}, "v"))
	}
	sort, _ := body.Int(item, "sort")
	return answer.JSON(http.StatusCreated, answer.HALJSON, c.webhookJSON(c.book.Subscribe(body.Text(item, "destination"), settings, sort, c.clock().Unix())))
}

func (c *call) webhookDelete() answer.Answer {
	var item struct {
		Destination string `json:"destination"`
	}
	if err := json.Unmarshal(c.body, &item); err != nil {
		c.violate("body is not JSON")
		return answer.Problem(http.StatusBadRequest, "Invalid request body")
	}
	n := len(c.book.Hooks)
	c.book.Hooks = slices.DeleteFunc(c.book.Hooks, func(s *book.Subscription) bool { return s.Destination == item.Destination })
	if len(c.book.Hooks) == n {
		return answer.Problem(http.StatusNotFound, "Webhook not found")
	}
	return answer.Nothing()
}
