package console

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/jivo-amocrm/bridge/internal/canary"
	"github.com/jivo-amocrm/bridge/internal/event"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Backend over values; it notes what was asked of it.
type fake struct {
	connections []Connection
	page        Page
	events      map[uint64]*Detail
	client      *Client
	problems    []Problem
	refusal     string
	err         error
	backup      []byte
	backupErr   error
	panics      bool

	filter    Filter
	searched  string
	replayed  []uint64
	again     bool
	discarded []uint64
	bulk      *ReplayFilter
	forgotten string
}

func (f *fake) Connections(context.Context) ([]Connection, error) {
	if f.panics {
		panic("+79991234567")
	}
	return f.connections, f.err
}

func (f *fake) Events(_ context.Context, flt Filter) (Page, error) {
	f.filter = flt
	return f.page, f.err
}

func (f *fake) Event(_ context.Context, seq uint64) (*Detail, error) {
	d, ok := f.events[seq]
	if !ok {
		return nil, ErrNotFound
	}
	return d, f.err
}

func (f *fake) Search(_ context.Context, q string) (Page, error) {
	f.searched = q
	return f.page, f.err
}

func (f *fake) Replay(_ context.Context, seq uint64, again bool) error {
	if f.events[seq] == nil {
		return ErrNotFound
	}
	if !f.events[seq].State.Settled() {
		return &Conflict{"the event is pending: it is worked already"}
	}
	f.replayed, f.again = append(f.replayed, seq), again
	return f.err
}

func (f *fake) Discard(_ context.Context, seq uint64) error {
	f.discarded = append(f.discarded, seq)
	return f.err
}

func (f *fake) ReplayAll(_ context.Context, flt ReplayFilter) (int, error) {
	f.bulk = &flt
	return 7, f.err
}

func (f *fake) Client(_ context.Context, connection, id string) (*Client, error) {
	if f.client == nil || connection != f.client.Connection || id != f.client.ID {
		return nil, ErrNotFound
	}
	return f.client, f.err
}

func (f *fake) Forget(_ context.Context, connection, id string) error {
	f.forgotten = connection + "/" + id
	return f.err
}

func (f *fake) Ready(context.Context) []Problem { return f.problems }

func (f *fake) Refusal() string { return f.refusal }

func (f *fake) Backup(_ context.Context, w io.Writer) (int64, error) {
	n, err := w.Write(f.backup)
	return int64(n), errors.Join(err, f.backupErr)
}

const adminToken = "admin-token-0123456789"

var noon = time.Date(2026, 11, 21, 12, 40, 5, 0, time.UTC)

// hostile is visitor text that would be markup if anything forgot to escape it.
const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>`

func sample() *fake {
	later := noon.Add(time.Minute)
	expires := noon.AddDate(0, 0, 30)
	ev := &event.Event{
		Seq: 12, Connection: "shop", Source: event.Jivo, Kind: "chat_accepted", Client: "2198", Chat: "10507",
		ReceivedAt: noon, State: event.Dead, Reason: event.Refused, Detail: "amoCRM refused the lead", SettledAt: later, Attempts: 2,
		Coercions: []string{"agent.id: string for number"}, Warnings: []string{"ambiguous_contact"},
		Rules: []event.RuleTrace{
			{Rule: "a chat with contacts is a lead", Matched: true},
			{Rule: "transcript", Why: "on: chat_finished"},
		},
		Contact: &event.Match{ID: 77, By: "phone", Why: "one hit"},
		Lead:    &event.Match{Created: true, By: "created"},
		Changes: []event.Change{{Key: "12/create/lead", Op: event.OpCreate, Target: event.OnLead, Rule: "a chat with contacts is a lead", State: event.Dropped, Error: "NotSupportedChoice pipeline_id"}},
		Requests: []event.Request{{At: noon, Method: "POST", Path: "/api/v4/leads/complex", Status: 400, Seconds: 0.25,
			Answer: "NotSupportedChoice"}},
	}
	body := `{"event_name":"chat_accepted","visitor":{"name":"` + strings.ReplaceAll(hostile, `"`, `\"`) + `"}}`
	pending := &event.Event{Seq: 13, Connection: "shop", Source: event.AmoCRM, Kind: "leads.status", ReceivedAt: noon, State: event.Pending, NextAt: later}
	return &fake{
		connections: []Connection{{
			Name: "shop", Account: "https://example.amocrm.ru", State: ConnectionPaused,
			Token:   Token{Kind: TokenLongLived, State: TokenOK, ExpiresAt: &expires},
			Pending: 3, Parked: 1, Dead: 2, OldestPendingSeconds: 93.5, PausedUntil: &later, PauseReason: "unreachable",
			Hooks: Hooks{State: "ok"}, UnmatchedAgents: []string{"agent1@gmail.com"},
		}, {Name: "old", State: ConnectionRemoved}},
		page: Page{Events: []Item{NewItem(pending), NewItem(ev)}, Next: 12},
		events: map[uint64]*Detail{
			12: NewDetail(ev, []byte(body), "https://example.amocrm.ru"),
			13: NewDetail(pending, nil, ""),
		},
		client: &Client{Connection: "shop", ID: "2198", Name: hostile, Account: "https://example.amocrm.ru",
			Links: Links{ContactID: 77, Leads: []event.Link{{LeadID: 501, Made: "chat", At: noon, Chats: []string{"10507"}}}},
			Card:  &Card{Name: "Чат: Иван", URL: "https://example.amocrm.ru/leads/detail/501", Pipeline: "Продажи", Stage: "Новая", Since: &later, Price: 1500},
		},
	}
}

func serve(t *testing.T, f *fake, token string) (*Server, *bytes.Buffer) {
	t.Helper()
	var logs bytes.Buffer
	seen := canary.New(t)
	seen.Add(canary.Secret, token)
	seen.Add(canary.Phone, "+79991234567")
	seen.Add(canary.Text, hostile)
	s := New(Config{Token: token}, f, prometheus.NewRegistry(), seen.Logger(&logs))
	s.pages = newPages(testClock())
	return s, &logs
}

// testClock stands half a minute after noon, on UTC's hours.
func testClock() clock {
	return clock{func() time.Time { return noon.Add(30 * time.Second) }, time.UTC}
}

// ask sends one request as a program with the token would; change alters it.
func ask(s http.Handler, method, target, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "localhost:9090"
	r.Header.Set("Authorization", "Bearer "+adminToken)
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func asPage(r *http.Request) { r.Header.Set("Accept", "text/html,application/xhtml+xml") }

func noToken(r *http.Request) { r.Header.Del("Authorization") }

func asForm(r *http.Request) {
	asPage(r)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s differs (-want +got):\n%s", name, d)
	}
}

func form(pairs ...string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v.Encode()
}
