package strict

import (
	"slices"
	"strings"
)

// folded is a scalar whose text is not written in the file letter by letter:
// it runs over several lines, or holds escapes. A place counted in letters from
// its beginning has to be found in the file by walking along.
type folded struct {
	begin Pos // of the content
	text  []rune
	quote rune // ' or " or 0
}

// Exact takes the place the compiler counted, a number of letters right of a
// text's beginning, to where that letter stands in the file.
func (r *Reader) Exact(at Pos) Pos {
	i := slices.IndexFunc(r.folded, func(f folded) bool {
		return f.begin.Line == at.Line && f.begin.Col <= at.Col && at.Col <= f.begin.Col+len(f.text)
	})
	if i < 0 {
		return at
	}
	w := walk{lines: r.lines, at: r.folded[i].begin, quote: r.folded[i].quote}
	for _, c := range r.folded[i].text[:at.Col-w.at.Col] {
		if !w.over(c) {
			return r.folded[i].begin
		}
	}
	w.wrap()
	return w.at
}

// walk goes along the letters of a scalar as they stand in the file.
type walk struct {
	lines []string
	at    Pos
	quote rune
}

func (w *walk) rest() []rune {
	return from(w.lines, w.at)
}

// from returns what is left of a line from a place on.
func from(lines []string, at Pos) []rune {
	if at.Line < 1 || at.Line > len(lines) {
		return nil
	}
	line := []rune(lines[at.Line-1])
	return line[min(at.Col-1, len(line)):]
}

// blank reports whether nothing but white space is left of the line.
func (w *walk) blank() bool {
	return !slices.ContainsFunc(w.rest(), func(c rune) bool { return c != ' ' && c != '\t' })
}

// wrap goes to the next line that has letters, if this one has none left.
func (w *walk) wrap() (wrapped bool) {
	for w.blank() && w.at.Line < len(w.lines) {
		w.at, wrapped = Pos{w.at.Line + 1, 1}, true
	}
	if wrapped {
		rest := w.rest()
		w.at.Col += len(rest) - len([]rune(strings.TrimLeft(string(rest), " ")))
	}
	return wrapped
}

// over steps over one letter of the text; false: the two do not match.
func (w *walk) over(c rune) bool {
	if (c == ' ' || c == '\n') && w.blank() {
		return w.wrap()
	}
	rest := w.rest()
	switch {
	case len(rest) == 0:
		return false
	case w.quote == '"' && rest[0] == '\\':
		return w.escape(rest)
	case rest[0] != c:
		return false
	case w.quote == '\'' && c == '\'':
		w.at.Col++ // it is doubled
	}
	w.at.Col++
	return true
}

// escape steps over a backslash and what it stands before.
func (w *walk) escape(rest []rune) bool {
	if len(rest) < 2 {
		return false
	}
	switch rest[1] {
	case 'x':
		w.at.Col += 4
	case 'u':
		w.at.Col += 6
	case 'U':
		w.at.Col += 10
	default:
		w.at.Col += 2
	}
	return true
}
