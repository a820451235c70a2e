package gate

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

// Referee watches what comes to an account and writes down what a client does
// wrong. It is not safe for concurrent use: the account's lock guards it.
type Referee struct {
	report Report
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

// NewReferee returns a referee who has seen nothing.
func NewReferee() *Referee {
	return &Referee{report: Report{ByEndpoint: map[string]int{}, ByStatus: map[int]int{}}, reads: map[string]*reading{}}
}

// Violate writes down that the protocol was broken, and where.
func (f *Referee) Violate(where, format string, args ...any) {
	if len(f.report.Violations) < violationsMost {
		f.report.Violations = append(f.report.Violations, where+": "+fmt.Sprintf(format, args...))
	}
}

// Lost writes down what a write took away.
func (f *Referee) Lost(what []string) {
	if len(f.report.Lost) < violationsMost {
		f.report.Lost = append(f.report.Lost, what...)
	}
}

// Arrived counts a request before anything is decided about it.
func (f *Referee) Arrived(r *http.Request, now time.Time) {
	f.report.Requests++
	f.report.ByEndpoint[methodOf(r)]++
	if r.Method != http.MethodGet {
		f.report.Writes++
	}
	f.window = append(since(f.window, now.Add(-time.Second)), now)
	f.report.MaxInSecond = max(f.report.MaxInSecond, len(f.window))
	if ua := r.Header.Get("User-Agent"); ua == "" || strings.HasPrefix(ua, "Go-http-client") {
		f.Violate(r.Method+" "+r.URL.Path, "no user agent of its own: %q", ua)
	}
	if r.Method == http.MethodGet {
		f.read(r, now)
	}
}

// read watches for the same read again and again.
func (f *Referee) read(r *http.Request, now time.Time) {
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
		f.Violate("GET "+r.URL.Path, "read over %d times within %s", readsMost, readWithin)
	}
}

// Answered counts an answer the account itself gave.
func (f *Referee) Answered(status int) { f.report.ByStatus[status]++ }

// SpentRefresh counts a refresh token that was used a second time.
func (f *Referee) SpentRefresh() { f.report.SpentRefreshes++ }

// CheckWrite looks at the form of a request with a body (amocrm-api.md §1).
func (f *Referee) CheckWrite(r *http.Request) {
	ct, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if strings.TrimSpace(ct) != "application/json" {
		f.Violate(r.Method+" "+r.URL.Path, "content type %q", ct)
	}
}

// Report is a copy of what was written down so far.
func (f *Referee) Report() Report {
	out := f.report
	out.ByEndpoint, out.ByStatus = maps.Clone(out.ByEndpoint), maps.Clone(out.ByStatus)
	out.Violations, out.Lost = slices.Clone(out.Violations), slices.Clone(out.Lost)
	return out
}

// Reset forgets what was written down, but not the running second.
func (f *Referee) Reset() {
	*f = Referee{report: NewReferee().report, window: f.window, reads: map[string]*reading{}}
}

// methodOf names the endpoint of a request for the referee's tallies: ids are
// folded, the query is left out.
func methodOf(r *http.Request) string {
	parts := strings.Split(r.URL.Path, "/")
	for i, p := range parts {
		if p != "" && strings.Trim(p, "0123456789") == "" {
			parts[i] = "{id}"
		}
	}
	return r.Method + " " + strings.Join(parts, "/")
}
