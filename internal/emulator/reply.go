package emulator

import (
	"net/http"
	"strconv"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
)

// reply sends the answer, or lets the connection die.
func (a *Account) reply(w http.ResponseWriter, r *http.Request, ans answer.Answer, f Fault) {
	switch f.Kind {
	case DropBefore, DropAfterCommit:
		panic(http.ErrAbortHandler)
	case Slow:
		a.sleep(r.Context(), f.Delay)
	}
	h := w.Header()
	h.Set("Content-Type", ans.Type)
	h.Set("X-Request-Id", a.requestID())
	h.Set("Date", a.opt.Now().UTC().Format(http.TimeFormat))
	for k, v := range ans.Header {
		h.Set(k, v)
	}
	if ans.Status == http.StatusNoContent {
		w.WriteHeader(ans.Status)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(ans.Body)))
	w.WriteHeader(ans.Status)
	if f.Kind != Trickle {
		_, _ = w.Write(ans.Body) // the client is gone: nothing to do about it
		return
	}
	a.trickle(w, r, ans.Body, f.Delay)
}

func (a *Account) trickle(w http.ResponseWriter, r *http.Request, body []byte, every time.Duration) {
	flush := http.NewResponseController(w)
	for i := range body {
		if _, err := w.Write(body[i : i+1]); err != nil || r.Context().Err() != nil {
			return
		}
		_ = flush.Flush() // a writer that cannot flush still gets its bytes
		a.sleep(r.Context(), max(every, time.Millisecond))
	}
}

func (a *Account) requestID() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.luck.Hex(32)
}
