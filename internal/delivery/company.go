package delivery

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/items"
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
	companyID, _, _ = known[int64](j, store.Names, companyKey(j.c.Account.Host, name)) // an unreadable one is asked for again
	return companyID
}

// companyKnown remembers a company's id, and that the contact stands in it. One
// that an operator linked has no name here.
func (j *job) companyKnown(name string, contactID, companyID int64) {
	j.effect(func(tx *store.Tx) error {
		if name != "" {
			if err := store.Set(tx, store.Names, companyKey(j.c.Account.Host, name), companyID); err != nil {
				return err
			}
		}
		if contactID == 0 {
			return nil
		}
		return changeRecord(tx, store.Cards, store.Key(j.c.Name, "contact", id(contactID)), func(c *event.ContactCard) {
			c.Contact.ID, c.Contact.CompanyID = contactID, companyID
		})
	})
}

// company finds the company of this name, or the one the operator linked; none
// of it is made here. While the name is unknown a lock on it is held
// (lockCompany).
func (j *job) company(ctx context.Context, name string) (items.Party, error) {
	if j.client.CompanyID != 0 {
		return items.Party{ID: j.client.CompanyID}, nil
	}
	if name = strings.TrimSpace(name); name == "" {
		return items.Party{}, nil
	}
	if known := j.knownCompany(name); known != 0 {
		return items.Party{ID: known}, nil
	}
	hits, err := j.crm().SearchCompanies(ctx, name)
	if err != nil {
		return items.Party{}, err
	}
	for _, c := range hits {
		if sameName(c.Name, name) {
			j.companyKnown(name, 0, c.ID)
			return items.Party{ID: c.ID}, nil
		}
	}
	return items.Party{Item: items.Company(name, 0)}, nil
}

// writeCompany makes the company of a contact that does not come along with a new
// lead, unless there is one of that name.
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

// member is the contact that a link to a company is for: the one that was found,
// else the one this event made.
func (j *job) member(ch event.Change) int64 {
	if ch.EntityID != 0 {
		return ch.EntityID
	}
	return j.resolved(event.OnContact)
}

// writeCompanyLink ties a contact to its company.
func (j *job) writeCompanyLink(i int) (w amocrm.Write, with []int, err error) {
	ch := j.ev.Changes[i]
	companyID, contactID := j.madeCompany(), j.member(ch)
	if companyID == 0 || contactID == 0 {
		return w, []int{i}, errNothing
	}
	if there, err := j.standsIn(contactID, companyID); err != nil || there {
		return w, []int{i}, cmp.Or(err, errThere)
	}
	raw, err := json.Marshal(items.Link(contactID, companies, companyID, false))
	return amocrm.Write{Endpoint: amocrm.LinkContacts, EntityID: contactID, Item: raw, Keys: []string{ch.Key}, Priority: amocrm.Update}, []int{i}, err
}

// standsIn reports whether a contact is known by now to stand in a company: since
// this event's list froze another may have linked them (tied).
func (j *job) standsIn(contactID, companyID int64) (there bool, err error) {
	card, _, err := known[event.ContactCard](j, store.Cards, store.Key(j.c.Name, "contact", id(contactID)))
	return card.Contact.CompanyID == companyID, err
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
		c, ok, err := j.crm().Contact(ctx, j.member(ch))
		return amocrm.Result{ID: j.member(ch)}, ok && c.CompanyID == j.madeCompany(), err
	}
	list, err := newest(ctx, j, &j.c.Account.newest.companies, since, j.since(ch), j.c.Account.CRM.NewestCompanies)
	if err != nil {
		return amocrm.Result{}, false, err
	}
	name, _ := itemOf(ch)["name"].(string)
	many := len(list) >= manyNewest
	if many { // the list may not go back to it
		hits, err := j.crm().SearchCompanies(ctx, name)
		if err != nil {
			return amocrm.Result{}, false, err
		}
		list = append(slices.Clip(list), hits...)
	}
	for _, c := range list {
		if c.CreatedAt >= since && sameName(c.Name, name) {
			return amocrm.Result{ID: c.ID}, true, nil
		}
	}
	if many {
		return amocrm.Result{}, false, j.missing(ch, len(list))
	}
	return amocrm.Result{}, false, nil
}

// withoutCompany answers a refusal of the company that was to come along with a
// new lead, so that lead and contact go through (product.md §2): an id that amoCRM
// has no more is forgotten, and the name looked for, or made, at the next attempt,
// which holds the lock on it; what cannot be made is left out. again says the
// request may go once more at once; without an ending the refusal was about
// something else.
func (j *job) withoutCompany(i int, r *amocrm.Refused) (end event.Ending, again bool) {
	path, ok := companyPath(r)
	c := j.change(event.OpCreate, event.OnContact)
	if !ok || j.ev.Changes[i].Target != event.OnLead || c < 0 || j.ev.Changes[c].State != event.Open {
		return nil, false
	}
	name := strings.TrimSpace(j.ev.Changes[c].Jivo)
	gone := "the company of that name is gone from amoCRM; it was unlinked"
	if j.client.CompanyID != 0 {
		gone = "the company the operator linked is gone from amoCRM; it was unlinked"
	}
	told := slices.Contains(j.ev.Warnings, gone) // a search that is late found it once more
	if strings.HasSuffix(path, ".id") && !told && j.forgetCompany(name) {
		j.warn("%s", gone)
		return event.Snooze{Until: time.Now().Add(shortest), Why: gone}, false
	}
	if !j.forgetCompany("") && name == "" {
		return nil, false // there was none
	}
	j.mu.Lock()
	j.ev.Changes[c].Jivo = ""
	j.mu.Unlock()
	j.warn("amoCRM refused the company (%s); it was left out", r.Code)
	return nil, true
}

// companyPath is the first path of a refusal that speaks of a lead's company.
func companyPath(r *amocrm.Refused) (path string, ok bool) {
	const at = "_embedded.companies"
	for _, p := range append([]amocrm.Problem{{Path: r.Path}}, r.Problems...) {
		if p.Path == at || strings.HasPrefix(p.Path, at+".") {
			return p.Path, true
		}
	}
	return "", false
}

// forgetCompany drops the id of the company an operator linked the client to,
// else the one that goes with a name. It reports whether there was one.
func (j *job) forgetCompany(name string) bool {
	if cid := j.client.CompanyID; cid != 0 {
		j.client.CompanyID = 0
		j.changeClient(func(c *event.Client) {
			if c.CompanyID == cid {
				c.CompanyID = 0
			}
		})
		return true
	}
	if name == "" || j.knownCompany(name) == 0 {
		return false
	}
	j.effect(func(tx *store.Tx) error { return store.Delete(tx, store.Names, companyKey(j.c.Account.Host, name)) })
	return true
}

// dropCompany gives up a contact's company, or the link to it, that amoCRM
// refused: contact and lead go through without.
func (j *job) dropCompany(i int, r *amocrm.Refused) {
	name, _ := itemOf(j.ev.Changes[i])["name"].(string)
	j.forgetCompany(strings.TrimSpace(name))
	j.mark([]int{i}, event.Dropped, r.Error())
	j.warn("amoCRM refused the company of the contact (%s); it was left out", r.Code)
}
