package hook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a hook body (reliability.md › Threats to the listener). amoCRM
// nests eight deep and groups far fewer entities.
const (
	indexCap = 500
	depthCap = 64
	nodeCap  = 100_000
)

// node is one place of a hook body, however it was encoded: a text, or an
// object whose keys keep the order they came in. A list is an object with the
// keys "0", "1"…, as PHP has it; amoCRM switches between the two by itself
// (amocrm-api.md §6.4). A nil node is one that is absent: every method works on it.
type node struct {
	text string
	leaf bool
	keys []string
	kids map[string]*node
}

// tree grows nodes within the bounds.
type tree struct {
	root  *node
	nodes int
}

var errBounds = errors.New("hook body beyond bounds")

func parse(body []byte) (*node, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	if len(body) == 0 {
		return nil, errors.New("hook body is empty")
	}
	t := &tree{root: &node{}}
	if body[0] == '{' || body[0] == '[' {
		return t.root, t.readJSON(body)
	}
	return t.root, t.readForm(string(body))
}

// readForm reads PHP's bracket keys: leads[status][0][id]=501. It is our own
// reader because go-playground/form logs the keys of a malformed body and
// panics, takes quadratic time in the number of keys, and wants each place to
// be of one type.
func (t *tree) readForm(body string) error {
	for pair := range strings.SplitSeq(body, "&") {
		key, value, _ := strings.Cut(pair, "=")
		path, ok := formPath(unescapeForm(key))
		if !ok {
			continue
		}
		node := t.root
		for _, name := range path {
			var err error
			if node, err = t.child(node, name); err != nil {
				return err
			}
		}
		node.text, node.leaf = strings.ToValidUTF8(unescapeForm(value), "\uFFFD"), true
	}
	return nil
}

// unescapeForm keeps a broken escape as it stands, as PHP does.
func unescapeForm(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return strings.ReplaceAll(s, "+", " ")
}

// formPath takes a key apart: "a[b][0]" is a, b, 0. Keys that are not of this
// form, or not UTF-8, are none of amoCRM's.
func formPath(key string) ([]string, bool) {
	if !utf8.ValidString(key) {
		return nil, false
	}
	name, rest, nested := strings.Cut(key, "[")
	if name == "" || strings.Contains(name, "]") {
		return nil, false
	}
	path := []string{name}
	if !nested {
		return path, true
	}
	inner, ok := strings.CutSuffix(rest, "]")
	if !ok {
		return nil, false
	}
	for part := range strings.SplitSeq(inner, "][") {
		if strings.ContainsAny(part, "[]") || len(path) > depthCap {
			return nil, false
		}
		path = append(path, part)
	}
	return path, true
}

// child returns the node under a name, made if need be. An empty name appends,
// as PHP's a[]=1 does.
func (t *tree) child(n *node, name string) (*node, error) {
	if name == "" {
		name = strconv.Itoa(len(n.keys))
	}
	if k := n.kids[name]; k != nil {
		return k, nil
	}
	if t.nodes++; t.nodes > nodeCap {
		return nil, fmt.Errorf("%w: more than %d values", errBounds, nodeCap)
	}
	if n.kids == nil {
		n.kids = map[string]*node{}
	}
	k := &node{}
	n.kids[name] = k
	n.keys = append(n.keys, name)
	return k, nil
}

func (t *tree) readJSON(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := t.jsonValue(dec, t.root, 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("hook body: something follows the JSON object")
	}
	return nil
}

func (t *tree) jsonValue(dec *json.Decoder, n *node, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return errors.New("hook body: broken JSON") // the cause may quote the body
	}
	switch v := token.(type) {
	case json.Delim:
		if depth >= depthCap {
			return fmt.Errorf("%w: nested deeper than %d", errBounds, depthCap)
		}
		return t.jsonNested(dec, n, v, depth)
	case string:
		n.text, n.leaf = v, true
	case json.Number:
		n.text, n.leaf = v.String(), true
	case bool:
		n.text, n.leaf = strconv.FormatBool(v), true
	}
	return nil
}

func (t *tree) jsonNested(dec *json.Decoder, n *node, open json.Delim, depth int) error {
	for dec.More() {
		name := ""
		if open == '{' {
			key, err := dec.Token()
			if err != nil {
				return errors.New("hook body: broken JSON")
			}
			name, _ = key.(string)
			if name == "" {
				name = " "
			}
		}
		kid, err := t.child(n, name)
		if err != nil {
			return err
		}
		if err := t.jsonValue(dec, kid, depth+1); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return errors.New("hook body: broken JSON")
	}
	return nil
}

// at walks down; nil where a step is missing.
func (n *node) at(path ...string) *node {
	for _, name := range path {
		if n == nil {
			return nil
		}
		n = n.kids[name]
	}
	return n
}

func (n *node) has(name string) bool { return n.at(name) != nil }

// str returns the text at a path, "" if there is none.
func (n *node) str(path ...string) string {
	if n = n.at(path...); n == nil {
		return ""
	}
	return n.text
}

// num returns the whole number at the first of the names that holds one.
func (n *node) num(names ...string) int64 {
	for _, name := range names {
		if v, err := strconv.ParseInt(strings.TrimSpace(n.str(name)), 10, 64); err == nil {
			return v
		}
	}
	return 0
}

// list returns the children in the order of their indexes; of an object that is
// no list, in the order they came. An index above the cap is an error.
func (n *node) list() ([]*node, error) {
	if n == nil {
		return nil, nil
	}
	type indexed struct {
		index int
		node  *node
	}
	var items []indexed
	for i, key := range n.keys {
		index, err := strconv.ParseUint(key, 10, 64)
		switch {
		case err != nil:
			index = uint64(i)
		case index > indexCap:
			return nil, fmt.Errorf("%w: an index above %d", errBounds, indexCap)
		}
		items = append(items, indexed{int(index), n.kids[key]})
	}
	slices.SortStableFunc(items, func(a, b indexed) int { return a.index - b.index })
	out := make([]*node, len(items))
	for i, item := range items {
		out[i] = item.node
	}
	return out, nil
}
