package strict

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"github.com/goccy/go-yaml/ast"
	"github.com/google/jsonschema-go/jsonschema"
)

// Node is what may stand as the value of a key. It reads a value into the
// place it was made for, and describes the values it takes as JSON Schema.
type Node interface {
	read(r *Reader, n ast.Node, at Place)
	Schema() *jsonschema.Schema
}

// Key is one entry of a table of keys.
type Key struct {
	name     string
	val      Node
	doc      string
	required bool
	reserved bool // known, and not supported yet: val is nil
}

// Must is a key that has to be there. doc describes it in the JSON Schema.
func Must(name string, val Node, doc string) Key {
	return Key{name: name, val: val, doc: doc, required: true}
}

// May is a key that may be left out.
func May(name string, val Node, doc string) Key { return Key{name: name, val: val, doc: doc} }

// Reserve is a key that is refused for now, by a message of its own.
func Reserve(name string) Key { return Key{name: name, reserved: true} }

// Object is a mapping with a fixed set of keys.
type Object struct {
	Keys []Key
	// After looks at several keys together, once all are read; nil: nothing to
	// look at. whole says that no value below was missing or refused.
	After func(r *Reader, at Place, whole bool)
	// Shape adds to the JSON Schema what After checks, where it can be said.
	Shape func(s *jsonschema.Schema)
}

func (o Object) read(r *Reader, n ast.Node, at Place) {
	before := r.holes
	pairs, ok := pairs(n)
	if !ok {
		r.Problem(r.startOf(n), "%s: a mapping with %s is expected", at.Name, o.some())
		r.holes++
		return
	}
	seen := map[string]Pos{}
	for _, pair := range pairs {
		name, pos, ok := r.key(pair.Key)
		if !ok || r.repeated(seen, name, pos) {
			continue
		}
		i := slices.IndexFunc(o.Keys, func(k Key) bool { return k.name == name })
		switch {
		case i < 0:
			r.Problem(pos, "%s", o.unknown(name))
		case o.Keys[i].reserved:
			r.Problem(pos, "%q is reserved and not supported yet", at.under(name, pos).Path)
		default:
			r.read(o.Keys[i].val, pair.Value, at.under(name, pos))
		}
	}
	for _, k := range o.Keys {
		if _, ok := seen[k.name]; k.required && !ok {
			r.Problem(at.Pos, "%q is missing", at.under(k.name, at.Pos).Path)
			r.holes++
		}
	}
	if o.After != nil {
		o.After(r, at, r.holes == before)
	}
}

// repeated reports a key that stands twice in one mapping.
func (r *Reader) repeated(seen map[string]Pos, name string, pos Pos) bool {
	first, again := seen[name]
	if again {
		r.Problem(pos, "key %q is repeated; it stands first on line %d", name, first.Line)
		return true
	}
	seen[name] = pos
	return false
}

// keyLike is what a misspelt key looks like. Anything else in a key's place may
// be a value, and a secret, and is not repeated.
var keyLike = regexp.MustCompile(`^[A-Za-z_-]{1,32}$`)

func (o Object) unknown(name string) string {
	hint := o.suggest(name)
	if hint == "" && !keyLike.MatchString(name) {
		return "unknown key; a mapping with " + o.some() + " is expected"
	}
	return fmt.Sprintf("unknown key %q%s", name, hint)
}

// suggest finds the key an unknown one was meant to be: a slip of the pen, or
// a key that stands one level deeper.
func (o Object) suggest(name string) string {
	var names []string
	for _, k := range o.Keys {
		if !k.reserved {
			names = append(names, k.name)
		}
	}
	if hint := didYouMean(name, names); hint != "" {
		return hint
	}
	for _, k := range o.Keys {
		inner, ok := k.val.(Object)
		if ok && slices.ContainsFunc(inner.Keys, func(k Key) bool { return k.name == name }) {
			return fmt.Sprintf("; did you mean %q?", k.name+"."+name)
		}
	}
	return ""
}

// some names up to three keys, for messages.
func (o Object) some() string {
	text := ""
	for i, k := range o.Keys[:min(3, len(o.Keys))] {
		if i > 0 {
			text += ", "
		}
		text += k.name
	}
	if len(o.Keys) > 3 {
		text += "…"
	}
	return text
}

// Schema describes what is taken.
func (o Object) Schema() *jsonschema.Schema {
	s := &jsonschema.Schema{
		Type: "object", Properties: map[string]*jsonschema.Schema{},
		AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}},
	}
	for _, k := range o.Keys {
		if k.reserved {
			continue
		}
		one := k.val.Schema()
		one.Description = k.doc
		s.Properties[k.name] = one
		s.PropertyOrder = append(s.PropertyOrder, k.name)
		if k.required {
			s.Required = append(s.Required, k.name)
		}
	}
	if o.Shape != nil {
		o.Shape(s)
	}
	return s
}

// Dict is a mapping with free keys.
type Dict struct {
	Want  string                               // what it maps, for messages
	Name  func(name string) (complaint string) // looks at a key; nil: any will do
	Names string                               // pattern of the keys, for the JSON Schema
	Each  func(name string, at Pos) Node       // called once per key, in order
	Least int                                  // entries
}

func (d Dict) read(r *Reader, n ast.Node, at Place) {
	pairs, ok := pairs(n)
	if !ok {
		r.Problem(r.startOf(n), "%s: a mapping of %s is expected", at.Name, d.Want)
		r.holes++
		return
	}
	if len(pairs) < d.Least {
		r.Problem(at.Pos, "%q is empty: %s expected", at.Name, d.Want)
	}
	seen := map[string]Pos{}
	for _, pair := range pairs {
		name, pos, ok := r.key(pair.Key)
		if !ok || r.repeated(seen, name, pos) {
			continue
		}
		if d.Name != nil {
			if complaint := d.Name(name); complaint != "" {
				r.Problem(pos, "%s", complaint)
				continue
			}
		}
		r.read(d.Each(name, pos), pair.Value, at.under(name, pos))
	}
}

// Schema describes what is taken.
func (d Dict) Schema() *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", AdditionalProperties: d.Each("x", Pos{}).Schema()}
	if d.Names != "" {
		s.PropertyNames = &jsonschema.Schema{Pattern: d.Names}
	}
	if d.Least > 0 {
		s.MinProperties = jsonschema.Ptr(d.Least)
	}
	return s
}

// List is a sequence of values of one form.
type List struct {
	Want  string                   // what it lists, for messages
	Start func()                   // called before the first item: the key is there, maybe with nothing in it; or nil
	Each  func(i int, at Pos) Node // called once per item, in order
	Least int                      // items
	Most  int                      // items; 0: any number
}

func (l List) read(r *Reader, n ast.Node, at Place) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		r.Problem(r.startOf(n), "%s: a list of %s is expected", at.Name, l.Want)
		r.holes++
		return
	}
	if len(seq.Values) < l.Least {
		r.Problem(at.Pos, "%s: the list is empty: %s expected", at.Name, l.Want)
		r.holes++
	}
	if l.Most > 0 && len(seq.Values) > l.Most {
		r.Problem(r.startOf(seq.Values[l.Most]), "%s: at most %d are allowed", at.Name, l.Most)
	}
	if l.Start != nil {
		l.Start()
	}
	for i, item := range seq.Values {
		pos := r.startOf(item)
		r.read(l.Each(i, pos), item, at.item(i, pos))
	}
}

// Schema describes what is taken.
func (l List) Schema() *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "array", Items: l.Each(0, Pos{}).Schema()}
	if l.Least > 0 {
		s.MinItems = jsonschema.Ptr(l.Least)
	}
	if l.Most > 0 {
		s.MaxItems = jsonschema.Ptr(l.Most)
	}
	return s
}

// ListOrOne takes a list, or one item as if it were a list of one.
func ListOrOne(l List) Node { return either{l} }

type either struct{ list List }

func (e either) read(r *Reader, n ast.Node, at Place) {
	if _, isList := n.(*ast.SequenceNode); isList {
		e.list.read(r, n, at)
		return
	}
	e.list.Start()
	e.list.Each(0, r.startOf(n)).read(r, n, at)
}

func (e either) Schema() *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{e.list.Each(0, Pos{}).Schema(), e.list.Schema()}}
}

// Lazy makes its node when the key is met: what it writes to is not there
// without.
func Lazy(make func() Node) Node { return lazy{make} }

type lazy struct{ node func() Node }

func (l lazy) read(r *Reader, n ast.Node, at Place) { l.node().read(r, n, at) }

func (l lazy) Schema() *jsonschema.Schema { return l.node().Schema() }

// WordOrMap takes a mapping by one node, anything else by the other.
func WordOrMap(word Leaf, mapping Object) Node { return wordOrMap{word, mapping} }

type wordOrMap struct {
	word    Leaf
	mapping Object
}

func (w wordOrMap) read(r *Reader, n ast.Node, at Place) {
	if _, ok := pairs(n); ok {
		w.mapping.read(r, n, at)
		return
	}
	w.word.read(r, n, at)
}

func (w wordOrMap) Schema() *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{w.word.Schema(), w.mapping.Schema()}}
}

// Leaf is a single value.
type Leaf struct {
	Want  string                            // what is expected, for messages
	Kinds Kinds                             // of scalars taken; one with ${…} is always text that Take looks at
	Take  func(s Scalar) (complaint string) // keeps the value, or says what is wrong with it
	Shape jsonschema.Schema
	Def   any  // default, nil: none worth showing
	IDs   bool // integers are taken as the digits they are written with

	secret bool // never show the value
}

func (l Leaf) read(r *Reader, n ast.Node, at Place) {
	if !l.taken(r, n, at) {
		r.holes++
	}
}

// taken reports whether the value was read whole; if not, a problem says why.
func (l Leaf) taken(r *Reader, n ast.Node, at Place) bool {
	s, ok := r.scalar(n, l, at)
	if !ok {
		return false
	}
	if l.secret && !s.Mixed {
		r.literal = true
	}
	complaint := ""
	switch {
	case !s.Mixed && s.Kind&l.Kinds == 0:
		complaint = l.misfit(s)
	case l.IDs && s.Kind == IntegerKind && !decimal.MatchString(s.raw):
		complaint = "this number must be in quotes to be kept as written"
	default:
		complaint = l.Take(s)
	}
	if complaint != "" {
		r.Problem(s.Pos, "%s: %s", at.Name, complaint)
	}
	return complaint == ""
}

// misfit says what is wrong with a scalar of the wrong kind.
func (l Leaf) misfit(s Scalar) string {
	switch {
	case l.secret:
		return l.Want + " is expected, in quotes"
	case l.Kinds&TextKind == 0 && s.Kind == TextKind:
		return l.Want + " is expected, not the text " + s.Show()
	case l.Kinds&TextKind == 0:
		return l.Want + " is expected, not " + s.raw
	}
	// Quotes would make it text; would they make it right?
	if complaint := l.Take(s); complaint != "" {
		return complaint
	}
	return fmt.Sprintf("%s is expected; put it in quotes: %q", l.Want, s.raw)
}

// Schema describes what is taken.
func (l Leaf) Schema() *jsonschema.Schema {
	s := l.Shape
	if l.Def != nil {
		if text, err := json.Marshal(l.Def); err == nil {
			s.Default = text
		}
	}
	return &s
}
