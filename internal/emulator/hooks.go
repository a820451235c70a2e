package emulator

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator/post"
)

// Subscription is one destination of account hooks (amocrm-api.md §4.14).
type Subscription struct {
	ID          int64
	Destination string
	Settings    []string
	Sort        int64
	CreatedAt   int64
	UpdatedAt   int64
	CreatedBy   int64
	Disabled    bool
	Invalid     []int64 // unix times of the last two hours' invalid answers
}

// DPHook is a hook set on a stage of the digital pipeline. StatusID 0 means
// every stage.
type DPHook struct {
	PipelineID int64
	StatusID   int64
	URL        string
}

// EverySetting lists all settings, also those that only the web interface
// knows (unsorted), for Subscribe.
func EverySetting() []string {
	return append(slices.Clone(apiSettings()), "add_unsorted", "update_unsorted", "delete_unsorted")
}

func apiSettings() []string {
	var out []string
	for _, entity := range []string{"lead", "contact", "company"} {
		for _, action := range []string{"add", "update", "delete", "restore", "responsible", "note"} {
			out = append(out, action+"_"+entity)
		}
	}
	for _, action := range []string{"add", "update", "delete", "responsible", "note"} {
		out = append(out, action+"_customer")
	}
	return append(out, "status_lead", "add_task", "update_task", "delete_task", "responsible_task", "add_talk", "update_talk", "add_chat_template_review")
}

// Subscribe makes or replaces a destination, as an admin does in the web
// interface. No settings means every one.
func (a *Account) Subscribe(destination string, settings ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(settings) == 0 {
		settings = EverySetting()
	}
	a.subscribe(destination, settings, 0)
}

func (a *Account) subscribe(destination string, settings []string, sort int64) *Subscription {
	now := a.opt.Now().Unix()
	for _, s := range a.st.Hooks {
		if s.Destination == destination {
			s.Settings, s.Sort, s.UpdatedAt = settings, sort, now
			return s
		}
	}
	s := &Subscription{ID: a.st.id("webhooks"), Destination: destination, Settings: settings, Sort: sort,
		CreatedAt: now, UpdatedAt: now, CreatedBy: a.st.TokenUser}
	a.st.Hooks = append(a.st.Hooks, s)
	return s
}

// Unsubscribe removes a destination.
func (a *Account) Unsubscribe(destination string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.st.Hooks = slices.DeleteFunc(a.st.Hooks, func(s *Subscription) bool { return s.Destination == destination })
}

// SetHookDisabled switches a destination off, or on again by hand.
func (a *Account) SetHookDisabled(destination string, off bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.st.Hooks {
		if s.Destination == destination {
			s.Disabled, s.Invalid = off, nil
		}
	}
}

// Subscriptions returns copies of the account's destinations.
func (a *Account) Subscriptions() []Subscription {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]Subscription, len(a.st.Hooks))
	for i, s := range a.st.Hooks {
		out[i] = *s
		out[i].Settings = slices.Clone(s.Settings)
	}
	return out
}

// DPHook sets a hook on a stage: thin bodies, sent once (amocrm-api.md §6.6).
func (a *Account) DPHook(pipelineID, statusID int64, destination string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.st.DPHooks = append(a.st.DPHooks, DPHook{pipelineID, statusID, destination})
}

// emit notes something to tell; postHooks sends it when the request or the
// manager's deed is over.
func (a *Account) emit(settings, entity, action string, pairs []pair) {
	a.outbox = append(a.outbox, hookItem{settings, entity, action, pairs})
}

// thin sends the digital-pipeline hooks of the stage a lead has entered.
func (a *Account) thin(r *Record, action string, before *Record) {
	for _, h := range a.st.DPHooks {
		if h.PipelineID == r.PipelineID && (h.StatusID == r.StatusID || h.StatusID == 0) {
			a.post(h.URL, a.thinForm(r, action, before), nil)
		}
	}
}

// shuffleWithin is how far hooks may come out of order (amocrm-api.md §6.7).
const shuffleWithin = 2 * time.Second

// postHooks hands the outbox to the courier. The account's lock is held.
func (a *Account) postHooks() {
	items := a.outbox
	a.outbox = nil
	for _, s := range a.st.Hooks {
		if s.Disabled {
			continue
		}
		for _, group := range a.group(wanted(items, s.Settings)) {
			a.post(s.Destination, a.form(group), s)
		}
	}
}

func wanted(items []hookItem, settings []string) []hookItem {
	var out []hookItem
	for _, it := range items {
		if slices.ContainsFunc(strings.Split(it.settings, ","), func(s string) bool { return slices.Contains(settings, s) }) {
			out = append(out, it)
		}
	}
	return out
}

// group puts equal neighbours into one POST if the account does so (amocrm-api.md §6.1).
func (a *Account) group(items []hookItem) [][]hookItem {
	var out [][]hookItem
	for _, it := range items {
		if n := len(out); a.opt.HookGroup && n > 0 && out[n-1][0].entity == it.entity && out[n-1][0].action == it.action {
			out[n-1] = append(out[n-1], it)
			continue
		}
		out = append(out, []hookItem{it})
	}
	return out
}

// post queues one hook, with the account's share of bad luck.
func (a *Account) post(destination, body string, s *Subscription) {
	if a.chance(a.opt.HookLoss) {
		return
	}
	h := &post.Hook{URL: destination, Body: body, ID: a.uuid(), Account: s != nil, Retries: s != nil || a.opt.DPRetries}
	if a.chance(a.opt.HookShuffle) {
		h.Due = time.Now().Add(time.Duration(a.rnd.Int64N(int64(shuffleWithin))))
	}
	twin := *h // before the courier has it
	a.courier.Put(h)
	if a.chance(a.opt.HookDuplicate) {
		a.courier.Put(&twin)
	}
}

// The auto-disable rule of amocrm-api.md §6.7.
const (
	invalidMost   = 100
	invalidWithin = 2 * time.Hour
)

// hookDone is the courier's word on one attempt; it says whether an invalid
// one may be tried again.
func (a *Account) hookDone(h *post.Hook, valid bool) (retry bool) {
	if !h.Account {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.opt.Now()
	for _, s := range a.st.Hooks {
		if s.Destination != h.URL || valid {
			continue
		}
		s.Invalid = append(slices.DeleteFunc(s.Invalid, func(t int64) bool { return t < now.Add(-invalidWithin).Unix() }), now.Unix())
		if len(s.Invalid) > invalidMost {
			s.Disabled = true
			a.courier.Drop(h.URL)
		}
		return !s.Disabled
	}
	return true
}

// FlushHooks waits until every queued hook is delivered or given up, which
// with retries takes up to 95 minutes; it returns ctx's error if that comes first.
func (a *Account) FlushHooks(ctx context.Context) error { return a.courier.Flush(ctx) }

func (c *call) webhooksList() answer {
	want := c.q.Get("filter[destination]")
	var out []obj
	for _, s := range c.a.st.Hooks {
		if want == "" || s.Destination == want {
			out = append(out, c.webhookJSON(s))
		}
	}
	return c.dictionary("webhooks", out)
}

func (c *call) webhookJSON(s *Subscription) obj {
	return obj{
		"id": s.ID, "destination": s.Destination, "created_at": s.CreatedAt, "updated_at": s.UpdatedAt, "account_id": c.a.opt.AccountID,
		"created_by": s.CreatedBy, "sort": s.Sort, "disabled": s.Disabled, "settings": s.Settings,
	}
}

// webhooksMost is how many destinations an account has (amocrm-api.md §3).
const webhooksMost = 100

// webhookPut upserts by destination and answers 201 (amocrm-api.md §4.14).
func (c *call) webhookPut() answer {
	item, bad := c.one()
	if bad == nil {
		bad = c.validate("", true, []obj{item}, schema{
			"destination": {kind: text, required: true, check: someURL}, "sort": {kind: integer},
			"settings": {kind: list, required: true, check: func(ck *checker, path string, v any) {
				for i, e := range asList(v) {
					if s, ok := e.(string); !ok || !slices.Contains(apiSettings(), s) {
						ck.choice(join(path, itoa(int64(i))))
					}
				}
			}},
		}, nil)
	}
	if bad != nil {
		return *bad
	}
	if len(c.a.st.Hooks) >= webhooksMost {
		return problem(http.StatusUnprocessableEntity, "Webhooks limit reached")
	}
	var settings []string
	for _, v := range asList(item["settings"]) {
		settings = append(settings, str(obj{"v": v}, "v"))
	}
	sort, _ := num(item, "sort")
	return jsonAnswer(http.StatusCreated, halJSON, c.webhookJSON(c.a.subscribe(str(item, "destination"), settings, sort)))
}

func someURL(ck *checker, path string, v any) {
	u, err := url.Parse(v.(string)) // the schema checked it
	ascii := err == nil && strings.IndexFunc(u.Host, func(r rune) bool { return r > 127 }) < 0
	if !ascii || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Contains(u.Host, "xn--") {
		ck.choice(path)
	}
}

func (c *call) webhookDelete() answer {
	var item struct {
		Destination string `json:"destination"`
	}
	if err := json.Unmarshal(c.body, &item); err != nil {
		c.violate("body is not JSON")
		return problem(http.StatusBadRequest, "Invalid request body")
	}
	n := len(c.a.st.Hooks)
	c.a.st.Hooks = slices.DeleteFunc(c.a.st.Hooks, func(s *Subscription) bool { return s.Destination == item.Destination })
	if len(c.a.st.Hooks) == n {
		return problem(http.StatusNotFound, "Webhook not found")
	}
	return nothing()
}
