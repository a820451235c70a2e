package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
)

func TestAPI_AnswersToTheLetter(t *testing.T) {
	for _, c := range []struct{ golden, method, path, body string }{
		{"connections.json", "GET", "/api/v1/connections", ""},
		{"events.json", "GET", "/api/v1/events", ""},
		{"search.json", "POST", "/api/v1/search", `{"q":"+79991234567"}`},
		{"event.json", "GET", "/api/v1/events/12", ""},
		{"event_bare.json", "GET", "/api/v1/events/13", ""},
		{"client.json", "GET", "/api/v1/clients/shop/2198", ""},
		{"replay.json", "POST", "/api/v1/events/12/replay", ""},
		{"discard.json", "POST", "/api/v1/events/12/discard", ""},
		{"replay_all.json", "POST", "/api/v1/replay", `{"connection":"shop","state":"dead","reason":"refused"}`},
		{"forget.json", "DELETE", "/api/v1/clients/shop/2198", ""},
	} {
		t.Run(c.golden, func(t *testing.T) {
			s, _ := serve(t, sample(), adminToken)
			w := ask(s, c.method, c.path, c.body)
			if w.Code != http.StatusOK {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			if ct := w.Header().Get("Content-Type"); ct != "application/json; charset=utf-8" {
				t.Errorf("content type %q", ct)
			}
			var out bytes.Buffer
			if err := json.Indent(&out, w.Body.Bytes(), "", "  "); err != nil {
				t.Fatal(err)
			}
			golden(t, c.golden, out.Bytes())
		})
	}
}

func TestAPI_EmptyListsAreListsNotNull(t *testing.T) {
	s, _ := serve(t, &fake{}, adminToken)
	for path, want := range map[string]string{
		"/api/v1/connections": `{"connections":[]}`,
		"/api/v1/events":      `{"events":[],"next":0}`,
	} {
		if got := strings.TrimSpace(ask(s, "GET", path, "").Body.String()); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestAPI_EventsFilterIsHandedOnWhole(t *testing.T) {
	f := sample()
	s, _ := serve(t, f, adminToken)
	ask(s, "GET", "/api/v1/events?connection=shop&source=jivo&kind=chat_accepted&state=dead&reason=refused&client=2198&limit=7&before=99", "")
	want := Filter{Connection: "shop", Source: event.Jivo, Kind: "chat_accepted", State: event.Dead, Reason: event.Refused, Client: "2198", Limit: 7, Before: 99}
	if d := cmp.Diff(want, f.filter); d != "" {
		t.Error(d)
	}
	ask(s, "GET", "/api/v1/events", "")
	if d := cmp.Diff(Filter{Limit: DefaultLimit}, f.filter); d != "" {
		t.Error(d)
	}
}

func TestAPI_SenselessRequestsAreNamed(t *testing.T) {
	long := `{"q":"` + strings.Repeat("x", maxBody) + `"}`
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", "/api/v1/events?conection=shop", "", 400, "conection"},
		{"GET", "/api/v1/events?state=gone", "", 400, "pending, parked, done"},
		{"GET", "/api/v1/events?source=mail", "", 400, "jivo or amocrm"},
		{"GET", "/api/v1/events?limit=0", "", 400, "1 to 500"},
		{"GET", "/api/v1/events?limit=501", "", 400, "1 to 500"},
		{"GET", "/api/v1/events?before=x", "", 400, "before"},
		{"GET", "/api/v1/events/x", "", 400, "seq"},
		{"GET", "/api/v1/events/-1", "", 400, "seq"},
		{"GET", "/api/v1/events/99", "", 404, "not found"},
		{"GET", "/api/v1/clients/shop/1", "", 404, "not found"},
		{"GET", "/api/v1/nothing", "", 404, "not found"},
		{"GET", "/api/v1/events/", "", 404, "not found"},
		{"GET", "//api/v1/events", "", 404, "not found"},
		{"PUT", "/api/v1/events", "", 405, "method"},
		{"GET", "/api/v1/search", "", 405, "method"},
		{"POST", "/api/v1/search", "", 400, "JSON object"},
		{"POST", "/api/v1/search", `{"q":""}`, 400, "empty"},
		{"POST", "/api/v1/search", `{"q":1}`, 400, "JSON object"},
		{"POST", "/api/v1/search", `{"q":"a","x":1}`, 400, "unknown field"},
		{"POST", "/api/v1/search", `{"q":"a"}{}`, 400, "nothing after"},
		{"POST", "/api/v1/search", long, 413, "too large"},
		{"POST", "/api/v1/events/12/replay", `{"agian":true}`, 400, "agian"},
		{"POST", "/api/v1/events/13/replay", ``, 409, "pending"},
		{"POST", "/api/v1/events/99/replay", ``, 404, "not found"},
		{"POST", "/api/v1/events/12/discard", `{"again":true}`, 400, "again"},
		{"POST", "/api/v1/replay", `{"connection":"shop"}`, 400, "state"},
		{"POST", "/api/v1/replay", `{"state":"pending"}`, 400, "state"},
	} {
		t.Run(c.method+c.path+cut(c.body), func(t *testing.T) {
			f := sample()
			s, _ := serve(t, f, adminToken)
			w := ask(s, c.method, c.path, c.body)
			var p problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatalf("no JSON: %s", w.Body)
			}
			if w.Code != c.status || !strings.Contains(p.Error, c.says) {
				t.Errorf("%d %q, want %d %q", w.Code, p.Error, c.status, c.says)
			}
			if f.replayed != nil || f.discarded != nil || f.bulk != nil || f.searched != "" {
				t.Error("something was done all the same")
			}
		})
	}
}

func TestAPI_ReplayAgainOnlyWhenAsked(t *testing.T) {
	f := sample()
	s, _ := serve(t, f, adminToken)
	ask(s, "POST", "/api/v1/events/12/replay", `{}`)
	if f.again || len(f.replayed) != 1 {
		t.Fatalf("replayed %v, again %v", f.replayed, f.again)
	}
	ask(s, "POST", "/api/v1/events/12/replay", `{"again": true}`)
	if !f.again {
		t.Error("again was not handed on")
	}
}

func TestAPI_ClientIdsMayHoldAnyCharacter(t *testing.T) {
	f := sample()
	f.client.ID = "a/b c"
	s, _ := serve(t, f, adminToken)
	if w := ask(s, "GET", "/api/v1/clients/shop/a%2Fb%20c", ""); w.Code != 200 {
		t.Errorf("status %d", w.Code)
	}
	ask(s, "DELETE", "/api/v1/clients/shop/a%2Fb%20c", "")
	if f.forgotten != "shop/a/b c" {
		t.Errorf("forgot %q", f.forgotten)
	}
}

func TestAPI_ErrorsOfTheBackendStayInside(t *testing.T) {
	f := sample()
	f.err = errors.New("open /var/lib/bridge.db: permission denied") // an error is the log's, and holds no person
	s, logs := serve(t, f, adminToken)
	w := ask(s, "GET", "/api/v1/connections", "")
	if w.Code != 500 || strings.Contains(w.Body.String(), "bridge.db") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(logs.String(), "/api/v1/connections") {
		t.Errorf("no log line of the route: %s", logs)
	}
}

func TestServer_PanicIsOneFailedRequest(t *testing.T) {
	f := sample()
	f.panics = true
	s, logs := serve(t, f, adminToken)
	w := ask(s, "GET", "/api/v1/connections", "")
	if w.Code != 500 {
		t.Errorf("status %d", w.Code)
	}
	if strings.Contains(logs.String()+w.Body.String(), "79991234567") {
		t.Error("the panic's text leaked")
	}
}

func TestHealth_IsOpenAndReadyNamesWhatIsNot(t *testing.T) {
	f := sample()
	s, _ := serve(t, f, adminToken)
	if w := ask(s, "GET", "/healthz", "", noToken); w.Code != 200 {
		t.Errorf("healthz %d", w.Code)
	}
	if w := ask(s, "GET", "/readyz", "", noToken); w.Code != 200 || strings.TrimSpace(w.Body.String()) != `{"ready":true,"problems":[]}` {
		t.Errorf("readyz %d %s", w.Code, w.Body)
	}
	f.problems = []Problem{{Connection: "shop", What: "needs_auth", Hint: "run bridge auth"}}
	w := ask(s, "GET", "/readyz", "", noToken)
	want := `{"ready":false,"problems":[{"connection":"shop","what":"needs_auth","hint":"run bridge auth"}]}`
	if w.Code != 503 || strings.TrimSpace(w.Body.String()) != want {
		t.Errorf("readyz %d %s", w.Code, w.Body)
	}
}

func TestBackup_IsStreamedWholeOrBrokenOff(t *testing.T) {
	f := sample()
	f.backup = bytes.Repeat([]byte("page"), 1000)
	s, _ := serve(t, f, adminToken)
	w := ask(s, "POST", "/api/v1/backup", "")
	if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), f.backup) || w.Header().Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%d, %d bytes, %s", w.Code, w.Body.Len(), w.Header())
	}

	f.backupErr = errors.New("read error")
	srv := httptest.NewServer(s)
	defer srv.Close()
	req, _ := http.NewRequest("POST", srv.URL+"/api/v1/backup", nil)
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := srv.Client().Do(req)
	if err == nil {
		defer resp.Body.Close()
		var sink bytes.Buffer
		if _, err = sink.ReadFrom(resp.Body); err == nil {
			t.Error("half a copy passed for a whole one")
		}
	}

	f.backup = nil
	if w := ask(s, "POST", "/api/v1/backup", ""); w.Code != 500 {
		t.Errorf("an error before the first byte: %d", w.Code)
	}
}

// deadlined is an answer's writer that knows deadlines.
type deadlined struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlined) SetWriteDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

// A copy of the store and a replay of all that match may take longer than any other answer.
func TestAnswers_OfLongWorkHaveNoDeadline(t *testing.T) {
	for _, path := range []string{"/api/v1/backup", "/api/v1/replay", "/replay"} {
		s, _ := serve(t, sample(), "")
		body := `{"state":"dead","reason":"gave_up"}`
		if path == "/replay" {
			body = form("csrf", hidden(t, ask(s, "GET", "/dead", "", asPage).Body.String()), "state", "dead", "reason", "gave_up")
		}
		w := &deadlined{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest("POST", path, strings.NewReader(body))
		r.Host = "localhost"
		if path == "/replay" {
			asForm(r)
		}
		s.ServeHTTP(w, r)
		if w.Code >= 400 || len(w.set) != 1 || !w.set[0].IsZero() {
			t.Errorf("%s: %d, deadlines set: %v", path, w.Code, w.set)
		}
	}
}

func TestHTTPServer_HasBounds(t *testing.T) {
	srv := HTTPServer(http.NotFoundHandler(), discard())
	if srv.ReadHeaderTimeout == 0 || srv.ReadTimeout == 0 || srv.WriteTimeout == 0 || srv.IdleTimeout == 0 || srv.MaxHeaderBytes != 16<<10 {
		t.Errorf("%+v", srv)
	}
}

func TestHandle_AddsRoutesBehindTheLogin(t *testing.T) {
	s, _ := serve(t, sample(), adminToken)
	s.Handle("POST", "/api/v1/import", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	if w := ask(s, "POST", "/api/v1/import", ""); w.Code != 204 {
		t.Errorf("status %d", w.Code)
	}
	if w := ask(s, "POST", "/api/v1/import", "", noToken); w.Code != 401 {
		t.Errorf("without token: %d", w.Code)
	}
}
