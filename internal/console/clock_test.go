package console

import (
	"testing"
	"time"
)

func TestLasting_SaysTwoUnits(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0s", 0.4: "0s", 59: "59s", 93: "1m 33s", 3600: "1h", 90061: "1d 1h", 86405: "1d"} {
		if got := lasting(seconds); got != want {
			t.Errorf("%v: %q, want %q", seconds, got, want)
		}
	}
}

func TestTook_ReadsFromMillisecondsToMinutes(t *testing.T) {
	for seconds, want := range map[float64]string{-1: "0 ms", 0: "0 ms", 0.0429: "43 ms", 1.496: "1.50 s", 59.9: "59.90 s", 93: "1m 33s"} {
		if got := took(seconds); got != want {
			t.Errorf("%v: %q, want %q", seconds, got, want)
		}
	}
}

func TestClock_SaysTimesInItsZoneAndTheirDistance(t *testing.T) {
	moscow := time.FixedZone("MSK", 3*3600)
	c := clock{func() time.Time { return noon }, moscow}
	past, future, none := noon.Add(-93*time.Second), noon.Add(5*time.Second), (*time.Time)(nil)
	for _, x := range []struct{ name, got, want string }{
		{"in its zone", c.when(noon), "2026-11-21 15:40:05"},
		{"pointer", c.when(&past), "2026-11-21 15:38:32"},
		{"none", c.when(none), ""},
		{"zero", c.when(time.Time{}), ""},
		{"no time", c.when("noon"), ""},
		{"for machines in UTC", iso(noon.In(moscow)), "2026-11-21T12:40:05Z"},
		{"machines, none", iso(none), ""},
		{"past", c.ago(past), "1m 33s ago"},
		{"future", c.ago(&future), "in 5s"},
		{"this second", c.ago(noon.Add(300 * time.Millisecond)), "now"},
		{"no distance", c.ago(none), ""},
		{"named zone", c.zoneName(), "MSK (UTC+03:00)"},
		{"UTC", clock{c.now, time.UTC}.zoneName(), "UTC"},
		{"zone without a name", clock{c.now, time.FixedZone("", 5*3600)}.zoneName(), "UTC+05:00"},
		{"zone named by its offset", clock{c.now, time.FixedZone("-03", -3*3600)}.zoneName(), "UTC-03:00"},
	} {
		if x.got != x.want {
			t.Errorf("%s: %q, want %q", x.name, x.got, x.want)
		}
	}
}
