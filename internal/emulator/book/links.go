package book

import "slices"

// Tie is a link of a card to another one, as seen from the first (amocrm-api.md §4.5).
type Tie struct {
	Kind   string
	ID     int64
	ToKind string
	To     int64
	Main   bool
}

// Ties are the links of a card, as seen from it.
func (b *Book) Ties(r *Record) []Tie {
	var out []Tie
	for _, l := range r.Contacts {
		out = append(out, Tie{r.Kind, r.ID, Contacts, l.ID, l.Main})
	}
	if r.CompanyID != 0 {
		out = append(out, Tie{r.Kind, r.ID, Companies, r.CompanyID, false})
	}
	if r.Kind == Leads {
		return out
	}
	for _, id := range r.Leads {
		lead := b.Cards[Leads].ByID[id]
		out = append(out, Tie{r.Kind, r.ID, Leads, id, lead != nil && lead.MainContact() == r.ID})
	}
	if r.Kind == Companies {
		for _, id := range b.ContactsOfCompany(r.ID) {
			out = append(out, Tie{r.Kind, r.ID, Contacts, id, false})
		}
	}
	return out
}

// Tied says whether there is such a link.
func (b *Book) Tied(t Tie) bool {
	r := b.Cards[t.Kind].ByID[t.ID]
	return slices.ContainsFunc(b.Ties(r), func(o Tie) bool { return o.ToKind == t.ToKind && o.To == t.To })
}

// ContactsOfCompany are the ids of the contacts that work there.
func (b *Book) ContactsOfCompany(id int64) []int64 {
	var out []int64
	t := b.Cards[Contacts]
	for _, cid := range t.IDs {
		if t.ByID[cid].CompanyID == id {
			out = append(out, cid)
		}
	}
	return out
}

// LinkContact ties a contact to a lead; the first one is the main one.
func (b *Book) LinkContact(lead *Record, id int64, main bool) {
	ct, ok := b.Cards[Contacts].ByID[id]
	if !ok {
		return
	}
	main = main || len(lead.Contacts) == 0
	lead.Contacts = slices.DeleteFunc(lead.Contacts, func(l ContactLink) bool { return l.ID == id })
	if main {
		for i := range lead.Contacts {
			lead.Contacts[i].Main = false
		}
	}
	lead.Contacts = append(lead.Contacts, ContactLink{id, main})
	if !slices.Contains(ct.Leads, lead.ID) {
		ct.Leads = append(ct.Leads, lead.ID)
	}
}

// LinkCompany ties a company to a lead or contact.
func (b *Book) LinkCompany(r *Record, id int64) {
	r.CompanyID = id
	if co, ok := b.Cards[Companies].ByID[id]; ok && r.Kind == Leads && !slices.Contains(co.Leads, r.ID) {
		co.Leads = append(co.Leads, r.ID)
	}
}

// UnlinkContact takes a contact off a lead; the first one left becomes the main one.
func (b *Book) UnlinkContact(lead *Record, id int64) {
	lead.Contacts = slices.DeleteFunc(lead.Contacts, func(l ContactLink) bool { return l.ID == id })
	if len(lead.Contacts) > 0 && !slices.ContainsFunc(lead.Contacts, func(l ContactLink) bool { return l.Main }) {
		lead.Contacts[0].Main = true
	}
	if ct, ok := b.Cards[Contacts].ByID[id]; ok {
		ct.Leads = slices.DeleteFunc(ct.Leads, func(n int64) bool { return n == lead.ID })
	}
}
