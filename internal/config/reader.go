package config

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

// reader walks the AST of one file along the table of keys and collects every
// problem on the way. It is used once, by one goroutine.
type reader struct {
	file     string
	getenv   func(string) (string, bool)
	readFile func(string) ([]byte, error)
	vocab    Vocabulary
	builtin  bool // reading a built-in text: its scalars have no place

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

func newReader(file string, getenv func(string) (string, bool), readFile func(string) ([]byte, error), v Vocabulary) *reader {
	return &reader{
		file: file, getenv: getenv, readFile: readFile, vocab: v,
		blanked: map[int]bool{}, places: map[string]Pos{}, mixed: map[int]bool{}, seen: map[string]bool{},
	}
}

func (r *reader) problem(at Pos, format string, args ...any) {
	// What is said of a blanked line comes from blanking it.
	if r.blanked[at.Line] {
		return
	}
	r.problems = append(r.problems, Problem{r.file, at.Line, at.Col, fmt.Sprintf(format, args...)})
}

func (r *reader) warn(at Pos, format string, args ...any) {
	r.warnings = append(r.warnings, Problem{r.file, at.Line, at.Col, fmt.Sprintf(format, args...)})
}

// place is where in the config the reader stands.
type place struct {
	Pos         // of the key, or of the list's item
	name string // of the key
	path string // of all keys down to it: connections.shop.amocrm.token
}

func (p place) under(name string, at Pos) place {
	if p.path == "" {
		return place{at, name, name}
	}
	return place{at, name, p.path + "." + name}
}

func (p place) item(i int, at Pos) place {
	index := "[" + strconv.Itoa(i) + "]"
	return place{at, p.name + index, p.path + index}
}

// read hands a value to its node. What parseSource reported already is passed
// over in silence.
func (r *reader) read(k node, n ast.Node, at place) {
	r.seen[at.path] = true
	switch v := n.(type) {
	case nil, *ast.NullNode:
		r.problem(at.Pos, "%q has no value", at.name)
		r.holes++
		return
	case *ast.TagNode, *ast.AliasNode:
		r.holes++
		return
	case *ast.AnchorNode:
		r.read(k, v.Value, at)
		return
	}
	r.places[at.path] = r.startOf(n)
	k.read(r, n, at)
}

// startOf is where a value begins: its first character, or its first key.
func (r *reader) startOf(n ast.Node) Pos {
	if r.builtin {
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
func (r *reader) pairs(n ast.Node) ([]*ast.MappingValueNode, bool) {
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
func (r *reader) key(n ast.MapKeyNode) (string, Pos, bool) {
	at := r.startOf(n)
	switch k := n.(type) {
	case *ast.StringNode:
		if strings.Contains(k.Value, "${") {
			r.problem(at, "${…} works in values only, not in keys")
			return "", at, false
		}
		return k.Value, at, true
	case *ast.IntegerNode:
		if decimal.MatchString(k.Token.Value) {
			return k.Token.Value, at, true
		}
		r.problem(at, "this key must be in quotes")
	case *ast.FloatNode, *ast.BoolNode, *ast.NullNode, *ast.InfinityNode, *ast.NanNode:
		r.problem(at, "this key must be in quotes")
	}
	return "", at, false
}

// scalar is one value as it came.
type scalar struct {
	Pos            // of its first character, or quote
	content Pos    // of its first character inside the quotes
	kind    kinds  // text, integer…
	text    string // with every ${…} replaced
	raw     string // as written: what messages may show
	mixed   bool   // it held ${…}
}

// kinds is a set of the kinds of scalars YAML has.
type kinds uint8

const (
	isText kinds = 1 << iota
	isInteger
	isFloat
	isBool
)

// scalar reads a value that must be one; ok is false after a problem.
func (r *reader) scalar(n ast.Node, want string, at place) (s scalar, ok bool) {
	s.Pos = r.startOf(n)
	s.content = s.Pos
	switch v := n.(type) {
	case *ast.StringNode:
		s.kind, s.raw = isText, v.Value
		if v.Token.Type == token.SingleQuoteType || v.Token.Type == token.DoubleQuoteType {
			s.content.Col++
		}
	case *ast.LiteralNode:
		s.kind, s.raw, s.content = isText, v.Value.Value, r.blockStart(s.Pos)
	case *ast.IntegerNode:
		s.kind, s.raw = isInteger, v.Token.Value
	case *ast.FloatNode:
		s.kind, s.raw = isFloat, v.Token.Value
	case *ast.BoolNode:
		s.kind, s.raw = isBool, v.Token.Value
	case *ast.SequenceNode:
		r.problem(s.Pos, "%s: %s is expected, not a list", at.name, want)
		return s, false
	case *ast.MappingNode, *ast.MappingValueNode:
		r.problem(s.Pos, "%s: %s is expected, not a mapping", at.name, want)
		return s, false
	default: // .inf, .nan
		r.problem(s.Pos, "%s: %s is expected", at.name, want)
		return s, false
	}
	r.fold(n, s)
	if r.builtin {
		s.content = Pos{} // a built-in text has no place in the file
	}
	s.text, s.mixed, ok = r.interpolate(s, at)
	if s.mixed {
		for i := range strings.Count(s.raw, "\n") + 1 {
			r.mixed[s.content.Line+i] = true
		}
	}
	return s, ok
}

// fold remembers a scalar that is not written letter by letter.
func (r *reader) fold(n ast.Node, s scalar) {
	if r.builtin || s.kind != isText {
		return
	}
	f := folded{begin: s.content, text: []rune(s.raw)}
	if v, ok := n.(*ast.StringNode); ok {
		switch v.Token.Type {
		case token.SingleQuoteType:
			f.quote = '\''
		case token.DoubleQuoteType:
			f.quote = '"'
		}
	}
	if written := from(r.lines, s.content); !slices.Equal(written[:min(len(f.text), len(written))], f.text) {
		r.folded = append(r.folded, f)
	}
}

// blockStart finds where the text of a block scalar (| or >) begins: the
// library's own place for it is not to be relied on.
func (r *reader) blockStart(header Pos) Pos {
	for i := header.Line; i < len(r.lines); i++ {
		if text := strings.TrimLeft(r.lines[i], " "); strings.TrimSpace(text) != "" {
			return Pos{i + 1, len(r.lines[i]) - len(text) + 1}
		}
	}
	return header
}

// show returns a scalar as messages may quote it: as written, cut. A value
// that came through ${…} is shown by its name only.
func (s scalar) show() string {
	const most = 40
	if utf8.RuneCountInString(s.raw) > most {
		return fmt.Sprintf("%q", string([]rune(s.raw)[:most])+"…")
	}
	return fmt.Sprintf("%q", s.raw)
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// interpolate replaces ${NAME} and ${file:/path} and turns $${ into ${. What
// comes in is not looked at again.
func (r *reader) interpolate(s scalar, at place) (text string, mixed, ok bool) {
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
			r.problem(s.Pos, "%s: a ${ without its }; write $${ for the two characters themselves", at.name)
			return "", true, false
		}
		value, complaint := r.lookup(name)
		if complaint != "" {
			r.problem(s.Pos, "%s: %s", at.name, complaint)
			ok = false
		}
		b.WriteString(value)
		mixed, rest = true, after
	}
}

// lookup finds what ${name} stands for, or says why there is nothing.
func (r *reader) lookup(name string) (value, complaint string) {
	if path, isFile := strings.CutPrefix(name, "file:"); isFile {
		return r.fileValue(path)
	}
	if !envName.MatchString(name) {
		return "", fmt.Sprintf("${%s} names no environment variable; write $${ for the two characters themselves", name)
	}
	value, ok := r.getenv(name)
	switch {
	case !ok:
		return "", fmt.Sprintf("environment variable %s is not set", name)
	case !utf8.ValidString(value):
		return "", fmt.Sprintf("environment variable %s is not UTF-8 text", name)
	}
	return value, ""
}

func (r *reader) fileValue(path string) (value, complaint string) {
	if path == "" {
		return "", "${file:} names no file"
	}
	data, err := r.readFile(path)
	if err != nil {
		if inner := (*fs.PathError)(nil); errors.As(err, &inner) {
			err = inner.Err
		}
		return "", fmt.Sprintf("file %s cannot be read: %v", path, err)
	}
	if !utf8.Valid(data) {
		return "", fmt.Sprintf("file %s is not UTF-8 text", path)
	}
	value = strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(value, "\r"), ""
}
