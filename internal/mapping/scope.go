package mapping

import (
	"maps"
	"slices"

	"github.com/expr-lang/expr/types"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// scope is what the expressions of a rule may name: the union of the fields of
// its events, and the values and functions every rule has.
type scope struct {
	kinds []string
	union *event.Type

	before types.Map // for `when` and `pipeline`: nothing is found yet
	after  types.Map // with crm
}

// utmKeys are the keys of the value `utm`.
func utmKeys() []string { return []string{"source", "medium", "campaign", "content", "term"} }

func newScope(kinds []string, env *Env) *scope {
	shapes := make([]*event.Type, 0, len(kinds))
	for _, k := range kinds {
		if t := env.Schema(k); t != nil && t.Basic == event.Struct {
			shapes = append(shapes, t)
		}
	}
	s := &scope{kinds: kinds, union: event.Union(shapes...), before: types.Map{}}
	for name, t := range s.union.Fields {
		s.before[name] = typeOf(t)
	}
	utm := types.Map{}
	for _, k := range utmKeys() {
		utm[k] = types.String
	}
	s.before["utm"] = utm
	s.before["anonymous"] = types.String
	s.before["extra"] = types.TypeOf(map[string]any{})
	s.before["attributes"] = types.TypeOf(map[string]any{})
	for name, fn := range signatures() {
		s.before[name] = types.TypeOf(fn)
	}

	s.after = maps.Clone(s.before)
	s.after["crm"] = types.Map{
		"contact": types.Map{"id": types.String, "name": types.String, "responsible": types.String},
		"lead": types.Map{
			"id": types.String, "name": types.String, "responsible": types.String,
			"pipeline": types.String, "stage": types.String, "price": types.Float64,
		},
	}
	return s
}

// names lists what may stand at the beginning of a path, sorted.
func (s *scope) names(after bool) []string {
	m := s.before
	if after {
		m = s.after
	}
	fns := signatures()
	return slices.Sorted(func(yield func(string) bool) {
		for name := range m {
			if _, fn := fns[name]; !fn && !yield(name) {
				return
			}
		}
	})
}

// typeOf turns a documented shape into Expr's type of it. Objects are strict:
// a field they do not have is a compile error.
func typeOf(t *event.Type) types.Type {
	switch {
	case t == nil:
		return types.Any
	case t.Basic == event.String || t.Basic == event.ID:
		return types.String
	case t.Basic == event.Int:
		return types.Int
	case t.Basic == event.Float:
		return types.Float64
	case t.Basic == event.Bool:
		return types.Bool
	case t.Basic == event.Struct:
		m := make(types.Map, len(t.Fields))
		for name, f := range t.Fields {
			m[name] = typeOf(f)
		}
		return m
	case t.Basic == event.List:
		return types.Array(typeOf(t.Elem))
	case t.Basic == event.Map:
		return types.TypeOf(map[string]any{})
	}
	return types.Any
}

// complete gives v the shape t: what is missing or of another type becomes the
// zero value, so that no expression meets a nil it was not told of. v itself
// is never changed; it is returned as it is if nothing was missing.
func complete(t *event.Type, v any) any {
	c, _ := fit(t, v)
	return c
}

func fit(t *event.Type, v any) (fitted any, same bool) {
	if t == nil || t.Basic == event.Any {
		return v, true
	}
	switch t.Basic {
	case event.String, event.ID:
		switch s := v.(type) {
		case string:
			return s, true
		case int, int64, float64:
			return printer{}.text(s), false
		}
	case event.Int:
		switch n := v.(type) {
		case int:
			return n, true
		case int64:
			return int(n), false
		case float64:
			return int(n), false
		}
	case event.Float:
		switch n := v.(type) {
		case float64:
			return n, true
		case int:
			return float64(n), false
		}
	case event.Bool:
		if b, ok := v.(bool); ok {
			return b, true
		}
	case event.Struct:
		if m, ok := v.(event.Object); ok && m != nil {
			return fitObject(t, m)
		}
	case event.List:
		if l, ok := v.([]any); ok && l != nil {
			return fitList(t.Elem, l)
		}
	case event.Map:
		if m, ok := v.(event.Object); ok && m != nil {
			return m, true
		}
	}
	return t.Zero(), false
}

func fitObject(t *event.Type, m event.Object) (any, bool) {
	out, cloned := m, false
	for name, f := range t.Fields {
		old, have := m[name]
		v, same := fit(f, old)
		if same && have {
			continue
		}
		if !cloned {
			out, cloned = maps.Clone(m), true
		}
		out[name] = v
	}
	return out, !cloned
}

func fitList(elem *event.Type, l []any) (any, bool) {
	out, cloned := l, false
	for i, x := range l {
		v, same := fit(elem, x)
		if same {
			continue
		}
		if !cloned {
			out, cloned = slices.Clone(l), true
		}
		out[i] = v
	}
	return out, !cloned
}
