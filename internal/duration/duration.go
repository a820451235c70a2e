// Package duration is how durations are written in the config: Go's, with days and
// weeks beside the other units. Config and rules read them alike.
package duration

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A day is 24 hours, whatever the clocks do.
const (
	Day  = 24 * time.Hour
	Week = 7 * Day
)

// part is one number with its unit.
const part = `[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h|d|w)`

// Form is a whole duration as the JSON Schema describes it.
const Form = `^(?:0|(?:` + part + `)+)$`

var parts = regexp.MustCompile(part)

// Parse reads Go's durations with d (24 hours) and w (7 days) beside
// the other units: 1h30m, 2d, 1w12h. Negative ones, and those beyond what
// time.Duration holds, are refused.
func Parse(s string) (d time.Duration, ok bool) {
	if s == "0" {
		return 0, true
	}
	found := parts.FindAllString(s, -1)
	if len(found) == 0 || strings.Join(found, "") != s {
		return 0, false
	}
	for _, p := range found {
		one, ok := parsePart(p)
		if !ok || d > math.MaxInt64-one {
			return 0, false
		}
		d += one
	}
	return d, true
}

func parsePart(p string) (time.Duration, bool) {
	unit := time.Duration(0)
	switch p[len(p)-1] {
	case 'd':
		unit = Day
	case 'w':
		unit = Week
	default:
		d, err := time.ParseDuration(p)
		return d, err == nil
	}
	n, err := strconv.ParseFloat(p[:len(p)-1], 64)
	if err != nil || n*float64(unit) >= math.MaxInt64 {
		return 0, false
	}
	return time.Duration(n * float64(unit)), true
}

// Show writes a duration as people do in the config: 30d, 1h, 1500ms.
func Show(d time.Duration) string {
	units := []struct {
		name string
		size time.Duration
	}{{"d", Day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}}
	for _, u := range units {
		if d >= u.size && d%u.size == 0 {
			return strconv.FormatInt(int64(d/u.size), 10) + u.name
		}
	}
	return d.String()
}
