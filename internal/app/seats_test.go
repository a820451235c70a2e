package app

import "testing"

// So many operators find their lead within the wait, and none where not even one would.
func TestSeats_AsManyAsCanBeServed(t *testing.T) {
	for _, c := range []struct {
		wait, rps float64
		want      int
	}{{2, 7, 3}, {2.5, 7, 4}, {2, 50, 27}, {0.3, 7, 0}, {0.8, 7, 0}, {0.1, 7, 0}, {1.5, 7, 2}} {
		if got := seats(c.wait, c.rps); got != c.want {
			t.Errorf("%v s at %v a second: %d seats, want %d", c.wait, c.rps, got, c.want)
		}
	}
}
