package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// keptRequests bounds the requests remembered with an event.
const keptRequests = 40

// job is one attempt at one event.
type job struct {
	d     *Dispatcher
	c     *Connection
	seq   uint64
	line  line      // held up while this runs; guarded by d.mu
	began time.Time // when it was taken up; no two of a claim at the same moment
	turns

	// mu guards ev and effects: the account's sender marks changes as sent
	// (Dispatcher.Sent) while the worker waits for its answer.
	mu sync.Mutex
	ev *event.Event
	// effects are what the store must learn together with the next thing
	// written down about this event: links made, cards, what froze.
	effects []func(*store.Tx) error
	learned int     // how many effects came before the decision what to write
	broken  error   // an effect panicked: the store cannot be told of this event
	first   uint64  // an event of the line, woken by this one or meanwhile, that goes first
	lost    []int64 // contacts that turned out to be gone
	resumed bool    // the change list is that of an earlier attempt

	state                       // what is known locally
	leadsThen map[int64][]int64 // by contact: its leads as they were known when it was found
	unlock    []func()
}

// run makes the attempt and writes down how it ended.
func (j *job) run(ctx context.Context) {
	defer func() {
		if j.first == 0 { // else its turn is yet to come, and whoever waits for it waits on
			j.d.announce(j.seq)
		}
	}()
	body, err := j.load()
	if err != nil {
		j.d.log.Error("cannot read an event", "connection", j.c.Name, "seq", j.seq, "error", err)
		return
	}
	if j.first != 0 || j.ev.State != event.Pending && j.ev.State != event.Parked {
		return
	}
	began := time.Now()
	ending := j.attempt(ctx, body)
	if j.isBroken() == nil {
		err = j.settle(ctx, ending)
	}
	if cause := j.isBroken(); cause != nil { // as a panic in a rule or handler
		j.d.log.Error("panic while writing an event down", "connection", j.c.Name, "seq", j.seq, "kind", j.kind(), "error", cause)
		j.mu.Lock()
		j.effects, j.learned, j.broken = nil, 0, nil
		j.mu.Unlock()
		ending = panicked()
		err = j.settle(ctx, ending)
	}
	j.release()
	j.d.noticeFull(err)
	if err != nil && ctx.Err() == nil {
		j.d.log.Error("cannot write down how an event ended", "connection", j.c.Name, "seq", j.seq, "error", err)
		j.away(func() { rest(ctx, shortest) }) // it is still due: without a rest it would be tried at once, again and again
	}
	j.logAttempt(ctx, ending, time.Since(began))
}

// release gives the locks of people and companies back.
func (j *job) release() {
	for _, u := range slices.Backward(j.unlock) {
		u()
	}
	j.unlock = nil
}

// shortest is the least an event is put off.
const shortest = time.Second

// rest waits for d or the end of ctx.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (j *job) load() (body []byte, err error) {
	err = j.d.store.View(func(tx *store.Tx) error {
		ev, err := tx.Event(j.seq)
		if err != nil {
			return err
		}
		j.ev = ev
		body = tx.Body(j.seq)
		if head, ok := tx.Head(ev.Connection, ev.Line); ok && head != j.seq && j.line != (line{}) && ev.State == event.Pending { // one that is parked stands in no line
			j.first = head // it was claimed by what was true before that one was woken
		}
		return nil
	})
	return body, err
}

// panicked is the ending of an event whose handling panicked.
func panicked() event.Ending {
	return event.Kill{Reason: event.Panicked, Detail: "the bridge panicked; the log has the stack"}
}

// attempt works the event. A panic in a rule or handler ends in one dead event.
func (j *job) attempt(ctx context.Context, body []byte) (ending event.Ending) {
	defer func() {
		if r := recover(); r != nil {
			j.d.log.Error("panic while working an event", "connection", j.c.Name, "seq", j.seq, "kind", j.kind(), "stack", string(debug.Stack()))
			ending = panicked()
		}
	}()
	ctx = amocrm.WithOperator(amocrm.WithSince(amocrm.WithTrace(ctx, j.trace), j.began), j.isAwaited)
	if j.ev.Source == event.AmoCRM {
		return j.d.hooks.Apply(ctx, j.c.Name, j.ev, body)
	}
	goesOn := j.ev.Frozen // its change list stands; only applying is left
	ending = j.jivo(ctx, body)
	if goesOn && isFinished(ending) {
		ending = j.after()
	}
	return ending
}

// trace remembers a request made for this event.
func (j *job) trace(r event.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.ev.Requests) < keptRequests {
		j.ev.Requests = append(j.ev.Requests, r)
	}
}

func (j *job) warn(format string, a ...any) {
	w := fmt.Sprintf(format, a...)
	if !slices.Contains(j.ev.Warnings, w) && len(j.ev.Warnings) < 50 {
		j.ev.Warnings = append(j.ev.Warnings, w)
	}
}

// settle writes the ending down. An attempt cut short leaves the event as it
// was, except for what is already known to have happened.
func (j *job) settle(ctx context.Context, ending event.Ending) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	ev, now := j.ev, time.Now()
	switch e := ending.(type) {
	case event.Cut:
		if !ev.Frozen {
			return nil // nothing of it has left: it is mapped anew
		}
	case event.Finished:
		j.end(event.Done, "", e.Detail, now)
	case event.Skip:
		j.end(event.Skipped, e.Reason, e.Detail, now)
	case event.Kill:
		j.end(event.Dead, e.Reason, e.Detail, now)
	case event.Park:
		ev.State, ev.NextAt = event.Parked, e.Until
		ev.Reason, ev.Detail = "", "waits until an event describes its client"
	case event.Snooze:
		j.undecide()
		ev.State, ev.Detail, ev.NextAt = event.Pending, e.Why, e.Until
		if soon := now.Add(shortest); ev.NextAt.Before(soon) && !j.paused() && j.first == 0 {
			ev.NextAt = soon
		}
	case event.Retry:
		j.putOff(e, now)
	}
	// Under shutdown the worker's ctx is over, yet what happened must be kept.
	if err := j.save(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	if ev.State.Settled() {
		j.d.obs.Settled(ev.Connection, ev.Source, ev.Kind, ev.State, now.Sub(ev.ReceivedAt).Seconds())
	}
	return nil
}

// paused reports whether the account is paused: then nothing is claimed before
// it resumes, and everything is due at once when it does.
func (j *job) paused() bool { return j.c.Account.CRM.State().Paused }

func (j *job) end(s event.State, r event.Reason, detail string, now time.Time) {
	j.ev.State, j.ev.Reason, j.ev.Detail = s, r, detail
	j.ev.SettledAt, j.ev.NextAt = now, time.Time{}
}

// undecide drops a change list of which nothing has left, with what was to be
// remembered along with it: the event is mapped anew, for the person's contact
// may be another's work by then. mu is held.
func (j *job) undecide() {
	if j.ev.Frozen || len(j.ev.Changes) == 0 {
		return
	}
	j.effects = j.effects[:min(j.learned, len(j.effects))]
	j.ev.Changes = slices.DeleteFunc(j.ev.Changes, func(ch event.Change) bool { return ch.State == event.Open && ch.Error != displaced })
	for i := range j.ev.Changes {
		if ch := &j.ev.Changes[i]; ch.State == event.Open {
			ch.State = event.Dropped // displaced still
		}
	}
}

// putOff burns an attempt.
func (j *job) putOff(e event.Retry, now time.Time) {
	j.undecide()
	ev := j.ev
	ev.Attempts++
	if ev.Waited >= j.c.GiveUp {
		j.end(event.Dead, event.GaveUp, "tried "+strconv.Itoa(ev.Attempts)+" times; the last time: "+e.Err.Error(), now)
		return
	}
	wait := j.c.backoff(ev.Attempts, j.d.rand())
	ev.Waited += wait
	ev.State, ev.NextAt, ev.Detail = event.Pending, now.Add(wait), e.Err.Error()
}

// save writes the event and the pending effects in one commit. mu is held.
func (j *job) save(ctx context.Context) error {
	t, ev := telling{effects: j.effects}, *j.ev
	err := j.update(ctx, func(tx *store.Tx) error {
		ev = *j.ev // the store may try more than once
		err := t.put(tx, &ev)
		if errors.Is(err, errForgotten) {
			return j.keepTraces(tx) // nothing of them comes back but what stands in amoCRM
		}
		return err
	})
	if err != nil {
		j.broken = t.panicked(err)
		return err
	}
	*j.ev, j.effects, j.learned = ev, nil, 0
	return nil
}

// telling is what a transaction is told of one event.
type telling struct {
	effects []func(*store.Tx) error
	amid    bool // one of them has begun and not returned
}

// put runs the effects and writes the event. errForgotten: its person was forgotten
// while it was worked, and nothing is written.
func (t *telling) put(tx *store.Tx, ev *event.Event) error {
	stands, err := tx.Event(ev.Seq)
	if err != nil {
		return err
	}
	if isForgotten(stands) {
		return errForgotten
	}
	if err := t.run(tx); err != nil {
		return err
	}
	takeOver(stands, ev)
	return tx.Put(ev)
}

func (t *telling) run(tx *store.Tx) error {
	for _, do := range t.effects {
		t.amid = true
		err := do(tx)
		t.amid = false
		if err != nil {
			return err
		}
	}
	return nil
}

// panicked returns err, with which the transaction ended, if an effect panicked. The
// store recovers; a panic of its own, over a damaged file, is no event's fault.
func (t *telling) panicked(err error) error {
	if t.amid && !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	return nil
}

func (j *job) isBroken() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.broken
}

// isForgotten reports whether the event's person was forgotten while it was worked.
func isForgotten(stands *event.Event) bool {
	return stands.State == event.Dead && stands.Reason == event.Forgotten
}

// takeOver puts into an event that is about to be written that it was woken while it
// was worked, as what stands of it tells. One that has come to its end is then to be
// mapped anew.
func takeOver(stands, ev *event.Event) {
	if ev.Woken = ev.Woken || stands.Woken; ev.Woken && ev.State.Settled() {
		ev.Changes = slices.Clone(ev.Changes)
		anew(ev, time.Now())
	}
}

// effect adds something the store must learn with the next write.
func (j *job) effect(do func(*store.Tx) error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.effects = append(j.effects, do)
}

// checkpoint writes down what is known so far.
func (j *job) checkpoint(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.save(context.WithoutCancel(ctx))
}

// departure is what the store must hold before a request leaves: the event with
// the given changes sent, and the effects that froze with them. It is taken
// before the commit, so that no lock of a job is held over an fsync of others.
func (j *job) departure(keys []string, left moment) (ev event.Event, effects []func(*store.Tx) error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	ev = *j.ev
	ev.Changes = slices.Clone(ev.Changes)
	markSent(&ev, keys, left)
	return ev, slices.Clone(j.effects)
}

func (j *job) markSent(keys []string, left moment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.effects, j.learned = nil, 0
	markSent(j.ev, keys, left)
}

func markSent(ev *event.Event, keys []string, left moment) {
	ev.Frozen = true
	for i := range ev.Changes {
		if ch := &ev.Changes[i]; slices.Contains(keys, ch.Key) && ch.State != event.Settled && ch.State != event.Dropped {
			ch.State, ch.SentAt, ch.Ahead, ch.LookedAt, ch.Looks = event.Sent, left.at, left.ahead, time.Time{}, 0
		}
	}
}

// keyOf makes a change's ledger key; seqOf reads the event's number back.
func keyOf(seq uint64, op event.Op, target event.Target, rule string) string {
	return strconv.FormatUint(seq, 10) + "/" + string(op) + "/" + string(target) + "/" + rule
}

func seqOf(key string) (uint64, bool) {
	s, _, ok := strings.Cut(key, "/")
	if !ok {
		return 0, false
	}
	seq, err := strconv.ParseUint(s, 10, 64)
	return seq, err == nil
}

// kind is the event's name for the log: one that nobody knows may be any text.
func (j *job) kind() string {
	if j.ev.Source == event.Jivo && !slices.Contains(j.c.Kinds, j.ev.Kind) {
		return "other"
	}
	return j.ev.Kind
}

// logAttempt writes the one wide line of an attempt.
func (j *job) logAttempt(ctx context.Context, ending event.Ending, took time.Duration) {
	if _, cut := ending.(event.Cut); cut {
		return
	}
	ev := j.ev
	level := slog.LevelDebug
	switch {
	case ev.State == event.Dead:
		level = slog.LevelError
	case ev.Attempts == 1 && ev.State == event.Pending:
		level = slog.LevelWarn
	case ev.State == event.Done && ev.Attempts > 0:
		level = slog.LevelInfo
	}
	if !j.d.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("connection", ev.Connection), slog.Uint64("seq", ev.Seq), slog.String("source", string(ev.Source)),
		slog.String("kind", j.kind()), slog.String("state", string(ev.State)), slog.Duration("took", took),
		slog.Int("attempts", ev.Attempts), slog.Int("requests", len(ev.Requests)), slog.Int("warnings", len(ev.Warnings)),
	}
	if ev.Reason != "" {
		attrs = append(attrs, slog.String("reason", string(ev.Reason)))
	}
	if !ev.State.Settled() && ev.Detail != "" {
		attrs = append(attrs, slog.String("detail", ev.Detail))
	}
	j.d.log.LogAttrs(ctx, level, "event", attrs...)
}

// snooze puts an event off for trouble that is not its own. While the account
// is paused the event stays due: the pause holds it back, and a pause that ends
// early, because somebody mended the token, must not leave it waiting.
func snooze(e *amocrm.NotSent) event.Snooze {
	s := event.Snooze{Until: e.Until, Why: "the account: " + string(e.Reason)}
	if e.Trouble != amocrm.RateLimited {
		s.Until = time.Time{}
	}
	return s
}

// ended turns an error of a step before any write into an ending.
func ended(ctx context.Context, err error) event.Ending {
	var notSent *amocrm.NotSent
	var doubt *amocrm.InDoubt
	var refused *amocrm.Refused
	switch {
	case ctx.Err() != nil:
		return event.Cut{}
	case errors.As(err, &notSent):
		return snooze(notSent)
	case errors.Is(err, errForgotten): // the event ended while it was worked
		return event.Cut{}
	case errors.As(err, &doubt): // a read has no doubt, only no answer
		return event.Retry{Err: err}
	case errors.As(err, &refused):
		return event.Kill{Reason: event.Refused, Detail: refused.Error()}
	case errors.Is(err, store.ErrBroken), errors.Is(err, store.ErrFull):
		return event.Snooze{Until: time.Now().Add(time.Second), Why: "the store cannot be written"}
	}
	return event.Retry{Err: err}
}
