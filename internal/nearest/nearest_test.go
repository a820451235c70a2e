package nearest

import (
	"slices"
	"strings"
	"testing"
)

func TestSlips(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"abc", "ab", 1}, {"kitten", "sitting", 3}, {"привет", "превит", 2}} {
		if got := Slips([]rune(c.a), []rune(c.b)); got != c.want {
			t.Errorf("%q to %q is %d", c.a, c.b, got)
		}
	}
}

func TestNames_NearestFirstEachOnceAndNoneBeyondTheLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want  string
		known []string
		limit int
		near  []Name
	}{
		{"lisen", []string{"limits", "LISTEN", "listen", "listen", "lists"}, 2, []Name{{"LISTEN", 1}, {"listen", 1}, {"lists", 2}}},
		{"lisen", []string{"listener"}, 2, nil},
		{"", []string{"ab"}, 1, nil},
		{strings.Repeat("l", 65), []string{strings.Repeat("l", 65)}, 1, nil},
	} {
		if near := Names(c.want, c.known, c.limit); !slices.Equal(near, c.near) {
			t.Errorf("%.10q: %v, want %v", c.want, near, c.near)
		}
	}
}
