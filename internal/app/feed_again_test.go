package app_test

import (
	"context"
	"testing"

	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/delivery"
)

// Found by the simulation (N7, -sim.hand).

// A file that is imported again after a person in it was forgotten brings nothing of
// theirs back: what it says is gone, that it came is not.
func TestImport_AgainAfterAPersonWasForgottenTakesNothing(t *testing.T) {
	f := newFed(t)
	lines := []app.Saved{
		{Body: importBody("call_event", 1), At: importDay(1)},
		{Body: importBody("call_event", 2), At: importDay(1)}, // a log tells seconds
		{Body: importBody("client_updated", 1), At: importDay(3)},
	}
	for _, l := range lines {
		equal(t, "at first", f.put(l), "pending")
	}
	if err := delivery.Forget(context.Background(), f.st, "shop", "42"); err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if got := f.put(l); got == "pending" {
			t.Errorf("taken again: %s", l.Body)
		}
	}
}

// A repeat that arrived in one moment with its chat's end is in the journal already.
func TestImport_ARepeatThatArrivedIsNotTaken(t *testing.T) {
	f := newFed(t)
	at := importDay(1)
	first := importBody("chat_accepted", 0)
	repeat := append([]byte(" "), first...)
	equal(t, "first", f.put(app.Saved{Body: first, At: at}), "pending")
	equal(t, "repeat", f.put(app.Saved{Body: repeat, At: at}), "duplicate")
	equal(t, "end", f.put(app.Saved{Body: importBody("chat_finished", 1), At: at}), "pending")
	equal(t, "repeat again", f.put(app.Saved{Body: repeat, At: at}), "duplicate")
	equal(t, "first again", f.put(app.Saved{Body: first, At: at}), "duplicate")
}
