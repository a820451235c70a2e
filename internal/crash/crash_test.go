package crash_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/canary"
	"github.com/jivo-amocrm/bridge/internal/store"
)

var (
	kills = flag.Int("kills", 15, "how often the bridge is killed; half of the time at a named point")
	seed  = flag.Uint64("seed", 1, "of the moments and of what is sent")
)

// points are the moments that internal/crashpoint names.
var points = []string{"before-commit", "after-commit", "before-request", "after-request", "before-record"}

// N1 of reliability.md: a generator keeps what was answered 200 while the bridge
// is killed with SIGKILL at random moments and at every named point. In the end
// each acknowledged event has come to its end, and each intent stands in amoCRM
// exactly once.
func TestCrash_AckedIsNeverLostNorDoubled(t *testing.T) {
	f := newField(t)
	plain, armed := build(t), build(t, "-tags", "crash")
	rnd := rand.New(rand.NewPCG(*seed, 0))
	gen := newGenerator(f, *seed)
	ctx, stop := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	sending.Go(func() { gen.run(ctx) })
	at := map[string]int{}
	for n := 0; n < *kills; {
		point := ""
		if n%2 == 1 {
			point = points[n/2%len(points)]
		}
		long := n%15 == 14 // now and then it may catch up
		if killed, struck := f.life(rnd, plain, armed, point, long); killed {
			n++
			if !struck {
				point = "" // it never passed there often enough: a random moment
			}
			at[point]++
		}
		if n%50 == 0 {
			t.Logf("%d kills, %d events acknowledged, %d leads", n, gen.ackedCount(), len(f.amo.Leads()))
		}
	}
	stop()
	sending.Wait()
	f.drain(plain)
	f.verdict(gen, at)
}

// binaries are the builds of the real binary, by flags; TestMain removes them.
type binaries struct {
	dir string
	mu  sync.Mutex
	by  map[string]string
}

var built = &binaries{by: map[string]string{}}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "bridge-crash-")
	if err != nil {
		panic(err)
	}
	built.dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// build makes the real binary, once for each set of flags.
func build(t *testing.T, flags ...string) string {
	t.Helper()
	built.mu.Lock()
	defer built.mu.Unlock()
	key := fmt.Sprint(flags)
	if path := built.by[key]; path != "" {
		return path
	}
	path := filepath.Join(built.dir, fmt.Sprintf("bridge-%d", len(built.by)))
	cmd := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-o", path}, flags...), "../../cmd/bridge")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	built.by[key] = path
	return path
}

// life starts a bridge and kills it; it reports whether it came to that. With a
// point the bridge kills itself there (struck), or is killed when that takes too
// long.
func (f *field) life(rnd *rand.Rand, plain, armed, point string, long bool) (killed, struck bool) {
	bin, patience := plain, time.Duration(rnd.IntN(250))*time.Millisecond
	var env []string
	if point != "" {
		bin, patience = armed, 900*time.Millisecond
		passes := 25
		if strings.HasSuffix(point, "request") || point == "before-record" { // a life makes few writes: they go in groups
			passes = 4
		}
		env = append(env, fmt.Sprintf("BRIDGE_CRASH=%s:%d", point, 1+rnd.IntN(passes)))
	}
	if long {
		bin, patience, env = plain, 4*time.Second, nil
	}
	p := f.start(bin, env...)
	select {
	case <-p.up:
	case <-p.ended:
		return p.killed(f.t), true
	}
	select {
	case <-p.ended:
		return p.killed(f.t), true
	case <-time.After(patience):
		p.kill()
	}
	return p.killed(f.t), false
}

// process is one running bridge.
type process struct {
	cmd   *exec.Cmd
	up    chan struct{} // it listens
	ended chan struct{}
	log   string
}

func (f *field) start(bin string, env ...string) *process {
	return f.launch([]string{bin}, env)
}

// launch starts a bridge; command is the binary and what it runs under.
func (f *field) launch(command, env []string) *process {
	f.t.Helper()
	f.starts++
	p := &process{up: make(chan struct{}), ended: make(chan struct{}), log: filepath.Join(f.t.TempDir(), "log")}
	log, err := os.Create(p.log)
	if err != nil {
		f.t.Fatal(err)
	}
	p.cmd = exec.Command(command[0], append(command[1:], "run", "-c", f.config)...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // strace and the bridge under it end together
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		_ = log.Close()
		if raw, err := os.ReadFile(p.log); err == nil {
			f.seen.Scan("output of a bridge", canary.Anything, raw)
		}
		close(p.ended)
	}()
	go f.awaitUp(p)
	return p
}

// kill ends the process, and waits for that; it may have ended this instant.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.ended
}

// killed reports whether the process was ended by SIGKILL; any other end is a
// failure of the test.
func (p *process) killed(t *testing.T) bool {
	st, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if st.Signaled() && st.Signal() == syscall.SIGKILL {
		_ = os.Remove(p.log)
		return true
	}
	raw, _ := os.ReadFile(p.log)
	t.Fatalf("the bridge ended by itself: %v\n%s", p.cmd.ProcessState, raw)
	return false
}

// drain lets a bridge work until nothing is pending, and stops it in good order.
func (f *field) drain(bin string) {
	f.t.Helper()
	p := f.start(bin)
	deadline := time.After(10 * time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for f.pending() != 0 {
		select {
		case <-tick.C:
		case <-p.ended:
			f.t.Fatal("the bridge ended while it was to drain")
		case <-deadline:
			raw, _ := os.ReadFile(p.log)
			f.t.Fatalf("%d events still pending\n%s", f.pending(), raw[max(0, len(raw)-4000):])
		}
	}
	f.drained = time.Now()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(11 * time.Second):
		f.t.Fatal("SIGTERM did not end it")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		f.t.Errorf("exit %d after SIGTERM", code)
	}
}

// open reads the store the bridge left.
func (f *field) open() *store.Store {
	f.t.Helper()
	st, err := store.Open(store.Options{Path: filepath.Join(f.data, "bridge.db"), ReadOnly: true})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = st.Close() })
	return st
}
