package delivery

import (
	"context"
	"runtime"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// turns bound how many workers compute at once. When amoCRM answers a request of
// fifty, or a dictionary comes and five hundred events start, that many workers
// become ready in one moment; side by side they would hold every processor for
// tens of milliseconds, and whom Jivo waits for would queue behind them. A worker
// holds a turn while it computes and gives it back while it waits (job.away).
// A nil turns lets everybody go at once.
type turns chan struct{}

// newTurns leaves half of the processors to the listeners and the writer.
func newTurns() turns { return make(turns, max(1, runtime.GOMAXPROCS(0)/2)) }

func (t turns) take() {
	if t != nil {
		t <- struct{}{}
	}
}

func (t turns) leave() {
	if t != nil {
		<-t
	}
}

// away runs fn, which waits for something, without the worker's turn. Whatever a
// worker waits for goes through it: one that kept its turn while it waits for
// another worker would wait for ever.
func (j *job) away(fn func()) {
	j.leave()
	defer j.take()
	fn()
}

// update is store.Update without the worker's turn.
func (j *job) update(ctx context.Context, fn func(*store.Tx) error) (err error) {
	j.away(func() { err = j.d.store.Update(ctx, fn) })
	return err
}

// lock takes named locks of the account without the worker's turn.
func (j *job) lock(ctx context.Context, names []string) (release func(), err error) {
	j.away(func() { release, err = j.c.Account.locks.lock(ctx, names) })
	return release, err
}

// newest reads a shared list without the worker's turn.
func newest[T any](ctx context.Context, j *job, s *shared[T], since int64, notBefore time.Time, read func(context.Context, int64) ([]T, error)) (list []T, err error) {
	j.away(func() { list, err = s.get(ctx, since, notBefore, read) })
	return list, err
}

// crm is the account's client, whose answers are awaited without the worker's turn.
func (j *job) crm() CRM { return patient{j.c.Account.CRM, j} }

// patient is a CRM whose answers a worker awaits without its turn.
type patient struct {
	CRM
	j *job
}

func (p patient) Write(ctx context.Context, w amocrm.Write) (res amocrm.Result, err error) {
	p.j.away(func() { res, err = p.CRM.Write(ctx, w) })
	return res, err
}

func (p patient) Lead(ctx context.Context, id int64) (l event.Lead, ok bool, err error) {
	p.j.away(func() { l, ok, err = p.CRM.Lead(ctx, id) })
	return l, ok, err
}

func (p patient) Leads(ctx context.Context, ids []int64) (leads map[int64]event.Lead, err error) {
	p.j.away(func() { leads, err = p.CRM.Leads(ctx, ids) })
	return leads, err
}

func (p patient) Contact(ctx context.Context, id int64) (c event.Contact, ok bool, err error) {
	p.j.away(func() { c, ok, err = p.CRM.Contact(ctx, id) })
	return c, ok, err
}

func (p patient) SearchContacts(ctx context.Context, query string, prio amocrm.Priority) (hits []event.Contact, err error) {
	p.j.away(func() { hits, err = p.CRM.SearchContacts(ctx, query, prio) })
	return hits, err
}

func (p patient) SearchLeads(ctx context.Context, query string) (hits []event.Lead, err error) {
	p.j.away(func() { hits, err = p.CRM.SearchLeads(ctx, query) })
	return hits, err
}

func (p patient) SearchCompanies(ctx context.Context, query string) (hits []event.Contact, err error) {
	p.j.away(func() { hits, err = p.CRM.SearchCompanies(ctx, query) })
	return hits, err
}

func (p patient) NotesOf(ctx context.Context, entity string, id int64) (notes []amocrm.NoteInfo, err error) {
	p.j.away(func() { notes, err = p.CRM.NotesOf(ctx, entity, id) })
	return notes, err
}

func (p patient) TasksOf(ctx context.Context, entity string, id int64) (tasks []event.Task, err error) {
	p.j.away(func() { tasks, err = p.CRM.TasksOf(ctx, entity, id) })
	return tasks, err
}
