package store

import (
	"errors"
	"math"
	"strconv"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Forget drops what is kept of a person (product.md §4, DELETE): the picture and
// what finds it; the cards of leads and contacts no other client is linked to;
// the bodies of their events and whatever those carry of what was said; the
// records of their chats; what their deals looked like, though not which lead
// they are; and records of other rooms under Key(connection, "client", id).
// Their pending and parked events are dead, reason forgotten. Dedup keys are
// digests and stay, so that a redelivery does nothing. Pages of the file that
// held the data are reused later; `bridge compact` removes them at once.
//
// Of a person without a number (event.ChatPerson) the events are those of the
// chat that name no client.
//
// A worker that has one of the events in hand must read it again in the
// transaction that settles it, or it would write back what was dropped.
func (t *Tx) Forget(connection, client string) error {
	return t.ForgetUntil(connection, client, math.MaxUint64)
}

// ForgetUntil is Forget as of the event seq, by which the person was deleted:
// what came after it stays, and is worked as that of somebody new. Only a repeat
// loses its body all the same, which is of no use but could tell of the person.
func (t *Tx) ForgetUntil(connection, client string, seq uint64) error {
	if client == "" {
		return errors.New("a client without an id")
	}
	old, err := t.client(connection, client)
	if err != nil {
		return err
	}
	chats := map[string]bool{}
	if chat, ok := event.ChatOfPerson(client); ok {
		chats[chat] = true
	}
	if old != nil {
		if err := t.dropClient(connection, old, chats); err != nil {
			return err
		}
	}
	if err := t.forgetEvents(connection, client, seq, chats); err != nil {
		return err
	}
	if err := t.dropRecords(Key(connection, "client", client)); err != nil {
		return err
	}
	for chat := range chats {
		if err := Delete(t, Chats, Key(connection, chat)); err != nil {
			return err
		}
	}
	return nil
}

// dropClient removes a picture, its look-ups and the cards only it leads to.
func (t *Tx) dropClient(connection string, c *event.Client, chats map[string]bool) error {
	if err := t.del(bucketClients, Key(connection, c.ID)); err != nil {
		return err
	}
	if err := t.syncIndex(clientEntries(connection, c), nil); err != nil {
		return err
	}
	for _, l := range c.Leads {
		for _, chat := range l.Chats {
			chats[chat] = true
		}
		if err := t.stripDeal(connection, l.Deal); err != nil {
			return err
		}
		if len(t.ClientsByLead(connection, l.LeadID)) > 0 {
			continue
		}
		if err := Delete(t, Cards, Key(connection, "lead", strconv.FormatInt(l.LeadID, 10))); err != nil {
			return err
		}
	}
	for _, h := range c.Held {
		chats[h.Chat] = true
	}
	if c.ContactID == 0 || len(t.ClientsByContact(connection, c.ContactID)) > 0 {
		return nil
	}
	return t.dropContactCard(connection, c.ContactID)
}

// dropContactCard removes the card of a contact and those of its leads that no client is
// linked to.
func (t *Tx) dropContactCard(connection string, contactID int64) error {
	key := Key(connection, "contact", strconv.FormatInt(contactID, 10))
	card, _, _ := Get[event.ContactCard](t, Cards, key) // one that cannot be read goes all the same
	for _, id := range card.Contact.LeadIDs {
		if len(t.ClientsByLead(connection, id)) > 0 {
			continue
		}
		if err := Delete(t, Cards, Key(connection, "lead", strconv.FormatInt(id, 10))); err != nil {
			return err
		}
	}
	return Delete(t, Cards, key)
}

// stripDeal keeps of a deal only which lead it is, so that its next event does
// not make another.
func (t *Tx) stripDeal(connection, deal string) error {
	if deal == "" {
		return nil
	}
	d, ok, err := Get[event.Deal](t, Deals, Key(connection, deal))
	if err != nil || !ok {
		return err
	}
	d.Client, d.Last = "", nil
	return Set(t, Deals, Key(connection, deal), d)
}

// forgetEvents strips a client's events up to the event until, and ends those
// that wait.
func (t *Tx) forgetEvents(connection, client string, until uint64, chats map[string]bool) error {
	keys := t.keys(bucketByClient, prefix(connection, client))
	if chat, ok := event.ChatOfPerson(client); ok {
		keys = append(keys, t.keys(bucketByChat, prefix(connection, chat))...)
	}
	for _, key := range keys {
		ev, err := t.Event(seqAt([]byte(key)))
		if err != nil {
			return err
		}
		if ev.Client != "" && ev.Client != client || ev.Seq > until && ev.Reason != event.Duplicate {
			continue
		}
		if ev.Chat != "" {
			chats[ev.Chat] = true
		}
		if err := t.DropBody(ev.Seq); err != nil {
			return err
		}
		strip(ev)
		if !ev.State.Settled() {
			ev.State, ev.Reason, ev.Detail = event.Dead, event.Forgotten, ""
			ev.SettledAt = t.now()
		}
		if err := t.Put(ev); err != nil {
			return err
		}
	}
	return nil
}

// strip takes out of an event what may quote the person; ids, times and what
// was done stay.
func strip(ev *event.Event) {
	ev.Warnings = nil
	for i := range ev.Rules {
		ev.Rules[i].Why = ""
	}
	for _, m := range []*event.Match{ev.Contact, ev.Lead} {
		if m != nil {
			m.Why = ""
		}
	}
	for i := range ev.Changes {
		c := &ev.Changes[i]
		c.Item, c.Marker, c.Error = nil, "", ""
	}
	for i := range ev.Requests {
		ev.Requests[i].Answer = ""
	}
}

// dropRecords removes a key and everything below it from every generic bucket.
func (t *Tx) dropRecords(key string) error {
	for _, b := range generic() {
		if err := Delete(t, b, key); err != nil {
			return err
		}
		for _, below := range t.keys(string(b), key+sep) {
			if err := Delete(t, b, below); err != nil {
				return err
			}
		}
	}
	return nil
}
