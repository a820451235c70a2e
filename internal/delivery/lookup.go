package delivery

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/items"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/phone"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// lookUp searches amoCRM for what a change in doubt would have made. with names
// the changes that stand or fall together.
func (j *job) lookUp(ctx context.Context, i int) (res amocrm.Result, with []int, found bool, err error) {
	ch := j.ev.Changes[i]
	with = []int{i}
	since := j.madeSince(ch).Unix()
	switch {
	case ch.Op == event.OpCreate && ch.Target == event.OnLead:
		if c := j.change(event.OpCreate, event.OnContact); c >= 0 && j.ev.Changes[c].State == event.Sent {
			with = append(with, c)
		}
		res, found, err = j.lookUpLead(ctx, ch, since)
	case ch.Op == event.OpCreate && ch.Target == event.OnContact:
		if l := j.change(event.OpCreate, event.OnLead); l >= 0 && j.ev.Changes[l].State == event.Sent {
			return j.lookUp(ctx, l)
		}
		res, found, err = j.lookUpContact(ctx, ch, since)
	case ch.Op == event.OpCreate && (ch.Target == event.OnNote || ch.Target == event.OnCall):
		res, found, err = j.lookUpNote(ctx, ch, since)
	case ch.Op == event.OpCreate && ch.Target == event.OnTask:
		res, found, err = j.lookUpTask(ctx, ch, since)
	case ch.Op == event.OpLink && ch.Target == event.OnContact:
		res, found, err = j.lookUpLink(ctx, ch)
	case ch.Target == event.OnCompany:
		res, found, err = j.lookUpCompany(ctx, ch, since)
	default: // an update says what is to stand, not what is to be added: it may go again
		j.mark(with, event.Open, "")
		j.mu.Lock()
		j.ev.Changes[i].Looks = 2
		j.mu.Unlock()
		return res, with, false, nil
	}
	return res, with, found, err
}

// A list of the newest entities tells of all of them only if it was read to its
// end: amocrm reads 10,000 at most. One of so many is not believed about what it
// does not have.
const manyNewest = 9_000

const (
	// indexed is when a search by `query` is believed about a miss: it lags
	// behind what was written (amocrm-api.md §7.3), by far less than this.
	indexed = time.Hour
	// notKnownFor is how long a look-up that cannot tell is put off at least.
	notKnownFor = time.Minute
)

// errNotKnown says that a look-up cannot tell whether its entity is there.
var errNotKnown = errors.New("delivery: more is new than a look-up can read, and the search may not know it yet")

// missing says what it means that neither a list of n entities nor a search has
// the entity: nil if it is not there.
func (j *job) missing(ch event.Change, n int) error {
	if n >= manyNewest && j.c.Account.now().Sub(ch.SentAt) < indexed {
		return errNotKnown
	}
	return nil
}

// marked is the field that bears the marker in the item that left, 0 if none does. The
// config may name another by now, or somebody may just have made it.
func marked(ch event.Change) int64 {
	var fields map[int64]event.Values
	overlayFields(&fields, itemOf(ch))
	for id, v := range fields {
		if items.HasMarker(v.Text(), ch.Marker) {
			return id
		}
	}
	return 0
}

// lookUpLead finds the lead by its marker in the newest leads; without a marker
// field by its name and its contact's phone or e-mail, which is all there is.
func (j *job) lookUpLead(ctx context.Context, ch event.Change, since int64) (amocrm.Result, bool, error) {
	list, err := newest(ctx, j, &j.c.Account.newest.leads, since, j.since(ch), j.c.Account.CRM.NewestLeads)
	if err != nil {
		return amocrm.Result{}, false, err
	}
	res, found, err := j.amongLeads(ctx, ch, since, list)
	many := len(list) >= manyNewest
	if found || err != nil || !(many || (ch.Looks > 0 && marked(ch) != 0)) {
		return res, found, err
	}
	hits, err := j.searchLead(ctx, ch) // the list did not have it: one more way to ask
	if err != nil {
		return amocrm.Result{}, false, err
	}
	if res, found, err = j.amongLeads(ctx, ch, since, hits); found || err != nil {
		return res, found, err
	}
	return amocrm.Result{}, false, j.missing(ch, len(list))
}

// amongLeads finds the lead of a change among some.
func (j *job) amongLeads(ctx context.Context, ch event.Change, since int64, list []event.Lead) (amocrm.Result, bool, error) {
	field, item := marked(ch), itemOf(ch)
	for _, l := range list {
		if l.CreatedAt < since || (field != 0 && !items.HasMarker(l.Fields[field].Text(), ch.Marker)) {
			continue
		}
		if field == 0 {
			if ok, err := j.looksLike(ctx, l, item); err != nil {
				return amocrm.Result{}, false, err
			} else if !ok {
				continue
			}
		}
		if j.taken(l.ID, ch) {
			continue
		}
		res := amocrm.Result{ID: l.ID, UpdatedAt: l.UpdatedAt, CompanyID: l.CompanyID}
		if len(l.ContactIDs) > 0 {
			res.ContactID = l.ContactIDs[0]
		}
		return res, true, nil
	}
	return amocrm.Result{}, false, nil
}

// looksLike is the careful fall-back of an account without the marker field.
func (j *job) looksLike(ctx context.Context, l event.Lead, item map[string]any) (bool, error) {
	contact := j.resolved(event.OnContact)
	switch name, _ := item["name"].(string); {
	case name != "" && name != l.Name:
		return false, nil
	case len(l.ContactIDs) == 0:
		return contact == 0 && j.change(event.OpCreate, event.OnContact) < 0, nil
	case contact != 0:
		return slices.Contains(l.ContactIDs, contact), nil
	}
	c, ok, err := j.crm().Contact(ctx, l.ContactIDs[0])
	if err != nil || !ok {
		return false, err
	}
	return j.sharesContact(c), nil
}

// searchLead asks for a lead past the list of the newest: by its marker, without
// a marker field through its contact, or by its name if it was to have none.
func (j *job) searchLead(ctx context.Context, ch event.Change) ([]event.Lead, error) {
	crm := j.crm()
	if marked(ch) != 0 {
		return crm.SearchLeads(ctx, ch.Marker)
	}
	people, err := j.personInCRM(ctx)
	if err != nil {
		return nil, err
	}
	var ids []int64
	for _, c := range people {
		ids = append(ids, c.LeadIDs...)
	}
	if len(ids) == 0 && j.resolved(event.OnContact) == 0 && !j.makes(event.OnContact) {
		name, _ := itemOf(ch)["name"].(string)
		return crm.SearchLeads(ctx, name)
	}
	slices.SortFunc(ids, func(a, b int64) int { return cmp.Compare(b, a) })
	ids = slices.Compact(ids)
	found, err := crm.Leads(ctx, ids[:min(len(ids), manyLeads)])
	return slices.Collect(maps.Values(found)), err
}

// personInCRM lists the contacts the event's person may be: the one that is
// known, else those with the same phone or e-mail that a search finds.
func (j *job) personInCRM(ctx context.Context) (people []event.Contact, err error) {
	crm := j.crm()
	if known := j.resolved(event.OnContact); known != 0 {
		c, ok, err := crm.Contact(ctx, known)
		if err != nil || !ok {
			return nil, err
		}
		return []event.Contact{c}, nil
	}
	phones, emails := j.people()
	queries := slices.Clone(emails)
	for _, p := range phones {
		queries = append(queries, phone.National(p, j.c.Region))
	}
	for _, q := range queries {
		hits, err := crm.SearchContacts(ctx, q, amocrm.Update)
		if err != nil {
			return nil, err
		}
		for _, c := range hits {
			if j.sharesContact(c) && !slices.ContainsFunc(people, func(o event.Contact) bool { return o.ID == c.ID }) {
				people = append(people, c)
			}
		}
	}
	return people, nil
}

func (j *job) sharesContact(c event.Contact) bool {
	theirs := directoryKeys(c, j.c.Region)
	return slices.ContainsFunc(j.peopleKeys(), func(k string) bool { return slices.Contains(theirs, k) })
}

func (j *job) lookUpContact(ctx context.Context, ch event.Change, since int64) (amocrm.Result, bool, error) {
	list, err := newest(ctx, j, &j.c.Account.newest.contacts, since, j.since(ch), j.c.Account.CRM.NewestContacts)
	if err != nil {
		return amocrm.Result{}, false, err
	}
	field := marked(ch)
	res, found := j.amongContacts(ch, since, list)
	if found || !(len(list) >= manyNewest || (ch.Looks > 0 && field != 0)) {
		return res, found, nil
	}
	var hits []event.Contact
	if field != 0 {
		hits, err = j.crm().SearchContacts(ctx, ch.Marker, amocrm.Update)
	} else {
		hits, err = j.personInCRM(ctx)
	}
	if err != nil {
		return amocrm.Result{}, false, err
	}
	if res, found = j.amongContacts(ch, since, hits); found {
		return res, true, nil
	}
	return amocrm.Result{}, false, j.missing(ch, len(list))
}

// amongContacts finds the contact of a change among some.
func (j *job) amongContacts(ch event.Change, since int64, list []event.Contact) (amocrm.Result, bool) {
	field := marked(ch)
	for _, c := range list {
		same := field == 0 && j.sharesContact(c) || field != 0 && items.HasMarker(c.Fields[field].Text(), ch.Marker)
		if c.CreatedAt >= since && same && !j.taken(c.ID, ch) {
			return amocrm.Result{ID: c.ID, UpdatedAt: c.UpdatedAt}, true
		}
	}
	return amocrm.Result{}, false
}

// lookUpNote finds a call by its uniq, a note by its text, among those of its
// entity that are not in the ledger already.
func (j *job) lookUpNote(ctx context.Context, ch event.Change, since int64) (amocrm.Result, bool, error) {
	entity, eid, err := j.placeOf(ch)
	if err != nil {
		return amocrm.Result{}, false, nil
	}
	list, err := j.crm().NotesOf(ctx, entity, eid)
	if err != nil {
		return amocrm.Result{}, false, err
	}
	var like []candidate
	for _, n := range list {
		same := n.CreatedAt >= since && strings.TrimSpace(n.Text) == strings.TrimSpace(ch.Marker)
		if ch.Target == event.OnCall {
			same = n.Uniq == ch.Marker
		}
		if same {
			like = append(like, candidate{n.CreatedAt, n.ID})
		}
	}
	res, found := j.oldest(like, ch)
	return res, found, nil
}

func (j *job) lookUpTask(ctx context.Context, ch event.Change, since int64) (amocrm.Result, bool, error) {
	entity, eid, err := j.placeOf(ch)
	if err != nil {
		return amocrm.Result{}, false, nil
	}
	list, err := j.crm().TasksOf(ctx, entity, eid)
	if err != nil {
		return amocrm.Result{}, false, err
	}
	want, _ := itemOf(ch)["text"].(string)
	var like []candidate
	for _, t := range list {
		if t.CreatedAt >= since && t.Text == want {
			like = append(like, candidate{t.CreatedAt, t.ID})
		}
	}
	res, found := j.oldest(like, ch)
	return res, found, nil
}

// candidate is an entity that may be what a change in doubt made.
type candidate struct{ created, id int64 }

// oldest takes the first made of those that are not in the ledger already. Younger
// ones may be what an equal intent made that left later and is in doubt as well.
func (j *job) oldest(like []candidate, ch event.Change) (amocrm.Result, bool) {
	slices.SortFunc(like, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.created, b.created), cmp.Compare(a.id, b.id))
	})
	for _, c := range like {
		if !j.taken(c.id, ch) {
			return amocrm.Result{ID: c.id}, true
		}
	}
	return amocrm.Result{}, false
}

func (j *job) lookUpLink(ctx context.Context, ch event.Change) (amocrm.Result, bool, error) {
	cid := ch.AmoID
	if cid == 0 {
		cid = j.resolved(event.OnContact)
	}
	l, ok, err := j.crm().Lead(ctx, ch.EntityID)
	if err != nil || !ok {
		return amocrm.Result{}, false, err
	}
	return amocrm.Result{ID: ch.EntityID}, slices.Contains(l.ContactIDs, cid), nil
}

// taken reports whether the ledger already has this id for another change: two
// equal intents must not be settled by one entity.
func (j *job) taken(amoID int64, self event.Change) bool {
	holds := func(ev *event.Event) bool {
		return slices.ContainsFunc(ev.Changes, func(ch event.Change) bool {
			return ch.AmoID == amoID && ch.Key != self.Key && ch.Op == event.OpCreate && ch.Target == self.Target
		})
	}
	return holds(j.ev) || j.around(amoID, self, holds)
}

// crossed reports whether an equal note, call or task left after this one and may be on
// its way: what was found may be what that has made, and its answer will tell.
func (j *job) crossed(self event.Change) bool {
	return !isCore(self) && j.around(0, self, func(ev *event.Event) bool {
		return ev.Seq != j.seq && slices.ContainsFunc(ev.Changes, func(ch event.Change) bool {
			return ch.State == event.Sent && ch.Op == event.OpCreate && ch.Target == self.Target && ch.Marker == self.Marker &&
				ch.SentAt.After(self.SentAt) && j.c.Account.now().Sub(ch.SentAt) < onItsWay
		})
	})
}

// onItsWay is how long an answer may take.
const onItsWay = 30 * time.Second

// around reports whether is holds for one of the events that know an id or, for notes,
// calls and tasks, the card they stand on.
func (j *job) around(amoID int64, self event.Change, is func(*event.Event) bool) (found bool) {
	ids := []int64{amoID}
	if !isCore(self) {
		_, eid, err := j.placeOf(self)
		ids = []int64{eid}
		if err != nil {
			ids = nil
		}
	}
	filters := []store.Filter{{Client: j.client.ID, Limit: 200}}
	for _, n := range ids {
		filters = append(filters, store.Filter{AmoID: n, Limit: 200})
	}
	_ = j.d.store.View(func(tx *store.Tx) error { // what cannot be read is not there
		for _, conn := range j.d.siblings(j.c.Account) {
			for _, f := range filters {
				if f.Client == "" && f.AmoID == 0 {
					continue
				}
				f.Connection = conn
				evs, _, err := tx.Events(f)
				if err != nil {
					return err
				}
				found = found || slices.ContainsFunc(evs, is)
			}
		}
		return nil
	})
	return found
}
