package config

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/jivo-amocrm/bridge/internal/config/strict"
	"github.com/jivo-amocrm/bridge/internal/duration"
	"github.com/jivo-amocrm/bridge/internal/mapping"
)

// phrase is a text of a rule, kept with its place for the compiler. It may be
// written as a number.
func phrase(dst *mapping.Text) strict.Leaf {
	return strict.Leaf{
		Want: "text", Kinds: strict.TextKind | strict.IntegerKind | strict.FloatKind,
		Shape: jsonschema.Schema{Types: []string{"string", "number"}},
		Take: func(s strict.Scalar) string {
			*dst = mapping.Text{Value: s.Text, Line: s.Content.Line, Col: s.Content.Col, Set: true}
			return ""
		},
	}
}

// target is a rule's `to:`; left out, it is the lead.
func target(dst *mapping.Text) strict.Leaf {
	l := wordOf(dst, "lead", "contact")
	l.Def = "lead"
	return l
}

func updateMode(dst *mapping.Text) strict.Leaf { return wordOf(dst, "fill", "overwrite", "never") }

// wordOf is a text that is one of a set of words; the compiler checks it.
func wordOf(dst *mapping.Text, set ...string) strict.Leaf {
	l := phrase(dst)
	l.Kinds, l.Shape = strict.TextKind, strict.WordShape(set)
	return l
}

func dueIn(dst *mapping.Text) strict.Leaf {
	defaultDue := duration.Day // mapping's
	l, span := phrase(dst), strict.Duration(&defaultDue, 0, strict.Longest)
	l.Want, l.Kinds, l.Shape, l.Def = span.Want, span.Kinds, span.Shape, span.Def
	return l.Checked(span.Take)
}

// expression is `when:`; true and false are expressions too.
func expression(dst *mapping.Text) strict.Leaf {
	l := phrase(dst)
	l.Want, l.Kinds = "an expression", strict.TextKind|strict.BoolKind
	l.Shape = jsonschema.Schema{Types: []string{"string", "boolean"}, Pattern: `\S`}
	return l
}

// credential is the check of a value that travels in an HTTP header.
func credential(value string) string {
	if value == "" {
		return "the value is empty"
	}
	if strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return "the value has white space, a control character or a letter beyond ASCII in it"
	}
	return ""
}

// minSecret is the length of a path secret (product.md §2).
const minSecret = 16

// pathSecret is the check of a value that is one segment of a URL.
func pathSecret(value string) string {
	if n := utf8.RuneCountInString(value); n < minSecret {
		return fmt.Sprintf("at least %d characters are expected, not %d", minSecret, n)
	}
	if strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(`/\?#%`, c) }) {
		return `the value stands in a URL: white space, letters beyond ASCII and / \ ? # % cannot`
	}
	return ""
}

// atMost bounds the letters of a text that is no template; a template's are
// only known, and cut, when it is evaluated.
func atMost(most int) func(s strict.Scalar) string {
	return func(s strict.Scalar) string {
		if n := utf8.RuneCountInString(s.Text); n > most && !strings.Contains(s.Text, "{{") {
			return fmt.Sprintf("at most %d characters are allowed, not %d", most, n)
		}
		return ""
	}
}

// bearer is a secret that travels in an HTTP header.
func bearer(set func(Secret)) strict.Leaf {
	return strict.Confidential("a token", `^[!-~]+$`, set, credential)
}
