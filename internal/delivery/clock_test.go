package delivery

import (
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

func TestClock_NoticesThatItWasSetBack(t *testing.T) {
	const tick = time.Minute
	for name, c := range map[string]struct {
		leap time.Duration // of the wall clock, beyond the minute that passed
		want bool
	}{
		"it goes as it should":         {0, false},
		"an hour back":                 {-time.Hour, true},
		"a day back":                   {-24 * time.Hour, true},
		"a day ahead":                  {24 * time.Hour, false},
		"the machine slept":            {8 * time.Hour, false},
		"slewed by NTP":                {-time.Second, false},
		"set back by just enough":      {-setBackBy - time.Millisecond, true},
		"set back by just not enough":  {-setBackBy, false},
		"by as much as it went on for": {-tick, true},
	} {
		t.Run(name, func(t *testing.T) {
			var k clock
			start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
			equal(t, "the first look", k.setBack(start, 0), true)
			equal(t, "steady", k.setBack(start.Add(tick), tick), false)
			equal(t, "set back", k.setBack(start.Add(2*tick+c.leap), 2*tick), c.want)
			equal(t, "steady again", k.setBack(start.Add(3*tick+c.leap), 3*tick), false)
		})
	}
}

// What a clock put off by more than anything can put an event off is due at once
// when the clock is right again; what waits for a reason goes on waiting.
func TestClock_PullsBackWhatWaitsTooLong(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, y *yard) {
		now := time.Now()
		for client, c := range map[int]struct {
			attempts int
			next     time.Duration
			parked   bool
			pulled   bool
		}{
			1: {0, time.Hour, false, true},                 // a snooze, under a clock an hour ahead
			2: {1, 24 * time.Hour, false, true},            // a retry after 5 s, a day ahead
			3: {1, 4 * time.Second, false, false},          // a retry after 5 s
			4: {0, 14 * time.Minute, false, false},         // a ban may take that long
			5: {20, 50 * time.Minute, false, false},        // a late retry
			6: {20, 3 * time.Hour, false, true},            // later than the latest
			7: {0, 9 * time.Minute, true, false},           // parked
			8: {0, 24*time.Hour + time.Minute, true, true}, // parked under a clock a day ahead
		} {
			seq := y.post(chat("chat_accepted", client, ""))
			y.update(func(tx *store.Tx) error {
				ev, err := tx.Event(seq)
				if err != nil {
					return err
				}
				ev.Attempts, ev.NextAt = c.attempts, now.Add(c.next)
				if c.parked {
					ev.State = event.Parked
				}
				return tx.Put(ev)
			})
			y.d.pullBack(t.Context())
			want := now.Add(c.next)
			if c.pulled {
				want = now
			}
			if c.pulled && c.parked { // how long it has waited is not known any more
				want = now.Add(y.c.Park)
			}
			if ev := y.event(seq); !ev.NextAt.Equal(want) {
				t.Errorf("client %d: next in %v", client, ev.NextAt.Sub(now))
			}
		}
	})
}
