package upkeep

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// feedPages bounds one sweep: 100 events a page.
const feedPages = 100

// position is how far the feed was read, with the events of the overlap.
type position struct {
	At   int64    `json:"at"` // unix seconds, the server's clock
	Seen []string `json:"seen,omitempty"`
	For  []string `json:"for,omitempty"` // the connections whose cards were told; none: it was not noted
}

// missed reports whether a connection was not there when the feed was read last: what
// others were told of meanwhile it was not.
func (p position) missed(conn string) bool { return p.For != nil && !slices.Contains(p.For, conn) }

// ofInterest are the feed's types that change a card.
func ofInterest(e amocrm.FeedEvent) bool {
	return e.EntityType == "lead" || e.EntityType == "task" || e.EntityType == "contact"
}

// places reports whether an event puts a lead into a stage.
func places(e amocrm.FeedEvent) bool {
	return e.Type == "lead_status_changed" || e.Type == "lead_added"
}

// news is an event of the feed that was not seen before.
type news struct {
	amocrm.FeedEvent
	crowded bool // it is not the only one that placed its lead in that second
}

// feed reads the event feed since the stored position and marks the cards it
// speaks of dirty.
func (k *Keeper) feed(ctx context.Context) error {
	var names []string
	for _, c := range k.ours() {
		names = append(names, c.Name)
	}
	if len(names) == 0 { // nobody to tell
		return nil
	}
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
		return k.store.Update(ctx, func(tx *store.Tx) error { return store.Set(tx, store.Positions, key, position{At: now, For: names}) })
	}
	fresh, next, whole, err := k.readFeed(ctx, pos, now)
	if err != nil {
		return err
	}
	next.For = names
	if !whole {
		k.log.Warn("more happened than a sweep reads; every card is read again", "account", k.cfg.Host)
		fresh = nil // their cards are among them
	}
	for _, name := range names {
		if whole && !pos.missed(name) {
			continue
		}
		if err := k.allStale(ctx, name); err != nil {
			return err
		}
	}
	dirty := map[string][]int64{}
	err = k.store.Update(ctx, func(tx *store.Tx) error {
		clear(dirty)
		for _, name := range names {
			for _, e := range fresh {
				if id, err := k.stale(tx, name, e); err != nil {
					return err
				} else if id != 0 {
					dirty[name] = append(dirty[name], id)
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
func (k *Keeper) readFeed(ctx context.Context, pos position, began int64) (fresh []news, next position, whole bool, err error) {
	type second struct{ lead, at int64 }
	placed, met := map[second]int{}, map[string]bool{}
	next.At = began
	for page := 1; page <= feedPages && !whole; page++ {
		events, more, err := k.crm.Events(ctx, pos.At-int64(overlap/time.Second), page)
		if err != nil {
			return nil, position{}, false, err
		}
		next.At = k.reached(next.At)
		for _, e := range events {
			if met[e.ID] { // the list moves while it is read
				continue
			}
			met[e.ID] = true
			if places(e) {
				placed[second{e.EntityID, e.CreatedAt}]++
			}
			if e.CreatedAt >= next.At-int64(overlap/time.Second) {
				next.Seen = append(next.Seen, e.ID)
			}
			if ofInterest(e) && !slices.Contains(pos.Seen, e.ID) {
				fresh = append(fresh, news{FeedEvent: e})
			}
		}
		whole = !more
	}
	for i, e := range fresh {
		fresh[i].crowded = places(e.FeedEvent) && placed[second{e.EntityID, e.CreatedAt}] > 1
	}
	return fresh, next, whole, nil
}

// allStale marks every card of a connection dirty, in slices, so that no webhook
// waits for the whole of it.
func (k *Keeper) allStale(ctx context.Context, conn string) error {
	var leads, contacts []int64
	err := k.store.View(func(tx *store.Tx) error {
		err := store.Each(tx, store.Cards, store.Key(conn, "lead", ""), func(_ string, card event.LeadCard) bool {
			leads = append(leads, card.Lead.ID)
			return true
		})
		return errors.Join(err, store.Each(tx, store.Cards, store.Key(conn, "contact", ""), func(_ string, card event.ContactCard) bool {
			contacts = append(contacts, card.Contact.ID)
			return true
		}))
	})
	if err != nil {
		return err
	}
	if n := len(leads) + len(contacts); n > 0 {
		k.log.Info("what happened meanwhile is not known; cards are read again", "connection", conn, "cards", n)
	}
	for ids := range slices.Chunk(leads, perRead) {
		if err := k.markAll(ctx, conn, ids, staleLead); err != nil {
			return err
		}
		for _, id := range ids {
			k.Dirty(conn, id)
		}
	}
	for ids := range slices.Chunk(contacts, perRead) { // they are read when they are needed
		if err := k.markAll(ctx, conn, ids, staleContact); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keeper) markAll(ctx context.Context, conn string, ids []int64, mark func(*store.Tx, string, int64, *news) (bool, error)) error {
	return k.store.Update(ctx, func(tx *store.Tx) error {
		for _, id := range ids {
			if _, err := mark(tx, conn, id, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// stale marks the card an event speaks of dirty, unless the card is newer; it
// returns the id of a lead that is to be read, 0 if there is none. A contact is read
// when it is needed.
func (k *Keeper) stale(tx *store.Tx, conn string, e news) (lead int64, err error) {
	id, because := e.EntityID, &e
	switch e.EntityType {
	case "contact":
		if e.Type == "contact_deleted" {
			return 0, k.cfg.Drop(tx, conn, k.cfg.Host, "contact", id)
		}
		_, err := staleContact(tx, conn, id, because)
		return 0, err
	case "task":
		at, ok, err := store.Get[int64](tx, store.Positions, store.Key(conn, "task", strconv.FormatInt(id, 10)))
		if err != nil {
			return 0, err
		}
		if !ok {
			return 0, overOnContact(tx, conn, e)
		}
		id, because = at, nil // the lead itself may not have changed
	}
	ok, err := staleLead(tx, conn, id, because)
	if err != nil || !ok {
		return 0, err
	}
	return id, nil
}

// overOnContact takes a task that is over off the card of the contact it stood on, if it did.
func overOnContact(tx *store.Tx, conn string, e news) error {
	at, ok, err := store.Get[int64](tx, store.Positions, store.Key(conn, "contact_task", strconv.FormatInt(e.EntityID, 10)))
	if err != nil || !ok || e.Type != "task_completed" && e.Type != "task_deleted" {
		return err
	}
	key := store.Key(conn, "contact", strconv.FormatInt(at, 10))
	card, ok, err := store.Get[event.ContactCard](tx, store.Cards, key)
	if err != nil || !ok {
		return err
	}
	card.DropTask(e.EntityID)
	return store.Set(tx, store.Cards, key, card)
}

// staleLead marks a lead's card dirty, unless it holds what an event of the lead tells of.
func staleLead(tx *store.Tx, conn string, id int64, e *news) (bool, error) {
	key := store.Key(conn, "lead", strconv.FormatInt(id, 10))
	card, ok, err := store.Get[event.LeadCard](tx, store.Cards, key)
	if err != nil || !ok {
		return false, err
	}
	if e != nil && !card.Dirty && (card.SeenTo > e.CreatedAt || card.SeenTo == e.CreatedAt && !e.crowded) {
		return false, nil // a hook or an own write was quicker
	}
	card.MarkDirty(time.Now())
	return true, store.Set(tx, store.Cards, key, card)
}

// staleContact is staleLead for a contact. What the bridge wrote is an event of it, too.
func staleContact(tx *store.Tx, conn string, id int64, e *news) (bool, error) {
	key := store.Key(conn, "contact", strconv.FormatInt(id, 10))
	card, ok, err := store.Get[event.ContactCard](tx, store.Cards, key)
	if err != nil || !ok || card.Dirty || e != nil && card.Contact.UpdatedAt >= e.CreatedAt {
		return false, err
	}
	card.Dirty = true
	return true, store.Set(tx, store.Cards, key, card)
}
