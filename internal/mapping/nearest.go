package mapping

import (
	"fmt"
	"slices"
	"strings"
)

// didYouMean returns `; did you mean "a" or "b"?` with the names nearest to a
// misspelt one, or "" if none is near.
func didYouMean(name string, known []string) string {
	near := nearest(name, known)
	if len(near) == 0 {
		return ""
	}
	quoted := make([]string, len(near))
	for i, n := range near {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	return "; did you mean " + strings.Join(quoted, " or ") + "?"
}

// nearest returns up to three of the known names whose edit distance to name
// is small for its length, nearest first.
func nearest(name string, known []string) []string {
	type scored struct {
		name string
		d    int
	}
	low := []rune(strings.ToLower(name))
	if len(low) > 64 {
		return nil
	}
	limit := 1 + len(low)/4
	var hits []scored
	for _, k := range known {
		r := []rune(strings.ToLower(k))
		if diff := len(r) - len(low); diff > limit || -diff > limit {
			continue
		}
		if d := distance(low, r); d <= limit {
			hits = append(hits, scored{k, d})
		}
	}
	slices.SortFunc(hits, func(a, b scored) int {
		if a.d != b.d {
			return a.d - b.d
		}
		return strings.Compare(a.name, b.name)
	})
	// A name clearly nearer than the rest stands alone.
	var out []string
	for _, h := range hits {
		if len(out) == 3 || h.d > hits[0].d {
			break
		}
		if !slices.Contains(out, h.name) {
			out = append(out, h.name)
		}
	}
	return out
}

// distance is the number of inserted, dropped, changed or swapped neighbouring
// letters between two words.
func distance(a, b []rune) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
