package crash_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/canary"
	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/emulator/site"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

const (
	jivoSecret = "jivo-secret-0123456789"
	hookSecret = "amocrm-secret-0123456789"
	token      = "long-lived-token"
)

// field is the world that outlives the bridge: the emulated account, the config
// and the addresses.
type field struct {
	t             *testing.T
	amo           *emulator.Account
	config, data  string
	public, admin string
	client        *http.Client
	seen          *canary.Watch
	starts        int
	drained       time.Time // nothing was pending; a hook may still come before the end
}

func newField(t *testing.T) *field {
	t.Helper()
	seen := canary.New(t)
	seen.Add(canary.Secret, jivoSecret, hookSecret)
	seen.Add(canary.Token, token)
	f := &field{
		t: t, seen: seen,
		amo:    emulator.New(emulator.Options{Token: token, RPS: -1, Latency: 10 * time.Millisecond, IndexLag: 2 * time.Second, Seed: *seed}),
		data:   filepath.Join(t.TempDir(), "data"),
		public: free(t), admin: free(t), client: &http.Client{Timeout: 5 * time.Second, Transport: seen.Transport(&http.Transport{MaxIdleConnsPerHost: 32})},
	}
	far := httptest.NewServer(seen.Account(f.amo))
	t.Cleanup(func() { f.amo.Close(); far.Close() })
	f.amo.Subscribe("http://" + f.public + "/amocrm/shop/" + hookSecret)
	f.config = filepath.Join(t.TempDir(), "config.yaml")
	text := fmt.Sprintf(`listen: %q
data: %q
limits: {free_space: 1MiB}
admin: {listen: %q}
log: {level: debug}
connections:
  shop:
    language: ru
    jivo: {secret: %s}
    amocrm:
      account: %s
      webhook_secret: %s
      token: %s
      requests_per_second: 60
      timeout: 5s
      probe: 200ms
      in_doubt_after: 200ms
      backoff: {first: 50ms, max: 1s}
    agents: {"*": anna@example.com}
    reply: {wait: 50ms}
`, f.public, f.data, f.admin, jivoSecret, far.URL, hookSecret, token)
	if err := os.WriteFile(f.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// free is an address nobody listens on, below the ports that the system gives
// to outgoing connections: it must still be free after every kill.
func free(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 12000+rand.IntN(18000)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

// awaitUp closes p.up when the bridge listens.
func (f *field) awaitUp(p *process) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("tcp", f.public); err == nil {
			_ = c.Close()
			close(p.up)
			return
		}
		select {
		case <-p.ended:
			return
		case <-tick.C:
		}
	}
}

// pending asks the admin listener; -1 while it does not answer.
func (f *field) pending() int {
	res, err := f.client.Get("http://" + f.admin + "/api/v1/connections")
	if err != nil {
		return -1
	}
	defer res.Body.Close()
	var got struct {
		Connections []struct{ Pending, Parked int }
	}
	if json.NewDecoder(res.Body).Decode(&got) != nil || len(got.Connections) != 1 {
		return -1
	}
	return got.Connections[0].Pending + got.Connections[0].Parked
}

// generator plays visitors, whatever happens to the bridge, and keeps what was
// acknowledged.
type generator struct {
	f   *field
	rnd *rand.Rand

	mu    sync.Mutex
	acked map[[32]byte]string // body → what it was
	sure  map[string]bool     // unique text → it was acknowledged; false: perhaps taken
	shows map[string]string   // unique text → what must stand in amoCRM once
	chats map[int]bool        // visitor → its chat_accepted was acknowledged
}

func newGenerator(f *field, seed uint64) *generator {
	return &generator{
		f: f, rnd: rand.New(rand.NewPCG(seed, 1)), acked: map[[32]byte]string{}, sure: map[string]bool{}, shows: map[string]string{}, chats: map[int]bool{},
	}
}

func (g *generator) ackedCount() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.acked)
}

// aheadMost is how many visitors may come whose leads are not made yet.
const aheadMost = 25

// told is how many visitors' chats were acknowledged.
func (g *generator) told() (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, ok := range g.chats {
		if ok {
			n++
		}
	}
	return n
}

// run starts a visitor every now and then until ctx ends.
func (g *generator) run(ctx context.Context) {
	var visiting sync.WaitGroup
	defer visiting.Wait()
	tick := time.NewTicker(60 * time.Millisecond)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if g.told()-len(g.f.amo.Leads()) > aheadMost {
			n-- // it does not get round to more
			continue
		}
		rnd := rand.New(rand.NewPCG(g.rnd.Uint64(), uint64(n)))
		visiting.Go(func() { g.visit(ctx, rnd, n) })
	}
}

// visit is one visitor's story. What is not acknowledged is sometimes sent
// again, as by a person who presses the button twice, and sometimes given up.
func (g *generator) visit(ctx context.Context, rnd *rand.Rand, n int) {
	v := site.NewVisitor(*seed, n)
	v.Phone, v.Email = v.Contacts()
	told := g.send(ctx, rnd, v.Accepted(), fmt.Sprintf("chat_accepted of %d", n))
	g.mu.Lock()
	g.chats[n] = told
	g.mu.Unlock()
	switch rnd.IntN(4) {
	case 0:
		text := fmt.Sprintf("Перезвоните мне %d!", n)
		g.expect(text, "note and task", g.send(ctx, rnd, v.Offline(text), "offline_message of "+text))
	case 1:
		bodies := v.Call("incoming", true)
		all := true
		for i, b := range bodies {
			all = g.send(ctx, rnd, b, fmt.Sprintf("call_event %d of %d", i, n)) && all
		}
		g.expect(fmt.Sprintf("jv-%d-1", v.Chat), "call", all)
	case 2:
		g.send(ctx, rnd, v.Updated("", ""), fmt.Sprintf("chat_updated of %d", n))
	}
	text := fmt.Sprintf("Вопрос номер %d!", n)
	v.Say(text, "Сейчас посмотрю")
	g.expect(text, "transcript", g.send(ctx, rnd, v.Finished("", false), "chat_finished of "+text))
}

func (g *generator) expect(text, what string, sure bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shows[text], g.sure[text] = what, sure
}

// send posts a body until it is acknowledged or given up.
func (g *generator) send(ctx context.Context, rnd *rand.Rand, body []byte, what string) bool {
	for {
		if g.post(body) {
			g.mu.Lock()
			g.acked[sha256.Sum256(body)] = what
			g.mu.Unlock()
			if rnd.IntN(10) == 0 {
				g.post(body) // a repeat
			}
			return true
		}
		if rnd.IntN(3) == 0 {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(time.Duration(20+rnd.IntN(300)) * time.Millisecond):
		}
	}
}

func (g *generator) post(body []byte) bool {
	res, err := g.f.client.Post("http://"+g.f.public+"/jivo/shop/"+jivoSecret, "application/json", bytes.NewReader(body))
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// verdict compares what was acknowledged with the journal, and what must stand
// in amoCRM with what stands there.
func (f *field) verdict(g *generator, at map[string]int) {
	f.t.Helper()
	lost, dead := f.journal(g)
	f.account(g)
	for _, d := range slices.Concat(f.amo.Doubles(), f.amo.TwinTasks()) {
		f.t.Errorf("doubled: %s", d)
	}
	r := f.amo.Report()
	r.Violations = slices.DeleteFunc(r.Violations, ownDoing)
	for _, v := range r.Violations[:min(len(r.Violations), 5)] {
		f.t.Errorf("against amoCRM's rules: %s", v)
	}
	total := 0
	for _, n := range at {
		total += n
	}
	f.t.Logf("%d kills (random %d, %v), %d starts; %d events acknowledged, %d lost, %d dead; %d leads, %d notes, %d tasks, %d doubled; %d requests",
		total, at[""], named(at), f.starts, len(g.acked), lost, dead, len(f.amo.Leads()), len(f.amo.AllNotes()), len(f.amo.Tasks()),
		len(f.amo.Doubles())+len(f.amo.TwinTasks()), r.Requests)
}

// ownDoing is what the kills themselves bring about: a bridge that is started
// twice a second reads its dictionary, and what changed of the contacts, twice a second
// (deploy/systemd waits two between them), and with an in_doubt_after of 200 ms looks for each note that a kill left in doubt twice in each of these lives,
// among the notes of its lead. (The default is 10 s.)
func ownDoing(violation string) bool {
	return strings.Contains(violation, "read over") && slices.ContainsFunc(
		[]string{"/account", "/pipelines", "/users", "/custom_fields", "/loss_reasons", "/webhooks", "/notes", "/api/v4/contacts"},
		func(path string) bool { return strings.Contains(violation, path+":") })
}

func named(at map[string]int) (out []string) {
	for _, p := range slices.Sorted(maps.Keys(at)) {
		if p != "" {
			out = append(out, fmt.Sprintf("%s %d", p, at[p]))
		}
	}
	return out
}

// journal requires every acknowledged event to have come to its end.
func (f *field) journal(g *generator) (lost, dead int) {
	left := maps.Clone(g.acked)
	filter := store.Filter{Connection: "shop", Limit: 500}
	err := f.open().View(func(tx *store.Tx) error {
		for {
			evs, next, err := tx.Events(filter)
			if err != nil {
				return err
			}
			for _, ev := range evs {
				delete(left, sha256.Sum256(tx.Body(ev.Seq)))
				switch {
				case ev.Source == event.AmoCRM && ev.ReceivedAt.After(f.drained.Add(-time.Second)):
				case !ev.State.Settled():
					f.t.Errorf("event %d (%s) is %s", ev.Seq, ev.Kind, ev.State)
				case ev.State == event.Dead:
					dead++
					f.t.Errorf("event %d (%s) is dead: %s %s", ev.Seq, ev.Kind, ev.Reason, ev.Detail)
				}
			}
			if next == 0 {
				return nil
			}
			filter.Before = next
		}
	})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, what := range left {
		f.t.Errorf("lost: %s", what)
	}
	return len(left), dead
}

// account requires every intent that was acknowledged to stand in amoCRM once,
// and every other at most once.
func (f *field) account(g *generator) {
	leads, notes, tasks := map[string]int{}, map[string]int{}, map[int64]int{}
	for _, l := range f.amo.Leads() {
		for token := range strings.FieldsSeq(l.Value("Jivo ID")) {
			leads[token]++
		}
	}
	for _, t := range f.amo.Tasks() {
		tasks[t.EntityID]++
	}
	all := f.amo.AllNotes()
	for text, what := range g.shows {
		n := 0
		for _, note := range all {
			if !strings.Contains(note.Text(), text) && note.Uniq() != text {
				continue
			}
			n++
			if what == "note and task" && tasks[note.EntityID] != 1 {
				f.t.Errorf("%s: %d tasks", text, tasks[note.EntityID])
			}
		}
		notes[what] += n
		if n > 1 || g.sure[text] && n != 1 {
			f.t.Errorf("%s %q stands %d times (acknowledged: %v)", what, text, n, g.sure[text])
		}
	}
	for n, told := range g.chats {
		if got := leads[fmt.Sprintf("jv-c%d@shop", n)]; got > 1 || told && got != 1 {
			f.t.Errorf("visitor %d has %d leads", n, got)
		}
	}
}
