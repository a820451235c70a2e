package delivery

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// resolveDoubts looks up every change that left and whose answer is not known:
// found → settled; not found twice, in_doubt_after apart → open again
// (product.md §8.2). A non-nil ending says it is too early, or cannot be told.
func (j *job) resolveDoubts(ctx context.Context) event.Ending {
	ctx = amocrm.WithPriority(ctx, amocrm.NewLead) // what has begun ends first: its line stands still
	j.backdate()
	for i := range j.ev.Changes {
		if j.ev.Changes[i].State != event.Sent {
			continue
		}
		if wait := j.lookable(j.ev.Changes[i]).Sub(j.c.Account.now()); wait > 0 {
			// No longer than that: a clock may be set meanwhile.
			return event.Snooze{Until: time.Now().Add(min(wait, j.c.InDoubtAfter)), Why: "an answer was lost; it will be looked up"}
		}
		if end := j.resolveDoubt(ctx, i); end != nil {
			return end
		}
	}
	return nil
}

func (j *job) resolveDoubt(ctx context.Context, i int) event.Ending {
	release, err := j.lockPlace(ctx, j.ev.Changes[i])
	if err != nil {
		return ended(ctx, err)
	}
	defer release()
	since := j.madeSince(j.ev.Changes[i])
	res, with, found, err := j.lookUp(ctx, i)
	if err == nil && !found && since.Sub(j.madeSince(j.ev.Changes[i])) > clockSlack { // its clock fell behind, as its answer tells
		res, with, found, err = j.lookUp(ctx, i)
	}
	if errors.Is(err, errNotKnown) {
		return event.Snooze{Until: time.Now().Add(max(j.c.InDoubtAfter, notKnownFor)), Why: "an answer was lost, and too much is new to tell; it will be looked up again"}
	}
	if err != nil {
		return ended(ctx, err)
	}
	// What an equal one's answer tells may be written down between the two: it is taken then.
	if found && (j.crossed(j.ev.Changes[i]) || !isCore(j.ev.Changes[i]) && j.taken(res.ID, j.ev.Changes[i])) {
		return event.Snooze{Until: time.Now().Add(shortest), Why: "an answer was lost, and an equal one is on its way; it will be looked up again"}
	}
	if found {
		j.d.obs.InDoubt(j.c.Name, "found")
		res.Merged = true // others may have written to it since
		j.landed(with, res)
		if err := j.checkpoint(ctx); err != nil {
			return ended(ctx, err)
		}
		return nil
	}
	if j.looked(with) < 2 {
		j.d.obs.InDoubt(j.c.Name, "missing")
		return event.Snooze{Until: time.Now().Add(j.c.InDoubtAfter), Why: "an answer was lost; it will be looked up once more"}
	}
	j.d.obs.InDoubt(j.c.Name, "resent")
	j.mark(with, event.Open, "")
	return nil
}

// looked counts a look-up in vain, for all that stand or fall together: the next
// one must not be told by the same list. It returns how many there were.
func (j *job) looked(with []int) (looks int) {
	now := j.c.Account.now()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, i := range with {
		ch := &j.ev.Changes[i]
		ch.Looks, ch.LookedAt = ch.Looks+1, now
		looks = max(looks, ch.Looks)
	}
	return looks
}

// lockPlace keeps others from looking for notes, calls and tasks in the same
// place until what this one found is in the ledger: two equal intents must not
// both be settled by one entity. Whoever holds it waits for no other lock.
func (j *job) lockPlace(ctx context.Context, ch event.Change) (func(), error) {
	if isCore(ch) {
		return func() {}, nil
	}
	entity, eid, err := j.placeOf(ch)
	if err != nil { // there is no place, and nothing to be found
		return func() {}, nil
	}
	return j.lock(ctx, []string{"place:" + entity + ":" + id(eid)})
}

// wait says whether a change must wait for what another event has sent: an update of a
// contact for one that is in doubt (outlast), and a person's contact for that of another
// event, of theirs or of another client with the same phone or e-mail, whose creation left and
// is not settled: it holds no lock between attempts, and amoCRM's search does not
// know of it yet. Whoever's creation did not land keeps nobody waiting, and is mapped
// anew if somebody else has made the contact by the time it goes again.
func (j *job) wait(i int) event.Ending {
	if end := j.outlast(j.ev.Changes[i]); end != nil {
		return end
	}
	if !j.createsContact(i) {
		return nil
	}
	waits, met := false, false
	err := j.d.store.View(func(tx *store.Tx) error {
		for _, conn := range j.d.siblings(j.c.Account) {
			clients := j.namesakes(tx, conn)
			if conn == j.c.Name && j.client.ID != "" {
				clients = append(clients, j.client.ID) // who may have neither
			}
			for _, client := range clients {
				waits = waits || j.contactSent(tx, conn, client)
			}
		}
		met = j.ev.Frozen && slices.ContainsFunc(j.peopleKeys(), func(key string) bool { return len(tx.ContactsBy(j.c.Account.Host, key)) > 0 })
		return nil
	})
	if err != nil {
		return event.Retry{Err: err}
	}
	if waits {
		return event.Snooze{Until: time.Now().Add(j.c.InDoubtAfter), Why: "another event is making the contact of this phone or e-mail"}
	}
	if met && unmade(j.ev) {
		return j.startOver("another contact has the phone or e-mail by now; mapped anew")
	}
	return nil
}

// outlast says whether an update of a contact must wait for one that another event
// sent and that is in doubt: amoCRM may carry it out yet, and it would take away the
// phones and e-mails that this one brings.
func (j *job) outlast(ch event.Change) event.Ending {
	if ch.Op != event.OpUpdate || ch.Target != event.OnContact {
		return nil
	}
	doubted := false
	err := j.d.store.View(func(tx *store.Tx) error {
		working := j.circle()
		for _, conn := range working { // this one may meet the contact only now
			card, ok, err := store.Get[event.ContactCard](tx, store.Cards, store.Key(conn, "contact", id(ch.EntityID)))
			if err != nil {
				return err
			}
			if !ok || card.Doubt == 0 || card.Doubt == j.seq {
				continue
			}
			ev, err := tx.Event(card.Doubt)
			if err != nil || !slices.Contains(working, ev.Connection) { // one that is gone has it written anew once it returns
				continue
			}
			doubted = doubted || !ev.State.Settled() && slices.ContainsFunc(ev.Changes, func(o event.Change) bool {
				return o.State == event.Sent && o.Op == ch.Op && o.Target == ch.Target && o.EntityID == ch.EntityID
			})
		}
		return nil
	})
	if err != nil {
		return event.Retry{Err: err}
	}
	if doubted {
		return event.Snooze{Until: time.Now().Add(j.c.InDoubtAfter), Why: "another event's update of the contact is in doubt"}
	}
	return nil
}

// createsContact reports whether writing the change makes a contact.
func (j *job) createsContact(i int) bool {
	ch := j.ev.Changes[i]
	if ch.Op == event.OpCreate && ch.Target == event.OnLead {
		c := j.change(event.OpCreate, event.OnContact)
		return c >= 0 && j.ev.Changes[c].State == event.Open
	}
	return ch.Op == event.OpCreate && ch.Target == event.OnContact
}

// namesakes lists the clients of a connection that share a phone or e-mail with
// the person of this event.
func (j *job) namesakes(tx *store.Tx, conn string) (clients []string) {
	phones, emails := j.people()
	for _, p := range phones {
		clients = append(clients, tx.ClientsByPhone(conn, p)...)
	}
	for _, e := range emails {
		clients = append(clients, tx.ClientsByEmail(conn, e)...)
	}
	return clients
}

// contactSent reports whether the first event of a client's line, if it is another
// than this, has sent a contact to be made and does not know what became of it.
func (j *job) contactSent(tx *store.Tx, conn, client string) bool {
	seq, ok := tx.Head(conn, event.LineOfPerson(client))
	if !ok || seq == j.seq {
		return false
	}
	ev, err := tx.Event(seq)
	return err == nil && ev.Frozen && slices.ContainsFunc(ev.Changes, func(ch event.Change) bool {
		return ch.Op == event.OpCreate && ch.Target == event.OnContact && ch.State == event.Sent
	})
}
