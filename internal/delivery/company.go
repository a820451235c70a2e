package delivery

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

const companies = "companies"

// companyKey is the name under which a company is remembered and locked.
func companyKey(host, name string) string {
	return store.Key(host, "company", strings.ToLower(strings.Join(strings.Fields(name), " ")))
}

// knownCompany is the id of the company of this name, 0 if the bridge has not
// met it yet.
func (j *job) knownCompany(name string) (companyID int64) {
	_ = j.d.store.View(func(tx *store.Tx) (err error) { // an unreadable one is asked for again
		companyID, _, err = store.Get[int64](tx, store.Names, companyKey(j.c.Account.Host, name))
		return err
	})
	return companyID
}

// companyKnown remembers a company's id, and that the contact stands in it.
func (j *job) companyKnown(name string, contactID, companyID int64) {
	j.effect(func(tx *store.Tx) error {
		if err := store.Set(tx, store.Names, companyKey(j.c.Account.Host, name), companyID); err != nil || contactID == 0 {
			return err
		}
		return changeRecord(tx, store.Cards, store.Key(j.c.Name, "contact", id(contactID)), func(c *event.ContactCard) {
			c.Contact.ID, c.Contact.CompanyID = contactID, companyID
		})
	})
}

// company finds the company of this name, or the one the operator linked; none
// of it is made here. While the name is unknown a lock on it is held
// (lockCompany).
func (j *job) company(ctx context.Context, name string) (amocrm.Party, error) {
	if j.client.CompanyID != 0 {
		return amocrm.Party{ID: j.client.CompanyID}, nil
	}
	if name = strings.TrimSpace(name); name == "" {
		return amocrm.Party{}, nil
	}
	if known := j.knownCompany(name); known != 0 {
		return amocrm.Party{ID: known}, nil
	}
	hits, err := j.c.Account.CRM.SearchCompanies(ctx, name)
	if err != nil {
		return amocrm.Party{}, err
	}
	for _, c := range hits {
		if sameName(c.Name, name) {
			j.companyKnown(name, 0, c.ID)
			return amocrm.Party{ID: c.ID}, nil
		}
	}
	return amocrm.Party{Item: amocrm.CompanyItem(name, 0)}, nil
}

// writeCompany makes the company of a known contact, unless there is one of
// that name.
func (j *job) writeCompany(ctx context.Context, i int) (w amocrm.Write, with []int, err error) {
	with = []int{i}
	name, _ := itemOf(j.ev.Changes[i])["name"].(string)
	party, err := j.company(ctx, name)
	if err != nil {
		return w, with, err
	}
	if party.ID != 0 || party.Item == nil {
		j.settled(i, party.ID)
		return w, with, errNothing
	}
	raw, err := json.Marshal(party.Item)
	return amocrm.Write{Endpoint: amocrm.PostCompanies, Item: raw, Keys: []string{j.ev.Changes[i].Key}, Priority: amocrm.Update}, with, err
}

// writeCompanyLink ties a known contact to its company.
func (j *job) writeCompanyLink(i int) (w amocrm.Write, with []int, err error) {
	ch := j.ev.Changes[i]
	companyID := j.madeCompany()
	if companyID == 0 {
		return w, []int{i}, errNothing
	}
	raw, err := json.Marshal(amocrm.LinkItem(ch.EntityID, companies, companyID, false))
	return amocrm.Write{Endpoint: amocrm.LinkContacts, EntityID: ch.EntityID, Item: raw, Keys: []string{ch.Key}, Priority: amocrm.Update}, []int{i}, err
}

func (j *job) madeCompany() int64 {
	if i := j.change(event.OpCreate, event.OnCompany); i >= 0 {
		return j.ev.Changes[i].AmoID
	}
	return 0
}

// lookUpCompany finds a company in doubt among the newest by its name, and a
// link in doubt on its contact.
func (j *job) lookUpCompany(ctx context.Context, ch event.Change, since int64) (amocrm.Result, bool, error) {
	if ch.Op == event.OpLink {
		c, ok, err := j.c.Account.CRM.Contact(ctx, ch.EntityID)
		return amocrm.Result{ID: ch.EntityID}, ok && c.CompanyID == j.madeCompany(), err
	}
	a := j.c.Account
	list, err := a.newest.companies.get(ctx, since, j.lookable(ch), a.CRM.NewestCompanies)
	if err != nil {
		return amocrm.Result{}, false, err
	}
	name, _ := itemOf(ch)["name"].(string)
	for _, c := range list {
		if c.CreatedAt >= since && sameName(c.Name, name) {
			return amocrm.Result{ID: c.ID}, true, nil
		}
	}
	return amocrm.Result{}, false, nil
}
