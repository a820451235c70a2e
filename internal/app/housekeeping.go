package app

import (
	"context"
	"strconv"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/card"
	"github.com/jivo-amocrm/bridge/internal/console"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

const (
	purgeEvery = 10 * time.Minute
	// jump is how far the clock may leap between two looks before purging is
	// suspended: a machine that woke up in the wrong year must not throw a
	// year's journal away.
	jump        = time.Hour
	jumpRespite = 24 * time.Hour
)

// housekeeping purges what retention lets go, unless the clock leapt forward.
func (a *App) housekeeping(ctx context.Context) {
	t := time.NewTicker(purgeEvery)
	defer t.Stop()
	last := time.Now()
	var notBefore time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := time.Now()
		// Sub uses the monotonic clock, Round(0) the wall: their difference is a leap.
		if leap := now.Round(0).Sub(last.Round(0)) - now.Sub(last); leap > jump {
			notBefore = now.Add(jumpRespite)
			a.log.Warn("the clock leapt forward; nothing is purged for a day", "by", leap.Round(time.Second))
		}
		last = now
		if now.Before(notBefore) {
			continue
		}
		r := a.config().Retention
		if _, err := a.store.Purge(ctx, store.Retention{Events: r.Events, Bodies: r.Bodies, Dead: r.Dead}, now); err != nil && ctx.Err() == nil {
			a.log.Warn("purging", "error", err)
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
	dict := &amocrm.Dictionary{}
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
