package store

import (
	"bytes"
	"testing"
)

// A key that stands under the wrong branch would not be found: bbolt looks for it
// beside. And the check keeps no more pages in memory than lie one below the other.
func TestPages_AKeyUnderTheWrongBranchIsNoticed(t *testing.T) {
	s := open(t, Options{Path: stored(t)})
	var buf bytes.Buffer
	if _, err := s.Backup(&buf); err != nil {
		t.Fatal(err)
	}
	b := buf.Bytes()
	p, err := readMeta(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	p.used = make([]uint64, p.high/64+1)
	if err := p.tree(p.root, nil, nil, true, 0); err != nil {
		t.Fatal(err)
	}
	if n := len(p.path); n > 4 {
		t.Errorf("%d pages were kept", n)
	}
	moved := 0
	for at := 2 * p.pageSize; at+p.pageSize <= len(b); at += p.pageSize {
		pg := b[at:][:p.pageSize]
		if order.Uint16(pg[8:]) != pageBranch || order.Uint16(pg[10:]) < 2 || p.used[at/p.pageSize/64]&(1<<(at/p.pageSize%64)) == 0 {
			continue
		}
		branch := page{data: pg, size: len(pg), count: int(order.Uint16(pg[10:]))}
		below := b[int(order.Uint64(branch.item(0)[8:]))*p.pageSize:][:p.pageSize]
		leaf := page{data: below, size: len(below), leaf: order.Uint16(below[8:]) == pageLeaf, count: int(order.Uint16(below[10:]))}
		last, err := leaf.key(leaf.count - 1)
		if err != nil {
			continue // it lies in what overflows
		}
		key, err := branch.key(1)
		if err != nil || len(key) != len(last) || bytes.Equal(key, last) {
			continue
		}
		was := bytes.Clone(key)
		copy(key, last) // is now both the last below the first branch and the bound of it
		if checkPages(bytes.NewReader(b), int64(len(b))) == nil {
			t.Errorf("page %d: not noticed", at/p.pageSize)
		}
		copy(key, was)
		moved++
	}
	if moved == 0 {
		t.Error("no branch was tried: the test proves nothing")
	}
}
