package amocrm

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/budget"
)

// submit queues a job and waits for its outcome. The caller's ctx ends the
// waiting for a place in the budget and for what is read, never a write on its way.
func (c *Client) submit(ctx context.Context, j *job) outcome {
	if err := ctx.Err(); err != nil {
		return outcome{err: notSent(Closing, err)}
	}
	if c.State().Paused {
		return outcome{err: c.pausedError()}
	}
	w := &caller{done: make(chan outcome, 1), operator: operatorOf(ctx)}
	j.callers = []*caller{w}
	if err := c.queue.add(j); err != nil {
		return outcome{err: err}
	}
	if c.State().Paused {
		c.queue.flush(c.pausedError()) // it shut between the look and the add
	}
	select {
	case o := <-w.done:
		traceOf(ctx, o.requests)
		return o
	case <-ctx.Done():
	}
	if c.queue.leave(w) || j.write == nil {
		return outcome{err: notSent(Closing, ctx.Err())}
	}
	// A write that has left is waited for: its answer spares a look-up. Close,
	// and the request's own timeout, end that.
	o := <-w.done
	traceOf(ctx, o.requests)
	return o
}

// dispatch gives the budget's places to the most urgent jobs, until none waits.
// One runs at a time, and none while nothing waits.
func (c *Client) dispatch() {
	for {
		ready, more := c.queue.work()
		if !more {
			return
		}
		if !ready {
			if budget.Sleep(c.life, 0, c.queue.changed) != nil {
				return
			}
			continue
		}
		token, err := c.tokens.Token(c.life)
		if err != nil {
			c.tokenFailed(err)
			continue
		}
		s, err := c.budget.Wait(c.life)
		if errors.Is(err, budget.ErrHeld) {
			c.queue.flush(c.heldError())
			continue
		}
		if err != nil {
			return // closed, and flushed by Close
		}
		if c.rest.Swap(0) != 0 {
			c.log.Info("amoCRM's rest is over")
		}
		jobs := c.queue.pick()
		if len(jobs) == 0 {
			s.Release()
			continue
		}
		c.obs.LimiterWait(time.Since(jobs[0].at))
		c.wg.Go(func() { c.run(jobs, s, token) })
	}
}

// pauses reports whether trouble with a token is the account's, rather than the
// pace's, the store's or ours.
func pauses(t Trouble) bool { return t != RateLimited && t != Unrecorded && t != Closing }

// tokenFailed pauses for a token that cannot be had.
func (c *Client) tokenFailed(err error) {
	t := tokenTrouble(err)
	if pauses(t) {
		c.pause(t, err)
	}
	c.queue.flush(&NotSent{Trouble: t, Reason: t, Until: c.State().Until, Err: err})
}

// keepFailed pauses for a grant that is dead, though nothing wants to be sent yet.
// Everything else may have passed by then.
func (c *Client) keepFailed(err error) {
	if tokenTrouble(err) == AuthNeeded {
		c.pause(AuthNeeded, err)
	}
}

// heldError ends what waits while a 429 holds everything back for longer than a request
// waits it out. It is said once for each such rest: operators see their cards get old.
func (c *Client) heldError() *NotSent {
	until := c.budget.Held()
	if c.rest.Swap(until.UnixNano()) != until.UnixNano() {
		c.log.Error("amoCRM asks for a rest; nothing is sent until then", "pause", RateLimited, "until", until.Format(time.RFC3339))
	}
	return &NotSent{Trouble: RateLimited, Reason: RateLimited, Until: until}
}

// run makes the one request of some jobs and brings each to its end, or back
// into the queue.
func (c *Client) run(jobs []*job, s *budget.Slot, token string) {
	var again []*job
	halve := false
	switch first := jobs[0]; {
	case first.write != nil:
		again, halve = c.runWrites(jobs, s, token)
	case first.group.reads():
		again = c.runReads(jobs, s, token)
	default:
		again = c.runCall(first, s, token)
	}
	c.queue.freed(jobs)
	if halve {
		c.requeue(again[:len(again)/2], true)
		again = again[len(again)/2:]
	}
	c.requeue(again, halve)
}

// requeue lets jobs wait again; as a cohort they share requests only with each
// other.
func (c *Client) requeue(jobs []*job, cohort bool) {
	if len(jobs) == 0 {
		return
	}
	c.queue.back(jobs, cohort)
	if c.State().Paused {
		c.queue.flush(c.pausedError())
	}
}

// account handles what concerns the account rather than the jobs: 401, 429,
// and trouble of the whole account. handled is false if the answer is about the
// jobs; again are the jobs that wait once more.
func (c *Client) account(jobs []*job, a answer, token string) (handled bool, again []*job) {
	if !a.left && c.life.Err() != nil {
		c.endAll(jobs, notSent(Closing, nil))
		return true, nil
	}
	switch a.verdict {
	case throttled:
		return true, jobs
	case unauthorized:
		return true, c.reauthorize(jobs, token)
	case barred:
		if a.trouble == BadAnswer {
			return c.badAnswer(jobs, a)
		}
		c.pause(a.trouble, a.cause())
		c.endAll(jobs, &NotSent{Trouble: a.trouble, Reason: a.trouble, Until: c.State().Until, Err: a.err})
		return true, nil
	}
	return false, nil
}

// badAnswer handles a page where amoCRM's refusal was due: from a gateway, or
// from somewhere else. Alone and again after a good probe it is the job's own.
func (c *Client) badAnswer(jobs []*job, a answer) (bool, []*job) {
	if len(jobs) > 1 && a.status >= 400 {
		return false, nil // one of them may have brought it about
	}
	if len(jobs) == 1 && c.gate.suspected(jobs[0].suspectKey()) {
		c.endAll(jobs, &Failed{Status: a.status, Trouble: a.trouble, Err: a.err})
		return true, nil
	}
	c.pause(a.trouble, a.cause())
	c.endAll(jobs, &NotSent{Trouble: a.trouble, Reason: a.trouble, Until: c.State().Until, Err: a.err})
	return true, nil
}

// reauthorize answers a 401: jobs go again with another token, once.
func (c *Client) reauthorize(jobs []*job, token string) (again []*job) {
	err := c.tokens.Refused(c.life, token)
	if err != nil {
		t := tokenTrouble(err)
		if pauses(t) {
			c.pause(t, err)
		}
		c.endAll(jobs, &NotSent{Trouble: t, Reason: t, Until: c.State().Until, Err: err})
		return nil
	}
	for _, j := range jobs {
		// A token is fetched before the wait for the budget, so the old one
		// may be refused a second time; only another one's refusal counts.
		if j.refused != token {
			j.refused = token
			j.refusals++
		}
		if j.refusals < 2 {
			again = append(again, j)
			continue
		}
		c.pause(Unauthorized, nil)
		c.queue.end(j, outcome{err: &NotSent{Trouble: Unauthorized, Reason: Unauthorized, Until: c.State().Until}})
	}
	return again
}

func (c *Client) endAll(jobs []*job, err error) {
	for _, j := range jobs {
		c.queue.end(j, outcome{err: err})
	}
}

// runCall makes a request that stands alone: a read, or something that is set
// up (a hook subscription, a field).
func (c *Client) runCall(j *job, s *budget.Slot, token string) (again []*job) {
	query, _ := url.ParseQuery(j.call.query) // our own encoding
	a := c.exchange(c.life, s, token, j.call.method, j.call.path, query, j.call.body)
	j.requests = append(j.requests, a.request)
	if j.call.method == http.MethodGet && a.dropped([]*job{j}) {
		return []*job{j}
	}
	if handled, again := c.account([]*job{j}, a, token); handled {
		return again
	}
	switch a.verdict {
	case accepted:
		if j.call.path == accountPath {
			c.noteAccount(a.body)
		}
		c.gate.cleared(j.suspectKey())
		c.queue.end(j, outcome{status: a.status, body: a.body})
	case refused, tooMuch:
		c.queue.end(j, outcome{status: a.status, err: refusal(a, complaints(a.body).first())})
	default:
		c.callFailed(j, a)
	}
	return nil
}

// dropped reports whether some reads may go again at once, at their places in
// the queue, because their connection was closed under them: each once.
func (a answer) dropped(jobs []*job) bool {
	if _, ok := errors.AsType[*budget.Dropped](a.err); !ok {
		return false
	}
	for _, j := range jobs {
		if j.dropped {
			return false
		}
	}
	for _, j := range jobs {
		j.dropped = true
	}
	return true
}

// callFailed ends a request of its own whose answer was lost or unusable. A read
// has no effect, so it is never in doubt; anything else may have had its own.
func (c *Client) callFailed(j *job, a answer) {
	read, closing := j.call.method == http.MethodGet, errors.Is(a.err, context.Canceled)
	own := !closing && c.gate.suspected(j.suspectKey())
	if !closing && !own {
		c.pause(a.trouble, a.cause())
	}
	var err error
	switch {
	case !read:
		err = &InDoubt{Trouble: a.trouble, SentAt: a.sentAt, Own: own, Err: a.err}
	case closing:
		err = notSent(Closing, a.err)
	case own:
		err = &Failed{Status: a.status, Trouble: a.trouble, Err: a.err}
	default:
		err = &NotSent{Trouble: a.trouble, Reason: a.trouble, Until: c.State().Until, Err: a.err}
	}
	c.queue.end(j, outcome{status: a.status, err: err})
}

// send makes one request of its own and decodes its answer into out. The
// status is 0 if no answer came; 204 leaves out as it is.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, body []byte, out any) (int, error) {
	j := read(ctx)
	j.call = &call{method: method, path: path, query: query.Encode(), body: body}
	if method == http.MethodGet {
		j.name = path + "?" + j.call.query
	}
	o := c.submit(ctx, j)
	if o.err != nil {
		return o.status, o.err
	}
	if o.status == http.StatusNoContent || out == nil {
		return o.status, nil
	}
	return o.status, decode(o.status, o.body, out)
}

// Get reads path. Everything that must be told apart comes as this package's
// errors; the status comes along with them. 204, the empty list, is no error
// and leaves out as it is.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) (status int, err error) {
	status, err = c.send(ctx, http.MethodGet, path, query, nil, out)
	return status, err
}
