package upkeep

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// perRead is how many cards are read again in one go.
const perRead = 250

// rereads reads dirty cards again. Those that were dirty when the process
// ended are found by one pass over the cards.
func (k *Keeper) rereads(ctx context.Context) {
	ctx = amocrm.WithPriority(ctx, amocrm.CardRead)
	select { // by then the connections are known
	case <-ctx.Done():
		return
	case <-k.loaded:
	}
	k.findDirty()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		}
		for conn, ids := range k.takeDirty() {
			if k.foreign(conn) {
				continue
			}
			for batch := range slices.Chunk(ids, perRead) {
				if err := k.reread(ctx, conn, batch); err != nil {
					for _, id := range batch {
						k.Dirty(conn, id)
					}
					if !sleep(ctx, 5*time.Second, nil) {
						return
					}
				}
			}
		}
	}
}

// foreign reports whether the connection's cards are another account's: in this one
// their leads are somebody else's, or none.
func (k *Keeper) foreign(conn string) bool {
	d := k.Dict()
	return slices.ContainsFunc(k.connections(), func(c Connection) bool { return c.Name == conn && !c.of(d) })
}

func (k *Keeper) findDirty() {
	for _, c := range k.ours() {
		_ = k.store.View(func(tx *store.Tx) error { // what is missed here the sweep finds
			return store.Each(tx, store.Cards, store.Key(c.Name, "lead", ""), func(_ string, card event.LeadCard) bool {
				if card.Dirty {
					k.Dirty(c.Name, card.Lead.ID)
				}
				return true
			})
		})
	}
}

func (k *Keeper) takeDirty() map[string][]int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := map[string][]int64{}
	for conn, ids := range k.dirty {
		out[conn] = slices.Sorted(maps.Keys(ids))
	}
	clear(k.dirty)
	return out
}

// reread reads leads with their open tasks and puts them into their cards; one
// that amoCRM no longer has loses its links. One that cannot be read stays as it is
// until it is marked again.
func (k *Keeper) reread(ctx context.Context, conn string, ids []int64) error {
	began := time.Now()
	leads, closed, err := k.readLeads(ctx, ids)
	if err != nil {
		return err
	}
	k.noteClosed(leads, closed)
	if len(closed) > 0 {
		ids = slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return slices.Contains(closed, id) })
	}
	if len(ids) == 0 {
		return nil
	}
	tasks, told, err := k.openTasks(ctx, ids)
	if err != nil {
		return err
	}
	var again []int64
	err = k.store.Update(ctx, func(tx *store.Tx) error {
		again = nil
		for _, id := range ids {
			lead, ok := leads[id]
			if !ok || lead.Deleted {
				if err := k.cfg.Drop(tx, conn, k.cfg.Host, "lead", id); err != nil {
					return err
				}
				continue
			}
			key := store.Key(conn, "lead", strconv.FormatInt(id, 10))
			card, ok, err := store.Get[event.LeadCard](tx, store.Cards, key)
			if err != nil {
				return err
			}
			if !ok && len(tx.ClientsByLead(conn, id)) == 0 {
				continue // dropped or forgotten while it was read
			}
			card.ApplyRead(lead, began)
			switch open := of(id, tasks); {
			case !told: // hooks alone tell of them
			case card.ReadTasks(open, began):
				if err := placeTasks(tx, conn, open); err != nil {
					return err
				}
			default:
				card.MarkDirty(time.Now())
				again = append(again, id)
			}
			if err := store.Set(tx, store.Cards, key, card); err != nil {
				return err
			}
		}
		return nil
	})
	for _, id := range again {
		k.Dirty(conn, id)
	}
	return err
}

// own reports whether amoCRM says no to the very thing that was asked, or fails on it
// while the account is healthy: to ask again soon is of no use.
func own(err error) bool {
	if _, ok := errors.AsType[*amocrm.Refused](err); ok {
		return true
	}
	_, ok := errors.AsType[*amocrm.Failed](err)
	return ok
}

// readLeads reads leads; closed are those that amoCRM does not let read. They keep no
// other lead from being read.
func (k *Keeper) readLeads(ctx context.Context, ids []int64) (leads map[int64]event.Lead, closed []int64, err error) {
	leads, err = k.crm.Leads(ctx, ids)
	if !own(err) {
		return leads, nil, err
	}
	if leads == nil {
		leads = map[int64]event.Lead{}
	}
	var rest []int64 // those to blame, and those there are none of
	for _, id := range ids {
		if _, ok := leads[id]; !ok {
			rest = append(rest, id)
		}
	}
	if len(rest) == 1 {
		return leads, rest, nil
	}
	for _, id := range rest {
		one, err := k.crm.Leads(ctx, []int64{id})
		switch {
		case own(err):
			closed = append(closed, id)
		case err != nil:
			return nil, nil, err
		}
		maps.Copy(leads, one)
	}
	return leads, closed, nil
}

// noteClosed says once that leads cannot be read.
func (k *Keeper) noteClosed(leads map[int64]event.Lead, closed []int64) {
	for id := range leads {
		delete(k.closed, id)
	}
	news := 0
	for _, id := range closed {
		if !k.closed[id] {
			k.closed[id] = true
			news++
		}
	}
	if news > 0 {
		k.log.Warn("amoCRM does not let leads be read that are followed; their cards follow by hooks alone", "account", k.cfg.Host, "leads", news)
	}
}

// mostTasks is the most that OpenTasks tells of at once, newest first.
const mostTasks = 1000

// allTasks reads the open tasks of leads, of fewer at a time if they have too many.
func (k *Keeper) allTasks(ctx context.Context, ids []int64) ([]event.Task, error) {
	tasks, err := k.crm.OpenTasks(ctx, "leads", ids)
	if err != nil || len(tasks) < mostTasks || len(ids) == 1 {
		return tasks, err
	}
	tasks = nil
	for half := range slices.Chunk(ids, (len(ids)+1)/2) {
		part, err := k.allTasks(ctx, half)
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, part...)
	}
	return tasks, nil
}

// openTasks reads the open tasks of leads; told is false where amoCRM refuses to
// tell of them: a token may lack the right, and a lead is followed without.
func (k *Keeper) openTasks(ctx context.Context, ids []int64) (tasks []event.Task, told bool, err error) {
	tasks, err = k.allTasks(ctx, ids)
	if !own(err) {
		k.untold = k.untold && err != nil
		return tasks, err == nil, err
	}
	level := slog.LevelWarn
	if k.untold {
		level = slog.LevelDebug
	}
	k.untold = true
	k.log.Log(ctx, level, "amoCRM refuses to list tasks; cards show those that hooks tell of", "account", k.cfg.Host, "error", err)
	return nil, false, nil
}

// of are the tasks that stand on a lead.
func of(leadID int64, tasks []event.Task) []event.Task {
	return slices.DeleteFunc(slices.Clone(tasks), func(t event.Task) bool { return t.EntityID != leadID })
}

// placeTasks remembers which lead each task stands on: a delete hook names the
// task alone.
func placeTasks(tx *store.Tx, conn string, tasks []event.Task) error {
	for _, t := range tasks {
		if err := store.Set(tx, store.Positions, store.Key(conn, "task", strconv.FormatInt(t.ID, 10)), t.EntityID); err != nil {
			return err
		}
	}
	return nil
}
