package strict

import (
	"fmt"
	"unicode/utf8"

	"github.com/jivo-amocrm/bridge/internal/nearest"
)

// didYouMean returns `; did you mean "x"?` for the name nearest to got, or ""
// if none is near enough to be a slip: up to one slip for every three letters.
func didYouMean(got string, names []string) string {
	if got == "" {
		return ""
	}
	near := nearest.Names(got, names, max(1, utf8.RuneCountInString(got)/3))
	if len(near) == 0 {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", near[0].Name)
}
