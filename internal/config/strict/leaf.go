package strict

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/jivo-amocrm/bridge/internal/duration"
)

// A leaf's default is what stands in its destination when the leaf is made, so
// that there is one place for defaults.

// Inserted is the form of a scalar that holds ${…}: the schema takes it
// wherever the reader does.
const Inserted = `\$\{`

// Words is a scalar of text. check looks at the value and may rewrite it; nil:
// any text but the empty one.
func Words(dst *string, want string, check func(s Scalar) (value, complaint string)) Leaf {
	l := Leaf{Want: want, Kinds: TextKind, Shape: jsonschema.Schema{Type: "string"}}
	if *dst != "" {
		l.Def = *dst
	}
	l.Take = func(s Scalar) (complaint string) {
		value := s.Text
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
		l.Shape.Pattern = `\S`
	}
	return l
}

// Free is a scalar of text that may be empty.
func Free(dst *string) Leaf {
	return Words(dst, "text", func(s Scalar) (string, string) { return s.Text, "" })
}

// Named is a name or an id: an id may be written as a number.
func Named(dst *string, want string) Leaf {
	l := Words(dst, want, nil)
	l.Kinds |= IntegerKind
	l.IDs = true
	l.Shape = jsonschema.Schema{Types: []string{"string", "integer"}, Pattern: `\S`}
	return l
}

// OneOf is a word of a closed set.
func OneOf(dst *string, set ...string) Leaf {
	want := strings.Join(set[:len(set)-1], ", ") + " or " + set[len(set)-1]
	l := Words(dst, want, func(s Scalar) (string, string) {
		if slices.Contains(set, s.Text) {
			return s.Text, ""
		}
		return "", fmt.Sprintf("%s is expected, not %s%s", want, s.Show(), s.Mean(set))
	})
	l.Shape = WordShape(set)
	return l
}

// WordShape describes the words of a set. It is no enum, since ${…} may stand
// for one.
func WordShape(set []string) jsonschema.Schema {
	return jsonschema.Schema{Type: "string", Pattern: "^(?:" + strings.Join(set, "|") + ")$|" + Inserted}
}

// Mean is didYouMean for a scalar, silent where the value may not be shown.
func (s Scalar) Mean(set []string) string {
	if s.Mixed {
		return ""
	}
	return didYouMean(s.Text, set)
}

// Number is a number within bounds, both included.
func Number(dst *float64, low, high float64) Leaf {
	want := fmt.Sprintf("a number from %v to %v", low, high)
	return Leaf{
		Want: want, Kinds: IntegerKind | FloatKind, Def: *dst,
		Shape: jsonschema.Schema{
			Types:   []string{"number", "string"},
			Minimum: &low, Maximum: &high, Pattern: Inserted,
		},
		Take: func(s Scalar) string {
			n, err := strconv.ParseFloat(s.Text, 64)
			if err != nil || !(n >= low && n <= high) {
				return want + " is expected, not " + s.bare()
			}
			*dst = n
			return ""
		},
	}
}

// Integer is a whole number within bounds, both included.
func Integer(dst *int, low, high int) Leaf {
	want := fmt.Sprintf("a whole number from %d to %d", low, high)
	return Leaf{
		Want: want, Kinds: IntegerKind, Def: *dst,
		Shape: jsonschema.Schema{
			Types:   []string{"integer", "string"},
			Minimum: jsonschema.Ptr(float64(low)), Maximum: jsonschema.Ptr(float64(high)), Pattern: Inserted,
		},
		Take: func(s Scalar) string {
			n, err := strconv.Atoi(strings.ReplaceAll(s.Text, "_", ""))
			if err != nil || n < low || n > high {
				return want + " is expected, not " + s.bare()
			}
			*dst = n
			return ""
		},
	}
}

// bare shows a number as written, and anything else in quotes.
func (s Scalar) bare() string {
	if s.Kind == TextKind {
		return s.Show()
	}
	return s.raw
}

// Boolean is true or false.
func Boolean(set func(bool)) Leaf {
	const want = "true or false"
	return Leaf{
		Want: want, Kinds: BoolKind,
		Shape: jsonschema.Schema{Types: []string{"boolean", "string"}, Pattern: Inserted},
		Take: func(s Scalar) string {
			switch strings.ToLower(s.Text) {
			case "true":
				set(true)
			case "false":
				set(false)
			default:
				return want + " is expected, not " + s.Show()
			}
			return ""
		},
	}
}

// Flag is true or false, kept in a variable.
func Flag(dst *bool) Leaf {
	l := Boolean(func(b bool) { *dst = b })
	l.Def = *dst
	return l
}

// OnOff is on or off; true and false are taken too, since that is what other
// YAML tools make of the two words.
func OnOff(dst *bool) Leaf {
	const want = "on or off"
	def := "off"
	if *dst {
		def = "on"
	}
	return Leaf{
		Want: want, Kinds: TextKind | BoolKind, Def: def,
		Shape: jsonschema.Schema{Types: []string{"string", "boolean"}, Pattern: "^(?:on|off)$|" + Inserted},
		Take: func(s Scalar) string {
			switch strings.ToLower(s.Text) {
			case "on", "true":
				*dst = true
			case "off", "false":
				*dst = false
			default:
				return want + " is expected, not " + s.Show() + s.Mean([]string{"on", "off"})
			}
			return ""
		},
	}
}

// AutoOnOff is auto, on or off.
func AutoOnOff(dst *string) Leaf {
	set := false
	l := OnOff(&set)
	l.Want, l.Def = "auto, on or off", *dst
	l.Shape.Pattern = "^(?:auto|on|off)$|" + Inserted
	l.Take = func(s Scalar) string {
		switch strings.ToLower(s.Text) {
		case "auto":
			*dst = "auto"
		case "on", "true":
			*dst = "on"
		case "off", "false":
			*dst = "off"
		default:
			return l.Want + " is expected, not " + s.Show() + s.Mean([]string{"auto", "on", "off"})
		}
		return ""
	}
	return l
}

// Longest bounds every duration: what lies beyond is a slip, not a wish.
const Longest = 3650 * duration.Day

// Duration is a length of time within bounds, both included.
func Duration(dst *time.Duration, low, high time.Duration) Leaf {
	const want = "a duration such as 15s, 10m, 2d or 1w"
	l := Leaf{
		Want: want, Kinds: TextKind | IntegerKind,
		Shape: jsonschema.Schema{
			Types: []string{"string", "integer"}, Pattern: duration.Form + "|" + Inserted,
			Minimum: jsonschema.Ptr(0.0), Maximum: jsonschema.Ptr(0.0), // 0 needs no unit
		},
		Take: func(s Scalar) string {
			d, ok := duration.Parse(s.Text)
			switch {
			case !ok:
				return want + " is expected, not " + s.bare()
			case d < low:
				return fmt.Sprintf("at least %s is expected, not %s", duration.Show(low), s.bare())
			case d > high:
				return fmt.Sprintf("at most %s is expected, not %s", duration.Show(high), s.bare())
			}
			*dst = d
			return ""
		},
	}
	if *dst != 0 {
		l.Def = duration.Show(*dst)
	}
	return l
}

// Size is a number of bytes within bounds, both included.
func Size(dst *int64, low, high int64) Leaf {
	const want = "a size such as 512KiB, 4MiB or 1GiB"
	return Leaf{
		Want: want, Kinds: TextKind | IntegerKind, Def: showSize(*dst),
		Shape: jsonschema.Schema{
			Types: []string{"string", "integer"}, Pattern: sizeForm + "|" + Inserted, Minimum: jsonschema.Ptr(0.0),
		},
		Take: func(s Scalar) string {
			n, ok := parseSize(s.Text)
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

// bareVariable is how shells write a variable. No secret is made so: it would be
// sent as it stands.
var bareVariable = regexp.MustCompile(`^(?:\$[A-Z_][A-Z0-9_]*|%[A-Z_][A-Z0-9_]*%)$`)

// Confidential is a secret. check says what is wrong with it and must not quote it;
// form is the check as a pattern.
func Confidential(want, form string, set func(Secret), check func(value string) (complaint string)) Leaf {
	return Leaf{
		Want: want, Kinds: TextKind, secret: true,
		Shape: jsonschema.Schema{Type: "string", Pattern: form + "|" + Inserted},
		Take: func(s Scalar) string {
			if !s.Mixed && bareVariable.MatchString(s.Text) {
				return "a variable without braces is taken as it stands; did you mean ${NAME}?"
			}
			if complaint := check(s.Text); complaint != "" {
				return complaint
			}
			set(NewSecret(s.Text))
			return ""
		},
	}
}

// Checked adds a check to a leaf, before the value is taken.
func (l Leaf) Checked(check func(s Scalar) (complaint string)) Leaf {
	take := l.Take
	l.Take = func(s Scalar) string {
		if complaint := check(s); complaint != "" {
			return complaint
		}
		return take(s)
	}
	return l
}

// Filled refuses an empty text.
func (l Leaf) Filled() Leaf {
	l.Shape.Pattern = `\S`
	return l.Checked(func(s Scalar) string {
		if strings.TrimSpace(s.Text) == "" {
			return "the text is empty"
		}
		return ""
	})
}

// Then adds what follows once the value is taken.
func (l Leaf) Then(do func(s Scalar)) Leaf {
	take := l.Take
	l.Take = func(s Scalar) string {
		complaint := take(s)
		if complaint == "" {
			do(s)
		}
		return complaint
	}
	return l
}
