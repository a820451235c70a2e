package app_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/canary"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// The tests of this file's harness run the whole bridge inside a synctest bubble:
// a real store, listeners over pipes and an emulated amoCRM behind an in-memory
// transport. Time is virtual, so the defaults of product.md are tested as they
// are: ten seconds of doubt, a minute between probes, a week of give_up.

// lab is one bridge and one emulated account in a bubble.
type lab struct {
	t    *testing.T
	set  labSetup
	amo  *emulator.Account
	wire *wire
	seen *canary.Watch
	app  *app.App
	text string
	dir  string
	door *pipes // the public listener of the running bridge
	desk *pipes // its admin listener
	stop func()
	end  error // how the last bridge ended

	secret string // of Jivo's door, where it is another one by now

	parsed map[string]*config.Config // by text, but for the data folder
	born   time.Time                 // when the running bridge was started

	mu   sync.Mutex
	life int // which bridge it is; a killed one answers nobody any more
}

type labSetup struct {
	amo     emulator.Options
	conn    string // lines of the connection
	amocrm  string // lines of its amocrm block
	top     string
	consent bool                            // somebody consents before it must be ready
	told    func(line string)               // of each request to amoCRM and of each answer, in order; may be nil
	killed  func(dir string)                // of what a kill left; may be nil
	log     io.Writer                       // takes the log too; may be nil
	between func(w *wire) http.RoundTripper // what stands before the wire; may be nil
}

// inLab runs test in a bubble with a bridge that is ready.
func inLab(t *testing.T, set labSetup, test func(l *lab)) {
	t.Helper()
	dir := inMemory(t)
	synctest.Test(t, func(t *testing.T) {
		o := set.amo
		o.Token = e2eToken
		if o.Latency == 0 {
			o.Latency = 100 * time.Millisecond
		}
		l := &lab{t: t, set: set, amo: emulator.New(o), dir: dir}
		defer l.amo.Close()
		l.seen = watched(t, l.amo)
		l.text = labConfig(set, dir)
		l.start()
		defer func() { l.stop() }()
		synctest.Wait()
		if set.consent {
			if err := l.app.Exchange(t.Context(), e2eName, l.amo.Grant()); err != nil {
				t.Fatal(err)
			}
		}
		l.ready()
		test(l)
		inspect(&http.Client{Transport: l.seen.Transport(&http.Transport{DialContext: l.desk.dial, DisableKeepAlives: true}), Timeout: time.Minute}, "http://desk", l.app.Store(), l.seen)
	})
}

// file is the running bridge's store.
func (l *lab) file() string { return filepath.Join(l.dir, app.StoreFile) }

func replaceOnce(s, from, to string) string { return strings.Replace(s, from, to, 1) }

// inMemory is a folder that needs no disk, where there is one: a sync is real
// time that a bubble cannot skip.
func inMemory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "bridge-lab-")
	if err != nil {
		return filepath.Join(t.TempDir(), "data")
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "data")
}

func labConfig(set labSetup, dir string) string {
	indent := func(s string, n int) string {
		s = strings.Trim(s, "\n")
		if s == "" {
			return ""
		}
		pad := strings.Repeat(" ", n)
		return pad + strings.ReplaceAll(s, "\n", "\n"+pad) + "\n"
	}
	return fmt.Sprintf(`listen: "127.0.0.1:1"
data: %q
limits: {free_space: 1MiB}
admin: {listen: "127.0.0.1:2"}
%sconnections:
  %s:
    jivo: {secret: %s}
    amocrm:
      account: http://127.0.0.1:3
      webhook_secret: %s
%s%s`, dir, set.top, e2eName, e2eSecret, e2eHook, indent(labAuth(set), 6), indent("language: ru\n"+set.conn, 4))
}

func labAuth(set labSetup) string {
	if strings.Contains(set.amocrm, "oauth:") {
		return set.amocrm
	}
	return "token: " + e2eToken + "\n" + set.amocrm
}

// start starts a bridge on the lab's config and store.
func (l *lab) start() {
	l.t.Helper()
	l.born = time.Now()
	cfg := l.config(l.text)
	l.wire = &wire{amo: l.amo, seen: l.seen, told: l.set.told}
	l.door, l.desk = newPipes(), newPipes()
	doors := []*pipes{l.door, l.desk}
	logs := shown(l.t)
	if l.set.log != nil {
		logs = append(logs, l.set.log)
	}
	out := http.RoundTripper(l.wire)
	if l.set.between != nil {
		out = l.set.between(l.wire)
	}
	a, err := app.New(cfg, app.Options{
		Version: "lab", Log: l.seen.Logger(logs...), Transport: out,
		Reload: func() (*config.Config, error) { return parse(l.text) },
		Listen: func(string) (net.Listener, error) {
			d := doors[0]
			doors = doors[1:]
			return d, nil
		},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.app = a
	a.ServeCommands()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx, nil) }()
	l.stop = sync.OnceFunc(func() {
		cancel()
		l.end = <-ran
		a.Close()
	})
}

func parse(text string) (*config.Config, error) {
	v := config.Vocabulary{Kinds: jivo.Kinds(), Schema: jivo.Schema}
	cfg, problems := config.Parse("lab.yaml", []byte(text), os.LookupEnv, os.ReadFile, v)
	if problems != nil {
		return nil, problems
	}
	return cfg, nil
}

func (l *lab) config(text string) *config.Config {
	l.t.Helper()
	key := strings.Replace(text, l.dir, "", 1) // the next life's folder changes nothing else
	if l.parsed[key] == nil {
		cfg, err := parse(text)
		if err != nil {
			l.t.Fatal(err)
		}
		l.parsed = map[string]*config.Config{key: cfg}
	}
	cfg := *l.parsed[key]
	cfg.Data = l.dir
	return &cfg
}

// restart stops the bridge in good order and starts it again after a while.
func (l *lab) restart(after time.Duration) {
	l.t.Helper()
	l.stop()
	time.Sleep(after)
	l.start()
}

// kill ends the bridge as SIGKILL does: from this moment on nothing of it
// reaches amoCRM or the disk. The next bridge, after a while, finds the file as it was.
func (l *lab) kill(after time.Duration) {
	l.t.Helper()
	synctest.Wait() // nothing is half written: a commit is no waiting
	l.mu.Lock()
	l.life++
	l.mu.Unlock()
	l.wire.cut()
	next := fmt.Sprintf("%s-%d", strings.SplitN(l.dir, "-life", 2)[0]+"-life", l.which())
	if err := os.CopyFS(next, os.DirFS(l.dir)); err != nil { // the store, and when requests left
		l.t.Fatal(err)
	}
	if l.set.killed != nil {
		l.set.killed(next)
	}
	l.stop() // it goes on writing to a file that nobody reads any more
	l.text = strings.Replace(l.text, l.dir, next, 1)
	l.dir = next
	time.Sleep(after)
	l.start()
}

// ready waits until the bridge can work.
func (l *lab) ready() {
	l.t.Helper()
	l.await("the bridge is ready", time.Hour, func() bool { return len(l.app.Ready(l.t.Context())) == 0 })
}

// await looks every second of virtual time until ok.
func (l *lab) await(what string, within time.Duration, ok func() bool) {
	l.t.Helper()
	for began := time.Now(); !ok(); time.Sleep(time.Second) {
		if time.Since(began) > within {
			l.dump()
			l.t.Fatalf("it did not come about within %v: %s", within, what)
		}
	}
}

// settle waits until nothing is pending.
func (l *lab) settle(within time.Duration) {
	l.t.Helper()
	l.await("everything settled", within, func() bool { return l.app.Store().Counts(e2eName).Pending == 0 })
}

// doorSecret is the secret Jivo uses, setSecret tells it another.
func (l *lab) doorSecret() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return cmp.Or(l.secret, e2eSecret)
}

func (l *lab) setSecret(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.secret = s
}

func (l *lab) which() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.life
}

// post sends a body as Jivo does and returns the status; 0: no answer.
func (l *lab) post(body []byte) int {
	status, _ := l.ask(body)
	return status
}

// ask is post with the reply.
func (l *lab) ask(body []byte) (status int, answer string) {
	life := l.which()
	c := &http.Client{Transport: l.seen.Transport(&http.Transport{DialContext: l.door.dial, DisableKeepAlives: true}), Timeout: time.Minute}
	res, err := c.Post("http://bridge/jivo/"+e2eName+"/"+l.doorSecret(), "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	raw, _ := io.ReadAll(res.Body) // the status says whether it was taken
	if life != l.which() {
		return 0, ""
	}
	return res.StatusCode, string(raw)
}

// tell posts bodies at the same time, each of which must be taken.
func (l *lab) tell(bodies ...[]byte) {
	l.t.Helper()
	var wg sync.WaitGroup
	for _, b := range bodies {
		wg.Go(func() {
			if got := l.post(b); got != http.StatusOK {
				l.t.Errorf("answered %d", got)
			}
		})
	}
	wg.Wait()
}

// events reads the whole journal, newest first.
func (l *lab) events(f store.Filter) (all []*event.Event) {
	l.t.Helper()
	f.Connection, f.Limit = e2eName, 1000
	err := l.app.Store().View(func(tx *store.Tx) error {
		for {
			evs, next, err := tx.Events(f)
			all = append(all, evs...)
			if err != nil || next == 0 {
				return err
			}
			f.Before = next
		}
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return all
}

func (l *lab) dump() {
	for i, ev := range l.events(store.Filter{}) {
		if i < 40 && (ev.State == event.Pending || ev.State == event.Dead) {
			l.t.Logf("seq %d %s %s %s %s next %v attempts %d", ev.Seq, ev.Kind, ev.State, ev.Reason, ev.Detail, ev.NextAt, ev.Attempts)
			for _, ch := range ev.Changes {
				l.t.Logf("    %s %s %s %s", ch.Key, ch.State, ch.Error, ch.Item)
			}
		}
	}
}

// verdict is what must be true in the end: nothing dead, nothing twice, nothing
// against amoCRM's rules.
func (l *lab) verdict() {
	l.t.Helper()
	for _, d := range l.amo.Doubles() {
		l.t.Errorf("twice in amoCRM: %s", d)
	}
	for _, d := range l.amo.TwinTasks() {
		l.t.Errorf("twice in amoCRM: %s", d)
	}
	if c := l.app.Store().Counts(e2eName); c.Dead+c.Pending+c.Parked > 0 {
		l.t.Errorf("left over: %+v", c)
		l.dump()
	}
	if r := l.amo.Report(); len(r.Violations) > 0 {
		l.t.Errorf("against amoCRM's rules: %q", r.Violations[:min(3, len(r.Violations))])
	}
}

// census says what stands in amoCRM, without ids and times.
func (l *lab) census() string {
	var lines []string
	name := map[string]string{}
	for _, c := range l.amo.Contacts() {
		name[fmt.Sprint("contacts", c.ID)] = c.Name
		lines = append(lines, fmt.Sprintf("contact %s %v %v company %v", c.Name, c.Values("PHONE"), c.Values("EMAIL"), c.CompanyID != 0))
	}
	for _, c := range l.amo.Companies() {
		lines = append(lines, "company "+c.Name)
	}
	for _, d := range l.amo.Leads() {
		name[fmt.Sprint("leads", d.ID)] = d.Name
		var with []string
		for _, c := range d.Contacts {
			with = append(with, name[fmt.Sprint("contacts", c.ID)])
		}
		lines = append(lines, fmt.Sprintf("lead %s %v of %q", d.Name, d.Price, with))
	}
	for _, n := range l.amo.AllNotes() {
		lines = append(lines, fmt.Sprintf("note %s on %s: %s%s %v", n.Type, name[fmt.Sprint(n.EntityType, n.EntityID)], n.Text(), n.Uniq(), n.Params["link"]))
	}
	for _, t := range l.amo.Tasks() {
		lines = append(lines, fmt.Sprintf("task on %s: %s %v", name[fmt.Sprint(t.EntityType, t.EntityID)], t.Text, t.Completed))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// wire carries the bridge's requests to the emulated account without a network.
type wire struct {
	amo  *emulator.Account
	seen *canary.Watch
	told func(string) // may be nil

	mu      sync.Mutex
	dead    bool
	refused error // what a dial ends with; nil: it succeeds
	sent    int   // requests that left
	waiting int   // of them, those whose answer is not back
}

var errCut = errors.New("the machine is gone")

// cut makes the wire dead: nothing goes out or comes in any more.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
}

// refuse has every dial end with err; nil ends that.
func (w *wire) refuse(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = err
}

func (w *wire) state() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.dead:
		return errCut
	case w.refused != nil:
		return w.refused
	}
	return nil
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := w.state(); err != nil || strings.HasSuffix(req.URL.Host, ":4") { // nobody listens there
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: cmp.Or(err, error(syscall.ECONNREFUSED))}
	}
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		_ = req.Body.Close()
	}
	w.seen.Request(req, body)
	w.count(1)
	defer w.count(-1)
	if w.told != nil {
		w.told(requestLine(req, body))
	}
	trace := httptrace.ContextClientTrace(req.Context())
	if trace != nil && trace.WroteHeaderField != nil {
		trace.WroteHeaderField("Host", []string{req.URL.Host})
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
	in := httptest.NewRequestWithContext(req.Context(), req.Method, req.URL.String(), bytes.NewReader(body))
	in.Header = req.Header.Clone()
	rec := httptest.NewRecorder()
	done := make(chan bool, 1)
	go func() {
		answered := false
		defer func() { _ = recover(); done <- answered }() // http.ErrAbortHandler: the connection is dropped
		w.amo.ServeHTTP(rec, in)
		answered = true
	}()
	select {
	case answered := <-done:
		if !answered || w.state() == errCut {
			return nil, io.ErrUnexpectedEOF
		}
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	if trace != nil && trace.GotFirstResponseByte != nil {
		trace.GotFirstResponseByte()
	}
	if w.told != nil {
		w.told(fmt.Sprintf("%s %s %s: %d", time.Now().Format(time.RFC3339Nano), req.Method, req.URL.Path, rec.Code))
	}
	return rec.Result(), nil
}

// pipes is a listener whose connections are pipes in memory.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{accept: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.accept <- theirs:
		return ours, nil
	case <-p.closed:
	case <-ctx.Done():
	}
	return nil, &net.OpError{Op: "dial", Net: "pipe", Err: net.ErrClosed}
}
