package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/jivo-amocrm/bridge/internal/config/strict"
)

// weekdays in the order of time.Weekday.
func weekdays() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

const (
	daysForm  = `^(?:sun|mon|tue|wed|thu|fri|sat)(?:-(?:sun|mon|tue|wed|thu|fri|sat))?(?: *, *(?:sun|mon|tue|wed|thu|fri|sat)(?:-(?:sun|mon|tue|wed|thu|fri|sat))?)*$`
	clockForm = `^(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`
)

var clockTimes = regexp.MustCompile(clockForm)

func (conn *Connection) workHours() strict.Node {
	return strict.Lazy(func() strict.Node {
		h := &WorkHours{}
		conn.WorkHours = h
		var days, from, to string
		return strict.Object{Keys: []strict.Key{
			strict.Must("days", shaped(daysForm, strict.Words(&days, "a text such as mon-fri", h.days)), "Days such as mon-fri or mon,wed,sat-sun"),
			strict.Must("from", shaped(clockForm, strict.Words(&from, `a time such as "09:00"`, clock(&h.From))), "Begin, HH:MM"),
			strict.Must("to", shaped(clockForm, strict.Words(&to, `a time such as "09:00"`, clock(&h.To))), "End, HH:MM; 24:00 is the day's end"),
		}, After: func(r *strict.Reader, at strict.Place, _ bool) {
			if from != "" && to != "" && h.From >= h.To {
				r.Problem(at.Pos, "work_hours: from (%s) must be before to (%s)", from, to)
			}
		}}
	})
}

func shaped(form string, l strict.Leaf) strict.Leaf {
	l.Shape = jsonschema.Schema{Type: "string", Pattern: form + "|" + strict.Inserted}
	return l
}

// days reads mon-fri, or mon,wed,sat-sun; a range may run over the week's end.
func (h *WorkHours) days(s strict.Scalar) (value, complaint string) {
	names := weekdays()
	for _, span := range strings.Split(s.Text, ",") {
		first, last, ranged := strings.Cut(strings.TrimSpace(span), "-")
		if !ranged {
			last = first
		}
		from, to := slices.Index(names, first), slices.Index(names, last)
		if from < 0 || to < 0 {
			return "", fmt.Sprintf("days such as mon-fri or mon,wed,sat-sun are expected, not %s", s.Show())
		}
		for d := from; ; d = (d + 1) % len(names) {
			h.Days[d] = true
			if d == to {
				break
			}
		}
	}
	return s.Text, ""
}

// clock reads HH:MM as the time since midnight.
func clock(dst *time.Duration) func(s strict.Scalar) (value, complaint string) {
	return func(s strict.Scalar) (value, complaint string) {
		if !clockTimes.MatchString(s.Text) {
			return "", fmt.Sprintf(`a time such as "09:00" is expected, not %s`, s.Show())
		}
		two := func(i int) time.Duration { return time.Duration(s.Text[i]-'0')*10 + time.Duration(s.Text[i+1]-'0') }
		*dst = two(0)*time.Hour + two(3)*time.Minute
		return s.Text, ""
	}
}
