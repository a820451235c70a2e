package intake

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// Every secret of a list opens its door while it is rotated, however many the other
// door has.
func TestListener_EverySecretOfEitherListOpens(t *testing.T) {
	jivoSecrets := []string{"jivo-0-0123456789ab", "jivo-1-0123456789ab", "jivo-2-0123456789ab", "jivo-3-0123456789ab"}
	amoSecrets := []string{"amo-0-0123456789abc", "amo-1-0123456789abc", "amo-2-0123456789abc", "amo-3-0123456789abc"}
	for _, c := range []struct{ jivo, amo int }{{1, 4}, {4, 1}} {
		s := listen(t, &fakes{})
		s.SetConnections([]Connection{{Name: "shop", JivoSecrets: jivoSecrets[:c.jivo], AmoSecrets: amoSecrets[:c.amo]}})
		for i := range 4 {
			for door, n := range map[string]int{"/jivo/shop/" + jivoSecrets[i]: c.jivo, "/amocrm/shop/" + amoSecrets[i]: c.amo} {
				if got := send(s, "POST", door, accepted).Code; (got == http.StatusOK) != (i < n) {
					t.Errorf("%d and %d secrets: %s is answered %d", c.jivo, c.amo, door, got)
				}
			}
		}
	}
}

// A body is compressed if any of its codings is none but identity, wherever that stands.
func TestListener_EveryCodingCounts(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  int
	}{
		{[]string{"identity"}, 200}, {[]string{"identity, Identity"}, 200}, {[]string{""}, 200},
		{[]string{"identity, gzip"}, 415}, {[]string{"identity", "gzip"}, 415}, {[]string{"gzip,identity"}, 415}, {[]string{" br "}, 415},
	} {
		w := send(listen(t, &fakes{}), "POST", jivoPath, accepted, func(r *http.Request) {
			for _, l := range c.lines {
				r.Header.Add("Content-Encoding", l)
			}
		})
		if w.Code != c.want {
			t.Errorf("%q: %d, want %d", c.lines, w.Code, c.want)
		}
	}
}

// A task of nobody is not one of Jivo's own dictionaries: it waits for none of them,
// and none for it.
func TestJivo_TaskOfNobodyStandsInNoLine(t *testing.T) {
	f := &fakes{}
	send(listen(t, f), "POST", jivoPath, `{"event_name":"created_task","task_id":4,"text":"x"}`)
	if len(f.stored) != 1 || f.stored[0].Event.Line != "" || f.stored[0].Event.State != event.Pending {
		t.Errorf("stored %+v", f.stored)
	}
}

// Another trouble is another alarm: that the disk is full is not hidden by a queue that
// was too long before.
func TestListener_AnotherTroubleIsLoudAgain(t *testing.T) {
	f := &fakes{pending: map[string]int{"shop": 100}}
	s := listen(t, f)
	send(s, "POST", jivoPath, accepted)
	f.pending["shop"], f.appendErr = 0, store.ErrFull
	send(s, "POST", jivoPath, accepted)
	send(s, "POST", jivoPath, accepted)
	equal(t, "refused", f.refused, "shop jivo backlog", "shop jivo full", "shop jivo full")
	if n := strings.Count(f.logs.String(), "level=ERROR"); n != 2 {
		t.Errorf("%d error lines, want 2\n%s", n, &f.logs)
	}
}

// Who goes away while the reply is composed takes nothing with them: what it is
// composed of may be written down, as that the visitor's contact was told once.
func TestReply_IsComposedToItsEndEvenIfTheSenderLeaves(t *testing.T) {
	f := &fakes{reply: jivo.Reply{Result: "ok"}}
	ctx, leave := context.WithCancel(context.Background())
	var ended error
	f.onReply = func(ctx context.Context) { leave(); ended = ctx.Err() }
	send(listen(t, f), "POST", jivoPath, accepted, func(r *http.Request) { *r = *r.WithContext(ctx) })
	if len(f.replies) != 1 || ended != nil {
		t.Errorf("%d replies, ended with %v", len(f.replies), ended)
	}
}

// What the consent page sent a browser back with is told once, to nobody else, and
// the page is not kept: its address carries the code.
func TestOAuth_CodeIsKeptByNobody(t *testing.T) {
	f := &fakes{callback: http.StatusOK}
	w := send(listen(t, f), "GET", "/oauth/shop?"+url.Values{"code": {"the-code"}, "state": {"s"}}.Encode(), "")
	if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "the-code") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for header, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"} {
		if got := w.Header().Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}

// A handler that panics after its answer has begun writes no second one.
func TestListener_PanicAfterTheAnswerAddsNothingToIt(t *testing.T) {
	s := listen(t, &fakes{})
	for name, x := range map[string]*exchange{"stored": {stored: true}, "not stored": {}} {
		w := &once{t: t, header: http.Header{}}
		r, err := http.NewRequestWithContext(t.Context(), "POST", jivoPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		x.s, x.w, x.r, x.source, x.start = s, w, r, event.Jivo, time.Now()
		func() {
			defer x.end()
			x.ok()
			panic(name)
		}()
		if w.status != http.StatusOK {
			t.Errorf("%s: %d", name, w.status)
		}
	}
}

// once is a ResponseWriter that minds a second answer.
type once struct {
	t      *testing.T
	header http.Header
	status int
}

func (o *once) Header() http.Header         { return o.header }
func (o *once) Write(p []byte) (int, error) { return len(p), nil }
func (o *once) WriteHeader(status int) {
	if o.status != 0 {
		o.t.Errorf("answered %d, then %d", o.status, status)
	}
	o.status = status
}

// A request that is aborted on purpose stays so: net/http closes its connection.
func TestListener_AbortIsPassedOn(t *testing.T) {
	s := listen(t, &fakes{})
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("recovered %v", v)
		}
	}()
	r, err := http.NewRequestWithContext(t.Context(), "POST", jivoPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	x := &exchange{s: s, w: &once{t: t, header: http.Header{}}, r: r, source: event.Jivo, start: time.Now()}
	defer x.end()
	panic(http.ErrAbortHandler)
}
