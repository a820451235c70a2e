package store

import (
	"errors"
	"fmt"
	"slices"
)

// Buckets of the file. Keys are joined by Key; "n" is a number of eight bytes,
// big-endian, so that keys sort by it.
const (
	bucketMeta        = "meta"
	bucketEvents      = "events"         // n(seq) → record
	bucketBodies      = "bodies"         // n(seq) → raw body
	bucketDue         = "due"            // connection, n(time) n(seq)
	bucketLines       = "lines"          // connection, line, n(seq): attached pending events; frozen ones also n(0) n(seq)
	bucketStates      = "states"         // connection, state, n(seq): pending, parked, dead
	bucketParked      = "parked"         // connection, client, n(seq)
	bucketByClient    = "by_client"      // connection, client, n(seq)
	bucketByChat      = "by_chat"        // connection, chat, n(seq)
	bucketByAmo       = "by_amo"         // connection, n(amoCRM id) n(seq)
	bucketConnections = "connections"    // connection
	bucketSeen        = "seen"           // digest of a dedup key's part before the last "|" + digest of the key → sighting
	bucketSeenDay     = "seen_day"       // day (4 bytes) n(seq) → key of seen
	bucketClients     = "clients"        // connection, client → record
	bucketByContact   = "client_contact" // connection, n(contact) client
	bucketByLead      = "client_lead"    // connection, n(lead) client
	bucketByPhone     = "client_phone"   // connection, phone, client
	bucketByEmail     = "client_email"   // connection, e-mail, client
	bucketDirectory   = "directory"      // account, digest of phone or e-mail + n(contact)
	bucketContactKeys = "contact_keys"   // account, n(contact) → digests
)

// Bucket names a set of small records of other rooms, for Get, Set, Delete and
// Each. What is kept there about a person belongs under
// Key(connection, "client", id, …), which Forget drops in every one of them, or
// into one of the records Forget knows: cards, chats, deals.
type Bucket string

// The generic buckets.
const (
	Cards     Bucket = "cards" // Key(connection, "lead" | "contact", id) → event.LeadCard, event.ContactCard
	Chats     Bucket = "chats" // Key(connection, chat) → event.Chat
	Deals     Bucket = "deals" // Key(connection, deal) → event.Deal
	Tasks     Bucket = "tasks"
	Names     Bucket = "names"
	Tokens    Bucket = "tokens"
	Positions Bucket = "positions"
	Pins      Bucket = "pins"
	Last      Bucket = "last"
)

func generic() []Bucket {
	return []Bucket{Cards, Chats, Deals, Tasks, Names, Tokens, Positions, Pins, Last}
}

func buckets() []string {
	names := []string{
		bucketMeta, bucketEvents, bucketBodies, bucketDue, bucketLines, bucketStates, bucketParked, bucketByClient,
		bucketByChat, bucketByAmo, bucketConnections, bucketSeen, bucketSeenDay, bucketClients,
		bucketByContact, bucketByLead, bucketByPhone, bucketByEmail, bucketDirectory, bucketContactKeys,
	}
	for _, b := range generic() {
		names = append(names, string(b))
	}
	return names
}

var errBucket = errors.New("no such bucket")

func (b Bucket) check(key string) error {
	if !slices.Contains(generic(), b) {
		return fmt.Errorf("%w: %s", errBucket, b)
	}
	if key == "" {
		return fmt.Errorf("empty key in bucket %s", b)
	}
	return nil
}

// Get reads a record; ok is false if there is none.
func Get[T any](t *Tx, b Bucket, key string) (v T, ok bool, err error) {
	if err := b.check(key); err != nil {
		return v, false, err
	}
	rec := t.get(string(b), key)
	if rec == nil {
		return v, false, nil
	}
	if err := decode(rec, &v); err != nil {
		return v, false, fmt.Errorf("record in bucket %s: %w", b, err)
	}
	return v, true, nil
}

// Set writes a record; v must be what encoding/json can marshal.
func Set(t *Tx, b Bucket, key string, v any) error {
	if err := b.check(key); err != nil {
		return err
	}
	rec, err := encode(v)
	if err != nil {
		return err
	}
	return t.put(string(b), key, rec)
}

// Delete removes a record; it is no error if there is none.
func Delete(t *Tx, b Bucket, key string) error {
	if err := b.check(key); err != nil {
		return err
	}
	if t.get(string(b), key) == nil {
		return nil
	}
	return t.del(string(b), key)
}

// Each gives the records whose key begins with prefix, in order of their keys,
// until fn returns false; prefix "" means all. fn may write, but what it adds
// to the same bucket may or may not be given.
func Each[T any](t *Tx, b Bucket, prefix string, fn func(key string, v T) (more bool)) error {
	if err := b.check("-"); err != nil {
		return err
	}
	for _, key := range t.keys(string(b), prefix) {
		v, ok, err := Get[T](t, b, key)
		if err != nil {
			return err
		}
		if ok && !fn(key, v) {
			return nil
		}
	}
	return nil
}
