package card

import (
	"slices"
	"strconv"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// justTold is how long a lead that a hook told of is waited for before it was read.
const justTold = time.Minute

// Shown is the lead to show of a client in answer to an event of a chat: by what is
// known, the one that delivery comes to under the default rules, whose finders are chat
// and open. sure is false if it may come to another, or makes one: then it is another
// of the client's leads that is shown, nil if they have none.
func Shown(tx *store.Tx, conn string, c *event.Client, chat, kind string) (lead *event.LeadCard, sure bool) {
	known := func(id int64) (*event.LeadCard, error) {
		card, _ := cardOf(tx, conn, id)
		return card, nil
	}
	if lead, _ = c.LeadOfChat(chat, kind, known); lead != nil {
		return lead, true
	}
	leads, unread := ofContact(tx, conn, c)
	if lead = event.FirstOf(leads, open); lead != nil {
		return lead, unread < lead.Lead.ID
	}
	if lead, _ = c.BareLead(known, anyLead); lead != nil {
		return lead, unread == 0
	}
	var best *event.LeadCard
	for _, l := range slices.Backward(c.Leads) {
		card, _ := known(l.LeadID)
		switch {
		case card == nil:
		case best == nil, !card.Lead.Closed() && best.Lead.Closed():
			best = card
		}
	}
	return best, false
}

// ofContact are the leads of the client's contact that are known; unread is the highest
// id of those that a hook has just told of, which are about to be read.
func ofContact(tx *store.Tx, conn string, c *event.Client) (leads []*event.LeadCard, unread int64) {
	if c.ContactID == 0 {
		return nil, 0
	}
	contact, _, _ := store.Get[event.ContactCard](tx, store.Cards, store.Key(conn, "contact", strconv.FormatInt(c.ContactID, 10)))
	ids := slices.Clone(contact.Contact.LeadIDs)
	for _, l := range c.Leads {
		ids = append(ids, l.LeadID)
	}
	for _, id := range event.NewestLeads(ids) {
		card, kept := cardOf(tx, conn, id)
		switch {
		case !kept:
		case !slices.Contains(contact.Contact.LeadIDs, id) && !slices.Contains(card.Lead.ContactIDs, c.ContactID):
		case !card.KnownAt().IsZero():
			leads = append(leads, card)
		case time.Since(card.DirtyAt) < justTold:
			unread = max(unread, id)
		}
	}
	return leads, unread
}

// cardOf is what is kept of a lead, its id alone if nothing is; nil if it was deleted.
func cardOf(tx *store.Tx, conn string, id int64) (card *event.LeadCard, kept bool) {
	c, ok, _ := store.Get[event.LeadCard](tx, store.Cards, store.Key(conn, "lead", strconv.FormatInt(id, 10))) // what cannot be read is not shown
	c.Lead.ID = id
	if c.Lead.Deleted {
		return nil, false
	}
	return &c, ok
}

func open(l event.Lead) bool { return !l.Closed() }

func anyLead(event.Lead) bool { return true }
