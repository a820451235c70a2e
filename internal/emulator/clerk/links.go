package clerk

import "github.com/jivo-amocrm/bridge/internal/emulator/book"

// Link links two cards; it sets whether the contact is the main one, which an
// only one always is.
func (k *Clerk) Link(t *book.Tie, main bool) {
	r := k.book.Cards[t.Kind].ByID[t.ID]
	switch {
	case t.Kind == book.Leads && t.ToKind == book.Contacts:
		if !main { // linking again without is_main does not demote
			main = r.MainContact() == t.To
		}
		k.book.LinkContact(r, t.To, main)
		t.Main = r.MainContact() == t.To
	case t.Kind == book.Companies:
		k.book.LinkCompany(k.book.Cards[book.Contacts].ByID[t.To], t.ID)
	default:
		k.book.LinkCompany(r, t.To)
	}
	k.event("entity_linked", r, k.book.TokenUser, nil, linkValue(*t))
}

// Unlink takes a link away.
func (k *Clerk) Unlink(t book.Tie) {
	r := k.book.Cards[t.Kind].ByID[t.ID]
	switch {
	case t.Kind == book.Leads && t.ToKind == book.Contacts:
		k.book.UnlinkContact(r, t.To)
	case t.Kind == book.Companies:
		k.book.Cards[book.Contacts].ByID[t.To].CompanyID = 0
	case r.CompanyID == t.To:
		r.CompanyID = 0
	}
	k.event("entity_unlinked", r, k.book.TokenUser, linkValue(t), nil)
}

func linkValue(t book.Tie) []obj {
	return []obj{{"link": obj{"entity": obj{"type": book.Singular(t.ToKind), "id": t.To}}}}
}
