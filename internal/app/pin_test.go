package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// deaf is a listener nobody calls.
type deaf struct{ net.Listener }

func (deaf) Close() error { return nil }

type handled struct{ http.Handler }

func (h handled) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// The names of an account come while nothing can be written, as on a full disk:
// whose account it is cannot be put down, so its events wait. With room again
// they are worked by themselves.
func TestConnect_FirstDictionaryThatCannotBeWrittenDownIsTakenUpLater(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		const token = "long-lived-token"
		amo := emulator.New(emulator.Options{Token: token, Latency: 50 * time.Millisecond})
		defer amo.Close()
		away := amo.Inject(emulator.Fault{Kind: emulator.GiveStatus, Status: 503, Times: -1, PathPrefix: "/"})
		text := fmt.Sprintf(`data: %q
limits: {free_space: 1MiB}
connections:
  shop:
    jivo: {secret: jivo-secret-0123456789}
    amocrm: {account: "http://127.0.0.1:3", token: %s}
`, filepath.Join(dir, "data"), token)
		cfg, problems := config.Parse("pin.yaml", []byte(text), nil, nil, config.Vocabulary{Kinds: jivo.Kinds(), Schema: jivo.Schema})
		if problems != nil {
			t.Fatal(problems)
		}
		a, err := New(cfg, Options{
			Log: slog.New(slog.DiscardHandler), Transport: handled{amo},
			Listen: func(string) (net.Listener, error) { return deaf{}, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		ctx, stop := context.WithCancel(t.Context())
		defer a.closeAccounts()
		defer stop()
		a.life = ctx
		a.apply(cfg)
		synctest.Wait()

		room := a.swap(closedStore(t, dir))
		away.Remove()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		a.swap(room)
		waits := func() bool {
			for _, p := range a.Ready(ctx) {
				if strings.Contains(p.What, "dictionary") {
					return true
				}
			}
			return false
		}
		if a.running()[0].account.keeper.Dict() == nil || !waits() {
			t.Fatalf("names read: %t; problems: %v", a.running()[0].account.keeper.Dict() != nil, a.Ready(ctx))
		}
		go a.housekeeping(ctx)
		time.Sleep(beat + time.Second)
		if waits() {
			t.Errorf("with room again: %v", a.Ready(ctx))
		}
	})
}

// swap puts another store in the place of the app's own.
func (a *App) swap(st *store.Store) (before *store.Store) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before, a.store = a.store, st
	return before
}

// closedStore is one that takes nothing.
func closedStore(t *testing.T, dir string) *store.Store {
	t.Helper()
	st, err := store.Open(store.Options{Path: filepath.Join(dir, "closed.db")})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return st
}
