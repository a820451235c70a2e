package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// This file reads bbolt's pages (format version 2, unchanged since Bolt 1.0)
// before bbolt does. bbolt trusts them: on a damaged one it panics, also in a
// goroutine of its own where nobody can recover it, follows a loop of pages
// until memory ends, or takes a page in use for a free one and writes over it.

const (
	pageHeader = 16 // id uint64, flags uint16, count uint16, overflow uint32
	pageItem   = 16 // branch: pos, ksize uint32, child uint64; leaf: flags, pos, ksize, vsize uint32
	metaSize   = 64

	pageBranch   = 0x01
	pageLeaf     = 0x02
	pageMeta     = 0x04
	pageFreelist = 0x10
	itemBucket   = 0x01

	noFreelist = ^uint64(0)
	maxDepth   = 64 // of a tree; eight levels hold any file there is
)

var order = binary.NativeEndian

// pageFile is a bbolt file seen page by page.
type pageFile struct {
	r        io.ReaderAt
	pageSize int
	root     uint64 // page of the root bucket
	freelist uint64
	high     uint64 // pages from here on were never used
	used     []uint64
	path     [][]byte // one buffer for each page on the way from the root
	level    int      // how many of them are in use
}

// checkPages verifies that every page that can be reached is in its place, used
// once, and holds keys in order, and that no page in use is listed as free.
func checkPages(r io.ReaderAt, size int64) error {
	p, err := readMeta(r)
	if err != nil {
		return err
	}
	if have := uint64(size) / uint64(p.pageSize); p.high > have {
		return fmt.Errorf("cut short: %d of %d pages", have, p.high)
	}
	p.used = make([]uint64, p.high/64+1)
	if err := p.tree(p.root, nil, nil, true, 0); err != nil {
		return err
	}
	return p.checkFreelist()
}

// readMeta takes the newer of the two meta pages that are whole, as bbolt does.
func readMeta(r io.ReaderAt) (*pageFile, error) {
	var newest *pageFile
	var txid uint64
	consider := func(at int64) int {
		var b [pageHeader + metaSize]byte
		if _, err := r.ReadAt(b[:], at); err != nil {
			return 0
		}
		m := b[pageHeader:]
		sum := fnv.New64a()
		_, _ = sum.Write(m[:metaSize-8])
		if order.Uint32(m) != boltMagic || order.Uint64(m[metaSize-8:]) != sum.Sum64() {
			return 0
		}
		p := &pageFile{
			r: r, pageSize: int(order.Uint32(m[8:])), root: order.Uint64(m[16:]),
			freelist: order.Uint64(m[32:]), high: order.Uint64(m[40:]),
		}
		if id := order.Uint64(m[48:]); newest == nil || id > txid {
			newest, txid = p, id
		}
		return p.pageSize
	}
	if size := consider(0); size > 0 {
		consider(int64(size))
	} else {
		for size := int64(1 << 10); size <= 1<<24 && newest == nil; size *= 2 {
			consider(size)
		}
	}
	if newest == nil || newest.pageSize < pageHeader+metaSize {
		return nil, errors.New("no whole meta page")
	}
	return newest, nil
}

// tree checks the pages below id, whose keys must lie in [lo, hi). Only the
// root bucket may hold buckets.
func (p *pageFile) tree(id uint64, lo, hi []byte, root bool, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("page %d lies too deep", id)
	}
	p.level++
	defer func() { p.level-- }()
	pg, err := p.load(id, root)
	if err != nil {
		return err
	}
	prev := lo
	for i := range pg.count {
		k, err := pg.key(i)
		if err != nil {
			return err
		}
		c := bytes.Compare(prev, k)
		if c > 0 || (c == 0 && i > 0) || (hi != nil && bytes.Compare(k, hi) >= 0) || len(k) == 0 {
			return fmt.Errorf("page %d: keys out of order", id)
		}
		prev = k
		if pg.leaf {
			err = p.leafItem(pg, i, root)
		} else {
			err = p.branchItem(pg, i, k, hi, root, depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *pageFile) branchItem(pg page, i int, k, hi []byte, root bool, depth int) error {
	if i+1 < pg.count {
		next, err := pg.key(i + 1)
		if err != nil {
			return err
		}
		hi = next
	}
	return p.tree(order.Uint64(pg.item(i)[8:]), k, hi, root, depth+1)
}

// leafItem checks one entry of a leaf; an entry of the root is a bucket.
func (p *pageFile) leafItem(pg page, i int, root bool) error {
	if bucket := order.Uint32(pg.item(i))&itemBucket != 0; bucket != root {
		return fmt.Errorf("page %d: a bucket where none belongs, or none where one does", pg.id)
	}
	if !root {
		return pg.checkValue(i)
	}
	v, err := pg.value(i)
	if err != nil {
		return err
	}
	if len(v) < 16 {
		return fmt.Errorf("page %d: a bucket cut short", pg.id)
	}
	if child := order.Uint64(v); child != 0 {
		return p.tree(child, nil, nil, false, 0)
	}
	return inline(v[16:])
}

// inline checks a bucket so small that its only page is its value.
func inline(data []byte) error {
	if len(data) < pageHeader {
		return errors.New("an inline bucket cut short")
	}
	pg := page{data: data, size: len(data), leaf: true, count: int(order.Uint16(data[10:]))}
	if order.Uint16(data[8:]) != pageLeaf || pageHeader+pg.count*pageItem > len(data) {
		return errors.New("an inline bucket that is no leaf")
	}
	var prev []byte
	for i := range pg.count {
		k, err := pg.key(i)
		if err != nil {
			return err
		}
		if bytes.Compare(prev, k) >= 0 || order.Uint32(pg.item(i))&itemBucket != 0 {
			return errors.New("an inline bucket out of order")
		}
		if err := pg.checkValue(i); err != nil {
			return err
		}
		prev = k
	}
	return nil
}

// claim marks the pages from id on as used, each once.
func (p *pageFile) claim(id, n uint64) error {
	if id < 2 || id >= p.high || n > p.high-id {
		return fmt.Errorf("page %d is out of bounds", id)
	}
	for ; n > 0; id, n = id+1, n-1 {
		if p.used[id/64]&(1<<(id%64)) != 0 {
			return fmt.Errorf("page %d is used twice", id)
		}
		p.used[id/64] |= 1 << (id % 64)
	}
	return nil
}

// buffer is for the page at this level: those above it are still needed, the
// one beside it, which had it before, no more. A file has hundreds of thousands
// of pages, and a start waits for this check.
func (p *pageFile) buffer() []byte {
	for len(p.path) < p.level {
		p.path = append(p.path, make([]byte, p.pageSize))
	}
	return p.path[p.level-1]
}

// load reads and claims a page: whole, or only its entries and what of the keys
// fits into a page's size.
func (p *pageFile) load(id uint64, whole bool) (page, error) {
	pg := page{id: id, r: p.r, at: int64(id) * int64(p.pageSize)}
	if id >= p.high {
		return pg, fmt.Errorf("page %d is out of bounds", id)
	}
	pg.data = p.buffer()
	if _, err := p.r.ReadAt(pg.data, pg.at); err != nil {
		return pg, fmt.Errorf("page %d: %w", id, err)
	}
	flags, overflow := order.Uint16(pg.data[8:]), uint64(order.Uint32(pg.data[12:]))
	pg.count, pg.leaf = int(order.Uint16(pg.data[10:])), flags == pageLeaf
	if order.Uint64(pg.data) != id || (flags != pageLeaf && flags != pageBranch) || (!pg.leaf && pg.count == 0) {
		return pg, fmt.Errorf("page %d is not what it should be", id)
	}
	if err := p.claim(id, overflow+1); err != nil {
		return pg, err
	}
	pg.size = int(overflow+1) * p.pageSize
	need := pageHeader + pg.count*pageItem
	if need > pg.size {
		return pg, fmt.Errorf("page %d has more entries than room", id)
	}
	if whole {
		need = pg.size
	}
	if need > len(pg.data) {
		pg.data = make([]byte, need)
		if _, err := p.r.ReadAt(pg.data, pg.at); err != nil {
			return pg, fmt.Errorf("page %d: %w", id, err)
		}
	}
	return pg, nil
}

// checkFreelist verifies the list of free pages a clean Close leaves.
func (p *pageFile) checkFreelist() error {
	if p.freelist == noFreelist {
		return nil
	}
	if p.freelist >= p.high {
		return errors.New("free pages: out of bounds")
	}
	head := make([]byte, pageHeader+8)
	at := int64(p.freelist) * int64(p.pageSize)
	if _, err := p.r.ReadAt(head, at); err != nil {
		return fmt.Errorf("free pages: %w", err)
	}
	overflow := uint64(order.Uint32(head[12:]))
	if order.Uint64(head) != p.freelist || order.Uint16(head[8:]) != pageFreelist {
		return errors.New("free pages: not where they should be")
	}
	if err := p.claim(p.freelist, overflow+1); err != nil {
		return fmt.Errorf("free pages: %w", err)
	}
	count := uint64(order.Uint16(head[10:]))
	skip := uint64(pageHeader)
	if count == 0xFFFF { // more than fit the header's number
		count, skip = order.Uint64(head[pageHeader:]), pageHeader+8
	}
	if room := (overflow+1)*uint64(p.pageSize) - skip; count > room/8 {
		return errors.New("free pages: more than there is room for")
	}
	ids := make([]byte, count*8)
	if _, err := p.r.ReadAt(ids, at+int64(skip)); err != nil {
		return fmt.Errorf("free pages: %w", err)
	}
	for ; len(ids) > 0; ids = ids[8:] {
		if err := p.claim(order.Uint64(ids), 1); err != nil {
			return fmt.Errorf("free pages: %w", err)
		}
	}
	return nil
}

// page is one page with its overflow, not all of which need be in data.
type page struct {
	id    uint64
	leaf  bool
	count int
	size  int // with overflow
	data  []byte
	r     io.ReaderAt
	at    int64
}

func (pg page) item(i int) []byte { return pg.data[pageHeader+i*pageItem:][:pageItem] }

// span gives n bytes at an offset counted from entry i, from the file if need be.
func (pg page) span(i int, from, n uint64) ([]byte, error) {
	from += uint64(pageHeader + i*pageItem)
	switch {
	case from+n > uint64(pg.size):
		return nil, fmt.Errorf("page %d: entry %d points out of it", pg.id, i)
	case from+n <= uint64(len(pg.data)):
		return pg.data[from : from+n], nil
	}
	b := make([]byte, n)
	if _, err := pg.r.ReadAt(b, pg.at+int64(from)); err != nil {
		return nil, fmt.Errorf("page %d: %w", pg.id, err)
	}
	return b, nil
}

// layout gives where an entry's key begins, and how long key and value are.
func (pg page) layout(i int) (pos, key, value uint64) {
	it := pg.item(i)
	if pg.leaf {
		return uint64(order.Uint32(it[4:])), uint64(order.Uint32(it[8:])), uint64(order.Uint32(it[12:]))
	}
	return uint64(order.Uint32(it)), uint64(order.Uint32(it[4:])), 0
}

func (pg page) key(i int) ([]byte, error) {
	pos, n, _ := pg.layout(i)
	return pg.span(i, pos, n)
}

func (pg page) value(i int) ([]byte, error) {
	pos, key, n := pg.layout(i)
	return pg.span(i, pos+key, n)
}

// checkValue verifies that a value lies inside its page, without reading it.
func (pg page) checkValue(i int) error {
	pos, key, n := pg.layout(i)
	if uint64(pageHeader+i*pageItem)+pos+key+n > uint64(pg.size) {
		return fmt.Errorf("page %d: entry %d points out of it", pg.id, i)
	}
	return nil
}
