// Package delivery carries events from the journal to amoCRM. It claims what
// is due, keeps the order of each client while clients run side by side, maps,
// applies the changes through a ledger, and settles. Every step takes a value
// from the store and puts one back, so that a crash between two steps is an
// ordinary case.
package delivery

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// maxInFlight bounds how many events of one connection are worked at once.
// Several hundred must be, or the groups that share a request never fill
// (architecture.md, decision 6).
const maxInFlight = 512

// Observer is told how events end.
type Observer interface {
	// Settled: an event came to its end, so many seconds after it was received.
	Settled(connection string, source event.Source, kind string, state event.State, seconds float64)
	// InDoubt: a write whose answer was lost was looked up; outcome is found, missing or resent.
	InDoubt(connection, outcome string)
	// Unresolved: an event needed a name of the config, or an agent's user, that
	// amoCRM does not have.
	Unresolved(connection string, seq uint64, name string)
}

// Hooks applies an amoCRM hook to the local knowledge. It makes no request.
type Hooks interface {
	Apply(ctx context.Context, connection string, ev *event.Event, body []byte) event.Ending
}

// Dispatcher claims due events and works them. Its methods are safe for
// concurrent use.
type Dispatcher struct {
	store *store.Store
	hooks Hooks
	obs   Observer
	log   *slog.Logger
	rand  func() float64
	onEnd func(seq uint64)

	mu         sync.Mutex
	conns      map[string]*Connection
	jobs       map[uint64]*job // in flight, by event
	lines      map[line]bool   // lines with an event in flight that is not detached
	inFlight   map[string]int  // by connection
	waiters    map[uint64][]chan struct{}
	lookedOver map[string]bool // of Run: connections of which nothing is left to look over
	awaited    map[line]int    // operators who wait for an event, by its line
	kick       chan struct{}
	work       sync.WaitGroup
	turns      turns
	full       time.Time // until then nothing is claimed: the disk was full; zero: it was not
}

// New returns a dispatcher without connections; SetConnections gives it some
// and Run sets it going.
func New(st *store.Store, hooks Hooks, obs Observer, log *slog.Logger) *Dispatcher {
	return &Dispatcher{
		store: st, hooks: hooks, obs: obs, log: log, rand: rand.Float64,
		conns: map[string]*Connection{}, jobs: map[uint64]*job{}, lines: map[line]bool{}, inFlight: map[string]int{},
		waiters: map[uint64][]chan struct{}{}, awaited: map[line]int{}, lookedOver: map[string]bool{}, kick: make(chan struct{}, 1), turns: newTurns(),
	}
}

// SetConnections replaces the connections that are worked. Events of others
// stay where they are.
func (d *Dispatcher) SetConnections(conns []*Connection) {
	m := make(map[string]*Connection, len(conns))
	for _, c := range conns {
		m[c.Name] = c
	}
	d.mu.Lock()
	d.conns = m
	d.mu.Unlock()
	d.Kick()
}

// OnEnd has fn told of each event whose attempt ended. It is called before Run.
func (d *Dispatcher) OnEnd(fn func(seq uint64)) { d.onEnd = fn }

// Kick makes the dispatcher look at the store again, for example when a pause
// has ended or a dictionary has come.
func (d *Dispatcher) Kick() {
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// Run claims and works events until ctx ends, then waits for the workers. An
// attempt cut short by the end of ctx leaves its event as it was.
func (d *Dispatcher) Run(ctx context.Context) {
	defer d.work.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var clock clock
	began := time.Now()
	for {
		if now := time.Now(); clock.setBack(now, now.Sub(began)) {
			d.pullBack(ctx)
		}
		next := d.claimAll(ctx)
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return
		case <-d.store.Wake():
		case <-d.kick:
		case <-timer.C:
		}
	}
}

// claimAll claims for every connection and returns how long nothing more will
// become due.
func (d *Dispatcher) claimAll(ctx context.Context) time.Duration {
	d.mu.Lock()
	conns := make([]*Connection, 0, len(d.conns))
	for _, c := range d.conns {
		conns = append(conns, c)
	}
	d.mu.Unlock()
	if rest := d.fullFor(ctx); rest > 0 {
		return rest
	}
	if err := d.lookOver(ctx, conns); err != nil {
		d.noticeFull(err)
		d.log.Error("cannot look over what was left in doubt", "error", err)
		return time.Second
	}
	wait := time.Minute
	for _, c := range conns {
		if c.Waiting || !c.Account.ready() {
			continue // its resume or its dictionary kicks
		}
		if w := d.claim(ctx, c); w < wait {
			wait = w
		}
	}
	return max(wait, time.Millisecond)
}

// fullRest is how long nothing is claimed after the disk was full: what is found in
// amoCRM for an event could not be written down, and would be asked for again and
// again. It is longer than a good commit answers for the store's health.
const fullRest = 11 * time.Second

// noticeFull has the dispatcher rest if err says that the disk is full.
func (d *Dispatcher) noticeFull(err error) {
	if !errors.Is(err, store.ErrFull) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = time.Now().Add(fullRest)
}

// fullFor is how long the dispatcher rests still; 0 once the store can be written.
func (d *Dispatcher) fullFor(ctx context.Context) time.Duration {
	d.mu.Lock()
	until := d.full
	d.mu.Unlock()
	if until.IsZero() {
		return 0
	}
	if rest := time.Until(until); rest > 0 {
		return rest
	}
	if err := d.store.Writable(ctx); err != nil {
		return time.Second
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full.Equal(until) {
		d.full = time.Time{}
	}
	return 0
}

// claim starts a worker for each due event of c that there is room for. For what an
// operator waits for there always is.
func (d *Dispatcher) claim(ctx context.Context, c *Connection) time.Duration {
	d.mu.Lock()
	room := maxInFlight - d.inFlight[c.Name]
	d.mu.Unlock()
	var due []*job
	var next time.Time
	now := time.Now()
	take := func(ev *event.Event) {
		began := now.Add(time.Duration(len(due))) // what stands first comes first to its end
		due = append(due, &job{d: d, c: c, seq: ev.Seq, line: lineOf(ev), began: began, turns: d.turnsFor(ev.Source)})
	}
	taken := func(seq uint64) bool {
		return d.working(seq) || slices.ContainsFunc(due, func(j *job) bool { return j.seq == seq })
	}
	err := d.store.View(func(tx *store.Tx) (err error) {
		for _, ev := range d.awaitedHeads(tx, c.Name) {
			if !ev.DueAt().After(now) && !taken(ev.Seq) {
				take(ev)
			}
		}
		if len(due) >= room {
			return nil // a finished worker kicks
		}
		next, err = tx.Due(c.Name, now, func(seq uint64, _ time.Time) bool {
			if taken(seq) {
				return true
			}
			if ev, err := tx.Event(seq); err == nil {
				take(ev)
			}
			return len(due) < room
		})
		return err
	})
	if err != nil {
		d.log.Error("cannot read the due events", "connection", c.Name, "error", err)
		return time.Second
	}
	for _, j := range due {
		d.start(ctx, j)
	}
	if next.IsZero() {
		return time.Minute
	}
	return next.Sub(now)
}

// turnsFor: a hook takes no turn. An operator's answer may wait for it, and it
// makes no request that others could answer at once.
func (d *Dispatcher) turnsFor(source event.Source) turns {
	if source == event.AmoCRM {
		return nil
	}
	return d.turns
}

// line is the order in which events of one client, or of one chat, are worked. The
// zero line is none.
type line struct{ connection, name string }

// lineOf is the line an event holds up while it is worked.
func lineOf(ev *event.Event) line {
	if ev.Line == "" || ev.Detached {
		return line{}
	}
	return line{ev.Connection, ev.Line}
}

func (d *Dispatcher) working(seq uint64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.jobs[seq] != nil
}

// start works one event in a goroutine of its own, unless it or another of its
// line is in flight: an event that was woken may stand before one that runs.
func (d *Dispatcher) start(ctx context.Context, j *job) {
	d.mu.Lock()
	if d.jobs[j.seq] != nil || d.lines[j.line] {
		d.mu.Unlock()
		return
	}
	d.jobs[j.seq] = j
	if j.line != (line{}) {
		d.lines[j.line] = true
	}
	d.inFlight[j.c.Name]++
	d.work.Add(1)
	d.mu.Unlock()
	go func() {
		defer d.work.Done()
		defer func() {
			d.mu.Lock()
			delete(d.jobs, j.seq)
			delete(d.lines, j.line)
			d.inFlight[j.c.Name]--
			d.mu.Unlock()
			if d.onEnd != nil {
				d.onEnd(j.seq)
			}
			d.Kick()
		}()
		j.take()
		defer j.leave()
		j.run(ctx)
	}()
}

// leaveLine lets the next event of j's line go before j has ended.
func (d *Dispatcher) leaveLine(j *job) {
	d.mu.Lock()
	delete(d.lines, j.line)
	j.line = line{}
	d.mu.Unlock()
	d.Kick()
}

// siblings names the connections that share an account.
func (d *Dispatcher) siblings(a *Account) (names []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, c := range d.conns {
		if c.Account == a {
			names = append(names, name)
		}
	}
	return names
}

// ApplyHook works a hook event at once, outside the queue: hooks make no
// request, so they are applied even while the account is paused. It reports
// whether the connection is worked at all; if not, OnEnd is not told.
func (d *Dispatcher) ApplyHook(ctx context.Context, connection string, seq uint64) bool {
	d.mu.Lock()
	c := d.conns[connection]
	d.mu.Unlock()
	if c != nil {
		d.start(ctx, &job{d: d, c: c, seq: seq, began: time.Now()})
	}
	return c != nil
}

// InFlight reports how many events of a connection are being worked.
func (d *Dispatcher) InFlight(connection string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.inFlight[connection]
}

// errForgotten ends an attempt, or keeps a request from leaving: the person of the
// event, or of one of the request's events, was forgotten a moment ago. The others
// go with the next one.
var errForgotten = errors.New("delivery: the person of an event was forgotten")

// Sent implements amocrm.Ledger: the changes with these keys are about to leave
// in one request. They are on disk as sent, with everything that froze with
// them, when it returns nil.
func (d *Dispatcher) Sent(ctx context.Context, keys []string) error {
	bySeq := map[uint64][]string{}
	var order []*job
	for _, k := range keys {
		seq, ok := seqOf(k)
		if !ok {
			continue // a write outside any event, such as a look after the account
		}
		d.mu.Lock()
		j := d.jobs[seq]
		d.mu.Unlock()
		if j == nil {
			return errors.New("delivery: a change left without its event")
		}
		if bySeq[seq] == nil {
			order = append(order, j)
		}
		bySeq[seq] = append(bySeq[seq], k)
	}
	if len(order) == 0 {
		return nil
	}
	left := order[0].c.Account.moment() // one request, one account
	type leaving struct {
		ev event.Event
		telling
	}
	all := make([]leaving, len(order))
	for i, j := range order {
		all[i].ev, all[i].effects = j.departure(bySeq[j.seq], left)
	}
	err := d.store.Update(ctx, func(tx *store.Tx) error {
		for i := range all {
			if err := all[i].put(tx, &all[i].ev); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		d.noticeFull(err)
		for i, j := range order {
			if cause := all[i].panicked(err); cause != nil {
				j.mu.Lock()
				j.broken = cause
				j.mu.Unlock()
			}
		}
		return err
	}
	for _, j := range order {
		j.markSent(bySeq[j.seq], left)
	}
	return nil
}
