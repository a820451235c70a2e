package upkeep

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

const (
	// catchUpWithin is how long an event waits for what changed to be read, rather
	// than to search.
	catchUpWithin = 5 * time.Second
	// catchUpRest is how soon after it was tried in vain it is tried again.
	catchUpRest = 30 * time.Second
)

// CatchUp has what changed since the last pass over the contacts read now, if the
// directory was whole once and is no longer fresh: after a restart or a pause. One who
// asks reads, the others wait for them, none for long: one page spares hundreds of
// searches. Complete says what came of it.
func (k *Keeper) CatchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, catchUpWithin)
	defer cancel()
	if k.Complete() || k.othersCatchUp(ctx) || k.resting() {
		return
	}
	if d, err := k.directory(); err != nil || d.FullAt == 0 { // never whole: the sweep, which may be about to begin, keeps its turn
		return
	}
	select {
	case k.syncing <- struct{}{}:
		defer func() { <-k.syncing }()
	default:
		k.othersCatchUp(ctx)
		return
	}
	defer k.catchingUp()()
	if k.Complete() || k.resting() {
		return
	}
	k.caughtUp.Store(time.Now().UnixNano())
	d, err := k.directory()
	if err == nil {
		err = k.changed(ctx, d)
	}
	if err != nil {
		k.log.Debug("what changed of the contacts cannot be read; people are searched for", "account", k.cfg.Host, "error", err)
	}
}

// othersCatchUp waits for whoever reads what changed, if anybody does.
func (k *Keeper) othersCatchUp(ctx context.Context) bool {
	under := k.catching.Load()
	if under == nil {
		return false
	}
	select {
	case <-*under:
	case <-ctx.Done():
	}
	return true
}

// resting reports whether it was tried in vain a short while ago.
func (k *Keeper) resting() bool {
	since := time.Since(time.Unix(0, k.caughtUp.Load()))
	return 0 <= since && since < catchUpRest
}

// catchingUp says that what changed is being read until ended is called, once or more.
// syncing is held.
func (k *Keeper) catchingUp() (ended func()) {
	done := make(chan struct{})
	k.catching.Store(&done)
	return sync.OnceFunc(func() {
		k.catching.Store(nil)
		close(done)
	})
}

// renew takes over a contact that a list showed, where a connection has a card of it. A
// card that was written to since the list was asked for is to be read again.
func renew(tx *store.Tx, conn string, c event.Contact, began time.Time) error {
	key := store.Key(conn, "contact", strconv.FormatInt(c.ID, 10))
	card, ok, err := store.Get[event.ContactCard](tx, store.Cards, key)
	if err != nil || !ok || c.Deleted || c.UpdatedAt < card.Contact.UpdatedAt {
		return err
	}
	if card.KnownAt().After(began) {
		if c.UpdatedAt == card.Contact.UpdatedAt {
			return nil
		}
		card.Dirty = true
	} else {
		c.LeadIDs = card.Contact.LeadIDs // a list tells of none
		card.Contact, card.ReadAt = c, began
	}
	return store.Set(tx, store.Cards, key, card)
}
