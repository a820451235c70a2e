package amocrm

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/amocrm/lenient"
)

// maxComplaint is how many runes of amoCRM's complaint are kept.
const maxComplaint = 300

// landed is one entry of a bulk answer.
type landed struct {
	ID        lenient.Number `json:"id"`
	RequestID lenient.Texts  `json:"request_id"`
	UpdatedAt lenient.Number `json:"updated_at"`
	ContactID lenient.Number `json:"contact_id"`
	CompanyID lenient.Number `json:"company_id"`
	Merged    bool           `json:"merged"`
	EntityID  lenient.Number `json:"entity_id"` // of links
	ToID      lenient.Number `json:"to_entity_id"`
	ToType    string         `json:"to_entity_type"`
}

func (l landed) result() *Result {
	r := &Result{
		ID: int64(l.ID), ContactID: int64(l.ContactID), CompanyID: int64(l.CompanyID),
		Merged: l.Merged, UpdatedAt: int64(l.UpdatedAt),
	}
	if l.ToID != 0 {
		r.ID = int64(l.EntityID)
		switch l.ToType {
		case "contacts":
			r.ContactID = int64(l.ToID)
		case "companies":
			r.CompanyID = int64(l.ToID)
		}
	}
	return r
}

// listed decodes the entries of a bulk answer: `_embedded.<collection>`, or a
// bare list as leads/complex gives. An entry of a wrong shape is left out.
func listed(body []byte, collection string) []landed {
	raw := lenient.List(body, collection)
	entries := make([]landed, 0, len(raw))
	for _, r := range raw {
		var l landed
		if json.Unmarshal(r, &l) == nil {
			entries = append(entries, l)
		}
	}
	return entries
}

// match assigns the entries of an answer to the items that were sent: by
// request_id, by id where the item changes an entity, by both ends of a link. What
// finds no entry stays nil. An `errors` map by id refuses its items.
func match(jobs []*job, body []byte) (results []*Result, refusals [][]Problem) {
	results = make([]*Result, len(jobs))
	first := jobs[0].write
	_, _, collection := first.Endpoint.Route(first.Entity)
	entries := listed(body, collection)
	for _, e := range entries {
		if e.ID == 0 && e.ToID == 0 {
			continue
		}
		for i, j := range jobs {
			if results[i] == nil && e.answers(j, i) {
				results[i] = e.result()
			}
		}
	}
	// One item, one entry without any name on it: there is nothing to mix up.
	if len(jobs) == 1 && len(entries) == 1 && results[0] == nil &&
		entries[0].ID != 0 && len(entries[0].RequestID) == 0 && !first.Endpoint.patches() && !first.Endpoint.links() {
		results[0] = entries[0].result()
	}
	return results, complaints(body).byItem(jobs)
}

// answers reports whether the entry speaks of the i-th item.
func (l landed) answers(j *job, i int) bool {
	w := j.write
	switch {
	case w.Endpoint.links():
		var item struct {
			EntityID lenient.Number `json:"entity_id"`
			ToID     lenient.Number `json:"to_entity_id"`
			ToType   string         `json:"to_entity_type"`
		}
		_ = json.Unmarshal(w.Item, &item)
		return item.EntityID == l.EntityID && item.ToID == l.ToID && item.ToType == l.ToType
	case w.Endpoint.patches() && w.EntityID != 0:
		return int64(l.ID) == w.EntityID
	}
	return slices.Contains(l.RequestID, j.request) || slices.Contains(l.RequestID, strconv.Itoa(i))
}

// said is what amoCRM complains of in a refusal (amocrm-api.md §5).
type said struct {
	Validation []struct {
		RequestID lenient.Texts `json:"request_id"`
		Errors    []struct {
			Code   lenient.Texts `json:"code"`
			Path   lenient.Texts `json:"path"`
			Detail lenient.Texts `json:"detail"`
		} `json:"errors"`
	} `json:"validation-errors"`
	Errors json.RawMessage `json:"errors"`
	Title  lenient.Texts   `json:"title"`
	Detail lenient.Texts   `json:"detail"`
	Hint   lenient.Texts   `json:"hint"`
}

func complaints(body []byte) said {
	var s said
	// Decoded part by part: one part of a strange shape must not hide the rest.
	var parts map[string]json.RawMessage
	if json.Unmarshal(body, &parts) != nil {
		return s
	}
	_ = json.Unmarshal(parts["validation-errors"], &s.Validation)
	_ = json.Unmarshal(parts["title"], &s.Title)
	_ = json.Unmarshal(parts["detail"], &s.Detail)
	_ = json.Unmarshal(parts["hint"], &s.Hint)
	s.Errors = parts["errors"]
	return s
}

// byItem returns the problems of each item; nil for items not named.
func (s said) byItem(jobs []*job) [][]Problem {
	problems := make([][]Problem, len(jobs))
	for _, v := range s.Validation {
		for i, j := range jobs {
			if !slices.Contains(v.RequestID, j.request) && !slices.Contains(v.RequestID, strconv.Itoa(i)) {
				continue
			}
			for _, e := range v.Errors {
				problems[i] = append(problems[i], Problem{
					Code: clean(e.Code.First()), Path: clean(e.Path.First()), Detail: clean(e.Detail.First()),
				})
			}
			if len(v.Errors) == 0 {
				problems[i] = append(problems[i], Problem{Detail: clean(s.Detail.First())})
			}
		}
	}
	for id, text := range s.byID() {
		for i, j := range jobs {
			if j.write.EntityID != 0 && strconv.FormatInt(j.write.EntityID, 10) == id {
				problems[i] = append(problems[i], Problem{Detail: clean(text)})
			}
		}
	}
	return problems
}

// byID returns the business errors keyed by entity id.
func (s said) byID() map[string]string {
	var texts map[string]json.RawMessage
	if json.Unmarshal(s.Errors, &texts) != nil {
		return nil
	}
	out := make(map[string]string, len(texts))
	for id, raw := range texts {
		var l lenient.Texts
		_ = l.UnmarshalJSON(raw)
		out[id] = l.First()
	}
	return out
}

// first returns every problem told, whichever item it is of; for a lone item
// they are all its own.
func (s said) first() []Problem {
	var problems []Problem
	for _, v := range s.Validation {
		for _, e := range v.Errors {
			problems = append(problems, Problem{
				Code: clean(e.Code.First()), Path: clean(e.Path.First()), Detail: clean(e.Detail.First()),
			})
		}
	}
	byID := s.byID()
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		problems = append(problems, Problem{Detail: clean(byID[id])})
	}
	if len(problems) == 0 {
		if d := clean(s.Detail.First()); d != "" {
			problems = append(problems, Problem{Code: clean(s.Hint.First()), Detail: d})
		}
	}
	return problems
}

// complaint puts a refusal into one line for people: titles, codes, paths and
// details, never values.
func complaint(body []byte, object bool, requestID string) string {
	if !object {
		if len(bytes.TrimSpace(body)) == 0 {
			return ""
		}
		return "a page instead of an answer"
	}
	s := complaints(body)
	problems := s.first()
	parts := []string{clean(s.Title.First())}
	if h := clean(s.Hint.First()); !slices.ContainsFunc(problems, func(p Problem) bool { return p.Code == h }) {
		parts = append(parts, h)
	}
	for _, p := range problems {
		parts = append(parts, once(" ", p.Code, p.Path, p.Detail))
	}
	text := once("; ", parts...)
	if supportID.MatchString(requestID) {
		text = cut(text, maxComplaint-len(requestID)-4) + " (#" + requestID + ")"
	}
	return cut(text, maxComplaint)
}

// once joins what there is to say, and says nothing twice.
func once(sep string, parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return strings.Join(out, sep)
}

func cut(s string, runes int) string {
	r := []rune(s)
	if len(r) <= runes {
		return s
	}
	return string(r[:runes-1]) + "…"
}

// What may be a person's data or a secret in amoCRM's words: a URL (of a hook),
// an address, a long number, a quoted value.
var (
	aURL      = regexp.MustCompile(`https?://\S+`)
	anAddress = regexp.MustCompile(`[^\s"'«»<>(),;:]+@[^\s"'«»<>(),;:]+`)
	aNumber   = regexp.MustCompile(`\+?\d[\d\s().-]{5,}\d`)
	aQuote    = regexp.MustCompile(`"[^"]*"|«[^»]*»|'[^']*'`)
	supportID = regexp.MustCompile(`^[0-9a-fA-F-]{8,64}$`)
)

// clean blanks what may be a person's data and cuts the rest.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	s = aURL.ReplaceAllString(s, "…")
	s = aQuote.ReplaceAllString(s, "…")
	s = anAddress.ReplaceAllString(s, "…")
	s = aNumber.ReplaceAllString(s, "…")
	return cut(strings.TrimSpace(s), maxComplaint)
}
