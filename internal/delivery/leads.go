package delivery

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

const (
	// adoptWithin: how old a lead made from a chat may be for a deal to take it over (product.md §7).
	adoptWithin = 30 * 24 * time.Hour
	// justNow: how long a contact that was just read or written is not asked for its leads again.
	justNow = 2 * time.Second
	// manyLeads bounds how many of a contact's leads are looked at, newest first.
	manyLeads = event.ManyLeads
)

// findLead finds the event's lead as find says (product.md › Finding the lead).
func (j *job) findLead(ctx context.Context, find *event.Find, contact *event.ContactCard) (*event.LeadCard, event.Match, error) {
	for _, by := range find.By {
		var card *event.LeadCard
		var why string
		var err error
		switch by {
		case "chat":
			card, why, err = j.leadOfChat(ctx)
		case "deal":
			card, why, err = j.leadOfDeal(ctx)
		case "adopt":
			card, why, err = j.leadToAdopt(ctx)
		case "open", "open_any", "recent":
			card, why, err = j.leadOfContact(ctx, by, find, contact)
			if card == nil && err == nil {
				card, why, err = j.leadBare(ctx, by, find)
			}
		}
		if err != nil {
			return nil, event.Match{}, err
		}
		if card != nil {
			return card, event.Match{ID: card.Lead.ID, By: by, Why: why}, nil
		}
	}
	return nil, event.Match{Why: "no finder hit"}, nil
}

func (j *job) leadOfChat(ctx context.Context) (*event.LeadCard, string, error) {
	card, err := j.client.LeadOfChat(j.msg.Chat, j.msg.Kind, j.cards(ctx))
	return card, "this chat is linked to it", err
}

// cards reads leads as leadCard does.
func (j *job) cards(ctx context.Context) func(int64) (*event.LeadCard, error) {
	return func(leadID int64) (*event.LeadCard, error) { return j.leadCard(ctx, leadID) }
}

func (j *job) leadOfDeal(ctx context.Context) (*event.LeadCard, string, error) {
	if j.deal == nil || j.deal.LeadID == 0 {
		return nil, "", nil
	}
	card, err := j.leadCard(ctx, j.deal.LeadID)
	return card, "this deal is linked to it", err
}

func (j *job) leadToAdopt(ctx context.Context) (*event.LeadCard, string, error) {
	for _, l := range slices.Backward(j.client.Leads) {
		if l.Made != "chat" || l.Deal != "" || j.ev.ReceivedAt.Sub(l.At) > adoptWithin {
			continue
		}
		card, err := j.leadCard(ctx, l.LeadID)
		if err != nil {
			return nil, "", err
		}
		if card != nil && !card.Lead.Closed() {
			return card, "the client's open lead made from a chat, linked to no other deal", nil
		}
	}
	return nil, "", nil
}

// leadOfContact looks through the contact's leads for the newest that is open,
// or closed not too long ago.
func (j *job) leadOfContact(ctx context.Context, by string, find *event.Find, contact *event.ContactCard) (*event.LeadCard, string, error) {
	if contact == nil {
		return nil, "", nil
	}
	if !contact.Fresh(time.Now(), justNow) { // a manager may have opened one by hand
		fresh, err := j.readContact(ctx, contact.Contact.ID, *contact)
		if err != nil || fresh == nil {
			return nil, "", err
		}
		*contact = *fresh
	}
	leads, err := j.leadsOf(ctx, contact.Contact.LeadIDs)
	if err != nil {
		return nil, "", err
	}
	pipeline := j.narrowed(by, find)
	best := event.FirstOf(leads, func(l event.Lead) bool {
		late := l.Closed() && !(by == "recent" && j.c.Account.CRM.ServerTime().Sub(time.Unix(l.ClosedAt, 0)) <= find.Recent)
		return !late && (pipeline == 0 || l.PipelineID == pipeline)
	})
	if best == nil {
		return nil, "", nil
	}
	j.effect(func(tx *store.Tx) error { // what was read is what the write is laid over
		return updateLeadCard(tx, j.c.Name, best.Lead.ID, func(c *event.LeadCard) {
			if c.ReadAt.IsZero() {
				c.ApplyRead(best.Lead, best.ReadAt)
			}
		})
	})
	if len(leads) > 1 {
		return best, "the newest of the contact's leads that count", nil
	}
	return best, "the contact's lead", nil
}

// leadBare is the client's newest open lead of a deal that was made before anybody had
// described them: theirs, though no contact says so yet.
func (j *job) leadBare(ctx context.Context, by string, find *event.Find) (*event.LeadCard, string, error) {
	pipeline := j.narrowed(by, find)
	card, err := j.client.BareLead(j.cards(ctx), func(l event.Lead) bool { return pipeline == 0 || l.PipelineID == pipeline })
	return card, "the lead of the client's deal, made without a contact", err
}

// narrowed is the pipeline a finder looks in, 0 if any.
func (j *job) narrowed(by string, find *event.Find) int64 {
	if p, ok := j.c.Account.Dict().Pipeline(find.Pipeline); ok && find.Pipeline != "" && by != "open_any" {
		return p.ID
	}
	return 0
}

// leadsOf returns what is known of several leads, reading together what is not
// known well enough.
func (j *job) leadsOf(ctx context.Context, ids []int64) ([]*event.LeadCard, error) {
	var cards []*event.LeadCard
	var missing []int64
	for _, lid := range event.NewestLeads(ids) {
		card, ok, err := j.knownLead(lid)
		if err != nil {
			return nil, err
		}
		if ok {
			cards = append(cards, &card)
		} else {
			missing = append(missing, lid)
		}
	}
	if len(missing) == 0 {
		return cards, nil
	}
	began := time.Now()
	leads, err := j.visible(ctx, missing)
	if err != nil {
		return nil, err
	}
	for _, l := range leads {
		card, _, err := j.knownLead(l.ID)
		if err != nil {
			return nil, err
		}
		card.ApplyRead(l, began)
		cards = append(cards, &card)
	}
	return cards, nil
}

// visible reads leads. One that the token may not see is no hit: it could not be
// written to either.
func (j *job) visible(ctx context.Context, ids []int64) (map[int64]event.Lead, error) {
	leads, err := j.crm().Leads(ctx, ids)
	if !forbidden(err) {
		return leads, err
	}
	for _, id := range ids {
		if _, read := leads[id]; read {
			continue
		}
		switch l, ok, err := j.crm().Lead(ctx, id); {
		case forbidden(err):
		case err != nil:
			return nil, err
		case ok:
			leads[id] = l
		}
	}
	return leads, nil
}

func forbidden(err error) bool {
	r, ok := errors.AsType[*amocrm.Refused](err)
	return ok && r.Status == http.StatusForbidden
}

// knownLead returns the card of a lead; ok says whether it is fresh enough to count.
func (j *job) knownLead(leadID int64) (card event.LeadCard, ok bool, err error) {
	card, ok, err = known[event.LeadCard](j, store.Cards, store.Key(j.c.Name, "lead", id(leadID)))
	ok = ok && !card.Lead.Deleted && card.Fresh(time.Now(), j.c.Refresh)
	return card, ok, err
}

// leadCard returns what is known of a lead, read anew if that is too old to
// count; nil if amoCRM has it no more, in which case its links are dropped.
func (j *job) leadCard(ctx context.Context, leadID int64) (*event.LeadCard, error) {
	card, ok, err := j.knownLead(leadID)
	if err != nil {
		return nil, err
	}
	if ok {
		return &card, nil
	}
	began := time.Now()
	lead, exists, err := j.crm().Lead(ctx, leadID)
	if err != nil {
		return nil, err
	}
	if !exists || lead.Deleted {
		j.client.Leads = slices.DeleteFunc(j.client.Leads, func(l event.Link) bool { return l.LeadID == leadID })
		if j.deal != nil && j.deal.LeadID == leadID {
			j.deal.LeadID = 0
		}
		j.warn("lead %d is gone from amoCRM; it was unlinked", leadID)
		j.effect(func(tx *store.Tx) error { return DropLead(tx, j.c.Name, leadID) })
		return nil, nil
	}
	card.ApplyRead(lead, began)
	j.effect(func(tx *store.Tx) error {
		return updateLeadCard(tx, j.c.Name, leadID, func(c *event.LeadCard) { c.ApplyRead(lead, began) })
	})
	return &card, nil
}

// updateLeadCard changes a card where it stands: a hook may have come meanwhile.
func updateLeadCard(tx *store.Tx, conn string, leadID int64, change func(*event.LeadCard)) error {
	key := store.Key(conn, "lead", id(leadID))
	card, _, err := store.Get[event.LeadCard](tx, store.Cards, key)
	if err != nil {
		return err
	}
	change(&card)
	return store.Set(tx, store.Cards, key, card)
}

// target says where a note, task or call of this event goes: the entity's API
// name and id; id 0 means the one this event makes. ok is false if there is
// nothing to write to (product.md › Targets).
func (j *job) target(ctx context.Context, to string, f *found, makesContact, makesLead bool) (entity string, entityID int64, ok bool, err error) {
	if to != "contact" {
		switch {
		case f.lead != nil:
			return leads, f.lead.Lead.ID, true, nil
		case makesLead:
			return leads, 0, true, nil
		}
		find := &event.Find{By: []string{"chat", "deal", "open_any"}}
		contact := f.contact
		if contact == nil && j.client.ContactID != 0 {
			if contact, err = j.contactCard(ctx, j.client.ContactID); err != nil {
				return "", 0, false, err
			}
		}
		card, match, err := j.findLead(ctx, find, contact)
		if err != nil {
			return "", 0, false, err
		}
		if card != nil {
			j.ev.Lead = &match
			return leads, card.Lead.ID, true, nil
		}
	}
	switch {
	case f.contact != nil:
		return contacts, f.contact.Contact.ID, true, nil
	case makesContact:
		return contacts, 0, true, nil
	case j.client.ContactID != 0:
		return contacts, j.client.ContactID, true, nil
	}
	return "", 0, false, nil
}

// amoCRM's names of the entities in paths and bodies.
const (
	leads    = "leads"
	contacts = "contacts"
)
