package delivery

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// company finds the company of this name, or the one the operator linked; none
// of it is made here. A lock on the name is held (lockPeople).
func (j *job) company(ctx context.Context, name string) (amocrm.Party, error) {
	if j.client.CompanyID != 0 {
		return amocrm.Party{ID: j.client.CompanyID}, nil
	}
	if name = strings.TrimSpace(name); name == "" {
		return amocrm.Party{}, nil
	}
	key := store.Key(j.c.Account.Host, "company", strings.ToLower(name))
	var known int64
	err := j.d.store.View(func(tx *store.Tx) (err error) {
		known, _, err = store.Get[int64](tx, store.Names, key)
		return err
	})
	if err != nil {
		return amocrm.Party{}, err
	}
	if known != 0 {
		return amocrm.Party{ID: known}, nil
	}
	hits, err := j.c.Account.CRM.SearchCompanies(ctx, name)
	if err != nil {
		return amocrm.Party{}, err
	}
	for _, c := range hits {
		if sameName(c.Name, name) {
			cid := c.ID
			j.effect(func(tx *store.Tx) error { return store.Set(tx, store.Names, key, cid) })
			return amocrm.Party{ID: cid}, nil
		}
	}
	return amocrm.Party{Item: amocrm.CompanyItem(name, 0)}, nil
}

// writeCompany links a known contact to its company, making the company first
// if there is none of that name.
func (j *job) writeCompany(ctx context.Context, i int) (w amocrm.Write, with []int, err error) {
	ch := j.ev.Changes[i]
	with = []int{i}
	name, _ := itemOf(ch)["name"].(string)
	party, err := j.company(ctx, name)
	if err != nil {
		return w, with, err
	}
	if party.ID == 0 {
		if party.Item == nil {
			return w, with, errNothing
		}
		raw, err := json.Marshal(party.Item)
		if err != nil {
			return w, with, err
		}
		res, err := j.c.Account.CRM.Write(ctx, amocrm.Write{Endpoint: amocrm.PostCompanies, Item: raw, Keys: []string{ch.Key}, Priority: amocrm.Update})
		if err != nil {
			return w, with, err
		}
		party.ID = res.ID
		key := store.Key(j.c.Account.Host, "company", strings.ToLower(strings.TrimSpace(name)))
		j.effect(func(tx *store.Tx) error { return store.Set(tx, store.Names, key, res.ID) })
	}
	j.mu.Lock()
	j.ev.Changes[i].AmoID = party.ID
	j.mu.Unlock()
	raw, err := json.Marshal(amocrm.LinkItem(ch.EntityID, companies, party.ID, false))
	return amocrm.Write{Endpoint: amocrm.LinkContacts, EntityID: ch.EntityID, Item: raw, Keys: []string{ch.Key}, Priority: amocrm.Update}, with, err
}

const companies = "companies"

// companyLinked keeps the contact's card in step.
func companyLinked(tx *store.Tx, conn string, contactID, companyID int64) error {
	return changeRecord(tx, store.Cards, store.Key(conn, "contact", id(contactID)), func(c *event.ContactCard) {
		c.Contact.ID, c.Contact.CompanyID = contactID, companyID
	})
}
