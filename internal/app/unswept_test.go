package app_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator"
)

// A token that may not see what happened in the account has readyz say so until it may:
// cards follow by hooks alone then.
func TestReady_SaysThatTheSweepIsRefused(t *testing.T) {
	inLab(t, labSetup{amocrm: "sweep: 3m\n"}, func(l *lab) {
		forbidden := l.amo.Inject(emulator.Fault{PathPrefix: "/api/v4/events", Kind: emulator.GiveStatus, Status: http.StatusForbidden, Times: 1000})
		time.Sleep(10 * time.Minute)
		problems := l.app.Ready(l.t.Context())
		if len(problems) != 1 || problems[0].Connection != e2eName || !strings.Contains(problems[0].What, "what hooks miss is not found out: amocrm: refused (403)") {
			l.t.Errorf("readyz says %+v", problems)
		}
		forbidden.Remove()
		time.Sleep(4 * time.Minute)
		if problems := l.app.Ready(l.t.Context()); len(problems) != 0 {
			l.t.Errorf("readyz says %+v", problems)
		}
	})
}
