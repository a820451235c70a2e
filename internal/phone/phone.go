// Package phone brings phones and e-mails to the one form in which the bridge
// compares them. amoCRM keeps phones as they were given (amocrm-api.md §4.3)
// and visitors type them as they like, so equality is decided here and nowhere
// else.
package phone

import (
	"slices"
	"strings"
	"unicode"

	"github.com/nyaruka/phonenumbers"
)

// E164 returns raw as an international number ("+79990000001"). A number
// without a country code is read as one of region (ISO 3166, "RU"). ok is
// false if raw is no valid number anywhere; such a number may still be kept
// with Soft.
func E164(raw, region string) (number string, ok bool) {
	n, ok := parse(raw, region)
	if !ok {
		return "", false
	}
	return phonenumbers.Format(n, phonenumbers.E164), true
}

// Soft returns the E.164 form where there is one, else the digits of raw with
// a leading plus kept, so that an odd number ("+458745457845") is carried over
// rather than lost. It returns "" if raw has fewer than three digits.
func Soft(raw, region string) string {
	if e, ok := E164(raw, region); ok {
		return e
	}
	d := digits(raw)
	if len(d) < 3 {
		return ""
	}
	if strings.HasPrefix(strings.TrimSpace(raw), "+") {
		return "+" + d
	}
	return d
}

// National returns the national significant number, the form amoCRM's search
// finds a phone by however it was written (amocrm-api.md §4.3: last ten digits).
func National(number, region string) string {
	if n, ok := parse(number, region); ok {
		return phonenumbers.GetNationalSignificantNumber(n)
	}
	d := digits(number)
	if len(d) > 10 {
		d = d[len(d)-10:]
	}
	return d
}

// IsRegion reports whether region (ISO 3166, capitals) is a country whose way
// of writing phones is known.
func IsRegion(region string) bool { return phonenumbers.GetSupportedRegions()[region] }

// Email returns the address in lower case without surrounding space, or "" if
// it cannot be an address.
func Email(raw string) string {
	s := strings.ToLower(strings.TrimFunc(raw, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }))
	at := strings.LastIndexByte(s, '@')
	if at <= 0 || at == len(s)-1 || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return ""
	}
	return s
}

func parse(raw, region string) (*phonenumbers.PhoneNumber, bool) {
	raw = strings.TrimSpace(raw)
	if len(raw) > 64 {
		return nil, false
	}
	n, err := phonenumbers.Parse(raw, strings.ToUpper(region))
	if err == nil && phonenumbers.IsValidNumber(n) {
		return n, true
	}
	// "7999…" and "8 (495)…" without a plus: an international number typed bare.
	if d := digits(raw); !strings.HasPrefix(raw, "+") && len(d) >= 11 {
		if n, err := phonenumbers.Parse("+"+d, ""); err == nil && phonenumbers.IsValidNumber(n) {
			return n, true
		}
	}
	return nil, false
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}

// Keys are the contact directory's keys of phones and e-mails: "p:+79990000001",
// "e:a@example.com". What cannot be compared has none.
func Keys(phones, emails []string, region string) []string {
	phones, emails = slices.Clone(phones), slices.Clone(emails)
	for i, p := range phones {
		phones[i] = Soft(p, region)
	}
	for i, e := range emails {
		emails[i] = Email(e)
	}
	return KeysOf(phones, emails)
}

// KeysOf is Keys of what is in normal form (Soft, Email) already.
func KeysOf(phones, emails []string) (keys []string) {
	for _, p := range phones {
		if p != "" {
			keys = append(keys, "p:"+p)
		}
	}
	for _, e := range emails {
		if e != "" {
			keys = append(keys, "e:"+e)
		}
	}
	return keys
}
