package strict

import (
	"fmt"
	"slices"
	"strings"
)

// DidYouMean returns `; did you mean "x"?` for the name nearest to got, or ""
// if none is near enough to be a slip.
func DidYouMean(got string, names []string) string {
	near := nearest(got, names)
	if near == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", near)
}

// nearest returns the name fewest slips away from got; up to one slip for
// every three letters counts, letter case does not.
func nearest(got string, names []string) string {
	const Longest = 64 // a name longer than this is no slip of ours
	low := []rune(strings.ToLower(got))
	if len(low) == 0 || len(low) > Longest {
		return ""
	}
	best, least := "", max(1, len(low)/3)+1
	for _, name := range slices.Sorted(slices.Values(names)) {
		if d := distance(low, []rune(strings.ToLower(name))); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance counts the letters inserted, dropped, changed or swapped with their
// neighbour between two words (optimal string alignment).
func distance(a, b []rune) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	before, last, now := rows[0], rows[1], rows[2]
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
