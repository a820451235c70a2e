package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/items"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/mapping"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// builder makes the change list of one event out of what is wanted and what
// was found. The list freezes with the first change sent.
type builder struct {
	j    *job
	f    *found
	sh   *items.Shaper
	list []event.Change
	skip *event.Skip // why something wanted was left out
}

// changes says what must be written for want, given what was found. skip is the
// reason to give if that turns out to be nothing at all.
func (j *job) changes(ctx context.Context, in *mapping.Input, f *found, want event.Desired) ([]event.Change, *event.Skip, error) {
	b := &builder{j: j, f: f, sh: j.c.Shaper(j.c.Account.Dict())}
	if err := b.contact(ctx, want.Contact); err != nil {
		return nil, nil, err
	}
	b.lead(want.Lead)
	b.company(want.Contact)
	if err := b.link(ctx); err != nil {
		return nil, nil, err
	}
	for _, n := range want.Notes {
		if err := b.note(ctx, n); err != nil {
			return nil, nil, err
		}
	}
	for _, c := range want.Calls {
		if err := b.call(ctx, c); err != nil {
			return nil, nil, err
		}
	}
	for _, t := range want.Tasks {
		if err := b.task(ctx, t); err != nil {
			return nil, nil, err
		}
	}
	if err := b.placed(ctx); err != nil {
		return nil, nil, err
	}
	return b.list, b.skip, nil
}

// add appends a change; item may be nil for one whose item is made when it leaves.
func (b *builder) add(op event.Op, target event.Target, rule string, item map[string]any, ch event.Change) {
	ch.Key, ch.Op, ch.Target, ch.Rule, ch.State = keyOf(b.j.seq, op, target, rule), op, target, rule, event.Open
	if item != nil {
		raw, err := json.Marshal(item)
		if err != nil { // values are strings, numbers and maps of them
			b.j.warn("%s %s could not be written down: %v", op, target, err)
			return
		}
		ch.Item = raw
	}
	b.list = append(b.list, ch)
}

func (b *builder) has(op event.Op, target event.Target) bool {
	return slices.ContainsFunc(b.list, func(ch event.Change) bool { return ch.Op == op && ch.Target == target })
}

// makes reports whether the change list has a create of this target.
func (j *job) makes(target event.Target) bool {
	return slices.ContainsFunc(j.ev.Changes, func(ch event.Change) bool { return ch.Op == event.OpCreate && ch.Target == target })
}

// warnings passes the shaper's complaints on: to the event for people, by name
// to the gauge of unresolved names.
func (b *builder) warnings(ws []items.Warning) {
	for _, w := range ws {
		b.j.warn("%s", w.Text)
		if w.Name != "" {
			b.j.d.obs.Unresolved(b.j.c.Name, b.j.seq, w.Name)
		}
	}
}

func (b *builder) contact(ctx context.Context, want *event.Entity) error {
	if want == nil {
		return nil
	}
	j := b.j
	if b.f.contact != nil {
		w, wrote := b.timely(want, b.f.contact.Wrote)
		w.Emails = slices.DeleteFunc(slices.Clone(w.Emails), func(e string) bool { return b.f.foreign[strings.ToLower(strings.TrimSpace(e))] })
		item, ws := b.sh.Contact(&w, &b.f.contact.Contact, wrote, j.clientMarkers())
		if slices.ContainsFunc(ws, func(w items.Warning) bool { return w.Kind == items.WarnUnread }) {
			// A hook told too little of it to add a phone beside what is there.
			fresh, err := j.readContact(ctx, b.f.contact.Contact.ID, *b.f.contact)
			if err != nil {
				return err
			}
			if fresh != nil {
				b.f.contact = fresh
				_, wrote = b.timely(want, fresh.Wrote)
				item, ws = b.sh.Contact(&w, &fresh.Contact, wrote, j.clientMarkers())
			}
		}
		b.warnings(ws)
		if item != nil {
			b.add(event.OpUpdate, event.OnContact, "", item, event.Change{EntityType: contacts, EntityID: b.f.contact.Contact.ID})
		}
		if w.Company != "" && (b.f.contact.Contact.CompanyID == 0 || slices.Contains(w.Changed, "company")) && w.Update != event.Never {
			b.join(w.Company, b.f.contact.Contact.ID)
		}
		return nil
	}
	if !want.Create || (!j.client.Described && len(want.Phones) == 0 && len(want.Emails) == 0) {
		return nil
	}
	item, ws := b.sh.Contact(want, nil, nil, j.clientMarkers())
	b.warnings(ws)
	if item == nil {
		item = map[string]any{}
	}
	b.add(event.OpCreate, event.OnContact, "", item, event.Change{EntityType: contacts, Marker: j.clientMarker(), Jivo: want.Company})
	return nil
}

// join has a contact, the one this event makes if contactID is 0, stand in the
// company of this name, or in the one the operator linked.
func (b *builder) join(name string, contactID int64) {
	company := map[string]any{"name": name}
	b.add(event.OpCreate, event.OnCompany, "", company, event.Change{EntityType: companies, Marker: name})
	b.add(event.OpLink, event.OnCompany, "", company, event.Change{EntityType: contacts, EntityID: contactID})
}

// company has a new contact stand in its company. With a new lead it comes along
// (writeLead); alone it takes requests of its own.
func (b *builder) company(want *event.Entity) {
	if want == nil || !b.has(event.OpCreate, event.OnContact) || b.has(event.OpCreate, event.OnLead) {
		return
	}
	if want.Company != "" || b.j.client.CompanyID != 0 {
		b.join(want.Company, 0)
	}
}

// timely is what may be written to an entity that was found, and what there counts
// as the bridge's own: an event that is outdated fills what is empty, no more.
func (b *builder) timely(want *event.Entity, wrote map[string]string) (event.Entity, map[string]string) {
	w := *want
	if !b.j.outdated() {
		return w, wrote
	}
	if w.Update == event.Overwrite {
		w.Update = event.Fill
	}
	w.Changed = nil
	return w, nil
}

func (b *builder) lead(want *event.Entity) {
	if want == nil {
		return
	}
	j := b.j
	if b.f.lead != nil {
		w, wrote := b.timely(want, b.f.lead.Wrote)
		item, ws := b.sh.Lead(&w, &b.f.lead.Lead, wrote, j.leadMarkers())
		b.warnings(ws)
		ch := event.Change{EntityType: leads, EntityID: b.f.lead.Lead.ID}
		if item != nil {
			b.add(event.OpUpdate, event.OnLead, "", item, ch)
		} else {
			b.linkLead(b.f.lead.Lead)
		}
		return
	}
	if !want.Create {
		return
	}
	item, ws := b.sh.Lead(want, nil, nil, j.leadMarkers())
	b.warnings(ws)
	if item == nil {
		item = map[string]any{}
	}
	b.add(event.OpCreate, event.OnLead, "", item, event.Change{EntityType: leads, Marker: j.leadMarker()})
}

// linkLead has the store tie a found lead to the client, chat and deal, where
// nothing has to be written to amoCRM.
func (b *builder) linkLead(l event.Lead) {
	b.j.effect(func(tx *store.Tx) error { return b.j.tie(tx, l.ID, "found", false) })
}

func (b *builder) note(ctx context.Context, n event.Note) error {
	entity, eid, ok, err := b.place(ctx, n.To, "note")
	if err != nil || !ok {
		return err
	}
	parts := items.Split(n.Text, b.j.c.NoteLimit)
	for i, text := range parts {
		rule := n.Key
		if len(parts) > 1 {
			rule = fmt.Sprintf("%s/%d", n.Key, i+1)
		}
		b.add(event.OpCreate, event.OnNote, rule, b.sh.Note(text, n.Service), event.Change{EntityType: entity, EntityID: eid, Marker: text})
	}
	return nil
}

// place is where a note, call or task goes; if nowhere, the skip says so.
func (b *builder) place(ctx context.Context, to, what string) (string, int64, bool, error) {
	entity, eid, ok, err := b.j.target(ctx, to, b.f, b.has(event.OpCreate, event.OnContact), b.has(event.OpCreate, event.OnLead))
	if err == nil && !ok {
		b.skip = &event.Skip{Reason: event.NoTarget, Detail: "no lead and no contact to put the " + what + " on"}
		b.j.warn("no_target: the %s had no lead and no contact to go to", what)
	}
	return entity, eid, ok, err
}

func (b *builder) call(ctx context.Context, c event.Call) error {
	entity, eid, ok, err := b.place(ctx, c.To, "call")
	if err != nil || !ok {
		return err
	}
	uniq := fmt.Sprintf("jv-%s-%d", c.Chat, c.N)
	owner, ws := b.owner()
	b.warnings(ws)
	item := b.sh.Call(c, uniq, owner)
	if c.LateAsset && c.Chat != "" {
		if log := b.j.callLog(c.N); log != nil && log.NoteID != 0 {
			b.add(event.OpUpdate, event.OnCall, c.Key, item, event.Change{EntityType: log.NoteOn, EntityID: log.NoteID, Marker: uniq})
			return nil
		}
	}
	b.add(event.OpCreate, event.OnCall, c.Key, item, event.Change{EntityType: entity, EntityID: eid, Marker: uniq, Jivo: fmt.Sprint(c.N)})
	if c.CallBack != "" {
		return b.task(ctx, event.TaskChange{Key: c.Key + "/call back", Op: event.TaskCreate, To: c.To, Text: c.CallBack, DueIn: time.Hour, Once: true, Responsible: b.j.agentOf()})
	}
	return nil
}

// owner is the amoCRM user a call is counted for: the lead's or contact's
// responsible, else whom the event's agent maps to.
func (b *builder) owner() (int64, []items.Warning) {
	if b.f.lead != nil && b.f.lead.Lead.ResponsibleID != 0 {
		return b.f.lead.Lead.ResponsibleID, nil
	}
	if b.f.contact != nil && b.f.contact.Contact.ResponsibleID != 0 {
		return b.f.contact.Contact.ResponsibleID, nil
	}
	return b.responsible(b.j.agentOf())
}

func (b *builder) responsible(want string) (int64, []items.Warning) {
	if want == "" {
		return 0, nil
	}
	return b.sh.Responsible(want)
}

// agentOf is the agent the event names: its own, else the client's responsible.
func (j *job) agentOf() string {
	for _, path := range [][]string{{"agent", "email"}, {"assigned_agent", "email"}} {
		if s := text(j.msg.Fields, path...); s != "" {
			return s
		}
	}
	return j.client.Responsible.Email
}

func (b *builder) task(ctx context.Context, t event.TaskChange) error {
	j := b.j
	if t.Op != event.TaskCreate {
		if j.task == nil || j.task.AmoID == 0 {
			if t.Op == event.TaskComplete {
				b.skip = &event.Skip{Reason: event.NoTarget, Detail: "the task was never made in amoCRM"}
				return nil
			}
			t.Op = event.TaskCreate // changed before it was known: make it as it is now
		} else {
			owner, ws := b.responsible(t.Responsible)
			b.warnings(ws)
			item := b.sh.TaskPatch(t, t.Due, owner)
			if item != nil {
				b.add(event.OpUpdate, event.OnTask, t.Key, item, event.Change{EntityID: j.task.AmoID, Jivo: t.Jivo})
			}
			return nil
		}
	}
	entity, eid, ok, err := b.place(ctx, t.To, "task")
	if err != nil || !ok {
		return err
	}
	if t.Once && eid != 0 {
		open, err := b.stillOpen(ctx, entity, eid, t.Key)
		if err != nil || open {
			return err
		}
	}
	owner, ws := b.responsible(t.Responsible)
	b.warnings(ws)
	item := b.sh.Task(t, j.due(t), owner, entity, eid)
	ch := event.Change{EntityType: entity, EntityID: eid, Jivo: t.Jivo, Marker: t.Text}
	b.add(event.OpCreate, event.OnTask, t.Key, item, ch)
	return nil
}

// due is when a task is due. One whose time has passed on late delivery counts
// from delivery.
func (j *job) due(t event.TaskChange) time.Time {
	now := time.Now()
	if !t.Due.IsZero() {
		if t.Due.Before(now) && t.Op == event.TaskCreate && t.Jivo == "" {
			return j.c.Hours.Add(now.In(j.c.Location), t.DueIn)
		}
		return t.Due
	}
	due := j.c.Hours.Add(j.ev.ReceivedAt.In(j.c.Location), t.DueIn)
	if due.Before(now) {
		due = j.c.Hours.Add(now.In(j.c.Location), t.DueIn)
	}
	return due
}

// stillOpen reports whether the task this rule last made on the entity is still
// open there, or another event is about to make it.
func (b *builder) stillOpen(ctx context.Context, entity string, entityID int64, rule string) (bool, error) {
	j := b.j
	if soon, err := b.underWay(entity, entityID, rule); err != nil || soon {
		return soon, err
	}
	var made string
	err := j.d.store.View(func(tx *store.Tx) (err error) {
		made, _, err = store.Get[string](tx, store.Positions, store.Key(j.c.Name, "rule", entity, id(entityID), rule))
		return err
	})
	if err != nil || made == "" {
		return false, err
	}
	tasks, err := j.crm().TasksOf(ctx, entity, entityID)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(tasks, func(t event.Task) bool { return id(t.ID) == made && !t.Completed }), nil
}

// clientMarkers and leadMarkers are the tokens an entity of this event carries;
// leadMarker is the one that tells this lead from the client's others.
func (j *job) clientMarkers() string { return j.clientMarker() }

func (j *job) leadMarkers() string {
	tokens := []string{j.clientMarker()}
	if j.msg.Chat != "" {
		tokens = append(tokens, items.ChatToken(j.msg.Chat, j.c.Name))
	}
	if j.deal != nil {
		tokens = append(tokens, items.DealToken(j.deal.ID, j.c.Name))
	}
	return strings.TrimSpace(strings.Join(tokens, " "))
}

func (j *job) leadMarker() string {
	switch {
	case j.deal != nil:
		return items.DealToken(j.deal.ID, j.c.Name)
	case j.msg.Chat != "":
		return items.ChatToken(j.msg.Chat, j.c.Name)
	}
	return j.clientMarker()
}
