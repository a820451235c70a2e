package strict

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	Day  = 24 * time.Hour
	Week = 7 * Day
)

// durationPart is one number with its unit; durationForm is a whole duration
// as the JSON Schema describes it.
const (
	durationPart = `[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h|d|w)`
	durationForm = `^(?:0|(?:` + durationPart + `)+)$`
	sizeForm     = `^[0-9]+ ?(?:B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?$`
)

var durationParts = regexp.MustCompile(durationPart)

// ParseDuration reads Go's durations with d (24 hours) and w (7 days) beside
// the other units: 1h30m, 2d, 1w12h. Negative ones, and those beyond what
// time.Duration holds, are refused.
func ParseDuration(s string) (d time.Duration, ok bool) {
	if s == "0" {
		return 0, true
	}
	parts := durationParts.FindAllString(s, -1)
	if len(parts) == 0 || strings.Join(parts, "") != s {
		return 0, false
	}
	for _, part := range parts {
		one, ok := parsePart(part)
		if !ok || d > math.MaxInt64-one {
			return 0, false
		}
		d += one
	}
	return d, true
}

func parsePart(part string) (time.Duration, bool) {
	unit := time.Duration(0)
	switch part[len(part)-1] {
	case 'd':
		unit = Day
	case 'w':
		unit = Week
	default:
		d, err := time.ParseDuration(part)
		return d, err == nil
	}
	n, err := strconv.ParseFloat(part[:len(part)-1], 64)
	if err != nil || n*float64(unit) >= math.MaxInt64 {
		return 0, false
	}
	return time.Duration(n * float64(unit)), true
}

// ShowDuration writes a duration as people do in the config: 30d, 1h, 1500ms.
func ShowDuration(d time.Duration) string {
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

// parseSize reads a number of bytes: 4MiB, 1GB (powers of ten), 512.
func parseSize(s string) (int64, bool) {
	digits := strings.TrimRight(s, "BKMGTi")
	unit := int64(1)
	switch s[len(digits):] {
	case "", "B":
	case "KB":
		unit = 1e3
	case "MB":
		unit = 1e6
	case "GB":
		unit = 1e9
	case "TB":
		unit = 1e12
	case "KiB":
		unit = 1 << 10
	case "MiB":
		unit = 1 << 20
	case "GiB":
		unit = 1 << 30
	case "TiB":
		unit = 1 << 40
	default:
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(digits, " "), 10, 63)
	if err != nil || int64(n) > math.MaxInt64/unit {
		return 0, false
	}
	return int64(n) * unit, true
}

// showSize writes a number of bytes with the largest unit that divides it.
func showSize(n int64) string {
	for _, u := range []struct {
		name string
		size int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.size && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}
