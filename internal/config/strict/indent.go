package strict

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// leading is what a line of block YAML begins with, and whether it is a key or an
// item of a list, which cannot go on with the text of the line above.
var leading = regexp.MustCompile(`^( *)((?:- +)*)([\w.-]+:(?: |$)|"[^"]*": |'[^']*': |- )?`)

// misplaced says what is wrong with the white space that a YAML error comes from,
// and where; the parser's own words tell neither. It returns nil for any other
// error.
func (r *Reader) misplaced(s *slip) *slip {
	if s.Line > len(r.lines) {
		return nil
	}
	line := r.lines[s.Line-1]
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	if tab := strings.IndexByte(indent, '\t'); tab >= 0 && (strings.Contains(s.what, "\t") || strings.Contains(s.what, "tab character")) {
		return &slip{Pos{s.Line, tab + 1}, "a tab begins the line: indent with spaces, not tabs"}
	}
	if !strings.Contains(s.what, "value is not allowed in this context") {
		return nil
	}
	if s.Col == len(indent)+1 {
		return r.misfit(s.Line, indent)
	}
	// The parser takes a line that is too deep for more of the value above it.
	_, value, _ := strings.Cut(line[len(indent):], ": ")
	if quoted := strings.HasPrefix(value, `"`) || strings.HasPrefix(value, `'`); !quoted && strings.Contains(value, ": ") {
		return nil
	}
	for i := s.Line; i < len(r.lines); i++ {
		if empty(r.lines[i]) {
			continue
		}
		m := leading.FindStringSubmatch(r.lines[i])
		if len(m[1]) <= len(indent) || m[2]+m[3] == "" {
			return nil
		}
		return r.misfit(i+1, m[1])
	}
	return nil
}

// misfit is a line whose indent none of the lines it may stand beside has; nil if
// one has it.
func (r *Reader) misfit(line int, indent string) *slip {
	at := len(indent) + 1
	// The columns in which the blocks begin that are open there, the innermost
	// first.
	var open []int
	for i := line - 2; i >= 0; i-- {
		if empty(r.lines[i]) {
			continue
		}
		m := leading.FindStringSubmatch(r.lines[i])
		for _, col := range []int{len(m[1]) + len(m[2]) + 1, len(m[1]) + 1} {
			if len(open) == 0 || col < open[len(open)-1] {
				open = append(open, col)
			}
		}
	}
	slices.Reverse(open)
	i, found := slices.BinarySearch(open, at)
	if found || len(open) == 0 {
		return nil
	}
	var near []string
	for _, col := range open[max(0, i-1):min(i+1, len(open))] {
		near = append(near, strconv.Itoa(col))
	}
	return &slip{Pos{line, at}, fmt.Sprintf(
		"wrong indent: the line begins in column %d; the lines it may stand beside begin in column %s", at, strings.Join(near, " or "))}
}

// empty reports whether a line holds nothing but white space and a comment.
func empty(line string) bool {
	text := strings.TrimSpace(line)
	return text == "" || text[0] == '#'
}
