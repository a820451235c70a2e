package delivery

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// clockSlack is how much older than its sending an entity may seem: amoCRM
// counts whole seconds, and its clock is known from Date headers only.
const clockSlack = 5 * time.Second

// resolveDoubts looks up every change that left and whose answer is not known:
// found → settled; not found twice, in_doubt_after apart → open again
// (product.md §8.2). A non-nil ending says it is too early, or cannot be told.
func (j *job) resolveDoubts(ctx context.Context) event.Ending {
	for i := range j.ev.Changes {
		ch := j.ev.Changes[i]
		if ch.State != event.Sent {
			continue
		}
		if at := j.lookable(ch); time.Now().Before(at) {
			return event.Snooze{Until: at, Why: "an answer was lost; it will be looked up"}
		}
		if end := j.resolveDoubt(ctx, i); end != nil {
			return end
		}
	}
	return nil
}

func (j *job) resolveDoubt(ctx context.Context, i int) event.Ending {
	release, err := j.lockPlace(ctx, j.ev.Changes[i])
	if err != nil {
		return ended(ctx, err)
	}
	defer release()
	res, with, found, err := j.lookUp(ctx, i)
	if err != nil {
		return ended(ctx, err)
	}
	if found {
		j.d.obs.InDoubt(j.c.Name, "found")
		j.landed(with, res)
		if err := j.checkpoint(ctx); err != nil {
			return ended(ctx, err)
		}
		return nil
	}
	j.mu.Lock()
	ch := &j.ev.Changes[i]
	ch.Looks++
	ch.LookedAt = time.Now()
	looks := ch.Looks
	j.mu.Unlock()
	if looks < 2 {
		j.d.obs.InDoubt(j.c.Name, "missing")
		return event.Snooze{Until: time.Now().Add(j.c.InDoubtAfter), Why: "an answer was lost; it will be looked up once more"}
	}
	j.d.obs.InDoubt(j.c.Name, "resent")
	j.mark(with, event.Open, "")
	return nil
}

// lockPlace keeps others from looking for notes, calls and tasks in the same
// place until what this one found is in the ledger: two equal intents must not
// both be settled by one entity. Whoever holds it waits for no other lock.
func (j *job) lockPlace(ctx context.Context, ch event.Change) (func(), error) {
	if isCore(ch) {
		return func() {}, nil
	}
	entity, eid, err := j.placeOf(ch)
	if err != nil { // there is no place, and nothing to be found
		return func() {}, nil
	}
	return j.c.Account.locks.lock(ctx, []string{"place:" + entity + ":" + id(eid)})
}

// wait says whether a person's contact must wait for that of another client with
// the same phone or e-mail, whose creation left and is not settled: its event
// holds no lock between attempts, and amoCRM's search does not know it yet.
func (j *job) wait(i int) event.Ending {
	if j.ev.Frozen || !j.createsContact(i) {
		return nil
	}
	waits := false
	err := j.d.store.View(func(tx *store.Tx) error {
		for _, conn := range j.d.siblings(j.c.Account) {
			for _, client := range j.namesakes(tx, conn) {
				waits = waits || (!(conn == j.c.Name && client == j.client.ID) && contactUnsettled(tx, conn, client))
			}
		}
		return nil
	})
	if err != nil {
		return event.Retry{Err: err}
	}
	if waits {
		return event.Snooze{Until: time.Now().Add(j.c.InDoubtAfter), Why: "another client with the same phone or e-mail is being made a contact"}
	}
	return nil
}

// createsContact reports whether writing the change makes a contact.
func (j *job) createsContact(i int) bool {
	ch := j.ev.Changes[i]
	if ch.Op == event.OpCreate && ch.Target == event.OnLead {
		c := j.change(event.OpCreate, event.OnContact)
		return c >= 0 && j.ev.Changes[c].State == event.Open
	}
	return ch.Op == event.OpCreate && ch.Target == event.OnContact
}

// namesakes lists the clients of a connection that share a phone or e-mail with
// the person of this event.
func (j *job) namesakes(tx *store.Tx, conn string) (clients []string) {
	phones, emails := j.people()
	for _, p := range phones {
		clients = append(clients, tx.ClientsByPhone(conn, p)...)
	}
	for _, e := range emails {
		clients = append(clients, tx.ClientsByEmail(conn, e)...)
	}
	return clients
}

// contactUnsettled reports whether the first event of a client's line has a
// frozen list with a contact to be made: it will be made, whatever comes.
func contactUnsettled(tx *store.Tx, conn, client string) bool {
	line := "c:" + client
	if chat, ok := strings.CutPrefix(client, "chat-"); ok {
		line = "k:" + chat
	}
	seq, ok := tx.Head(conn, line)
	if !ok {
		return false
	}
	ev, err := tx.Event(seq)
	return err == nil && ev.Frozen && slices.ContainsFunc(ev.Changes, func(ch event.Change) bool {
		return ch.Op == event.OpCreate && ch.Target == event.OnContact && (ch.State == event.Sent || ch.State == event.Open)
	})
}

// lookUp searches amoCRM for what a change in doubt would have made. with names
// the changes that stand or fall together.
func (j *job) lookUp(ctx context.Context, i int) (res amocrm.Result, with []int, found bool, err error) {
	ch := j.ev.Changes[i]
	with = []int{i}
	ahead := time.Until(j.c.Account.CRM.ServerTime()) // of our clock
	since := ch.SentAt.Add(ahead - clockSlack).Unix()
	switch {
	case ch.Op == event.OpCreate && ch.Target == event.OnLead:
		if c := j.change(event.OpCreate, event.OnContact); c >= 0 && j.ev.Changes[c].State == event.Sent {
			with = append(with, c)
		}
		res, found, err = j.lookUpLead(ctx, ch, since)
		if err == nil && !found && len(with) > 1 {
			return res, with, false, nil
		}
		return res, with, found, err
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

// lookUpLead finds the lead by its marker in the newest leads; without a marker
// field by its name and its contact's phone or e-mail, which is all there is.
func (j *job) lookUpLead(ctx context.Context, ch event.Change, since int64) (amocrm.Result, bool, error) {
	a := j.c.Account
	list, err := a.newest.leads.get(ctx, since, j.lookable(ch), a.CRM.NewestLeads)
	if err != nil {
		return amocrm.Result{}, false, err
	}
	field := j.markerField(leads)
	if field != 0 && ch.Looks > 0 { // the list did not have it: one more way to ask
		hits, err := j.c.Account.CRM.SearchLeads(ctx, ch.Marker)
		if err != nil {
			return amocrm.Result{}, false, err
		}
		list = append(slices.Clip(list), hits...)
	}
	item := itemOf(ch)
	for _, l := range list {
		if l.CreatedAt < since || j.taken(l.ID, ch) {
			continue
		}
		ok := field != 0 && amocrm.HasMarker(l.Fields[field].Text(), ch.Marker)
		if field == 0 {
			if ok, err = j.looksLike(ctx, l, item); err != nil {
				return amocrm.Result{}, false, err
			}
		}
		if ok {
			res := amocrm.Result{ID: l.ID, UpdatedAt: l.UpdatedAt, CompanyID: l.CompanyID}
			if len(l.ContactIDs) > 0 {
				res.ContactID = l.ContactIDs[0]
			}
			return res, true, nil
		}
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
	c, ok, err := j.c.Account.CRM.Contact(ctx, l.ContactIDs[0])
	if err != nil || !ok {
		return false, err
	}
	return j.sharesContact(c), nil
}

func (j *job) sharesContact(c event.Contact) bool {
	theirs := directoryKeys(c, j.c.Region)
	return slices.ContainsFunc(j.peopleKeys(), func(k string) bool { return slices.Contains(theirs, k) })
}

func (j *job) lookUpContact(ctx context.Context, ch event.Change, since int64) (amocrm.Result, bool, error) {
	a := j.c.Account
	list, err := a.newest.contacts.get(ctx, since, j.lookable(ch), a.CRM.NewestContacts)
	if err != nil {
		return amocrm.Result{}, false, err
	}
	field := j.markerField(contacts)
	if field != 0 && ch.Looks > 0 {
		hits, err := j.c.Account.CRM.SearchContacts(ctx, ch.Marker, amocrm.Update)
		if err != nil {
			return amocrm.Result{}, false, err
		}
		list = append(slices.Clip(list), hits...)
	}
	for _, c := range list {
		if c.CreatedAt < since || j.taken(c.ID, ch) {
			continue
		}
		if (field != 0 && amocrm.HasMarker(c.Fields[field].Text(), ch.Marker)) || (field == 0 && j.sharesContact(c)) {
			return amocrm.Result{ID: c.ID, UpdatedAt: c.UpdatedAt}, true, nil
		}
	}
	return amocrm.Result{}, false, nil
}

// lookUpNote finds a call by its uniq, a note by its text, among those of its
// entity that are not in the ledger already.
func (j *job) lookUpNote(ctx context.Context, ch event.Change, since int64) (amocrm.Result, bool, error) {
	entity, eid, err := j.placeOf(ch)
	if err != nil {
		return amocrm.Result{}, false, nil
	}
	list, err := j.c.Account.CRM.NotesOf(ctx, entity, eid)
	if err != nil {
		return amocrm.Result{}, false, err
	}
	for _, n := range list {
		if n.CreatedAt < since && ch.Target == event.OnNote {
			continue
		}
		same := n.Text == ch.Marker || strings.TrimSpace(n.Text) == strings.TrimSpace(ch.Marker)
		if ch.Target == event.OnCall {
			same = n.Uniq == ch.Marker
		}
		if same && !j.taken(n.ID, ch) {
			return amocrm.Result{ID: n.ID}, true, nil
		}
	}
	return amocrm.Result{}, false, nil
}

func (j *job) lookUpTask(ctx context.Context, ch event.Change, since int64) (amocrm.Result, bool, error) {
	entity, eid, err := j.placeOf(ch)
	if err != nil {
		return amocrm.Result{}, false, nil
	}
	list, err := j.c.Account.CRM.TasksOf(ctx, entity, eid)
	if err != nil {
		return amocrm.Result{}, false, err
	}
	want, _ := itemOf(ch)["text"].(string)
	for _, t := range list {
		if t.CreatedAt >= since && t.Text == want && !j.taken(t.ID, ch) {
			return amocrm.Result{ID: t.ID}, true, nil
		}
	}
	return amocrm.Result{}, false, nil
}

func (j *job) lookUpLink(ctx context.Context, ch event.Change) (amocrm.Result, bool, error) {
	cid := ch.AmoID
	if cid == 0 {
		cid = j.resolved(event.OnContact)
	}
	l, ok, err := j.c.Account.CRM.Lead(ctx, ch.EntityID)
	if err != nil || !ok {
		return amocrm.Result{}, false, err
	}
	return amocrm.Result{ID: ch.EntityID}, slices.Contains(l.ContactIDs, cid), nil
}

// taken reports whether the ledger already has this id for another change: two
// equal intents must not be settled by one entity. Looked through are the events
// that know the id itself or, for notes, calls and tasks, the card they stand on.
func (j *job) taken(amoID int64, self event.Change) bool {
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
	holds := func(ev *event.Event) bool {
		return slices.ContainsFunc(ev.Changes, func(ch event.Change) bool {
			return ch.AmoID == amoID && ch.Key != self.Key && ch.Op == event.OpCreate && ch.Target == self.Target
		})
	}
	taken := holds(j.ev)
	_ = j.d.store.View(func(tx *store.Tx) error { // what cannot be read is not taken
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
				taken = taken || slices.ContainsFunc(evs, holds)
			}
		}
		return nil
	})
	return taken
}
