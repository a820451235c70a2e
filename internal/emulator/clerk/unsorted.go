package clerk

import (
	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// AddForm makes an incoming lead of a filled-in form (amocrm-api.md §4.11).
func (k *Clerk) AddForm(item obj, by int64) *book.Unsorted {
	e := body.Object(item["_embedded"])
	contactID, companyID := k.embeddedCard(book.Contacts, e, by, true), k.embeddedCard(book.Companies, e, by, true)
	p, ok := body.Int(item, "pipeline_id")
	pipe, _ := k.book.Pipeline(p)
	if !ok {
		pipe = k.book.MainPipeline()
	}
	lead := obj{}
	if list := body.List(e[book.Leads]); len(list) > 0 {
		lead = body.Object(list[0])
	}
	lead["status_id"], lead["pipeline_id"] = body.Number(pipe.Unsorted()), body.Number(pipe.ID)
	r := k.newLead(lead, by, contactID, companyID)
	u := &book.Unsorted{Category: "forms", SourceName: body.Text(item, "source_name"), SourceUID: body.Text(item, "source_uid"),
		Metadata: body.Plain(body.Object(item["metadata"])), LeadID: r.ID, ContactID: contactID, CompanyID: companyID, PipelineID: pipe.ID}
	k.addUnsorted(u)
	return u
}

// LeaveForm has somebody fill in the form of a site that amoCRM itself serves.
func (k *Clerk) LeaveForm(site string) *book.Unsorted {
	return k.AddForm(obj{"source_name": site, "source_uid": k.luck.Hex(8)}, k.book.TokenUser)
}

func (k *Clerk) addUnsorted(u *book.Unsorted) {
	u.UID, u.CreatedAt = k.luck.Hex(32), k.now().Unix()
	k.book.Unsorted = append(k.book.Unsorted, u)
	k.out.UnsortedAdded(u)
}

// AcceptUnsorted shows contact and company and moves the lead to its first
// real stage.
func (k *Clerk) AcceptUnsorted(u *book.Unsorted, by, status int64) {
	u.State = "accepted"
	for _, r := range k.behind(u) {
		r.Hidden = false
		k.created(r)
	}
	k.out.UnsortedAccepted(u, by)
	p, _ := k.book.Pipeline(u.PipelineID)
	if status == 0 {
		status = p.First()
	}
	k.Patch(k.book.Cards[book.Leads].ByID[u.LeadID], obj{"status_id": body.Number(status), "pipeline_id": body.Number(p.ID)}, by)
}

// DeclineUnsorted removes the incoming lead and who stood behind it.
func (k *Clerk) DeclineUnsorted(u *book.Unsorted) {
	u.State = "declined"
	k.out.UnsortedDeclined(u, k.book.TokenUser)
	for _, r := range k.behind(u) {
		r.Deleted = true
	}
	k.book.Cards[book.Leads].ByID[u.LeadID].Deleted = true
}

// behind are the contact and company that only accepting will show.
func (k *Clerk) behind(u *book.Unsorted) []*book.Record {
	var out []*book.Record
	for _, r := range []*book.Record{k.book.Cards[book.Contacts].ByID[u.ContactID], k.book.Cards[book.Companies].ByID[u.CompanyID]} {
		if r != nil && r.Hidden {
			out = append(out, r)
		}
	}
	return out
}
