package jivo

import (
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// shaper brings a tree to the normal form of a schema. It never fails: what
// has no sense becomes the zero value with a note.
type shaper struct {
	tree  *tree
	notes *notes
	path  []string     // where it is, for notes and for extra
	extra event.Object // fields outside the schema, by the path they stood at
}

// event shapes the whole body.
func (s *shaper) event(shape *event.Type) event.Object {
	s.extra = event.Object{}
	fields := s.object(0, shape)
	fields["extra"] = s.extra
	return fields
}

// note tells where something was odd. The path has declared names only, since
// keys nobody declared may be people's data.
func (s *shaper) note(what string) {
	s.notes.add(strings.Join(s.path, ".") + ": " + what)
}

// object shapes a JSON object: every declared field is there afterwards.
func (s *shaper) object(at int32, shape *event.Type) event.Object {
	out := make(event.Object, len(shape.Fields))
	from, to := s.tree.inside(at)
	for key := from; key < to; key = s.tree.nodes[key+1].next {
		name, declared := s.declared(s.tree.nodes[key].text, shape)
		if declared == nil {
			s.keepExtra(name, key+1)
			continue
		}
		s.path = append(s.path, name)
		if _, twice := out[name]; twice {
			s.note("key given twice, the last taken")
		}
		out[name] = s.value(key+1, declared)
		s.path = s.path[:len(s.path)-1]
	}
	if len(out) < len(shape.Fields) {
		for name, t := range shape.Fields {
			if _, given := out[name]; !given {
				out[name] = t.Zero()
			}
		}
	}
	return out
}

// declared finds the documented field a key means; look-alike letters are
// folded (row 17). A body's own "extra" is outside the schema like any other.
func (s *shaper) declared(key string, shape *event.Type) (string, *event.Type) {
	if len(s.path) == 0 && key == "extra" {
		return key, nil
	}
	if t := shape.Fields[key]; t != nil || ascii(key) {
		return key, t
	}
	folded := fold(key)
	if t := shape.Fields[folded]; t != nil {
		s.path = append(s.path, folded)
		s.note("key had look-alike letters")
		s.path = s.path[:len(s.path)-1]
		return folded, t
	}
	return foldMixed(key), nil
}

// keepExtra puts an undeclared field of `a.b` under extra.a.b. Of a list's
// items the last that has the field counts.
func (s *shaper) keepExtra(name string, at int32) {
	into := s.extra
	for _, step := range s.path {
		next, ok := into[step].(event.Object)
		if !ok {
			next = event.Object{}
			into[step] = next
		}
		into = next
	}
	if _, twice := into[name]; twice {
		s.note("undeclared key given twice, the last taken")
	}
	into[name] = s.plain(at)
}

func (s *shaper) value(at int32, t *event.Type) any {
	switch t.Basic {
	case event.String:
		return s.str(at)
	case event.ID:
		return s.id(at)
	case event.Int:
		return s.integer(at)
	case event.Float:
		return s.float(at)
	case event.Bool:
		return s.boolean(at)
	case event.Struct:
		return s.structure(at, t)
	case event.List:
		return s.list(at, t)
	case event.Map:
		return s.mapping(at)
	}
	return s.plain(at)
}

// structure reads an object. An empty list is what PHP makes of an empty
// object; a list of one object is taken for that object.
func (s *shaper) structure(at int32, t *event.Type) any {
	switch s.tree.nodes[at].kind {
	case isObject:
		return s.object(at, t)
	case isNull: // row 8
		return t.Zero()
	case isArray:
		from, to := s.tree.inside(at)
		if from < to && s.tree.nodes[from].kind == isObject && s.tree.nodes[from].next == to {
			s.note("list for object")
			return s.object(from, t)
		}
	}
	s.wrong(at, "object")
	return t.Zero()
}

// list reads an array, an object of values, or a lone element: the table says
// "object" of what the samples send as arrays (row 10).
func (s *shaper) list(at int32, t *event.Type) any {
	out := []any{}
	from, to := s.tree.inside(at)
	switch s.tree.nodes[at].kind {
	case isNull:
	case isArray:
		for i := from; i < to; i = s.tree.nodes[i].next {
			out = s.appendItem(out, i, t.Elem)
		}
	case isObject:
		s.note("object for list")
		if t.Elem.Basic == event.Struct && from < to && s.tree.nodes[from+1].kind != isObject {
			return s.appendItem(out, at, t.Elem)
		}
		for key := from; key < to; key = s.tree.nodes[key+1].next {
			out = s.appendItem(out, key+1, t.Elem)
		}
	default:
		s.wrong(at, "list")
	}
	return out
}

func (s *shaper) appendItem(out []any, at int32, elem *event.Type) []any {
	if elem.Basic == event.Struct && s.tree.nodes[at].kind != isObject {
		s.note("an item is no object, dropped")
		return out
	}
	return append(out, s.value(at, elem))
}

// mapping reads an object with free keys, which are people's text and stay as
// they are: an object, an array of one-key objects, or an array of
// {name|key|title, value} (row 13).
func (s *shaper) mapping(at int32) any {
	switch s.tree.nodes[at].kind {
	case isNull:
		return event.Object{}
	case isObject:
		return s.plainObject(at)
	case isArray:
		out := event.Object{}
		from, to := s.tree.inside(at)
		if from < to {
			s.note("list for object")
		}
		for i := from; i < to; i = s.tree.nodes[i].next {
			s.entry(out, i)
		}
		return out
	}
	s.wrong(at, "object")
	return event.Object{}
}

// entry adds one item of an array that stands for a map.
func (s *shaper) entry(out event.Object, at int32) {
	if s.tree.nodes[at].kind != isObject {
		s.note("an item is no object, dropped")
		return
	}
	if value := s.tree.find(at, "value"); value >= 0 {
		for _, called := range [...]string{"name", "key", "title"} {
			if name := s.tree.find(at, called); name >= 0 {
				if key := scalar(s.plain(name)); key != "" {
					out[key] = s.plain(value)
				}
				return
			}
		}
	}
	for key, v := range s.plainObject(at) {
		out[key] = v
	}
}

func (s *shaper) str(at int32) string {
	n := s.tree.nodes[at]
	switch n.kind {
	case isString:
		return n.text
	case isNull:
		return ""
	case isNumber:
		if text, ok := plainNumber(n.text); ok {
			s.note("number for string")
			return text
		}
	case isTrue, isFalse:
		s.note("boolean for string")
		return strconv.FormatBool(n.kind == isTrue)
	}
	s.wrong(at, "string")
	return ""
}

// longestID bounds ids, which become keys of the store and parts of markers.
const longestID = 128

// id reads an id however it comes (rows 1-7): a number keeps every digit.
func (s *shaper) id(at int32) string {
	n := s.tree.nodes[at]
	text, ok := "", true
	switch n.kind {
	case isNull:
	case isString:
		text = strings.TrimSpace(n.text)
	case isNumber:
		text, ok = plainNumber(n.text)
	default:
		ok = false
	}
	if !ok || len(text) > longestID || strings.ContainsFunc(text, notInID) {
		s.wrong(at, "id")
		return ""
	}
	return text
}

func notInID(r rune) bool { return r <= ' ' || r == 0x7f }

func (s *shaper) integer(at int32) int {
	n := s.tree.nodes[at]
	switch n.kind {
	case isNull:
		return 0
	case isNumber:
		if i, err := strconv.Atoi(n.text); err == nil {
			return i
		}
	case isTrue, isFalse:
		s.note("boolean for number")
		return bit(n.kind == isTrue)
	}
	f, ok := s.number(at)
	const limit = 1 << 53
	if !ok || f < -limit || f > limit {
		s.wrong(at, "number")
		return 0
	}
	if f != float64(int(f)) {
		s.note("fraction cut off")
	}
	return int(f)
}

func (s *shaper) float(at int32) float64 {
	switch kind := s.tree.nodes[at].kind; kind {
	case isNull:
		return 0
	case isTrue, isFalse:
		s.note("boolean for number")
		return float64(bit(kind == isTrue))
	}
	f, ok := s.number(at)
	if !ok {
		s.wrong(at, "number")
		return 0
	}
	return f
}

// number reads a number, or one in a string; "" is 0.
func (s *shaper) number(at int32) (float64, bool) {
	n := s.tree.nodes[at]
	switch n.kind {
	case isNumber:
		f, err := strconv.ParseFloat(n.text, 64)
		return f, err == nil
	case isString:
		text := strings.TrimSpace(n.text)
		if text == "" {
			return 0, true
		}
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || strings.Trim(text, "0123456789+-.eE") != "" {
			return 0, false
		}
		s.note("string for number")
		return f, true
	}
	return 0, false
}

// boolean reads true, 1 and "1" alike (row 23).
func (s *shaper) boolean(at int32) bool {
	n := s.tree.nodes[at]
	switch n.kind {
	case isNull, isFalse:
		return false
	case isTrue:
		return true
	case isNumber:
		if n.text == "0" || n.text == "1" {
			return n.text == "1"
		}
	case isString:
		switch strings.ToLower(strings.TrimSpace(n.text)) {
		case "":
			return false
		case "1", "true", "yes":
			s.note("string for boolean")
			return true
		case "0", "false", "no":
			s.note("string for boolean")
			return false
		}
	}
	s.wrong(at, "boolean")
	return false
}

// wrong notes a value of a type that cannot be read as the declared one.
func (s *shaper) wrong(at int32, declared string) {
	s.note(kindNames[s.tree.nodes[at].kind] + " for " + declared + ", dropped")
}

// kindNames are the words of notes.
var kindNames = [...]string{
	isNull: "null", isTrue: "boolean", isFalse: "boolean", isNumber: "number",
	isString: "string", isArray: "list", isObject: "object",
}

func bit(on bool) int {
	if on {
		return 1
	}
	return 0
}
