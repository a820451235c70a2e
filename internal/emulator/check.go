package emulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
)

// jsonKind is the JSON type a key must have.
type jsonKind uint8

const (
	anything jsonKind = iota
	integer
	number
	text
	boolean
	object
	list
)

func (k jsonKind) String() string {
	return [...]string{"mixed", "int", "numeric", "string", "bool", "object", "array"}[k]
}

// spec says what one key of a body may hold.
type spec struct {
	kind     jsonKind
	required bool
	null     bool                                      // null is a value of its own
	keys     schema                                    // of the object, or of every object of the list
	check    func(ck *checker, path string, value any) // after the type was right
}

// schema is the closed set of keys an object may have; any other one is a
// FieldNotExpected (amocrm-api.md §5).
type schema map[string]spec

// fault is one line of a validation error.
type fault struct {
	Code   string `json:"code"`
	Path   string `json:"path"`
	Detail string `json:"detail"`
}

// checker gathers the faults of one item.
type checker struct {
	a      *Account
	kind   string // leads | contacts | companies, where it matters
	create bool
	faults []fault
}

func (ck *checker) add(code, path, detail string) {
	ck.faults = append(ck.faults, fault{code, path, detail})
}

func (ck *checker) choice(path string) {
	ck.add("NotSupportedChoice", path, "The value you selected is not a valid choice.")
}

func (ck *checker) missing(path string) { ck.add("FieldMissing", path, "This field is missing.") }

func (ck *checker) wrongType(path string, k jsonKind) {
	ck.add("InvalidType", path, "This value should be of type "+k.String()+".")
}

func (ck *checker) tooMany(path string, n int) {
	ck.add("TooMany", path, "This collection should contain "+strconv.Itoa(n)+" elements or less.")
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// object checks an object against its schema, keys in order of their names so
// that answers are the same every time.
func (ck *checker) object(path string, v obj, s schema) {
	for _, key := range slices.Sorted(maps.Keys(v)) {
		at := join(path, key)
		if sp, ok := s[key]; ok {
			ck.value(at, v[key], sp)
			continue
		}
		ck.add("FieldNotExpected", at, "This field was not expected.")
	}
	for _, key := range slices.Sorted(maps.Keys(s)) {
		if _, ok := v[key]; !ok && s[key].required {
			ck.missing(join(path, key))
		}
	}
}

func (ck *checker) value(path string, v any, sp spec) {
	if v == nil {
		if !sp.null {
			ck.wrongType(path, sp.kind)
		}
		return
	}
	if !sp.kind.holds(v) {
		ck.wrongType(path, sp.kind)
		return
	}
	if sp.keys != nil {
		ck.nested(path, v, sp)
	}
	if sp.check != nil {
		sp.check(ck, path, v)
	}
}

func (ck *checker) nested(path string, v any, sp spec) {
	if m, ok := v.(obj); ok {
		ck.object(path, m, sp.keys)
		return
	}
	for i, e := range asList(v) {
		at := join(path, strconv.Itoa(i))
		m, ok := e.(obj)
		if !ok {
			ck.wrongType(at, object)
			continue
		}
		ck.object(at, m, sp.keys)
	}
}

func (k jsonKind) holds(v any) bool {
	switch k {
	case integer:
		n, ok := v.(json.Number)
		if !ok {
			return false
		}
		_, err := n.Int64()
		return err == nil
	case number:
		_, ok := v.(json.Number)
		return ok
	case text:
		_, ok := v.(string)
		return ok
	case boolean:
		_, ok := v.(bool)
		return ok
	case object:
		_, ok := v.(obj)
		return ok
	case list:
		_, ok := v.([]any)
		return ok
	default:
		return true
	}
}

var errNotJSON = errors.New("body is not JSON")

func decode(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, errNotJSON
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotJSON
	}
	return v, nil
}

// items reads a bulk body, which is a bare array of objects, also for one
// (amocrm-api.md §4.2). most is 250 but for leads/complex.
func (c *call) items(most int) ([]obj, *answer) {
	v, err := decode(c.body)
	if err != nil {
		c.violate("body is not JSON")
		return nil, ptr(problem(http.StatusBadRequest, "Invalid request body"))
	}
	raw, ok := v.([]any)
	if !ok {
		c.violate("single object where an array is expected")
		return nil, ptr(problem(http.StatusBadRequest, "Request body should be an array"))
	}
	if len(raw) == 0 {
		c.violate("empty array")
		return nil, ptr(problem(http.StatusBadRequest, "Request body is empty"))
	}
	if len(raw) > most {
		c.violate("%d items in one request", len(raw))
		return nil, ptr(problem(http.StatusBadRequest, "Too many entities in request"))
	}
	out := make([]obj, len(raw))
	for i, e := range raw {
		m, ok := e.(obj)
		if !ok {
			c.violate("array of something else than objects")
			return nil, ptr(problem(http.StatusBadRequest, "Invalid request body"))
		}
		out[i] = m
	}
	return out, nil
}

// one reads a body that is a single object; an array is a 405 (amocrm-api.md §5, I#329).
func (c *call) one() (obj, *answer) {
	v, err := decode(c.body)
	if err != nil {
		c.violate("body is not JSON")
		return nil, ptr(problem(http.StatusBadRequest, "Invalid request body"))
	}
	if _, ok := v.([]any); ok {
		c.violate("array where a single object is expected")
		return nil, ptr(problem(http.StatusMethodNotAllowed, "Method Not Allowed"))
	}
	m, ok := v.(obj)
	if !ok {
		c.violate("body is no object")
		return nil, ptr(problem(http.StatusBadRequest, "Invalid request body"))
	}
	return m, nil
}

// validate checks every item; one bad item rejects the whole batch
// (amocrm-api.md §5). extra may look at the item after its keys are right.
func (c *call) validate(kind string, create bool, items []obj, s schema, extra func(*checker, obj)) *answer {
	var bad []obj
	for i, item := range items {
		ck := &checker{a: c.a, kind: kind, create: create}
		ck.object("", item, s)
		if extra != nil && len(ck.faults) == 0 {
			extra(ck, item)
		}
		if len(ck.faults) == 0 {
			continue
		}
		for _, f := range ck.faults {
			c.violate("%s at %s", f.Code, f.Path)
		}
		bad = append(bad, obj{"request_id": requestID(item, i), "errors": ck.faults})
	}
	if bad == nil {
		return nil
	}
	b := problemBody(http.StatusBadRequest, "Request validation failed")
	b["validation-errors"] = bad
	return ptr(jsonAnswer(http.StatusBadRequest, problemJSON, b))
}

// requestID echoes what was sent, else the index as a string (amocrm-api.md §4.2).
func requestID(item obj, i int) string {
	if s, ok := item["request_id"].(string); ok {
		return s
	}
	return strconv.Itoa(i)
}

func ptr[T any](v T) *T { return &v }

func asList(v any) []any { l, _ := v.([]any); return l }

func asObj(v any) obj { m, _ := v.(obj); return m }

func str(m obj, key string) string { s, _ := m[key].(string); return s }

// intOf reads an integer that the schema has checked.
func intOf(v any) int64 {
	n, _ := v.(json.Number)
	i, _ := n.Int64()
	return i
}

// num reads an integer that the schema has checked.
func num(m obj, key string) (int64, bool) {
	n, ok := m[key].(json.Number)
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return i, err == nil
}
