package emulator

import (
	"encoding/json"
	"net/http"
	"slices"
)

// Unsorted is an incoming lead nobody has accepted or declined yet, or has:
// State is "", accepted or declined.
type Unsorted struct {
	UID        string
	Category   string // forms | sip
	SourceName string
	SourceUID  string
	Metadata   map[string]any
	LeadID     int64
	ContactID  int64
	CompanyID  int64
	PipelineID int64
	CreatedAt  int64
	State      string
}

func metadataKeys() schema {
	t := spec{kind: text}
	return schema{
		"form_id": t, "form_name": t, "form_page": t, "ip": t, "form_sent_at": {kind: integer}, "referer": t, "visitor_uid": t,
		"phone": {kind: anything}, "from": t, "call_responsible": {kind: anything}, "called_at": {kind: integer},
		"duration": {kind: integer}, "link": t, "service_code": t, "is_call_event_needed": {kind: boolean}, "uniq": t,
	}
}

func jsonInt(n int64) json.Number { return json.Number(itoa(n)) }

// unsortedForms is POST /leads/unsorted/forms (amocrm-api.md §4.11).
func (c *call) unsortedForms() answer {
	meta := metadataKeys()
	for _, key := range []string{"form_id", "form_name", "form_page", "form_sent_at"} {
		s := meta[key]
		s.required = true
		meta[key] = s
	}
	items, bad := c.items(250)
	if bad == nil {
		bad = c.validate(leads, true, items, schema{
			"source_name": {kind: text, required: true}, "source_uid": {kind: text, required: true},
			"pipeline_id": {kind: integer, check: somePipeline}, "created_at": {kind: integer}, "request_id": {kind: text},
			"metadata":  {kind: object, required: true, keys: meta},
			"_embedded": {kind: object, keys: schema{"leads": {kind: list}, "contacts": {kind: list}, "companies": {kind: list}}},
		}, c.a.unsortedCheck)
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, len(items))
	for i, item := range items {
		out[i] = c.unsortedJSON(c.a.newUnsorted(item, c.user))
		out[i]["request_id"] = requestID(item, i)
	}
	return hal(obj{"_total_items": len(out), "_links": c.self(c.r.URL.Path), "_embedded": obj{"unsorted": out}})
}

func (a *Account) unsortedCheck(ck *checker, item obj) {
	for _, kind := range []string{leads, contacts, companies} {
		for _, v := range asList(asObj(item["_embedded"])[kind]) {
			sub := &checker{a: a, kind: kind, create: true}
			sub.object("_embedded."+kind+".0", asObj(v), a.cardSchema(kind, true))
			ck.faults = append(ck.faults, sub.faults...)
		}
	}
	for _, u := range a.st.Unsorted { // the same thing twice is an error
		if u.SourceUID == str(item, "source_uid") && u.State == "" {
			ck.add("NotUnique", "source_uid", "This value is already used.")
		}
	}
}

func (a *Account) newUnsorted(item obj, by int64) *Unsorted {
	e := asObj(item["_embedded"])
	contactID, companyID := a.embeddedCard(contacts, e, by, true), a.embeddedCard(companies, e, by, true)
	p, ok := num(item, "pipeline_id")
	pipe, _ := a.st.pipeline(p)
	if !ok {
		pipe = a.st.mainPipeline()
	}
	lead := obj{}
	if list := asList(e[leads]); len(list) > 0 {
		lead = asObj(list[0])
	}
	lead["status_id"], lead["pipeline_id"] = jsonInt(pipe.unsorted()), jsonInt(pipe.ID)
	r := a.newLead(lead, by, contactID, companyID)
	u := &Unsorted{Category: "forms", SourceName: str(item, "source_name"), SourceUID: str(item, "source_uid"),
		Metadata: plain(asObj(item["metadata"])), LeadID: r.ID, ContactID: contactID, CompanyID: companyID, PipelineID: pipe.ID}
	a.addUnsorted(u)
	return u
}

// LeaveForm has somebody fill in the form of a site that amoCRM itself serves: an
// unsorted lead, at no cost to the API's budget. It returns its uid.
func (a *Account) LeaveForm(site string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.newUnsorted(obj{"source_name": site, "source_uid": a.hex(8)}, a.st.TokenUser)
	a.postHooks()
	return u.UID
}

func (a *Account) addUnsorted(u *Unsorted) {
	u.UID, u.CreatedAt = a.hex(32), a.opt.Now().Unix()
	a.st.Unsorted = append(a.st.Unsorted, u)
	a.emit("add_unsorted", "unsorted", "add", []pair{
		{"[uid]", u.UID}, {"[source]", u.SourceName}, {"[source_uid]", u.SourceUID}, {"[category]", u.Category},
		{"[created_at]", itoa(u.CreatedAt)}, {"[pipeline_id]", itoa(u.PipelineID)}, {"[lead_id]", itoa(u.LeadID)},
	})
}

func (a *Account) unsortedBy(uid string) (*Unsorted, bool) {
	for _, u := range a.st.Unsorted {
		if u.UID == uid && u.State == "" {
			return u, true
		}
	}
	return nil, false
}

func (c *call) unsortedList() answer {
	uids, categories, pipes := c.filter("uid"), c.filter("category"), c.filter("pipeline_id")
	var found []*Unsorted
	for _, u := range c.a.st.Unsorted {
		if u.State == "" && (uids == nil || slices.Contains(uids, u.UID)) &&
			(categories == nil || slices.Contains(categories, u.Category)) && (pipes == nil || slices.Contains(pipes, itoa(u.PipelineID))) {
			found = append(found, u)
		}
	}
	at := func(u *Unsorted) int64 { return u.CreatedAt }
	sortBy(c, found, map[string]func(*Unsorted) int64{"created_at": at, "updated_at": at}, at)
	return c.page("unsorted", len(found), 250, func(i int) obj { return c.unsortedJSON(found[i]) })
}

func (c *call) unsortedOne() answer {
	u, ok := c.a.unsortedBy(c.vars["uid"])
	if !ok {
		return nothing()
	}
	return hal(c.unsortedJSON(u))
}

func (c *call) unsortedJSON(u *Unsorted) obj {
	ref := func(kind string, id int64) []obj {
		if id == 0 {
			return []obj{}
		}
		return []obj{{"id": id, "_links": c.selfOf(kind, id)}}
	}
	return obj{
		"uid": u.UID, "source_uid": u.SourceUID, "source_name": u.SourceName, "category": u.Category, "pipeline_id": u.PipelineID,
		"created_at": u.CreatedAt, "metadata": u.Metadata, "account_id": c.a.opt.AccountID,
		"_links":    c.self("/api/v4/leads/unsorted/" + u.UID),
		"_embedded": obj{"leads": ref(leads, u.LeadID), "contacts": ref(contacts, u.ContactID), "companies": ref(companies, u.CompanyID)},
	}
}

func (c *call) unsortedAccept() answer {
	item, bad := c.one()
	if bad == nil {
		bad = c.validate(leads, false, []obj{item}, schema{
			"user_id": {kind: integer, check: someUser}, "status_id": {kind: integer}}, crossCheck)
	}
	if bad != nil {
		return *bad
	}
	u, ok := c.a.unsortedBy(c.vars["uid"])
	if !ok {
		return problem(http.StatusNotFound, "Unsorted not found")
	}
	user, _ := num(item, "user_id")
	status, _ := num(item, "status_id")
	c.a.acceptUnsorted(u, user, status)
	return hal(c.unsortedJSON(u))
}

func (c *call) unsortedDecline() answer {
	u, ok := c.a.unsortedBy(c.vars["uid"])
	if !ok {
		return problem(http.StatusNotFound, "Unsorted not found")
	}
	c.a.declineUnsorted(u)
	return hal(c.unsortedJSON(u))
}

// acceptUnsorted shows contact and company and moves the lead to its first
// real stage. The hook is a delete with action=accept (amocrm-api.md §6.5).
func (a *Account) acceptUnsorted(u *Unsorted, by, status int64) {
	u.State = "accepted"
	for _, r := range a.behind(u) {
		r.Hidden = false
		a.created(r)
	}
	a.emit("delete_unsorted", "unsorted", "delete", append(u.hook("accept", by), pair{"[accept_result][leads][0]", itoa(u.LeadID)}))
	p, _ := a.st.pipeline(u.PipelineID)
	if status == 0 {
		status = p.first()
	}
	a.patchCard(a.st.Cards[leads].ByID[u.LeadID], obj{"status_id": jsonInt(status), "pipeline_id": jsonInt(p.ID)}, by)
}

// declineUnsorted removes the incoming lead and who stood behind it.
func (a *Account) declineUnsorted(u *Unsorted) {
	u.State = "declined"
	a.emit("delete_unsorted", "unsorted", "delete", append(u.hook("decline", a.st.TokenUser), pair{"[decline_result][leads][0]", itoa(u.LeadID)}))
	for _, r := range a.behind(u) {
		r.Deleted = true
	}
	a.st.Cards[leads].ByID[u.LeadID].Deleted = true
}

// behind are the contact and company that only accepting will show.
func (a *Account) behind(u *Unsorted) []*Record {
	var out []*Record
	for _, r := range []*Record{a.st.Cards[contacts].ByID[u.ContactID], a.st.Cards[companies].ByID[u.CompanyID]} {
		if r != nil && r.Hidden {
			out = append(out, r)
		}
	}
	return out
}

func (u *Unsorted) hook(action string, by int64) []pair {
	return []pair{{"[uid]", u.UID}, {"[action]", action}, {"[category]", u.Category}, {"[lead_id]", itoa(u.LeadID)}, {"[user_id]", itoa(by)}}
}
