package delivery

import "time"

// Hours are a connection's `work_hours`; the zero value means always.
type Hours struct {
	Days     [7]bool       // by time.Weekday
	From, To time.Duration // since midnight
}

// Add returns the moment d of working time after t, in t's location. Outside
// the hours the clock stands still.
func (h Hours) Add(t time.Time, d time.Duration) time.Time {
	if h.To <= h.From || h.Days == [7]bool{} {
		return t.Add(d)
	}
	year, month, first := t.Date()
	for day := first; day < first+3660; day++ { // ten years of days: more than any due time, and an end for sure
		// By the wall clock, so that a day of 23 hours opens at nine as well. Days
		// are counted, not stepped to: in some zones a day has no midnight.
		at := func(since time.Duration) time.Time {
			return time.Date(year, month, day, 0, int(since/time.Minute), 0, 0, t.Location())
		}
		open, shut := at(h.From), at(h.To)
		if !h.Days[at(12*time.Hour).Weekday()] || !t.Before(shut) {
			continue
		}
		if t.Before(open) {
			t = open
		}
		left := shut.Sub(t)
		if d <= left {
			return t.Add(d)
		}
		d -= left
		t = shut
	}
	return t
}
