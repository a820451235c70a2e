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
	for range 3660 { // ten years of days: more than any due time, and an end for sure
		// By the wall clock, so that a day of 23 hours opens at nine as well.
		midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
		open := time.Date(t.Year(), t.Month(), t.Day(), 0, int(h.From/time.Minute), 0, 0, t.Location())
		shut := time.Date(t.Year(), t.Month(), t.Day(), 0, int(h.To/time.Minute), 0, 0, t.Location())
		if h.Days[t.Weekday()] && t.Before(shut) {
			if t.Before(open) {
				t = open
			}
			left := shut.Sub(t)
			if d <= left {
				return t.Add(d)
			}
			d -= left
		}
		t = midnight.AddDate(0, 0, 1)
	}
	return t
}
