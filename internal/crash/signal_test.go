package crash_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/emulator/site"
)

var eioStep = flag.Int("eiostep", 49, "how many syncs lie between two that fail; 1: every one of the first hundred")

// came waits for the end of a process.
func (p *process) came(t *testing.T, within time.Duration) (code int) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(within):
		p.kill()
		raw, _ := os.ReadFile(p.log)
		t.Fatalf("it did not end within %v\n%s", within, raw)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) ready(t *testing.T) {
	t.Helper()
	select {
	case <-p.up:
	case <-p.ended:
		raw, _ := os.ReadFile(p.log)
		t.Fatalf("it did not start: %v\n%s", p.cmd.ProcessState, raw)
	}
}

// SIGTERM while amoCRM does not answer: exit 0 within ten seconds; a second
// SIGTERM ends it at once. Nothing of what was acknowledged is lost either way.
func TestSignal_TermUnderLoad(t *testing.T) {
	bin := build(t)
	for _, twice := range []bool{false, true} {
		t.Run(fmt.Sprintf("twice=%v", twice), func(t *testing.T) {
			t.Parallel()
			f := newField(t)
			f.tune("timeout: 5s", "timeout: 30s") // requests are still on their way when the signal comes
			gen := newGenerator(f, *seed)
			p := f.start(bin)
			p.ready(t)
			hole := f.amo.Inject(emulator.Fault{Kind: emulator.Slow, PathPrefix: "/api/v4/leads/complex", Delay: time.Hour, Times: -1})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			var visiting sync.WaitGroup
			for n := 1; n <= 12; n++ {
				visiting.Go(func() { gen.visit(ctx, rand.New(rand.NewPCG(1, uint64(n))), n) })
			}
			visiting.Wait()
			began := time.Now()
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			if twice {
				select { // let the first one be seen
				case <-p.ended:
				case <-time.After(200 * time.Millisecond):
				}
				_ = p.cmd.Process.Signal(syscall.SIGTERM)
				if p.came(t, 2*time.Second); time.Since(began) > time.Second {
					t.Errorf("ended %v after the first", time.Since(began))
				}
			} else if code := p.came(t, 10*time.Second); code != 0 {
				t.Errorf("exit %d", code)
			}
			t.Logf("ended after %v", time.Since(began).Round(time.Millisecond))
			hole.Remove()
			f.tune("timeout: 30s", "timeout: 5s")
			f.drain(bin)
			f.verdict(gen, map[string]int{})
		})
	}
}

// A config that is wrong is refused on SIGHUP; the old one stays and the gauge
// says so.
func TestSignal_HupWithABadConfig(t *testing.T) {
	f := newField(t)
	gen := newGenerator(f, *seed)
	p := f.start(build(t))
	p.ready(t)
	good, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	hup := func(text []byte, want string) {
		t.Helper()
		if err := os.WriteFile(f.config, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = p.cmd.Process.Signal(syscall.SIGHUP)
		f.until("the gauge says "+want, 30*time.Second, func() bool { return strings.Contains(f.metrics(), want) })
		if !gen.post([]byte(`{"event_name":"created_status","status_id":1,"title":"x","position":` + want[len(want)-1:] + `}`)) {
			t.Error("an event was not taken")
		}
	}
	hup(append(good, "nonsense: true\n"...), "config_last_reload_successful 0")
	hup(good, "config_last_reload_successful 1")
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.came(t, 10*time.Second); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func (f *field) metrics() string {
	res, err := f.client.Get("http://" + f.admin + "/metrics")
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	var b bytes.Buffer
	_, _ = b.ReadFrom(res.Body) // what is missing is asked for again
	return b.String()
}

// tune changes the config for the next start.
func (f *field) tune(from, to string) {
	f.t.Helper()
	text, err := os.ReadFile(f.config)
	if err == nil {
		err = os.WriteFile(f.config, []byte(strings.Replace(string(text), from, to, 1)), 0o600)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// until polls.
func (f *field) until(what string, within time.Duration, ok func() bool) {
	f.t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			f.t.Fatalf("it did not come about: %s", what)
		}
	}
}

// A sync that fails: no 200 for its events, the process exits non-zero, and the
// next start finds everything that was acknowledged.
func TestDisk_SyncThatFailsEndsTheProcess(t *testing.T) {
	strace := tracer(t)
	plain, armed := build(t), build(t, "-tags", "crash")
	for n := 1; n <= 100; n += *eioStep {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			f := newField(t)
			gen := newGenerator(f, *seed)
			p := f.launch([]string{
				strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", fmt.Sprintf("inject=fdatasync:error=EIO:when=%d", n), armed,
			}, nil)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var visiting sync.WaitGroup
			for n := 1; n <= 12; n++ {
				visiting.Go(func() { gen.visit(ctx, rand.New(rand.NewPCG(*seed, uint64(n))), n) })
			}
			if code := p.came(t, 30*time.Second); code == 0 {
				t.Error("exit 0")
			}
			next := f.start(plain)
			visiting.Wait()
			next.kill()
			f.drain(plain)
			f.verdict(gen, map[string]int{})
		})
	}
}

// Syncs that take long delay answers and lose nothing.
func TestDisk_SlowSyncs(t *testing.T) {
	strace := tracer(t)
	f := newField(t)
	gen := newGenerator(f, *seed)
	p := f.launch([]string{strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_exit=100000", build(t)}, nil)
	p.ready(t)
	var visiting sync.WaitGroup
	for n := 1; n <= 3; n++ {
		visiting.Go(func() { gen.visit(t.Context(), rand.New(rand.NewPCG(*seed, uint64(n))), n) })
	}
	visiting.Wait()
	f.until("everything settled", time.Minute, func() bool { return f.pending() == 0 })
	p.kill()
	f.drain(build(t))
	f.verdict(gen, map[string]int{})
}

// A disk without room: 503 and an alarm, nothing half stored; with room again it
// goes on by itself.
func TestDisk_FullRecovers(t *testing.T) {
	f := onDiskOf(t, "24m")
	bin := build(t)
	gen := newGenerator(f, *seed)
	p := f.start(bin)
	p.ready(t)
	gen.visit(t.Context(), rand.New(rand.NewPCG(1, 1)), 1)
	ballast := filepath.Join(f.data, "ballast")
	fill(t, ballast)
	if got := f.status(site.NewVisitor(9, 900).Accepted()); got != http.StatusServiceUnavailable {
		t.Errorf("a full disk answers %d", got)
	}
	f.until("not ready", 5*time.Second, func() bool { status, _ := f.readiness(); return status == http.StatusServiceUnavailable })
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	f.until("events are taken again", 10*time.Second, func() bool { return f.status(site.NewVisitor(9, 901).Accepted()) == http.StatusOK })
	gen.visit(t.Context(), rand.New(rand.NewPCG(1, 2)), 2)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.came(t, 10*time.Second); code != 0 {
		t.Errorf("exit %d", code)
	}
	f.drain(bin)
	f.verdict(gen, map[string]int{})
}

// onDiskOf is a field whose data folder is a small disk of its own; without the
// right to mount one the test is skipped.
func onDiskOf(t *testing.T, size string) *field {
	t.Helper()
	f := newField(t)
	if err := os.MkdirAll(f.data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", f.data, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(f.data, syscall.MNT_DETACH) })
	return f
}

// fill takes all the room there is.
func fill(t *testing.T, path string) {
	t.Helper()
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for size := 1 << 20; size >= 512; {
		if _, err := w.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

func (f *field) status(body []byte) int {
	res, err := f.client.Post("http://"+f.public+"/jivo/shop/"+jivoSecret, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	return res.StatusCode
}

// tracer finds strace, or skips the test.
func tracer(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	if out, err := exec.Command(path, "-f", "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		t.Skipf("strace does not work here: %s", out)
	}
	return path
}
