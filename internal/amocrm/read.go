package amocrm

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	"github.com/jivo-amocrm/bridge/internal/amocrm/budget"
	"github.com/jivo-amocrm/bridge/internal/amocrm/lenient"
	"github.com/jivo-amocrm/bridge/internal/amocrm/rest"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// accountPath is what every look at the account reads. Whoever reads it, the
// client learns whether lists heed filters.
const accountPath = "/api/v4/account"

// Account reads the account. It is what probes read, too.
func (c *Client) Account(ctx context.Context) (Account, error) {
	var raw json.RawMessage
	query := url.Values{"with": {"datetime_settings,is_api_filter_enabled"}}
	if _, err := c.Get(ctx, accountPath, query, &raw); err != nil {
		return Account{}, err
	}
	var a struct {
		ID        lenient.Number `json:"id"`
		Name      lenient.Words  `json:"name"`
		Subdomain lenient.Words  `json:"subdomain"`
		Country   lenient.Words  `json:"country"`
		User      lenient.Number `json:"current_user_id"`
		Filters   lenient.Truth  `json:"is_api_filter_enabled"`
		Embedded  struct {
			Time struct {
				Timezone lenient.Words `json:"timezone"`
			} `json:"datetime_settings"`
		} `json:"_embedded"`
	}
	if err := decode(http.StatusOK, raw, &a); err != nil {
		return Account{}, err
	}
	return Account{
		ID: int64(a.ID), Name: string(a.Name), Subdomain: string(a.Subdomain), Country: string(a.Country),
		CurrentUserID: int64(a.User), Timezone: string(a.Embedded.Time.Timezone), FilterEnabled: bool(a.Filters),
	}, nil
}

// What a read by id asks to be told beside the entity.
func withOf(entity string) string {
	switch entity {
	case "leads":
		return "contacts"
	case "contacts":
		return "leads"
	}
	return ""
}

// Lead reads a lead with its contacts. ok is false if there is none (204): it
// never was, or was deleted or merged. Leads wanted at once share a list request where
// the account heeds filters; a lead wanted by many is read once.
func (c *Client) Lead(ctx context.Context, id int64) (lead event.Lead, ok bool, err error) {
	e, ok, err := c.byID(ctx, "leads", id)
	return e.Lead(), ok, err
}

// Contact reads a contact with its leads; see Lead.
func (c *Client) Contact(ctx context.Context, id int64) (contact event.Contact, ok bool, err error) {
	e, ok, err := c.byID(ctx, "contacts", id)
	return e.Contact(), ok, err
}

// Leads reads several leads; those there are none of are missing in the map.
// With an error the map holds what was read.
func (c *Client) Leads(ctx context.Context, ids []int64) (map[int64]event.Lead, error) {
	return readMany(ids, func(id int64) (event.Lead, bool, error) { return c.Lead(ctx, id) })
}

// readMany reads entities at the same time, so that they can share requests,
// maxReads of them at once.
func readMany[T any](ids []int64, read func(int64) (T, bool, error)) (map[int64]T, error) {
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		first error
		found = make(map[int64]T, len(ids))
		free  = make(chan struct{}, maxReads)
	)
	for _, id := range ids {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			v, ok, err := read(id)
			mu.Lock()
			defer mu.Unlock()
			if ok && err == nil {
				found[id] = v
			}
			if first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	return found, first
}

func (c *Client) byID(ctx context.Context, entity string, id int64) (e rest.Entity, ok bool, err error) {
	if id <= 0 {
		return e, false, nil
	}
	j := read(ctx)
	if c.filters.Load() {
		j.group.entity = entity
	}
	path := "/api/v4/" + entity + "/" + strconv.FormatInt(id, 10)
	j.name, j.id, j.call = path, id, &call{method: http.MethodGet, path: path, query: url.Values{"with": {withOf(entity)}}.Encode()}
	o := c.submit(ctx, j)
	if o.err != nil {
		if r, isRefused := o.err.(*Refused); isRefused && r.Status == http.StatusNotFound {
			return e, false, nil
		}
		return e, false, o.err
	}
	if o.status == http.StatusNoContent {
		return e, false, nil
	}
	err = decode(o.status, o.body, &e)
	return e, err == nil && e.ID != 0, err
}

// runReads reads several entities by one list request. Where it turns out that
// the account ignores filters, each is read alone from then on.
func (c *Client) runReads(jobs []*job, s *budget.Slot, token string) (again []*job) {
	if len(jobs) == 1 {
		return c.runCall(jobs[0], s, token)
	}
	entity := jobs[0].group.entity
	query := url.Values{"with": {withOf(entity)}, "limit": {strconv.Itoa(maxItems)}}
	wanted := make(map[int64]*job, len(jobs))
	for _, j := range jobs {
		query.Add("filter[id][]", strconv.FormatInt(j.id, 10))
		wanted[j.id] = j
	}
	path := "/api/v4/" + entity
	c.obs.Batch(budget.Label(path), len(jobs))
	a := c.exchange(c.life, s, token, http.MethodGet, path, query, nil)
	for _, j := range jobs {
		j.requests = append(j.requests, a.request)
	}
	if a.dropped(jobs) {
		return jobs
	}
	if handled, again := c.account(jobs, a, token); handled {
		return again
	}
	if a.verdict != accepted {
		return alone(jobs) // whichever of them is to blame will say so itself
	}
	bodies := map[int64]json.RawMessage{}
	for _, raw := range lenient.List(a.body, entity) {
		var e struct {
			ID lenient.Number `json:"id"`
		}
		if json.Unmarshal(raw, &e) != nil {
			continue
		}
		if wanted[int64(e.ID)] == nil {
			c.filters.Store(false)
			return alone(jobs)
		}
		bodies[int64(e.ID)] = raw
	}
	for _, j := range jobs {
		if raw, ok := bodies[j.id]; ok {
			c.queue.end(j, outcome{status: http.StatusOK, body: raw})
		} else {
			c.queue.end(j, outcome{status: http.StatusNoContent})
		}
	}
	return nil
}

// alone makes jobs share no request any more.
func alone(jobs []*job) []*job {
	for _, j := range jobs {
		j.group = group{}
	}
	return jobs
}

// pages reads a list page by page and gives each entry to take, until take
// says it has enough, a page is empty (204), nothing follows, or most pages are
// read (amocrm-api.md §1).
func pages[T any](ctx context.Context, c *Client, path, collection string, query url.Values, most int, take func(T) (more bool)) error {
	for page := 1; page <= most; page++ {
		query.Set("page", strconv.Itoa(page))
		all, next, err := readPage[T](ctx, c, path, collection, query)
		if err != nil {
			return err
		}
		for _, v := range all {
			if !take(v) {
				return nil
			}
		}
		if !next {
			return nil
		}
	}
	return nil
}

// readPage reads one page of a list; next is false if surely nothing follows.
func readPage[T any](ctx context.Context, c *Client, path, collection string, query url.Values) (all []T, next bool, err error) {
	var raw json.RawMessage
	status, err := c.Get(ctx, path, query, &raw)
	if err != nil || status == http.StatusNoContent {
		return nil, false, err
	}
	var links struct {
		Links struct {
			Next *struct {
				Href lenient.Words `json:"href"`
			} `json:"next"`
		} `json:"_links"`
	}
	_ = json.Unmarshal(raw, &links)
	all = lenient.Entries[T](raw, collection)
	return all, links.Links.Next != nil && len(all) > 0, nil
}

func limited(limit int, with, order string) url.Values {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if with != "" {
		q.Set("with", with)
	}
	if order != "" {
		q.Set("order["+order+"]", "desc")
	}
	return q
}

// TasksOf reads every task of an entity (leads, contacts, companies), done or not.
func (c *Client) TasksOf(ctx context.Context, entity string, id int64) ([]event.Task, error) {
	return c.tasks(ctx, entity, []int64{id}, false)
}

// OpenTasks reads the tasks of some entities that are not done yet. Tasks heed
// filters on every account (amocrm-api.md §7.14).
func (c *Client) OpenTasks(ctx context.Context, entity string, ids []int64) ([]event.Task, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return c.tasks(ctx, entity, ids, true)
}

const maxTaskPages = 4

func (c *Client) tasks(ctx context.Context, entity string, ids []int64, open bool) ([]event.Task, error) {
	query := limited(maxItems, "", "id")
	query.Set("filter[entity_type]", entity)
	wanted := make(map[int64]bool, len(ids))
	for _, id := range ids {
		query.Add("filter[entity_id][]", strconv.FormatInt(id, 10))
		wanted[id] = true
	}
	if open {
		query.Set("filter[is_completed]", "0")
	}
	var tasks []event.Task
	err := pages(ctx, c, "/api/v4/tasks", "tasks", query, maxTaskPages, func(t rest.Task) bool {
		task := t.Task()
		task.EntityType = cmp.Or(task.EntityType, entity)
		if wanted[task.EntityID] && task.EntityType == entity && !(open && task.Completed) {
			tasks = append(tasks, task)
		}
		return true
	})
	return tasks, err
}
