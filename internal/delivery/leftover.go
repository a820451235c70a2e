package delivery

import (
	"context"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// lookOver has the contacts told of that an earlier process left an update of in doubt,
// before anything of the connections is worked: an event of somebody else who shares
// the phone may come to its turn before the one in doubt does (doubtContact).
func (d *Dispatcher) lookOver(ctx context.Context, conns []*Connection) error {
	for _, c := range conns {
		if d.lookedOver[c.Name] {
			continue
		}
		contacts, err := d.doubtfulContacts(c.Name)
		if err != nil {
			return err
		}
		if len(contacts) > 0 {
			err = d.store.Update(ctx, func(tx *store.Tx) error {
				for _, doubt := range contacts {
					if err := (&job{d: d, c: c, seq: doubt.seq}).doubtCard(tx, doubt.contact); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err != nil {
			return err
		}
		d.lookedOver[c.Name] = true
	}
	return nil
}

// doubtful is a contact of which an event's update is in doubt.
type doubtful struct {
	contact int64
	seq     uint64
}

// doubtfulContacts are the contacts of a connection of which an update has left and no
// answer was recorded. Its event has begun, so it stands first in its line, and in the
// due index, whenever it is due.
func (d *Dispatcher) doubtfulContacts(connection string) (found []doubtful, err error) {
	err = d.store.View(func(tx *store.Tx) error {
		_, err := tx.Due(connection, time.Unix(1<<33, 0), func(seq uint64, _ time.Time) bool {
			ev, err := tx.Event(seq)
			if err != nil || !ev.Frozen {
				return true
			}
			for _, ch := range ev.Changes {
				if ch.State == event.Sent && ch.Op == event.OpUpdate && ch.Target == event.OnContact {
					found = append(found, doubtful{ch.EntityID, seq})
				}
			}
			return true
		})
		return err
	})
	return found, err
}
