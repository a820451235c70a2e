package app_test

import (
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"hash"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var simOverlay = flag.String("sim.overlay", "", "a folder to write the overlay for `go test -overlay` to that pins the interleaving of a seed")

// A seed fixes the plan; which of several ready goroutines, timers or cases of a
// select goes first is the runtime's choice, and it draws that from the system's
// randomness. An overlay over a few lines of the runtime (never of the product)
// has it draw from a source of the bubble's own instead, and takes away what
// depends on how fast the machine is: with one processor nothing is preempted,
// and a system call keeps its place. `make sim` builds the test so. The lines are
// looked for, not numbered: another version of Go that lacks one is refused.
func TestSim_Overlay(t *testing.T) {
	if *simOverlay == "" {
		t.Skip("-sim.overlay names no folder")
	}
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for file, edits := range runtimeEdits() {
		from := filepath.Join(strings.TrimSpace(string(root)), "src", "runtime", file)
		src, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		text := string(src)
		for _, e := range edits {
			if strings.Count(text, e[0]) != 1 {
				t.Fatalf("%s of %s has not the one %q that is to be changed", file, runtime.Version(), e[0])
			}
			text = strings.Replace(text, e[0], e[1], 1)
		}
		to := filepath.Join(*simOverlay, file)
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[from] = to
	}
	raw, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*simOverlay, "overlay.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// runtimeEdits are, by file of the runtime, lines and what stands in their place.
func runtimeEdits() map[string][][2]string {
	return map[string][][2]string{
		"synctest.go": {{"type synctestBubble struct {", "type synctestBubble struct {\n\tsimstate uint64 // of simrand"}},
		"select.go":   {{"j := cheaprandn(uint32(norder + 1))", "j := uint32(simrand() % uint64(norder+1))"}},
		"time.go":     {{"t.rand = cheaprand()", "t.rand = uint32(simrand())"}},
		"proc.go":     {{"func retake(now int64) uint32 {", "func retake(now int64) uint32 {\n\tif gomaxprocs == 1 {\n\t\treturn 0\n\t}"}},
		"sema.go":     {{"func internal_sync_nanotime() int64 {\n\treturn nanotime()", "func internal_sync_nanotime() int64 {\n\treturn 0"}}, // no mutex starves
		"rand.go": {
			{"if len(startupRand) >= 16 &&", "seed[0] = 1\n\tif true {\n\t} else if len(startupRand) >= 16 &&"},
			{"func rand() uint64 {", "func rand() uint64 {\n\tif getg().bubble != nil {\n\t\treturn simrand()\n\t}"},
			{"func rand32() uint32 {", `func simrand() uint64 {
	b := getg().bubble
	if b == nil {
		return uint64(cheaprand())
	}
	b.simstate += 0xa0761d6478bd642f
	hi, lo := math.Mul64(b.simstate, b.simstate^0xe7037ed1a0b428db)
	return hi ^ lo
}

//go:nosplit
func rand32() uint32 {`},
		},
	}
}

// pin draws as many random numbers as the seed says from the runtime's source:
// built as `make sim` builds it, that is where a bubble's choices come from.
func pin(seed uint64) {
	for range seed % 4096 {
		rand.Uint64()
	}
}

// trace is every request, answer and ending of a play, in order, as a digest.
type trace struct {
	mu   sync.Mutex
	sum  hash.Hash
	text []byte
	left []time.Time
}

// sent is told of requests and answers.
func (r *trace) sent(line string) {
	r.told(line)
	if !strings.Contains(line, ": ") {
		r.mu.Lock()
		r.left = append(r.left, time.Now())
		r.mu.Unlock()
	}
}

// most is the greatest number of requests in any sliding second of the bubble's time.
func (r *trace) most() (most int) {
	from := 0
	for i, at := range r.left {
		for at.Sub(r.left[from]) >= time.Second {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

func (r *trace) told(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sum == nil {
		r.sum = sha256.New()
	}
	fmt.Fprintln(r.sum, line)
	r.text = append(append(r.text, line...), '\n')
}

// end tells how a seed was played.
func (r *trace) end(t *testing.T, seed uint64, p played) {
	if r.sum == nil {
		r.sum = sha256.New()
	}
	t.Logf("seed %d: %s; trace %x", seed, p, r.sum.Sum(nil)[:8])
	if *simTrace == "" {
		return
	}
	f, err := os.OpenFile(*simTrace, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintf(f, "seed %d\n%s", seed, r.text)
}

// show logs the requests to the path a violation names.
func (r *trace) show(t *testing.T, violation string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	what, _, _ := strings.Cut(violation, ":")
	for line := range strings.Lines(string(r.text)) {
		if strings.Contains(line, what) {
			t.Log(line)
		}
	}
}

// eachAlone plays every seed in a process of its own: what seeds before it have
// left in caches and pools would change its choices. What a failing one says is
// shown; it says the same again with -sim.first SEED -sim.seeds 1.
func eachAlone(t *testing.T, first, seeds uint64) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-test.run", "^TestFault_Simulation$", "-test.v", "-sim.seeds", "1", "-sim.open=" + strconv.FormatBool(*simOpen), "-sim.dead=" + strconv.FormatBool(*simDead), "-sim.hand=" + strconv.FormatBool(*simHand)}
	var mu sync.Mutex
	var sum played
	var failed []uint64
	began, all := time.Now(), sync.WaitGroup{}
	next := make(chan uint64)
	for range runtime.NumCPU() {
		all.Go(func() {
			for seed := range next {
				cmd := exec.Command(self, append(args, "-sim.first", fmt.Sprint(seed))...)
				cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
				out, err := cmd.CombinedOutput()
				mu.Lock()
				if err != nil {
					failed = append(failed, seed)
					t.Errorf("seed %d: %v\n%s", seed, err, out)
				}
				sum.read(string(out))
				if n := sum.seeds + len(failed); n%250 == 0 {
					t.Logf("%d seeds, %d failed, after %v", n, len(failed), time.Since(began).Round(time.Second))
				}
				mu.Unlock()
			}
		})
	}
	for seed := first; seed < first+seeds; seed++ {
		next <- seed
	}
	close(next)
	all.Wait()
	t.Logf("%d seeds from %d on, %d of them failed %v, %v: %s", seeds, first, len(failed), failed, time.Since(began).Round(time.Second), sum)
}

// read adds what another process said of its seed.
func (p *played) read(out string) {
	_, line, ok := strings.Cut(out, "seeds from ")
	if !ok {
		return
	}
	var from uint64
	var o played
	var virtual string
	if _, err := fmt.Sscanf(line, "%d on: %d steps, %d kills, %d jumps of the clock, %d events taken, %d requests, %s of",
		&from, &o.steps, &o.kills, &o.jumps, &o.taken, &o.requests, &virtual); err != nil || o.steps == 0 {
		return
	}
	o.seeds = 1
	o.virtual, _ = time.ParseDuration(virtual)
	p.add(o)
}
