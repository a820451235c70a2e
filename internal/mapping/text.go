package mapping

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// maxWhole is the largest magnitude up to which a float64 holds every whole number.
const maxWhole = 1 << 53

// printer writes values as people read them: numbers without an exponent,
// lists joined by commas, times by the language's layout.
type printer struct{ dateTime string }

func (p printer) text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return number(v)
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.Format(p.dateTime)
	case time.Duration:
		return v.String()
	case []any:
		return strings.Join(p.list(v), ", ")
	case []string:
		return strings.Join(v, ", ")
	case event.Object:
		// An object stands for its name; what has none is no text.
		for _, k := range []string{"title", "name"} {
			if s, ok := v[k].(string); ok && s != "" {
				return s
			}
		}
		return ""
	case []byte:
		return string(v)
	}
	return strings.Join(strings.Fields(fmt.Sprint(v)), " ")
}

// list returns v's items as texts, without empty ones; a value that is no list
// is its own only item.
func (p printer) list(v any) []string {
	var out []string
	add := func(s string) {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			add(p.text(x))
		}
	case []string:
		for _, x := range v {
			add(x)
		}
	default:
		add(p.text(v))
	}
	return out
}

func number(f float64) string {
	if f == float64(int64(f)) && f < maxWhole && f > -maxWhole {
		return strconv.FormatInt(int64(f), 10)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// empty says whether v counts as nothing for `??` and has(): nil, "", 0, an
// empty list, an object with nothing in it. false is a value.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case int:
		return v == 0
	case int64:
		return v == 0
	case float64:
		return v == 0
	case []any:
		return len(v) == 0
	case []string:
		return len(v) == 0
	case map[string]any:
		for _, x := range v {
			if x != false && !empty(x) {
				return false
			}
		}
		return true
	case time.Time:
		return v.IsZero()
	}
	return false
}

// line makes s safe for a one-line field: control characters and line breaks
// become spaces, ends are trimmed.
func line(s string) string {
	return strings.TrimSpace(strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\uFFFD"), unicode.IsControl), " "))
}

// lines is line for texts of several lines: breaks and tabs stay.
func lines(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s))
}
