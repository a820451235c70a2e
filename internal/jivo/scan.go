package jivo

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// stringValue reads a string. Jivo's samples print several event names in one
// value, "a"/"b" (row 15): the first is taken.
func (p *parser) stringValue() error {
	s, err := p.quoted()
	if err != nil {
		return err
	}
	for p.peek() == '/' {
		p.notes.add("body: several values with slashes, the first taken")
		p.pos++
		if p.peek() != '"' {
			return p.fail("no value after a slash")
		}
		if _, err := p.quoted(); err != nil {
			return err
		}
	}
	return p.push(isString, s)
}

// quoted reads a string at its opening quote. A string without escapes is a
// part of the source, so that it costs no memory.
func (p *parser) quoted() (string, error) {
	p.pos++
	from := p.pos
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case c == '"':
			p.pos++
			return p.src[from : p.pos-1], nil
		case c == '\\':
			return p.escaped(from)
		case c < ' ':
			p.notes.add("body: control character inside a string")
		}
		p.pos++
	}
	return "", p.fail("the body ends inside a string")
}

// escaped goes on from the first backslash of a string that began at from.
func (p *parser) escaped(from int) (string, error) {
	var b strings.Builder
	b.WriteString(p.src[from:p.pos])
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case c == '"':
			p.pos++
			return b.String(), nil
		case c == '\\':
			if p.pos++; p.pos < len(p.src) {
				p.escape(&b)
			}
		default:
			if c < ' ' {
				p.notes.add("body: control character inside a string")
			}
			b.WriteByte(c)
			p.pos++
		}
	}
	return "", p.fail("the body ends inside a string")
}

// escape writes the character whose escape stands at pos, after the backslash.
func (p *parser) escape(b *strings.Builder) {
	const letters, meant = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	c := p.src[p.pos]
	if at := strings.IndexByte(letters, c); at >= 0 {
		b.WriteByte(meant[at])
		p.pos++
		return
	}
	r, ok := p.unit(p.pos)
	if !ok {
		p.notes.add("body: unknown escape read as it stands")
		_, size := utf8.DecodeRuneInString(p.src[p.pos:])
		b.WriteString(p.src[p.pos : p.pos+size])
		p.pos += size
		return
	}
	p.pos += unitSize
	if !utf16.IsSurrogate(r) {
		b.WriteRune(r)
		return
	}
	if strings.HasPrefix(p.src[p.pos:], `\`) {
		if low, ok := p.unit(p.pos + 1); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				p.pos += 1 + unitSize
				b.WriteRune(pair)
				return
			}
		}
	}
	p.notes.add("body: lone surrogate replaced")
	b.WriteRune(utf8.RuneError)
}

// unitSize is the length of an escape such as u00e9, its backslash left out.
const unitSize = 5

// unit reads such an escape at a position.
func (p *parser) unit(at int) (rune, bool) {
	if at+unitSize > len(p.src) || p.src[at] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(p.src[at+1:at+unitSize], 16, 16)
	return rune(n), err == nil
}

// number reads a number in JSON's grammar and keeps its text.
func (p *parser) number() error {
	from := p.pos
	if p.src[p.pos] == '-' {
		p.pos++
	}
	whole := p.pos
	if p.digits() == 0 {
		return p.fail("no number where one should be")
	}
	if p.src[whole] == '0' && p.pos > whole+1 {
		return p.fail("a number with a leading zero")
	}
	if p.accept(".") && p.digits() == 0 {
		return p.fail("no number where one should be")
	}
	if p.accept("eE") {
		p.accept("+-")
		if p.digits() == 0 {
			return p.fail("no number where one should be")
		}
	}
	p.cutOff = p.pos == len(p.src)
	return p.push(isNumber, p.src[from:p.pos])
}

func (p *parser) digits() (n int) {
	for p.pos < len(p.src) && '0' <= p.src[p.pos] && p.src[p.pos] <= '9' {
		p.pos++
		n++
	}
	return n
}

func (p *parser) accept(chars string) bool {
	if p.pos < len(p.src) && strings.IndexByte(chars, p.src[p.pos]) >= 0 {
		p.pos++
		return true
	}
	return false
}
