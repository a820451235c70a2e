package upkeep

import (
	"cmp"
	"context"
	"errors"
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
	overlap      = 5 * time.Minute
	contactsPage = 250
)

// reached is the position of what was read from a moment on, the server's clock: that
// moment, but never ahead of what the answers since say the time is. Before them ours
// may have leapt.
func (k *Keeper) reached(began int64) int64 { return min(began, k.crm.ServerTime().Unix()) }

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
	all := []step{{stepContacts, k.contacts}, {stepEvents, k.feed}, {"hooks", k.subscriptions}, {"marker fields", k.markers}}
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
		var held []step
		for _, s := range steps {
			err := s.do(ctx)
			if ctx.Err() == nil {
				k.ended(s, err)
			}
			if passing(err) {
				held = append(held, s)
			}
		}
		if tries++; len(held) == 0 || tries > setupTries {
			steps, wait, tries = all, k.cfg.Sweep, 0
		} else {
			steps, wait = held, min(k.cfg.Sweep, max(k.cfg.InDoubtAfter, firstTry))
		}
	}
}

// step is a part of a sweep.
type step struct {
	name string
	do   func(context.Context) error
}

// The steps that keep true what the bridge knows; the others set up.
const (
	stepContacts = "contacts"
	stepEvents   = "events"
)

// ended tells how a step ended: that amoCRM refuses it is an alarm once, until it is
// done again.
func (k *Keeper) ended(s step, err error) {
	k.mu.Lock()
	before := k.barred[s.name]
	if err == nil {
		delete(k.barred, s.name)
	} else if own(err) {
		k.barred[s.name] = err
	}
	k.mu.Unlock()
	switch {
	case own(err) && before == nil:
		k.log.Error("amoCRM refuses a part of the sweep; each sweep tries again", "account", k.cfg.Host, "step", s.name, "error", err)
	case err != nil:
		k.log.Debug("sweep", "account", k.cfg.Host, "step", s.name, "error", err)
	case before != nil:
		k.log.Info("the sweep is whole again", "account", k.cfg.Host, "step", s.name)
	}
}

// Unswept says why what hooks miss is not found out, nil if it is.
func (k *Keeper) Unswept() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return cmp.Or(k.barred[stepEvents], k.barred[stepContacts])
}

// contacts keeps the contact directory in step: a full pass once, where the
// account is small enough and that is wanted, then what changed since.
func (k *Keeper) contacts(ctx context.Context) error {
	select {
	case k.syncing <- struct{}{}:
		defer func() { <-k.syncing }()
	default: // `bridge contacts sync` is at it; the rest of the sweep does not wait for it
		return nil
	}
	ended := k.catchingUp()
	defer ended()
	d, err := k.directory()
	switch {
	case err != nil || d.TooBig:
		return err
	case d.FullAt == 0 && d.Read >= SmallAccount: // begun by hand, and gone on with by hand
		return nil
	case d.FullAt == 0 && !k.cfg.ContactsSync:
		return nil
	case d.FullAt == 0:
		ended() // nobody waits for that
		return k.fullPass(ctx, SmallAccount, func(int) {})
	}
	return k.changed(ctx, d)
}

// changed reads the contacts that changed since the last pass. These few pages go
// before all that waits: until they are read, each new visitor costs two searches.
func (k *Keeper) changed(ctx context.Context, d directory) error {
	ctx = amocrm.WithSince(amocrm.WithPriority(ctx, amocrm.NewLead), time.Unix(0, 0))
	since := d.PassedTo - int64(overlap/time.Second)
	now := k.crm.ServerTime().Unix()
	for page := 1; ; page++ {
		began := time.Now()
		contacts, more, err := k.crm.ContactsChanged(ctx, page, since)
		if err != nil {
			return err
		}
		if err := k.keep(ctx, contacts, began, nil); err != nil {
			return err
		}
		if !more {
			break
		}
	}
	d.PassedTo = k.reached(now)
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
//
// It waits for another pass under way, no longer than ctx lets it.
func (k *Keeper) SyncContacts(ctx context.Context, limit int, progress func(done int)) error {
	select {
	case k.syncing <- struct{}{}:
		defer func() { <-k.syncing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return k.fullPass(ctx, limit, progress)
}

// fullPass is SyncContacts for who holds syncing.
func (k *Keeper) fullPass(ctx context.Context, limit int, progress func(done int)) error {
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
		began := time.Now()
		w, err := k.crm.ContactsFrom(turn, max(d.Read-1, 0))
		if err != nil {
			return err
		}
		d.Started = k.reached(d.Started)
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
		if err := k.keep(ctx, w.Contacts, began, &d); err != nil {
			return err
		}
		if !more {
			k.synced.Store(time.Now().Unix())
			return nil
		}
	}
}

// keep enters contacts into the directory, and the position with them.
func (k *Keeper) keep(ctx context.Context, contacts []event.Contact, began time.Time, d *directory) error {
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
			for _, conn := range k.ours() {
				if err := renew(tx, conn.Name, c, began); err != nil {
					return err
				}
			}
		}
		if d == nil {
			return nil
		}
		return store.Set(tx, store.Positions, k.directoryKey(), *d)
	})
}
