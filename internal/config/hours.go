package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
)

// weekdays in the order of time.Weekday.
func weekdays() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

const (
	daysForm  = `^(?:sun|mon|tue|wed|thu|fri|sat)(?:-(?:sun|mon|tue|wed|thu|fri|sat))?(?: *, *(?:sun|mon|tue|wed|thu|fri|sat)(?:-(?:sun|mon|tue|wed|thu|fri|sat))?)*$`
	clockForm = `^(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`
)

var clockTimes = regexp.MustCompile(clockForm)

func (conn *Connection) workHours() made {
	return made{func() node {
		h := &WorkHours{}
		conn.WorkHours = h
		var days, from, to string
		return object{keys: []key{
			must("days", shaped(daysForm, words(&days, "a text such as mon-fri", h.days)), "Days such as mon-fri or mon,wed,sat-sun"),
			must("from", shaped(clockForm, words(&from, `a time such as "09:00"`, clock(&h.From))), "Begin, HH:MM"),
			must("to", shaped(clockForm, words(&to, `a time such as "09:00"`, clock(&h.To))), "End, HH:MM; 24:00 is the day's end"),
		}, after: func(r *reader, at place) {
			if from != "" && to != "" && h.From >= h.To {
				r.problem(at.Pos, "work_hours: from (%s) must be before to (%s)", from, to)
			}
		}}
	}}
}

func shaped(form string, l leaf) leaf {
	l.shape = jsonschema.Schema{Type: "string", Pattern: form + "|" + inserted}
	return l
}

// days reads mon-fri, or mon,wed,sat-sun; a range may run over the week's end.
func (h *WorkHours) days(s scalar) (value, complaint string) {
	names := weekdays()
	for _, span := range strings.Split(s.text, ",") {
		first, last, ranged := strings.Cut(strings.TrimSpace(span), "-")
		if !ranged {
			last = first
		}
		from, to := slices.Index(names, first), slices.Index(names, last)
		if from < 0 || to < 0 {
			return "", fmt.Sprintf("days such as mon-fri or mon,wed,sat-sun are expected, not %s", s.show())
		}
		for d := from; ; d = (d + 1) % len(names) {
			h.Days[d] = true
			if d == to {
				break
			}
		}
	}
	return s.text, ""
}

// clock reads HH:MM as the time since midnight.
func clock(dst *time.Duration) func(s scalar) (value, complaint string) {
	return func(s scalar) (value, complaint string) {
		if !clockTimes.MatchString(s.text) {
			return "", fmt.Sprintf(`a time such as "09:00" is expected, not %s`, s.show())
		}
		two := func(i int) time.Duration { return time.Duration(s.text[i]-'0')*10 + time.Duration(s.text[i+1]-'0') }
		*dst = two(0)*time.Hour + two(3)*time.Minute
		return s.text, ""
	}
}
