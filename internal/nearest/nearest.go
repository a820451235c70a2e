// Package nearest finds the names that do exist for one that does not, for
// "did you mean". How near is near enough is for the caller to say.
package nearest

import (
	"cmp"
	"slices"
	"strings"
)

// longest is how long a word may be for it to be a slip of another.
const longest = 64

// Name is a known name and how many slips away it is.
type Name struct {
	Name  string
	Slips int
}

// Names returns the known names at most limit slips away from want, the nearest
// first, those equally near in alphabetical order, each once. Letter case does
// not count. A want of more than 64 letters has none.
func Names(want string, known []string, limit int) []Name {
	low := []rune(strings.ToLower(want))
	if len(low) > longest {
		return nil
	}
	var near []Name
	for _, name := range known {
		r := []rune(strings.ToLower(name))
		if d := len(r) - len(low); d > limit || -d > limit {
			continue
		}
		if n := Slips(low, r); n <= limit {
			near = append(near, Name{name, n})
		}
	}
	slices.SortFunc(near, func(a, b Name) int {
		return cmp.Or(cmp.Compare(a.Slips, b.Slips), strings.Compare(a.Name, b.Name))
	})
	return slices.Compact(near)
}

// Slips counts the letters inserted, dropped, changed or swapped with their
// neighbour between two words (optimal string alignment).
func Slips(a, b []rune) int {
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
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
