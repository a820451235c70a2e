package app_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// fed is a journal with a feed into it.
type fed struct {
	t    *testing.T
	st   *store.Store
	feed *app.Feed
}

func newFed(t *testing.T) *fed {
	t.Helper()
	text := "limits: {body: 1KiB}\nconnections:\n  shop:\n    jivo: {secret: 0123456789abcdef, channels: [\"1\"]}\n    amocrm: {account: https://example.amocrm.ru, token: t}\n"
	cfg, problems := config.Parse("c.yaml", []byte(text), func(string) (string, bool) { return "", false },
		func(string) ([]byte, error) { return nil, fs.ErrNotExist }, config.Vocabulary{Kinds: jivo.Kinds(), Schema: jivo.Schema})
	if problems != nil {
		t.Fatal(problems)
	}
	st, err := store.Open(store.Options{Path: filepath.Join(t.TempDir(), "bridge.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return &fed{t: t, st: st, feed: app.NewFeed(st, cfg, cfg.Connections[0])}
}

// importDay is when the events of these tests happen: minutes of one day.
func importDay(minute int) time.Time {
	return time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC).Add(time.Duration(minute) * time.Minute)
}

// put feeds a body and says what became of it: "pending", "duplicate", "stale", …
func (f *fed) put(s app.Saved) string {
	f.t.Helper()
	got, err := f.feed.Put(f.t.Context(), s)
	if err != nil {
		f.t.Fatal(err)
	}
	if got.Reason != "" {
		return string(got.Reason)
	}
	return string(got.State)
}

// Bodies of one chat, client, deal and task; n tells one state from another.
func importBody(kind string, n int) []byte {
	rest := map[string]string{
		"chat_accepted":    `"chat_id":7,"agent":{"id":1},"visitor":{"number":"42"}`,
		"chat_updated":     `"chat_id":7,"visitor":{"number":"42","name":"%d"}`,
		"chat_finished":    `"chat_id":7,"visitor":{"number":"42"},"chat":{"messages":[{"message":"x","timestamp":%d,"type":"visitor"}]}`,
		"other_chat":       `"chat_id":8,"visitor":{"number":"42","name":"%d"}`,
		"client_updated":   `"client_id":"42","visitor":{"number":"42","name":"%d"}`,
		"call_event":       `"chat_id":7,"visitor":{"number":"42"},"call":{"type":"incoming","phone":"+79161234567","status":"start","n":%d}`,
		"updated_deal":     `"client_id":"42","deal_id":5,"title":"%d"`,
		"another_deal":     `"client_id":"42","deal_id":6,"title":"%d"`,
		"deleted_deal":     `"client_id":"42","deal_id":5`,
		"offline_message":  `"chat_id":7,"offline_message_id":"%d","message":"m","visitor":{"number":"42"}`,
		"updated_pipeline": `"pipeline_id":3,"title":"%d"`,
	}[kind]
	name := map[string]string{"other_chat": "chat_updated", "another_deal": "updated_deal"}[kind]
	if name == "" {
		name = kind
	}
	if strings.Contains(rest, "%d") {
		rest = fmt.Sprintf(rest, n)
	}
	return []byte(`{"event_name":"` + name + `",` + rest + `}`)
}

// live has an event arrive as if Jivo had sent it then.
func (f *fed) live(minute int, kind string, n int) {
	f.t.Helper()
	if got := f.put(app.Saved{Body: importBody(kind, n), At: importDay(minute)}); got != "pending" {
		f.t.Fatalf("%s arrived live and is %s", kind, got)
	}
}

// TestFeed_StateOlderThanWhatCameIsStale: what a saved webhook with a time of its
// own becomes after other events arrived.
func TestFeed_StateOlderThanWhatCameIsStale(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		live string // "minute kind n, …"
		at   int
		kind string
		n    int
		want string
	}{
		{"nothing came", "", 5, "chat_updated", 1, "pending"},
		{"older than the same chat's", "10 chat_updated 2", 5, "chat_updated", 1, "stale"},
		{"newer than the same chat's", "10 chat_updated 2", 15, "chat_updated", 1, "pending"},
		{"in the same second, another state", "10 chat_updated 2", 10, "chat_updated", 1, "pending"},
		{"the very same", "10 chat_updated 2", 10, "chat_updated", 2, "duplicate"},
		{"the very same, with newer ones since", "10 chat_updated 2, 11 chat_updated 3", 10, "chat_updated", 2, "duplicate"},
		{"older than another chat's of the client", "10 other_chat 2", 5, "chat_updated", 1, "pending"},
		{"an accepted chat that went on", "10 chat_updated 2", 5, "chat_accepted", 0, "stale"},
		{"an accepted chat that was finished", "10 chat_finished 2", 5, "chat_accepted", 0, "stale"},
		{"a chat reopened after it was finished", "10 chat_finished 2", 15, "chat_accepted", 0, "pending"},
		{"a finished chat is no state", "10 chat_updated 2", 5, "chat_finished", 1, "pending"},
		{"an offline message is no state", "10 offline_message 2", 5, "offline_message", 1, "pending"},
		{"an offline message told again", "10 offline_message 1", 5, "offline_message", 1, "duplicate"},
		{"an earlier moment of a call", "10 call_event 2", 5, "call_event", 1, "stale"},
		{"a client's older state", "10 client_updated 2", 5, "client_updated", 1, "stale"},
		{"a deal's older state", "10 updated_deal 2", 5, "updated_deal", 1, "stale"},
		{"a state of a deal that was deleted since", "10 deleted_deal 0", 5, "updated_deal", 1, "stale"},
		{"another deal's newer state", "10 another_deal 2", 5, "updated_deal", 1, "pending"},
		{"a pipeline's older state", "10 updated_pipeline 2", 5, "updated_pipeline", 1, "stale"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFed(t)
			for part := range strings.SplitSeq(c.live, ", ") {
				var minute, n int
				var kind string
				if k, _ := fmt.Sscan(part, &minute, &kind, &n); k == 3 {
					f.live(minute, kind, n)
				}
			}
			if got := f.put(app.Saved{Body: importBody(c.kind, c.n), At: importDay(c.at)}); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestFeed_StaleLeavesTheNewestStateToTellRepeatsBy: after a stale one, Jivo's
// own redelivery of the newest state is still a repeat.
func TestFeed_StaleLeavesTheNewestStateToTellRepeatsBy(t *testing.T) {
	t.Parallel()
	f := newFed(t)
	f.live(10, "chat_updated", 2)
	if got := f.put(app.Saved{Body: importBody("chat_updated", 1), At: importDay(5)}); got != "stale" {
		t.Fatal(got)
	}
	if got := f.put(app.Saved{Body: importBody("chat_updated", 2), At: importDay(20)}); got != "duplicate" {
		t.Errorf("the newest state told again is %s", got)
	}
}

// TestFeed_PictureOfTheClientOutdatesAnImportedState: the client's picture may be
// newer than any event that is still kept.
func TestFeed_PictureOfTheClientOutdatesAnImportedState(t *testing.T) {
	t.Parallel()
	f := newFed(t)
	err := f.st.Update(t.Context(), func(tx *store.Tx) error {
		return tx.PutClient("shop", &event.Client{ID: "42", Described: true, ReceivedAt: importDay(10)})
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := f.put(app.Saved{Body: importBody("client_updated", 1), At: importDay(5)}); got != "stale" {
		t.Errorf("an older state is %s", got)
	}
	if got := f.put(app.Saved{Body: importBody("client_updated", 1), At: importDay(15)}); got != "pending" {
		t.Errorf("a newer state is %s", got)
	}
}

// importFile feeds bodies as lines of a file without times, written at minute.
func (f *fed) importFile(minute int, bodies ...[]byte) (got []string) {
	f.t.Helper()
	file := importDay(minute)
	for i, b := range bodies {
		got = append(got, f.put(app.Saved{Body: b, File: file, At: file.Add(time.Duration(i))}))
	}
	return got
}

// TestFeed_FileWithoutTimes: lines without a time keep their order, a line that
// arrived before counts as arrived, and the file may be imported again.
func TestFeed_FileWithoutTimes(t *testing.T) {
	t.Parallel()
	x, y := importBody("chat_updated", 1), importBody("chat_updated", 2)
	t.Run("a state that returns is not swallowed, and once only", func(t *testing.T) {
		t.Parallel()
		f := newFed(t)
		if got := f.importFile(30, x, y, x); fmt.Sprint(got) != "[pending pending pending]" {
			t.Errorf("first: %v", got)
		}
		if got := f.importFile(30, x, y, x); fmt.Sprint(got) != "[duplicate duplicate duplicate]" {
			t.Errorf("again: %v", got)
		}
	})
	t.Run("what arrived before is not doubled", func(t *testing.T) {
		t.Parallel()
		f := newFed(t)
		f.live(10, "chat_accepted", 0)
		f.live(11, "chat_updated", 1)
		f.live(12, "chat_finished", 5)
		got := f.importFile(30, importBody("chat_accepted", 0), x, y, importBody("chat_finished", 5))
		if fmt.Sprint(got) != "[duplicate duplicate pending duplicate]" {
			t.Error(got)
		}
	})
	t.Run("a chat that was lived through opens nothing, its body being purged", func(t *testing.T) {
		t.Parallel()
		f := newFed(t)
		f.live(10, "chat_accepted", 0)
		f.live(12, "chat_finished", 5)
		err := f.st.Update(t.Context(), func(tx *store.Tx) error {
			if err := tx.DropBody(1); err != nil {
				return err
			}
			return tx.DropBody(2)
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := f.importFile(30, importBody("chat_accepted", 0)); got[0] != "stale" {
			t.Error(got)
		}
	})
	t.Run("what came after the file was written is newer", func(t *testing.T) {
		t.Parallel()
		f := newFed(t)
		f.live(40, "chat_updated", 2)
		if got := f.importFile(30, x); got[0] != "stale" {
			t.Error(got)
		}
	})
}

// TestFeed_TakesTheDoorOfLiveEvents: what the listener would do with a body, the
// feed does.
func TestFeed_TakesTheDoorOfLiveEvents(t *testing.T) {
	t.Parallel()
	f := newFed(t)
	for body, want := range map[string]string{
		`hello`:                             "unparsable",
		`{"event_name":"nobody_knows"}`:     "unknown_event",
		`{"id":1}`:                          "unknown_event",
		`{{"event_name":"client_updated"}}`: "pending",
		`{"event_name":"chat_accepted","chat_id":1,"widget_id":"2","visitor":{"number":"1"}}`: "channel",
	} {
		if got := f.put(app.Saved{Body: []byte(body), At: importDay(1)}); got != want {
			t.Errorf("%s is %s, want %s", body, got, want)
		}
	}
	big := app.Saved{Body: []byte(`{"event_name":"x","v":"` + strings.Repeat("x", 1<<10) + `"}`), At: importDay(1)}
	if _, err := f.feed.Put(t.Context(), big); err != app.ErrTooLarge {
		t.Errorf("a body over limits.body: %v", err)
	}
	err := f.st.View(func(tx *store.Tx) error {
		evs, _, err := tx.Events(store.Filter{Connection: "shop", Kind: "client_updated"})
		if err == nil && (len(evs) != 1 || !evs[0].ReceivedAt.Equal(importDay(1)) || evs[0].Source != event.Jivo) {
			t.Errorf("stored as %+v", evs)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// An older state of somebody who was forgotten since brings nothing of them back.
func TestFeed_StaleStateOfAForgottenPersonIsKeptWithoutItsBody(t *testing.T) {
	t.Parallel()
	f := newFed(t)
	f.live(9, "chat_updated", 1)
	f.live(10, "chat_updated", 2)
	if err := f.st.Update(t.Context(), func(tx *store.Tx) error { return tx.Forget("shop", "42") }); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		minute, n int
		want      string
	}{{5, 0, "stale"}, {9, 1, "stale"}, {10, 2, "duplicate"}} {
		got, err := f.feed.Put(t.Context(), app.Saved{Body: importBody("chat_updated", c.n), At: importDay(c.minute)})
		if err != nil || string(got.Reason) != c.want {
			t.Fatalf("%+v, %v, want %s", got, err, c.want)
		}
		err = f.st.View(func(tx *store.Tx) error {
			if stored := got.Reason != event.Duplicate; stored != (got.Seq != 0) || tx.Body(got.Seq) != nil {
				t.Errorf("state %d is kept whole: %+v", c.n, got)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	f.live(15, "chat_updated", 3) // what is new is news
}
