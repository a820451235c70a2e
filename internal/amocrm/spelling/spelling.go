package spelling

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Entity families as amoCRM's paths spell them.
const (
	Leads     = "leads"
	Contacts  = "contacts"
	Companies = "companies"
)

// Codes of the two fields every contact has.
const (
	CodePhone = "PHONE"
	CodeEmail = "EMAIL"
)

// Text strips what no text of amoCRM may carry: broken UTF-8 and control
// characters other than line ends and tabs. Line ends become \n.
func Text(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return '\n'
		case unicode.IsControl(r) && r != '\n' && r != '\t':
			return -1
		}
		return r
	}, s))
}

// Line is Text for what stands on one line.
func Line(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, Text(s)))
}

// Cut cuts a text to so many characters.
func Cut(s string, limit int) string {
	n := 0
	for i := range s {
		if n == limit {
			return strings.TrimSpace(s[:i])
		}
		n++
	}
	return s
}

// Fold brings a name to the form names are compared in.
func Fold(s string) string {
	s = strings.ToLower(strings.Join(strings.Fields(norm.NFC.String(s)), " "))
	return strings.ReplaceAll(s, "ё", "е")
}

// ID reads an id: a whole number above 0.
func ID(s string) (int64, bool) {
	id, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	return id, err == nil && id > 0
}

var (
	plainNumber = regexp.MustCompile(`^[+-]?\d+(\.\d+)?$`)
	grouped     = regexp.MustCompile(`^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$`)
	digitGroups = regexp.MustCompile(`^[+-]?\d{1,3}( \d{3})+([.,]\d+)?$`)
)

// Number reads "1500", "1500,5", "1 500.50" and "1,500.50". One comma is
// a decimal comma; the price reads it otherwise, see Price.
func Number(text string) (float64, bool) {
	s := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		return r
	}, strings.TrimSpace(text))
	switch {
	case digitGroups.MatchString(s):
		s = strings.ReplaceAll(strings.ReplaceAll(s, " ", ""), ",", ".")
	case grouped.MatchString(s) && (strings.Count(s, ",") > 1 || strings.Contains(s, ".")):
		s = strings.ReplaceAll(s, ",", "")
	default:
		s = strings.Replace(s, ",", ".", 1)
	}
	if !plainNumber.MatchString(s) || len(s) > 32 {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}

// Price reads an amount of money: as Number, but a single comma
// before exactly three digits parts thousands, for no money has a third decimal.
func Price(text string) (float64, bool) {
	s := strings.TrimSpace(text)
	if grouped.MatchString(s) {
		s = strings.ReplaceAll(s, ",", "")
	}
	n, ok := Number(s)
	return n, ok && n >= 0 && n < 1e15
}

// FormatNumber is what Number reads back, without an exponent.
func FormatNumber(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// Scalar is a scalar of an item as text; of an object, its name.
func Scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return FormatNumber(v)
	case json.Number:
		return v.String()
	case map[string]any:
		return Scalar(v["name"])
	}
	return ""
}
