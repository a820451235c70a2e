package strict

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Source is what a text is read with.
type Source struct {
	File     string                       // stands in problems
	Getenv   func(string) (string, bool)  // for ${NAME}
	ReadFile func(string) ([]byte, error) // for ${file:…}
	// Builtin says that the text is no file of the user's: nothing read from it
	// has a place.
	Builtin bool
	// StandIns says that a secret whose ${…} has nothing behind it is a stand-in
	// (Secret.IsStandIn) and no problem.
	StandIns bool
}

// Reader reads one text along a table of keys and collects every problem on
// the way. It is used once, by one goroutine.
type Reader struct {
	Source

	lines    []string // of the file, as parsed
	blanked  map[int]bool
	problems []Problem
	warnings []Problem
	places   map[string]Pos  // of each value read, by its path "connections.shop.amocrm.token"
	seen     map[string]bool // paths of all keys that stand in the file, even with nothing to read
	mixed    map[int]bool    // lines of scalars that hold ${…}: what is said of them must not quote them
	folded   []folded        // scalars in whose text places have to be looked for
	holes    int             // values that were missing or could not be taken
	literal  bool            // some secret stands in the file itself
}

// NewReader returns a reader of one text.
func NewReader(from Source) *Reader {
	return &Reader{
		Source:  from,
		blanked: map[int]bool{}, places: map[string]Pos{}, mixed: map[int]bool{}, seen: map[string]bool{},
	}
}

// Read reads the text into what root was made for. name names the whole in
// messages. Afterwards Problems says whether that went well.
func (r *Reader) Read(data []byte, root Node, name string) {
	if body := r.parseSource(data); body != nil {
		r.read(root, body, Place{Pos: Pos{1, 1}, Name: name})
	}
}

// Problems returns what is wrong, nil if nothing is.
func (r *Reader) Problems() *Problems {
	if len(r.problems) == 0 {
		return nil
	}
	return &Problems{List: sorted(r.problems)}
}

// Warnings returns what Warn was told, in the order of the file.
func (r *Reader) Warnings() []Problem { return sorted(r.warnings) }

// Seen reports whether a key stands in the text, whatever its value.
func (r *Reader) Seen(path string) bool { return r.seen[path] }

// At returns where the value of a key stands, of the first of several that has
// one; the zero Pos if none has.
func (r *Reader) At(paths ...string) Pos {
	for _, path := range paths {
		if at, ok := r.places[path]; ok {
			return at
		}
	}
	return Pos{}
}

// Mixed reports whether a scalar on this line holds ${…}: what is said of it
// must not quote it, since it came from outside and may be a secret.
func (r *Reader) Mixed(line int) bool { return r.mixed[line] }

// LiteralSecret reports whether some secret stands in the text itself.
func (r *Reader) LiteralSecret() bool { return r.literal }

// Problem reports something wrong at a place.
func (r *Reader) Problem(at Pos, format string, args ...any) {
	// What is said of a blanked line comes from blanking it.
	if r.blanked[at.Line] {
		return
	}
	r.problems = append(r.problems, Problem{r.File, at.Line, at.Col, fmt.Sprintf(format, args...)})
}

// Warn reports something legal and probably not meant.
func (r *Reader) Warn(at Pos, format string, args ...any) {
	r.warnings = append(r.warnings, Problem{r.File, at.Line, at.Col, fmt.Sprintf(format, args...)})
}

// Place is where in the text the reader stands.
type Place struct {
	Pos         // of the key, or of the list's item
	Name string // of the key
	Path string // of all keys down to it: connections.shop.amocrm.token
}

func (p Place) under(name string, at Pos) Place {
	if p.Path == "" {
		return Place{at, name, name}
	}
	return Place{at, name, p.Path + "." + name}
}

func (p Place) item(i int, at Pos) Place {
	index := "[" + strconv.Itoa(i) + "]"
	return Place{at, p.Name + index, p.Path + index}
}

// read hands a value to its node. What parseSource reported already is passed
// over in silence.
func (r *Reader) read(k Node, n ast.Node, at Place) {
	r.seen[at.Path] = true
	switch v := n.(type) {
	case nil, *ast.NullNode:
		r.Problem(at.Pos, "%q has no value", at.Name)
		r.holes++
		return
	case *ast.TagNode, *ast.AliasNode:
		r.holes++
		return
	case *ast.AnchorNode:
		r.read(k, v.Value, at)
		return
	}
	r.places[at.Path] = r.startOf(n)
	k.read(r, n, at)
}

// startOf is where a value begins: its first character, or its first key.
func (r *Reader) startOf(n ast.Node) Pos {
	if r.Builtin {
		return Pos{}
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return r.startOf(n.Values[0])
		}
		return tokenPos(n.Start)
	case *ast.MappingValueNode:
		return tokenPos(n.Key.GetToken())
	case *ast.LiteralNode:
		return tokenPos(n.Start)
	}
	return tokenPos(n.GetToken())
}

// pairs returns the entries of a mapping.
func pairs(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// decimal is how an id may be written without quotes: any other number would
// not be read back as it was written (007, 1e3, 0x10).
var decimal = regexp.MustCompile(`^(?:0|[1-9][0-9]*)$`)

// key returns a mapping key as text.
func (r *Reader) key(n ast.MapKeyNode) (string, Pos, bool) {
	at := r.startOf(n)
	switch k := n.(type) {
	case *ast.StringNode:
		if strings.Contains(k.Value, "${") {
			r.Problem(at, "${…} works in values only, not in keys")
			return "", at, false
		}
		return k.Value, at, true
	case *ast.IntegerNode:
		if decimal.MatchString(k.Token.Value) {
			return k.Token.Value, at, true
		}
		r.Problem(at, "this key must be in quotes")
	case *ast.FloatNode, *ast.BoolNode, *ast.NullNode, *ast.InfinityNode, *ast.NanNode:
		r.Problem(at, "this key must be in quotes")
	}
	return "", at, false
}

// Scalar is one value as it came.
type Scalar struct {
	Pos            // of its first character, or quote
	Content Pos    // of its first character inside the quotes
	Kind    Kinds  // text, integer…
	Text    string // with every ${…} replaced
	raw     string // as written: what messages may show
	Mixed   bool   // it held ${…}
}

// Kinds is a set of the kinds of scalars YAML has.
type Kinds uint8

// The kinds of scalars.
const (
	TextKind Kinds = 1 << iota
	IntegerKind
	FloatKind
	BoolKind
)

// scalar reads a value that must be one; ok is false after a problem.
func (r *Reader) scalar(n ast.Node, l Leaf, at Place) (s Scalar, ok bool) {
	s.Pos = r.startOf(n)
	s.Content = s.Pos
	switch v := n.(type) {
	case *ast.StringNode:
		s.Kind, s.raw = TextKind, v.Value
		if v.Token.Type == token.SingleQuoteType || v.Token.Type == token.DoubleQuoteType {
			s.Content.Col++
		}
	case *ast.LiteralNode:
		s.Kind, s.raw, s.Content = TextKind, v.Value.Value, r.blockStart(s.Pos)
	case *ast.IntegerNode:
		s.Kind, s.raw = IntegerKind, v.Token.Value
	case *ast.FloatNode:
		s.Kind, s.raw = FloatKind, v.Token.Value
	case *ast.BoolNode:
		s.Kind, s.raw = BoolKind, v.Token.Value
	case *ast.SequenceNode:
		r.Problem(s.Pos, "%s: %s is expected, not a list", at.Name, l.Want)
		return s, false
	case *ast.MappingNode, *ast.MappingValueNode:
		r.Problem(s.Pos, "%s: %s is expected, not a mapping", at.Name, l.Want)
		return s, false
	default: // .inf, .nan
		r.Problem(s.Pos, "%s: %s is expected", at.Name, l.Want)
		return s, false
	}
	r.fold(n, s)
	if r.Builtin {
		s.Content = Pos{} // a built-in text has no place in the file
	}
	s.Text, s.Mixed, ok = r.interpolate(s, at, l.secret && r.StandIns)
	if s.Mixed {
		for i := range strings.Count(s.raw, "\n") + 1 {
			r.mixed[s.Content.Line+i] = true
		}
	}
	return s, ok
}

// fold remembers a scalar that is not written letter by letter.
func (r *Reader) fold(n ast.Node, s Scalar) {
	if r.Builtin || s.Kind != TextKind {
		return
	}
	f := folded{begin: s.Content, text: []rune(s.raw)}
	if v, ok := n.(*ast.StringNode); ok {
		switch v.Token.Type {
		case token.SingleQuoteType:
			f.quote = '\''
		case token.DoubleQuoteType:
			f.quote = '"'
		}
	}
	if written := from(r.lines, s.Content); !slices.Equal(written[:min(len(f.text), len(written))], f.text) {
		r.folded = append(r.folded, f)
	}
}

// blockStart finds where the text of a block scalar (| or >) begins: the
// library's own place for it is not to be relied on.
func (r *Reader) blockStart(header Pos) Pos {
	for i := header.Line; i < len(r.lines); i++ {
		if text := strings.TrimLeft(r.lines[i], " "); strings.TrimSpace(text) != "" {
			return Pos{i + 1, len(r.lines[i]) - len(text) + 1}
		}
	}
	return header
}

// Show returns a scalar as messages may quote it: as written, cut. A value
// that came through ${…} is shown by its name only.
func (s Scalar) Show() string {
	const most = 40
	if utf8.RuneCountInString(s.raw) > most {
		return fmt.Sprintf("%q", string([]rune(s.raw)[:most])+"…")
	}
	return fmt.Sprintf("%q", s.raw)
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// interpolate replaces ${NAME} and ${file:/path} and turns $${ into ${. What
// comes in is not looked at again. With standIns, what is missing has a stand-in.
func (r *Reader) interpolate(s Scalar, at Place, standIns bool) (text string, mixed, ok bool) {
	var b strings.Builder
	ok = true
	for rest := s.raw; ; {
		i := strings.Index(rest, "${")
		if i < 0 {
			b.WriteString(rest)
			return b.String(), mixed, ok
		}
		if i > 0 && rest[i-1] == '$' {
			b.WriteString(rest[:i-1] + "${")
			rest = rest[i+2:]
			continue
		}
		b.WriteString(rest[:i])
		name, after, closed := strings.Cut(rest[i+2:], "}")
		if !closed {
			r.Problem(s.Pos, "%s: a ${ without its }; write $${ for the two characters themselves", at.Name)
			return "", true, false
		}
		value, missing, complaint := r.lookup(name)
		if missing && standIns {
			value, complaint = standIn, ""
		}
		if complaint != "" {
			r.Problem(s.Pos, "%s: %s", at.Name, complaint)
			ok = false
		}
		b.WriteString(value)
		mixed, rest = true, after
	}
}

// lookup finds what ${name} stands for, or says why there is nothing. An empty
// value is missing without a complaint: whether one will do is its key's matter.
func (r *Reader) lookup(name string) (value string, missing bool, complaint string) {
	if path, isFile := strings.CutPrefix(name, "file:"); isFile {
		return r.fileValue(path)
	}
	if !envName.MatchString(name) {
		return "", false, fmt.Sprintf("${%s} names no environment variable; write $${ for the two characters themselves", name)
	}
	value, ok := r.Getenv(name)
	switch {
	case !ok:
		return "", true, fmt.Sprintf("environment variable %s is not set", name)
	case !utf8.ValidString(value):
		return "", false, fmt.Sprintf("environment variable %s is not UTF-8 text", name)
	}
	return value, value == "", ""
}

func (r *Reader) fileValue(path string) (value string, missing bool, complaint string) {
	if path == "" {
		return "", false, "${file:} names no file"
	}
	data, err := r.ReadFile(path)
	if err != nil {
		if inner := (*fs.PathError)(nil); errors.As(err, &inner) {
			err = inner.Err
		}
		return "", true, fmt.Sprintf("file %s cannot be read: %v", path, err)
	}
	if !utf8.Valid(data) {
		return "", false, fmt.Sprintf("file %s is not UTF-8 text", path)
	}
	value = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	return value, value == "", ""
}
