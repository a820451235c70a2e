package amocrm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/jivo-amocrm/bridge/internal/amocrm/budget"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// verdict is what an answer means for the request it answers.
type verdict uint8

const (
	accepted     verdict = iota + 1 // amoCRM took it
	refused                         // amoCRM says no to the item, or to one of the items
	tooMuch                         // the request is too long: fewer items may pass
	unauthorized                    // the token is not taken
	throttled                       // not now
	barred                          // the account's trouble; it surely had no effect
	unknown                         // it may have had its effect
)

// judge decides over a status, 100–599 and beyond (amocrm-api.md §5). object
// says whether the body is JSON: amoCRM speaks JSON, the gateway before it HTML.
func judge(status int, object bool) (verdict, Trouble) {
	switch {
	case status == http.StatusNoContent:
		return accepted, ""
	case status >= 200 && status < 300:
		if object {
			return accepted, ""
		}
		return unknown, BadAnswer
	case status >= 500 && status < 600:
		return unknown, Unavailable
	}
	if budget.Throttled(status) {
		return throttled, RateLimited
	}
	switch status {
	case http.StatusUnauthorized:
		return unauthorized, Unauthorized
	case http.StatusPaymentRequired:
		return barred, Unpaid
	case http.StatusForbidden:
		if object {
			return refused, Forbidden
		}
		return barred, Banned
	case http.StatusRequestTimeout:
		return unknown, Unavailable
	case http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		return tooMuch, ""
	}
	if status >= 400 && status < 500 && object {
		return refused, ""
	}
	return barred, BadAnswer
}

// answer is one exchange as the layers above see it.
type answer struct {
	status  int // 0: none
	body    []byte
	err     error // no answer, or none that could be read whole; without URL and query
	left    bool  // some of the request's bytes may have reached amoCRM
	sentAt  time.Time
	verdict verdict
	trouble Trouble
	request event.Request
	told    told
}

// exchange makes one request with a place in the budget. Its path must not
// hold a person's data; its query may.
func (c *Client) exchange(ctx context.Context, s *budget.Slot, token, method, path string, query url.Values, body []byte) answer {
	u := *c.budget.Base()
	u.Path, u.RawQuery = path, query.Encode()
	var payload any
	if body != nil {
		payload = body
	}
	a := answer{sentAt: time.Now(), told: told{token, query, body}}
	req, err := retryablehttp.NewRequestWithContext(budget.WithSlot(ctx, s), method, u.String(), payload)
	if err != nil {
		s.Release()
		a.err, a.verdict, a.trouble = budget.Plain(err), barred, Unreachable
		return a
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	req.Header.Set("Accept", "application/hal+json, application/problem+json, application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	a.request = event.Request{At: a.sentAt, Method: method, Path: path, Seconds: time.Since(a.sentAt).Seconds()}
	if err != nil {
		a.fail(err)
		return a
	}
	a.left = true
	a.status = resp.StatusCode
	a.body, _ = budget.ReadAll(resp.Body) // in memory already
	c.noteDate(resp.Header.Get("Date"))
	object := isJSON(a.body)
	a.verdict, a.trouble = judge(a.status, object)
	a.request.Status = a.status
	if a.verdict != accepted {
		a.request.Answer = a.told.blank(complaint(a.body, object, resp.Header.Get("X-Request-Id")))
	}
	return a
}

// fail records an exchange without a usable answer.
func (a *answer) fail(err error) {
	a.err, a.trouble, a.verdict, a.left = budget.Plain(err), Unreachable, unknown, true
	if broken, ok := errors.AsType[*budget.Unread](err); ok {
		a.status, a.request.Status = broken.Status, broken.Status
		if _, timeout := errors.AsType[net.Error](broken.Err); !timeout {
			a.trouble = BadAnswer
		}
		// A refusal whose words are lost is a refusal all the same.
		if v, t := judge(broken.Status, false); v == barred || v == unauthorized || v == throttled {
			a.verdict, a.trouble = v, t
		}
		return
	}
	if _, ok := errors.AsType[*budget.Unsent](err); ok {
		a.verdict, a.left = barred, false
		if errors.Is(err, budget.ErrHeld) {
			a.verdict, a.trouble = throttled, RateLimited
		}
	}
}

// cause is what a pause for the answer is put down to.
func (a *answer) cause() error {
	switch {
	case a.err != nil:
		return a.err
	case a.trouble == BadAnswer:
		return fmt.Errorf("amoCRM answered %d with something else than JSON", a.status)
	}
	return fmt.Errorf("amoCRM answered %d", a.status)
}

func isJSON(body []byte) bool {
	body = bytes.TrimSpace(body)
	return len(body) > 0 && (body[0] == '{' || body[0] == '[') && json.Valid(body)
}

// noteDate keeps our idea of the server's clock. A Date is cut to the second,
// so the estimate errs to the past.
func (c *Client) noteDate(header string) {
	if at, err := http.ParseTime(header); err == nil {
		c.skew.Store(int64(time.Until(at)))
	}
}

// noteAccount keeps what GET /account says of filters.
func (c *Client) noteAccount(body []byte) {
	var a struct {
		Filters *bool `json:"is_api_filter_enabled"`
	}
	if json.Unmarshal(body, &a) == nil && a.Filters != nil {
		c.filters.Store(*a.Filters)
	}
}

// Answered sorts the answer to a request that Tokens made past the queue: its
// JSON; *NotSent where there is none for the time being; *Refused, with amoCRM's
// words in Detail, where it says no.
func Answered(resp *http.Response, err error) ([]byte, error) {
	if errors.Is(err, budget.ErrHeld) {
		return nil, notSent(RateLimited, nil)
	}
	if err != nil {
		return nil, notSent(Unreachable, budget.Plain(err))
	}
	raw, _ := budget.ReadAll(resp.Body)
	object := isJSON(raw)
	switch v, t := judge(resp.StatusCode, object); {
	case v == accepted && object:
		return raw, nil
	case v == throttled || v == unknown || t == Banned || t == Unpaid: // these pass, and the grant is good still
		return nil, notSent(t, nil)
	case resp.StatusCode >= 400 && resp.StatusCode < 500:
		return nil, &Refused{Status: resp.StatusCode, Detail: toldBy(resp.Request).blank(complaint(raw, object, ""))}
	}
	return nil, notSent(BadAnswer, nil)
}
