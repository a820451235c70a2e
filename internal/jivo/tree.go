package jivo

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
)

// nodeKind is what a node of a tree is.
type nodeKind uint8

const (
	isNull nodeKind = iota
	isTrue
	isFalse
	isNumber
	isString
	isArray
	isObject
	isKey
)

// node is one value, or one key, of a parsed body.
type node struct {
	text string // of a string, key or number
	next int32  // the index after this node and everything inside it
	kind nodeKind
}

// tree is a parsed body in one slice, in reading order: an object is followed
// by its keys, each followed by its value; an array by its elements. Node 0 is
// the body's object. A flat slice keeps decoding to a handful of allocations
// and its memory to a fixed multiple of the body.
type tree struct{ nodes []node }

// inside yields the first index inside a container and the one after it.
func (t *tree) inside(at int32) (from, to int32) { return at + 1, t.nodes[at].next }

// find returns the value of a key of an object, or -1. The last of equal keys
// counts, as it does for JSON.parse.
func (t *tree) find(object int32, name string) int32 {
	if object < 0 || t.nodes[object].kind != isObject {
		return -1
	}
	found := int32(-1)
	from, to := t.inside(object)
	for at := from; at < to; at = t.nodes[at+1].next {
		if key := t.nodes[at].text; key == name || !ascii(key) && fold(key) == name {
			found = at + 1
		}
	}
	return found
}

// kindAt returns the kind of a value, isNull for -1.
func (t *tree) kindAt(at int32) nodeKind {
	if at < 0 {
		return isNull
	}
	return t.nodes[at].kind
}

// hash returns 16 bytes in hex that are equal for bodies with equal content,
// whatever the order of keys, the white space and the spelling of escapes.
func (t *tree) hash() string {
	sum := sha256.Sum256(t.canonical(make([]byte, 0, 4096), 0))
	return hex.EncodeToString(sum[:16])
}

// canonical appends an unambiguous form of a value: every text is preceded by
// its length, keys are sorted.
func (t *tree) canonical(b []byte, at int32) []byte {
	n := t.nodes[at]
	b = append(b, byte(n.kind))
	switch n.kind {
	case isNumber, isString:
		return appendText(b, n.text)
	case isArray:
		from, to := t.inside(at)
		for i := from; i < to; i = t.nodes[i].next {
			b = t.canonical(b, i)
		}
	case isObject:
		for _, key := range t.sortedKeys(at) {
			b = t.canonical(appendText(b, t.nodes[key].text), key+1)
		}
	default:
		return b
	}
	return append(b, 0xff)
}

// sortedKeys returns the keys of an object in order, the last of equal ones only.
func (t *tree) sortedKeys(object int32) []int32 {
	var keys []int32
	from, to := t.inside(object)
	for at := from; at < to; at = t.nodes[at+1].next {
		keys = append(keys, at)
	}
	slices.SortFunc(keys, func(a, b int32) int {
		if c := strings.Compare(t.nodes[a].text, t.nodes[b].text); c != 0 {
			return c
		}
		return int(b - a)
	})
	return slices.CompactFunc(keys, func(a, b int32) bool { return t.nodes[a].text == t.nodes[b].text })
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
