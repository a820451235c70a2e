package amocrm

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/farend"
)

// lines is a log in memory.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// said returns the lines so far without their times.
func (l *lines) said() (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), " ")
		out = append(out, line)
	}
	return out
}

func (w *world) listen() *lines {
	l := &lines{}
	w.log = slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelInfo}))
	return l
}

// A pause is an alarm: one Error line when it begins, none at a probe, Info when
// it is over (product.md §8.8).
func TestAlarm_APauseIsToldOnce(t *testing.T) {
	for name, c := range map[string]struct {
		answer farend.Handler
		reason Trouble
		cause  string
	}{
		"unpaid":         {farend.Page(402), Unpaid, `"amoCRM answered 402"`},
		"ban":            {farend.Page(403), Banned, `"amoCRM answered 403"`},
		"401":            {farend.Page(401), Unauthorized, `"no other token"`},
		"5xx":            {farend.Page(503), Unavailable, `"amoCRM answered 503"`},
		"page with 200":  {farend.Page(200), BadAnswer, `"amoCRM answered 200 with something else than JSON"`},
		"nobody answers": {func(http.ResponseWriter, *http.Request, []byte) { panic(http.ErrAbortHandler) }, Unreachable, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{Probe: 10 * time.Second}, nil, c.answer, func(t *testing.T, w *world) {
				log := w.listen()
				_, _, _ = w.Lead(t.Context(), 1)
				pass(5 * time.Minute)
				_, _, _ = w.Lead(t.Context(), 1)
				w.Answer(farend.Landing(0))
				<-w.Resumed()
				synctest.Wait()
				want := []string{
					`level=ERROR msg="account paused" reason=` + string(c.reason) + " cause=" + c.cause + " probe=10s",
					`level=INFO msg="account resumed" reason=` + string(c.reason),
				}
				if got := log.said(); !slices.Equal(got, want) {
					t.Errorf("log:\n%s", strings.Join(got, "\n"))
				}
			})
		})
	}
}

// What passes and turns into what somebody must mend is an alarm of its own.
func TestAlarm_WorseTroubleIsToldToo(t *testing.T) {
	inBubble(t, Config{Probe: 10 * time.Second}, nil, farend.Page(503), func(t *testing.T, w *world) {
		log := w.listen()
		_, _, _ = w.Lead(t.Context(), 1)
		w.Answer(farend.Page(402))
		pass(time.Minute)
		w.Answer(farend.Page(500))
		pass(time.Minute)
		var levels []string
		for _, line := range log.said() {
			level, _, _ := strings.Cut(line, " ")
			levels = append(levels, level)
		}
		if !slices.Equal(levels, []string{"level=ERROR", "level=ERROR", "level=WARN"}) {
			t.Errorf("log:\n%s", strings.Join(log.said(), "\n"))
		}
	})
}

// dying is a grant that is found dead while nobody sends anything.
type dying struct{ fixed }

func (dying) Token(context.Context) (string, error) {
	return "", &NeedsAuth{Err: errors.New("revoked")}
}

func (d dying) KeepAlive(ctx context.Context, failed func(error)) {
	for range 5 {
		_, err := d.Token(ctx)
		failed(err)
		failed(&NotSent{Trouble: Unreachable, Reason: Unreachable})
	}
}

func TestAlarm_ADeadGrantPausesThoughNothingIsSent(t *testing.T) {
	inBubble(t, Config{}, dying{"t"}, farend.Landing(0), func(t *testing.T, w *world) {
		synctest.Wait()
		if s := w.State(); !s.Paused || s.Reason != AuthNeeded || len(w.Seen()) != 0 {
			t.Errorf("%+v, %d requests", s, len(w.Seen()))
		}
	})
}

// What is set up may be there although its answer was lost: that is not "not
// sent", or it would be made twice.
func TestSetup_IsInDoubtWhenItsAnswerIsLost(t *testing.T) {
	for name, answer := range map[string]farend.Handler{
		"504":           farend.Page(504),
		"page with 200": farend.Page(200),
		"dropped":       func(http.ResponseWriter, *http.Request, []byte) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{}, nil, answer, func(t *testing.T, w *world) {
				err := w.CreateTextField(t.Context(), "leads", "Jivo ID")
				if d, ok := errors.AsType[*InDoubt](err); !ok || d.SentAt.IsZero() {
					t.Errorf("%v", err)
				}
				if len(w.Seen()) != 1 || !w.State().Paused {
					t.Errorf("%d requests, %+v", len(w.Seen()), w.State())
				}
			})
		})
	}
}

// A ban page is remembered when the ban is over: another account's, soon after,
// makes it a ban by address.
func TestPause_BanIsRememberedAfterItIsLifted(t *testing.T) {
	inBubble(t, Config{Probe: time.Minute}, nil, farend.Page(403), func(t *testing.T, w *world) {
		_, _, _ = w.Lead(t.Context(), 1)
		pass(90 * time.Second) // the probe at one minute is banned too
		w.Answer(farend.Landing(0))
		<-w.Resumed()
		if since := time.Since(w.State().Barred); since != 2*time.Minute {
			t.Errorf("the last ban page was %v ago", since)
		}
	})
}
