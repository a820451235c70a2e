package app

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/card"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/console"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

const (
	beat       = time.Minute
	purgeEvery = 10 // beats
	lapseEvery = 24 * 60
	// jump is how far the clock may leap between two beats before purging is
	// suspended: a machine that woke up in the wrong year must not throw a
	// year's journal away.
	jump        = time.Hour
	jumpRespite = 24 * time.Hour
	// keptKeys is how long a repeat is known for one at the least (product.md §8.2).
	keptKeys = 30 * 24 * time.Hour
)

// housekeeping beats: it keeps the time at which the bridge was last alive, and
// purges what retention lets go, unless the clock leapt forward.
func (a *App) housekeeping(ctx context.Context) {
	t := time.NewTicker(beat)
	defer t.Stop()
	last := time.Now()
	var notBefore time.Time
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			a.alive(context.WithoutCancel(ctx))
			return
		case <-t.C:
		}
		a.alive(ctx)
		a.unpinned()
		now := time.Now()
		// Sub uses the monotonic clock, Round(0) the wall: their difference is a leap.
		if leap := now.Round(0).Sub(last.Round(0)) - now.Sub(last); leap > jump {
			notBefore = now.Add(jumpRespite)
			a.log.Warn("the clock leapt forward; nothing is purged for a day", "by", leap.Round(time.Second))
		}
		last = now
		if n%purgeEvery == 0 && !now.Before(notBefore) {
			a.purge(ctx, now)
		}
		if n%lapseEvery == purgeEvery && !now.Before(notBefore) { // soon after the start, and daily
			a.lapse(ctx, now)
		}
	}
}

// unpinned takes up the connections whose account could not be written down
// when its dictionary came, because the disk was full.
func (a *App) unpinned() {
	for _, r := range a.running() {
		if !r.known && r.refused == nil && r.account.keeper.Dict() != nil {
			a.connect()
			return
		}
	}
}

func (a *App) purge(ctx context.Context, now time.Time) {
	if _, err := a.store.Purge(ctx, retention(a.config().Retention), now); err != nil && ctx.Err() == nil {
		a.log.Warn("purging", "error", err)
	}
}

// retention is what the store is to keep. A dedup key outlives the events it knows
// repeats of: while one of them is there, it is not worked a second time.
func retention(r config.Retention) store.Retention {
	return store.Retention{Events: r.Events, Bodies: r.Bodies, Dead: r.Dead, Dedup: max(keptKeys, r.Events, r.Dead)}
}

// lapseSlice is how many pictures one commit changes.
const lapseSlice = 50

// lapse drops what was held of anonymous visitors who did not come back within
// anonymous_hold. The pictures are read outside the writer, and changed by slices.
func (a *App) lapse(ctx context.Context, now time.Time) {
	for _, c := range a.config().Connections {
		var ids []string
		err := a.store.View(func(tx *store.Tx) error {
			return tx.EachClient(c.Name, func(cl *event.Client) bool {
				if cl.Lapse(now, c.AnonymousHold) {
					ids = append(ids, cl.ID)
				}
				return ctx.Err() == nil
			})
		})
		for slice := range slices.Chunk(ids, lapseSlice) {
			if err != nil {
				break
			}
			err = a.store.Update(ctx, func(tx *store.Tx) error {
				for _, id := range slice {
					cl := tx.Client(c.Name, id)
					if !cl.Lapse(now, c.AnonymousHold) {
						continue // they came back meanwhile
					}
					if err := tx.PutClient(c.Name, cl); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err != nil && ctx.Err() == nil {
			a.log.Warn("dropping what was held of anonymous visitors", "connection", c.Name, "error", err)
		}
	}
}

func aliveKey() string { return store.Key("alive") }

// alive writes down that the bridge serves.
func (a *App) alive(ctx context.Context) {
	err := a.store.Update(ctx, func(tx *store.Tx) error { return store.Set(tx, store.Positions, aliveKey(), time.Now()) })
	if err != nil && ctx.Err() == nil {
		a.log.Debug("cannot write the time down", "error", err)
	}
}

// wakeUp makes up for the time the bridge did not serve: parked events wait for
// `park` of serving time. (What a clock set back has put off, delivery pulls back.)
func (a *App) wakeUp(ctx context.Context) {
	var last time.Time
	err := a.store.View(func(tx *store.Tx) (err error) {
		last, _, err = store.Get[time.Time](tx, store.Positions, aliveKey())
		return err
	})
	if err != nil || last.IsZero() {
		return
	}
	down := time.Since(last)
	if down <= 0 {
		return
	}
	a.each(ctx, event.Parked, func(ev *event.Event) bool {
		if ev.NextAt.Before(last) {
			return false
		}
		ev.NextAt = ev.NextAt.Add(down)
		return true
	})
}

// each changes the events of a state, a slice at a time; change reports whether
// it changed the one it was given.
func (a *App) each(ctx context.Context, state event.State, change func(*event.Event) bool) {
	for _, c := range a.config().Connections {
		f := store.Filter{Connection: c.Name, State: state, Limit: replaySlice}
		for ctx.Err() == nil {
			var next uint64
			err := a.store.Update(ctx, func(tx *store.Tx) error {
				var evs []*event.Event
				var err error
				if evs, next, err = tx.Events(f); err != nil {
					return err
				}
				for _, ev := range evs {
					if !change(ev) {
						continue
					}
					if err := tx.Put(ev); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				a.log.Error("cannot follow the clock", "connection", c.Name, "error", err)
				return
			}
			if f.Before = next; next == 0 {
				break
			}
		}
	}
}

// lastHook is when the newest amoCRM hook of a connection came, as far as this
// process knows.
func (a *App) lastHook(connection string) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.hooked[connection]
}

// cardOfClient is the client's card as the API shows it.
func cardOfClient(tx *store.Tx, cc card.Connection, c *event.Client) *console.Card {
	dict := &dict.Snapshot{}
	if cc.Dict != nil && cc.Dict() != nil {
		dict = cc.Dict()
	}
	if s := card.Newest(tx, cc.Name, c, ""); s != nil {
		l := s.Lead
		out := &console.Card{
			Name: l.Name, URL: cc.BaseURL + "/leads/detail/" + strconv.FormatInt(l.ID, 10), Pipeline: dict.PipelineName(l.PipelineID),
			Stage: dict.StageName(l.PipelineID, l.StatusID), Price: l.Price, Responsible: dict.UserName(l.ResponsibleID), Last: s.LastIn, Dirty: s.Dirty,
		}
		if s.StageSince != 0 {
			t := time.Unix(s.StageSince, 0)
			out.Since = &t
		}
		if len(s.Tasks) > 0 {
			out.Task = s.Tasks[0].Text
		}
		return out
	}
	if c.ContactID == 0 {
		return nil
	}
	s, _, err := store.Get[event.ContactCard](tx, store.Cards, store.Key(cc.Name, "contact", strconv.FormatInt(c.ContactID, 10)))
	if err != nil {
		return nil
	}
	return &console.Card{
		Name: s.Contact.Name, URL: cc.BaseURL + "/contacts/detail/" + strconv.FormatInt(c.ContactID, 10),
		Responsible: dict.UserName(s.Contact.ResponsibleID), Dirty: s.Dirty,
	}
}
