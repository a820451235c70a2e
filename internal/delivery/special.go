package delivery

import (
	"context"
	"slices"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// special works the events whose effect is on the bridge's own links rather
// than on amoCRM. It returns nil for all others.
func (j *job) special(ctx context.Context) event.Ending {
	if j.msg.Kind != "chat_assigned" {
		return nil
	}
	entity, target, ok := jivo.ParseLink(text(j.msg.Fields, "assign_to"), j.c.Account.Host)
	if !ok {
		return event.Skip{Reason: event.BadLink, Detail: "assign_to is no link to a lead, contact or company of this account"}
	}
	if j.client.ID == "" {
		return event.Skip{Reason: event.ClientUnknown, Detail: "the event names neither client nor chat"}
	}
	switch entity {
	case leads:
		return j.assignLead(ctx, target)
	case contacts:
		return j.assignContact(ctx, target)
	}
	return j.assignCompany(ctx, target)
}

// assignCompany has the client's contact stand in a company: at once where there is
// one, else when it is made.
func (j *job) assignCompany(ctx context.Context, companyID int64) event.Ending {
	j.client.CompanyID = companyID
	j.changeClient(func(c *event.Client) { c.CompanyID = companyID })
	if j.client.ContactID == 0 {
		return event.Finished{}
	}
	f := &found{}
	var err error
	if f.contact, err = j.contactCard(ctx, j.client.ContactID); err == nil {
		err = j.holdContact(ctx, f)
	}
	if err != nil {
		return ended(ctx, err)
	}
	if f.contact == nil || f.contact.Contact.CompanyID == companyID {
		return event.Finished{}
	}
	b := &builder{j: j, f: f}
	b.join("", f.contact.Contact.ID)
	j.mu.Lock()
	j.ev.Changes = mergeReplay(j.ev, b.list)
	j.mu.Unlock()
	j.ev.Contact = &event.Match{ID: f.contact.Contact.ID, By: "client", Why: "the client is linked to it"}
	return j.apply(ctx)
}

func (j *job) assignLead(ctx context.Context, leadID int64) event.Ending {
	card, err := j.leadCard(ctx, leadID)
	if err != nil {
		return ended(ctx, err)
	}
	if card == nil {
		return event.Skip{Reason: event.BadLink, Detail: "amoCRM has no such lead"}
	}
	j.ev.Lead = &event.Match{ID: leadID, By: "chat_assigned", Why: "the operator linked it"}
	j.effect(func(tx *store.Tx) error {
		// What the operator chose last is the newest link.
		c := tx.Client(j.c.Name, j.client.ID)
		c.Leads = slices.DeleteFunc(c.Leads, func(l event.Link) bool { return l.LeadID == leadID })
		if err := tx.PutClient(j.c.Name, c); err != nil {
			return err
		}
		return j.tie(tx, leadID, "found", false)
	})
	if len(card.Lead.ContactIDs) > 0 {
		cid := card.Lead.ContactIDs[0]
		j.effect(func(tx *store.Tx) error { return j.linkClient(tx, cid) })
		j.ev.Contact = &event.Match{ID: cid, By: "chat_assigned", Why: "the lead's main contact"}
	}
	return event.Finished{}
}

func (j *job) assignContact(ctx context.Context, contactID int64) event.Ending {
	card, err := j.readContact(ctx, contactID, event.ContactCard{})
	if err != nil {
		return ended(ctx, err)
	}
	if card == nil {
		return event.Skip{Reason: event.BadLink, Detail: "amoCRM has no such contact"}
	}
	j.ev.Contact = &event.Match{ID: contactID, By: "chat_assigned", Why: "the operator linked it"}
	chat := j.msg.Chat
	j.effect(func(tx *store.Tx) error {
		c := tx.Client(j.c.Name, j.client.ID)
		for i := range c.Leads { // the chat's lead is now sought among this contact's
			c.Leads[i].Chats = slices.DeleteFunc(c.Leads[i].Chats, func(s string) bool { return s == chat })
		}
		if err := tx.PutClient(j.c.Name, c); err != nil {
			return err
		}
		return j.linkClient(tx, contactID)
	})
	return event.Finished{}
}
