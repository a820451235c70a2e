package console

import (
	"strconv"
	"strings"
	"time"
)

// clock tells pages the time: what now is, and whose hours are shown.
type clock struct {
	now  func() time.Time
	zone *time.Location
}

// when is a time as people read it, in the clock's zone: "" for none.
func (c clock) when(t any) string {
	at, ok := timeOf(t)
	if !ok {
		return ""
	}
	return at.In(c.zone).Format("2006-01-02 15:04:05")
}

// iso is a time as machines read it, in UTC.
func iso(t any) string {
	at, ok := timeOf(t)
	if !ok {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}

// ago is the distance of a time from now: "1m 33s ago", "in 5s".
func (c clock) ago(t any) string {
	at, ok := timeOf(t)
	if !ok {
		return ""
	}
	d := c.now().Sub(at)
	switch {
	case d >= time.Second:
		return lasting(d.Seconds()) + " ago"
	case d <= -time.Second:
		return "in " + lasting(-d.Seconds())
	}
	return "now"
}

// zoneName names the zone with its offset of now: "UTC", "MSK (UTC+03:00)".
func (c clock) zoneName() string {
	now := c.now().In(c.zone)
	name, offset := now.Zone()
	switch {
	case offset == 0:
		return "UTC"
	case strings.HasPrefix(name, "+"), strings.HasPrefix(name, "-"), name == "":
		return now.Format("UTC-07:00")
	}
	return now.Format("MST (UTC-07:00)")
}

func timeOf(v any) (time.Time, bool) {
	t, ok := v.(time.Time)
	if p, isPointer := v.(*time.Time); isPointer && p != nil {
		t, ok = *p, true
	}
	return t, ok && !t.IsZero()
}

// lasting is a length of time in its two greatest units: "2d 3h".
func lasting(seconds float64) string {
	s := int64(seconds)
	if s <= 0 {
		return "0s"
	}
	var parts []string
	for _, u := range []struct {
		name string
		size int64
	}{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}} {
		if n := s / u.size; n > 0 {
			parts = append(parts, strconv.FormatInt(n, 10)+u.name)
			s %= u.size
		} else if len(parts) > 0 {
			break
		}
		if len(parts) == 2 {
			break
		}
	}
	return strings.Join(parts, " ")
}

// took is a short length of time: "43 ms", "1.50 s", from a minute on "1m 33s".
func took(seconds float64) string {
	switch {
	case seconds < 0:
		return "0 ms"
	case seconds < 1:
		return strconv.FormatFloat(seconds*1000, 'f', 0, 64) + " ms"
	case seconds < 60:
		return strconv.FormatFloat(seconds, 'f', 2, 64) + " s"
	}
	return lasting(seconds)
}
