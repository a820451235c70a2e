package emulator

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Report is what the referee saw. A client that plays by the rules leaves
// Violations and Lost empty.
type Report struct {
	Requests       int
	ByEndpoint     map[string]int // "POST /api/v4/leads/complex"; ids folded to {id}
	ByStatus       map[int]int    // answers of the account; faults and the gate not counted
	Writes         int            // requests that were not GET
	MaxInSecond    int            // most arrivals in any sliding second
	Limited        int            // 429s of the rate limit
	Banned         int            // requests made during a ban
	SpentRefreshes int            // refresh tokens used a second time
	Violations     []string       // what the protocol forbids, first 1,000
	Lost           []string       // phones, e-mails and tags that a write of the API took away
}

type referee struct {
	Report
	window []time.Time
	reads  map[string]*reading
}

// reading is one URL read again and again.
type reading struct {
	times []time.Time
	told  bool
}

// The same read more often than this within readWithin is "re-reading same
// data", which gets clients limited (amocrm-api.md §3).
const (
	readsMost      = 20
	readWithin     = 10 * time.Second
	violationsMost = 1000
)

func newReferee() referee {
	return referee{Report: Report{ByEndpoint: map[string]int{}, ByStatus: map[int]int{}}, reads: map[string]*reading{}}
}

func (f *referee) violate(where, format string, args ...any) {
	if len(f.Violations) < violationsMost {
		f.Violations = append(f.Violations, where+": "+fmt.Sprintf(format, args...))
	}
}

func (f *referee) lost(what []string) {
	if len(f.Lost) < violationsMost {
		f.Lost = append(f.Lost, what...)
	}
}

// arrived counts a request before anything is decided about it.
func (f *referee) arrived(r *http.Request, now time.Time) {
	f.Requests++
	f.ByEndpoint[methodOf(r)]++
	if r.Method != http.MethodGet {
		f.Writes++
	}
	f.window = append(since(f.window, now.Add(-time.Second)), now)
	f.MaxInSecond = max(f.MaxInSecond, len(f.window))
	if ua := r.Header.Get("User-Agent"); ua == "" || strings.HasPrefix(ua, "Go-http-client") {
		f.violate(r.Method+" "+r.URL.Path, "no user agent of its own: %q", ua)
	}
	if r.Method == http.MethodGet {
		f.read(r, now)
	}
}

func (f *referee) read(r *http.Request, now time.Time) {
	key := r.URL.RequestURI()
	if len(f.reads) > violationsMost*10 {
		clear(f.reads)
	}
	rd := f.reads[key]
	if rd == nil {
		rd = &reading{}
		f.reads[key] = rd
	}
	rd.times = append(since(rd.times, now.Add(-readWithin)), now)
	if len(rd.times) > readsMost && !rd.told {
		rd.told = true
		f.violate("GET "+r.URL.Path, "read over %d times within %s", readsMost, readWithin)
	}
}

func (f *referee) answered(ans answer) {
	f.ByStatus[ans.status]++
}

// checkWrite looks at the form of a request with a body (amocrm-api.md §1).
func (f *referee) checkWrite(r *http.Request) {
	ct, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if strings.TrimSpace(ct) != "application/json" {
		f.violate(r.Method+" "+r.URL.Path, "content type %q", ct)
	}
}

// Report returns a copy of what the referee has written down so far.
func (a *Account) Report() Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.referee.Report
	out.ByEndpoint, out.ByStatus = maps.Clone(out.ByEndpoint), maps.Clone(out.ByStatus)
	out.Violations, out.Lost = slices.Clone(out.Violations), slices.Clone(out.Lost)
	return out
}

// ResetReport forgets what was written down, but not the running second.
func (a *Account) ResetReport() {
	a.mu.Lock()
	defer a.mu.Unlock()
	window := a.referee.window
	a.referee = newReferee()
	a.referee.window = window
}
