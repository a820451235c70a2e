package delivery

import (
	"context"
	"slices"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/items"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// link ties the contact this event came to with the lead it came to, where they
// are known not to be tied: amoCRM may answer 500 to a pair that is
// (amocrm-api.md §4.5). One made just now is tied to nothing.
func (b *builder) link(ctx context.Context) error {
	if b.f.lead == nil {
		return nil
	}
	ch := event.Change{EntityType: leads, EntityID: b.f.lead.Lead.ID}
	others := b.others(b.f.lead.Lead)
	if !b.has(event.OpCreate, event.OnContact) {
		if b.f.contact == nil {
			return nil
		}
		apart, among, err := b.apart(ctx)
		if err != nil || !apart {
			return err
		}
		ch.AmoID, others = b.f.contact.Contact.ID, among
	}
	var item map[string]any
	if len(others) > 0 { // theirs is the main one
		item = items.Link(ch.EntityID, contacts, ch.AmoID, false)
	}
	b.add(event.OpLink, event.OnContact, "", item, ch)
	return nil
}

// others are the contacts a lead is known to have, but for those that are gone.
func (b *builder) others(l event.Lead) []int64 {
	return slices.DeleteFunc(slices.Clone(l.ContactIDs), func(n int64) bool { return slices.Contains(b.j.lost, n) })
}

// apart reports whether the contact and the lead that were found are not tied to
// each other and are to be, and which contacts the lead has. A manager may have
// tied them by hand, of which no hook tells: where what is known does not say
// that they are tied, the lead is read.
//
// A lead that somebody gave other contacts than the client's own is left as it is.
func (b *builder) apart(ctx context.Context) (apart bool, others []int64, err error) {
	j, l, c := b.j, b.f.lead.Lead, b.f.contact.Contact
	if slices.Contains(l.ContactIDs, c.ID) || slices.Contains(c.LeadIDs, l.ID) {
		return false, nil, nil
	}
	others = b.others(l)
	left := func() bool { return len(others) > 0 && j.client.ContactID == c.ID }
	bare := slices.ContainsFunc(j.client.Leads, func(k event.Link) bool { return k.LeadID == l.ID && k.Bare })
	if bare || left() {
		return !left(), others, nil
	}
	lead, ok, err := j.seenNow(ctx, l.ID)
	if err != nil || !ok || slices.Contains(lead.ContactIDs, c.ID) {
		return false, nil, err
	}
	others = b.others(lead)
	return !left(), others, nil
}

// tied reports whether a lead is known by now to have a contact: since this event's
// list froze another may have linked them.
func (j *job) tied(leadID, contactID int64) (tied bool, err error) {
	card, _, err := known[event.LeadCard](j, store.Cards, store.Key(j.c.Name, "lead", id(leadID)))
	return slices.Contains(card.Lead.ContactIDs, contactID), err
}

// seenNow reads a lead, whatever is known of it, and keeps what was read.
func (j *job) seenNow(ctx context.Context, leadID int64) (lead event.Lead, ok bool, err error) {
	began := time.Now()
	lead, ok, err = j.crm().Lead(ctx, leadID)
	if err != nil || !ok || lead.Deleted {
		return lead, false, err
	}
	j.effect(func(tx *store.Tx) error {
		return updateLeadCard(tx, j.c.Name, leadID, func(c *event.LeadCard) { c.ApplyRead(lead, began) })
	})
	return lead, true, nil
}

// isBeside reports whether a link puts a contact beside a lead's main one.
func isBeside(ch event.Change) bool { return len(ch.Item) > 0 }
