package delivery

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/items"
	"github.com/jivo-amocrm/bridge/internal/crashpoint"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// maxMends bounds how many refused fields of one item are taken out before the
// item itself counts as refused.
const maxMends = 12

// apply carries out the change list: what may have landed is looked up, contact
// and lead are settled, then the line goes on and notes, calls and tasks follow,
// each for itself.
func (j *job) apply(ctx context.Context) event.Ending {
	if end := j.resolveDoubts(ctx); end != nil {
		return end
	}
	if j.resumed && j.ev.Replays > 0 && unmade(j.ev) {
		return j.startOver("what was in doubt is not there; mapped anew")
	}
	for _, i := range j.core() {
		if end := j.carry(ctx, i); end != nil {
			return end
		}
	}
	if len(j.rest()) == 0 {
		return j.finished()
	}
	if end := j.detach(ctx); end != nil {
		return end
	}
	var worst event.Ending
	for _, i := range j.rest() {
		switch end := j.carry(ctx, i); end.(type) {
		case nil:
		case event.Snooze, event.Cut:
			return end // the account's trouble, or the end: the others would fare no better
		default:
			if !j.ev.Frozen {
				return end // to be mapped anew: the list is another one by now
			}
			if _, again := worst.(event.Retry); !again {
				worst = end // as long as one of them may still succeed, the event lives
			}
		}
	}
	if worst != nil {
		return worst
	}
	return j.finished()
}

// finished is the ending of an event of whose changes none is left to be made. One
// that is not settled must never be forgotten, whatever brought that about; nor one
// that was refused, if at an earlier attempt.
func (j *job) finished() event.Ending {
	if slices.ContainsFunc(j.ev.Changes, func(ch event.Change) bool { return ch.State == event.Sent || ch.State == event.Open }) {
		return event.Snooze{Until: time.Now().Add(j.c.InDoubtAfter), Why: "not everything is settled yet"}
	}
	if i := slices.IndexFunc(j.ev.Changes, isRefused); i >= 0 {
		return j.refuse([]int{i}, j.ev.Changes[i].Error)
	}
	return event.Finished{}
}

// core lists the open changes of contact, lead and their links, in the order
// they must happen; rest lists the others.
func (j *job) core() []int { return j.open(true) }
func (j *job) rest() []int { return j.open(false) }

func (j *job) open(core bool) (out []int) {
	for i, ch := range j.ev.Changes {
		if ch.State == event.Open && isCore(ch) == core {
			out = append(out, i)
		}
	}
	if core { // creates, then updates, then links
		slices.SortStableFunc(out, func(a, b int) int { return rank(j.ev.Changes[a]) - rank(j.ev.Changes[b]) })
	}
	return out
}

func isCore(ch event.Change) bool {
	return ch.Target == event.OnContact || ch.Target == event.OnLead || ch.Target == event.OnCompany
}

// isRefused reports whether a note, call or task was given up for good. A company may
// be (dropCompany): contact and lead go through without.
func isRefused(ch event.Change) bool {
	return ch.State == event.Dropped && ch.Error != displaced && !isCore(ch)
}

func rank(ch event.Change) int {
	switch {
	case ch.Op == event.OpCreate && ch.Target == event.OnLead:
		return 0 // takes a contact to be made along
	case ch.Op == event.OpCreate:
		return 1
	case ch.Op == event.OpUpdate:
		return 2
	}
	return 3
}

// detach writes down that contact and lead are settled, so that the client's
// next event need not wait for notes and tasks.
func (j *job) detach(ctx context.Context) event.Ending {
	j.mu.Lock()
	if j.ev.Detached {
		j.mu.Unlock()
		j.release() // what is left touches neither contact nor lead
		return nil
	}
	j.ev.Detached, j.ev.Frozen = true, true
	err := j.save(ctx)
	j.mu.Unlock()
	if err != nil {
		return ended(ctx, err)
	}
	j.release()
	j.d.leaveLine(j)
	j.d.announce(j.seq)
	return nil
}

// carry brings one open change to amoCRM and records what came of it.
func (j *job) carry(ctx context.Context, i int) event.Ending {
	for range maxMends {
		if j.ev.Changes[i].State != event.Open {
			return nil // settled together with an earlier one
		}
		if end := j.wait(i); end != nil {
			return end
		}
		w, with, err := j.write(ctx, i)
		if errors.Is(err, errNothing) {
			j.mark(with, event.Settled, "")
			return nil
		}
		if errors.Is(err, errThere) {
			j.landed(with, amocrm.Result{})
			return nil
		}
		if err != nil {
			return ended(ctx, err)
		}
		res, err := j.crm().Write(ctx, w)
		if err == nil {
			crashpoint.At("before-record")
			j.landed(with, res)
			return nil
		}
		end, again := j.failed(ctx, i, with, err)
		if !again {
			return end
		}
	}
	return j.refuse([]int{i}, "amoCRM refused it field after field")
}

// failed turns the error of a write into an ending. again says the item was
// mended and is to be tried once more.
func (j *job) failed(ctx context.Context, i int, with []int, err error) (end event.Ending, again bool) {
	var notSent *amocrm.NotSent
	var doubt *amocrm.InDoubt
	var refused *amocrm.Refused
	switch {
	case errors.As(err, &refused):
		j.mark(with, event.Open, refused.Error())
		if gone, e := j.gone(ctx, i, refused); gone || e != nil {
			return e, false
		}
		if j.ev.Changes[i].Target == event.OnCompany {
			j.dropCompany(i, refused)
			return nil, false
		}
		end, dropped := j.withoutCompany(i, refused)
		if end != nil {
			return end, false
		}
		if j.mend(i, refused) || dropped {
			j.c.Account.Doubtful()
			return nil, true
		}
		return j.refuse(with, refused.Error()), false
	case errors.As(err, &notSent):
		j.mark(with, event.Open, "")
		if ctx.Err() != nil {
			return event.Cut{}, false
		}
		return snooze(notSent), false
	case errors.As(err, &doubt):
		j.inDoubt(with, doubt)
		if ctx.Err() != nil {
			return event.Cut{}, false
		}
		if doubt.Own { // the item's own trouble: an attempt is burnt
			return event.Retry{Err: err}, false
		}
		return event.Snooze{Until: time.Now().Add(j.c.InDoubtAfter), Why: "in doubt: " + string(doubt.Trouble)}, false
	}
	j.mark(with, event.Open, "")
	return ended(ctx, err), false
}

// mark sets the state of changes; the next save writes it down. A change that
// is open again leaves the list as frozen as it was.
func (j *job) mark(idx []int, s event.ChangeState, why string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, i := range idx {
		ch := &j.ev.Changes[i]
		ch.State, ch.Error = s, why
	}
	j.ev.Frozen = j.ev.Frozen || s != event.Open
}

func (j *job) inDoubt(idx []int, d *amocrm.InDoubt) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, i := range idx {
		ch := &j.ev.Changes[i]
		ch.State, ch.Error = event.Sent, "in doubt: "+string(d.Trouble)
		if ch.SentAt.IsZero() {
			ch.SentAt = d.SentAt
		}
		j.doubtContact(*ch)
	}
	j.ev.Frozen = true
}

// doubtContact keeps everybody else from writing to a contact while an update of it
// is in doubt (outlast), and has it read before: phones and e-mails are written as a
// whole, so the one would take away what the other brings. The caller holds j.mu.
func (j *job) doubtContact(ch event.Change) {
	if ch.Op != event.OpUpdate || ch.Target != event.OnContact {
		return
	}
	j.effects = append(j.effects, func(tx *store.Tx) error { return j.doubtCard(tx, ch.EntityID) })
}

func (j *job) doubtCard(tx *store.Tx, contactID int64) error {
	return j.contactCards(tx, contactID, func(c *event.ContactCard) { c.Contact.ID, c.Dirty, c.Doubt = contactID, true, j.seq })
}

// refuse gives changes up for good: the event is dead until somebody replays it.
func (j *job) refuse(idx []int, why string) event.Ending {
	j.mark(idx, event.Dropped, why)
	return event.Kill{Reason: event.Refused, Detail: why}
}

// write makes the request item of a change, and names the changes that it
// settles: a new lead takes the new contact along.
func (j *job) write(ctx context.Context, i int) (w amocrm.Write, with []int, err error) {
	ch := j.ev.Changes[i]
	w = amocrm.Write{Entity: ch.EntityType, EntityID: ch.EntityID, Item: ch.Item, Keys: []string{ch.Key}, Priority: amocrm.Update}
	with = []int{i}
	switch {
	case ch.Op == event.OpCreate && ch.Target == event.OnLead:
		return j.writeLead(ctx, i)
	case ch.Op == event.OpCreate && ch.Target == event.OnContact:
		w.Endpoint, w.Entity, w.EntityID, w.Priority = amocrm.PostContacts, "", 0, amocrm.NewLead
		w.Exclusive = j.peopleKeys()
	case ch.Op == event.OpUpdate && ch.Target == event.OnContact:
		w.Endpoint, w.Entity = amocrm.PatchContacts, ""
		if j.resumed || !ch.SentAt.IsZero() {
			if w.Item, err = j.withAdded(ctx, ch.EntityID, ch.Item); err != nil {
				return w, with, err
			}
			j.mu.Lock()
			j.ev.Changes[i].Item = w.Item
			j.mu.Unlock()
		}
	case ch.Op == event.OpUpdate && ch.Target == event.OnLead:
		w.Endpoint, w.Entity = amocrm.PatchLeads, ""
	case ch.Op == event.OpLink && ch.Target == event.OnContact:
		return j.writeLink(i)
	case ch.Op == event.OpCreate && ch.Target == event.OnCompany:
		return j.writeCompany(ctx, i)
	case ch.Op == event.OpLink && ch.Target == event.OnCompany:
		return j.writeCompanyLink(i)
	case ch.Target == event.OnNote, ch.Target == event.OnCall:
		w.Endpoint, w.Priority = amocrm.PostNotes, amocrm.NoteTask
		if ch.Op == event.OpUpdate {
			w.Endpoint = amocrm.PatchNotes
		} else if w.Entity, w.EntityID, err = j.placeOf(ch); err != nil {
			return w, with, err
		}
	case ch.Target == event.OnTask:
		w.Endpoint, w.Priority = amocrm.PostTasks, amocrm.NoteTask
		if ch.Op == event.OpUpdate {
			w.Endpoint = amocrm.PatchTasks
			break
		}
		entity, eid, err := j.placeOf(ch)
		if err != nil {
			return w, with, err
		}
		w.Entity, w.EntityID = "", 0
		w.Item, err = withFields(ch.Item, map[string]any{"entity_type": entity, "entity_id": eid})
		if err != nil {
			return w, with, err
		}
	}
	return w, with, nil
}

// writeLead makes a leads/complex item: the lead, with the contact to be made
// or the one that is known.
func (j *job) writeLead(ctx context.Context, i int) (w amocrm.Write, with []int, err error) {
	ch := j.ev.Changes[i]
	with = []int{i}
	var lead map[string]any
	if err := json.Unmarshal(ch.Item, &lead); err != nil {
		return w, with, err
	}
	keys := []string{ch.Key}
	contact := items.Party{ID: j.resolved(event.OnContact)}
	company := items.Party{}
	if c := j.change(event.OpCreate, event.OnContact); c >= 0 && j.ev.Changes[c].State == event.Open {
		cc := j.ev.Changes[c]
		if err := json.Unmarshal(cc.Item, &contact.Item); err != nil {
			return w, with, err
		}
		contact.ID = 0
		if company, err = j.company(ctx, cc.Jivo); err != nil {
			return w, with, err
		}
		keys = append(keys, cc.Key)
		with = append(with, c)
	}
	raw, err := json.Marshal(items.Complex(lead, contact, company))
	if err != nil {
		return w, with, err
	}
	return amocrm.Write{Endpoint: amocrm.ComplexLeads, Item: raw, Keys: keys, Exclusive: j.peopleKeys(), Priority: amocrm.NewLead}, with, nil
}

func (j *job) writeLink(i int) (w amocrm.Write, with []int, err error) {
	ch := j.ev.Changes[i]
	cid := ch.AmoID
	if cid == 0 {
		cid = j.resolved(event.OnContact)
	}
	if cid == 0 {
		return w, []int{i}, errNothing
	}
	if tied, err := j.tied(ch.EntityID, cid); err != nil || tied {
		return w, []int{i}, cmp.Or(err, errThere)
	}
	raw, err := json.Marshal(items.Link(ch.EntityID, contacts, cid, !isBeside(ch)))
	return amocrm.Write{Endpoint: amocrm.LinkLeads, EntityID: ch.EntityID, Item: raw, Keys: []string{ch.Key}, Priority: amocrm.Update}, []int{i}, err
}

// placeOf is the entity a note, call or task goes to, now that contact and lead
// are settled.
func (j *job) placeOf(ch event.Change) (entity string, entityID int64, err error) {
	if ch.EntityID != 0 {
		return ch.EntityType, ch.EntityID, nil
	}
	target := event.OnLead
	if ch.EntityType == contacts {
		target = event.OnContact
	}
	if n := j.resolved(target); n != 0 {
		return ch.EntityType, n, nil
	}
	return "", 0, errNothing
}

// resolved is the contact or lead this event came to: made by it, or found.
func (j *job) resolved(target event.Target) int64 {
	if i := j.change(event.OpCreate, target); i >= 0 && j.ev.Changes[i].AmoID != 0 {
		return j.ev.Changes[i].AmoID
	}
	m := j.ev.Contact
	if target == event.OnLead {
		m = j.ev.Lead
	}
	if m != nil && m.ID != 0 {
		return m.ID
	}
	if target == event.OnContact {
		return j.client.ContactID
	}
	return 0
}

// change returns the place of the newest change with this operation and target, -1 if none.
func (j *job) change(op event.Op, target event.Target) int {
	for i := len(j.ev.Changes) - 1; i >= 0; i-- {
		if j.ev.Changes[i].Op == op && j.ev.Changes[i].Target == target {
			return i
		}
	}
	return -1
}

// withFields sets fields of a wire item.
func withFields(item json.RawMessage, fields map[string]any) (json.RawMessage, error) {
	m := map[string]any{}
	if len(item) > 0 {
		if err := json.Unmarshal(item, &m); err != nil {
			return nil, err
		}
	}
	for k, v := range fields {
		m[k] = v
	}
	return json.Marshal(m)
}
