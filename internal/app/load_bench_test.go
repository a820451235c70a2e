package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/emulator/site"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// The benchmarks of this file measure the targets L1 to L3, L6 and L7 of docs/proof.md, each
// beside its own yardstick: `make load`. Run them with -benchtime 1x: one
// iteration is one whole measurement.

const (
	loadSecret  = "load-secret-0123456789"
	measureFor  = 10 * time.Second
	idleFor     = time.Minute
	knownPeople = 500
)

// bench is a bridge, the real binary in a process of its own, over an emulated
// account in this one.
type bench struct {
	b      *testing.B
	cmd    *exec.Cmd
	url    string
	admin  string
	client *http.Client
	start  time.Duration // until it was ready
}

func newBench(b *testing.B, data, wait string) *bench {
	b.Helper()
	bin := filepath.Join(b.TempDir(), "bridge")
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/bridge").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	amo := emulator.New(emulator.Options{Token: "load-token", Latency: 150 * time.Millisecond, FilterEnabled: true})
	srv := httptest.NewServer(amo)
	public, admin := freeAddr(b), freeAddr(b)
	text := fmt.Sprintf("listen: %s\ndata: %q\nlimits: {free_space: 16MiB}\nadmin: {listen: %q}\nconnections:\n  load:\n"+
		"    jivo: {secret: %s}\n    amocrm: {account: %q, token: load-token}\n    reply: {wait: %s}\n", public, data, admin, loadSecret, srv.URL, wait)
	path := filepath.Join(data, "load.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(bin, "run", "-c", path)
	var log bytes.Buffer
	cmd.Stderr = &log
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			b.Errorf("the bridge: %v\n%s", err, log.Bytes())
		}
		amo.Close()
		srv.Close()
	})
	w := &bench{b: b, cmd: cmd, url: "http://" + public + "/jivo/load/" + loadSecret, admin: "http://" + admin,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 512}, Timeout: time.Minute}}
	w.until(func() bool {
		res, err := w.client.Get(w.admin + "/readyz")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	w.start = time.Since(began)
	return w
}

func freeAddr(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (w *bench) post(body []byte) (time.Duration, error) {
	began := time.Now()
	res, err := w.client.Post(w.url, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0, err
	}
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %s", res.Status)
	}
	return time.Since(began), nil
}

// openLoop posts at a rate for a while; an event goes when it is due, however
// those before it fare, and its latency counts from then.
func (w *bench) openLoop(rate int, body func(i int) []byte) []time.Duration {
	w.b.Helper()
	total := rate * int(measureFor/time.Second)
	took := make([]time.Duration, total)
	bodies := make([][]byte, total)
	for i := range bodies {
		bodies[i] = body(i)
	}
	var wg sync.WaitGroup
	var failed sync.Map
	began := time.Now()
	for i := range total {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if d := time.Until(due); d > 0 {
			<-time.After(d)
		}
		wg.Go(func() {
			if _, err := w.post(bodies[i]); err != nil {
				failed.Store(i, err)
			}
			took[i] = time.Since(due)
		})
	}
	wg.Wait()
	failed.Range(func(i, err any) bool { w.b.Errorf("event %v: %v", i, err); return false })
	slices.Sort(took)
	return took
}

func at(sorted []time.Duration, percent float64) float64 {
	i := min(int(float64(len(sorted))*percent/100), len(sorted)-1)
	return float64(sorted[i].Microseconds()) / 1000
}

func report(b *testing.B, took []time.Duration) {
	b.ReportMetric(at(took, 50), "p50-ms")
	b.ReportMetric(at(took, 99), "p99-ms")
	b.ReportMetric(at(took, 100), "max-ms")
	b.ReportMetric(0, "ns/op")
}

// bareFsync is the yardstick: appending 4 KiB and syncing, on the same disk.
func bareFsync(b *testing.B, dir string) {
	b.Helper()
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	var took []time.Duration
	for range 500 {
		began := time.Now()
		if _, err := f.Write(page); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(at(took, 99), "fsync-p99-ms")
}

// rss is what the bridge alone holds.
func (w *bench) rss() {
	w.b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.cmd.Process.Pid))
	if err != nil {
		return // not Linux: no figure
	}
	for line := range bytes.Lines(raw) {
		var name string
		var kb float64
		if n, _ := fmt.Sscanf(string(line), "%s %f kB", &name, &kb); n == 2 && (name == "VmRSS:" || name == "RssAnon:" || name == "VmHWM:") {
			w.b.ReportMetric(kb/1024, strings.TrimSuffix(name, ":")+"-MiB")
		}
	}
}

// BenchmarkAck is L1: receive to answer for known clients.
func BenchmarkAck(b *testing.B) {
	for _, rate := range []int{200, 1000} {
		b.Run(fmt.Sprintf("rate=%d", rate), func(b *testing.B) {
			for b.Loop() {
				dir := b.TempDir()
				w := newBench(b, dir, "0s")
				bareFsync(b, dir)
				report(b, w.openLoop(rate, updates()))
				w.rss()
			}
		})
	}
}

// updates are visitors who say something new of themselves, in turn.
func updates() func(i int) []byte {
	visitors := people(knownPeople)
	return func(i int) []byte {
		return visitors[i%len(visitors)].Updated("", fmt.Sprintf("v%d-%d@example.com", i%len(visitors), i))
	}
}

func people(n int) []*site.Visitor {
	out := make([]*site.Visitor, n)
	for i := range out {
		out[i] = site.NewVisitor(3, i+1)
		out[i].Phone, _ = out[i].Contacts()
	}
	return out
}

// BenchmarkReply is L6: the reply with a card for a known client.
func BenchmarkReply(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		w := newBench(b, dir, "1500ms")
		visitors := people(100)
		for _, v := range visitors {
			if _, err := w.post(v.Accepted()); err != nil {
				b.Fatal(err)
			}
		}
		w.settle()
		bareFsync(b, dir)
		all, soon := w.replies("+Inf"), w.replies("0.01")
		report(b, w.openLoop(500, func(i int) []byte {
			v := visitors[i%len(visitors)]
			v.NewChat()
			return v.Accepted()
		}))
		// Seen from outside, the generator's own waiting for a processor counts too.
		b.ReportMetric(100*(w.replies("0.01")-soon)/(w.replies("+Inf")-all), "own-%-in-10ms")
	}
}

// replies is how many the bridge itself says it has given within a bound.
func (w *bench) replies(within string) (n float64) {
	w.b.Helper()
	series := fmt.Sprintf("\nbridge_reply_seconds_bucket{kind=\"chat_accepted\",le=%q} ", within)
	_, rest, found := strings.Cut(w.metrics(), series)
	if _, err := fmt.Sscan(rest, &n); !found || err != nil {
		w.b.Fatalf("no %s in the metrics", series)
	}
	return n
}

func (w *bench) metrics() string {
	w.b.Helper()
	res, err := w.client.Get(w.admin + "/metrics")
	if err != nil {
		w.b.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		w.b.Fatal(err)
	}
	return string(raw)
}

// BenchmarkIdle is L7: a bridge with nothing to do.
func BenchmarkIdle(b *testing.B) {
	for b.Loop() {
		w := newBench(b, b.TempDir(), "1500ms")
		b.ReportMetric(w.start.Seconds(), "start-s")
		before := w.cpu()
		<-time.After(idleFor)
		b.ReportMetric(100*(w.cpu()-before).Seconds()/idleFor.Seconds(), "cpu-%")
		w.rss()
		info, err := os.Stat(w.cmd.Path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/(1<<20), "binary-MiB")
		b.ReportMetric(0, "ns/op")
	}
}

// cpu is the time the bridge has computed so far, to a hundredth of a second.
func (w *bench) cpu() time.Duration {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.cmd.Process.Pid))
	if err != nil {
		return 0 // not Linux: no figure
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func (w *bench) settle() {
	w.until(func() bool {
		return strings.Contains(w.metrics(), "\nbridge_events{connection=\"load\",state=\"pending\"} 0\n")
	})
}

func (w *bench) until(done func() bool) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		<-tick.C
	}
}

// BenchmarkBurst is L2: ten thousand events as fast as they can be taken.
func BenchmarkBurst(b *testing.B) {
	for b.Loop() {
		w := newBench(b, b.TempDir(), "0s")
		var bodies [][]byte
		for _, v := range people(10_000) {
			bodies = append(bodies, v.Accepted())
		}
		began := time.Now()
		var wg sync.WaitGroup
		next := make(chan []byte)
		for range 128 {
			wg.Go(func() {
				for body := range next {
					if _, err := w.post(body); err != nil {
						b.Error(err)
					}
				}
			})
		}
		for _, body := range bodies {
			next <- body
		}
		close(next)
		wg.Wait()
		b.ReportMetric(time.Since(began).Seconds(), "seconds")
		b.ReportMetric(0, "ns/op")
		w.rss()
	}
}

// BenchmarkBigStore is L3: a million settled events and a hundred thousand
// clients, none of which are those that come now, change neither the start nor the
// ack noticeably. Its yardstick is an empty store right before.
func BenchmarkBigStore(b *testing.B) {
	for _, events := range []int{0, 1_000_000} {
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) {
			for b.Loop() {
				dir := b.TempDir()
				fill(b, filepath.Join(dir, app.StoreFile), events, events/10)
				w := newBench(b, dir, "0s")
				b.ReportMetric(w.start.Seconds(), "start-s")
				bareFsync(b, dir)
				report(b, w.openLoop(200, updates()))
				w.rss()
			}
		})
	}
}

// past is the number of a client who came before.
func past(i int) string { return fmt.Sprint(1_000_000 + i) }

func fill(b *testing.B, path string, events, clients int) {
	b.Helper()
	st, err := store.Open(store.Options{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	body, err := json.Marshal(map[string]any{"event_name": "chat_updated", "pad": string(bytes.Repeat([]byte("x"), 200))})
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now().Add(-time.Hour)
	var wg sync.WaitGroup
	work := make(chan int, 1024)
	for range 256 {
		wg.Go(func() {
			for i := range work {
				_, err := st.Append(context.Background(), event.Incoming{Body: body, Event: event.Event{
					Connection: "load", Source: event.Jivo, Kind: "chat_updated", Client: past(i % clients), ReceivedAt: now,
					State: event.Done, SettledAt: now,
				}})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range events {
		work <- i
	}
	close(work)
	wg.Wait()
	for from := 0; from < clients; from += 1000 {
		err := st.Update(context.Background(), func(tx *store.Tx) error {
			for i := from; i < from+1000; i++ {
				c := &event.Client{ID: past(i), Name: "x", Phones: []string{fmt.Sprintf("+7999%07d", i)}, ContactID: int64(i + 1)}
				if err := tx.PutClient("load", c); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
