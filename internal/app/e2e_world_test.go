package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/canary"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/jivo"
)

// These tests look at the bridge from outside: bodies go in over HTTP as Jivo
// sends them, a manager works in the emulated amoCRM, and what is there in the
// end, what the operator was answered and what the API tells is compared with
// product.md. They know nothing of the rooms inside.

// Names of the world's connection and its secrets; all of it is on loopback.
const (
	e2eName   = "shop"
	e2eSecret = "jivo-secret-0123456789"
	e2eHook   = "amocrm-secret-0123456789"
	e2eToken  = "long-lived-token"
)

// Ids of the emulated account's defaults.
const (
	stageFirst, stageTalks, stageDeciding int64 = 70000002, 70000003, 70000004
	pipeSales, pipeBulk                   int64 = 700001, 700002
	stageBulkFirst, stageBulkAgreed       int64 = 70000012, 70000013
	userAnna, userOwner                   int64 = 9001, 9002
)

// setup is what a scenario changes about its world.
type setup struct {
	amo emulator.Options
	// conn are more lines of the connection, amocrm of its amocrm block,
	// jivo of its jivo block; all are written without indentation.
	conn, amocrm, jivo string
	top                string // more lines of the config's top level
	noHooks            bool   // nothing is subscribed
	// between stands before the emulated account, if set.
	between    func(http.Handler) http.Handler
	keepAgents bool // conn has its own `agents`
	// expect what must not be there elsewhere.
	dead, parked int
	lost         bool   // a rule took something away on purpose
	refused      string // part of violations that cannot be helped: a dead id nobody told of
	moved        bool   // an operator tied a chat to another card: its token stands on both
}

// world is one emulated account with one bridge before it.
type world struct {
	t           *testing.T
	set         setup
	amo         *emulator.Account
	app         *app.App
	watch       *canary.Watch
	far         *httptest.Server // the emulated amoCRM
	pub, admin  string
	client      *http.Client
	closeBridge func()
	text        string // the config
}

// newWorld starts a world and, at the end of the test, settles it and has the
// referee speak.
func newWorld(t *testing.T, set setup) *world {
	t.Helper()
	t.Parallel()
	o := set.amo
	o.Token, o.RPS = e2eToken, 200
	if o.Latency == 0 {
		o.Latency = 2 * time.Millisecond
	}
	if o.IndexLag == 0 {
		o.IndexLag = 300 * time.Millisecond
	}
	w := &world{t: t, set: set, amo: emulator.New(o)}
	w.watch = watched(t, w.amo)
	w.client = &http.Client{Timeout: 20 * time.Second, Transport: w.watch.Transport(&http.Transport{MaxIdleConnsPerHost: 64})}
	far := http.Handler(w.amo)
	if set.between != nil {
		far = set.between(far)
	}
	w.far = httptest.NewServer(w.watch.Account(far))
	w.text = e2eConfig(set, w.far.URL, filepath.Join(t.TempDir(), "data"))
	w.start()
	t.Cleanup(w.finish)
	return w
}

// start starts a bridge on the world's config; the hooks of the account find it.
func (w *world) start() {
	w.t.Helper()
	v := config.Vocabulary{Kinds: jivo.Kinds(), Schema: jivo.Schema}
	cfg, problems := config.Parse("e2e.yaml", []byte(w.text), os.LookupEnv, os.ReadFile, v)
	if problems != nil {
		w.t.Fatalf("config: %v", problems)
	}
	a, err := app.New(cfg, app.Options{Version: "e2e", Log: w.watch.Logger(shown(w.t)...)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.app, w.pub, w.admin = a, "http://"+a.PublicAddr(), "http://"+a.AdminAddr()
	if !w.set.noHooks {
		for _, s := range w.amo.Subscriptions() {
			w.amo.Unsubscribe(s.Destination)
		}
		w.amo.Subscribe(w.hookURL())
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx, nil) }()
	w.closeBridge = sync.OnceFunc(func() {
		stop()
		if err := <-ran; err != nil {
			w.t.Errorf("the bridge ended with %v", err)
		}
		a.Close()
	})
	w.await("the bridge is ready", func() bool { return len(a.Ready(ctx)) == 0 })
}

func (w *world) hookURL() string { return w.pub + "/amocrm/" + e2eName + "/" + e2eHook }

func e2eConfig(set setup, far, data string) string {
	indent := func(s string, n int) string {
		s = strings.Trim(s, "\n")
		if s == "" {
			return ""
		}
		pad := strings.Repeat(" ", n)
		return pad + strings.ReplaceAll(s, "\n", "\n"+pad) + "\n"
	}
	agents := "agents: {agent1@gmail.com: anna@example.com, \"*\": owner@example.com}\n"
	if set.keepAgents {
		agents = ""
	}
	return fmt.Sprintf(`listen: "127.0.0.1:0"
data: %q
limits: {body: 256KiB, free_space: 1MiB}
admin: {listen: "127.0.0.1:0"}
%sconnections:
  %s:
    jivo:
      secret: %s
%s    amocrm:
      account: %s
      webhook_secret: %s
      token: %s
      requests_per_second: 190
      in_doubt_after: 300ms
      backoff: {first: 50ms, max: 200ms, give_up: 2s}
%s%s`, data, set.top, e2eName, e2eSecret, indent(set.jivo, 6), far, e2eHook, e2eToken, indent(set.amocrm, 6), indent("language: ru\n"+agents+set.conn, 4))
}

// finish settles the world and asks everybody whether all went well.
func (w *world) finish() {
	if w.t.Failed() {
		w.dump()
	} else {
		w.settle()
		w.verdict()
		inspect(w.client, w.admin, w.app.Store(), w.watch)
	}
	w.closeBridge()
	w.amo.Close()
	w.far.Close()
}

// verdict is what must be true of every world in the end.
func (w *world) verdict() {
	r := w.amo.Report()
	for _, v := range r.Violations {
		if w.set.refused != "" && strings.Contains(v, w.set.refused) {
			continue
		}
		w.t.Errorf("against amoCRM's rules: %s", v)
	}
	if !w.set.lost {
		for _, v := range r.Lost {
			w.t.Errorf("a write took away %s", v)
		}
	}
	for _, d := range w.amo.Doubles() {
		if w.set.moved && strings.Contains(d, " jv-") {
			continue
		}
		w.t.Errorf("twice in amoCRM: %s", d)
	}
	// The counts follow a commit that a reader sees before its fsync has ended.
	deadline := time.Now().Add(time.Second)
	c := w.app.Store().Counts(e2eName)
	for ; (c.Dead != w.set.dead || c.Parked != w.set.parked) && time.Now().Before(deadline); c = w.app.Store().Counts(e2eName) {
		ticks(w.t, 3)
	}
	if c.Dead != w.set.dead || c.Parked != w.set.parked {
		w.t.Errorf("%d events dead and %d parked, want %d and %d", c.Dead, c.Parked, w.set.dead, w.set.parked)
		w.dump()
	}
}

// dump shows what did not go as expected.
func (w *world) dump() {
	for _, e := range w.events("limit=40") {
		w.t.Logf("seq %d %s %s: %s %s %v", e.Seq, e.Source, e.Kind, e.State, e.Reason, e.Warnings)
		if e.State == "dead" || os.Getenv("E2E_LOG") != "" {
			w.t.Logf("    %s", w.raw("GET", w.admin+fmt.Sprintf("/api/v1/events/%d", e.Seq), ""))
		}
	}
}

// await polls until ok.
func (w *world) await(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			w.dump()
			w.t.Fatalf("it did not come about: %s", what)
		case <-tick.C:
		}
	}
}

// settle waits until every hook has arrived and nothing is pending.
func (w *world) settle() {
	w.t.Helper()
	w.await("everything settled", func() bool {
		w.hooksArrived()
		return w.app.Store().Counts(e2eName).Pending == 0
	})
}

func (w *world) hooksArrived() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := w.amo.FlushHooks(ctx); err != nil {
		w.t.Errorf("hooks: %v", err)
	}
}

// manager does something in amoCRM and lets its hooks arrive.
func (w *world) manager(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	w.hooksArrived()
}

// reply is what Jivo is answered.
type reply struct {
	Result      string                               `json:"result"`
	CRMLink     string                               `json:"crm_link"`
	CustomData  []map[string]string                  `json:"custom_data"`
	ContactInfo *struct{ Name, Phone, Email string } `json:"contact_info"`
	Assign      *bool                                `json:"enable_assign"`
	raw         string
}

// item is the content of the line with this title.
func (r reply) item(title string) string {
	for _, d := range r.CustomData {
		if d["title"] == title {
			return d["content"]
		}
	}
	return ""
}

// post sends bodies to /jivo/ one after another and returns the last reply;
// every one must be answered 200 with a JSON object.
func (w *world) post(bodies ...[]byte) (last reply) {
	w.t.Helper()
	for _, b := range bodies {
		res, err := w.client.Post(w.pub+"/jivo/"+e2eName+"/"+e2eSecret, "application/json", bytes.NewReader(b))
		if err != nil {
			w.t.Fatal(err)
		}
		raw, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			w.t.Fatalf("answered %s (%v)", res.Status, err)
		}
		last = reply{raw: string(raw)}
		if err := json.Unmarshal(raw, &last); err != nil {
			w.t.Fatalf("the reply is no JSON object: %s", raw)
		}
	}
	return last
}

// tell is post and settle.
func (w *world) tell(bodies ...[]byte) reply {
	w.t.Helper()
	r := w.post(bodies...)
	w.settle()
	return r
}

// raw makes a request and returns the body, with the status in front.
func (w *world) raw(method, url, body string, header ...string) string {
	w.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", res.StatusCode, b)
}

// api asks the admin listener and reads its JSON.
func (w *world) api(method, path, body string, to any) {
	w.t.Helper()
	got := w.raw(method, w.admin+path, body, "Content-Type", "application/json")
	status, text, _ := strings.Cut(got, " ")
	if status[0] != '2' {
		w.t.Fatalf("%s %s: %s", method, path, got)
	}
	if to == nil {
		return
	}
	if err := json.Unmarshal([]byte(text), to); err != nil {
		w.t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
}

// row is an event as the API tells it; the lower part comes with one event only.
type row struct {
	Seq                         uint64
	Source, Kind, State, Reason string
	Client, Connection          string
	Attempts                    int
	Warnings                    []string

	Detail        string
	Body          *string
	Coercions     []string
	Contact, Lead *struct {
		ID      int64
		By, Why string
		Created bool
	}
	Rules []struct {
		Rule    string
		Matched bool
		Why     string
	}
	Changes []struct {
		Op, Target, State string
		AmoID             int64 `json:"amocrm_id"`
	}
	Requests []struct {
		Method, Path string
		Status       int
		Seconds      float64
	}
}

// events lists events, newest first.
func (w *world) events(query string) []row {
	w.t.Helper()
	var page struct{ Events []row }
	w.api("GET", "/api/v1/events?"+query, "", &page)
	return page.Events
}

// last is the newest event of a kind, with everything the API tells.
func (w *world) last(kind string) row {
	w.t.Helper()
	list := w.events("limit=1&kind=" + kind)
	if len(list) == 0 {
		w.t.Fatalf("no event %s", kind)
	}
	var r row
	w.api("GET", fmt.Sprintf("/api/v1/events/%d", list[0].Seq), "", &r)
	return r
}

// ended requires the state and reason of the newest event of a kind.
func (w *world) ended(kind, state, reason string) row {
	w.t.Helper()
	r := w.last(kind)
	if r.State != state || r.Reason != reason {
		w.t.Errorf("%s is %s %q, want %s %q (%s)", kind, r.State, r.Reason, state, reason, r.Detail)
	}
	return r
}

// warned requires a warning that holds this text.
func (w *world) warned(r row, text string) {
	w.t.Helper()
	if !slices.ContainsFunc(r.Warnings, func(s string) bool { return strings.Contains(s, text) }) {
		w.t.Errorf("no warning with %q in %q", text, r.Warnings)
	}
}
