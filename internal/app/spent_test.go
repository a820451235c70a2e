package app

import (
	"slices"
	"testing"
	"time"
)

func TestSpent_TheNextProcessKnowsTheLastRequests(t *testing.T) {
	dir, at := t.TempDir(), time.Unix(1795000000, 0)
	sorted := func(times []time.Time) (out []int) {
		for _, x := range times {
			out = append(out, int(x.Sub(at)/time.Second))
		}
		slices.Sort(out)
		return out
	}
	s, times := openSpent(dir, "127.0.0.1:80", 2.5)
	if len(times) != 0 {
		t.Fatalf("a new ring has %v", times)
	}
	for i := range 4 {
		s.add(at.Add(time.Duration(i) * time.Second))
	}
	// Not closed: the process was killed.
	s, times = openSpent(dir, "127.0.0.1:80", 2.5)
	if got := sorted(times); !slices.Equal(got, []int{1, 2, 3}) {
		t.Fatalf("after a kill: %v", got)
	}
	s.add(at.Add(4 * time.Second))
	s.close()
	s.add(at.Add(5 * time.Second)) // told too late: no harm
	_, times = openSpent(dir, "127.0.0.1:80", 2.5)
	if got := sorted(times); !slices.Equal(got, []int{2, 3, 4}) {
		t.Errorf("after the ring went round: %v", got)
	}
	if _, times = openSpent(dir, "example.amocrm.ru", 7); len(times) != 0 {
		t.Errorf("another account has %v", times)
	}
	if s, _ = openSpent("/dev/null/no", "x", 7); s == nil {
		t.Error("no ring where it cannot be kept")
	}
	s.add(at)
}
