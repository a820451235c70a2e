package emulator

import (
	"net/http"
	"slices"
	"strconv"
)

// The bounds of one leads/complex request (amocrm-api.md §3).
const (
	complexLeadsMax  = 50
	complexFieldsMax = 40
)

// complexLeads is POST /leads/complex: leads with their contact and company in
// one go, answered by a bare array (amocrm-api.md §4.2).
func (c *call) complexLeads() answer {
	items, bad := c.items(complexLeadsMax)
	if bad == nil {
		bad = c.validate(leads, true, items, c.a.complexSchema(), c.a.complexCheck)
	}
	if bad == nil {
		bad = c.checkLoss(items)
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, 0, len(items))
	for i, item := range items {
		out = append(out, c.a.complexLead(item, requestID(item, i), c.user))
	}
	return jsonAnswer(http.StatusOK, halJSON, out)
}

// complexSchema is a lead's schema whose contact and company may be an id or a
// whole card; those are checked by complexCheck, being of another kind.
func (a *Account) complexSchema() schema {
	s := a.cardSchema(leads, true)
	e := s["_embedded"].keys
	e["contacts"], e["companies"] = spec{kind: list}, spec{kind: list}
	e["metadata"] = spec{kind: object, keys: metadataKeys()}
	e["metadata"].keys["category"] = spec{kind: text, required: true}
	return s
}

func (a *Account) complexCheck(ck *checker, item obj) {
	crossCheck(ck, item)
	fields := func(path string, m obj) {
		if len(asList(m["custom_fields_values"])) > complexFieldsMax {
			ck.tooMany(join(path, "custom_fields_values"), complexFieldsMax)
		}
	}
	fields("", item)
	for _, kind := range []string{contacts, companies} {
		path := "_embedded." + kind
		list := asList(asObj(item["_embedded"])[kind])
		if len(list) > 1 {
			ck.tooMany(path, 1)
			continue
		}
		for i, v := range list {
			m, at := asObj(v), join(path, strconv.Itoa(i))
			s := a.cardSchema(kind, true)
			s["id"] = spec{kind: integer, check: existing(kind)}
			s["is_main"] = spec{kind: boolean}
			sub := &checker{a: a, kind: kind, create: true}
			sub.object(at, m, s)
			ck.faults = append(ck.faults, sub.faults...)
			fields(at, m)
		}
	}
}

func (a *Account) complexLead(item obj, request string, by int64) obj {
	e := asObj(item["_embedded"])
	if lead, ok := a.duplicate(item); ok {
		before := lead.clone()
		lead.UpdatedAt = a.opt.Now().Unix()
		a.write(lead, obj{"custom_fields_values": item["custom_fields_values"], "tags_to_add": item["tags_to_add"]})
		a.changed(&before, lead)
		return obj{"id": lead.ID, "contact_id": orNull(lead.mainContact()), "company_id": orNull(lead.CompanyID),
			"request_id": []string{request}, "merged": true}
	}
	metadata := asObj(e["metadata"])
	contactID := a.embeddedCard(contacts, e, by, metadata != nil)
	companyID := a.embeddedCard(companies, e, by, metadata != nil)
	if ct, ok := a.st.Cards[contacts].ByID[contactID]; ok && companyID != 0 && ct.CompanyID == 0 {
		a.linkCompany(ct, companyID)
	}
	lead := obj{}
	for k, v := range item {
		lead[k] = v
	}
	lead["_embedded"] = obj{"tags": e["tags"]}
	if metadata != nil { // the passed status is ignored (amocrm-api.md §4.2)
		p, ok := num(item, "pipeline_id")
		pipe, known := a.st.pipeline(p)
		if !ok || !known {
			pipe = a.st.mainPipeline()
		}
		lead["status_id"], lead["pipeline_id"] = jsonInt(pipe.unsorted()), jsonInt(pipe.ID)
	}
	r := a.newLead(lead, by, contactID, companyID)
	if metadata != nil {
		a.addUnsorted(&Unsorted{Category: str(metadata, "category"), Metadata: metadata, LeadID: r.ID,
			ContactID: contactID, CompanyID: companyID, PipelineID: r.PipelineID})
	}
	return obj{"id": r.ID, "contact_id": orNull(contactID), "company_id": orNull(companyID),
		"request_id": []string{request}, "merged": false}
}

// newLead creates a lead with its contact and company tied before anybody is told.
func (a *Account) newLead(item obj, by, contactID, companyID int64) *Record {
	e := asObj(item["_embedded"])
	if e == nil {
		e = obj{}
		item["_embedded"] = e
	}
	if contactID != 0 {
		e["contacts"] = []any{obj{"id": jsonInt(contactID), "is_main": true}}
	}
	if companyID != 0 {
		e["companies"] = []any{obj{"id": jsonInt(companyID)}}
	}
	return a.createCard(leads, item, by)
}

// embeddedCard returns the id of the item's contact or company: the named one, or a new one.
func (a *Account) embeddedCard(kind string, e obj, by int64, hidden bool) int64 {
	list := asList(e[kind])
	if len(list) == 0 {
		return 0
	}
	m := asObj(list[0])
	if id, ok := num(m, "id"); ok {
		return id
	}
	r := a.makeCard(kind, m, by)
	r.Hidden = hidden
	if !hidden {
		a.created(r)
	}
	return r.ID
}

// duplicate is duplicate control: an open lead whose main contact has the
// incoming phone or e-mail. More than three are too many to choose from
// (amocrm-api.md §3, §4.2).
func (a *Account) duplicate(item obj) (*Record, bool) {
	list := asList(asObj(item["_embedded"])["contacts"])
	if !a.opt.DuplicateControl || len(list) == 0 {
		return nil, false
	}
	keys := identities(asObj(list[0]), a)
	t := a.st.Cards[leads]
	var found []*Record
	for _, id := range t.IDs {
		r := t.ByID[id]
		if r.Deleted || r.Hidden || r.Closed() {
			continue
		}
		ct, ok := a.st.Cards[contacts].live(r.mainContact())
		if ok && slices.ContainsFunc(ct.identities(), func(k string) bool { return slices.Contains(keys, k) }) {
			found = append(found, r)
		}
	}
	if len(found) == 0 || len(found) > 3 {
		return nil, false
	}
	return found[len(found)-1], true
}

func (r *Record) mainContact() int64 {
	for _, l := range r.Contacts {
		if l.Main {
			return l.ID
		}
	}
	return 0
}

// identities are the phones (last ten digits) and e-mails of a contact.
func (r *Record) identities() []string {
	var out []string
	for _, v := range r.Values("PHONE") {
		out = append(out, lastTen(digits(v)))
	}
	for _, v := range r.Values("EMAIL") {
		out = append(out, lower(v))
	}
	return out
}

func identities(contact obj, a *Account) []string {
	r := &Record{Kind: contacts}
	a.writeFields(r, contact["custom_fields_values"])
	return r.identities()
}
