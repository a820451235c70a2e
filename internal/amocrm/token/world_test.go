package token

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/budget"
	"github.com/jivo-amocrm/bridge/internal/amocrm/farend"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a client, running, and its far end, inside a bubble.
type world struct {
	*farend.Far
	*amocrm.Client
	tr *http.Transport
}

func inBubble(t *testing.T, tokens amocrm.Tokens, handler farend.Handler, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f, stop := farend.Start(handler)
		w := &world{Far: f, tr: f.Behind(budget.NewHTTP1())}
		w.Client = amocrm.New(amocrm.Config{BaseURL: "http://demo.amocrm.ru"}, tokens, nil, nil, nil, w.tr)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.Run(ctx) })
		synctest.Wait()

		defer func() {
			cancel()
			running.Wait()
			w.Close()
			w.tr.CloseIdleConnections()
			stop()
		}()
		test(t, w)
	})
}

// lead is the n-th lead to be made.
func lead(n int) amocrm.Write {
	return amocrm.Write{
		Endpoint: amocrm.ComplexLeads, Keys: []string{fmt.Sprintf("k%d", n)},
		Item: json.RawMessage(fmt.Sprintf(`{"name":"lead %d"}`, n)),
	}
}
