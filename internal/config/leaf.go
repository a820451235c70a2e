package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/jivo-amocrm/bridge/internal/mapping"
)

// A leaf's default is what stands in its destination when it is made: the one
// place for defaults is the struct that newConfig and newConnection fill.

// inserted is the form of a scalar that holds ${…}: the schema takes it
// wherever the reader does.
const inserted = `\$\{`

// words is a scalar of text. check looks at the value and may rewrite it; nil:
// any text but the empty one.
func words(dst *string, want string, check func(s scalar) (value, complaint string)) leaf {
	l := leaf{want: want, kinds: isText, shape: jsonschema.Schema{Type: "string"}}
	if *dst != "" {
		l.def = *dst
	}
	l.take = func(s scalar) (complaint string) {
		value := s.text
		if check != nil {
			value, complaint = check(s)
		} else if strings.TrimSpace(value) == "" {
			complaint = want + " is expected, not an empty text"
		}
		if complaint == "" {
			*dst = value
		}
		return complaint
	}
	if check == nil {
		l.shape.Pattern = `\S`
	}
	return l
}

// free is a scalar of text that may be empty.
func free(dst *string) leaf {
	return words(dst, "text", func(s scalar) (string, string) { return s.text, "" })
}

// named is a name or an id: an id may be written as a number.
func named(dst *string, want string) leaf {
	l := words(dst, want, nil)
	l.kinds |= isInteger
	l.ids = true
	l.shape = jsonschema.Schema{Types: []string{"string", "integer"}, Pattern: `\S`}
	return l
}

// oneOf is a word of a closed set.
func oneOf(dst *string, set ...string) leaf {
	want := strings.Join(set[:len(set)-1], ", ") + " or " + set[len(set)-1]
	l := words(dst, want, func(s scalar) (string, string) {
		if slices.Contains(set, s.text) {
			return s.text, ""
		}
		return "", fmt.Sprintf("%s is expected, not %s%s", want, s.show(), s.mean(set))
	})
	l.shape = wordShape(set)
	return l
}

// wordShape describes the words of a set. It is no enum, since ${…} may stand
// for one.
func wordShape(set []string) jsonschema.Schema {
	return jsonschema.Schema{Type: "string", Pattern: "^(?:" + strings.Join(set, "|") + ")$|" + inserted}
}

// mean is didYouMean for a scalar, silent where the value may not be shown.
func (s scalar) mean(set []string) string {
	if s.mixed {
		return ""
	}
	return didYouMean(s.text, set)
}

// number is a number within bounds, both included.
func number(dst *float64, low, high float64) leaf {
	want := fmt.Sprintf("a number from %v to %v", low, high)
	return leaf{
		want: want, kinds: isInteger | isFloat, def: *dst,
		shape: jsonschema.Schema{
			Types:   []string{"number", "string"},
			Minimum: &low, Maximum: &high, Pattern: inserted,
		},
		take: func(s scalar) string {
			n, err := strconv.ParseFloat(s.text, 64)
			if err != nil || !(n >= low && n <= high) {
				return want + " is expected, not " + s.bare()
			}
			*dst = n
			return ""
		},
	}
}

// integer is a whole number within bounds, both included.
func integer(dst *int, low, high int) leaf {
	want := fmt.Sprintf("a whole number from %d to %d", low, high)
	return leaf{
		want: want, kinds: isInteger, def: *dst,
		shape: jsonschema.Schema{
			Types:   []string{"integer", "string"},
			Minimum: jsonschema.Ptr(float64(low)), Maximum: jsonschema.Ptr(float64(high)), Pattern: inserted,
		},
		take: func(s scalar) string {
			n, err := strconv.Atoi(strings.ReplaceAll(s.text, "_", ""))
			if err != nil || n < low || n > high {
				return want + " is expected, not " + s.bare()
			}
			*dst = n
			return ""
		},
	}
}

// bare shows a number as written, and anything else in quotes.
func (s scalar) bare() string {
	if s.kind == isText {
		return s.show()
	}
	return s.raw
}

// boolean is true or false.
func boolean(set func(bool)) leaf {
	const want = "true or false"
	return leaf{
		want: want, kinds: isBool,
		shape: jsonschema.Schema{Types: []string{"boolean", "string"}, Pattern: inserted},
		take: func(s scalar) string {
			switch strings.ToLower(s.text) {
			case "true":
				set(true)
			case "false":
				set(false)
			default:
				return want + " is expected, not " + s.show()
			}
			return ""
		},
	}
}

func flag(dst *bool) leaf {
	l := boolean(func(b bool) { *dst = b })
	l.def = *dst
	return l
}

// onOff is on or off; true and false are taken too, since that is what other
// YAML tools make of the two words.
func onOff(dst *bool) leaf {
	const want = "on or off"
	def := "off"
	if *dst {
		def = "on"
	}
	return leaf{
		want: want, kinds: isText | isBool, def: def,
		shape: jsonschema.Schema{Types: []string{"string", "boolean"}, Pattern: "^(?:on|off)$|" + inserted},
		take: func(s scalar) string {
			switch strings.ToLower(s.text) {
			case "on", "true":
				*dst = true
			case "off", "false":
				*dst = false
			default:
				return want + " is expected, not " + s.show() + s.mean([]string{"on", "off"})
			}
			return ""
		},
	}
}

// autoOnOff is auto, on or off.
func autoOnOff(dst *string) leaf {
	set := false
	l := onOff(&set)
	l.want, l.def = "auto, on or off", *dst
	l.shape.Pattern = "^(?:auto|on|off)$|" + inserted
	l.take = func(s scalar) string {
		switch strings.ToLower(s.text) {
		case "auto":
			*dst = "auto"
		case "on", "true":
			*dst = "on"
		case "off", "false":
			*dst = "off"
		default:
			return l.want + " is expected, not " + s.show() + s.mean([]string{"auto", "on", "off"})
		}
		return ""
	}
	return l
}

// longest bounds every duration: what lies beyond is a slip, not a wish.
const longest = 3650 * day

// duration is a length of time within bounds, both included.
func duration(dst *time.Duration, low, high time.Duration) leaf {
	const want = "a duration such as 15s, 10m, 2d or 1w"
	l := leaf{
		want: want, kinds: isText | isInteger,
		shape: jsonschema.Schema{
			Types: []string{"string", "integer"}, Pattern: durationForm + "|" + inserted,
			Minimum: jsonschema.Ptr(0.0), Maximum: jsonschema.Ptr(0.0), // 0 needs no unit
		},
		take: func(s scalar) string {
			d, ok := ParseDuration(s.text)
			switch {
			case !ok:
				return want + " is expected, not " + s.bare()
			case d < low:
				return fmt.Sprintf("at least %s is expected, not %s", showDuration(low), s.bare())
			case d > high:
				return fmt.Sprintf("at most %s is expected, not %s", showDuration(high), s.bare())
			}
			*dst = d
			return ""
		},
	}
	if *dst != 0 {
		l.def = showDuration(*dst)
	}
	return l
}

// size is a number of bytes within bounds, both included.
func size(dst *int64, low, high int64) leaf {
	const want = "a size such as 512KiB, 4MiB or 1GiB"
	return leaf{
		want: want, kinds: isText | isInteger, def: showSize(*dst),
		shape: jsonschema.Schema{
			Types: []string{"string", "integer"}, Pattern: sizeForm + "|" + inserted, Minimum: jsonschema.Ptr(0.0),
		},
		take: func(s scalar) string {
			n, ok := parseSize(s.text)
			if !ok {
				return want + " is expected, not " + s.bare()
			}
			if n < low || n > high {
				return fmt.Sprintf("a size from %s to %s is expected, not %s", showSize(low), showSize(high), s.bare())
			}
			*dst = n
			return ""
		},
	}
}

// hush is a secret. check says what is wrong with it and must not quote it;
// form is the check as a pattern.
func hush(want, form string, set func(Secret), check func(value string) (complaint string)) leaf {
	return leaf{
		want: want, kinds: isText, secret: true,
		shape: jsonschema.Schema{Type: "string", Pattern: form + "|" + inserted},
		take: func(s scalar) string {
			if complaint := check(s.text); complaint != "" {
				return complaint
			}
			set(NewSecret(s.text))
			return ""
		},
	}
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

// phrase is a text of a rule, kept with its place for the compiler. It may be
// written as a number.
func phrase(dst *mapping.Text) leaf {
	return leaf{
		want: "text", kinds: isText | isInteger | isFloat,
		shape: jsonschema.Schema{Types: []string{"string", "number"}},
		take: func(s scalar) string {
			*dst = mapping.Text{Value: s.text, Line: s.content.Line, Col: s.content.Col, Set: true}
			return ""
		},
	}
}

// checked adds a check to a leaf, before the value is taken.
func (l leaf) checked(check func(s scalar) (complaint string)) leaf {
	take := l.take
	l.take = func(s scalar) string {
		if complaint := check(s); complaint != "" {
			return complaint
		}
		return take(s)
	}
	return l
}

// filled refuses an empty text.
func (l leaf) filled() leaf {
	l.shape.Pattern = `\S`
	return l.checked(func(s scalar) string {
		if strings.TrimSpace(s.text) == "" {
			return "the text is empty"
		}
		return ""
	})
}
