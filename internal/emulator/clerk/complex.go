package clerk

import (
	"maps"
	"slices"

	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// Complex is what became of one item of leads/complex; 0 is none.
type Complex struct {
	LeadID, ContactID, CompanyID int64
	Merged                       bool // with a lead that was there
}

// AddComplex makes a lead with its contact and company, or merges it with the
// one duplicate control finds (amocrm-api.md §4.2).
func (k *Clerk) AddComplex(item obj, by int64) Complex {
	e := body.Object(item["_embedded"])
	if lead, ok := k.duplicate(item); ok {
		before := lead.Clone()
		lead.UpdatedAt = k.now().Unix()
		k.write(lead, obj{"custom_fields_values": item["custom_fields_values"], "tags_to_add": item["tags_to_add"]})
		k.changed(&before, lead)
		return Complex{lead.ID, lead.MainContact(), lead.CompanyID, true}
	}
	metadata := body.Object(e["metadata"])
	contactID := k.embeddedCard(book.Contacts, e, by, metadata != nil)
	companyID := k.embeddedCard(book.Companies, e, by, metadata != nil)
	if ct, ok := k.book.Cards[book.Contacts].ByID[contactID]; ok && companyID != 0 && ct.CompanyID == 0 {
		k.book.LinkCompany(ct, companyID)
	}
	lead := maps.Clone(item)
	lead["_embedded"] = obj{"tags": e["tags"]}
	if metadata != nil { // the passed status is ignored (amocrm-api.md §4.2)
		p, ok := body.Int(item, "pipeline_id")
		pipe, known := k.book.Pipeline(p)
		if !ok || !known {
			pipe = k.book.MainPipeline()
		}
		lead["status_id"], lead["pipeline_id"] = body.Number(pipe.Unsorted()), body.Number(pipe.ID)
	}
	r := k.newLead(lead, by, contactID, companyID)
	if metadata != nil {
		k.addUnsorted(&book.Unsorted{Category: body.Text(metadata, "category"), Metadata: metadata, LeadID: r.ID,
			ContactID: contactID, CompanyID: companyID, PipelineID: r.PipelineID})
	}
	return Complex{r.ID, contactID, companyID, false}
}

// newLead creates a lead with its contact and company tied before anybody is told.
func (k *Clerk) newLead(item obj, by, contactID, companyID int64) *book.Record {
	e := body.Object(item["_embedded"])
	if e == nil {
		e = obj{}
		item["_embedded"] = e
	}
	if contactID != 0 {
		e["contacts"] = []any{obj{"id": body.Number(contactID), "is_main": true}}
	}
	if companyID != 0 {
		e["companies"] = []any{obj{"id": body.Number(companyID)}}
	}
	return k.Create(book.Leads, item, by)
}

// embeddedCard returns the id of the item's contact or company: the named one, or a new one.
func (k *Clerk) embeddedCard(kind string, e obj, by int64, hidden bool) int64 {
	list := body.List(e[kind])
	if len(list) == 0 {
		return 0
	}
	m := body.Object(list[0])
	if id, ok := body.Int(m, "id"); ok {
		return id
	}
	r := k.makeCard(kind, m, by)
	r.Hidden = hidden
	if !hidden {
		k.created(r)
	}
	return r.ID
}

// duplicate is duplicate control: an open lead whose main contact has the
// incoming phone or e-mail. More than three are too many to choose from
// (amocrm-api.md §3, §4.2).
func (k *Clerk) duplicate(item obj) (*book.Record, bool) {
	list := body.List(body.Object(item["_embedded"])["contacts"])
	if !k.opt.DuplicateControl || len(list) == 0 {
		return nil, false
	}
	keys := k.identities(body.Object(list[0]))
	t := k.book.Cards[book.Leads]
	var found []*book.Record
	for _, id := range t.IDs {
		r := t.ByID[id]
		if r.Deleted || r.Hidden || r.Closed() {
			continue
		}
		ct, ok := k.book.Cards[book.Contacts].Live(r.MainContact())
		if ok && slices.ContainsFunc(ct.Identities(), func(key string) bool { return slices.Contains(keys, key) }) {
			found = append(found, r)
		}
	}
	if len(found) == 0 || len(found) > 3 {
		return nil, false
	}
	return found[len(found)-1], true
}

// identities are those a contact to be made would have.
func (k *Clerk) identities(contact obj) []string {
	r := &book.Record{Kind: book.Contacts}
	k.writeFields(r, contact["custom_fields_values"])
	return r.Identities()
}
