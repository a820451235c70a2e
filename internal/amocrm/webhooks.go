package amocrm

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/jivo-amocrm/bridge/internal/amocrm/lenient"
)

// FeedEvent is one entry of amoCRM's event feed, which tells what hooks may
// have missed (amocrm-api.md §4.12).
type FeedEvent struct {
	ID         string
	Type       string // lead_status_changed, entity_responsible_changed, …
	EntityType string // singular: lead, contact, company, task
	EntityID   int64
	CreatedAt  int64 // unix seconds
	CreatedBy  int64
}

// maxEvents is the most events a page holds (amocrm-api.md §3).
const maxEvents = 100

// Events reads one page (from 1) of what happened to leads, contacts and tasks
// since a moment (unix seconds, inclusive). more is false after the last page.
// The order of the feed is not documented.
func (c *Client) Events(ctx context.Context, from int64, page int) (events []FeedEvent, more bool, err error) {
	q := url.Values{
		"limit":                    {strconv.Itoa(maxEvents)},
		"page":                     {strconv.Itoa(page)},
		"filter[created_at][from]": {strconv.FormatInt(from, 10)},
	}
	type wire struct {
		ID         lenient.Words  `json:"id"`
		Type       lenient.Words  `json:"type"`
		EntityType lenient.Words  `json:"entity_type"`
		EntityID   lenient.Number `json:"entity_id"`
		CreatedAt  lenient.Number `json:"created_at"`
		CreatedBy  lenient.Number `json:"created_by"`
	}
	all, more, err := readPage[wire](ctx, c, "/api/v4/events", "events", q)
	for _, e := range all {
		events = append(events, FeedEvent{
			ID: string(e.ID), Type: string(e.Type), EntityType: string(e.EntityType),
			EntityID: int64(e.EntityID), CreatedAt: int64(e.CreatedAt), CreatedBy: int64(e.CreatedBy),
		})
	}
	return events, more, err
}

// WebhookInfo is a hook subscription of the account (amocrm-api.md §4.14).
type WebhookInfo struct {
	ID          int64
	Destination string
	Disabled    bool // by amoCRM, after too many bad answers
	Settings    []string
}

type wireWebhook struct {
	ID          lenient.Number `json:"id"`
	Destination lenient.Words  `json:"destination"`
	Disabled    lenient.Truth  `json:"disabled"`
	Settings    lenient.Texts  `json:"settings"`
}

func (w wireWebhook) info() WebhookInfo {
	return WebhookInfo{ID: int64(w.ID), Destination: string(w.Destination), Disabled: bool(w.Disabled), Settings: w.Settings}
}

// Webhooks lists the hook subscriptions with the given destination; with "" all
// of them. It needs an admin's token (else *Refused with status 403).
func (c *Client) Webhooks(ctx context.Context, destination string) ([]WebhookInfo, error) {
	q := url.Values{}
	if destination != "" {
		q.Set("filter[destination]", destination)
	}
	var found []WebhookInfo
	err := pages(ctx, c, "/api/v4/webhooks", "webhooks", q, 1, func(w wireWebhook) bool {
		if destination == "" || string(w.Destination) == destination {
			found = append(found, w.info())
		}
		return true
	})
	return found, err
}

// SubscribeWebhook subscribes a destination to settings (add_lead, …). A
// destination that is subscribed already has its settings replaced, and is enabled again;
// others are not touched. It may be repeated without harm.
func (c *Client) SubscribeWebhook(ctx context.Context, destination string, settings []string) (WebhookInfo, error) {
	body, err := json.Marshal(map[string]any{"destination": destination, "settings": settings, "sort": 10})
	if err != nil {
		return WebhookInfo{}, err
	}
	var w wireWebhook
	_, err = c.send(ctx, http.MethodPost, "/api/v4/webhooks", nil, body, &w)
	return w.info(), err
}
