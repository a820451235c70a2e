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
	look       = time.Second // how often the clock is looked at
	// leapt is by how much the clock must move beside the time that goes by to count as set.
	leapt = 10 * time.Second
	// jump is how far the clock may be ahead of the last round of purging; beyond, it is
	// believed after so many rounds only, a day: a machine that woke up in the wrong year
	// must not throw a year's journal away.
	jump    = time.Hour
	doubted = int(24 * time.Hour / (purgeEvery * beat))
	// keptKeys is how long a repeat is known for one at the least (product.md §8.2).
	keptKeys = 30 * 24 * time.Hour
)

// housekeeping beats: it keeps the time at which the bridge was last alive, purges
// what retention lets go, and has what is parked follow a clock that is set.
func (a *App) housekeeping(ctx context.Context) {
	looks, beats := time.NewTicker(look), time.NewTicker(beat)
	defer looks.Stop()
	defer beats.Stop()
	began := time.Now()
	seen := clock{wall: began}
	for n := 0; ; {
		select {
		case <-ctx.Done():
			a.alive(context.WithoutCancel(ctx), namesOf(a.config()))
			return
		case <-looks.C:
			now := time.Now()
			if by := seen.leap(now, now.Sub(began)); by.Abs() > leapt {
				a.follow(ctx, now, by)
			}
			continue
		case <-beats.C:
		}
		n++
		a.alive(ctx, namesOf(a.config()))
		a.unpinned()
		if n%purgeEvery == 0 {
			a.tidy(ctx, time.Now(), n%lapseEvery == purgeEvery) // soon after the start, and daily
		}
	}
}

// clock tells by how much the wall clock was set.
type clock struct {
	wall time.Time     // at the last look
	up   time.Duration // then, by the clock that cannot be set
}

// leap takes a look: at the wall clock, and at how long the process has run.
func (c *clock) leap(wall time.Time, up time.Duration) time.Duration {
	wall = wall.Round(0) // without its monotonic reading
	by := wall.Sub(c.wall.Round(0)) - (up - c.up)
	c.wall, c.up = wall, up
	return by
}

// follow has what is parked wait on as if the clock had not been set: `park` is
// serving time. What was due before is left alone.
func (a *App) follow(ctx context.Context, now time.Time, by time.Duration) {
	a.log.Warn("the clock was set while the bridge runs; what is parked follows it", "by", by.Round(time.Second))
	for _, name := range namesOf(a.config()) {
		a.postpone(ctx, name, now.Add(-by), by)
	}
}

// tidy lets go what is kept no longer. daily: of anonymous visitors too.
func (a *App) tidy(ctx context.Context, now time.Time, daily bool) {
	switch ok, err := a.believed(ctx, now); {
	case err != nil && ctx.Err() == nil:
		a.log.Warn("purging", "error", err)
		return
	case !ok:
		return
	}
	a.purge(ctx, now)
	if daily {
		a.lapse(ctx, now)
	}
}

// round is the last round of purging, on disk: a leap of the clock is one whether the
// bridge ran meanwhile or not, and is doubted on whenever it is started again.
type round struct {
	At      time.Time `json:"at"` // by the clock as it was last believed
	Doubted int       `json:"doubted,omitempty"`
}

// believed reports whether the clock is right as far as anybody knows.
func (a *App) believed(ctx context.Context, now time.Time) (ok bool, err error) {
	key := store.Key("purge")
	err = a.store.Update(ctx, func(tx *store.Tx) error {
		last, known, err := store.Get[round](tx, store.Positions, key)
		if err == nil && !known {
			last.At, known, err = store.Get[time.Time](tx, store.Positions, aliveKey())
		}
		if err != nil {
			return err
		}
		if ok = !known || now.Sub(last.At) <= jump || last.Doubted >= doubted; ok {
			return store.Set(tx, store.Positions, key, round{At: now})
		}
		if last.Doubted == 0 {
			a.log.Warn("the clock is far ahead of when the bridge last ran; nothing is purged for a day", "by", now.Sub(last.At).Round(time.Second))
		}
		last.Doubted++
		return store.Set(tx, store.Positions, key, last)
	})
	return ok, err
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

// aliveKey is where it stands when connections were last served. An older version
// kept one time for all, at the key of none.
func aliveKey(connection ...string) string {
	return store.Key(append([]string{"alive"}, connection...)...)
}

func namesOf(cfg *config.Config) (out []string) {
	for _, c := range cfg.Connections {
		out = append(out, c.Name)
	}
	return out
}

// alive writes down that connections are served.
func (a *App) alive(ctx context.Context, connections []string) {
	if len(connections) == 0 {
		return
	}
	err := a.store.Update(ctx, func(tx *store.Tx) error {
		for _, name := range connections {
			if err := store.Set(tx, store.Positions, aliveKey(name), time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		a.log.Debug("cannot write the time down", "error", err)
	}
}

// comeAndGo sees to what is parked when cfg is taken over: time stands still for a
// connection that leaves, and goes on for one that comes.
func (a *App) comeAndGo(ctx context.Context, cfg *config.Config) {
	var gone, come []string
	a.mu.Lock()
	for name := range a.conns {
		if cfg.Connection(name) == nil {
			gone = append(gone, name)
		}
	}
	for _, c := range cfg.Connections {
		if a.conns[c.Name] == nil {
			come = append(come, c.Name)
		}
	}
	a.mu.Unlock()
	a.alive(ctx, gone)
	a.wakeUp(ctx, come)
}

// wakeUp makes up for the time in which connections were not served: parked events
// wait for `park` of serving time. (What a clock set back has put off, delivery pulls back.)
func (a *App) wakeUp(ctx context.Context, connections []string) {
	for _, name := range connections {
		var last time.Time
		err := a.store.View(func(tx *store.Tx) error {
			at, known, err := store.Get[time.Time](tx, store.Positions, aliveKey(name))
			if err == nil && !known {
				at, _, err = store.Get[time.Time](tx, store.Positions, aliveKey())
			}
			last = at
			return err
		})
		if down := time.Since(last); err == nil && !last.IsZero() && down > 0 {
			a.postpone(ctx, name, last, down)
		}
	}
	a.alive(ctx, connections)
}

// postpone puts off what is parked of a connection and was not due at a time.
func (a *App) postpone(ctx context.Context, connection string, undue time.Time, by time.Duration) {
	f := store.Filter{Connection: connection, State: event.Parked, Limit: replaySlice}
	for ctx.Err() == nil {
		var next uint64
		err := a.store.Update(ctx, func(tx *store.Tx) error {
			evs, before, err := tx.Events(f)
			if err != nil {
				return err
			}
			next = before
			for _, ev := range evs {
				if ev.NextAt.Before(undue) {
					continue
				}
				ev.NextAt = ev.NextAt.Add(by)
				if err := tx.Put(ev); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			a.log.Error("cannot follow the clock", "connection", connection, "error", err)
			return
		}
		if f.Before = next; next == 0 {
			return
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
	if s, _ := card.Shown(tx, cc.Name, c, "", ""); s != nil {
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
