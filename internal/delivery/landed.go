package delivery

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/items"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// landed records what amoCRM made of the given changes: ids in the ledger, and
// with the next commit the links, cards and directory entries that follow.
func (j *job) landed(with []int, res amocrm.Result) {
	for _, i := range with {
		ch := j.ev.Changes[i]
		switch {
		case ch.Target == event.OnLead && ch.Op == event.OpCreate:
			j.settled(i, res.ID)
			j.leadMade(ch, res)
		case ch.Target == event.OnContact && ch.Op == event.OpCreate:
			cid := res.ID
			if len(with) > 1 { // it came with the lead
				cid = res.ContactID
			}
			j.settled(i, cid)
			if cid != 0 {
				j.contactMade(ch, cid, res)
			}
			if res.CompanyID != 0 && ch.Jivo != "" {
				j.companyKnown(ch.Jivo, cid, res.CompanyID)
			}
		case ch.Op == event.OpUpdate && ch.Target == event.OnLead:
			j.settled(i, ch.EntityID)
			j.leadWritten(ch, res)
		case ch.Op == event.OpUpdate && ch.Target == event.OnContact:
			j.settled(i, ch.EntityID)
			j.contactWritten(ch, res)
		case ch.Op == event.OpLink && ch.Target == event.OnContact:
			j.settled(i, j.resolved(event.OnContact))
			j.linked(ch)
		case ch.Target == event.OnCompany:
			companyID, contactID := res.ID, int64(0)
			if ch.Op == event.OpLink {
				companyID, contactID = j.madeCompany(), j.member(ch)
			}
			j.settled(i, companyID)
			name, _ := itemOf(ch)["name"].(string)
			j.companyKnown(name, contactID, companyID)
		case ch.Op == event.OpUpdate:
			j.settled(i, ch.EntityID)
		default:
			j.settled(i, res.ID)
			j.added(j.ev.Changes[i], res.ID)
		}
	}
}

func (j *job) settled(i int, amoID int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	ch := &j.ev.Changes[i]
	ch.State, ch.Error = event.Settled, ""
	if amoID != 0 {
		ch.AmoID = amoID
	}
	j.ev.Frozen = true
}

// leadMade ties a new lead to the client and keeps its card.
func (j *job) leadMade(ch event.Change, res amocrm.Result) {
	j.mu.Lock()
	if j.ev.Lead == nil || j.ev.Lead.ID == 0 {
		why := ""
		if j.ev.Lead != nil {
			why = j.ev.Lead.Why
		}
		j.ev.Lead = &event.Match{ID: res.ID, By: "created", Why: why, Created: true}
	}
	j.mu.Unlock()
	item := itemOf(ch)
	lead := j.leadFrom(item, ch.SentAt, res)
	cid := res.ContactID
	bare := cid == 0
	if cid != 0 {
		lead.ContactIDs = []int64{cid}
	}
	made := "chat"
	if j.deal != nil {
		made = "deal"
	}
	now := time.Now()
	j.effect(func(tx *store.Tx) error {
		if cid != 0 {
			if err := j.addLeadToContact(tx, cid, res.ID); err != nil {
				return err
			}
		}
		err := updateLeadCard(tx, j.c.Name, res.ID, func(c *event.LeadCard) {
			if c.Lead.ID == 0 || c.Lead.UpdatedAt < lead.UpdatedAt && !res.Merged { // else its own hook was quicker
				c.ApplyOwn(lead, now)
			} else {
				c.Lead.ContactIDs = lead.ContactIDs
			}
			c.Wrote = merged(c.Wrote, items.Wrote(item))
			if res.Merged {
				c.MarkDirty(now)
			}
		})
		if err != nil {
			return err
		}
		return j.tie(tx, res.ID, made, bare)
	})
}

// tie links a lead to the client, the chat and the deal of this event.
func (j *job) tie(tx *store.Tx, leadID int64, made string, bare bool) error {
	if j.deal != nil {
		err := changeRecord(tx, store.Deals, store.Key(j.c.Name, j.deal.ID), func(d *event.Deal) {
			d.ID, d.Client, d.LeadID = j.deal.ID, j.client.ID, leadID
			if bare {
				d.Seq, d.Bare = j.seq, true
			}
		})
		if err != nil {
			return err
		}
	}
	if j.client.ID == "" {
		return nil
	}
	c := tx.Client(j.c.Name, j.client.ID)
	i := slices.IndexFunc(c.Leads, func(l event.Link) bool { return l.LeadID == leadID })
	if i < 0 {
		c.Leads = append(c.Leads, event.Link{LeadID: leadID, Made: made, At: j.ev.ReceivedAt, Bare: bare})
		i = len(c.Leads) - 1
	}
	l := &c.Leads[i]
	if j.msg.Chat != "" && j.msg.Kind != "call_event" {
		for k := range c.Leads { // a chat leads to one lead: the newest it was tied to
			if k != i {
				c.Leads[k].Chats = slices.DeleteFunc(c.Leads[k].Chats, func(s string) bool { return s == j.msg.Chat })
			}
		}
		if !slices.Contains(l.Chats, j.msg.Chat) {
			l.Chats = append(l.Chats, j.msg.Chat)
		}
	}
	if j.deal != nil {
		l.Deal = j.deal.ID
	}
	if j.touches() {
		c.FirstTouch = nil // the next lead is credited to the next first touch
	}
	return tx.PutClient(j.c.Name, c)
}

// touches reports whether this event's lead was credited with the first touch.
func (j *job) touches() bool { return j.change(event.OpCreate, event.OnLead) >= 0 }

// contactMade links a new contact to the client.
func (j *job) contactMade(ch event.Change, cid int64, res amocrm.Result) {
	j.mu.Lock()
	if j.ev.Contact == nil || j.ev.Contact.ID == 0 {
		why := ""
		if j.ev.Contact != nil {
			why = j.ev.Contact.Why
		}
		j.ev.Contact = &event.Match{ID: cid, By: "created", Why: why, Created: true}
	}
	j.mu.Unlock()
	j.client.ContactID = cid
	item := itemOf(ch)
	contact := j.contactFrom(item, cid, res)
	j.c.Account.misses.drop(directoryKeys(contact, j.c.Region))
	now := time.Now()
	j.effect(func(tx *store.Tx) error {
		key := store.Key(j.c.Name, "contact", id(cid))
		keys := directoryKeys(contact, j.c.Region)
		err := changeRecord(tx, store.Cards, key, func(c *event.ContactCard) {
			if res.Merged && c.Contact.ID != 0 { // what was sent is older than what is known of it
				keys = slices.Compact(slices.Sorted(slices.Values(append(keys, directoryKeys(c.Contact, j.c.Region)...))))
			} else {
				leadIDs := c.Contact.LeadIDs
				c.Contact, c.ReadAt = contact, now
				c.Contact.LeadIDs = leadIDs
			}
			c.Wrote = merged(c.Wrote, items.Wrote(item))
			c.Dirty = res.Merged
		})
		if err != nil {
			return err
		}
		if err := tx.SetContactKeys(j.c.Account.Host, cid, keys); err != nil {
			return err
		}
		return j.linkClient(tx, cid)
	})
}

// linkClient ties the event's client to a contact.
func (j *job) linkClient(tx *store.Tx, cid int64) error {
	if j.client.ID == "" {
		return nil
	}
	c := tx.Client(j.c.Name, j.client.ID)
	first := c.ContactID == 0
	if c.ContactID != cid {
		c.ContactID, c.LinkedAt = cid, time.Now()
	}
	if err := tx.PutClient(j.c.Name, c); err != nil || !first {
		return err
	}
	return j.takeUp(tx, c.ID, event.Skipped, event.NoTarget) // tasks that had no place
}

func (j *job) leadWritten(ch event.Change, res amocrm.Result) {
	item, now, left := itemOf(ch), time.Now(), j.c.Account.ours(ch.SentAt)
	j.effect(func(tx *store.Tx) error {
		err := j.leadCards(tx, ch.EntityID, func(c *event.LeadCard) {
			var wrote event.Lead
			overlayLead(&wrote, item)
			c.Disown(wrote, left)
			if c.Lead.UpdatedAt <= res.UpdatedAt || res.UpdatedAt == 0 {
				lead, known := c.Lead, c.Lead.ID != 0
				lead.ID = ch.EntityID
				overlayLead(&lead, item)
				lead.UpdatedAt = max(lead.UpdatedAt, res.UpdatedAt)
				c.ApplyOwn(lead, now)
				if !known {
					c.MarkDirty(now) // only what was written is known
				}
			}
			c.Wrote = merged(c.Wrote, items.Wrote(item))
		})
		if err != nil {
			return err
		}
		return j.tie(tx, ch.EntityID, "found", false)
	})
}

func (j *job) contactWritten(ch event.Change, res amocrm.Result) {
	item, now := itemOf(ch), time.Now()
	j.effect(func(tx *store.Tx) error {
		_, known, err := store.Get[event.ContactCard](tx, store.Cards, store.Key(j.c.Name, "contact", id(ch.EntityID)))
		if err != nil {
			return err
		}
		err = j.contactCards(tx, ch.EntityID, func(c *event.ContactCard) {
			overlayContact(&c.Contact, item, j.c.Account.Dict())
			c.Contact.ID, c.Contact.UpdatedAt, c.WroteAt = ch.EntityID, max(c.Contact.UpdatedAt, res.UpdatedAt), now
			c.Wrote = merged(c.Wrote, items.Wrote(item))
		})
		if err != nil {
			return err
		}
		card, _, err := store.Get[event.ContactCard](tx, store.Cards, store.Key(j.c.Name, "contact", id(ch.EntityID)))
		if err != nil {
			return err
		}
		keys := directoryKeys(card.Contact, j.c.Region)
		j.c.Account.misses.drop(keys)
		set := tx.SetContactKeys
		if !known { // it was forgotten meanwhile: only what was written is known
			set = tx.AddContactKeys
		}
		if err := set(j.c.Account.Host, ch.EntityID, keys); err != nil {
			return err
		}
		return j.linkClient(tx, ch.EntityID)
	})
}

// linked records that a lead now has its contact.
func (j *job) linked(ch event.Change) {
	cid, beside := j.resolved(event.OnContact), isBeside(ch)
	j.effect(func(tx *store.Tx) error {
		err := updateLeadCard(tx, j.c.Name, ch.EntityID, func(c *event.LeadCard) {
			if slices.Contains(c.Lead.ContactIDs, cid) {
				return
			}
			if !beside {
				c.Lead.ContactIDs = nil
			}
			c.Lead.ContactIDs = append(c.Lead.ContactIDs, cid)
		})
		if err != nil {
			return err
		}
		if err := j.addLeadToContact(tx, cid, ch.EntityID); err != nil {
			return err
		}
		if j.client.ID == "" {
			return nil
		}
		c := tx.Client(j.c.Name, j.client.ID)
		for i := range c.Leads {
			if c.Leads[i].LeadID == ch.EntityID {
				c.Leads[i].Bare = false
			}
		}
		return tx.PutClient(j.c.Name, c)
	})
}

// added records a note, call or task that was made.
func (j *job) added(ch event.Change, amoID int64) {
	conn := j.c.Name
	switch {
	case ch.Target == event.OnTask && ch.Jivo != "":
		j.effect(func(tx *store.Tx) error {
			return changeRecord(tx, store.Tasks, store.Key(conn, ch.Jivo), func(t *event.JivoTask) { t.ID, t.AmoID = ch.Jivo, amoID })
		})
	case ch.Target == event.OnTask:
		entity, eid, err := j.placeOf(ch)
		if err != nil {
			return
		}
		rule, _, _ := strings.Cut(ch.Rule, "#")
		j.effect(func(tx *store.Tx) error {
			return store.Set(tx, store.Positions, store.Key(conn, "rule", entity, id(eid), rule), id(amoID))
		})
	case ch.Target == event.OnCall:
		n, _ := strconv.Atoi(ch.Jivo)
		entity := ch.EntityType
		j.changeChat(func(c *event.Chat) {
			for i := range c.Calls {
				if c.Calls[i].N == n {
					c.Calls[i].NoteID, c.Calls[i].NoteOn = amoID, entity
				}
			}
		})
	}
}

func (j *job) addLeadToContact(tx *store.Tx, contactID, leadID int64) error {
	return j.contactCards(tx, contactID, func(c *event.ContactCard) {
		c.Contact.ID = contactID
		if !slices.Contains(c.Contact.LeadIDs, leadID) {
			c.Contact.LeadIDs = append(c.Contact.LeadIDs, leadID)
		}
	})
}

// after is what remains to be done when everything the event asks for stands.
func (j *job) after() event.Ending {
	// A found contact or lead that needed no write is linked all the same.
	if m := j.ev.Contact; m != nil && m.ID != 0 && j.client.ContactID != m.ID && !m.Created {
		j.effect(func(tx *store.Tx) error { return j.linkClient(tx, m.ID) })
	}
	if end := j.deleted(); end != nil { // last of all, or another effect would bring the person back
		return end
	}
	return event.Finished{}
}

func itemOf(ch event.Change) map[string]any {
	m := map[string]any{}
	_ = json.Unmarshal(ch.Item, &m) // the bridge wrote it itself
	return m
}

func merged(a, b map[string]string) map[string]string {
	if a == nil {
		a = map[string]string{}
	}
	for k, v := range b {
		a[k] = v
	}
	return a
}

// tagsOf reads the names of a list of tags: tags_to_add or tags_to_delete.
func tagsOf(item map[string]any, list string) (out []string) {
	tags, _ := item[list].([]any)
	for _, t := range tags {
		if m, ok := t.(map[string]any); ok {
			if name, ok := m["name"].(string); ok {
				out = append(out, name)
			}
		}
	}
	return out
}
