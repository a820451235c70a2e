package delivery

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/jivo-amocrm/bridge/internal/amocrm/items"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/phone"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// contactCards changes what this connection knows of a contact after an own
// write, and what the others of the account know of it already: a contact's phones
// are written as a whole, and who does not know of one would take it away.
func (j *job) contactCards(tx *store.Tx, contactID int64, change func(*event.ContactCard)) error {
	for _, conn := range j.circle() {
		if err := contactCard(tx, conn, contactID, conn == j.c.Name, change); err != nil {
			return err
		}
	}
	return nil
}

// contactCard changes the card that a connection has of a contact; one that has none
// begins one if begin says so.
func contactCard(tx *store.Tx, conn string, contactID int64, begin bool, change func(*event.ContactCard)) error {
	key := store.Key(conn, "contact", id(contactID))
	card, known, err := store.Get[event.ContactCard](tx, store.Cards, key)
	if err != nil || !known && !begin {
		return err
	}
	change(&card)
	return store.Set(tx, store.Cards, key, card)
}

// circle names this connection, which a reload may have taken away meanwhile, and
// the others of the account.
func (j *job) circle() []string {
	others := slices.DeleteFunc(j.d.siblings(j.c.Account), func(name string) bool { return name == j.c.Name })
	return append([]string{j.c.Name}, others...)
}

// leadCards is contactCards for a lead.
func (j *job) leadCards(tx *store.Tx, leadID int64, change func(*event.LeadCard)) error {
	for _, conn := range j.circle() {
		_, known, err := store.Get[event.LeadCard](tx, store.Cards, store.Key(conn, "lead", id(leadID)))
		if err != nil {
			return err
		}
		if !known && conn != j.c.Name {
			continue
		}
		if err := updateLeadCard(tx, conn, leadID, change); err != nil {
			return err
		}
	}
	return nil
}

// withAdded puts the phones, e-mails and marker tokens that the contact has by now
// into an item of an earlier attempt: others may have added some since.
func (j *job) withAdded(ctx context.Context, contactID int64, item json.RawMessage) (json.RawMessage, error) {
	var m map[string]any
	if err := json.Unmarshal(item, &m); err != nil {
		return nil, err
	}
	dict := j.c.Account.Dict()
	var marker map[string]any
	if j.markerField(contacts) != 0 {
		marker = fieldOfItem(m, j.c.MarkerField, dict)
	}
	if fieldOfItem(m, "PHONE", dict) == nil && fieldOfItem(m, "EMAIL", dict) == nil && marker == nil {
		return item, nil
	}
	c, ok, err := j.crm().Contact(ctx, contactID)
	if err != nil || !ok {
		return item, err // what is gone is refused, and mapped anew
	}
	for code, values := range map[string][]event.Value{"PHONE": c.Phones, "EMAIL": c.Emails} {
		keys := func(texts ...string) []string { return phone.Keys(texts, nil, j.c.Region) }
		if code == "EMAIL" {
			keys = func(texts ...string) []string { return phone.Keys(nil, texts, j.c.Region) }
		}
		if f := fieldOfItem(m, code, dict); f != nil {
			f["values"] = beside(f, values, keys)
		}
	}
	if marker != nil {
		stands := c.Fields[j.markerField(contacts)].Text()
		marker["values"] = []any{map[string]any{"value": items.MergeMarker(stands, readValues(marker).Text())}}
	}
	return json.Marshal(m)
}

// beside returns the values of a field of an item and, after them, those that
// stand and are not among them. keys are what values are compared by.
func beside(field map[string]any, standing []event.Value, keys func(...string) []string) []any {
	all, _ := field["values"].([]any)
	texts := event.Texts(readValues(field))
	ours := keys(texts...)
	for _, v := range standing {
		same := func(k string) bool { return slices.Contains(ours, k) }
		if slices.Contains(texts, v.Text) || slices.ContainsFunc(keys(v.Text), same) {
			continue
		}
		all = append(all, items.Multitext(v))
	}
	return all
}
