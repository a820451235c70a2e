package mapping

import (
	"strings"
	"unicode/utf8"
)

// template is a compiled string of the config: text and expressions in turn.
// nil is the empty template.
type template struct {
	field string // where it stands, as in warnings: lead.name
	parts []templatePart
}

type templatePart struct {
	text string
	x    *expression // nil: text
}

// piece is a part of a template's source.
type piece struct {
	text string
	expr bool
	at   int // characters from the template's start to the text
}

// cutTemplate splits src at {{ and }}. The end of an expression is found by
// reading it as Expr does, so "}}" inside a string or nested braces does not
// end it. A negative bad says src is sound, else it is the place of a {{ that
// is never closed.
func cutTemplate(src string) (pieces []piece, bad int) {
	at := 0
	for {
		text, rest, found := strings.Cut(src, "{{")
		if text != "" {
			pieces = append(pieces, piece{text: text, at: at})
		}
		if !found {
			return pieces, -1
		}
		at += utf8.RuneCountInString(text)
		n := exprEnd(rest)
		if n < 0 {
			return nil, at
		}
		pieces = append(pieces, piece{text: rest[:n], expr: true, at: at + 2})
		at += 2 + utf8.RuneCountInString(rest[:n]) + 2
		src = rest[n+2:]
	}
}

// exprEnd returns where in s the }} stands that ends the expression s begins
// with, or -1.
func exprEnd(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"', '\'', '`':
			n := stringEnd(s[i:])
			if n < 0 {
				return -1
			}
			i += n - 1
		case '/':
			n := commentEnd(s[i:])
			if n < 0 {
				return -1
			}
			i += n
		case '(', '[', '{':
			depth++
		case ')', ']':
			depth = max(depth-1, 0)
		case '}':
			if depth == 0 {
				if strings.HasPrefix(s[i:], "}}") {
					return i
				}
				continue
			}
			depth--
		}
	}
	return -1
}

// stringEnd is the length of the string literal s begins with, or -1.
func stringEnd(s string) int {
	quote := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quote != '`':
			i++
		case s[i] == quote:
			return i + 1
		}
	}
	return -1
}

// commentEnd is how much to skip of the comment s begins with: 0 if it begins
// with a mere slash, -1 if the comment is never closed.
func commentEnd(s string) int {
	switch {
	case strings.HasPrefix(s, "//"):
		if n := strings.IndexByte(s, '\n'); n >= 0 {
			return n
		}
		return -1
	case strings.HasPrefix(s, "/*"):
		if n := strings.Index(s[2:], "*/"); n >= 0 {
			return n + 3
		}
		return -1
	}
	return 0
}

// template compiles t; problems are recorded. field names it in warnings.
func (c *compiler) template(t Text, sc *scope, field string, after bool) *template {
	if t.Value == "" {
		return nil
	}
	pieces, bad := cutTemplate(t.Value)
	if bad >= 0 {
		c.problemAt(t, bad, "%s: `{{` is never closed with `}}`", field)
		return nil
	}
	out := &template{field: field}
	for _, p := range pieces {
		if !p.expr {
			out.parts = append(out.parts, templatePart{text: p.text})
			continue
		}
		x, faults := c.compileExpression(p.text, sc, after, false)
		for _, f := range faults {
			c.problemAt(t, p.at+f.at, "%s: %s", field, f.msg)
		}
		c.checkCalls(t, x, sc, field)
		out.parts = append(out.parts, templatePart{x: x})
	}
	return out
}

// calls says whether any expression of the template calls one of the functions.
func (t *template) calls(names ...string) bool {
	if t == nil {
		return false
	}
	for _, p := range t.parts {
		for _, n := range names {
			if p.x != nil && p.x.calls[n] {
				return true
			}
		}
	}
	return false
}

// text evaluates a template. A run-time error drops the field with a warning
// (product.md › Rules, Two phases).
func (s *session) text(rule string, t *template) string {
	if t == nil {
		return ""
	}
	var b strings.Builder
	for _, p := range t.parts {
		if p.x == nil {
			b.WriteString(p.text)
			continue
		}
		v, err := p.x.run(s.env(p.x))
		if err != nil {
			s.warn("rule " + rule + ": " + t.field + " left out: " + err.Error())
			return ""
		}
		b.WriteString(s.p.print.text(v))
	}
	return b.String()
}

// list is text for keys that take several values: a template that is nothing
// but one expression gives every item of a list.
func (s *session) list(rule string, t *template) []string {
	if t == nil {
		return nil
	}
	if len(t.parts) != 1 || t.parts[0].x == nil {
		return s.p.print.list(s.text(rule, t))
	}
	x := t.parts[0].x
	v, err := x.run(s.env(x))
	if err != nil {
		s.warn("rule " + rule + ": " + t.field + " left out: " + err.Error())
		return nil
	}
	return s.p.print.list(v)
}
