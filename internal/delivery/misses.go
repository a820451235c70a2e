package delivery

import (
	"sync"
	"time"
)

// missFor is how long a search that found nobody is not made again. Whoever
// appears meanwhile, by our own hand or with a hook, is in the contact directory,
// which is asked first; and amoCRM frowns on the same read over and over
// (amocrm-api.md §3).
const (
	missFor    = time.Minute
	missesKept = 10_000
)

// misses remembers what was searched for in vain. The zero value is ready.
type misses struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (m *misses) add(key string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at == nil || len(m.at) >= missesKept {
		m.at = map[string]time.Time{}
	}
	m.at[key] = now
}

// drop forgets misses: from now on the contact directory knows these keys.
func (m *misses) drop(keys []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		delete(m.at, k)
	}
}

func (m *misses) has(key string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.at[key]
	return ok && now.Sub(at) < missFor
}
