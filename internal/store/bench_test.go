package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// BenchmarkFsync is the floor under every append: compare within one run.
func BenchmarkFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "f"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	for b.Loop() {
		if _, err := f.WriteAt(page, 0); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

func benchIncoming(i uint64) event.Incoming {
	in := incoming(strconv.FormatUint(i%100_000, 10))
	in.Event.Chat = strconv.FormatUint(i/4, 10)
	in.Body = make([]byte, 1500)
	in.Dedup = event.Dedup{Key: fmt.Sprintf("chat_updated|%s", in.Event.Chat), Value: strconv.FormatUint(i, 10)}
	return in
}

func BenchmarkAppend_Alone(b *testing.B) { benchmarkAppend(b, open(b, Options{}), 1) }

func BenchmarkAppend_64Callers(b *testing.B) { benchmarkAppend(b, open(b, Options{}), 64) }

func benchmarkAppend(b *testing.B, s *Store, callers int) {
	var n atomic.Uint64
	b.SetParallelism(max(1, callers/2)) // times GOMAXPROCS, 2 where it counts
	if callers == 1 {
		for b.Loop() {
			mustAppend(b, s, benchIncoming(n.Add(1)))
		}
		return
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Append(context.Background(), benchIncoming(n.Add(1))); err != nil {
				b.Error(err)
			}
		}
	})
}

// filled gives a store with a million settled events and 100,000 clients
// (reliability.md L3). BRIDGE_BENCH_STORE names a file to keep between runs.
func filled(b *testing.B) string {
	path := os.Getenv("BRIDGE_BENCH_STORE")
	if path == "" {
		b.Skip("BRIDGE_BENCH_STORE is not set")
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	s := open(b, Options{Path: path})
	const events, slice = 1_000_000, 5000
	for from := uint64(1); from < events; from += slice {
		update(b, s, func(tx *Tx) error {
			for i := from; i < from+slice; i++ {
				in := benchIncoming(i)
				in.Event.State, in.Event.SettledAt = event.Done, t0
				in.Event.Lead = &event.Match{ID: int64(i % 100_000), By: "chat"}
				in.Event.Rules = []event.RuleTrace{{Rule: "a chat with contacts is a lead", Matched: true}}
				in.Event.Requests = []event.Request{{At: t0, Method: "POST", Path: "/api/v4/leads/complex", Status: 200, Seconds: 0.2}}
				if i < events*3/4 { // older than retention.bodies
					in.Body = nil
				}
				if _, err := tx.append(in); err != nil {
					return err
				}
				if i%10 == 0 {
					id := strconv.FormatUint(i/10, 10)
					c := &event.Client{ID: id, Name: "Иван", Phones: []string{"+7999" + id}, ContactID: int64(i), Leads: []event.Link{{LeadID: int64(i), Chats: []string{id}}}}
					if err := tx.PutClient("shop", c); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}

func BenchmarkFilled(b *testing.B) {
	path := filled(b)
	b.Run("Open", func(b *testing.B) {
		for b.Loop() {
			s := open(b, Options{Path: path})
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("OpenAfterCrash", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			s := open(b, Options{Path: path})
			mustAppend(b, s, benchIncoming(uint64(time.Now().UnixNano()))) // frees the list of free pages
			s.broken.Store(&ErrBroken)                                     // so that Close does not write it
			_ = s.Close()
			b.StartTimer()
			s = open(b, Options{Path: path})
			b.StopTimer()
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
	b.Run("Append_Alone", func(b *testing.B) { benchmarkAppend(b, open(b, Options{Path: path}), 1) })
	b.Run("Append_64Callers", func(b *testing.B) { benchmarkAppend(b, open(b, Options{Path: path}), 64) })
}
