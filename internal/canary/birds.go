package canary

import (
	"html"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Values shorter than this (folded, in bytes) are left out: they would be found
// by chance. A text is a few words at least.
const (
	leastKey  = 8
	leastText = 16
)

// stem is how many bytes of a value it is looked up by.
const stem = 7

// piece is how much of a text's line is looked for, at either end: a log cuts.
const piece = 24

// birds are the values watched, found in one pass over a text however many
// they are.
type birds struct {
	mu   sync.RWMutex
	by   map[[stem]byte][]bird // by the first bytes of the folded value
	pair [1 << 16]bool         // by the first two: most places of a text end here
	has  map[string]bool
}

type bird struct {
	kind  Kind
	value string
}

func newBirds() *birds { return &birds{by: map[[stem]byte][]bird{}, has: map[string]bool{}} }

// add watches a value.
func (b *birds) add(k Kind, value string) {
	switch k {
	case Phone:
		digits := onlyDigits(value)
		b.put(k, digits[max(0, len(digits)-10):]) // without the country's code or the trunk's 8
	case Text:
		for line := range strings.Lines(value) {
			f := strings.TrimSpace(fold(line))
			if len(f) < leastText {
				continue
			}
			r := []rune(f)
			b.put(k, string(r[:min(piece, len(r))]))
			b.put(k, string(r[max(0, len(r)-piece):]))
		}
	default:
		if f := strings.TrimSpace(fold(value)); len(f) >= leastKey {
			b.put(k, f)
		}
	}
}

func (b *birds) put(k Kind, value string) {
	if len(value) < stem {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if key := string(k) + value; !b.has[key] {
		b.has[key] = true
		s := [stem]byte([]byte(value))
		b.by[s] = append(b.by[s], bird{k, value})
		b.pair[uint16(value[0])<<8|uint16(value[1])] = true
	}
}

// find returns the kinds of which a value stands in the text: as it is, or
// escaped or quoted in whatever way, up to four times over.
func (b *birds) find(text []byte) (kinds []Kind) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	seen := map[Kind]bool{}
	is := string(text)
	if hidden := undisguise(is); hidden != "" {
		b.scan(fold(hidden), false, seen)
		b.scan(joinDigits(hidden), true, seen)
	}
	for range 5 {
		b.scan(fold(is), false, seen)
		b.scan(joinDigits(is), true, seen)
		was := is
		if is = unescape(is); is == was {
			break
		}
	}
	for _, k := range []Kind{Secret, Token, Phone, Email, Text} {
		if seen[k] {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

func (b *birds) scan(text string, phones bool, seen map[Kind]bool) {
	for i := 0; i+stem <= len(text); i++ {
		if !b.pair[uint16(text[i])<<8|uint16(text[i+1])] {
			continue
		}
		for _, c := range b.by[[stem]byte([]byte(text[i:i+stem]))] {
			if (c.kind == Phone) == phones && strings.HasPrefix(text[i:], c.value) {
				seen[c.kind] = true
			}
		}
	}
}

// fold makes spellings alike: lower case, and one space for every run of white
// space, control characters and pluses (a form's space).
func fold(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	gap := false
	for i, r := range s {
		if r == '+' || unicode.IsSpace(r) || unicode.IsControl(r) {
			gap = true
			continue
		}
		if gap {
			b.WriteByte(' ')
			gap = false
		}
		if r == utf8.RuneError {
			b.WriteByte(s[i])
			continue
		}
		b.WriteRune(unicode.ToLower(r))
	}
	if gap {
		b.WriteByte(' ')
	}
	return b.String()
}

func onlyDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

// joinDigits keeps the digits of a text, and of everything else only that it
// stood between them, unless people write it inside a phone.
func joinDigits(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			b.WriteRune(r)
		case strings.ContainsRune(" -().+/\u00a0\u2009\u2011", r):
		default:
			b.WriteByte('|')
		}
	}
	return b.String()
}

// unescape undoes one layer of what loggers, encoders and quoters do: \u0441,
// \xd1, \n, \", %D1, &amp;. It takes what is no escape as it is.
func unescape(s string) string {
	if !strings.ContainsAny(s, `\%&`) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		switch {
		case s[i] == '%' && i+2 < len(s):
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		case s[i] == '\\' && i+1 < len(s):
			if s[i+1] == '/' {
				b.WriteByte('/')
				i += 2
				continue
			}
			if n := unbackslash(&b, s[i:]); n > 0 {
				i += n
				continue
			}
		}
		b.WriteByte(s[i])
		i++
	}
	return html.UnescapeString(b.String())
}

// unbackslash writes what the escape at the beginning of s stands for and
// returns its length; 0 if it is none.
func unbackslash(b *strings.Builder, s string) int {
	quote := byte('"')
	if s[1] == '\'' {
		quote = '\''
	}
	r, wide, rest, err := strconv.UnquoteChar(s, quote)
	if err != nil && len(s) >= 6 && s[1] == 'u' { // half of a pair: beyond UnquoteChar
		hi, err := strconv.ParseUint(s[2:6], 16, 16)
		if err != nil || len(s) < 12 || s[6:8] != `\u` {
			return 0
		}
		lo, err := strconv.ParseUint(s[8:12], 16, 16)
		if err != nil {
			return 0
		}
		b.WriteRune((rune(hi)-0xd800)<<10 | (rune(lo) - 0xdc00) + 0x10000)
		return 12
	}
	if err != nil {
		return 0
	}
	if wide || r < utf8.RuneSelf {
		b.WriteRune(r)
	} else {
		b.WriteByte(byte(r))
	}
	return len(s) - len(rest)
}
