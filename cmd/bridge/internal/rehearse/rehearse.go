// Package rehearse works events without consequences: a journal nobody keeps, an
// amoCRM account that takes no write, and in between the very code that delivers
// for real. `bridge plan` rehearses on the true account, `bridge test` on one
// that its file describes.
package rehearse

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/delivery"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// Rehearsal is one connection with a journal of its own. It is not safe for
// concurrent use.
type Rehearsal struct {
	dir  string
	conn string
	st   *store.Store
	disp *delivery.Dispatcher
	feed *app.Feed
	box  *Sandbox
	done chan uint64
}

// Open makes a rehearsal of conn on box's account. from, unless it is nil, writes
// the store to begin with: a copy of the real one, which then knows what the
// bridge knows. Close removes everything.
func Open(cfg *config.Config, conn *config.Connection, names *dict.Snapshot, box *Sandbox, from func(path string) error) (r *Rehearsal, err error) {
	r = &Rehearsal{conn: conn.Name, box: box, done: make(chan uint64, 1)}
	if r.dir, err = os.MkdirTemp("", "bridge-rehearsal-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	path := filepath.Join(r.dir, app.StoreFile)
	if from != nil {
		if err := from(path); err != nil {
			return nil, fmt.Errorf("copying the store: %w", err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	if r.st, err = store.Open(store.Options{Path: path, Logger: log}); err != nil {
		return nil, err
	}
	r.feed = app.NewFeed(r.st, cfg, conn)
	r.disp = delivery.New(r.st, noHooks{}, silent{}, log)
	r.disp.OnEnd(func(seq uint64) { r.done <- seq })
	shared := &delivery.Account{
		Host: conn.AmoCRM.Host, CRM: box, Dict: func() *dict.Snapshot { return names },
		Doubtful: func() {}, Complete: func() bool { return false }, CatchUp: func(context.Context) {}, Idle: func() bool { return true },
	}
	r.disp.SetConnections([]*delivery.Connection{app.Delivery(conn, shared, names)})
	box.dict, box.ledger = names, r.disp
	return r, nil
}

// Close ends the rehearsal and removes its store.
func (r *Rehearsal) Close() {
	if r.st != nil {
		_ = r.st.Close() // it is thrown away
	}
	_ = os.RemoveAll(r.dir)
}

// Played is what became of one event.
type Played struct {
	Event *event.Event
	// Repeat is the event this one repeats; the rest is told as if it did not.
	Repeat uint64
}

// Play has one event of Jivo's received now and worked, once.
func (r *Rehearsal) Play(ctx context.Context, body []byte) (*Played, error) {
	saved := app.Saved{Body: body, At: time.Now()}
	fed, err := r.feed.Put(ctx, saved)
	if err != nil {
		return nil, err
	}
	p := &Played{}
	if fed.Reason == event.Duplicate {
		p.Repeat, saved.New = fed.Of, true
		if fed, err = r.feed.Put(ctx, saved); err != nil {
			return nil, err
		}
	}
	if fed.State == event.Pending {
		if err := r.work(ctx, fed.Seq); err != nil {
			return nil, err
		}
	}
	p.Event, err = r.event(fed.Seq)
	return p, err
}

// PlayOnce is Play for an event that is taken as it comes: a repeat is a repeat.
func (r *Rehearsal) PlayOnce(ctx context.Context, body []byte) (app.Fed, error) {
	fed, err := r.feed.Put(ctx, app.Saved{Body: body, At: time.Now()})
	if err != nil || fed.State != event.Pending {
		return fed, err
	}
	return fed, r.work(ctx, fed.Seq)
}

// Settle works what has become due since: events that waited for a client whom
// another one described.
func (r *Rehearsal) Settle(ctx context.Context) error {
	for range 100 { // each may wake others, but none twice
		var due []uint64
		err := r.st.View(func(tx *store.Tx) error {
			_, err := tx.Due(r.conn, time.Now(), func(seq uint64, _ time.Time) bool {
				due = append(due, seq)
				return true
			})
			return err
		})
		if err != nil || len(due) == 0 {
			return err
		}
		for _, seq := range due {
			if err := r.work(ctx, seq); err != nil {
				return err
			}
		}
	}
	return nil
}

// work makes one attempt at an event, past every queue.
func (r *Rehearsal) work(ctx context.Context, seq uint64) error {
	r.disp.ApplyHook(ctx, r.conn, seq)
	select {
	case <-r.done:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Rehearsal) event(seq uint64) (ev *event.Event, err error) {
	err = r.st.View(func(tx *store.Tx) error {
		ev, err = tx.Event(seq)
		return err
	})
	return ev, err
}

// Changes are the changes of every event worked so far, oldest event first.
func (r *Rehearsal) Changes() (out []event.Change, err error) {
	err = r.st.View(func(tx *store.Tx) error {
		evs, _, err := tx.Events(store.Filter{Connection: r.conn, Limit: 1000})
		for i := len(evs) - 1; i >= 0; i-- {
			out = append(out, evs[i].Changes...)
		}
		return err
	})
	return out, err
}

// noHooks: no hook of amoCRM's is rehearsed.
type noHooks struct{}

func (noHooks) Apply(context.Context, string, *event.Event, []byte) event.Ending {
	return event.Skip{Reason: event.Ignored}
}

// silent counts nothing.
type silent struct{}

func (silent) Settled(string, event.Source, string, event.State, float64) {}
func (silent) InDoubt(string, string)                                     {}
func (silent) Unresolved(string, uint64, string)                          {}
