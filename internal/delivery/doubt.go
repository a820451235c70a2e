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
		since := ch.SentAt
		if ch.LookedAt.After(since) {
			since = ch.LookedAt
		}
		if at := since.Add(j.c.InDoubtAfter); time.Now().Before(at) {
			return event.Snooze{Until: at, Why: "an answer was lost; it will be looked up"}
		}
		if end := j.resolveDoubt(ctx, i); end != nil {
			return end
		}
	}
	return nil
}

func (j *job) resolveDoubt(ctx context.Context, i int) event.Ending {
	res, with, found, err := j.lookUp(ctx, i)
	if err != nil {
		return ended(ctx, err)
	}
	if found {
		j.d.obs.InDoubt(j.c.Name, "found")
		j.landed(with, res)
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

// lookUp searches amoCRM for what a change in doubt would have made. with names
// the changes that stand or fall together.
func (j *job) lookUp(ctx context.Context, i int) (res amocrm.Result, with []int, found bool, err error) {
	ch := j.ev.Changes[i]
	with = []int{i}
	since := ch.SentAt.Add(j.c.Account.CRM.ServerTime().Sub(time.Now())).Add(-clockSlack).Unix()
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
	list, err := j.c.Account.CRM.NewestLeads(ctx, since)
	if err != nil {
		return amocrm.Result{}, false, err
	}
	field := j.markerField(leads)
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
			res := amocrm.Result{ID: l.ID, UpdatedAt: l.UpdatedAt}
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
	if name, _ := item["name"].(string); name != l.Name || len(l.ContactIDs) == 0 {
		return false, nil
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
	list, err := j.c.Account.CRM.NewestContacts(ctx, since)
	if err != nil {
		return amocrm.Result{}, false, err
	}
	field := j.markerField(contacts)
	for _, c := range list {
		if c.CreatedAt < since {
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
	cid := j.resolved(event.OnContact)
	l, ok, err := j.c.Account.CRM.Lead(ctx, ch.EntityID)
	if err != nil || !ok {
		return amocrm.Result{}, false, err
	}
	return amocrm.Result{ID: ch.EntityID}, slices.Contains(l.ContactIDs, cid), nil
}

// taken reports whether the ledger already has this id for another change: two
// equal intents must not be settled by one entity.
func (j *job) taken(amoID int64, self event.Change) bool {
	taken := false
	_ = j.d.store.View(func(tx *store.Tx) error {
		evs, _, err := tx.Events(store.Filter{Connection: j.c.Name, AmoID: amoID, Limit: 50})
		if err != nil {
			return err
		}
		more, _, err := tx.Events(store.Filter{Connection: j.c.Name, Client: j.client.ID, Limit: 200})
		if err != nil {
			return err
		}
		for _, ev := range append(evs, more...) {
			for _, ch := range ev.Changes {
				taken = taken || (ch.AmoID == amoID && ch.Key != self.Key && ch.Op == event.OpCreate && ch.Target == self.Target)
			}
		}
		return nil
	})
	return taken
}
