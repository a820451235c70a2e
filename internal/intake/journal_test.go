package intake

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

func TestJivo_EventIsJournaledWithItsIdentity(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       event.Event
		dedup      bool
		answer     string // "" = ok
		label      string
	}{
		{"chat", accepted,
			event.Event{Kind: "chat_accepted", Client: "2198", Chat: "10507", Line: "c:2198", State: event.Pending}, true, "", "chat_accepted"},
		{"chat of a nameless visitor", `{"event_name":"chat_finished","chat_id":7,"chat":{"messages":[{"timestamp":1}]}}`,
			event.Event{Kind: "chat_finished", Chat: "7", Line: "k:7", State: event.Pending}, true, "", "chat_finished"},
		{"deal", `{"event_name":"created_deal","deal_id":5,"client":{"client_id":9}}`,
			event.Event{Kind: "created_deal", Client: "9", Line: "c:9", State: event.Pending}, true, "", "created_deal"},
		{"deal of nobody", `{"event_name":"updated_deal","deal_id":5}`,
			event.Event{Kind: "updated_deal", Line: "l:5", State: event.Pending}, true, "", "updated_deal"},
		{"Jivo's own dictionary", `{"event_name":"updated_pipeline","pipeline_id":3,"title":"x"}`,
			event.Event{Kind: "updated_pipeline", Line: "d", State: event.Pending}, true, "", "updated_pipeline"},
		{"another channel", strings.Replace(accepted, "3948", "1111", 1),
			event.Event{Kind: "chat_accepted", Client: "2198", Chat: "10507", Line: "c:2198", State: event.Skipped, Reason: event.ChannelClosed}, false, "", "chat_accepted"},
		{"a name nobody knows", `{"event_name":"chat_started","chat_id":7}`,
			event.Event{Kind: "chat_started", Chat: "7", Line: "k:7", State: event.Skipped, Reason: event.UnknownEvent}, false, "", "other"},
		{"no name", `{"hello":"world"}`,
			event.Event{State: event.Skipped, Reason: event.UnknownEvent}, false, "", "other"},
		{"no JSON", `hello`,
			event.Event{State: event.Dead, Reason: event.Unparsable}, false, "why", "other"},
		{"a list", `[1]`,
			event.Event{State: event.Dead, Reason: event.Unparsable}, false, "why", "other"},
		{"empty", ``,
			event.Event{State: event.Dead, Reason: event.Unparsable}, false, "why", "other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fakes{}
			before := time.Now()
			w := send(listen(t, f), "POST", jivoPath, c.body)
			if w.Code != 200 || w.Header().Get("Content-Type") != "application/json; charset=utf-8" {
				t.Fatalf("%d %v", w.Code, w.Header())
			}
			if len(f.stored) != 1 {
				t.Fatalf("%d stored", len(f.stored))
			}
			in := f.stored[0]
			if string(in.Body) != c.body {
				t.Errorf("body kept as %q", in.Body)
			}
			got := in.Event
			if got.ReceivedAt.Before(before.Add(-time.Second)) || got.ReceivedAt.After(time.Now()) || got.ReceivedAt.Location() != time.UTC {
				t.Errorf("received at %v", got.ReceivedAt)
			}
			if got.State.Settled() != got.SettledAt.Equal(got.ReceivedAt) {
				t.Errorf("settled at %v", got.SettledAt)
			}
			c.want.Connection, c.want.Source = "shop", event.Jivo
			ignored := cmpopts.IgnoreFields(event.Event{}, "ReceivedAt", "SettledAt", "Coercions", "Detail")
			if d := cmp.Diff(c.want, got, ignored); d != "" {
				t.Error(d)
			}
			if (in.Dedup.Key != "") != c.dedup {
				t.Errorf("dedup %+v", in.Dedup)
			}
			var answer struct{ Result string }
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
			wantAnswer := "ok"
			if c.answer != "" {
				wantAnswer = got.Detail
			}
			if answer.Result != wantAnswer || answer.Result == "" {
				t.Errorf("answer %q, want %q", answer.Result, wantAnswer)
			}
			equal(t, "received", f.received, "shop jivo "+c.label)
			var settled []string // what is to be worked is told of by whoever works it
			if got.State.Settled() {
				settled = []string{"shop jivo " + c.label + " " + string(got.State)}
			}
			equal(t, "settled", f.settled, settled...)
			equal(t, "acked", f.acked, "jivo")
			equal(t, "replied", f.replied, c.label)
		})
	}
}

func TestJivo_CoercionsAreKept(t *testing.T) {
	f := &fakes{}
	send(listen(t, f), "POST", jivoPath, "\xef\xbb\xbf"+accepted)
	if len(f.stored) != 1 || len(f.stored[0].Event.Coercions) == 0 {
		t.Errorf("no coercion noted of a body with a BOM: %+v", f.stored)
	}
}

func TestReply_OnlyWhereJivoShowsIt(t *testing.T) {
	for kind, asked := range map[string]bool{
		"chat_accepted": true, "chat_updated": true, "chat_finished": false, "offline_message": false,
		"client_updated": false, "call_event": false, "chat_assigned": false, "created_deal": false,
	} {
		f := &fakes{reply: jivo.Reply{CRMLink: "https://example.amocrm.ru/leads/detail/501"}}
		w := send(listen(t, f), "POST", jivoPath, strings.Replace(accepted, "chat_accepted", kind, 1))
		if asked != (len(f.replies) == 1) {
			t.Errorf("%s: replier asked %d times", kind, len(f.replies))
		}
		if asked != strings.Contains(w.Body.String(), "leads/detail/501") {
			t.Errorf("%s: %s", kind, w.Body)
		}
	}
	f := &fakes{reply: jivo.Reply{CRMLink: "https://example.amocrm.ru/leads/detail/501"}}
	w := send(listen(t, f), "POST", jivoPath, strings.Replace(accepted, "3948", "1111", 1))
	if len(f.replies) != 0 || w.Body.String() != `{"result":"ok"}` {
		t.Errorf("a channel that is not let in was shown a card: %s", w.Body)
	}
}

func TestReply_OfARepeatIsAskedForTheFirst(t *testing.T) {
	for _, c := range []struct {
		at   store.Appended
		want replyCall
	}{
		{store.Appended{Seq: 9}, replyCall{connection: "shop", seq: 9}},
		{store.Appended{Seq: 9, Repeat: true, Of: 4}, replyCall{connection: "shop", seq: 4, repeat: true}},
		{store.Appended{Seq: 9, Repeat: true}, replyCall{connection: "shop", seq: 9, repeat: true}},
	} {
		f := &fakes{appended: c.at}
		send(listen(t, f), "POST", jivoPath, accepted)
		if d := cmp.Diff([]replyCall{c.want}, f.replies, cmp.AllowUnexported(replyCall{}), cmpopts.IgnoreFields(replyCall{}, "deadline")); d != "" {
			t.Error(d)
		}
	}
}

func TestReply_EndsTwoSecondsAfterReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakes{commit: 1500 * time.Millisecond, onReply: func(ctx context.Context) { <-ctx.Done() }}
		start := time.Now()
		w := send(listen(t, f), "POST", jivoPath, accepted)
		if took := time.Since(start); took != ReplyLimit || w.Code != 200 {
			t.Errorf("answered %d after %v", w.Code, took)
		}
	})
}

func TestReply_PanicCostsTheCardAndNothingElse(t *testing.T) {
	f := &fakes{panicsAt: "reply"}
	w := send(listen(t, f), "POST", jivoPath, accepted)
	if w.Code != 200 || w.Body.String() != `{"result":"ok"}` || f.refused != nil {
		t.Errorf("%d %s %q", w.Code, w.Body, f.refused)
	}
	if strings.Contains(f.logs.String(), "79991234567") {
		t.Error("a panic's text was logged")
	}
}

func TestAck_SlowCommitIsWaitedForEvenIfTheSenderLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakes{commit: 20 * time.Second}
		ctx, leave := context.WithTimeout(context.Background(), time.Second)
		defer leave()
		w := send(listen(t, f), "POST", jivoPath, accepted, func(r *http.Request) { *r = *r.WithContext(ctx) })
		if w.Code != 200 || len(f.stored) != 1 || f.ctxErr != nil {
			t.Errorf("%d, stored %d, context %v", w.Code, len(f.stored), f.ctxErr)
		}
	})
}

// TestAck_Late200StillArrives runs the real server: a commit longer than its
// write timeout must not cost the answer.
func TestAck_Late200StillArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakes{commit: 3 * writeTimeout}
		client, server := net.Pipe()
		l := &oneListener{conns: make(chan net.Conn, 1), done: make(chan struct{})}
		l.conns <- server
		srv := HTTPServer(listen(t, f).Handler(), slog.New(slog.DiscardHandler))
		gone := make(chan struct{})
		go func() { defer close(gone); _ = srv.Serve(l) }()

		req := httptest.NewRequest("POST", "http://bridge"+jivoPath, strings.NewReader(accepted))
		tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil }}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode != 200 || err != nil || string(body) != `{"result":"ok"}` {
			t.Errorf("%d %q %v", resp.StatusCode, body, err)
		}
		_ = resp.Body.Close()
		tr.CloseIdleConnections()
		_ = srv.Close()
		<-gone
	})
}

// oneListener hands out one side of a pipe.
type oneListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *oneListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *oneListener) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

func (l *oneListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func TestHook_IsJournaledRawOutsideAnyLine(t *testing.T) {
	body := "leads%5Bstatus%5D%5B0%5D%5Bid%5D=501&account%5Bid%5D=1"
	f := &fakes{}
	w := send(listen(t, f), "POST", amoPath, body, asForm)
	if w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	want := event.Event{Connection: "shop", Source: event.AmoCRM, Kind: "leads.status", State: event.Pending}
	if len(f.stored) != 1 || string(f.stored[0].Body) != body {
		t.Fatalf("stored %+v", f.stored)
	}
	if d := cmp.Diff(want, f.stored[0].Event, cmpopts.IgnoreFields(event.Event{}, "ReceivedAt")); d != "" {
		t.Error(d)
	}
	equal(t, "received", f.received, "shop amocrm leads.status")
	equal(t, "acked", f.acked, "amocrm")
	equal(t, "replied", f.replied)
}

func TestHook_WithoutSenseIsKeptDeadAndAnsweredAllTheSame(t *testing.T) {
	f := &fakes{hookErr: errors.New("no entity in it")}
	w := send(listen(t, f), "POST", amoPath, "hello")
	if w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	ev := f.stored[0].Event
	if ev.State != event.Dead || ev.Reason != event.Unparsable || ev.Detail != "no entity in it" || ev.SettledAt.IsZero() || string(f.stored[0].Body) != "hello" {
		t.Errorf("%+v", ev)
	}
	equal(t, "received", f.received, "shop amocrm other")
	equal(t, "settled", f.settled, "shop amocrm other dead")
	if log := f.logs.String(); !strings.Contains(log, "state=dead") || !strings.Contains(log, "reason=unparsable") || strings.Contains(log, "no entity") {
		t.Errorf("the alarm is %q", log)
	}
}

// A repeat is settled the moment it is stored; what was not stored is not.
func TestJivo_SettledAtTheDoorIsCountedThere(t *testing.T) {
	f := &fakes{appended: store.Appended{Seq: 9, Repeat: true, Of: 4}}
	send(listen(t, f), "POST", jivoPath, accepted)
	equal(t, "a repeat", f.settled, "shop jivo chat_accepted skipped")
	for what, f := range map[string]*fakes{"refused": {appendErr: store.ErrFull}, "to be worked": {}} {
		send(listen(t, f), "POST", jivoPath, accepted)
		equal(t, what, f.settled)
	}
	f = &fakes{}
	send(listen(t, f), "POST", amoPath, "leads%5Bstatus%5D%5B0%5D%5Bid%5D=501", asForm)
	equal(t, "a hook", f.settled)
}

// BenchmarkAck is the listener's own share of an acknowledgement: all but the commit.
func BenchmarkAck(b *testing.B) {
	f := &fakes{}
	s := New(Config{Body: bodyLimit, Backlog: 1 << 30}, Deps{
		Journal: nothing{}, Pending: f.Pending, Replier: f, HookKind: f.hookKind, Observer: nothing{}, Log: slog.New(slog.DiscardHandler),
	})
	s.SetConnections([]Connection{{Name: "shop", JivoSecrets: []string{jivoSecret}}})
	body := strings.Replace(accepted, "chat_accepted", "chat_finished", 1)
	b.ReportAllocs()
	for b.Loop() {
		send(s, "POST", jivoPath, body)
	}
}

type nothing struct{}

func (nothing) Append(context.Context, event.Incoming) (store.Appended, error) {
	return store.Appended{Seq: 1}, nil
}
func (nothing) Received(string, event.Source, string)                      {}
func (nothing) Settled(string, event.Source, string, event.State, float64) {}
func (nothing) Refused(string, event.Source, string)                       {}
func (nothing) Acked(event.Source, time.Duration)                          {}
func (nothing) Replied(string, time.Duration)                              {}
