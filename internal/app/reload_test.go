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
	"strings"
	"sync"
	"testing"

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
