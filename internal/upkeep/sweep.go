package upkeep

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/phone"
	"github.com/jivo-amocrm/bridge/internal/store"
)

const (
	// overlap is how far before the stored position a sweep begins: the feed's
	// order is not documented and its writers lag (product.md §6 › Freshness).
	overlap = 5 * time.Minute
	// feedPages bounds one sweep: 100 events a page.
	feedPages = 100
	// smallAccount: how many contacts an account may have to be synced by itself.
	smallAccount = 50_000
	contactsPage = 250
)

// position is how far the feed was read, with the events of the overlap.
type position struct {
	At   int64    `json:"at"` // unix seconds, the server's clock
	Seen []string `json:"seen,omitempty"`
}

// directory is how far the contact directory is in step.
type directory struct {
	Page     int   `json:"page,omitempty"`      // of a full pass under way
	Started  int64 `json:"started,omitempty"`   // when that began, the server's clock
	FullAt   int64 `json:"full_at,omitempty"`   // a full pass was completed
	PassedTo int64 `json:"passed_to,omitempty"` // changes are known up to here
	TooBig   bool  `json:"too_big,omitempty"`   // left to `bridge contacts sync`
}

// sweeps looks every Sweep for what hooks missed, at contacts that changed and at
// the hook subscription. The first look is as soon as the dictionary is there. One
// that is due while the account is paused waits for its end; what trouble of the
// account cut short is not left until the next.
func (k *Keeper) sweeps(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-k.loaded:
	}
	all := []func(context.Context) error{k.contacts, k.feed, k.subscriptions, k.markers}
	steps, wait, tries := all, time.Duration(0), 0
	for sleep(ctx, wait, nil) && k.resumed(ctx) {
		var held []func(context.Context) error
		for _, step := range steps {
			err := step(ctx)
			if err != nil && ctx.Err() == nil {
				k.log.Debug("sweep", "account", k.cfg.Host, "error", err)
			}
			if passing(err) {
				held = append(held, step)
			}
		}
		if tries++; len(held) == 0 || tries > setupTries {
			steps, wait, tries = all, k.cfg.Sweep, 0
		} else {
			steps, wait = held, min(k.cfg.Sweep, max(k.cfg.InDoubtAfter, firstTry))
		}
	}
}

// ofInterest are the feed's types that change a card.
func ofInterest(e amocrm.FeedEvent) bool { return e.EntityType == "lead" || e.EntityType == "task" }

// feed reads the event feed since the stored position and marks the cards it
// speaks of dirty.
func (k *Keeper) feed(ctx context.Context) error {
	var pos position
	var known bool
	key := store.Key("feed", k.cfg.Host)
	err := k.store.View(func(tx *store.Tx) (err error) {
		pos, known, err = store.Get[position](tx, store.Positions, key)
		return err
	})
	if err != nil {
		return err
	}
	now := k.crm.ServerTime().Unix()
	if !known { // nothing is followed from before the bridge was here
		return k.store.Update(ctx, func(tx *store.Tx) error { return store.Set(tx, store.Positions, key, position{At: now}) })
	}
	from := pos.At - int64(overlap/time.Second)
	var fresh []amocrm.FeedEvent
	next := position{At: now}
	for page := 1; page <= feedPages; page++ {
		events, more, err := k.crm.Events(ctx, from, page)
		if err != nil {
			return err
		}
		for _, e := range events {
			if e.CreatedAt >= now-int64(overlap/time.Second) {
				next.Seen = append(next.Seen, e.ID)
			}
			if ofInterest(e) && !slices.Contains(pos.Seen, e.ID) {
				fresh = append(fresh, e)
			}
		}
		if !more {
			break
		}
	}
	dirty := map[string][]int64{}
	err = k.store.Update(ctx, func(tx *store.Tx) error {
		clear(dirty)
		for _, c := range k.connections() {
			for _, e := range fresh {
				if id, err := k.stale(tx, c.Name, e); err != nil {
					return err
				} else if id != 0 {
					dirty[c.Name] = append(dirty[c.Name], id)
				}
			}
		}
		return store.Set(tx, store.Positions, key, next)
	})
	if err != nil {
		return err
	}
	for conn, ids := range dirty {
		for _, id := range ids {
			k.Dirty(conn, id)
		}
	}
	return nil
}

// stale marks the card an event speaks of dirty, unless the card is newer; it
// returns the lead's id, 0 if nothing is to be read.
func (k *Keeper) stale(tx *store.Tx, conn string, e amocrm.FeedEvent) (int64, error) {
	id := e.EntityID
	if e.EntityType == "task" {
		lead, ok, err := store.Get[int64](tx, store.Positions, store.Key(conn, "task", strconv.FormatInt(id, 10)))
		if err != nil || !ok {
			return 0, err
		}
		id = lead
	}
	key := store.Key(conn, "lead", strconv.FormatInt(id, 10))
	card, ok, err := store.Get[event.LeadCard](tx, store.Cards, key)
	if err != nil || !ok {
		return 0, err
	}
	if e.EntityType == "lead" && !card.Dirty && card.SeenTo >= e.CreatedAt {
		return 0, nil // a hook or an own write was quicker
	}
	card.MarkDirty(time.Now())
	return id, store.Set(tx, store.Cards, key, card)
}

// contacts keeps the contact directory in step: a full pass once, where the
// account is small enough, then what changed since.
func (k *Keeper) contacts(ctx context.Context) error {
	if !k.cfg.ContactsSync {
		return nil
	}
	d, err := k.directory()
	if err != nil || d.TooBig {
		return err
	}
	if d.FullAt == 0 {
		if err := k.SyncContacts(ctx, smallAccount, func(int) {}); err != nil {
			return err
		}
		return nil
	}
	since := d.PassedTo - int64(overlap/time.Second)
	now := k.crm.ServerTime().Unix()
	for page := 1; ; page++ {
		contacts, more, err := k.crm.ContactsPage(ctx, page, since)
		if err != nil {
			return err
		}
		if err := k.keep(ctx, contacts, nil); err != nil {
			return err
		}
		if !more {
			break
		}
	}
	d.PassedTo = now
	if err := k.saveDirectory(ctx, d); err != nil {
		return err
	}
	k.synced.Store(time.Now().Unix())
	return nil
}

func (k *Keeper) directoryKey() string { return store.Key("directory", k.cfg.Host) }

func (k *Keeper) directory() (d directory, err error) {
	err = k.store.View(func(tx *store.Tx) error {
		d, _, err = store.Get[directory](tx, store.Positions, k.directoryKey())
		return err
	})
	return d, err
}

func (k *Keeper) saveDirectory(ctx context.Context, d directory) error {
	return k.store.Update(ctx, func(tx *store.Tx) error { return store.Set(tx, store.Positions, k.directoryKey(), d) })
}

// ErrTooBig says that an account has more contacts than are read unasked.
var ErrTooBig = errors.New("the account has too many contacts to read them all by itself; run `bridge contacts sync`")

// SyncContacts reads all contacts into the contact directory, going on where an
// earlier pass was cut short. limit bounds how many are read (0: no bound);
// progress is told how many were read so far.
func (k *Keeper) SyncContacts(ctx context.Context, limit int, progress func(done int)) error {
	k.syncing.Lock()
	defer k.syncing.Unlock()
	d, err := k.directory()
	if err != nil {
		return err
	}
	if d.Page == 0 || d.Started == 0 {
		d.Page, d.Started = 1, k.crm.ServerTime().Unix()
	}
	for {
		// The first page is worth a place before the searches it may spare: a
		// small account is known with it.
		turn := ctx
		if d.Page == 1 {
			turn = amocrm.WithPriority(ctx, amocrm.NewLead)
		}
		contacts, more, err := k.crm.ContactsPage(turn, d.Page, 0)
		if err != nil {
			return err
		}
		done := (d.Page-1)*contactsPage + len(contacts)
		progress(done)
		d.Page++
		if more && limit > 0 && done >= limit {
			d = directory{TooBig: true}
			if err := k.saveDirectory(ctx, d); err != nil {
				return err
			}
			k.log.Warn("contacts are looked up by search", "account", k.cfg.Host, "reason", ErrTooBig.Error())
			return nil
		}
		if !more {
			d = directory{FullAt: d.Started, PassedTo: d.Started}
		}
		if err := k.keep(ctx, contacts, &d); err != nil {
			return err
		}
		if !more {
			k.synced.Store(time.Now().Unix())
			return nil
		}
	}
}

// keep enters contacts into the directory, and the position with them.
func (k *Keeper) keep(ctx context.Context, contacts []event.Contact, d *directory) error {
	region := ""
	if conns := k.connections(); len(conns) > 0 {
		region = conns[0].Region
	}
	return k.store.Update(ctx, func(tx *store.Tx) error {
		for _, c := range contacts {
			keys := phone.Keys(event.Texts(c.Phones), event.Texts(c.Emails), region)
			if c.Deleted {
				keys = nil
			}
			if err := tx.SetContactKeys(k.cfg.Host, c.ID, keys); err != nil {
				return err
			}
		}
		if d == nil {
			return nil
		}
		return store.Set(tx, store.Positions, k.directoryKey(), *d)
	})
}
