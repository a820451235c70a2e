package emulator

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FaultKind is a way for a request to go wrong.
type FaultKind string

// The kinds of fault. Those named "answer" spoil the answer of a request that
// took effect; the others refuse it, unless AfterCommit says otherwise.
const (
	DropBefore      FaultKind = "drop_before"       // connection closed, nothing done
	DropAfterCommit FaultKind = "drop_after_commit" // done, then closed without an answer
	GiveStatus      FaultKind = "status"            // Status, with a body as a gateway or the account gives it
	HTML200         FaultKind = "html200"           // 200 with a page
	Truncated       FaultKind = "truncated"         // answer: half of its JSON
	Slow            FaultKind = "slow"              // answer: after Delay
	Trickle         FaultKind = "trickle"           // answer: a byte per Delay
	Huge            FaultKind = "huge"              // answer: 10 MB of JSON that mean nothing
	RateLimit       FaultKind = "rate_limit"        // 429, with RetryAfter if set
	BanNow          FaultKind = "ban"               // 403 page, as during a ban
	Unpaid          FaultKind = "unpaid"            // 402
	Unauthorized    FaultKind = "unauthorized"      // 401
)

// Fault is trouble for requests that match.
type Fault struct {
	Method      string  // "" any
	PathPrefix  string  // "" any
	Times       int     // how often; 0 once, negative for ever
	Probability float64 // 0 always
	Kind        FaultKind
	Status      int  // of GiveStatus; default 500
	AfterCommit bool // the request takes effect before it goes wrong
	Delay       time.Duration
	RetryAfter  string // header of RateLimit, verbatim
}

// Injected is a fault at work.
type Injected struct {
	a     *Account
	fault Fault
	left  int
	hits  int
}

// Inject puts a fault to work; of several that match the first one injected acts.
func (a *Account) Inject(f Fault) *Injected {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := &Injected{a: a, fault: f, left: max(1, f.Times)}
	a.faults = append(a.faults, i)
	return i
}

// Remove takes the fault away.
func (i *Injected) Remove() {
	i.a.mu.Lock()
	defer i.a.mu.Unlock()
	i.a.faults = slices.DeleteFunc(i.a.faults, func(o *Injected) bool { return o == i })
}

// Hits is how often the fault has acted.
func (i *Injected) Hits() int {
	i.a.mu.Lock()
	defer i.a.mu.Unlock()
	return i.hits
}

func (a *Account) pickFault(r *http.Request) (Fault, bool) {
	for _, i := range a.faults {
		f := i.fault
		if f.Method != "" && f.Method != r.Method || !strings.HasPrefix(r.URL.Path, f.PathPrefix) || i.left == 0 && f.Times >= 0 {
			continue
		}
		if f.Probability > 0 && a.rnd.Float64() >= f.Probability {
			continue
		}
		i.left--
		i.hits++
		return f, true
	}
	return Fault{}, false
}

// before says whether the request is refused without taking effect.
func (f Fault) before() bool {
	switch f.Kind {
	case DropAfterCommit, Truncated, Slow, Trickle, Huge:
		return false
	}
	return !f.AfterCommit
}

// faulty is the answer of a fault that refuses.
func (a *Account) faulty(f Fault) answer {
	switch f.Kind {
	case HTML200:
		return answer{status: http.StatusOK, ctype: html, body: []byte("<!DOCTYPE html><html><body><h1>Технические работы</h1></body></html>")}
	case RateLimit:
		ans := nginx(http.StatusTooManyRequests)
		if f.RetryAfter != "" {
			ans.header = map[string]string{"Retry-After": f.RetryAfter}
		}
		return ans
	case BanNow:
		return nginx(http.StatusForbidden)
	case Unpaid:
		return problem(http.StatusPaymentRequired, "Аккаунт не оплачен")
	case Unauthorized:
		return problem(http.StatusUnauthorized, "Неверный логин или пароль")
	case GiveStatus:
		return statusAnswer(f.Status)
	}
	return answer{} // dropped: nothing is sent
}

func statusAnswer(status int) answer {
	switch status {
	case 0, http.StatusInternalServerError:
		return problem(http.StatusInternalServerError, "An unknown error occurred.")
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return nginx(status)
	}
	return problem(status, http.StatusText(status))
}

// hugeSize is what a client must not read into memory.
const hugeSize = 10 << 20

// spoiled turns the answer of a request that took effect into the fault's.
func (a *Account) spoiled(f Fault, ans answer) answer {
	switch f.Kind {
	case Truncated:
		ans.body = ans.body[:len(ans.body)/2]
		return ans
	case Huge:
		ans.status = http.StatusOK
		ans.body = slices.Concat([]byte(`{"_embedded":{"junk":"`), bytes.Repeat([]byte("x"), hugeSize), []byte(`"}}`))
		return ans
	case Slow, Trickle, DropAfterCommit:
		return ans
	}
	return a.faulty(f)
}

// reply sends the answer, or lets the connection die.
func (a *Account) reply(w http.ResponseWriter, r *http.Request, ans answer, f Fault) {
	switch f.Kind {
	case DropBefore, DropAfterCommit:
		panic(http.ErrAbortHandler)
	case Slow:
		a.sleep(r.Context(), f.Delay)
	}
	h := w.Header()
	h.Set("Content-Type", ans.ctype)
	h.Set("X-Request-Id", a.requestID())
	h.Set("Date", a.opt.Now().UTC().Format(http.TimeFormat))
	for k, v := range ans.header {
		h.Set(k, v)
	}
	if ans.status == http.StatusNoContent {
		w.WriteHeader(ans.status)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(ans.body)))
	w.WriteHeader(ans.status)
	if f.Kind != Trickle {
		_, _ = w.Write(ans.body) // the client is gone: nothing to do about it
		return
	}
	a.trickle(w, r, ans.body, f.Delay)
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
	return a.hex(32)
}
