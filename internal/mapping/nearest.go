package mapping

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jivo-amocrm/bridge/internal/nearest"
)

// didYouMean returns `; did you mean "a" or "b"?` with the names nearest to a
// misspelt one, or "" if none is near.
func didYouMean(name string, known []string) string {
	near := likely(name, known)
	if len(near) == 0 {
		return ""
	}
	quoted := make([]string, len(near))
	for i, n := range near {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	return "; did you mean " + strings.Join(quoted, " or ") + "?"
}

// likely returns up to three of the known names, all equally near and none
// nearer: a name clearly nearer than the rest stands alone.
func likely(name string, known []string) []string {
	var out []string
	near := nearest.Names(name, known, 1+utf8.RuneCountInString(name)/4)
	for _, n := range near[:min(len(near), 3)] {
		if n.Slips == near[0].Slips {
			out = append(out, n.Name)
		}
	}
	return out
}
