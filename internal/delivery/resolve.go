package delivery

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/items"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/mapping"
	"github.com/jivo-amocrm/bridge/internal/phone"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// found is what resolution came to: the contact and the lead of an event as the
// bridge knows them, nil where there is none.
type found struct {
	contact *event.ContactCard
	lead    *event.LeadCard
	foreign map[string]bool // e-mails that stand on another contact
}

// people are the phones and e-mails the event's person may be found by, the
// event's own first; for a call the number that was called.
func (j *job) people() (phones, emails []string) {
	return mapping.Contacts(&mapping.Input{Fields: j.msg.Fields, Client: j.client}, j.c.Region)
}

// peopleKeys are their keys in the contact directory and the lock table.
func (j *job) peopleKeys() []string {
	phones, emails := j.people()
	return phone.KeysOf(phones, emails)
}

// findContact finds the event's contact as find says (product.md › Finding the
// contact).
func (j *job) findContact(ctx context.Context, find *event.Find) (*event.ContactCard, event.Match, error) {
	for _, by := range find.By {
		switch by {
		case "client":
			if j.client.ContactID == 0 {
				continue
			}
			card, err := j.contactCard(ctx, j.client.ContactID)
			if err != nil {
				return nil, event.Match{}, err
			}
			if card == nil {
				j.warn("the linked contact %d is gone from amoCRM; it was unlinked", j.client.ContactID)
				j.client.ContactID = 0
				continue
			}
			return card, event.Match{ID: card.Contact.ID, By: by, Why: "the client is linked to it"}, nil
		case "phone", "email":
			if find.Linked {
				continue
			}
			phones, values := j.people()
			if by == "phone" {
				values = phones
			}
			for _, v := range values {
				hits, how, err := j.hits(ctx, by, v)
				if err != nil {
					return nil, event.Match{}, err
				}
				if len(hits) == 0 {
					continue
				}
				card, why, err := j.choose(ctx, hits)
				if err != nil {
					return nil, event.Match{}, err
				}
				return card, event.Match{ID: card.Contact.ID, By: by, Why: "same " + by + ", from the " + how + why}, nil
			}
		}
	}
	return nil, event.Match{Why: "no finder hit"}, nil
}

// hits returns the contacts that carry this phone or e-mail, from the contact
// directory or else amoCRM's search; every hit is re-checked against the
// normalised values (amocrm-api.md §7.6).
func (j *job) hits(ctx context.Context, by, value string) (cards []*event.ContactCard, how string, err error) {
	key := "p:" + value
	if by == "email" {
		key = "e:" + value
	}
	query := value
	if by == "phone" {
		query = phone.National(value, j.c.Region)
	}
	cards, asked, err := j.listed(ctx, query, key)
	if err == nil && len(cards) == 0 && !asked && !j.c.Account.Complete() {
		j.away(func() { j.c.Account.CatchUp(ctx) })
		cards, asked, err = j.listed(ctx, query, key)
	}
	if err != nil || len(cards) > 0 {
		return cards, "contact directory", err
	}
	now := time.Now()
	if asked || j.c.Account.misses.has(key, now) || j.directorySuffices() {
		return nil, "contact directory", nil
	}
	if cards, err = j.searched(ctx, query, key); err == nil && len(cards) == 0 {
		j.c.Account.misses.add(key, now)
	}
	return cards, "search", err
}

// "no@mail.ru" may stand on hundreds of contacts.
const (
	// readAlone is how many of those are read each by a request of its own.
	readAlone = 3
	// manyContacts is how many of them are read, newest first, or asked for their
	// leads, latest updated first.
	manyContacts = 50
)

// listed returns the contacts that carry a key by the contact directory. If of the
// newest of them too little is known, they are read: a few alone, many by one
// search. asked says that the search was made.
func (j *job) listed(ctx context.Context, query, key string) (cards []*event.ContactCard, asked bool, err error) {
	var ids, unread []int64
	err = j.d.store.View(func(tx *store.Tx) error {
		ids = tx.ContactsBy(j.c.Account.Host, key)
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	add := func(card *event.ContactCard) {
		if card != nil && slices.Contains(directoryKeys(card.Contact, j.c.Region), key) {
			cards = append(cards, card)
		}
	}
	for i, id := range slices.Backward(ids) {
		card, fresh, err := j.knownContact(id)
		switch {
		case err != nil:
			return nil, false, err
		case fresh && card.Contact.Deleted:
			j.dropContact(id)
		case fresh:
			add(&card)
		case len(ids)-i <= manyContacts:
			unread = append(unread, id)
		}
	}
	if asked = len(unread) > readAlone; asked {
		hits, err := j.searched(ctx, query, key)
		if err != nil {
			return nil, false, err
		}
		hit := make(map[int64]bool, len(hits))
		for _, c := range hits {
			hit[c.Contact.ID] = true
		}
		cards = append(slices.DeleteFunc(cards, func(c *event.ContactCard) bool { return hit[c.Contact.ID] }), hits...)
		unread = slices.DeleteFunc(unread, func(id int64) bool { return hit[id] })
	}
	for _, id := range unread[:min(len(unread), readAlone)] {
		card, err := j.contactCard(ctx, id)
		if err != nil {
			return nil, false, err
		}
		add(card)
	}
	return cards, asked, nil
}

// searched returns the contacts that amoCRM's search finds and that carry a key.
func (j *job) searched(ctx context.Context, query, key string) (cards []*event.ContactCard, err error) {
	began := time.Now()
	contacts, err := j.crm().SearchContacts(ctx, query, amocrm.NewLead)
	if err != nil {
		return nil, err
	}
	for _, c := range contacts {
		keys := directoryKeys(c, j.c.Region)
		if !slices.Contains(keys, key) {
			continue
		}
		card := &event.ContactCard{Contact: c, ReadAt: began}
		cards = append(cards, card)
		j.learnContact(card, keys)
	}
	return cards, nil
}

// busy is how many waiting events say that work is waiting: then a miss in the
// contact directory is believed.
const busy = 5

// directorySuffices reports whether a miss in the contact directory needs no search:
// it is fresh, and work is waiting. While the budget is idle amoCRM is asked all the
// same: the directory is as old as its last pass.
func (j *job) directorySuffices() bool {
	a := j.c.Account
	return a.Complete() && (j.d.store.Pending(j.c.Name) > busy || !a.Idle())
}

// learnContact has the store remember a contact that was read.
func (j *job) learnContact(card *event.ContactCard, keys []string) {
	c := *card
	j.c.Account.misses.drop(keys)
	j.effect(func(tx *store.Tx) error {
		old, ok, err := store.Get[event.ContactCard](tx, store.Cards, store.Key(j.c.Name, "contact", id(c.Contact.ID)))
		if err != nil {
			return err
		}
		if known := old.KnownAt(); known.After(c.ReadAt) && !known.After(time.Now()) {
			return nil // it was written to since
		}
		if ok { // what no read tells stays: what was written, its tasks, whose update is in doubt
			old.Contact, old.ReadAt, old.Dirty = c.Contact, c.ReadAt, c.Dirty
			c = old
		}
		if err := tx.SetContactKeys(j.c.Account.Host, c.Contact.ID, keys); err != nil {
			return err
		}
		return store.Set(tx, store.Cards, store.Key(j.c.Name, "contact", id(c.Contact.ID)), c)
	})
}

// choose decides between several contacts: the one with the same marker, else
// with an open lead, else the latest updated, else the lowest id.
func (j *job) choose(ctx context.Context, cards []*event.ContactCard) (*event.ContactCard, string, error) {
	if len(cards) == 1 {
		return cards[0], "", nil
	}
	j.warn("ambiguous_contact: %d contacts match", len(cards))
	note := fmt.Sprintf("; of %d", len(cards))
	if field := j.markerField("contacts"); field != 0 {
		for _, c := range cards {
			if items.HasMarker(c.Contact.Fields[field].Text(), j.clientMarker()) {
				return c, note + " the one with this client's marker", nil
			}
		}
	}
	slices.SortFunc(cards, func(a, b *event.ContactCard) int {
		if a.Contact.UpdatedAt != b.Contact.UpdatedAt {
			return int(b.Contact.UpdatedAt - a.Contact.UpdatedAt)
		}
		return int(a.Contact.ID - b.Contact.ID)
	})
	c, err := j.withOpenLead(ctx, cards[:min(len(cards), manyContacts)])
	switch {
	case err != nil:
		return nil, "", err
	case c != nil:
		return c, note + " the one with an open lead", nil
	}
	return cards[0], note + " the latest updated", nil
}

// withOpenLead returns the first of the contacts that has an open lead, nil if none
// has. Their leads are read together, as many as are looked at for one contact.
func (j *job) withOpenLead(ctx context.Context, cards []*event.ContactCard) (*event.ContactCard, error) {
	for len(cards) > 0 {
		ids, n := slices.Clone(cards[0].Contact.LeadIDs), 1
		for n < len(cards) && len(ids)+len(cards[n].Contact.LeadIDs) <= manyLeads {
			ids = append(ids, cards[n].Contact.LeadIDs...)
			n++
		}
		known, err := j.leadsOf(ctx, ids)
		if err != nil {
			return nil, err
		}
		open := map[int64]bool{}
		for _, l := range known {
			open[l.Lead.ID] = !l.Lead.Closed()
		}
		for _, c := range cards[:n] {
			if slices.ContainsFunc(c.Contact.LeadIDs, func(id int64) bool { return open[id] }) {
				return c, nil
			}
		}
		cards = cards[n:]
	}
	return nil, nil
}

// contactCard returns what is known of a contact, read anew if that is too old
// to count; nil if amoCRM has it no more, in which case its links are dropped.
func (j *job) contactCard(ctx context.Context, contactID int64) (*event.ContactCard, error) {
	card, fresh, err := j.knownContact(contactID)
	switch {
	case err != nil:
		return nil, err
	case fresh && card.Contact.Deleted:
		j.dropContact(contactID)
		return nil, nil
	case fresh:
		return &card, nil
	}
	return j.readContact(ctx, contactID, card)
}

// knownContact returns what is written down of a contact; fresh says whether that
// is new enough to count. That it was deleted always is.
func (j *job) knownContact(contactID int64) (card event.ContactCard, fresh bool, err error) {
	card, ok, err := known[event.ContactCard](j, store.Cards, store.Key(j.c.Name, "contact", id(contactID)))
	if err != nil {
		return card, false, err
	}
	if j.leadsThen == nil {
		j.leadsThen = map[int64][]int64{}
	}
	j.leadsThen[contactID] = slices.Clone(card.Contact.LeadIDs)
	fresh = ok && (card.Contact.Deleted || card.Fresh(time.Now(), j.c.Refresh))
	return card, fresh, nil
}

func (j *job) readContact(ctx context.Context, contactID int64, card event.ContactCard) (*event.ContactCard, error) {
	began := time.Now()
	c, exists, err := j.crm().Contact(ctx, contactID)
	if err != nil {
		return nil, err
	}
	if !exists {
		j.dropContact(contactID)
		return nil, nil
	}
	card.Contact, card.ReadAt, card.Dirty = c, began, false
	j.learnContact(&card, directoryKeys(c, j.c.Region))
	return &card, nil
}

func (j *job) dropContact(contactID int64) {
	if j.client.ContactID == contactID {
		j.client.ContactID = 0
	}
	j.lost = append(j.lost, contactID)
	j.effect(func(tx *store.Tx) error { return DropContact(tx, j.c.Name, j.c.Account.Host, contactID) })
}

// DropContact removes every link to a contact that amoCRM no longer has, so that
// no event writes into a dead id and its leads are known to be without it.
func DropContact(tx *store.Tx, conn, account string, contactID int64) error {
	key := store.Key(conn, "contact", id(contactID))
	card, _, err := store.Get[event.ContactCard](tx, store.Cards, key)
	if err != nil {
		return err
	}
	of := slices.Clone(card.Contact.LeadIDs)
	for _, cid := range tx.ClientsByContact(conn, contactID) {
		c := tx.Client(conn, cid)
		for _, l := range c.Leads {
			of = append(of, l.LeadID)
		}
		c.ContactID = 0
		if err := tx.PutClient(conn, c); err != nil {
			return err
		}
	}
	for _, leadID := range of {
		if err := loseContact(tx, conn, leadID, contactID); err != nil {
			return err
		}
	}
	if err := tx.SetContactKeys(account, contactID, nil); err != nil {
		return err
	}
	return store.Delete(tx, store.Cards, key)
}

// loseContact takes a contact off the card of a lead.
func loseContact(tx *store.Tx, conn string, leadID, contactID int64) error {
	key := store.Key(conn, "lead", id(leadID))
	card, ok, err := store.Get[event.LeadCard](tx, store.Cards, key)
	if err != nil || !ok || !slices.Contains(card.Lead.ContactIDs, contactID) {
		return err
	}
	card.Lead.ContactIDs = slices.DeleteFunc(card.Lead.ContactIDs, func(n int64) bool { return n == contactID })
	return store.Set(tx, store.Cards, key, card)
}

// DropLead removes every link to a lead that was deleted: the next chat opens a
// new one.
func DropLead(tx *store.Tx, conn string, leadID int64) error {
	for _, cid := range tx.ClientsByLead(conn, leadID) {
		c := tx.Client(conn, cid)
		for _, l := range c.Leads {
			if l.LeadID == leadID && l.Deal != "" {
				if err := forgetDealLead(tx, conn, l.Deal); err != nil {
					return err
				}
			}
		}
		c.Leads = slices.DeleteFunc(c.Leads, func(l event.Link) bool { return l.LeadID == leadID })
		if err := tx.PutClient(conn, c); err != nil {
			return err
		}
	}
	return store.Delete(tx, store.Cards, store.Key(conn, "lead", id(leadID)))
}

func forgetDealLead(tx *store.Tx, conn, deal string) error {
	d, ok, err := store.Get[event.Deal](tx, store.Deals, store.Key(conn, deal))
	if err != nil || !ok {
		return err
	}
	d.LeadID = 0
	return store.Set(tx, store.Deals, store.Key(conn, deal), d)
}

// emailElsewhere tells which of the event's e-mails stand on another contact than
// the one its phone led to: they are not added there.
func (j *job) emailsElsewhere(ctx context.Context, card *event.ContactCard) (map[string]bool, error) {
	out := map[string]bool{}
	phones, emails := j.people()
	if card == nil || len(phones) == 0 {
		return out, nil
	}
	own := directoryKeys(card.Contact, j.c.Region)
	for _, e := range emails {
		if slices.Contains(own, "e:"+e) {
			continue
		}
		hits, _, err := j.hits(ctx, "email", e)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(hits, func(c *event.ContactCard) bool { return c.Contact.ID != card.Contact.ID }) {
			out[e] = true
			j.warn("ambiguous_contact: phone and e-mail stand on two contacts; the phone's was taken and the e-mail not added")
		}
	}
	return out, nil
}

func (j *job) markerField(entity string) int64 {
	f, ok := j.c.Account.Dict().Field(entity, j.c.MarkerField)
	if !ok {
		return 0
	}
	return f.ID
}

func (j *job) clientMarker() string { return items.ClientToken(j.client.ID, j.c.Name) }

func id(n int64) string { return strconv.FormatInt(n, 10) }

// sameName reports whether two names are one, as people compare names.
func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b))
}
