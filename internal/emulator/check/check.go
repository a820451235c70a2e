// Package check says what is wrong with the items of a write: unknown and
// missing keys, wrong types, values that are no valid choice, and keys that do
// not go together (amocrm-api.md §5). It is as strict as the facts say, and
// where they are unverified as strict as they may be read.
//
// It reads the book and changes nothing.
package check

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
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

// String names the type as error texts do.
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

// checker gathers the faults of one item.
type checker struct {
	book   *book.Book
	kind   string // leads | contacts | companies, where it matters
	faults []Fault
}

func (ck *checker) add(code, path, detail string) {
	ck.faults = append(ck.faults, Fault{code, path, detail})
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
	for i, e := range body.List(v) {
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

// obj is a JSON object being built or read.
type obj = map[string]any
