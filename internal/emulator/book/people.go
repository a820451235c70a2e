package book

import (
	"slices"
	"strconv"
	"strings"
)

// Callee is the single open lead of the contact or company with the number,
// else the contact or company itself.
func (b *Book) Callee(phone string) (string, int64, bool) {
	want := lastTen(digits(phone))
	if want == "" {
		return "", 0, false
	}
	for _, kind := range []string{Contacts, Companies} {
		t := b.Cards[kind]
		for _, id := range t.IDs {
			r, ok := t.Live(id)
			if !ok || !r.hasPhone(want) {
				continue
			}
			if open := b.openLeads(r); len(open) == 1 {
				return Leads, open[0], true
			}
			return kind, id, true
		}
	}
	return "", 0, false
}

// hasPhone says whether a number of the card ends like that.
func (r *Record) hasPhone(lastDigits string) bool {
	for _, v := range r.Values("PHONE") {
		if strings.HasSuffix(digits(v), lastDigits) {
			return true
		}
	}
	return false
}

func (b *Book) openLeads(r *Record) []int64 {
	var out []int64
	for _, id := range r.Leads {
		if l, ok := b.Cards[Leads].Live(id); ok && !l.Closed() {
			out = append(out, id)
		}
	}
	return out
}

// MainContact is the id of a lead's main contact, 0 if it has none.
func (r *Record) MainContact() int64 {
	for _, l := range r.Contacts {
		if l.Main {
			return l.ID
		}
	}
	return 0
}

// Identities are the phones (last ten digits) and e-mails of a contact.
func (r *Record) Identities() []string {
	var out []string
	for _, v := range r.Values("PHONE") {
		out = append(out, lastTen(digits(v)))
	}
	for _, v := range r.Values("EMAIL") {
		out = append(out, strings.ToLower(v))
	}
	return out
}

// LostValues names the multitext values that a write took away: allowed, but
// the usual way to lose somebody's phone number (amocrm-api.md §7.5).
func LostValues(before, after *Record) []string {
	var out []string
	for _, f := range before.Fields {
		if f.Type != "multitext" {
			continue
		}
		now := after.Values(f.Code)
		for _, v := range f.Values {
			if !slices.Contains(now, v.Text) {
				out = append(out, strings.ToLower(f.Code)+" of "+strings.TrimSuffix(after.Kind, "s")+" "+strconv.FormatInt(after.ID, 10))
			}
		}
	}
	return out
}
