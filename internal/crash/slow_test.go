package crash_test

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator/site"
)

var fullStep = flag.Int("fullstep", 65, "how many writes of the file lie between two that find the disk full")

// under starts the bridge under strace with a fault on a system call of its.
func (f *field) under(strace, bin, call, fault string) *process {
	return f.launch([]string{strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", "inject=" + call + ":" + fault, bin}, nil)
}

// term sends SIGTERM to the bridge that runs under strace.
func (p *process) term(t *testing.T) {
	t.Helper()
	pid := p.cmd.Process.Pid
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	child, _ := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil || child == 0 {
		t.Fatalf("no bridge under strace: %q, %v", raw, err)
	}
	_ = syscall.Kill(child, syscall.SIGTERM)
}

// keep notes a body that was acknowledged.
func (g *generator) keep(body []byte, what string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.acked[sha256.Sum256(body)] = what
}

// readiness asks /readyz; 0 if it does not answer.
func (f *field) readiness() (status int, says string) {
	res, err := f.client.Get("http://" + f.admin + "/readyz")
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(b)
}

// ready waits until the bridge says it is.
func (f *field) ready(p *process) {
	f.t.Helper()
	defer func() {
		if f.t.Failed() {
			_, says := f.readiness()
			raw, _ := os.ReadFile(p.log)
			f.t.Logf("readiness: %s\n%s", says, raw[max(0, len(raw)-3000):])
		}
	}()
	f.until("ready", 20*time.Second, func() bool { status, _ := f.readiness(); return status == http.StatusOK })
}

// A disk whose every sync takes its time: answers come late and are 200, readiness
// is told all the while, nothing is lost or doubled, and SIGTERM is heeded within ten
// seconds, whatever commit is under way.
func TestDisk_SlowSyncsDelayAnswersOnly(t *testing.T) {
	strace, bin := tracer(t), build(t)
	const end = 10*time.Second + 3*time.Second // a sync that strace holds up is held up also for SIGKILL
	for _, each := range []time.Duration{300 * time.Millisecond, 3 * time.Second} {
		t.Run(each.String(), func(t *testing.T) {
			t.Parallel()
			f := newField(t)
			f.client.Timeout = time.Minute
			gen := newGenerator(f, *seed)
			p := f.under(strace, bin, "fdatasync", fmt.Sprintf("delay_enter=%d", each.Microseconds()))
			p.ready(t)
			f.until("ready", time.Minute, func() bool { status, _ := f.readiness(); return status == http.StatusOK })
			var visiting sync.WaitGroup
			for n := 1; n <= 6; n++ {
				visiting.Go(func() {
					body, began := visitor(n).Offline(fmt.Sprintf("Перезвоните мне %d!", n)), time.Now()
					if got := f.status(body); got != http.StatusOK {
						t.Errorf("answered %d after %v", got, time.Since(began))
						return
					}
					if took := time.Since(began); took < each {
						t.Errorf("answered after %v, before a sync can have ended", took)
					}
					gen.keep(body, fmt.Sprintf("the message of visitor %d", n))
					gen.expect(fmt.Sprintf("Перезвоните мне %d!", n), "note and task", true)
				})
			}
			told := make(chan struct{})
			go func() {
				defer close(told)
				for range 10 {
					if status, says := f.readiness(); status != http.StatusOK && status != http.StatusServiceUnavailable {
						t.Errorf("readiness: %d %s", status, says)
					}
				}
			}()
			visiting.Wait()
			<-told
			began := time.Now()
			p.term(t)
			if code := p.came(t, end); code != 0 {
				t.Errorf("exit %d", code)
			}
			t.Logf("ended %v after SIGTERM", time.Since(began).Round(time.Millisecond))
			f.drain(bin)
			f.verdict(gen, map[string]int{})
		})
	}
}

func visitor(n int) *site.Visitor {
	v := site.NewVisitor(*seed, n)
	v.Phone, v.Email = v.Contacts()
	return v
}

// The n-th write of the file finds no room: its events are not answered 200, the
// process lives on, and takes the next ones by itself.
func TestDisk_NoRoomForTheNthWrite(t *testing.T) {
	strace := tracer(t)
	plain, armed := build(t), build(t, "-tags", "crash") // armed: its writes come from one thread
	start := writesOfAStart(t, strace, armed)
	for n := 5; n <= 200; n += *fullStep {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			f := newField(t)
			gen := newGenerator(f, *seed)
			p := f.under(strace, armed, "pwrite64", fmt.Sprintf("error=ENOSPC:when=%d", start+n))
			p.ready(t)
			f.ready(p)
			var visiting sync.WaitGroup
			for n := 1; n <= 12; n++ {
				visiting.Go(func() { gen.visit(t.Context(), rand.New(rand.NewPCG(*seed, uint64(n))), n) })
			}
			visiting.Wait()
			f.until("events are taken", 15*time.Second, func() bool { return f.status(visitor(99).Accepted()) == http.StatusOK })
			f.ready(p)
			raw, _ := os.ReadFile(p.log)
			if !strings.Contains(string(raw), "the disk is full") {
				t.Error("no alarm in the log")
			}
			p.term(t)
			if code := p.came(t, 10*time.Second); code != 0 {
				t.Errorf("exit %d", code)
			}
			f.drain(plain)
			f.verdict(gen, map[string]int{})
		})
	}
}

// writesOfAStart is how often a bridge writes to its file before it is ready and
// has nothing to do.
func writesOfAStart(t *testing.T, strace, bin string) int {
	f := newField(t)
	calls := filepath.Join(t.TempDir(), "calls")
	p := f.launch([]string{strace, "-f", "-qq", "-o", calls, "-e", "trace=pwrite64", bin}, nil)
	p.ready(t)
	f.ready(p)
	f.until("it is quiet", 10*time.Second, func() bool { return f.pending() == 0 })
	p.kill()
	raw, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(raw, []byte("pwrite64("))
}

// A disk of 4 MiB runs full with Jivo's events, and then to the last byte: what was
// answered 200 is there, the rest was answered 503 and the alarm is on; amoCRM is
// not asked over and over for what cannot be written down. When the disk grows,
// events are taken again without anybody's help.
func TestDisk_OfFourMegabytesFillsUp(t *testing.T) {
	f := onDiskOf(t, "4m")
	bin := build(t)
	gen := newGenerator(f, *seed)
	p := f.start(bin)
	p.ready(t)
	full := false
	for n := 1; n < 400 && !full; n++ {
		body := visitor(n).Offline(fmt.Sprintf("Вопрос %d! %s", n, strings.Repeat("очень длинный ", 1500)))
		switch got := f.status(body); got {
		case http.StatusOK:
			gen.keep(body, fmt.Sprintf("the message of visitor %d", n))
		case http.StatusServiceUnavailable:
			full = true
		default:
			t.Fatalf("answered %d", got)
		}
	}
	if !full {
		t.Fatal("the disk did not fill up")
	}
	fill(t, filepath.Join(f.data, "ballast"))
	defer func() {
		if t.Failed() {
			status, says := f.readiness()
			raw, _ := os.ReadFile(p.log)
			t.Logf("readiness %d %s\n%s", status, says, raw[max(0, len(raw)-3000):])
		}
	}()
	f.until("not ready", 15*time.Second, func() bool { status, _ := f.readiness(); return status == http.StatusServiceUnavailable })
	if raw, _ := os.ReadFile(p.log); !strings.Contains(string(raw), "ERR") {
		t.Error("no alarm in the log")
	}
	<-time.After(12 * time.Second) // long enough to be asked too often
	if err := syscall.Mount("tmpfs", f.data, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	f.until("events are taken again", 15*time.Second, func() bool { return f.status(visitor(900).Accepted()) == http.StatusOK })
	f.ready(p)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.came(t, 10*time.Second); code != 0 {
		t.Errorf("exit %d", code)
	}
	f.drain(bin)
	f.verdict(gen, map[string]int{})
}
