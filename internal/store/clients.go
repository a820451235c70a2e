package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Client gives the picture of a client; a blank one with its ID if nothing is
// known. A record that cannot be read fails the transaction.
func (t *Tx) Client(connection, id string) *event.Client {
	c, err := t.client(connection, id)
	if err != nil {
		t.note(err)
	}
	if c == nil {
		return &event.Client{ID: id}
	}
	return c
}

// HasClient reports whether anything is known of a client.
func (t *Tx) HasClient(connection, id string) bool {
	return t.get(bucketClients, Key(connection, id)) != nil
}

// client reads a picture; nil if there is none.
func (t *Tx) client(connection, id string) (*event.Client, error) {
	rec := t.get(bucketClients, Key(connection, id))
	if rec == nil {
		return nil, nil
	}
	c := new(event.Client)
	if err := decode(rec, c); err != nil {
		return nil, fmt.Errorf("picture of a client of %s: %w", connection, err)
	}
	return c, nil
}

// PutClient writes a picture and keeps the look-ups by contact, lead, phone
// and e-mail in step with it.
func (t *Tx) PutClient(connection string, c *event.Client) error {
	if c.ID == "" {
		return errors.New("a client without an id")
	}
	old, err := t.client(connection, c.ID)
	if err != nil {
		return err
	}
	rec, err := encode(c)
	if err != nil {
		return err
	}
	if err := t.put(bucketClients, Key(connection, c.ID), rec); err != nil {
		return err
	}
	return t.syncIndex(clientEntries(connection, old), clientEntries(connection, c))
}

// clientEntries lists the keys a picture is found by.
func clientEntries(connection string, c *event.Client) []entry {
	if c == nil {
		return nil
	}
	var es []entry
	if c.ContactID != 0 {
		es = append(es, entry{bucketByContact, numbered(connection, c.ContactID) + part(c.ID)})
	}
	for _, l := range c.Leads {
		if l.LeadID != 0 {
			es = append(es, entry{bucketByLead, numbered(connection, l.LeadID) + part(c.ID)})
		}
	}
	for _, p := range c.Phones {
		es = append(es, entry{bucketByPhone, Key(connection, p, c.ID)})
	}
	for _, e := range c.Emails {
		es = append(es, entry{bucketByEmail, Key(connection, e, c.ID)})
	}
	return es
}

func numbered(scope string, id int64) string { return prefix(scope) + be64(uint64(id)) }

// ClientsByContact lists the clients linked to a contact.
func (t *Tx) ClientsByContact(connection string, contactID int64) []string {
	return t.clientIDs(connection, bucketByContact, numbered(connection, contactID))
}

// ClientsByLead lists the clients linked to a lead.
func (t *Tx) ClientsByLead(connection string, leadID int64) []string {
	return t.clientIDs(connection, bucketByLead, numbered(connection, leadID))
}

// ClientsByPhone lists the clients known by a phone, spelled as in their picture.
func (t *Tx) ClientsByPhone(connection, phone string) []string {
	return t.clientIDs(connection, bucketByPhone, prefix(connection, phone))
}

// ClientsByEmail lists the clients known by an e-mail, spelled as in their picture.
func (t *Tx) ClientsByEmail(connection, email string) []string {
	return t.clientIDs(connection, bucketByEmail, prefix(connection, email))
}

// clientIDs lists the ids that end the keys under p.
func (t *Tx) clientIDs(connection, bucket, p string) []string {
	var ids []string
	t.each(bucket, p, func(k, _ []byte) bool {
		ids = append(ids, t.clientID(connection, string(k[len(p):])))
		return true
	})
	return ids
}

// clientID undoes part; the digest of an overlong id is looked up in the picture.
func (t *Tx) clientID(connection, escaped string) string {
	if len(escaped) < 2 || escaped[:2] != "\x01\x03" {
		return unescaper.Replace(escaped)
	}
	c := new(event.Client)
	if err := decode(t.get(bucketClients, prefix(connection)+escaped), c); err != nil {
		t.note(fmt.Errorf("picture of a client of %s: %w", connection, err))
	}
	return c.ID
}

// EachClient gives every picture of a connection until fn returns false. fn must
// not write clients.
func (t *Tx) EachClient(connection string, fn func(*event.Client) (more bool)) error {
	var failure error
	t.each(bucketClients, prefix(connection), func(_, rec []byte) bool {
		c := new(event.Client)
		if err := decode(rec, c); err != nil {
			failure = fmt.Errorf("picture of a client of %s: %w", connection, err)
			return false
		}
		return fn(c)
	})
	return failure
}

// The contact directory. It is a mirror of the account's contacts and holds
// digests of their phones and e-mails only.

// ContactsBy lists the contacts of an account that have a key: "p:" and a phone
// in E.164, or "e:" and an e-mail in lower case.
func (t *Tx) ContactsBy(account, key string) []int64 {
	var ids []int64
	t.each(bucketDirectory, directoryPrefix(account, hash(key)), func(k, _ []byte) bool {
		ids = append(ids, int64(seqAt(k)))
		return true
	})
	return ids
}

// SetContactKeys replaces the keys of a contact; none drops it.
func (t *Tx) SetContactKeys(account string, contactID int64, keys []string) error {
	return t.changeContactKeys(account, contactID, keys, false)
}

// AddContactKeys gives a contact keys beside those it has: not all of it is known.
func (t *Tx) AddContactKeys(account string, contactID int64, keys []string) error {
	return t.changeContactKeys(account, contactID, keys, true)
}

func (t *Tx) changeContactKeys(account string, contactID int64, keys []string, beside bool) error {
	reverse := numbered(account, contactID)
	rec := t.get(bucketContactKeys, reverse)
	if rec != nil && rec[0] != recordVersion {
		return fmt.Errorf("keys of contact %d: %w", contactID, errRecord)
	}
	var had, digests []digest
	if rec != nil {
		for d := rec[1:]; len(d) >= len(digest{}); d = d[len(digest{}):] {
			had = append(had, digest(d[:len(digest{})]))
		}
	}
	if beside {
		digests = slices.Clone(had)
	}
	for _, key := range keys {
		if d := hash(key); !beside || !slices.Contains(digests, d) {
			digests = append(digests, d)
		}
	}
	if slices.Equal(had, digests) {
		return nil
	}
	entries := func(digests []digest) (out []entry) {
		for _, d := range digests {
			out = append(out, entry{bucketDirectory, directoryPrefix(account, d) + be64(uint64(contactID))})
		}
		return out
	}
	if err := t.syncIndex(entries(had), entries(digests)); err != nil {
		return err
	}
	if len(digests) == 0 {
		return t.del(bucketContactKeys, reverse)
	}
	value := []byte{recordVersion}
	for _, d := range digests {
		value = append(value, d[:]...)
	}
	return t.put(bucketContactKeys, reverse, value)
}

func directoryPrefix(account string, d digest) string { return prefix(account) + string(d[:]) }
