package intake

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jivo-amocrm/bridge/internal/canary"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakes are all rooms around the listener; they note what reached them.
type fakes struct {
	mu     sync.Mutex
	stored []event.Incoming
	ctxErr error // of the context Append was given, after it "committed"

	appendErr   error
	appended    store.Appended
	commit      time.Duration
	panicsAt    string // journal, reply, hook
	pending     map[string]int
	reply       jivo.Reply
	replies     []replyCall
	onReply     func(ctx context.Context)
	hookErr     error
	callback    int
	callbackFor string
	query       url.Values

	received, refused []string
	settled           []string
	acked, replied    []string
	logs              bytes.Buffer
}

type replyCall struct {
	connection string
	seq        uint64
	repeat     bool
	deadline   time.Time
}

func (f *fakes) Append(ctx context.Context, in event.Incoming) (store.Appended, error) {
	if f.panicsAt == "journal" {
		panic("+79991234567")
	}
	time.Sleep(f.commit)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ctxErr = ctx.Err()
	if f.appendErr != nil {
		return store.Appended{}, f.appendErr
	}
	f.stored = append(f.stored, in)
	a := f.appended
	if a.Seq == 0 {
		a.Seq = uint64(len(f.stored))
	}
	return a, nil
}

func (f *fakes) Pending(connection string) int { return f.pending[connection] }

func (f *fakes) Reply(ctx context.Context, connection string, _ *jivo.Message, seq uint64, repeat bool) jivo.Reply {
	deadline, _ := ctx.Deadline()
	f.replies = append(f.replies, replyCall{connection, seq, repeat, deadline})
	if f.panicsAt == "reply" {
		panic("+79991234567")
	}
	if f.onReply != nil {
		f.onReply(ctx)
	}
	return f.reply
}

func (f *fakes) hookKind(contentType string, body []byte) (string, error) {
	if f.panicsAt == "hook" {
		panic("+79991234567")
	}
	if f.hookErr != nil {
		return "", f.hookErr
	}
	if contentType != "application/x-www-form-urlencoded" || len(body) == 0 {
		return "other", nil
	}
	return "leads.status", nil
}

func (f *fakes) Callback(_ context.Context, connection string, q url.Values) (int, string) {
	f.callbackFor, f.query = connection, q
	return f.callback, "The account is connected."
}

func (f *fakes) Received(connection string, source event.Source, kind string) {
	f.received = append(f.received, connection+" "+string(source)+" "+kind)
}

func (f *fakes) Settled(connection string, source event.Source, kind string, state event.State, seconds float64) {
	if seconds < 0 {
		kind += " in the past"
	}
	f.settled = append(f.settled, connection+" "+string(source)+" "+kind+" "+string(state))
}

func (f *fakes) Refused(connection string, source event.Source, why string) {
	f.refused = append(f.refused, connection+" "+string(source)+" "+why)
}

func (f *fakes) Acked(source event.Source, _ time.Duration) {
	f.acked = append(f.acked, string(source))
}
func (f *fakes) Replied(kind string, _ time.Duration) { f.replied = append(f.replied, kind) }

const (
	jivoSecret = "jivo-secret-0123456789"
	jivoOld    = "jivo-old-secret-012345"
	amoSecret  = "amo/secret+%0123456789"
	jivoPath   = "/jivo/shop/" + jivoSecret
	bodyLimit  = 4096
)

var amoPath = "/amocrm/shop/" + url.PathEscape(amoSecret)

const accepted = `{"event_name":"chat_accepted","widget_id":"3948","visitor":{"name":"Иван","number":"2198","phone":"+79991234567"},"chat_id":10507,"agent":{"id":"2016","email":"agent1@gmail.com"}}`

func listen(t *testing.T, f *fakes) *Server {
	t.Helper()
	seen := canary.New(t)
	seen.Add(canary.Secret, jivoSecret, jivoOld, amoSecret)
	seen.Learn([]byte(accepted))
	s := New(Config{Body: bodyLimit, Backlog: 100}, Deps{
		Journal: f, Pending: f.Pending, Replier: f, HookKind: f.hookKind, OAuth: f, Observer: f,
		Log: seen.Logger(&f.logs),
	})
	s.SetConnections([]Connection{
		{Name: "shop", JivoSecrets: []string{jivoSecret, jivoOld}, AmoSecrets: []string{amoSecret}, Channels: []string{"3948"}, OAuth: true},
		{Name: "bare", JivoSecrets: []string{"bare-secret-0123456789"}},
	})
	return s
}

func send(s *Server, method, target, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func asForm(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }

func equal(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestListener_EveryMissIsTheSame404(t *testing.T) {
	first := send(listen(t, &fakes{}), "POST", "/", "")
	if first.Code != http.StatusNotFound || first.Body.Len() == 0 {
		t.Fatalf("%d %q", first.Code, first.Body)
	}
	big := strings.Repeat("x", bodyLimit+1)
	for _, c := range []struct{ name, method, path string }{
		{"wrong secret", "POST", "/jivo/shop/wrong-secret-0123456789"},
		{"prefix of the secret", "POST", jivoPath[:len(jivoPath)-1]},
		{"empty secret", "POST", "/jivo/shop/"},
		{"wrong connection", "POST", "/jivo/nobody/" + jivoSecret},
		{"another connection's secret", "POST", "/jivo/bare/" + jivoSecret},
		{"amoCRM's secret at Jivo's door", "POST", "/jivo/shop/" + url.PathEscape(amoSecret)},
		{"Jivo's secret at amoCRM's door", "POST", "/amocrm/shop/" + jivoSecret},
		{"connection without webhook_secret", "POST", "/amocrm/bare/bare-secret-0123456789"},
		{"connection without webhook_secret, none given", "POST", "/amocrm/bare/"},
		{"wrong path", "POST", "/jivo"},
		{"one step further", "POST", jivoPath + "/x"},
		{"trailing slash", "POST", jivoPath + "/"},
		{"doubled slash", "POST", "//jivo/shop/" + jivoSecret},
		{"dots", "POST", "/x/../jivo/shop/" + jivoSecret},
		{"wrong method and secret", "GET", "/jivo/shop/wrong-secret-0123456789"},
		{"admin paths", "GET", "/metrics"},
		{"pprof", "GET", "/debug/pprof/"},
		{"OAuth of nobody", "GET", "/oauth/nobody"},
		{"OAuth of a connection with a token", "GET", "/oauth/bare"},
		{"OAuth of nobody, wrong method", "POST", "/oauth/nobody"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fakes{pending: map[string]int{"shop": 1000, "bare": 1000}}
			// Everything else is wrong as well, and none of it may be told.
			w := send(listen(t, f), c.method, c.path, big, func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") })
			if w.Code != first.Code || w.Body.String() != first.Body.String() || !maps.EqualFunc(w.Header(), first.Header(), slices.Equal[[]string]) {
				t.Errorf("%d %q %v\nwant %d %q %v", w.Code, w.Body, w.Header(), first.Code, first.Body, first.Header())
			}
			if f.stored != nil {
				t.Error("something was stored")
			}
		})
	}
}

func TestListener_BothSecretsOpenWhileRotating(t *testing.T) {
	for _, secret := range []string{jivoSecret, jivoOld} {
		f := &fakes{}
		if w := send(listen(t, f), "POST", "/jivo/shop/"+secret, accepted); w.Code != 200 || len(f.stored) != 1 {
			t.Errorf("status %d", w.Code)
		}
	}
}

func TestListener_ConnectionsChangeAtOnce(t *testing.T) {
	f := &fakes{}
	s := listen(t, f)
	s.SetConnections([]Connection{{Name: "new", JivoSecrets: []string{jivoSecret}}})
	if w := send(s, "POST", jivoPath, accepted); w.Code != 404 {
		t.Errorf("a removed connection answers %d", w.Code)
	}
	if w := send(s, "POST", "/jivo/new/"+jivoSecret, accepted); w.Code != 200 {
		t.Errorf("a new connection answers %d", w.Code)
	}
}

func TestListener_BoundsChangeAtOnce(t *testing.T) {
	s := listen(t, &fakes{pending: map[string]int{"shop": 5}})
	s.SetConfig(Config{Body: 10})
	if w := send(s, "POST", jivoPath, accepted); w.Code != 413 {
		t.Errorf("a body over the new limit: %d", w.Code)
	}
	s.SetConfig(Config{Body: bodyLimit, Backlog: 5})
	if w := send(s, "POST", jivoPath, accepted); w.Code != 503 {
		t.Errorf("a backlog over the new limit: %d", w.Code)
	}
	s.SetConfig(Config{Body: bodyLimit})
	if w := send(s, "POST", jivoPath, accepted); w.Code != 200 {
		t.Errorf("no limit of the backlog: %d", w.Code)
	}
}

func TestTable_EmptySecretOpensNothing(t *testing.T) {
	tab := newTable([]Connection{{Name: "shop", JivoSecrets: []string{""}}})
	if tab.byName["shop"].jivo.holds("") || tab.decoy.holds("") {
		t.Error("an empty secret opens")
	}
}

func TestTable_EveryCheckComparesAsMany(t *testing.T) {
	tab := newTable([]Connection{{Name: "a", JivoSecrets: []string{"1", "2", "3"}}, {Name: "b", JivoSecrets: []string{"1"}, AmoSecrets: []string{"1", "2"}}})
	for name, c := range tab.byName {
		if len(c.jivo) != 3 || len(c.amo) != 3 {
			t.Errorf("%s: %d and %d comparisons", name, len(c.jivo), len(c.amo))
		}
	}
	if len(tab.decoy) != 3 {
		t.Errorf("nobody: %d comparisons", len(tab.decoy))
	}
}

func TestListener_WrongMethodOnARightPath(t *testing.T) {
	for _, c := range []struct{ path, allow string }{{jivoPath, "POST"}, {amoPath, "POST"}, {"/oauth/shop", "GET"}} {
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "POST"} {
			if method == c.allow {
				continue
			}
			f := &fakes{callback: 200}
			w := send(listen(t, f), method, c.path, accepted)
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != c.allow || f.stored != nil {
				t.Errorf("%s %s: %d, Allow %q", method, c.path, w.Code, w.Header().Get("Allow"))
			}
		}
	}
}

func TestListener_BoundsBodies(t *testing.T) {
	fits := accepted + strings.Repeat(" ", bodyLimit-len(accepted))
	unknownLength := func(r *http.Request) { r.ContentLength = -1 }
	encoded := func(v ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header["Content-Encoding"] = v }
	}
	for _, c := range []struct {
		name, body string
		change     func(*http.Request)
		status     int
		why        string
	}{
		{"as long as allowed", fits, func(*http.Request) {}, 200, ""},
		{"a byte longer", fits + " ", func(*http.Request) {}, 413, "too_large"},
		{"a byte longer, unannounced", fits + " ", unknownLength, 413, "too_large"},
		{"gzip", accepted, encoded("gzip"), 415, "encoding"},
		{"gzip in a list", accepted, encoded("identity, gzip"), 415, "encoding"},
		{"gzip in a second line", accepted, encoded("identity", "br"), 415, "encoding"},
		{"identity", accepted, encoded("Identity"), 200, ""},
		{"empty encoding", accepted, encoded(""), 200, ""},
		{"any content type", accepted, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain; charset=latin1") }, 200, ""},
		{"broken off", accepted, func(r *http.Request) {
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), brokenReader{}))
		}, 400, "read"},
	} {
		for source, path := range map[string]string{"jivo": jivoPath, "amocrm": amoPath} {
			t.Run(c.name+" "+source, func(t *testing.T) {
				f := &fakes{}
				w := send(listen(t, f), "POST", path, c.body, c.change)
				if w.Code != c.status || len(f.stored) != map[bool]int{true: 1}[c.status == 200] {
					t.Errorf("status %d, stored %d", w.Code, len(f.stored))
				}
				if c.why != "" {
					equal(t, "refused", f.refused, "shop "+source+" "+c.why)
				}
			})
		}
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestListener_NotStoredIs503(t *testing.T) {
	for _, c := range []struct {
		name string
		f    *fakes
		jivo string // why, "" = taken
		amo  string
	}{
		{"full disk", &fakes{appendErr: store.ErrFull}, "full", "full"},
		{"failed commit", &fakes{appendErr: store.ErrBroken}, "broken", "broken"},
		{"going down", &fakes{appendErr: store.ErrClosed}, "closing", "closing"},
		{"any other error", &fakes{appendErr: errors.New("?")}, "broken", "broken"},
		{"panic before it is stored", &fakes{panicsAt: "journal"}, "panic", "panic"},
		{"panic of the hook decoder", &fakes{panicsAt: "hook"}, "", "panic"},
		{"hooks are refused first", &fakes{pending: map[string]int{"shop": 80}}, "", "backlog"},
		{"Jivo's events last", &fakes{pending: map[string]int{"shop": 100}}, "backlog", "backlog"},
		{"just below", &fakes{pending: map[string]int{"shop": 99}}, "", "backlog"},
		{"no pressure", &fakes{pending: map[string]int{"shop": 79}}, "", ""},
		{"another connection's backlog", &fakes{pending: map[string]int{"bare": 1000}}, "", ""},
	} {
		for source, path := range map[string]string{"jivo": jivoPath, "amocrm": amoPath} {
			t.Run(c.name+" "+source, func(t *testing.T) {
				f := c.f
				f.stored, f.refused = nil, nil
				want := map[string]string{"jivo": c.jivo, "amocrm": c.amo}[source]
				w := send(listen(t, f), "POST", path, accepted)
				if want == "" {
					if w.Code != 200 || f.refused != nil {
						t.Errorf("refused: %d %q", w.Code, f.refused)
					}
					return
				}
				if w.Code != 503 || w.Header().Get("Retry-After") == "" || f.stored != nil {
					t.Errorf("%d %v", w.Code, w.Header())
				}
				equal(t, "refused", f.refused, "shop "+source+" "+want)
				if strings.Contains(f.logs.String(), "79991234567") {
					t.Error("a panic's text was logged")
				}
			})
		}
	}
}

func TestListener_TroubleIsLoudOnceAndItsEndIsTold(t *testing.T) {
	f := &fakes{appendErr: store.ErrFull}
	s := listen(t, f)
	send(s, "POST", jivoPath, accepted)
	send(s, "POST", jivoPath, accepted)
	f.appendErr = nil
	send(s, "POST", jivoPath, accepted)
	send(s, "POST", jivoPath, accepted)
	if n := strings.Count(f.logs.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d error lines, want 1\n%s", n, &f.logs)
	}
	if n := strings.Count(f.logs.String(), "taken again"); n != 1 {
		t.Errorf("its end was told %d times", n)
	}
}

func TestListener_LogsTellOfTheRequestAndNotOfItsSecrets(t *testing.T) {
	f := &fakes{}
	s := listen(t, f)
	send(s, "POST", jivoPath, accepted)
	send(s, "POST", amoPath, "leads[status][0][id]=501&account[id]=1", asForm)
	send(s, "POST", "/jivo/shop/wrong-secret-0123456789", accepted)
	send(s, "POST", "/some/where", accepted)
	send(s, "GET", "/oauth/shop?code=oauth-code-0123&state=st", "")
	logs := f.logs.String()
	if n := strings.Count(logs, "msg=request"); n != 5 {
		t.Errorf("%d lines for 5 requests:\n%s", n, logs)
	}
	for _, want := range []string{"route=/jivo/{connection}/{secret}", "kind=chat_accepted", "seq=1", "status=200", "why=not_found"} {
		if !strings.Contains(logs, want) {
			t.Errorf("no %s in\n%s", want, logs)
		}
	}
	for _, secret := range []string{jivoSecret, amoSecret, "amo%2F", "wrong-secret", "/some/where", "79991234567", "agent1@", "Иван", "oauth-code"} {
		if strings.Contains(logs, secret) {
			t.Errorf("%q in the log", secret)
		}
	}
}

func TestOAuth_CallbackIsHandedOnAndShownAsText(t *testing.T) {
	f := &fakes{callback: 200}
	w := send(listen(t, f), "GET", "/oauth/shop?code=c&state=s&referer=example.amocrm.ru", "")
	if w.Code != 200 || w.Body.String() != "The account is connected.\n" || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("the code in the URL may be kept: %v", w.Header())
	}
	if f.callbackFor != "shop" || f.query.Get("code") != "c" || f.query.Get("state") != "s" || f.query.Get("referer") != "example.amocrm.ru" {
		t.Errorf("handed on %s %v", f.callbackFor, f.query)
	}
	f.callback = 404
	if w := send(listen(t, f), "GET", "/oauth/shop?state=guess", ""); w.Body.String() != "not found\n" {
		t.Errorf("a refused state is told: %q", w.Body)
	}
}

func TestHTTPServer_HasEveryBound(t *testing.T) {
	srv := HTTPServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if srv.ReadHeaderTimeout != 5*time.Second || srv.ReadTimeout != 10*time.Second || srv.WriteTimeout != 10*time.Second ||
		srv.IdleTimeout != time.Minute || srv.MaxHeaderBytes != 16<<10 || !srv.DisableGeneralOptionsHandler {
		t.Errorf("%+v", srv)
	}
}
