package hook

import (
	"errors"
	"html"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/spelling"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// Post is one POST of amoCRM: an account webhook or one of a digital pipeline
// (amocrm-api.md §6). Several entities and several actions may ride in it.
type Post struct {
	AccountID int64  // 0 if the body does not say
	Subdomain string // "" likewise
	Items     []Item

	family, action string // of the first action met, for Kind
}

// Item is what a hook says of one entity. Fields a hook did not carry are
// zero.
type Item struct {
	Entity string // leads | contacts | companies | task | unsorted | customers | talk | message | catalogs
	Action string // add, update, status, responsible, restore, delete, note, call_in, accept, …
	ID     int64  // of the entity; for a note, of the entity it stands on; 0 where ids are no numbers

	Lead    *event.Lead    // Partial; of leads
	Contact *event.Contact // Partial; of contacts and companies
	Task    *event.Task    // of task
	// NoteType is of an action "note": 4 a text, 5 a file, 10 an incoming call, 11
	// an outgoing one (amocrm-api.md §6.2).
	NoteType int64
	// Thin says that only ids and perhaps the stage came, as in digital-pipeline
	// hooks: the entity must be read to be known. A deleted one is not thin.
	Thin bool

	LeadIDs []int64 // of unsorted: the leads decided on
}

// Decoder decodes hooks. Location is the account's time zone, for the local
// times of tasks and notes; nil if it is not known.
type Decoder struct {
	Location *time.Location
}

var errNoHook = errors.New("no entity of amoCRM in the body")

// Decode reads a form-encoded or JSON body; the body itself decides which, since
// the documentation shows one and the wire carries the other. It never panics,
// takes time and memory in proportion to the body, and its errors quote nothing
// of it. Entities nobody knows are passed over; a body in which nothing speaks
// of amoCRM is an error.
func (d Decoder) Decode(_ string, body []byte) (*Post, error) {
	root, err := parse(body)
	if err != nil {
		return nil, err
	}
	h := &Post{AccountID: root.at("account").num("id"), Subdomain: root.str("account", "subdomain")}
	if root.at("event").has("data") {
		return d.widget(root, h)
	}
	entities := 0
	for _, family := range root.keys {
		if family != "account" {
			entities++
		}
		if slices.Contains(families, family) {
			if err := d.family(h, family, root.at(family)); err != nil {
				return nil, err
			}
		}
	}
	if len(h.Items) == 0 && (entities == 0 || !h.signed()) {
		return nil, errNoHook
	}
	return h, nil
}

// signed reports whether the hook says whose it is.
func (h *Post) signed() bool { return h.AccountID != 0 || h.Subdomain != "" }

// families are the top-level keys of account and digital-pipeline hooks.
var families = []string{"leads", "contacts", "companies", "task", "unsorted", "customers", "talk", "message", "catalogs"}

// actions are the actions each family is known to have.
var actions = map[string][]string{
	"leads": {"add", "update", "status", "responsible", "restore", "delete", "note",
		"call_in", "chat", "mail_in", "site_visit"},
	"contacts":  {"add", "update", "responsible", "restore", "delete", "note"},
	"task":      {"add", "update", "responsible", "delete"},
	"unsorted":  {"add", "update", "delete", "accept", "decline"},
	"customers": {"add", "update", "responsible", "restore", "delete", "note", "call_in", "chat", "mail_in", "site_visit", "period"},
	"talk":      {"add", "update"},
	"message":   {"add"},
	"catalogs":  {"add", "update", "delete"},
}

// Kinds lists every word Kind may return but for other, sorted.
func Kinds() []string {
	var all []string
	for family, list := range actions {
		for _, action := range list {
			all = append(all, family+"."+action)
		}
	}
	slices.Sort(all)
	return all
}

// other is the Kind of a hook nobody knows.
const other = "other"

// Kind names the hook after its first item, "leads.status"; a company's is
// "contacts.…", as amoCRM sends it. The words are a closed set.
func (h *Post) Kind() string {
	if slices.Contains(actions[h.family], h.action) {
		return h.family + "." + h.action
	}
	return other
}

func (d Decoder) family(h *Post, family string, actions *node) error {
	for _, action := range actions.keys {
		list := actions.at(action)
		items := []*node{list}
		if !list.at("id").isLeaf() && !list.at("uid").isLeaf() {
			var err error
			if items, err = list.list(); err != nil {
				return err
			}
		}
		for _, n := range items {
			item, ok := d.item(family, action, n)
			if !ok {
				continue
			}
			if h.family == "" {
				h.family, h.action = family, item.Action
				if family == spelling.Companies {
					h.family = spelling.Contacts
				}
			}
			h.Items = append(h.Items, item)
		}
	}
	return nil
}

func (n *node) isLeaf() bool { return n != nil && n.leaf }

// item decodes one entity; false if it does not say which one.
func (d Decoder) item(family, action string, n *node) (Item, bool) {
	if n == nil || len(n.keys) == 0 {
		return Item{}, false
	}
	it := Item{Entity: family, Action: spelling.Cut(spelling.Line(action), 64), ID: max(n.num("id"), 0)}
	switch family {
	case spelling.Leads, spelling.Contacts, spelling.Companies:
		if n.str("type") == "company" {
			it.Entity = spelling.Companies
		}
		if action == "note" {
			return note(it, n)
		}
		if it.Entity == spelling.Leads {
			d.lead(&it, n)
		} else {
			d.contact(&it, n)
		}
		return it, it.ID != 0
	case "task":
		d.task(&it, n)
		return it, it.ID != 0
	case "unsorted":
		return unsortedItem(it, n), true
	}
	return it, true
}

// lead decodes an account hook's lead, or the few ids a digital pipeline sends.
func (d Decoder) lead(it *Item, n *node) {
	price, _ := spelling.Number(n.str("price")) // "" and "0" are both no price
	it.Lead = &event.Lead{
		ID: it.ID, Name: unescaped(n.str("name")), Price: price,
		PipelineID: n.num("pipeline_id"), StatusID: n.num("status_id"),
		ResponsibleID: n.num("responsible_user_id"), LossReasonID: n.num("loss_reason_id"),
		CreatedAt: d.time(n, "created_at", "date_create"), UpdatedAt: d.time(n, "updated_at", "last_modified"),
		ClosedAt: d.time(n, "closed_at", "date_close"),
		Fields:   readFields(n.at("custom_fields")), Tags: readTags(n.at("tags")),
		CompanyID: n.num("linked_company_id"), Deleted: it.Action == "delete", Partial: true,
	}
	it.Thin = it.Action != "delete" && !n.has("name") && !n.has("price")
}

func (d Decoder) contact(it *Item, n *node) {
	c := &event.Contact{
		ID: it.ID, Name: unescaped(n.str("name")), ResponsibleID: n.num("responsible_user_id"),
		CreatedAt: d.time(n, "created_at", "date_create"), UpdatedAt: d.time(n, "updated_at", "last_modified"),
		Fields: readFields(n.at("custom_fields")), Tags: readTags(n.at("tags")),
		CompanyID: n.num("linked_company_id"), Company: unescaped(n.str("company_name")),
		IsCompany: it.Entity == spelling.Companies, Deleted: it.Action == "delete", Partial: true,
	}
	fields, _ := n.at("custom_fields").list()
	for _, f := range fields {
		switch f.str("code") {
		case spelling.CodePhone:
			c.Phones = readValues(f.at("values"))
		case spelling.CodeEmail:
			c.Emails = readValues(f.at("values"))
		}
	}
	if linked := n.at("linked_leads_id"); linked != nil {
		for _, key := range linked.keys {
			if id, ok := spelling.ID(key); ok && linked.at(key).has("ID") {
				c.LeadIDs = append(c.LeadIDs, id)
			} else if id, ok := spelling.ID(linked.str(key)); ok {
				c.LeadIDs = append(c.LeadIDs, id)
			}
		}
	}
	it.Contact = c
	it.Thin = it.Action != "delete" && !n.has("name")
}

// note decodes leads[note][0][note][…]; the level in between is missing in
// nothing seen so far, but nothing promises it either.
func note(it Item, n *node) (Item, bool) {
	if inner := n.at("note"); inner != nil {
		n = inner
	}
	it.ID, it.NoteType = max(n.num("element_id"), 0), n.num("note_type")
	if n.num("element_type") == 3 {
		it.Entity = spelling.Companies
	}
	return it, it.ID != 0
}

func (d Decoder) task(it *Item, n *node) {
	t := &event.Task{
		ID: it.ID, Text: unescaped(n.str("text")), EntityType: elementType(n.str("element_type")), EntityID: n.num("element_id"),
		ResponsibleID: n.num("responsible_user_id", "main_user"), CompleteTill: d.time(n, "complete_before", "complete_till"),
		Completed: n.num("status") == 1 || n.num("action_close") == 1, Result: unescaped(n.str("result", "text")),
		CreatedAt: d.time(n, "created_at", "date_create"), UpdatedAt: d.time(n, "updated_at", "last_modified"),
	}
	it.Task = t
	it.Thin = it.Action != "delete" && !n.has("text")
}

func elementType(code string) string {
	switch code {
	case "1", spelling.Contacts:
		return spelling.Contacts
	case "2", spelling.Leads:
		return spelling.Leads
	case "3", spelling.Companies:
		return spelling.Companies
	}
	return ""
}

// unsortedItem decodes an incoming lead. What was decided of it arrives as a
// delete that says accept or decline (amocrm-api.md §6.5).
func unsortedItem(it Item, n *node) Item {
	switch decision := n.str("action"); decision {
	case "accept", "decline":
		it.Action = decision
	}
	add := func(id int64) {
		if id > 0 && !slices.Contains(it.LeadIDs, id) {
			it.LeadIDs = append(it.LeadIDs, id)
		}
	}
	for _, place := range []*node{n.at("accept_result", "leads"), n.at("decline_result", "leads"), n.at("data", "leads"), n.at("leads")} {
		leads, _ := place.list()
		for _, l := range leads {
			id, _ := spelling.ID(l.text)
			add(id)
			add(l.num("id"))
		}
	}
	add(n.num("lead_id"))
	if it.ID == 0 && len(it.LeadIDs) > 0 {
		it.ID = it.LeadIDs[0]
	}
	return it
}

// widget decodes the hook a widget of a digital pipeline gets: about one
// entity, thin, and told apart by an event (amocrm-api.md §6.6).
func (d Decoder) widget(root *node, h *Post) (*Post, error) {
	data := root.at("event", "data")
	if h.AccountID == 0 {
		h.AccountID = root.num("account_id")
	}
	if h.Subdomain == "" {
		h.Subdomain = root.str("subdomain")
	}
	it := Item{Entity: elementType(data.str("element_type")), Action: "update", ID: max(data.num("id"), 0), Thin: true}
	switch it.Entity {
	case spelling.Leads:
		if data.has("status_id") {
			it.Action = "status"
		}
		it.Lead = &event.Lead{ID: it.ID, StatusID: data.num("status_id"), PipelineID: data.num("pipeline_id"), Partial: true}
	case spelling.Contacts, spelling.Companies:
		it.Contact = &event.Contact{ID: it.ID, IsCompany: it.Entity == spelling.Companies, Partial: true}
	}
	if it.ID == 0 || it.Entity == "" {
		if !h.signed() {
			return nil, errNoHook
		}
		return h, nil
	}
	h.family, h.action = it.Entity, it.Action
	if it.Entity == spelling.Companies {
		h.family = spelling.Contacts
	}
	h.Items = []Item{it}
	return h, nil
}

// readFields decodes custom_fields by field id.
func readFields(n *node) map[int64]event.Values {
	list, _ := n.list()
	var fields map[int64]event.Values
	for _, f := range list {
		values := readValues(f.at("values"))
		if id := f.num("id"); id > 0 && len(values) > 0 {
			if fields == nil {
				fields = map[int64]event.Values{}
			}
			fields[id] = values
		}
	}
	return fields
}

// readValues decodes the values of a field, which come as objects in a list, as
// bare texts in a list, as one object or as one bare text (amocrm-api.md §6.4).
func readValues(n *node) event.Values {
	if n == nil {
		return nil
	}
	items := []*node{n}
	if !n.leaf && !n.has("value") && !n.has("enum") {
		items, _ = n.list()
	}
	var values event.Values
	for _, item := range items {
		v := event.Value{Text: item.text}
		if !item.leaf {
			v = event.Value{Text: item.str("value"), EnumID: max(item.num("enum", "enum_id"), 0), Enum: item.str("enum_code")}
		}
		if v.Text = unescaped(v.Text); v.Text != "" || v.EnumID != 0 {
			values = append(values, v)
		}
	}
	return values
}

func readTags(n *node) []string {
	list, _ := n.list()
	var tags []string
	for _, t := range list {
		if name := unescaped(t.str("name")); name != "" {
			tags = append(tags, name)
		}
	}
	return tags
}

// unescaped undoes the HTML escaping of texts in hooks (amocrm-api.md §6.2).
func unescaped(s string) string { return spelling.Text(html.UnescapeString(s)) }

// time returns the first of the named times as unix seconds, 0 if there is
// none: seconds, or a local time where the zone is known.
func (d Decoder) time(n *node, names ...string) int64 {
	for _, name := range names {
		text := strings.TrimSpace(n.str(name))
		if unix, err := strconv.ParseInt(text, 10, 64); err == nil && unix > 0 {
			return unix
		}
		if d.Location == nil {
			continue
		}
		if at, err := time.ParseInLocation(time.DateTime, text, d.Location); err == nil {
			return at.Unix()
		}
	}
	return 0
}
