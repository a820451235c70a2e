package app_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jivo-amocrm/bridge/internal/emulator/site"
)

// While a client's updates wait, the last one's write stands for those before it.
func TestUpdates_ThatWaitTogetherAreOneRequest(t *testing.T) {
	w := newWorld(t, setup{amocrm: "probe: 300ms"})
	v := site.NewVisitor(5, 1)
	v.Phone, _ = v.Contacts()
	w.post(v.Accepted())
	w.settle()

	w.amo.SetUnpaid(2) // the account is paused, and updates gather
	before := w.amo.Report().ByEndpoint["PATCH /api/v4/contacts"]
	w.post(v.Updated("", "first@example.com"))
	w.await("the account is paused", func() bool { return len(w.app.Ready(t.Context())) > 0 })
	for i := range 20 {
		w.post(v.Updated("", fmt.Sprintf("mail%d@example.com", i)))
	}
	w.amo.SetUnpaid(0)
	w.settle()

	c := w.amo.Contacts()[0]
	if got := c.Values("EMAIL"); len(got) != 21 || !slices.Contains(got, "first@example.com") || !slices.Contains(got, "mail19@example.com") {
		t.Errorf("e-mails: %v", got)
	}
	if n := w.amo.Report().ByEndpoint["PATCH /api/v4/contacts"] - before; n > 6 {
		t.Errorf("21 updates took %d requests", n)
	}
}
