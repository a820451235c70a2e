package event

// Object is a decoded JSON object in normal form: every documented field is
// present with its zero value, ids are strings, lists are []any, objects are
// Objects as plain map[string]any, whole numbers declared so are int, other
// numbers float64.
type Object = map[string]any

// Objects are the objects of a list; v may be anything, of which there are none.
func Objects(v any) []Object {
	list, _ := v.([]any)
	out := make([]Object, 0, len(list))
	for _, x := range list {
		if o, ok := x.(Object); ok {
			out = append(out, o)
		}
	}
	return out
}

// Basic is the basic type of a documented field.
type Basic uint8

// The basic types of Jivo's fields. ID is a string that may come as a number.
const (
	String Basic = iota
	ID
	Int
	Float
	Bool
	Struct // an object with documented fields
	List   // a list of Elem
	Map    // an object with free keys (attributes, social)
	Any    // whatever came
)

// Type is the documented shape of a field, or of a whole event.
type Type struct {
	Basic  Basic
	Fields map[string]*Type // of a Struct
	Elem   *Type            // of a List
}

// Zero returns the value an absent field of this type has.
func (t *Type) Zero() any {
	switch t.Basic {
	case String, ID:
		return ""
	case Int:
		return 0
	case Float:
		return 0.0
	case Bool:
		return false
	case Struct:
		o := make(Object, len(t.Fields))
		for name, f := range t.Fields {
			o[name] = f.Zero()
		}
		return o
	case List:
		return []any{}
	case Map:
		return Object{}
	}
	return nil
}

// Union returns the shape that has every field of the given structs. A field
// whose types differ between them is Any.
func Union(types ...*Type) *Type {
	u := &Type{Basic: Struct, Fields: map[string]*Type{}}
	for _, t := range types {
		for name, f := range t.Fields {
			u.Fields[name] = unite(u.Fields[name], f)
		}
	}
	return u
}

func unite(a, b *Type) *Type {
	switch {
	case a == nil:
		return b
	case a == b:
		return a
	case a.Basic == Struct && b.Basic == Struct:
		return Union(a, b)
	case a.Basic == List && b.Basic == List:
		return &Type{Basic: List, Elem: unite(a.Elem, b.Elem)}
	case a.Basic == b.Basic:
		return a
	case isText(a) && isText(b):
		return &Type{Basic: String}
	}
	return &Type{Basic: Any}
}

func isText(t *Type) bool { return t.Basic == String || t.Basic == ID }
