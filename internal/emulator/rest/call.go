package rest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
)

func (c *call) self(path string) obj { return obj{"self": obj{"href": c.base + path}} }

func (c *call) selfOf(kind string, id int64) obj {
	return c.self("/api/v4/" + kind + "/" + strconv.FormatInt(id, 10))
}

// page cuts a list to the requested page and wraps it in the HAL envelope; an
// empty page is a 204 (amocrm-api.md §1). limit beyond most is clamped and
// told to the referee, since what the real one does is unknown.
func (c *call) page(collection string, total, most int, item func(i int) obj) answer.Answer {
	limit := c.intParam("limit", 50)
	if limit > most {
		c.violate("limit %d is over %d", limit, most)
		limit = most
	}
	page := max(1, c.intParam("page", 1))
	from := (page - 1) * max(1, limit)
	if from >= total {
		return answer.Nothing()
	}
	to := min(total, from+max(1, limit))
	items := make([]obj, 0, to-from)
	for i := from; i < to; i++ {
		items = append(items, item(i))
	}
	links := obj{"self": obj{"href": c.base + c.r.URL.RequestURI()}}
	if to < total || c.opt.DanglingNext && to-from == limit {
		q := c.r.URL.Query()
		q.Set("page", strconv.Itoa(page+1))
		links["next"] = obj{"href": c.base + c.r.URL.Path + "?" + q.Encode()}
	}
	return answer.HAL(obj{"_page": page, "_links": links, "_embedded": obj{collection: items}})
}

// dictionary answers a short list that carries its total.
func (c *call) dictionary(collection string, items []obj) answer.Answer {
	if len(items) == 0 {
		return answer.Nothing()
	}
	return answer.HAL(obj{
		"_total_items": len(items), "_page": 1,
		"_links":    obj{"self": obj{"href": c.base + c.r.URL.RequestURI()}},
		"_embedded": obj{collection: items},
	})
}

// pagedDictionary answers a dictionary that is paged, too (custom fields, users).
func (c *call) pagedDictionary(collection string, items []obj) answer.Answer {
	ans := c.page(collection, len(items), 250, func(i int) obj { return items[i] })
	if ans.Status != http.StatusOK {
		return ans
	}
	var v obj
	if err := json.Unmarshal(ans.Body, &v); err != nil {
		panic("emulator: own envelope: " + err.Error())
	}
	limit := min(250, max(1, c.intParam("limit", 50)))
	v["_total_items"], v["_page_count"] = len(items), (len(items)+limit-1)/limit
	return answer.HAL(v)
}

func (c *call) intParam(name string, def int) int {
	s := c.q.Get(name)
	if s == "" {
		return def
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		c.violate("%s=%q is no number", name, s)
		return def
	}
	return n
}

func (c *call) with() []string {
	s := c.q.Get("with")
	if s == "" {
		return nil
	}
	parts := strings.Split(s, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// filter collects filter[name], filter[name][] and filter[name][0…], commas split.
func (c *call) filter(name string) []string {
	var out []string
	stem := "filter[" + name + "]"
	for key, values := range c.q {
		rest, ok := strings.CutPrefix(key, stem)
		if !ok || strings.Trim(rest, "[]0123456789") != "" {
			continue
		}
		for _, v := range values {
			out = append(out, strings.Split(v, ",")...)
		}
	}
	slices.Sort(out)
	return out
}

// span reads filter[name][from] and [to]; ok is false if neither was sent.
func (c *call) span(name string) (from, to float64, ok bool) {
	from, to = -1e18, 1e18
	if n, err := strconv.ParseFloat(c.q.Get("filter["+name+"][from]"), 64); err == nil {
		from, ok = n, true
	}
	if n, err := strconv.ParseFloat(c.q.Get("filter["+name+"][to]"), 64); err == nil {
		to, ok = n, true
	}
	return from, to, ok
}

func (c *call) id() int64 { return atoi(c.vars["id"]) }

func atoi(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// sortBy applies `order` to a list that is in order of ids.
func sortBy[T any](c *call, list []T, keys map[string]func(T) int64, id func(T) int64) {
	for param, v := range c.q {
		name, ok := strings.CutPrefix(param, "order[")
		if !ok {
			continue
		}
		key, known := keys[strings.TrimSuffix(name, "]")]
		if !known {
			c.violate("cannot be ordered by %s", name)
			continue
		}
		sign := 1
		if v[0] == "desc" {
			sign = -1
		}
		slices.SortStableFunc(list, func(x, y T) int {
			return sign * cmp.Or(cmp.Compare(key(x), key(y)), cmp.Compare(id(x), id(y)))
		})
	}
}

// obj is a JSON object being built or read.
type obj = map[string]any
