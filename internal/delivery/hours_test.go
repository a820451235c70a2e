package delivery

import (
	"testing"
	"time"
)

// office is mon-fri, 9 to 18.
func office() Hours {
	h := Hours{From: 9 * time.Hour, To: 18 * time.Hour}
	for d := time.Monday; d <= time.Friday; d++ {
		h.Days[d] = true
	}
	return h
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Skip(err)
	}
	return l
}

// 2026-11-20 is a Friday.
func TestHours_TheClockStandsStillOutside(t *testing.T) {
	for name, c := range map[string]struct {
		from string
		add  time.Duration
		want string
	}{
		"inside":                       {"2026-11-20 10:00", time.Hour, "2026-11-20 11:00"},
		"to the minute of closing":     {"2026-11-20 17:00", time.Hour, "2026-11-20 18:00"},
		"over the weekend":             {"2026-11-20 17:30", time.Hour, "2026-11-23 09:30"},
		"before opening":               {"2026-11-20 03:00", time.Hour, "2026-11-20 10:00"},
		"after closing":                {"2026-11-19 20:00", time.Hour, "2026-11-20 10:00"},
		"as the day opens":             {"2026-11-20 09:00", time.Hour, "2026-11-20 10:00"},
		"as the day closes":            {"2026-11-19 18:00", time.Hour, "2026-11-20 10:00"},
		"on a Saturday":                {"2026-11-21 12:00", time.Hour, "2026-11-23 10:00"},
		"on a Sunday night":            {"2026-11-22 23:59", time.Minute, "2026-11-23 09:01"},
		"more than a week":             {"2026-11-20 09:00", 50 * time.Hour, "2026-11-27 14:00"},
		"nothing, inside":              {"2026-11-20 10:00", 0, "2026-11-20 10:00"},
		"nothing, outside: at opening": {"2026-11-21 10:00", 0, "2026-11-23 09:00"},
		"over the end of the year":     {"2026-12-31 17:59", 2 * time.Minute, "2027-01-01 09:01"},
	} {
		t.Run(name, func(t *testing.T) {
			from, _ := time.Parse("2006-01-02 15:04", c.from)
			if got := office().Add(from, c.add).Format("2006-01-02 15:04"); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestHours_ZeroValueMeansAlways(t *testing.T) {
	at := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	days := office()
	days.Days = [7]bool{}
	for name, h := range map[string]Hours{"zero": {}, "no days": days, "no hours": {Days: office().Days}} {
		if got := h.Add(at, time.Hour); !got.Equal(at.Add(time.Hour)) {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func TestHours_FollowTheWallClockOverDST(t *testing.T) {
	all := Hours{From: 9 * time.Hour, To: 18 * time.Hour, Days: [7]bool{true, true, true, true, true, true, true}}
	nights := Hours{From: 0, To: 24 * time.Hour, Days: all.Days}
	for name, c := range map[string]struct {
		hours Hours
		zone  string
		from  string
		add   time.Duration
		want  string
	}{
		"a day of 23 hours opens at nine":    {all, "Europe/Berlin", "2026-03-28 17:30", time.Hour, "2026-03-29 09:30"},
		"a day of 25 hours opens at nine":    {all, "Europe/Berlin", "2026-10-24 17:30", time.Hour, "2026-10-25 09:30"},
		"the hour that is not is not worked": {nights, "Europe/Berlin", "2026-03-29 01:30", time.Hour, "2026-03-29 03:30"},
		"a day without a midnight":           {all, "America/Santiago", "2026-09-05 17:30", time.Hour, "2026-09-06 09:30"},
		"a day without a midnight, over it":  {all, "America/Santiago", "2026-09-04 17:30", 28 * time.Hour, "2026-09-08 09:30"},
		"likewise in Cairo":                  {all, "Africa/Cairo", "2026-04-23 17:30", 10 * time.Hour, "2026-04-25 09:30"},
		"likewise in Beirut":                 {all, "Asia/Beirut", "2026-03-28 17:30", time.Hour, "2026-03-29 09:30"},
	} {
		t.Run(name, func(t *testing.T) {
			from, err := time.ParseInLocation("2006-01-02 15:04", c.from, zone(t, c.zone))
			if err != nil {
				t.Fatal(err)
			}
			if got := c.hours.Add(from, c.add).Format("2006-01-02 15:04"); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestBackoff_DoublesUpToItsMost(t *testing.T) {
	c := &Connection{BackoffFirst: 5 * time.Second, BackoffMax: time.Hour}
	for n, want := range map[int]time.Duration{
		0: 5 * time.Second, 1: 5 * time.Second, 2: 10 * time.Second, 3: 20 * time.Second, 10: 2560 * time.Second, 11: time.Hour, 100: time.Hour, 1 << 30: time.Hour,
	} {
		if got := c.backoff(n, 0); got != want {
			t.Errorf("try %d: %s, want %s", n, got, want)
		}
		if got := c.backoff(n, 1); got != want-want/5 {
			t.Errorf("try %d at its shortest: %s, want %s", n, got, want-want/5)
		}
	}
	c.BackoffFirst = 2 * time.Hour
	if got := c.backoff(1, 0); got != time.Hour {
		t.Errorf("a first wait longer than the most: %s", got)
	}
}
