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

// SmallAccount is how many contacts an account may have for the directory to be
// filled unasked.
const SmallAccount = 50_000

const (
	// overlap is how far before the stored position a sweep begins: the feed's
	// order is not documented and its writers lag (product.md §6 › Freshness).
	overlap = 5 * time.Minute
	// feedPages bounds one sweep: 100 events a page.
	feedPages    = 100
	contactsPage = 250
)

// position is how far the feed was read, with the events of the overlap.
type position struct {
	At   int64    `json:"at"` // unix seconds, the server's clock
	Seen []string `json:"seen,omitempty"`
}

// directory is how far the contact directory is in step.
type directory struct {
	Read     int   `json:"read,omitempty"`      // of a full pass under way: how many stand before what is read next
	Last     int64 `json:"last,omitempty"`      // the highest id it has read
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
	select {
	case <-k.anew: // the first sweep sees to it
	default:
	}
	for {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-k.anew:
			steps, tries = all, 0
		}
		t.Stop()
		if ctx.Err() != nil || !k.resumed(ctx) {
			return
		}
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
	fresh, next, whole, err := k.readFeed(ctx, pos, now)
	if err != nil {
		return err
	}
	if !whole {
		k.log.Warn("more happened than a sweep reads; every card is read again", "account", k.cfg.Host)
		if err := k.allStale(ctx); err != nil {
			return err
		}
		fresh = nil // their cards are among them
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

// readFeed reads what happened since a position: the events of interest that are
// new, and the position to go on from. whole is false if there is more than that.
func (k *Keeper) readFeed(ctx context.Context, pos position, now int64) (fresh []amocrm.FeedEvent, next position, whole bool, err error) {
	from := pos.At - int64(overlap/time.Second)
	next.At = now
	for page := 1; page <= feedPages; page++ {
		events, more, err := k.crm.Events(ctx, from, page)
		if err != nil {
			return nil, position{}, false, err
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
			return fresh, next, true, nil
		}
	}
	return fresh, next, false, nil
}

// allStale marks every lead's card dirty, in slices, so that no webhook waits for
// the whole of it.
func (k *Keeper) allStale(ctx context.Context) error {
	for _, c := range k.connections() {
		var all []int64
		err := k.store.View(func(tx *store.Tx) error {
			return store.Each(tx, store.Cards, store.Key(c.Name, "lead", ""), func(_ string, card event.LeadCard) bool {
				all = append(all, card.Lead.ID)
				return true
			})
		})
		if err != nil {
			return err
		}
		for ids := range slices.Chunk(all, perRead) {
			err := k.store.Update(ctx, func(tx *store.Tx) error {
				for _, id := range ids {
					key := store.Key(c.Name, "lead", strconv.FormatInt(id, 10))
					card, ok, err := store.Get[event.LeadCard](tx, store.Cards, key)
					if err != nil {
						return err
					}
					if !ok {
						continue // dropped meanwhile
					}
					card.MarkDirty(time.Now())
					if err := store.Set(tx, store.Cards, key, card); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			for _, id := range ids {
				k.Dirty(c.Name, id)
			}
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
		if err := k.SyncContacts(ctx, SmallAccount, func(int) {}); err != nil {
			return err
		}
		return nil
	}
	since := d.PassedTo - int64(overlap/time.Second)
	now := k.crm.ServerTime().Unix()
	for page := 1; ; page++ {
		contacts, more, err := k.crm.ContactsChanged(ctx, page, since)
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

// errMoving: contacts were deleted faster than they were listed.
var errMoving = errors.New("the list of contacts changes while it is read; the pass goes on later")

// maxSteps bounds how often in a row a pass steps back, twice as far each time.
const maxSteps = 12

// SyncContacts reads all contacts into the contact directory, going on where an
// earlier pass was cut short. limit bounds how many are read (0: no bound);
// progress is told how many were read so far.
//
// A contact that is deleted meanwhile moves all that follow it forward in the
// list, and those on the edge of what was read would be passed over. So each read
// begins with the last contact that the pass has seen. If all that it shows are
// newer, others stand before them, and the pass steps back.
func (k *Keeper) SyncContacts(ctx context.Context, limit int, progress func(done int)) error {
	k.syncing.Lock()
	defer k.syncing.Unlock()
	d, err := k.directory()
	if err != nil {
		return err
	}
	if d.Last == 0 {
		d.Read, d.Started = 0, k.crm.ServerTime().Unix()
	}
	for steps := 0; ; {
		// The first page is worth a place before the searches it may spare: a
		// small account is known with it.
		turn := ctx
		if d.Last == 0 {
			turn = amocrm.WithPriority(ctx, amocrm.NewLead)
		}
		w, err := k.crm.ContactsFrom(turn, max(d.Read-1, 0))
		if err != nil {
			return err
		}
		if w.First > 0 && (len(w.Contacts) == 0 || w.Contacts[0].ID > d.Last) {
			if steps == maxSteps {
				return errMoving
			}
			d.Read = max(0, d.Read-contactsPage<<steps)
			steps++
			continue
		}
		done, more := w.First+len(w.Contacts), w.More
		progress(done)
		d.Read = w.Next
		if n := len(w.Contacts); n > 0 && w.Contacts[n-1].ID > d.Last {
			d.Last, steps = w.Contacts[n-1].ID, 0
		}
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
		if err := k.keep(ctx, w.Contacts, &d); err != nil {
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
