package app

import (
	"encoding/binary"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// spent remembers on disk when an account's last requests left, so that the
// process that follows a killed one, or the client that follows one with other
// settings, does not spend the same second's budget twice (product.md §8.4). It
// is a ring of times beside the store, written without fsync: a killed process
// leaves it in the page cache, and after a power cut seconds have gone by. It is
// safe for concurrent use. What cannot be read or written is left out: the
// far end's 429 is still heard.
type spent struct {
	mu   sync.Mutex
	file *os.File // nil: nothing is kept
	size int64    // places in the ring
	next int64
}

const spentWidth = 8 // bytes of one time, unix nanoseconds

// openSpent opens the ring of an account and returns the times that stand in it.
func openSpent(data, host string, rate float64) (*spent, []time.Time) {
	s := &spent{size: int64(math.Ceil(rate))}
	file, err := os.OpenFile(filepath.Join(data, "sent."+url.PathEscape(host)), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return s, nil
	}
	s.file = file
	buf := make([]byte, s.size*spentWidth)
	n, _ := file.ReadAt(buf, 0) // a shorter one is new
	var times []time.Time
	newest := int64(math.MinInt64)
	for i := int64(0); (i+1)*spentWidth <= int64(n); i++ {
		at := int64(binary.LittleEndian.Uint64(buf[i*spentWidth:]))
		if at > newest {
			newest, s.next = at, (i+1)%s.size
		}
		times = append(times, time.Unix(0, at))
	}
	return s, times
}

func (s *spent) add(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return
	}
	var buf [spentWidth]byte
	binary.LittleEndian.PutUint64(buf[:], uint64(now.UnixNano()))
	if _, err := s.file.WriteAt(buf[:], s.next*spentWidth); err != nil {
		return
	}
	s.next = (s.next + 1) % s.size
}

// close may be called of none and more than once.
func (s *spent) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}
