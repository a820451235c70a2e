package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// The demo's secrets are no secrets: everything listens on loopback.
const (
	jivoSecret = "demo-secret-of-jivo-1"
	hookSecret = "demo-secret-of-amocrm-1"
	amoToken   = "demo-token"
)

// stage is the demo's world: an emulated amoCRM, a bridge, and their addresses.
type stage struct {
	amo    *emulator.Account
	amoSrv *http.Server
	app    *app.App
	public string // http://127.0.0.1:…
	far    string // the emulated account, likewise
	pace   int    // requests a second it allows
	syncs  bool   // the contact directory is read
	dir    string // removed at the end; "" if it is kept
	client *http.Client

	stop   context.CancelFunc
	ran    chan error
	mu     sync.Mutex
	posted int
	acks   []time.Duration
}

// openStage starts the emulator and the bridge.
func openStage(c Config) (s *stage, err error) {
	s = &stage{client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}, ran: make(chan error, 1), pace: c.Pace, syncs: !c.NoSync}
	data := c.Data
	if data == "" {
		if data, err = os.MkdirTemp("", "bridge-demo-"); err != nil {
			return nil, err
		}
		s.dir = data
	}
	latency := 40 * time.Millisecond
	if c.Visitors > 0 {
		latency = 150 * time.Millisecond
	}
	s.amo = emulator.New(emulator.Options{Token: amoToken, Latency: latency, FilterEnabled: true, IndexLag: 2 * time.Second, RPS: s.pace})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.amoSrv = &http.Server{Handler: s.amo, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.amoSrv.Serve(l) }() // ends with close

	cfg, problems := config.Parse("demo.yaml", []byte(bridgeConfig(l.Addr().String(), data, c)), os.LookupEnv, os.ReadFile, config.Vocabulary{Kinds: jivo.Kinds(), Schema: jivo.Schema})
	if problems != nil {
		return nil, problems
	}
	if s.app, err = app.New(cfg, app.Options{Version: c.Version, Log: c.Log}); err != nil {
		return nil, err
	}
	s.public, s.far = "http://"+s.app.PublicAddr(), "http://"+l.Addr().String()
	s.amo.Subscribe(s.hooks())
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() { s.ran <- s.app.Run(ctx, nil) }()
	return s, nil
}

// hooks is where amoCRM sends its hooks.
func (s *stage) hooks() string { return s.public + "/amocrm/demo/" + hookSecret }

func bridgeConfig(amo, data string, c Config) string {
	sync := "auto"
	if c.NoSync {
		sync = "off"
	}
	return fmt.Sprintf(`listen: "127.0.0.1:0"
data: %q
limits: {free_space: 16MiB}
admin: {listen: %q}
connections:
  demo:
    language: ru
    jivo: {secret: %s}
    amocrm:
      account: http://%s
      webhook_secret: %s
      token: %s
      requests_per_second: %d
      contacts_sync: %s
    agents: {"*": anna@example.com}
    deals:
      stages:
        "22": {pipeline: Продажи, stage: Переговоры}
`, data, c.Admin, jivoSecret, amo, hookSecret, amoToken, c.Pace, sync)
}

// close stops everything, the bridge first.
func (s *stage) close() {
	s.stop()
	<-s.ran
	s.app.Close()
	s.amo.Close()
	_ = s.amoSrv.Close()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// answer is what Jivo gets back, as far as the operator sees it.
type answer struct {
	Result     string `json:"result"`
	CRMLink    string `json:"crm_link"`
	CustomData []struct {
		Title   string `json:"title"`
		Content string `json:"content"`
	} `json:"custom_data"`
}

// item returns the content of the line with this title.
func (a answer) item(title string) string {
	for _, d := range a.CustomData {
		if d.Title == title {
			return d.Content
		}
	}
	return ""
}

// send posts one Jivo webhook and returns the reply.
func (s *stage) send(ctx context.Context, body []byte) (answer, error) {
	return s.sendAt(ctx, body, time.Now())
}

// sendAt is send, with the latency counted from when it was meant to go.
func (s *stage) sendAt(ctx context.Context, body []byte, meant time.Time) (a answer, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.public+"/jivo/demo/"+jivoSecret, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return a, err
	}
	s.mu.Lock()
	s.posted++
	s.acks = append(s.acks, time.Since(meant))
	s.mu.Unlock()
	if res.StatusCode != http.StatusOK {
		return a, fmt.Errorf("the bridge answered %s", res.Status)
	}
	return a, json.Unmarshal(raw, &a)
}

func (s *stage) jivoEvents() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.posted
}

// hookEvents counts the hooks in the journal.
func (s *stage) hookEvents() int { return s.count(store.Filter{Source: event.AmoCRM}) }

func (s *stage) count(f store.Filter) int {
	n := 0
	f.Connection, f.Limit = "demo", 1000
	for {
		var next uint64
		err := s.app.Store().View(func(tx *store.Tx) error {
			evs, more, err := tx.Events(f)
			n, next = n+len(evs), more
			return err
		})
		if err != nil || next == 0 {
			return n
		}
		f.Before = next
	}
}

// manager does something in amoCRM and waits until its hooks have arrived.
func (s *stage) manager(ctx context.Context, deed error) error {
	return errors.Join(deed, s.amo.FlushHooks(ctx))
}

// errNotSettled: the demo's time was up.
var errNotSettled = errors.New("not everything settled in time")

// calm waits until no event of Jivo's is pending any more; amoCRM's hooks, which
// come one after another, may take longer.
func (s *stage) calm(ctx context.Context, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for s.app.Store().Pending("demo") > 0 {
		var left []*event.Event
		_ = s.app.Store().View(func(tx *store.Tx) (err error) { // settle tells what went wrong
			left, _, err = tx.Events(store.Filter{Connection: "demo", Source: event.Jivo, State: event.Pending, Limit: 1})
			return err
		})
		if len(left) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// settle waits until nothing is pending any more, hooks included. It reports
// whether that came about in time.
func (s *stage) settle(ctx context.Context, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := s.amo.FlushHooks(ctx); err != nil {
			return false
		}
		if s.app.Store().Counts("demo").Pending == 0 {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// ready waits until the bridge can send, and knows the account's contacts.
func (s *stage) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for len(s.app.Ready(ctx)) > 0 || s.syncs && !s.app.Synced() {
		select {
		case <-ctx.Done():
			return errors.New("the bridge did not become ready")
		case <-tick.C:
		}
	}
	return nil
}
