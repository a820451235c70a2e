package gate

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
	"github.com/jivo-amocrm/bridge/internal/emulator/luck"
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

// Faults are those at work in an account.
type Faults struct {
	lock sync.Locker
	luck *luck.Luck
	list []*Injected
}

// NewFaults returns none. lock is the account's: what is called from outside
// takes it, Pick is called with it held, as luck must be.
func NewFaults(lock sync.Locker, l *luck.Luck) *Faults { return &Faults{lock: lock, luck: l} }

// Injected is a fault at work. It is safe for concurrent use.
type Injected struct {
	of    *Faults
	fault Fault
	left  int
	hits  int
}

// Inject puts a fault to work; of several that match the first one injected
// acts. It is safe for concurrent use.
func (a *Faults) Inject(f Fault) *Injected {
	a.lock.Lock()
	defer a.lock.Unlock()
	i := &Injected{of: a, fault: f, left: max(1, f.Times)}
	a.list = append(a.list, i)
	return i
}

// Remove takes the fault away.
func (i *Injected) Remove() {
	i.of.lock.Lock()
	defer i.of.lock.Unlock()
	i.of.list = slices.DeleteFunc(i.of.list, func(o *Injected) bool { return o == i })
}

// Hits is how often the fault has acted.
func (i *Injected) Hits() int {
	i.of.lock.Lock()
	defer i.of.lock.Unlock()
	return i.hits
}

// Pick is the fault that acts on a request. The account's lock is held.
func (a *Faults) Pick(r *http.Request) (Fault, bool) {
	for _, i := range a.list {
		f := i.fault
		if f.Method != "" && f.Method != r.Method || !strings.HasPrefix(r.URL.Path, f.PathPrefix) || i.left == 0 && f.Times >= 0 {
			continue
		}
		if f.Probability > 0 && !a.luck.Chance(f.Probability) {
			continue
		}
		i.left--
		i.hits++
		return f, true
	}
	return Fault{}, false
}

// Before says whether the request is refused without taking effect.
func (f Fault) Before() bool {
	switch f.Kind {
	case DropAfterCommit, Truncated, Slow, Trickle, Huge:
		return false
	}
	return !f.AfterCommit
}

// Refusal is the answer of a fault that refuses.
func (f Fault) Refusal() answer.Answer {
	switch f.Kind {
	case HTML200:
		return answer.Answer{Status: http.StatusOK, Type: answer.HTML, Body: []byte("<!DOCTYPE html><html><body><h1>Технические работы</h1></body></html>")}
	case RateLimit:
		ans := answer.Nginx(http.StatusTooManyRequests)
		if f.RetryAfter != "" {
			ans.Header = map[string]string{"Retry-After": f.RetryAfter}
		}
		return ans
	case BanNow:
		return answer.Nginx(http.StatusForbidden)
	case Unpaid:
		return answer.Problem(http.StatusPaymentRequired, "Аккаунт не оплачен")
	case Unauthorized:
		return answer.Problem(http.StatusUnauthorized, "Неверный логин или пароль")
	case GiveStatus:
		return statusAnswer(f.Status)
	}
	return answer.Answer{} // dropped: nothing is sent
}

func statusAnswer(status int) answer.Answer {
	switch status {
	case 0, http.StatusInternalServerError:
		return answer.Problem(http.StatusInternalServerError, "An unknown error occurred.")
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return answer.Nginx(status)
	}
	return answer.Problem(status, http.StatusText(status))
}

// hugeSize is what a client must not read into memory.
const hugeSize = 10 << 20

// Spoiled turns the answer of a request that took effect into the fault's.
func (f Fault) Spoiled(ans answer.Answer) answer.Answer {
	switch f.Kind {
	case Truncated:
		ans.Body = ans.Body[:len(ans.Body)/2]
		return ans
	case Huge:
		ans.Status = http.StatusOK
		ans.Body = slices.Concat([]byte(`{"_embedded":{"junk":"`), bytes.Repeat([]byte("x"), hugeSize), []byte(`"}}`))
		return ans
	case Slow, Trickle, DropAfterCommit:
		return ans
	}
	return f.Refusal()
}
