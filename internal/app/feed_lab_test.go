package app_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/app"
)

// A saved webhook whose time lies ahead, such as local time written as UTC, is worked
// at once like any other, and holds up no live event of its client. It keeps its time:
// imported again, it is a repeat.
func TestImport_ATimeThatLiesAheadHoldsNobodyUp(t *testing.T) {
	inLab(t, labSetup{}, func(l *lab) {
		v := ivan()
		lines := []app.ImportLine{{At: time.Now().Add(3 * time.Hour), Body: string(v.updated())}}
		for i, want := range []app.ImportCounts{{Read: 1, Taken: 1}, {Read: 1, Repeats: 1}} {
			n, err := l.app.Import(t.Context(), e2eName, lines)
			if err != nil || n != want {
				t.Errorf("import %d: %+v, %v", i, n, err)
			}
		}
		equal(t, "status", l.post(v.accepted()), http.StatusOK)
		l.settle(time.Minute)
		equal(t, "leads", len(l.amo.Leads()), 1)
		l.verdict()
	})
}
