package store

import (
	"bufio"
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/jivo-amocrm/bridge/internal/event"
)

var powerStates = flag.Int("powercut", 300, "how many states of the file after a power cut are tried")

const powerEnv = "BRIDGE_STORE_TEST_POWER"

// powerChild is what the test binary does under strace: it appends, settles,
// remembers and purges, and prints a number only after it was acknowledged.
func powerChild() {
	s, err := Open(Options{Path: os.Getenv(powerEnv)})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 40 {
				in := incoming(fmt.Sprint(i))
				in.Body = []byte(fmt.Sprintf("body of %d of %d", n, i) + strings.Repeat(".", 100*n))
				in.Dedup = event.Dedup{Key: fmt.Sprintf("k|%d|%d", i, n), Value: "1"}
				a, err := s.Append(context.Background(), in)
				if err != nil {
					os.Exit(3)
				}
				_, _ = os.Stdout.WriteString(fmt.Sprintf("acked %d\n", a.Seq))
				err = s.Update(context.Background(), func(tx *Tx) error {
					ev, err := tx.Event(a.Seq)
					if err != nil {
						return err
					}
					ev.State, ev.SettledAt = event.Done, t0
					c := tx.Client("shop", fmt.Sprint(i))
					c.Name = strings.Repeat("n", n)
					if err := tx.PutClient("shop", c); err != nil {
						return err
					}
					return tx.Put(ev)
				})
				if err != nil {
					os.Exit(3)
				}
				_, _ = os.Stdout.WriteString(fmt.Sprintf("settled %d\n", a.Seq))
				if n%10 == 9 { // freed pages are used again
					_, _ = s.Purge(context.Background(), Retention{Bodies: time.Hour}, t0.Add(2*time.Hour))
				}
			}
		})
	}
	wg.Wait()
	_ = s.Close()
}

// opKind is what a recorded system call does.
type opKind uint8

const (
	opWrite opKind = iota
	opTruncate
	opSync
	opSay
)

type op struct {
	kind opKind
	at   int64 // offset, or the new size
	data []byte
}

// N3 of reliability.md: whatever a power cut leaves of the writes since the last
// sync (all, none, all but one, one alone, or one torn between sectors), the
// store opens, its pages are sound, and no acknowledged record is missing.
func TestStore_PowerCutLosesNothingAcked(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	path := filepath.Join(t.TempDir(), "bridge.db")
	s, err := Open(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ops := record(t, strace, path)
	rnd := rand.New(rand.NewPCG(1, 1))
	states := make(chan outage)
	var tried, cuts atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		dir := inMemory(t)
		wg.Go(func() {
			for st := range states {
				tried.Add(1)
				if err := st.check(filepath.Join(dir, "bridge.db")); err != nil {
					t.Errorf("%s: %v", st.what, err)
				}
			}
		})
	}
	play(before, ops, func(st outage) bool {
		cuts.Add(1)
		states <- st
		return cuts.Load() < int64(*powerStates)
	}, keep(ops, *powerStates), rnd)
	close(states)
	wg.Wait()
	t.Logf("%d recorded operations, %d states tried", len(ops), tried.Load())
	if tried.Load() < int64(min(*powerStates, 200)) {
		t.Errorf("only %d states", tried.Load())
	}
}

// inMemory is a folder that needs no disk, where there is one: what is tried
// there has been through a power cut already.
func inMemory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "bridge-store-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// keep is the share of states to be tried, so that they spread over the run.
func keep(ops []op, want int) float64 {
	all, window := 0, 0
	for _, o := range ops {
		switch o.kind {
		case opSync:
			window = 0
		case opWrite, opTruncate:
			window++
			all += 2 + 3*window
		}
	}
	return min(1, 1.1*float64(want)/float64(max(all, 1)))
}

var (
	callLine  = regexp.MustCompile(`^(\d+) +(pwrite64|ftruncate|fdatasync|fsync|write)\((\d+)(.*)$`)
	resumed   = regexp.MustCompile(`^(\d+) +<\.\.\. (fdatasync|fsync) resumed>.*= 0$`)
	writeArgs = regexp.MustCompile(`^, "((?:\\x[0-9a-f]{2})*)"(\.\.\.)?, (\d+)(?:, (\d+))?`)
)

// record runs the child under strace and returns what it did to the file.
func record(t *testing.T, strace, path string) (ops []op) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "strace")
	cmd := exec.Command(strace, "-f", "-xx", "-s", "4194304", "-e", "trace=pwrite64,ftruncate,fdatasync,fsync,write", "-e", "signal=none", "-o", log, os.Args[0])
	cmd.Env = append(os.Environ(), powerEnv+"="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("strace does not work here: %v\n%.300s", err, out)
	}
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		if o, ok := parseCall(t, lines.Text()); ok {
			ops = append(ops, o)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return ops
}

func parseCall(t *testing.T, line string) (o op, ok bool) {
	if resumed.MatchString(line) {
		return op{kind: opSync}, true
	}
	m := callLine.FindStringSubmatch(line)
	if m == nil {
		return o, false
	}
	switch name, fd, rest := m[2], m[3], m[4]; name {
	case "fdatasync", "fsync":
		return op{kind: opSync}, strings.HasSuffix(rest, "= 0") // else it is resumed later
	case "ftruncate":
		n, err := strconv.ParseInt(strings.FieldsFunc(rest, func(r rune) bool { return r < '0' || r > '9' })[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return op{kind: opTruncate, at: n}, true
	default:
		args := writeArgs.FindStringSubmatch(rest)
		if args == nil || name == "write" && fd != "1" {
			return o, false
		}
		data, err := hex.DecodeString(strings.ReplaceAll(args[1], `\x`, ""))
		if err != nil || args[2] != "" {
			t.Fatalf("a write was not recorded whole: %v", err)
		}
		if name == "write" {
			return op{kind: opSay, data: data}, true
		}
		at, err := strconv.ParseInt(args[4], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return op{kind: opWrite, at: at, data: data}, true
	}
}

// outage is one state a power cut may leave the file in.
type outage struct {
	what    string
	file    []byte
	acked   []uint64
	settled []uint64
}

// play goes through the recorded operations and gives the states each cut may
// leave, until give says it is enough. share of them are given.
func play(durable []byte, ops []op, give func(outage) bool, share float64, rnd *rand.Rand) {
	var window []op // since the last sync
	var acked, settled []uint64
	durable = append([]byte(nil), durable...)
	for i, o := range ops {
		switch o.kind {
		case opSync:
			for _, w := range window {
				durable = w.onto(durable)
			}
			window = nil
			continue
		case opSay:
			for line := range strings.Lines(string(o.data)) {
				var seq uint64
				if n, _ := fmt.Sscanf(line, "acked %d", &seq); n == 1 {
					acked = append(acked, seq)
				}
				if n, _ := fmt.Sscanf(line, "settled %d", &seq); n == 1 {
					settled = append(settled, seq)
				}
			}
			continue
		}
		window = append(window, o)
		for _, st := range cutsOf(durable, window, rnd, share) {
			st.what = fmt.Sprintf("cut after operation %d, %s", i, st.what)
			st.acked, st.settled = append([]uint64(nil), acked...), append([]uint64(nil), settled...)
			if !give(st) {
				return
			}
		}
	}
}

// cutsOf lists what may be on the disk of a window of writes that no sync followed.
func cutsOf(durable []byte, window []op, rnd *rand.Rand, share float64) (out []outage) {
	add := func(what string, keep func(k int, o op, file []byte) []byte) {
		if rnd.Float64() >= share {
			return
		}
		file := append([]byte(nil), durable...)
		for k, o := range window {
			file = keep(k, o, file)
		}
		out = append(out, outage{what: what, file: file})
	}
	whole := func(_ int, o op, file []byte) []byte { return o.onto(file) }
	none := func(_ int, _ op, file []byte) []byte { return file }
	add("all of it", whole)
	add("none of it", none)
	for n := range window {
		add(fmt.Sprintf("all but write %d", n), func(k int, o op, file []byte) []byte {
			if k == n {
				return file
			}
			return o.onto(file)
		})
		add(fmt.Sprintf("write %d alone", n), func(k int, o op, file []byte) []byte {
			if k == n {
				return o.onto(file)
			}
			return file
		})
		torn := rnd.Uint64()
		add(fmt.Sprintf("write %d torn, sectors %x", n, torn), func(k int, o op, file []byte) []byte {
			if k == n {
				return o.torn(file, torn)
			}
			return o.onto(file)
		})
	}
	return out
}

const sector = 512

func (o op) onto(file []byte) []byte {
	if o.kind == opTruncate {
		return resize(file, o.at)
	}
	if end := o.at + int64(len(o.data)); end > int64(len(file)) {
		file = resize(file, end)
	}
	copy(file[o.at:], o.data)
	return file
}

// torn applies those sectors of a write whose bit is set.
func (o op) torn(file []byte, bits uint64) []byte {
	if o.kind == opTruncate {
		return file
	}
	for n := 0; n*sector < len(o.data); n++ {
		if bits>>(n%64)&1 == 1 {
			part := op{at: o.at + int64(n*sector), data: o.data[n*sector : min((n+1)*sector, len(o.data))]}
			file = part.onto(file)
		}
	}
	return file
}

func resize(file []byte, n int64) []byte {
	if n <= int64(len(file)) {
		return file[:n]
	}
	return append(file, make([]byte, n-int64(len(file)))...)
}

// check opens the state as a starting bridge would.
func (st outage) check(path string) error {
	if err := os.WriteFile(path, st.file, 0o600); err != nil {
		return err
	}
	s, err := Open(Options{Path: path})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer s.Close()
	err = s.db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			return err
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	err = s.View(func(tx *Tx) error {
		for _, seq := range st.acked {
			if ev, err := tx.Event(seq); err != nil {
				return fmt.Errorf("acknowledged: %w", err)
			} else if ev.State == event.Pending && tx.Body(seq) == nil {
				return fmt.Errorf("event %d lost its body", seq)
			}
		}
		for _, seq := range st.settled {
			if ev, err := tx.Event(seq); err != nil || ev.State != event.Done {
				return fmt.Errorf("event %d is not settled any more: %v", seq, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// It goes on working, too.
	_, err = s.Append(context.Background(), incoming("after"))
	return err
}
