package jivo

import (
	"math"
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// plain turns a value without a schema into Go's: whole numbers are int, others
// float64, and those neither can hold exactly stay text.
func (s *shaper) plain(at int32) any {
	n := s.tree.nodes[at]
	switch n.kind {
	case isTrue, isFalse:
		return n.kind == isTrue
	case isNumber:
		return plainValue(n.text)
	case isString:
		return n.text
	case isArray:
		out := []any{}
		from, to := s.tree.inside(at)
		for i := from; i < to; i = s.tree.nodes[i].next {
			out = append(out, s.plain(i))
		}
		return out
	case isObject:
		return s.plainObject(at)
	}
	return nil
}

// plainObject turns an object without a schema into Go's, keys untouched.
func (s *shaper) plainObject(at int32) event.Object {
	out := event.Object{}
	from, to := s.tree.inside(at)
	for key := from; key < to; key = s.tree.nodes[key+1].next {
		name := s.tree.nodes[key].text
		if _, twice := out[name]; twice {
			s.notes.add("an undeclared object: key given twice, the last taken")
		}
		out[name] = s.plain(key + 1)
	}
	return out
}

func plainValue(number string) any {
	if i, err := strconv.Atoi(number); err == nil {
		return i
	}
	if strings.ContainsAny(number, ".eE") {
		if f, err := strconv.ParseFloat(number, 64); err == nil {
			return f
		}
		return ""
	}
	return number // more digits than an int has
}

// plainNumber prints a JSON number without exponent and without a fraction of
// zeros. It keeps every digit of a number that has neither. ok is false for
// what is no finite number, or one of more digits than anybody means.
func plainNumber(number string) (text string, ok bool) {
	if !strings.ContainsAny(number, ".eE") {
		return number, true
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || math.Abs(f) >= 1e21 {
		return "", false
	}
	return strconv.FormatFloat(f, 'f', -1, 64), true
}

// scalar prints a plain value: "" for nil, objects and lists.
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}
