package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"
	"time"
)

// maxPart is the longest part of a key kept as it is; bbolt takes keys up to
// 32 KiB and ids come from outside. Longer ones are replaced by a digest.
const maxPart = 256

const sep = "\x00"

var escaper = strings.NewReplacer("\x00", "\x01\x01", "\x01", "\x01\x02")
var unescaper = strings.NewReplacer("\x01\x01", "\x00", "\x01\x02", "\x01")

// Key joins parts into one key of a generic bucket. Different parts give
// different keys. Key("a", "") is the prefix of every key whose first part is
// "a", for Each. A part of more than 256 bytes is replaced by its digest.
func Key(parts ...string) string {
	escaped := make([]string, len(parts))
	for i, p := range parts {
		escaped[i] = part(p)
	}
	return strings.Join(escaped, sep)
}

// Parts takes a Key apart again. A part that was replaced by its digest stays so.
func Parts(key string) []string {
	parts := strings.Split(key, sep)
	for i, p := range parts {
		parts[i] = unescaper.Replace(p)
	}
	return parts
}

func part(s string) string {
	if len(s) > maxPart {
		sum := sha256.Sum256([]byte(s))
		return "\x01\x03" + hex.EncodeToString(sum[:])
	}
	if strings.ContainsAny(s, "\x00\x01") {
		return escaper.Replace(s)
	}
	return s
}

// prefix is Key(parts...) with a closing separator: what a fixed-width number follows.
func prefix(parts ...string) string { return Key(parts...) + sep }

func be64(n uint64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return string(b[:])
}

// seqAt reads the number a key ends in.
func seqAt(key []byte) uint64 {
	if len(key) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key[len(key)-8:])
}

// stamp makes a time a number that sorts like it. Times outside 1970–2262 are
// moved to that border.
func stamp(t time.Time) uint64 {
	switch {
	case t.Unix() < 0:
		return 0
	case t.Unix() > math.MaxInt64/int64(time.Second)-1:
		return math.MaxInt64
	}
	return uint64(t.UnixNano())
}

func unstamp(n uint64) time.Time { return time.Unix(0, int64(min(n, math.MaxInt64))) }

// digest is the 16 bytes a key is known by where its text must not be on disk.
type digest [16]byte

func hash(parts ...string) digest {
	sum := sha256.Sum256([]byte(Key(parts...)))
	return digest(sum[:16])
}
