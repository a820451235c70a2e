package book

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// indexed is one version of what the search index holds of a record.
type indexed struct {
	From   time.Time
	Text   string
	Digits []string // the digits of each filled field
}

// Reindex gives the search index a new version, seen from now+lag on.
func (r *Record) Reindex(now time.Time, lag time.Duration) {
	filled := []string{r.Name}
	if r.Price != 0 {
		filled = append(filled, strconv.FormatFloat(r.Price, 'f', -1, 64))
	}
	for _, f := range r.Fields {
		for _, v := range f.Values {
			filled = append(filled, v.Text)
		}
	}
	v := indexed{From: now.Add(lag), Text: strings.ToLower(strings.Join(filled, "\n"))}
	for _, s := range filled {
		if d := digits(s); d != "" {
			v.Digits = append(v.Digits, d)
		}
	}
	// Versions that are already overtaken will never be looked at again.
	for len(r.index) > 1 && !r.index[1].From.After(now) {
		r.index = r.index[1:]
	}
	r.index = append(r.index, v)
}

// Matches is amoCRM's `query`: full text over every filled field, phones by
// their last ten digits whatever field the digits stand in, as of the newest
// version the index has seen (amocrm-api.md §4.3, §7.3).
func (r *Record) Matches(query string, now time.Time) bool {
	var v *indexed
	for i := range r.index {
		if !r.index[i].From.After(now) {
			v = &r.index[i]
		}
	}
	if v == nil {
		return false
	}
	if d, ok := phoneLike(query); ok {
		d = lastTen(d)
		return slices.ContainsFunc(v.Digits, func(s string) bool { return strings.Contains(s, d) })
	}
	for _, word := range strings.Fields(strings.ToLower(query)) {
		if !strings.Contains(v.Text, word) {
			return false
		}
	}
	return true
}

// phoneLike tells a query of digits and phone punctuation, and its digits.
func phoneLike(q string) (string, bool) {
	if strings.Trim(q, "0123456789+-() .") != "" {
		return "", false
	}
	d := digits(q)
	return d, len(d) >= 5
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII || !unicode.IsDigit(r) {
			return -1
		}
		return r
	}, s)
}

func lastTen(d string) string { return d[max(0, len(d)-10):] }
