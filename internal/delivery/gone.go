package delivery

import (
	"context"
	"slices"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// gone recognises a refusal whose cause is that the linked contact or lead is no
// longer there: the links are dropped and the event is mapped anew.
func (j *job) gone(ctx context.Context, i int, r *amocrm.Refused) (bool, event.Ending) {
	ch := j.ev.Changes[i]
	suspects := strings.Contains(r.Path, "contacts.0.id") || strings.Contains(r.Path, "entity_id") || r.Path == "id" || r.Status == 404 || strings.Contains(r.Detail, "not found")
	if !suspects {
		return false, nil
	}
	cid, lid := j.resolved(event.OnContact), j.resolved(event.OnLead)
	if ch.Op == event.OpCreate && (ch.Target == event.OnLead || ch.Target == event.OnContact) {
		lid = 0
	}
	missing := map[event.Target]int64{}
	if cid != 0 {
		if _, ok, err := j.crm().Contact(ctx, cid); err != nil {
			return true, ended(ctx, err)
		} else if !ok {
			j.dropContact(cid)
			missing[event.OnContact] = cid
		}
	}
	if lid != 0 {
		if l, ok, err := j.crm().Lead(ctx, lid); err != nil {
			return true, ended(ctx, err)
		} else if !ok || l.Deleted {
			j.effect(func(tx *store.Tx) error { return DropLead(tx, j.c.Name, lid) })
			missing[event.OnLead] = lid
		}
	}
	if len(missing) == 0 {
		return false, nil
	}
	j.warn("what this event was linked to is gone from amoCRM; it was mapped anew")
	j.unfreeze(missing)
	return true, event.Retry{Err: r}
}

// displaced is the Error of a note, call or task that has lost its place and waits
// for another: mapping the event anew may not ask for it again, for what it tells,
// such as how far a transcript went, is remembered as told.
const displaced = "what it was to stand on is gone"

// unfreeze has the event mapped anew: what was to be written of contact and lead is
// forgotten, and so is that it made what is missing; notes, calls and tasks that
// are not there yet keep waiting for their place.
func (j *job) unfreeze(missing map[event.Target]int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ev.Frozen, j.ev.Detached, j.learned = false, false, len(j.effects)
	j.ev.Changes = slices.DeleteFunc(j.ev.Changes, func(ch event.Change) bool {
		made := ch.Op == event.OpCreate && ch.AmoID != 0 && ch.AmoID == missing[ch.Target]
		return made || ch.State == event.Open && (isCore(ch) || ch.Op != event.OpCreate)
	})
	for i := range j.ev.Changes {
		if ch := &j.ev.Changes[i]; ch.State == event.Open {
			ch.State, ch.Error = event.Dropped, displaced
		}
	}
	for target, m := range map[event.Target]*event.Match{event.OnContact: j.ev.Contact, event.OnLead: j.ev.Lead} {
		if m != nil && m.ID != 0 && m.ID == missing[target] {
			*m = event.Match{}
		}
	}
}

// placed finds another place for what was displaced, unless it is asked for anew.
func (b *builder) placed(ctx context.Context) error {
	for _, ch := range b.j.ev.Changes {
		replayed := ch.State == event.Open && ch.Op == event.OpCreate && !isCore(ch) // dead while it waited, then replayed
		if ch.Error != displaced && !replayed || slices.ContainsFunc(b.list, func(o event.Change) bool { return o.Key == ch.Key }) {
			continue
		}
		to := "lead"
		if ch.EntityType == contacts {
			to = "contact"
		}
		entity, eid, ok, err := b.place(ctx, to, string(ch.Target))
		if err != nil {
			return err
		}
		if ok {
			again := event.Change{EntityType: entity, EntityID: eid, Marker: ch.Marker, Jivo: ch.Jivo, Item: ch.Item, Error: displaced}
			again.Key, again.Op, again.Target, again.Rule, again.State = ch.Key, ch.Op, ch.Target, ch.Rule, event.Open
			b.list = append(b.list, again)
		}
	}
	return nil
}
