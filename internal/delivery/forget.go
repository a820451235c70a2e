package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// Forget forgets a person: what the store keeps by client, and the texts of
// their deals and tasks, whose links to amoCRM stay so that nothing is made twice.
// It takes two commits; a call that failed between them is made good by another.
func Forget(ctx context.Context, st *store.Store, conn, client string) error {
	// First their events end, so that no worker adds to the traces afterwards.
	err := st.Update(ctx, func(tx *store.Tx) error { return tx.Forget(conn, client) })
	if err != nil {
		return err
	}
	left, err := tracesOf(st, conn, client)
	if err != nil {
		return err
	}
	return st.Update(ctx, func(tx *store.Tx) error { return left.erase(tx, math.MaxUint64) })
}

// deleted ends a deleted_client, whose person is forgotten whether or not amoCRM has
// a contact of theirs to put the tag on; nil for any other event.
func (j *job) deleted() event.Ending {
	if j.msg.Kind != "deleted_client" {
		return nil
	}
	if err := j.forgetClient(); err != nil {
		return event.Retry{Err: err}
	}
	return event.Finished{}
}

// forgetClient has the store forget the client of a deleted_client, as of it.
// Nothing of theirs that came before is under way (follow), and what came after
// waits in their line.
func (j *job) forgetClient() error {
	conn, client, until := j.c.Name, j.client.ID, j.seq
	if client == "" {
		return nil
	}
	left, err := tracesOf(j.d.store, conn, client)
	if err != nil {
		return err
	}
	j.effect(func(tx *store.Tx) error {
		if err := tx.ForgetUntil(conn, client, until); err != nil {
			return err
		}
		return left.erase(tx, until)
	})
	return nil
}

// keepTraces writes down what stands in amoCRM by now of an event whose person was
// forgotten while it was worked: which lead is the deal's, which task the task's, and
// by digests whose the contact is, so that nothing is made twice. The caller holds j.mu.
func (j *job) keepTraces(tx *store.Tx) error {
	stands, err := tx.Event(j.seq)
	if err != nil {
		return err
	}
	for i := range stands.Changes {
		ch := &stands.Changes[i]
		n := slices.IndexFunc(j.ev.Changes, func(o event.Change) bool { return o.Key == ch.Key && o.State == event.Settled })
		if n < 0 || ch.State == event.Settled {
			continue
		}
		ch.State, ch.AmoID = event.Settled, j.ev.Changes[n].AmoID
		if err := j.keepTrace(tx, j.ev.Changes[n]); err != nil { // what stands has lost its item with the person
			return err
		}
	}
	return tx.Put(stands)
}

func (j *job) keepTrace(tx *store.Tx, ch event.Change) error {
	switch {
	case ch.Target == event.OnLead && j.deal != nil:
		return changeRecord(tx, store.Deals, store.Key(j.c.Name, j.deal.ID), func(d *event.Deal) {
			if d.ID = j.deal.ID; d.LeadID == 0 {
				d.LeadID = ch.AmoID
			}
		})
	case ch.Target == event.OnTask && ch.Jivo != "":
		return changeRecord(tx, store.Tasks, store.Key(j.c.Name, ch.Jivo), func(t *event.JivoTask) { t.ID, t.AmoID = ch.Jivo, ch.AmoID })
	case ch.Target == event.OnContact && ch.Op == event.OpCreate && ch.AmoID != 0:
		return tx.AddContactKeys(j.c.Account.Host, ch.AmoID, j.peopleKeys())
	case ch.Target == event.OnContact && ch.Op == event.OpUpdate:
		return j.keepWritten(tx, ch)
	}
	return nil
}

// keepWritten tells the cards that others have of a contact what was written to it: their
// next write takes along all that the card does not know.
func (j *job) keepWritten(tx *store.Tx, ch event.Change) error {
	item := itemOf(ch)
	for _, conn := range j.circle() {
		err := contactCard(tx, conn, ch.EntityID, false, func(c *event.ContactCard) {
			overlayContact(&c.Contact, item, j.c.Account.Dict())
			c.WroteAt = time.Now()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// traces are the records of deals and tasks that quote a person, by their keys.
type traces struct {
	conn, client string
	deals, tasks []string
}

// tracesOf reads through all deals and tasks of a connection, as nothing finds them
// by client: never inside the writer, whom every webhook waits for.
func tracesOf(st *store.Store, conn, client string) (traces, error) {
	left := traces{conn: conn, client: client}
	err := st.View(func(tx *store.Tx) error {
		prefix := store.Key(conn, "")
		err := store.Each(tx, store.Deals, prefix, func(key string, d dealTrace) bool {
			if d.Client == client && len(d.Last) > 0 {
				left.deals = append(left.deals, key)
			}
			return true
		})
		if err != nil {
			return err
		}
		return store.Each(tx, store.Tasks, prefix, func(key string, t taskTrace) bool {
			if text(event.Object{"client": t.Last.Client}, "client", "client_id") == client {
				left.tasks = append(left.tasks, key)
			}
			return true
		})
	})
	if err != nil {
		return left, fmt.Errorf("looking for deals and tasks of a person: %w", err)
	}
	return left, nil
}

// dealTrace and taskTrace are what must be read of an event.Deal and an
// event.JivoTask to know whose they are.
type dealTrace struct {
	Client string          `json:"client"`
	Last   json.RawMessage `json:"last"`
}

type taskTrace struct {
	Last struct {
		Client any `json:"client"`
	} `json:"last"`
}

// erase takes out of the records what they quote, unless they have become
// another's meanwhile or tell of an event after until.
func (l traces) erase(tx *store.Tx, until uint64) error {
	for _, key := range l.deals {
		d, ok, err := store.Get[event.Deal](tx, store.Deals, key)
		if err != nil {
			return err
		}
		if !ok || d.Client != l.client || d.At > until {
			continue
		}
		d.Last = nil
		if err := store.Set(tx, store.Deals, key, d); err != nil {
			return err
		}
	}
	for _, key := range l.tasks {
		t, ok, err := store.Get[event.JivoTask](tx, store.Tasks, key)
		if err != nil {
			return err
		}
		if !ok || text(t.Last, "client", "client_id") != l.client || t.At > until {
			continue
		}
		t.Last = nil
		if err := store.Set(tx, store.Tasks, key, t); err != nil {
			return err
		}
	}
	return nil
}
