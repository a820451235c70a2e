package app_test

import (
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jivo-amocrm/bridge/internal/canary"
	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// watched is what every world of this package has before its bridge: what goes in
// and what stands in the account must come out nowhere (product.md §8.7).
func watched(t *testing.T, amo *emulator.Account) *canary.Watch {
	w := canary.New(t)
	w.Add(canary.Secret, e2eSecret, e2eHook)
	w.Add(canary.Token, e2eToken)
	t.Cleanup(func() { // a manager's hand is seen nowhere else
		for _, c := range amo.Contacts() {
			w.Add(canary.Phone, c.Values("PHONE")...)
			w.Add(canary.Email, c.Values("EMAIL")...)
		}
		for _, n := range amo.AllNotes() {
			w.Add(canary.Text, n.Text())
		}
		for _, task := range amo.Tasks() {
			w.Add(canary.Text, task.Text)
		}
	})
	return w
}

// shown is where the bridge's log goes beside: to the test's own output where
// E2E_LOG is set.
func shown(t *testing.T) []io.Writer {
	if os.Getenv("E2E_LOG") == "" {
		return nil
	}
	return []io.Writer{t.Output()}
}

// inspect looks at what a bridge shows and keeps when a test is over: with a
// watched client at the answers that anybody may see, and in its journal at the
// errors. A bridge that has been stopped has neither.
func inspect(c *http.Client, admin string, st *store.Store, w *canary.Watch) {
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		res, err := c.Get(admin + path)
		if err != nil {
			return
		}
		_ = res.Body.Close() // it was read on the way
	}
	f := store.Filter{Limit: 500}
	_ = st.View(func(tx *store.Tx) error { // a closed store has no errors
		for {
			evs, next, err := tx.Events(f)
			for _, ev := range evs {
				w.Scan("detail of "+ev.Kind, canary.Anything, []byte(ev.Detail))
				for _, ch := range ev.Changes {
					w.Scan("error of a change", canary.Anything, []byte(ch.Error))
				}
				for _, r := range ev.Requests {
					w.Scan("request of an event", canary.Anything, []byte(r.Path+"\n"+r.Answer))
				}
			}
			if f.Before = next; err != nil || next == 0 {
				return err
			}
		}
	})
}

// The watch of a world sees the bridge's own log, its metrics and its refusals:
// were one of these words a secret, the test would fail.
func TestCanaries_AWorldSeesEverythingThatComesOut(t *testing.T) {
	w := newWorld(t, setup{})
	w.tell(ivan().accepted())
	inspect(w.client, w.admin, w.app.Store(), w.watch)
	w.raw("POST", w.pub+"/jivo/"+e2eName+"/wrong", "{}")
	for word, place := range map[string]string{
		"msg=serving": "log, app.go:", "bridge_build_info": "answer 200 OK to GET /metrics", "not found": "answer 404 Not Found to POST /jivo",
	} {
		if !slices.ContainsFunc(w.watch.Holding(word), func(at string) bool { return strings.HasPrefix(at, place) }) {
			t.Errorf("%q did not come out at %s", word, place)
		}
	}
}
