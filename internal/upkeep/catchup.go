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
	if k.Complete() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpWithin)
	defer cancel()
	select {
	case k.syncing <- struct{}{}:
		defer func() { <-k.syncing }()
	default:
		if under := k.catching.Load(); under != nil {
			select {
			case <-*under:
			case <-ctx.Done():
			}
		}
		return
	}
	since := time.Since(time.Unix(0, k.caughtUp.Load()))
	if k.Complete() || 0 <= since && since < catchUpRest {
		return
	}
	defer k.catchingUp()()
	d, err := k.directory()
	if err != nil || d.FullAt == 0 {
		return
	}
	k.caughtUp.Store(time.Now().UnixNano())
	if err := k.changed(ctx, d); err != nil {
		k.log.Debug("what changed of the contacts cannot be read; people are searched for", "account", k.cfg.Host, "error", err)
	}
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
