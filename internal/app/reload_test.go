package app_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/jivo"
)

// reloaded is a bridge whose account nobody answers for, with the config that the
// next reload reads.
type reloaded struct {
	t    *testing.T
	app  *app.App
	text string
	mu   sync.Mutex
	log  bytes.Buffer
}

// Write collects the log.
func (r *reloaded) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

func startReloaded(t *testing.T) *reloaded {
	t.Helper()
	t.Parallel()
	r := &reloaded{t: t, text: fmt.Sprintf(`listen: "127.0.0.1:0"
data: %q
limits: {free_space: 1MiB}
admin: {listen: "127.0.0.1:0"}
connections:
  shop:
    jivo: {secret: %s}
    amocrm: {account: "http://127.0.0.1:1", token: %s}
    reply: {wait: 0s}
`, filepath.Join(t.TempDir(), "data"), e2eSecret, e2eToken)}
	read := func() (*config.Config, error) {
		cfg, problems := config.Parse("reload.yaml", []byte(r.text), os.LookupEnv, os.ReadFile, config.Vocabulary{Kinds: jivo.Kinds(), Schema: jivo.Schema})
		if problems != nil {
			return nil, problems
		}
		return cfg, nil
	}
	cfg, err := read()
	if err != nil {
		t.Fatal(err)
	}
	r.app, err = app.New(cfg, app.Options{Version: "reload", Log: slog.New(slog.NewTextHandler(r, nil)), Reload: read})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- r.app.Run(ctx, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-ran; err != nil {
			t.Errorf("the bridge ended with %v", err)
		}
		r.app.Close()
	})
	if got := r.ask("/healthz", ""); !strings.HasPrefix(got, "200 ") {
		t.Fatalf("the bridge is not up: %s", got)
	}
	return r
}

// ask makes a request to the admin listener; with a body, to Jivo's door.
func (r *reloaded) ask(path, body string) string {
	r.t.Helper()
	var res *http.Response
	var err error
	if body == "" {
		res, err = http.Get("http://" + r.app.AdminAddr() + path)
	} else {
		res, err = http.Post("http://"+r.app.PublicAddr()+path, "application/json", strings.NewReader(body))
	}
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", res.StatusCode, text)
}

// reload takes a config over and returns what was logged meanwhile.
func (r *reloaded) reload(text string) string {
	r.t.Helper()
	r.text = text
	r.mu.Lock()
	r.log.Reset()
	r.mu.Unlock()
	r.app.Reload()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// A restart is needed for what differs from what the process started with, as
// long as it does: not for what was put back.
func TestReload_NeedsARestartForWhatDiffersFromTheStart(t *testing.T) {
	r := startReloaded(t)
	const needed = "takes a restart"
	good := r.text
	moved := strings.Replace(good, `listen: "127.0.0.1:0"`, `listen: "127.0.0.1:3"`, 1)
	for i, c := range []struct {
		text string
		want bool
	}{{good, false}, {moved, true}, {moved, true}, {good, false}} {
		said := r.reload(c.text)
		if !strings.Contains(said, "config reloaded") {
			t.Fatalf("reload %d: %s", i, said)
		}
		if strings.Contains(said, needed) != c.want {
			t.Errorf("reload %d: a restart is asked for: %t, want %t\n%s", i, !c.want, c.want, said)
		}
	}
}

// A refused config is told of where a person looks, until a good one is read; the
// old one stays in force, so the bridge is no less ready.
func TestReload_ARefusedConfigIsShown(t *testing.T) {
	r := startReloaded(t)
	good, ready := r.text, r.ask("/readyz", "")
	for n := 0; n < 10_000 && !strings.Contains(ready, "unreachable"); n++ {
		ready = r.ask("/readyz", "")
	}
	for _, c := range []struct {
		text  string
		shown bool
	}{{good, false}, {good + "    sweeep: 1m\n", true}, {good, false}} {
		r.reload(c.text)
		if page := r.ask("/", ""); strings.Contains(page, "reload.yaml:10:5: ") != c.shown {
			t.Errorf("the console tells of a refusal: %t, want %t", !c.shown, c.shown)
		}
		if gauge := fmt.Sprintf("\nbridge_config_last_reload_successful %d\n", map[bool]int{true: 0, false: 1}[c.shown]); !strings.Contains(r.ask("/metrics", ""), gauge) {
			t.Errorf("the metrics have no %s", gauge)
		}
		if got := r.ask("/readyz", ""); got != ready {
			t.Errorf("readyz: %s, was %s", got, ready)
		}
	}
}

// The queue of a connection that was removed stands still, and can be seen.
func TestReload_RemovedConnectionIsStillCounted(t *testing.T) {
	r := startReloaded(t)
	good := r.text
	if got := r.ask("/jivo/shop/"+e2eSecret, `{"event_name":"chat_accepted","chat_id":1,"visitor":{"number":"1","phone":"+79160000001"}}`); !strings.HasPrefix(got, "200 ") {
		t.Fatal(got)
	}
	const series = `bridge_events{connection="shop",state="pending"} 1`
	shows := func(when string, paused bool) {
		t.Helper()
		text := r.ask("/metrics", "")
		if !strings.Contains(text, series) {
			t.Errorf("%s: the metrics have no %s", when, series)
		}
		if strings.Contains(text, `bridge_amocrm_paused{connection="shop"`) != paused {
			t.Errorf("%s: the account's gauges are there: %t", when, !paused)
		}
	}
	shows("before", true)
	r.reload(strings.Replace(good, "  shop:", "  other:", 1))
	shows("while it is removed", false)
	r.reload(good)
	shows("after", true)
}

// slow is a way on which the writes of one account never come to an end by themselves,
// and another account's users are not told before told is closed.
type slow struct {
	http.RoundTripper
	told chan struct{}
}

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Host, ":3") && r.Method == http.MethodPost {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if strings.HasSuffix(r.URL.Host, ":5") && strings.HasSuffix(r.URL.Path, "/users") {
		<-s.told
	}
	return s.RoundTripper.RoundTrip(r)
}

// While a reload waits for an account to close, the old config is in force whole: the
// first dictionary of another account is taken up. The next reload finds what this one left.
func TestReload_ADictionaryMayComeWhileAnAccountCloses(t *testing.T) {
	var told chan struct{}
	slowed := func(w *wire) http.RoundTripper {
		told = make(chan struct{}) // of the bubble
		return slow{w, told}
	}
	inLab(t, labSetup{amocrm: "sweep: 3m\n", between: slowed}, func(l *lab) {
		with := func(sweep, rest string) string { return strings.Replace(l.text, "sweep: 3m", sweep, 1) + rest }
		mall := "  mall:\n    jivo: {secret: mall-secret-0123456789}\n    amocrm: {account: http://127.0.0.1:5, token: " + e2eToken + "}\n"
		others := "  other:\n    jivo: {secret: other-secret-0123456789}\n    amocrm: {account: http://127.0.0.1:6, token: " + e2eToken + "}\n"
		first, second := with("sweep: 4m", mall), with("sweep: 5m", others)
		l.text = with("sweep: 3m", mall)
		l.app.Reload()
		equal(t, "status", l.post(ivan().accepted()), http.StatusOK)
		time.Sleep(time.Second) // its write has left, and hangs

		var reload sync.WaitGroup
		l.text = first
		reload.Go(l.app.Reload)
		time.Sleep(time.Second)
		synctest.Wait()
		close(told)
		synctest.Wait()
		equal(t, "connections while the account closes", strings.Join(l.rows(), ", "), "shop false 1, mall false 0")
		reload.Wait()
		l.text = second
		l.app.Reload()
		equal(t, "connections", strings.Join(l.rows(), ", "), "shop false 1, other false 0, mall true 0")
		l.ready()
	})
}

// Nobody waits for the end of a pause whose account was replaced, and would keep all
// of the account with them.
func TestReload_NothingIsLeftOfAPausedAccountThatWasReplaced(t *testing.T) {
	inLab(t, labSetup{amocrm: "sweep: 3m\n"}, func(l *lab) {
		l.amo.SetUnpaid(2)
		l.post(ivan().accepted()) // finds out
		for n := range 3 {
			time.Sleep(2 * time.Minute)
			l.text = strings.Replace(l.text, fmt.Sprintf("sweep: %dm", n+3), fmt.Sprintf("sweep: %dm", n+4), 1)
			l.app.Reload()
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		all := make([]byte, 4<<20)
		waiting := strings.Count(string(all[:runtime.Stack(all, true)]), "app.(*App).kickWhenResumed(")
		if waiting != 1 {
			t.Errorf("%d wait for the end of a pause, of one account", waiting)
		}
		l.amo.SetUnpaid(0)
		l.settle(time.Hour)
	})
}

// The time that an event waits for its client is serving time: none goes by while its
// connection is out of the config, whatever process serves the others (product.md §2, §7).
func TestReload_WhatIsParkedWaitsForItsConnection(t *testing.T) {
	inLab(t, labSetup{conn: "park: 10m\n"}, func(l *lab) {
		task := `{"event_name":"created_task","task_id":5,"text":"call","status":"active","client":{"client_id":9},"agent":{"agent_id":1},"notify_ts":1795000000,"deal":{"deal_id":null}}`
		equal(t, "status", l.post([]byte(task)), http.StatusOK)
		parked := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			equal(t, "parked "+when, l.app.Store().Counts(e2eName).Parked, want)
		}
		with, without := l.text, strings.Replace(l.text, "\n  "+e2eName+":", "\n  other:", 1)
		time.Sleep(time.Minute)
		parked("at first", 1)
		l.text = without
		l.app.Reload()
		time.Sleep(24 * time.Hour)
		l.stop()
		l.start()
		time.Sleep(24 * time.Hour)
		l.text = with
		l.app.Reload()
		time.Sleep(8*time.Minute + 30*time.Second)
		parked("while its connection was served for less than park", 1)
		time.Sleep(time.Minute)
		parked("after park", 0)
	})
}

// A queue is seen though its account was never reached, and its connection's name is
// gone from the config with the next start (product.md §2).
func TestReload_AQueueWhoseAccountWasNeverReachedIsShown(t *testing.T) {
	inLab(t, labSetup{}, func(l *lab) {
		good := l.text
		l.text += "  new:\n    jivo: {secret: " + e2eSecret + "}\n    amocrm: {account: http://127.0.0.1:4, token: " + e2eToken + "}\n"
		l.app.Reload()
		c := &http.Client{Transport: &http.Transport{DialContext: l.door.dial, DisableKeepAlives: true}}
		res, err := c.Post("http://bridge/jivo/new/"+e2eSecret, "application/json", bytes.NewReader(ivan().accepted()))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		l.text = good
		l.stop()
		l.start()
		l.ready()
		equal(t, "connections", strings.Join(l.rows(), ", "), "shop false 0, new true 1")
	})
}
