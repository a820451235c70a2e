package duration

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"0": 0, "15s": 15 * time.Second, "1h30m": 90 * time.Minute, "1500ms": 1500 * time.Millisecond, "1.5h": 90 * time.Minute,
		"2d": 48 * time.Hour, "1w": Week, "1w12h": Week + 12*time.Hour, "0.5d": 12 * time.Hour, "5µs": 5 * time.Microsecond, "0s": 0,
	} {
		if got, ok := Parse(text); !ok || got != want {
			t.Errorf("%s is %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "1", "d", "-1d", "+1d", "1 d", "1d ", "1D", "1y", "1.d", ".5d", "1d2", "99999999999w", "200000d200000d", "1e3s", "1h-5m"} {
		if got, ok := Parse(text); ok {
			t.Errorf("%q is taken as %v", text, got)
		}
	}
}

// What messages and the schema's defaults show is read back as the same value.
func TestShow_IsReadBack(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{time.Nanosecond, time.Millisecond, 1500 * time.Millisecond, 90 * time.Second, time.Hour, 36 * time.Hour, 30 * Day, time.Second + time.Nanosecond} {
		if got, ok := Parse(Show(d)); !ok || got != d {
			t.Errorf("%v shows as %s", d, Show(d))
		}
	}
}
