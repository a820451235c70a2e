package amocrm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/budget"
	"github.com/jivo-amocrm/bridge/internal/crashpoint"
)

var errNoObject = errors.New("item is no JSON object")

// Write sends one item and returns what amoCRM made of it. While the budget is
// used up it waits together with the other items of its endpoint; they then
// share a request. Alone it goes at once.
//
// The error is one of *Refused (this item, for good), *NotSent (nothing
// happened; the account's trouble), *InDoubt (it may have landed) or *Failed
// (nothing happened; the item's own trouble). A ctx that ends while the item
// waits makes it *NotSent, later *InDoubt.
func (c *Client) Write(ctx context.Context, w Write) (Result, error) {
	item, request, err := c.wire(w)
	if err != nil {
		return Result{}, &Refused{Code: "BadItem", Detail: err.Error(), Problems: []Problem{{Code: "BadItem", Detail: err.Error()}}}
	}
	w.Item = item
	now := time.Now()
	j := &job{
		group: group{endpoint: w.Endpoint}, at: now, due: w.Priority.due(now),
		write: &w, request: request, keys: w.Exclusive,
	}
	if w.Endpoint.takesEntity() {
		j.group.entity = w.Entity
	}
	if w.Endpoint.patches() {
		key := fmt.Sprintf("patch %d %s %d", w.Endpoint, w.Entity, w.EntityID)
		j.keys = append([]string{key}, w.Exclusive...)
	}
	o := c.submit(ctx, j)
	return o.result, o.err
}

// wire completes an item: the id it speaks of and, where the endpoint takes
// one, a request_id that no other item of this process has.
func (c *Client) wire(w Write) (json.RawMessage, string, error) {
	if _, path, _ := w.Endpoint.Route(w.Entity); path == "" {
		return nil, "", fmt.Errorf("no such endpoint: %d", w.Endpoint)
	}
	if w.Endpoint.takesEntity() {
		switch w.Entity {
		case "leads", "contacts", "companies":
		default:
			return nil, "", fmt.Errorf("notes have no entity %q", w.Entity)
		}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(w.Item, &fields); err != nil || fields == nil {
		return nil, "", errNoObject
	}
	fields = maps.Clone(fields)
	if key := w.Endpoint.IDKey(); key != "" && w.EntityID != 0 && fields[key] == nil {
		fields[key] = json.RawMessage(strconv.FormatInt(w.EntityID, 10))
	}
	request := ""
	if !w.Endpoint.links() {
		request = "b" + strconv.FormatUint(c.ids.Add(1), 36)
		fields["request_id"] = json.RawMessage(strconv.Quote(request))
	}
	item, err := json.Marshal(fields)
	return item, request, err
}

// runWrites sends items of one group in one request.
func (c *Client) runWrites(jobs []*job, s *budget.Slot, token string) (again []*job, halve bool) {
	first := jobs[0].write
	method, path, _ := first.Endpoint.Route(first.Entity)
	var keys []string
	for _, j := range jobs {
		keys = append(keys, j.write.Keys...)
	}
	if err := c.ledger.Sent(c.life, keys); err != nil {
		s.Release()
		c.endAll(jobs, notSent(Unrecorded, err))
		return nil, false
	}
	c.obs.Batch(budget.Label(path), len(jobs))
	crashpoint.At("before-request")
	a := c.exchange(c.life, s, token, method, path, nil, body(jobs))
	crashpoint.At("after-request")
	for _, j := range jobs {
		j.requests = append(j.requests, a.request)
	}
	if a.verdict == unknown {
		c.queue.sized(jobs[0].group, len(jobs), false)
		c.doubt(jobs, a)
		return nil, false
	}
	if handled, again := c.account(jobs, a, token); handled {
		return again, false
	}
	if a.verdict == accepted {
		c.queue.sized(jobs[0].group, len(jobs), true)
		c.settle(jobs, a)
		return nil, false
	}
	return c.takeOut(jobs, a)
}

// body is the bare array every bulk endpoint wants (amocrm-api.md §8.19).
func body(jobs []*job) []byte {
	b := []byte{'['}
	for i, j := range jobs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, j.write.Item...)
	}
	return append(b, ']')
}

// doubt ends writes whose answer was lost. Alone, it is also a sign of the
// account's trouble, unless the item has done it before to a healthy account.
func (c *Client) doubt(jobs []*job, a answer) {
	own := false
	if len(jobs) == 1 && !errors.Is(a.err, context.Canceled) {
		own = c.gate.suspected(jobs[0].suspectKey())
		if !own {
			c.pause(a.trouble, a.cause())
		}
	}
	c.endAll(jobs, &InDoubt{Trouble: a.trouble, SentAt: a.sentAt, Own: own, Err: a.err})
}

// settle gives each item its part of an answer. An item amoCRM does not
// mention may or may not have landed (amocrm-api.md §5).
func (c *Client) settle(jobs []*job, a answer) {
	results, refusals := match(jobs, a.body)
	for i, j := range jobs {
		switch {
		case results[i] != nil:
			r := *results[i]
			r.SentAt = a.sentAt
			c.gate.cleared(j.suspectKey())
			c.queue.end(j, outcome{result: r, status: a.status})
		case refusals[i] != nil:
			c.queue.end(j, outcome{status: a.status, err: refusal(a, refusals[i])})
		default:
			c.queue.end(j, outcome{status: a.status, err: &InDoubt{
				Trouble: BadAnswer, SentAt: a.sentAt, Err: errors.New("the answer does not mention the item"),
			}})
		}
	}
}

// takeOut handles a refusal of the whole request: the items it names are
// ended, the others go again at once. If it names none, or is about size, the
// request is halved until the guilty item stands alone. It returns the items
// that go again, and whether in halves.
func (c *Client) takeOut(jobs []*job, a answer) (again []*job, halve bool) {
	named := make([][]Problem, len(jobs))
	said := complaints(a.body)
	if a.verdict == refused {
		named = said.byItem(jobs)
	}
	any := false
	for i, j := range jobs {
		if len(named[i]) == 0 {
			again = append(again, j)
			continue
		}
		any = true
		c.queue.end(j, outcome{status: a.status, err: refusal(a, named[i])})
	}
	if !any && len(jobs) == 1 {
		c.queue.end(jobs[0], outcome{status: a.status, err: refusal(a, said.first())})
		return nil, false
	}
	return again, !any
}

// refusal makes the error of a refused item.
func refusal(a answer, problems []Problem) *Refused {
	for i, p := range problems {
		problems[i] = Problem{Code: a.told.identifier(p.Code), Path: a.told.identifier(p.Path), Detail: a.told.blank(p.Detail)}
	}
	r := &Refused{Status: a.status, Problems: problems, Request: a.request}
	if len(problems) > 0 {
		r.Code, r.Path, r.Detail = problems[0].Code, problems[0].Path, problems[0].Detail
	} else {
		r.Detail = http.StatusText(a.status)
	}
	return r
}
