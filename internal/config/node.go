package config

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"github.com/goccy/go-yaml/ast"
	"github.com/google/jsonschema-go/jsonschema"
)

// node is what may stand as the value of a key. It reads a value into the
// place it was made for, and describes the values it takes as JSON Schema.
type node interface {
	read(r *reader, n ast.Node, at place)
	schema() *jsonschema.Schema
}

// key is one entry of the table of keys.
type key struct {
	name     string
	val      node
	doc      string
	required bool
	reserved bool // known, and not supported yet: val is nil
}

func must(name string, val node, doc string) key {
	return key{name: name, val: val, doc: doc, required: true}
}

func may(name string, val node, doc string) key { return key{name: name, val: val, doc: doc} }

func reserve(name string) key { return key{name: name, reserved: true} }

// object is a mapping with a fixed set of keys.
type object struct {
	keys []key
	// after looks at several keys together, once all are read; nil: nothing to
	// look at.
	after func(r *reader, at place)
	// shape adds to the JSON Schema what after checks, where it can be said.
	shape func(s *jsonschema.Schema)
}

func (o object) read(r *reader, n ast.Node, at place) {
	pairs, ok := r.pairs(n)
	if !ok {
		r.problem(r.startOf(n), "%s: a mapping with %s is expected", at.name, o.some())
		r.holes++
		return
	}
	seen := map[string]Pos{}
	for _, pair := range pairs {
		name, pos, ok := r.key(pair.Key)
		if !ok || r.repeated(seen, name, pos) {
			continue
		}
		i := slices.IndexFunc(o.keys, func(k key) bool { return k.name == name })
		switch {
		case i < 0:
			r.problem(pos, "%s", o.unknown(name))
		case o.keys[i].reserved:
			r.problem(pos, "%q is reserved and not supported yet", at.under(name, pos).path)
		default:
			r.read(o.keys[i].val, pair.Value, at.under(name, pos))
		}
	}
	for _, k := range o.keys {
		if _, ok := seen[k.name]; k.required && !ok {
			r.problem(at.Pos, "%q is missing", at.under(k.name, at.Pos).path)
			r.holes++
		}
	}
	if o.after != nil {
		o.after(r, at)
	}
}

// repeated reports a key that stands twice in one mapping.
func (r *reader) repeated(seen map[string]Pos, name string, pos Pos) bool {
	first, again := seen[name]
	if again {
		r.problem(pos, "key %q is repeated; it stands first on line %d", name, first.Line)
		return true
	}
	seen[name] = pos
	return false
}

// keyLike is what a misspelt key looks like. Anything else in a key's place may
// be a value, and a secret, and is not repeated.
var keyLike = regexp.MustCompile(`^[A-Za-z_-]{1,32}$`)

func (o object) unknown(name string) string {
	hint := o.suggest(name)
	if hint == "" && !keyLike.MatchString(name) {
		return "unknown key; a mapping with " + o.some() + " is expected"
	}
	return fmt.Sprintf("unknown key %q%s", name, hint)
}

// suggest finds the key an unknown one was meant to be: a slip of the pen, or
// a key that stands one level deeper.
func (o object) suggest(name string) string {
	var names []string
	for _, k := range o.keys {
		if !k.reserved {
			names = append(names, k.name)
		}
	}
	if hint := didYouMean(name, names); hint != "" {
		return hint
	}
	for _, k := range o.keys {
		inner, ok := k.val.(object)
		if ok && slices.ContainsFunc(inner.keys, func(k key) bool { return k.name == name }) {
			return fmt.Sprintf("; did you mean %q?", k.name+"."+name)
		}
	}
	return ""
}

// some names up to three keys, for messages.
func (o object) some() string {
	text := ""
	for i, k := range o.keys[:min(3, len(o.keys))] {
		if i > 0 {
			text += ", "
		}
		text += k.name
	}
	if len(o.keys) > 3 {
		text += "…"
	}
	return text
}

func (o object) schema() *jsonschema.Schema {
	s := &jsonschema.Schema{
		Type: "object", Properties: map[string]*jsonschema.Schema{},
		AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}},
	}
	for _, k := range o.keys {
		if k.reserved {
			continue
		}
		one := k.val.schema()
		one.Description = k.doc
		s.Properties[k.name] = one
		s.PropertyOrder = append(s.PropertyOrder, k.name)
		if k.required {
			s.Required = append(s.Required, k.name)
		}
	}
	if o.shape != nil {
		o.shape(s)
	}
	return s
}

// dict is a mapping with free keys.
type dict struct {
	want  string                               // what it maps, for messages
	name  func(name string) (complaint string) // nil: any key
	each  func(name string, at Pos) node       // called once per key, in order
	names string                               // pattern of the keys, for the schema
	least int
}

func (d dict) read(r *reader, n ast.Node, at place) {
	pairs, ok := r.pairs(n)
	if !ok {
		r.problem(r.startOf(n), "%s: a mapping of %s is expected", at.name, d.want)
		r.holes++
		return
	}
	if len(pairs) < d.least {
		r.problem(at.Pos, "%q is empty: %s expected", at.name, d.want)
	}
	seen := map[string]Pos{}
	for _, pair := range pairs {
		name, pos, ok := r.key(pair.Key)
		if !ok || r.repeated(seen, name, pos) {
			continue
		}
		if d.name != nil {
			if complaint := d.name(name); complaint != "" {
				r.problem(pos, "%s", complaint)
				continue
			}
		}
		r.read(d.each(name, pos), pair.Value, at.under(name, pos))
	}
}

func (d dict) schema() *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", AdditionalProperties: d.each("x", Pos{}).schema()}
	if d.names != "" {
		s.PropertyNames = &jsonschema.Schema{Pattern: d.names}
	}
	if d.least > 0 {
		s.MinProperties = jsonschema.Ptr(d.least)
	}
	return s
}

// list is a sequence of nodes of one form.
type list struct {
	want  string
	start func()                   // called before the first item: the key is set, maybe to nothing
	each  func(i int, at Pos) node // called once per item, in order
	least int
	most  int // 0: any number
}

func (l list) read(r *reader, n ast.Node, at place) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		r.problem(r.startOf(n), "%s: a list of %s is expected", at.name, l.want)
		r.holes++
		return
	}
	if len(seq.Values) < l.least {
		r.problem(at.Pos, "%s: the list is empty: %s expected", at.name, l.want)
		r.holes++
	}
	if l.most > 0 && len(seq.Values) > l.most {
		r.problem(r.startOf(seq.Values[l.most]), "%s: at most %d are allowed", at.name, l.most)
	}
	if l.start != nil {
		l.start()
	}
	for i, item := range seq.Values {
		pos := r.startOf(item)
		r.read(l.each(i, pos), item, at.item(i, pos))
	}
}

func (l list) schema() *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "array", Items: l.each(0, Pos{}).schema()}
	if l.least > 0 {
		s.MinItems = jsonschema.Ptr(l.least)
	}
	if l.most > 0 {
		s.MaxItems = jsonschema.Ptr(l.most)
	}
	return s
}

// either takes a list, or one item as if it were a list of one.
type either struct{ list }

func (e either) read(r *reader, n ast.Node, at place) {
	if _, isList := n.(*ast.SequenceNode); isList {
		e.list.read(r, n, at)
		return
	}
	e.start()
	e.each(0, r.startOf(n)).read(r, n, at)
}

func (e either) schema() *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{e.each(0, Pos{}).schema(), e.list.schema()}}
}

// made makes its node when the key is met: what it writes to is nil without.
type made struct{ node func() node }

func (m made) read(r *reader, n ast.Node, at place) { m.node().read(r, n, at) }

func (m made) schema() *jsonschema.Schema { return m.node().schema() }

// leaf is a single value.
type leaf struct {
	want   string // what is expected, for messages
	kinds  kinds  // of YAML scalars taken; a scalar with ${…} is always text that take looks at
	secret bool   // never show the value
	take   func(s scalar) (complaint string)
	shape  jsonschema.Schema
	def    any  // default, nil: none worth showing
	ids    bool // integers are taken as the digits they are written with
}

func (l leaf) read(r *reader, n ast.Node, at place) {
	if !l.taken(r, n, at) {
		r.holes++
	}
}

// taken reports whether the value was read whole; if not, a problem says why.
func (l leaf) taken(r *reader, n ast.Node, at place) bool {
	s, ok := r.scalar(n, l.want, at)
	if !ok {
		return false
	}
	if l.secret && !s.mixed {
		r.literal = true
	}
	complaint := ""
	switch {
	case !s.mixed && s.kind&l.kinds == 0:
		complaint = l.misfit(s)
	case l.ids && s.kind == isInteger && !decimal.MatchString(s.raw):
		complaint = "this number must be in quotes to be kept as written"
	default:
		complaint = l.take(s)
	}
	if complaint != "" {
		r.problem(s.Pos, "%s: %s", at.name, complaint)
	}
	return complaint == ""
}

// misfit says what is wrong with a scalar of the wrong kind.
func (l leaf) misfit(s scalar) string {
	switch {
	case l.secret:
		return l.want + " is expected, in quotes"
	case l.kinds&isText == 0 && s.kind == isText:
		return l.want + " is expected, not the text " + s.show()
	case l.kinds&isText == 0:
		return l.want + " is expected, not " + s.raw
	}
	// Quotes would make it text; would they make it right?
	if complaint := l.take(s); complaint != "" {
		return complaint
	}
	return fmt.Sprintf("%s is expected; put it in quotes: %q", l.want, s.raw)
}

func (l leaf) schema() *jsonschema.Schema {
	s := l.shape
	if l.def != nil {
		if text, err := json.Marshal(l.def); err == nil {
			s.Default = text
		}
	}
	return &s
}
