package strict

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	maxFile   = 1 << 20 // bytes; a config is written by people
	maxDepth  = 32      // of nesting; the deepest key stands at 8
	maxSlips  = 20      // YAML errors looked for before giving up
	quoteHint = `a value with {{ }}, ": " or "?" must be in quotes`
)

// parseSource turns the file into the AST of its one document. YAML errors
// that a missing pair of quotes explains are reported and stepped over, so that
// the rest of the file is read all the same. It returns nil if there is nothing
// to read on with.
func (r *Reader) parseSource(data []byte) ast.Node {
	text, ok := r.decode(data)
	if !ok {
		return nil
	}
	r.lines = strings.Split(text, "\n")
	for range maxSlips {
		docs, slip := parseYAML(strings.Join(r.lines, "\n"))
		if slip == nil {
			return r.onlyDocument(docs)
		}
		if !r.stepOver(slip) {
			return nil
		}
	}
	return nil
}

// decode refuses what is no text, and takes off a byte order mark and the
// carriage returns.
func (r *Reader) decode(data []byte) (string, bool) {
	if len(data) > maxFile {
		r.Problem(Pos{1, 1}, "the file is larger than %s", showSize(maxFile))
		return "", false
	}
	if !utf8.Valid(data) {
		before := data[:invalidAt(data)]
		line := strings.Count(string(before), "\n") + 1
		col := utf8.RuneCount(before[strings.LastIndexByte(string(before), '\n')+1:]) + 1
		r.Problem(Pos{line, col}, "the file is not UTF-8 text")
		return "", false
	}
	// One kind of line end, so that lines count here as the parser counts them.
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
	return strings.TrimPrefix(text, "\ufeff"), true
}

func invalidAt(data []byte) int {
	for i := 0; i < len(data); {
		c, n := utf8.DecodeRune(data[i:])
		if c == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(data)
}

// slip is a YAML error and its place.
type slip struct {
	Pos
	what string
}

func parseYAML(text string) ([]*ast.DocumentNode, *slip) {
	tokens := lexer.Tokenize(text)
	if at, deep := tooDeep(tokens); deep {
		return nil, &slip{at, "the nesting is too deep"}
	}
	// Repeated keys are let through here to be reported by the reader with the
	// place of the first one.
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err == nil {
		return file.Docs, nil
	}
	// Only message and place are taken: the library's own text quotes lines of
	// the file, and a secret may stand on one.
	var syntax interface {
		GetMessage() string
		GetToken() *token.Token
	}
	if !errors.As(err, &syntax) || syntax.GetToken() == nil {
		return nil, &slip{Pos{1, 1}, "this is not YAML"}
	}
	return nil, &slip{tokenPos(syntax.GetToken()), "YAML: " + syntax.GetMessage()}
}

// tooDeep finds nesting that would cost the parser more than a config is
// worth: brackets and braces in each other, "- - -" on one line. Nesting by
// indentation is bounded by the size of the file.
func tooDeep(tokens token.Tokens) (Pos, bool) {
	flow, entries, line := 0, 0, 0
	for _, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType:
			if t.Position.Line != line {
				entries, line = 0, t.Position.Line
			}
			entries++
		}
		if flow > maxDepth || entries > maxDepth {
			return tokenPos(t), true
		}
	}
	return Pos{}, false
}

func tokenPos(t *token.Token) Pos {
	if t == nil || t.Position == nil {
		return Pos{1, 1}
	}
	return Pos{max(1, t.Position.Line), max(1, t.Position.Column)}
}

// blockLine splits a line of block YAML into what stands before its value,
// with the key if there is one, and the value.
var blockLine = regexp.MustCompile(`^(\s*(?:- +)*(?:([\w.-]+|"[^"]*"|'[^']*'): +)?)(\S.*)$`)

// stepOver reports a YAML error. If missing quotes explain it, the value is
// blanked, so that reading can go on, and its line takes no other problem.
func (r *Reader) stepOver(s *slip) bool {
	if white := r.misplaced(s); white != nil && len(r.blanked) == 0 {
		r.Problem(white.Pos, "%s", white.what)
		return false
	}
	var parts []string
	if s.Line <= len(r.lines) {
		parts = blockLine.FindStringSubmatch(r.lines[s.Line-1])
	}
	if parts == nil || !wantsQuotes(parts[2], parts[3]) || r.blanked[s.Line] {
		// After a blanked line this may well be a consequence of blanking.
		if len(r.blanked) == 0 {
			r.Problem(s.Pos, "%s", s.what)
		}
		return false
	}
	hint := quoteHint
	template := unquoted(parts[2], parts[3])
	switch {
	case strings.ContainsAny(parts[3][:1], "[{") && !strings.Contains(parts[3], "{{") && strings.Contains(parts[3], "${"):
		hint = "inside [ ] and { } a ${…} must be in quotes"
	case template != "":
		hint += ": write " + template
	case parts[2] != "" && !strings.ContainsAny(parts[3][:1], "[{"):
		hint += fmt.Sprintf(": write %s: '…'", parts[2])
	}
	r.Problem(s.Pos, "%s; %s", s.what, hint)
	r.blanked[s.Line] = true
	r.lines[s.Line-1] = parts[1] + "''"
	return true
}

// flowPart is what matters for finding a template in a value: a key, a text in
// quotes, a template, a bracket or brace.
var flowPart = regexp.MustCompile(`(?:"[^"]*"|'[^']*'|[^\s,:{}\[\]"'][^,:{}\[\]"']*): +|"[^"]*"|'[^']*'|\{\{|[{}\[\]]`)

// unquoted finds the first template without quotes in a line's value and shows how
// its key is written with them, "" if there is none or it has no key. In a flow
// mapping that is the innermost key.
func unquoted(key, value string) (form string) {
	var keys, brackets []string // around the place reached; keys has one more
	keys = append(keys, key)
	for _, part := range flowPart.FindAllString(value, -1) {
		last := len(keys) - 1
		switch {
		case part == "{{":
			switch {
			case keys[last] == "":
				return ""
			case last > 0 && brackets[last-1] == "[":
				return keys[last] + ": ['…']"
			}
			return keys[last] + ": '…'"
		case part == "{" || part == "[":
			keys, brackets = append(keys, keys[last]), append(brackets, part)
		case part == "}" || part == "]":
			if last > 0 {
				keys, brackets = keys[:last], brackets[:last-1]
			}
		case strings.HasSuffix(part, " ") && (last > 0 || key == ""): // else it is text with a colon
			keys[last] = strings.TrimRight(part, ": ")
		}
	}
	return ""
}

// wantsQuotes reports whether a value looks like an expression or a template
// that YAML took for something else (product.md §2). The value itself is never
// shown: it may be a secret.
func wantsQuotes(key, value string) bool {
	return key == "when" || strings.Contains(value, "{{") || strings.Contains(value, "?") ||
		strings.Contains(value, ": ") || strings.Contains(value, "${")
}

// onlyDocument returns the body of the file's one document, after reporting
// what YAML has and this config does not.
func (r *Reader) onlyDocument(docs []*ast.DocumentNode) ast.Node {
	var body ast.Node
	for _, doc := range docs {
		switch d := doc.Body.(type) {
		case nil:
		case *ast.DirectiveNode:
			r.Problem(tokenPos(d.Start), "YAML directives (%%) are not allowed")
		default:
			if body == nil {
				body = doc.Body
				continue
			}
			at := tokenPos(doc.Start)
			r.Problem(at, "the file holds a second YAML document; one file is one config")
		}
	}
	if body == nil {
		if len(r.problems) == 0 {
			r.Problem(Pos{1, 1}, "the file is empty")
		}
		return nil
	}
	r.forbid(body, "")
	return body
}

// forbid reports every tag, anchor, alias, merge key and complex key below n.
// key is the key n stands under.
func (r *Reader) forbid(n ast.Node, key string) {
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, pair := range n.Values {
			r.forbidPair(pair)
		}
	case *ast.MappingValueNode:
		r.forbidPair(n)
	case *ast.SequenceNode:
		for _, item := range n.Values {
			r.forbid(item, key)
		}
	case *ast.TagNode:
		r.Problem(tokenPos(n.Start), "%s", tagProblem(n, key))
	case *ast.AnchorNode:
		r.Problem(tokenPos(n.Start), "YAML anchors are not allowed; a value that begins with & must be in quotes")
		r.forbid(n.Value, key)
	case *ast.AliasNode:
		r.Problem(tokenPos(n.Start), "YAML aliases are not allowed; a value that begins with * must be in quotes")
	}
}

func (r *Reader) forbidPair(pair *ast.MappingValueNode) {
	key := ""
	switch k := pair.Key.(type) {
	case *ast.MergeKeyNode:
		r.Problem(tokenPos(k.Token), "YAML merge keys (<<) are not allowed")
	case *ast.MappingKeyNode:
		r.Problem(tokenPos(k.Start), `complex keys ("? ") are not allowed`)
	case *ast.TagNode, *ast.AnchorNode, *ast.AliasNode:
		r.forbid(k, "")
	default:
		key = k.GetToken().Value
	}
	r.forbid(pair.Value, key)
}

// tagProblem explains a tag. `when: !known()` reads as a tag on nothing, which
// a YAML decoder turns into an empty string (architecture.md, pitfall 10).
func tagProblem(n *ast.TagNode, key string) string {
	if key != "when" {
		return "YAML tags are not allowed; a value that begins with ! must be in quotes"
	}
	tag := n.Start.Value
	if call := strings.TrimPrefix(tag, "!"); call != "" && !strings.HasPrefix(call, "!") {
		return fmt.Sprintf("`%s` is a YAML tag: write `not %s`", tag, call)
	}
	return fmt.Sprintf("`%s` is a YAML tag; an expression that begins with ! must be in quotes, or written with not", tag)
}
