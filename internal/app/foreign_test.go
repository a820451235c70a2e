package app_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/store"
)

// A connection whose name belongs to another account is not worked: nothing is made for
// it in the one that it points to by mistake, and no operator waits for its leads.
func TestForeign_NothingIsSetUpInAnotherAccount(t *testing.T) {
	set := labSetup{top: "public_url: https://bridge.example\n", amocrm: "setup: auto\nmarker_field: Foreign ID\n", conn: "reply: {wait: 2s}\n"}
	inLab(t, set, func(l *lab) {
		l.await("everything is set up", time.Minute, func() bool {
			by := l.amo.Report().ByEndpoint
			return by["POST /api/v4/webhooks"] == 1 && by["POST /api/v4/leads/custom_fields"] == 1
		})
		err := l.app.Store().Update(l.t.Context(), func(tx *store.Tx) error { return store.Set(tx, store.Pins, store.Key(e2eName), int64(999)) })
		if err != nil {
			t.Fatal(err)
		}
		l.text = strings.ReplaceAll(strings.Replace(l.text, "Foreign ID", "Another ID", 1), "bridge.example", "moved.example")
		l.restart(time.Second)
		time.Sleep(5 * time.Minute)
		by := l.amo.Report().ByEndpoint
		equal(t, "subscriptions", by["POST /api/v4/webhooks"], 1)
		equal(t, "fields", by["POST /api/v4/leads/custom_fields"]+by["POST /api/v4/contacts/custom_fields"], 2)
		began := time.Now()
		equal(t, "status", l.post(ivan().accepted()), 200)
		equal(t, "waited", time.Since(began), 0)
	})
}
