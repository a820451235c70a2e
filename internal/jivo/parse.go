package jivo

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Caps of the parser (reliability.md › Threats). A message of a transcript has
// nine nodes, so that a chat of 29,000 messages is read. An empty object of a
// list becomes one of ten times its memory: the cap on nodes is what bounds that.
const (
	maxDepth = 64
	maxNodes = 1 << 18
)

// parser reads JSON as it should be and, where the printed samples of Jivo's
// page leave JSON, what they mean. Each such liberty is noted.
type parser struct {
	src   string
	pos   int
	nodes []node
	notes *notes
	// cutOff says the text ended right after a digit, so that the number may
	// be half a number.
	cutOff bool
}

// parse returns the tree of a body, or *Unparsable.
func parse(body []byte, notes *notes) (*tree, error) {
	src := string(body)
	if rest, bom := strings.CutPrefix(src, "\uFEFF"); bom {
		notes.add("body: byte order mark skipped")
		src = rest
	}
	if !utf8.ValidString(src) {
		notes.add("body: invalid UTF-8 replaced")
		src = strings.ToValidUTF8(src, "\uFFFD")
	}
	p := &parser{src: src, notes: notes, nodes: make([]node, 0, min(16+bytes.Count(body[:min(len(body), 64<<10)], []byte{'"'}), maxNodes))}
	p.space()
	switch {
	case p.pos == len(p.src):
		return nil, p.fail("the body is empty")
	case p.src[p.pos] != '{':
		return nil, p.fail("the body does not begin with a brace")
	}
	if err := p.object(1); err != nil {
		return nil, err
	}
	if err := p.tail(); err != nil {
		return nil, err
	}
	return &tree{nodes: p.nodes}, nil
}

// tail accepts what a doubled brace may leave behind the object.
func (p *parser) tail() error {
	for p.space(); p.pos < len(p.src); p.space() {
		if !strings.ContainsRune("};,\x00", rune(p.src[p.pos])) {
			return p.fail("text after the object")
		}
		p.notes.add("body: stray character after the object")
		p.pos++
	}
	return nil
}

func (p *parser) fail(why string) error {
	return &Unparsable{Why: why + " (byte " + strconv.Itoa(p.pos) + ")"}
}

func (p *parser) space() {
	for p.pos < len(p.src) {
		switch p.src[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// peek skips space and returns the next byte, 0 at the end.
func (p *parser) peek() byte {
	p.space()
	if p.pos == len(p.src) {
		return 0
	}
	return p.src[p.pos]
}

// push appends a node that has nothing inside.
func (p *parser) push(kind nodeKind, text string) error {
	if len(p.nodes) >= maxNodes {
		return p.fail("too many values")
	}
	p.nodes = append(p.nodes, node{kind: kind, text: text, next: int32(len(p.nodes) + 1)})
	return nil
}

// container appends a node, fills it, and closes it.
func (p *parser) container(kind nodeKind, depth int, fill func(depth int) error) error {
	if depth > maxDepth {
		return p.fail("nested too deep")
	}
	at := len(p.nodes)
	if err := p.push(kind, ""); err != nil {
		return err
	}
	if err := fill(depth); err != nil {
		return err
	}
	p.nodes[at].next = int32(len(p.nodes))
	return nil
}

func (p *parser) value(depth int) error {
	switch c := p.peek(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		return p.stringValue()
	case c == '-' || '0' <= c && c <= '9':
		return p.number()
	case c == '<':
		p.notes.add("body: placeholder read as null")
		if err := p.placeholder(); err != nil {
			return err
		}
		return p.push(isNull, "")
	}
	return p.literal()
}

func (p *parser) literal() error {
	rest := p.src[p.pos:]
	for _, l := range [...]struct {
		word string
		kind nodeKind
	}{{"null", isNull}, {"true", isTrue}, {"false", isFalse}} {
		if strings.HasPrefix(rest, l.word) {
			p.pos += len(l.word)
			return p.push(l.kind, "")
		}
	}
	if rest == "" {
		return p.fail("the body ends where a value should be")
	}
	return p.fail("no value where one should be")
}

func (p *parser) object(depth int) error {
	return p.container(isObject, depth, func(depth int) error {
		p.pos++
		return p.members(depth)
	})
}

// members reads an object after its opening brace, and the closing one.
func (p *parser) members(depth int) error {
	if depth > maxDepth {
		return p.fail("nested too deep")
	}
	empty, comma := true, false
	for {
		switch c := p.peek(); {
		case c == '}':
			p.closed(comma)
			return nil
		case c == 0 && p.pos == len(p.src):
			return p.endOfInput(empty)
		case c == ',' || c == ';':
			p.notes.add("body: stray separator")
			p.pos++
			continue
		case c == '{': // row 14: { { … } }
			p.notes.add("body: doubled brace")
			p.pos++
			if err := p.members(depth + 1); err != nil {
				return err
			}
		case c == '"':
			if err := p.member(depth); err != nil {
				return err
			}
		default:
			skipped, err := p.ellipsis(depth)
			if err != nil {
				return err
			}
			if !skipped {
				return p.fail("no key where one should be")
			}
		}
		empty = false
		var err error
		if comma, err = p.separator('}'); err != nil {
			return err
		}
	}
}

func (p *parser) member(depth int) error {
	key, err := p.quoted()
	if err != nil {
		return err
	}
	if err := p.push(isKey, key); err != nil {
		return err
	}
	if p.peek() != ':' {
		return p.fail("no colon after a key")
	}
	p.pos++
	return p.value(depth + 1)
}

func (p *parser) array(depth int) error {
	return p.container(isArray, depth, func(depth int) error {
		p.pos++
		return p.elements(depth)
	})
}

func (p *parser) elements(depth int) error {
	empty, comma := true, false
	for {
		switch c := p.peek(); {
		case c == ']':
			p.closed(comma)
			return nil
		case c == 0 && p.pos == len(p.src):
			return p.endOfInput(empty)
		case c == ',' || c == ';':
			p.notes.add("body: stray separator")
			p.pos++
			continue
		default:
			if err := p.element(depth); err != nil {
				return err
			}
		}
		empty = false
		var err error
		if comma, err = p.separator(']'); err != nil {
			return err
		}
	}
}

// element reads one element of an array. A key with a value (row 13) becomes
// an object of that one key.
func (p *parser) element(depth int) error {
	if skipped, err := p.ellipsis(depth); skipped || err != nil {
		return err
	}
	at := len(p.nodes)
	if err := p.value(depth + 1); err != nil {
		return err
	}
	if at >= len(p.nodes) || p.nodes[at].kind != isString || p.peek() != ':' {
		return nil
	}
	p.notes.add("body: keys in an array")
	key := p.nodes[at].text
	p.nodes = p.nodes[:at]
	return p.container(isObject, depth+1, func(depth int) error {
		if err := p.push(isKey, key); err != nil {
			return err
		}
		p.pos++
		return p.value(depth + 1)
	})
}

// separator reads what stands between two members. After a "..." there is none.
func (p *parser) separator(closing byte) (comma bool, err error) {
	switch c := p.peek(); {
	case c == ',':
		p.pos++
		return true, nil
	case c == ';':
		p.notes.add("body: semicolon for a comma")
		p.pos++
		return true, nil
	case c == closing, c == 0 && p.pos == len(p.src):
		return false, nil
	case strings.HasSuffix(strings.TrimRight(p.src[:p.pos], " \t\r\n"), "..."):
		return false, nil
	}
	return false, p.fail("no comma between two values")
}

func (p *parser) closed(comma bool) {
	if comma {
		p.notes.add("body: trailing comma")
	}
	p.pos++
}

// endOfInput closes what is open at the end of the body (row 14), unless the
// body was visibly cut in the middle.
func (p *parser) endOfInput(empty bool) error {
	if empty || p.cutOff {
		return p.fail("the body ends in the middle")
	}
	p.notes.add("body: closing brace missing")
	return nil
}

// ellipsis skips "..." and "<name>: <value>" where an element or member should be.
func (p *parser) ellipsis(depth int) (bool, error) {
	switch {
	case strings.HasPrefix(p.src[p.pos:], "..."):
		p.notes.add("body: \"...\" skipped")
		p.pos += 3
		return true, nil
	case p.peek() != '<':
		return false, nil
	}
	p.notes.add("body: placeholder skipped")
	if err := p.placeholder(); err != nil {
		return false, err
	}
	if p.peek() != ':' {
		return true, nil
	}
	p.pos++
	at := len(p.nodes)
	err := p.value(depth + 1)
	p.nodes = p.nodes[:at]
	return true, err
}

// placeholder skips <words> of one line.
func (p *parser) placeholder() error {
	const longest = 256
	rest := p.src[p.pos:min(len(p.src), p.pos+longest)]
	end := strings.IndexAny(rest, ">\n")
	if end < 0 || rest[end] != '>' {
		return p.fail("no value where one should be")
	}
	p.pos += end + 1
	return nil
}
