package rest

import (
	"net/http"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/check"
)

// items reads a bulk body, which is a bare array of objects, also for one
// (amocrm-api.md §4.2). most is 250 but for leads/complex.
func (c *call) items(most int) ([]obj, *answer.Answer) {
	v, err := body.Decode(c.body)
	if err != nil {
		c.violate("body is not JSON")
		return nil, ptr(answer.Problem(http.StatusBadRequest, "Invalid request body"))
	}
	raw, ok := v.([]any)
	if !ok {
		c.violate("single object where an array is expected")
		return nil, ptr(answer.Problem(http.StatusBadRequest, "Request body should be an array"))
	}
	if len(raw) == 0 {
		c.violate("empty array")
		return nil, ptr(answer.Problem(http.StatusBadRequest, "Request body is empty"))
	}
	if len(raw) > most {
		c.violate("%d items in one request", len(raw))
		return nil, ptr(answer.Problem(http.StatusBadRequest, "Too many entities in request"))
	}
	out := make([]obj, len(raw))
	for i, e := range raw {
		m, ok := e.(obj)
		if !ok {
			c.violate("array of something else than objects")
			return nil, ptr(answer.Problem(http.StatusBadRequest, "Invalid request body"))
		}
		out[i] = m
	}
	return out, nil
}

// one reads a body that is a single object; an array is a 405 (amocrm-api.md §5, I#329).
func (c *call) one() (obj, *answer.Answer) {
	v, err := body.Decode(c.body)
	if err != nil {
		c.violate("body is not JSON")
		return nil, ptr(answer.Problem(http.StatusBadRequest, "Invalid request body"))
	}
	if _, ok := v.([]any); ok {
		c.violate("array where a single object is expected")
		return nil, ptr(answer.Problem(http.StatusMethodNotAllowed, "Method Not Allowed"))
	}
	m, ok := v.(obj)
	if !ok {
		c.violate("body is no object")
		return nil, ptr(answer.Problem(http.StatusBadRequest, "Invalid request body"))
	}
	return m, nil
}

// validate checks every item; one bad item rejects the whole batch (amocrm-api.md §5).
func (c *call) validate(items []obj, f check.Form) *answer.Answer {
	bad := f.Check(c.book, items)
	for _, item := range bad {
		for _, fault := range item.Faults {
			c.violate("%s at %s", fault.Code, fault.Path)
		}
	}
	if bad == nil {
		return nil
	}
	return ptr(answer.Invalid(bad))
}

func ptr[T any](v T) *T { return &v }
