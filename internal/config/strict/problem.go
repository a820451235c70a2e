package strict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Pos is a place in the config file. Line and Col count from 1, Col in runes;
// the zero Pos is no place in the file: a default or a built-in.
type Pos struct{ Line, Col int }

// Problem is one thing that is wrong, or worth a warning, with its place.
type Problem struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Col  int    `json:"col"`
	Text string `json:"problem"` // what; never a secret's value
}

// String is "config.yaml:LINE:COL: what", without the place if there is none.
func (p Problem) String() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s", p.File, p.Text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Col, p.Text)
}

// Problems is everything that is wrong with a config, in the order of the file.
type Problems struct{ List []Problem }

// Error is one line per problem.
func (p *Problems) Error() string {
	lines := make([]string, len(p.List))
	for i, one := range p.List {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// sorted orders problems by place and drops what repeats: a problem in the
// same words at the same place.
func sorted(list []Problem) []Problem {
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(list)
}
