package amocrm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// maxBody is where a shared request stops taking items: 50 long transcripts
// must not become one request that no gateway takes.
const maxBody = 512 << 10

// maxReads is how many entities one list request is asked for by id; it keeps
// the URL under 2 KB.
const maxReads = 50

// group names what may share a request. The zero group shares with nothing.
type group struct {
	endpoint Endpoint // of writes
	entity   string   // of notes; of reads by id: leads or contacts
	cohort   uint64   // part of a request amoCRM refused whole: stays among itself
}

func (g group) reads() bool { return g.endpoint == 0 && g.entity != "" }

// kind is the group whichever part of it was refused.
func (g group) kind() group {
	g.cohort = 0
	return g
}

// job is one thing that waits for the budget: an item of a bulk write, a
// read by id, or a request of its own.
type job struct {
	group  group
	due    time.Time // what it is ordered by: see Priority.due
	at     time.Time // when it came
	behind int       // how many reads had left when it came
	urgent bool      // an operator waited for it when the queue was last looked at
	name   string    // identical waiting reads share one job; "" for writes
	keys   []string  // no two jobs with a common key are on their way together

	write   *Write // of a bulk write
	request string // its request_id
	id      int64  // of a read by id
	call    *call  // of a request of its own

	dropped  bool   // it went again because its connection was closed under it
	refused  string // the token it was last refused with
	refusals int    // how many tokens it was refused with
	callers  []*caller
	requests []event.Request // made for it so far
}

// caller waits for a job's outcome.
type caller struct {
	done     chan outcome
	gone     bool        // its ctx ended while the job was on its way: it must not go again
	operator func() bool // whether an operator waits for it; nil: none ever does
}

// outcome is what a caller gets: a Result, or the bytes of an answer.
type outcome struct {
	result   Result
	status   int
	body     []byte
	err      error
	requests []event.Request
}

// call is a request that is not gathered with others.
type call struct {
	method, path, query string
	body                []byte
}

// queue holds what waits for the budget, in the order it came.
type queue struct {
	mu      sync.Mutex
	batch   int
	waiting []*job
	busy    map[string]bool // keys of what is on its way
	sizes   map[group]int   // lowered batch sizes, after timeouts
	reads   int             // how many have left
	left    map[group]int   // of them, when writes of a kind last left
	inRow   int             // requests that left since the last one for which no operator waited
	changed chan struct{}   // capacity 1
	working bool            // a dispatcher runs
	closed  bool
	writes  int           // requests with writes on their way
	quiet   chan struct{} // closed when the queue is and no write is on its way
	cohorts uint64
	byName  map[string]*job
	spawn   func() // starts a dispatcher
}

func newQueue(batch int, spawn func()) *queue {
	return &queue{
		batch: batch, busy: map[string]bool{}, sizes: map[group]int{}, left: map[group]int{},
		changed: make(chan struct{}, 1), quiet: make(chan struct{}), byName: map[string]*job{}, spawn: spawn,
	}
}

// empty reports whether nothing waits.
func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) == 0
}

// add puts a job in. An identical read that has not left yet takes the job's
// callers over.
func (q *queue) add(j *job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return notSent(Closing, nil)
	}
	if same := q.byName[j.name]; j.name != "" && same != nil {
		same.callers = append(same.callers, j.callers...)
		if j.due.Before(same.due) {
			same.due = j.due
		}
		return nil
	}
	j.behind = q.reads
	q.insert(j)
	q.start()
	return nil
}

// back puts jobs in again that had left, at the place they had. Those nobody
// waits for any more are dropped.
func (q *queue) back(jobs []*job, cohort bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if cohort {
		q.cohorts++
	}
	for _, j := range jobs {
		if len(j.callers) == 0 {
			continue
		}
		if q.closed || !slices.ContainsFunc(j.callers, func(w *caller) bool { return !w.gone }) {
			j.finish(outcome{err: notSent(Closing, nil)})
			continue
		}
		if cohort {
			j.group.cohort = q.cohorts
		}
		q.insert(j)
	}
	if len(q.waiting) > 0 {
		q.start()
	}
}

func (q *queue) insert(j *job) {
	at, _ := slices.BinarySearchFunc(q.waiting, j, func(a, b *job) int {
		return cmp.Or(a.at.Compare(b.at), -1) // after those of the same instant
	})
	q.waiting = slices.Insert(q.waiting, at, j)
	if j.name != "" {
		q.byName[j.name] = j
	}
}

// start needs the lock: Close must not wait between the decision and the start.
func (q *queue) start() {
	q.poke()
	if !q.working {
		q.working = true
		q.spawn()
	}
}

// leave takes a caller off a job that still waits and reports whether it did;
// false: the job has left, or has its outcome.
func (q *queue) leave(w *caller) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	w.gone = true
	for i, j := range q.waiting {
		if !slices.Contains(j.callers, w) {
			continue
		}
		j.callers = slices.DeleteFunc(j.callers, func(o *caller) bool { return o == w })
		if len(j.callers) == 0 {
			q.waiting = slices.Delete(q.waiting, i, i+1)
			q.forget(j)
		}
		q.poke()
		return true
	}
	return false
}

func (q *queue) forget(j *job) {
	if q.byName[j.name] == j {
		delete(q.byName, j.name)
	}
}

// pick takes the most urgent job that may go now, and what may share its
// request. Jobs with a common key go in the order they came.
func (q *queue) pick() []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	free := q.free()
	if len(free) == 0 {
		return nil
	}
	best := q.mostUrgent(free)
	jobs := []*job{best}
	if best.group != (group{}) {
		jobs = gather(free, best.group, q.size(best.group))
	}
	if q.inRow++; !best.urgent {
		q.inRow = 0
	}
	for _, j := range jobs {
		q.forget(j)
		for _, k := range j.keys {
			q.busy[k] = true
		}
	}
	q.waiting = slices.DeleteFunc(q.waiting, func(j *job) bool { return slices.Contains(jobs, j) })
	if best.write == nil {
		q.reads++
	} else {
		q.writes++
		q.left[best.group.kind()] = q.reads
	}
	return jobs
}

// free returns the waiting jobs whose keys are free, in the order they came.
func (q *queue) free() (free []*job) {
	seen := map[string]bool{}
	for _, j := range q.waiting {
		ok := true
		for _, k := range j.keys {
			ok = ok && !q.busy[k] && !seen[k]
		}
		for _, k := range j.keys {
			seen[k] = true
		}
		if !ok {
			continue
		}
		j.urgent = slices.ContainsFunc(j.callers, func(w *caller) bool { return w.operator != nil && w.operator() })
		free = append(free, j)
	}
	return free
}

// mostUrgent is the job with the earliest due, with two exceptions. What an operator
// waits for goes before everything else, but every third request is another's: else
// a flood of chats would leave nothing for their notes, in groups of a few leads each.
// And where the earliest is a read, writes go before it of a kind that has stood behind
// enough of them.
func (q *queue) mostUrgent(free []*job) *job {
	if q.inRow < operatorsInRow {
		if j := earliest(free, func(j *job) bool { return j.urgent }); j != nil {
			return j
		}
	}
	best := earliest(free, func(*job) bool { return true })
	if best.write != nil {
		return best
	}
	return cmp.Or(earliest(free, func(j *job) bool {
		return j.write != nil && q.reads-max(j.behind, q.left[j.group.kind()]) >= patience
	}), best)
}

// earliest is the first due of the jobs that are meant, nil if none is.
func earliest(jobs []*job, meant func(*job) bool) (best *job) {
	for _, j := range jobs {
		if meant(j) && (best == nil || j.due.Before(best.due)) {
			best = j
		}
	}
	return best
}

// gather returns the most urgent jobs of a group, at most n of them and no
// more than fit into one body.
func gather(free []*job, g group, n int) []*job {
	jobs := slices.DeleteFunc(slices.Clone(free), func(j *job) bool { return j.group != g })
	rank := func(j *job) int {
		if j.urgent {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(jobs, func(a, b *job) int { return cmp.Or(rank(a)-rank(b), a.due.Compare(b.due)) })
	size := 0
	for i, j := range jobs {
		if j.write != nil {
			size += len(j.write.Item)
		}
		if i >= n || i > 0 && size > maxBody {
			return jobs[:i]
		}
	}
	return jobs
}

// size returns how many jobs of the group may share a request.
func (q *queue) size(g group) int {
	n := q.batch
	switch {
	case g.reads():
		n = min(n, maxReads)
	case g.endpoint == ComplexLeads:
		n = min(n, maxComplex)
	}
	if lowered, ok := q.sizes[g.kind()]; ok {
		n = min(n, lowered)
	}
	return n
}

// sized notes how a shared request of n went: after a timeout or 5xx the group
// goes in halves (amocrm-api.md §3), and grows back by doubling.
func (q *queue) sized(g group, n int, well bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	g = g.kind()
	lowered, ok := q.sizes[g]
	switch {
	case !well && n > 1:
		q.sizes[g] = max(n/2, 1)
	case well && ok && n >= lowered:
		if lowered *= 2; lowered >= q.batch {
			delete(q.sizes, g)
		} else {
			q.sizes[g] = lowered
		}
	}
}

// freed lets go of the keys of jobs that are no longer on their way.
func (q *queue) freed(jobs []*job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range jobs {
		for _, k := range j.keys {
			delete(q.busy, k)
		}
	}
	if jobs[0].write != nil {
		q.writes--
		q.hush()
	}
	q.poke()
}

// hush needs the lock.
func (q *queue) hush() {
	if !q.closed || q.writes > 0 {
		return
	}
	select {
	case <-q.quiet:
	default:
		close(q.quiet)
	}
}

// work reports what the dispatcher is to do: go on, wait for changed, or end.
func (q *queue) work() (ready, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.working = false
		return false, false
	}
	return len(q.free()) > 0, true
}

// flush ends everything that waits with err.
func (q *queue) flush(err error) {
	q.mu.Lock()
	jobs := q.waiting
	q.waiting = nil
	clear(q.byName)
	for _, j := range jobs {
		j.finish(outcome{err: err})
	}
	q.poke()
	q.mu.Unlock()
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.hush()
	q.mu.Unlock()
	q.flush(notSent(Closing, nil))
}

func (q *queue) poke() {
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

// end gives a job's callers its outcome.
func (q *queue) end(j *job, o outcome) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j.finish(o)
}

// finish needs the queue's lock.
func (j *job) finish(o outcome) {
	o.requests = j.requests
	for _, w := range j.callers {
		w.done <- o // capacity 1, and one outcome a caller
	}
	j.callers = nil
}

// suspectKey names the job for gate.suspected.
func (j *job) suspectKey() string {
	switch {
	case j.write != nil && len(j.write.Keys) > 0:
		return strings.Join(j.write.Keys, " ")
	case j.write != nil:
		return fmt.Sprintf("%d %s %d", j.write.Endpoint, j.write.Entity, j.write.EntityID)
	case j.name != "":
		return j.name
	}
	return j.call.method + " " + j.call.path
}
