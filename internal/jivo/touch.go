package jivo

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Touch returns where the visitor came from at this visit, or nil if the event
// says nothing of it. UTM keys have no utm_ prefix; session.utm_json wins over
// the pipe form of session.utm (row 22); values are percent-decoded, as Jivo's
// own apps show them (§d).
func (m *Message) Touch(at time.Time) *event.Touch {
	if !m.Known {
		return nil
	}
	session, page := object(m.Fields, "session"), object(m.Fields, "page")
	geo := object(session, "geoip")
	t := event.Touch{
		Page:    cut(cleanText(text(page, "url")), longestText),
		Title:   cleanLine(text(page, "title")),
		City:    cleanLine(text(geo, "city")),
		Country: cleanLine(text(geo, "country")),
		UTM:     m.utm(session),
	}
	if t.Page == "" && t.Title == "" && t.City == "" && t.Country == "" && len(t.UTM) == 0 {
		return nil
	}
	t.At = at
	return &t
}

// maxUTM bounds the marks of one visit; five are usual.
const maxUTM = 16

func (m *Message) utm(session event.Object) map[string]string {
	out := map[string]string{}
	set := func(key, value string) {
		key = strings.TrimPrefix(strings.ToLower(cleanLine(key)), "utm_")
		value = decodeMark(value)
		if key != "" && value != "" && (out[key] != "" || len(out) < maxUTM) {
			out[key] = value
		}
	}
	for part := range strings.SplitSeq(text(session, "utm"), "|") {
		key, value, _ := strings.Cut(part, "=")
		set(key, value)
	}
	beyond := object(m.Fields, "extra", "session", "utm_json")
	for _, marks := range []event.Object{beyond, object(session, "utm_json")} {
		for _, key := range slices.Sorted(maps.Keys(marks)) {
			set(key, scalar(marks[key]))
		}
	}
	return out
}

// decodeMark undoes percent-encoding; what is not encoded stays as it is.
func decodeMark(value string) string {
	if decoded, err := url.PathUnescape(value); err == nil && utf8.ValidString(decoded) {
		value = decoded
	}
	return cleanLine(value)
}
