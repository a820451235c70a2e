package delivery

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/mapping"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// visitorKinds are the events of a visitor, who may be anonymous.
var visitorKinds = []string{"chat_accepted", "chat_updated", "chat_finished", "offline_message", "call_event"}

// needsClient are the kinds that carry no more of their client than an id.
var needsClient = append([]string{"created_deal", "updated_deal", "client_attribute_updated"}, taskKinds...)

// taskKinds are the kinds of Jivo's tasks.
var taskKinds = []string{"created_task", "updated_task", "completed_task", "deleted_task"}

// jivo works one event of Jivo's: learn, map, find, freeze, apply.
func (j *job) jivo(ctx context.Context, body []byte) event.Ending {
	m, err := jivo.Decode(body)
	if err != nil {
		return event.Kill{Reason: event.Unparsable, Detail: err.Error()}
	}
	j.msg = m
	if err := j.learn(ctx); err != nil {
		return ended(ctx, err)
	}
	if j.seen { // when they were last described is kept with the next commit
		at, seq := j.ev.ReceivedAt, j.client.Seq
		j.changeClient(func(c *event.Client) {
			if at.After(c.ReceivedAt) {
				c.ReceivedAt = at
			}
			c.Seq = max(c.Seq, seq)
		})
	}
	if j.first != 0 {
		return event.Snooze{Until: time.Now(), Why: "event " + id(int64(j.first)) + " has waited for this client, and goes first"}
	}
	if j.ev.Frozen {
		j.resumed = true
		release, err := j.lockPeople(ctx)
		if err != nil {
			return ended(ctx, err)
		}
		j.unlock = append(j.unlock, release)
		if cid := j.resolved(event.OnContact); cid != 0 {
			if err := j.holdContact(ctx, &found{contact: &event.ContactCard{Contact: event.Contact{ID: cid}}}); err != nil {
				return ended(ctx, err)
			}
		}
		return j.apply(ctx)
	}
	j.ev.Warnings = nil // those of an earlier attempt: this one maps anew
	if end := j.special(ctx); end != nil {
		return end
	}
	if end := j.await(); end != nil {
		return end
	}
	if end := j.follow(); end != nil {
		return end
	}
	in := j.input()
	plan, err := j.c.Program.Plan(in)
	if err != nil {
		return event.Kill{Reason: event.RuleError, Detail: err.Error()}
	}
	j.ev.Rules = plan.Rules
	for _, w := range plan.Warnings {
		j.warn("%s", w)
	}
	if end := j.nobody(plan); end != nil {
		return end
	}
	if end := j.placeless(); end != nil {
		return end
	}
	return j.carryOut(ctx, in, plan)
}

// input gathers what mapping may look at.
func (j *job) input() *mapping.Input {
	in := &mapping.Input{
		Kind: j.msg.Kind, Fields: j.msg.Fields, Received: j.ev.ReceivedAt, Location: j.c.Location,
		Client: j.client, Known: j.known, Touch: j.client.FirstTouch, Last: j.last, Told: j.told,
		Jivo: names{j.d.store, j.c.Name}, HasStage: j.hasStage,
	}
	replayed := j.ev.Replays > 0 || j.ev.Anew // what it left behind itself must not hide what it says
	if j.chat != nil && !replayed {
		in.NotedTo = j.chat.NotedTo
	}
	if j.deal != nil && j.task == nil {
		in.Linked, in.Late = j.deal.LeadID != 0, j.late(j.deal.At)
		if !replayed || j.deal.At != j.seq {
			in.Last = j.deal.Last
		}
	}
	if j.task != nil {
		in.Linked, in.Late = j.task.AmoID != 0, j.late(j.task.At)
		if !replayed || j.task.At != j.seq {
			in.Last = j.task.Last
		}
	}
	if j.msg.Kind == "call_event" {
		in.Call = j.call()
	}
	return in
}

// hasStage reports whether the account has such a stage, or, with an empty
// stage, such a pipeline.
func (j *job) hasStage(pipeline, stage string) bool {
	dict := j.c.Account.Dict()
	p, ok := dict.Pipeline(pipeline)
	if !ok || stage == "" {
		return ok
	}
	_, ok = dict.Stage(p.ID, stage)
	return ok
}

// carryOut finds, maps the second time, freezes and applies.
func (j *job) carryOut(ctx context.Context, in *mapping.Input, plan event.Plan) event.Ending {
	release, err := j.lockPeople(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	j.unlock = append(j.unlock, release)

	f, err := j.find(ctx, plan)
	if err != nil {
		return ended(ctx, err)
	}
	if plan.Contact != nil && plan.Contact.Linked && f.contact == nil && !plan.Contact.Create && plan.Lead == nil {
		if end := j.deleted(); end != nil {
			return end
		}
		j.remember()
		return event.Skip{Reason: event.NotLinked, Detail: "the client has no contact in amoCRM; what is known was kept"}
	}
	want, err := j.c.Program.Desired(in, plan, j.inWords(f))
	if err != nil {
		return event.Kill{Reason: event.RuleError, Detail: err.Error()}
	}
	for _, w := range want.Warnings {
		j.warn("%s", w)
	}
	if next := j.superseded(ctx, in, f, want); next != 0 {
		return event.Finished{Detail: "event " + id(int64(next)) + " was waiting already and writes all of it"}
	}
	changes, skip, err := j.changes(ctx, in, f, want)
	if err != nil {
		return ended(ctx, err)
	}
	j.mu.Lock()
	j.ev.Changes = mergeReplay(j.ev, changes)
	j.mu.Unlock()
	j.learned = len(j.effects)
	j.freezeState(in, f)
	if end := j.apply(ctx); !isFinished(end) {
		return end
	}
	if len(j.ev.Changes) == 0 && skip != nil {
		return *skip
	}
	return j.after()
}

func isFinished(e event.Ending) bool {
	_, ok := e.(event.Finished)
	return ok
}

// lockPeople takes the locks on the person's phones and e-mails, held from the
// search to the recorded answer. Everybody takes these first, then a company's,
// then one contact's (holdContact), so that nobody waits in a circle.
func (j *job) lockPeople(ctx context.Context) (func(), error) {
	release, err := j.lock(ctx, j.peopleKeys())
	if err != nil {
		return nil, err
	}
	company, err := j.lockCompany(ctx)
	if err != nil {
		release()
		return nil, err
	}
	return func() { company(); release() }, nil
}

// lockCompany locks the name of a company that amoCRM may not have yet, so that
// two events do not both make it. One that is known needs no lock.
func (j *job) lockCompany(ctx context.Context) (func(), error) {
	name := j.client.Company
	if name == "" || j.knownCompany(name) != 0 {
		return func() {}, nil
	}
	release, err := j.lock(ctx, []string{"company:" + companyKey(j.c.Account.Host, name)})
	if err == nil && j.knownCompany(name) != 0 { // somebody made it while this one waited
		release()
		return func() {}, nil
	}
	return release, err
}

// find resolves contact and lead.
func (j *job) find(ctx context.Context, plan event.Plan) (*found, error) {
	f := &found{}
	if plan.Contact != nil {
		card, match, err := j.findContact(ctx, plan.Contact)
		if err != nil {
			return nil, err
		}
		f.contact, j.ev.Contact = card, &match
		if f.foreign, err = j.emailsElsewhere(ctx, card); err != nil {
			return nil, err
		}
	} else if j.client.ContactID != 0 {
		card, err := j.contactCard(ctx, j.client.ContactID)
		if err != nil {
			return nil, err
		}
		f.contact = card
	}
	if err := j.holdContact(ctx, f); err != nil {
		return nil, err
	}
	if plan.Lead != nil {
		card, match, err := j.findLead(ctx, plan.Lead, f.contact)
		if err != nil {
			return nil, err
		}
		f.lead, j.ev.Lead = card, &match
	}
	return f, nil
}

// holdContact locks the contact that was found: its phones and e-mails are
// written as a whole, so nobody else may add one meanwhile. What somebody wrote
// while this event waited is taken over.
func (j *job) holdContact(ctx context.Context, f *found) error {
	if f.contact == nil {
		return nil
	}
	release, err := j.lock(ctx, []string{"contact:" + id(f.contact.Contact.ID)})
	if err != nil {
		return err
	}
	j.unlock = append(j.unlock, release)
	return j.d.store.View(func(tx *store.Tx) error {
		card, ok, err := store.Get[event.ContactCard](tx, store.Cards, store.Key(j.c.Name, "contact", id(f.contact.Contact.ID)))
		if err != nil || !ok {
			return err
		}
		if known := card.KnownAt(); known.After(f.contact.KnownAt()) && !known.After(time.Now()) {
			*f.contact = card
			return nil
		}
		then, known := j.leadsThen[card.Contact.ID]
		for _, l := range card.Contact.LeadIDs {
			if known && !slices.Contains(then, l) && !slices.Contains(f.contact.Contact.LeadIDs, l) {
				f.contact.Contact.LeadIDs = append(slices.Clip(f.contact.Contact.LeadIDs), l) // made while this event waited
			}
		}
		return nil
	})
}

// inWords turns what was found into the names rules speak in.
func (j *job) inWords(f *found) (crm event.CRM) {
	dict := j.c.Account.Dict()
	if f.contact != nil {
		c := f.contact.Contact
		crm.Contact = event.CRMEntity{ID: id(c.ID), Name: c.Name, Responsible: dict.UserName(c.ResponsibleID)}
	}
	if f.lead != nil {
		l := f.lead.Lead
		crm.Lead = event.CRMEntity{
			ID: id(l.ID), Name: l.Name, Responsible: dict.UserName(l.ResponsibleID), Price: l.Price,
			Pipeline: dict.PipelineName(l.PipelineID), Stage: dict.StageName(l.PipelineID, l.StatusID),
		}
	}
	return crm
}

// mergeReplay keeps what an earlier run of the event has already made: a replay
// maps anew, sends updates again and never repeats a settled create, note, task
// or call, unless it was asked to. What was refused and is not asked for anew is
// kept as well: nothing else tells of it.
func mergeReplay(ev *event.Event, fresh []event.Change) []event.Change {
	was := slices.DeleteFunc(slices.Clone(ev.Changes), func(ch event.Change) bool {
		return isRefused(ch) && slices.ContainsFunc(fresh, func(f event.Change) bool {
			return f.Op == ch.Op && f.Target == ch.Target && f.Rule == ch.Rule
		})
	})
	if ev.Again {
		for i := range fresh {
			fresh[i].Key += "#" + id(int64(ev.Replays))
		}
		return append(was, fresh...)
	}
	old := map[string]event.Change{}
	for _, ch := range was {
		if ch.Op != event.OpUpdate && (ch.State == event.Settled || ch.State == event.Sent || isRefused(ch)) {
			old[ch.Key] = ch
		}
	}
	for i, ch := range fresh {
		if o, ok := old[ch.Key]; ok {
			fresh[i] = o
			delete(old, ch.Key)
		}
	}
	var kept []event.Change
	for _, ch := range was {
		if _, ok := old[ch.Key]; ok {
			kept = append(kept, ch)
		}
	}
	return append(kept, fresh...)
}

// freezeState has the store remember, together with the first change sent, what
// the next event of the same chat, deal, task or client is compared with.
func (j *job) freezeState(in *mapping.Input, f *found) {
	j.remember()
	j.closeChat()
	told := func(h event.Held) bool {
		return slices.ContainsFunc(j.ev.Changes, func(ch event.Change) bool { return ch.Rule == h.Key() })
	}
	if slices.ContainsFunc(j.client.Held, told) {
		j.changeClient(func(c *event.Client) { c.Held = slices.DeleteFunc(c.Held, told) })
	}
	if in.Call != nil {
		call := *in.Call
		j.effect(func(tx *store.Tx) error { return j.logCall(tx, call) })
	}
}

// late reports whether a newer event than this one, which stands at `at`, has
// said how its deal or task is: this one waited for its client meanwhile. What
// is replayed was asked for.
func (j *job) late(at uint64) bool { return j.seq < at && j.ev.Replays == 0 }

// remember keeps this event's whole state as the last one of its entity, unless a newer
// one has told of it: also a replay must not have the next event take for a change what
// none was.
func (j *job) remember() {
	conn, fields := j.c.Name, j.msg.Fields
	switch {
	case j.task != nil:
		t := j.task.ID
		j.effect(func(tx *store.Tx) error {
			return changeRecord(tx, store.Tasks, store.Key(conn, t), func(r *event.JivoTask) {
				if r.ID = t; j.seq >= r.At {
					r.Last, r.At = fields, j.seq
				}
			})
		})
	case j.deal != nil:
		d, cl := j.deal.ID, j.client.ID
		j.effect(func(tx *store.Tx) error {
			return changeRecord(tx, store.Deals, store.Key(conn, d), func(r *event.Deal) {
				r.ID, r.Client = d, cl
				if j.seq >= r.At {
					r.Last, r.At = fields, j.seq
				}
				if r.Bare { // who is woken to link the contact says nothing that is out of date
					r.Seq = max(r.Seq, j.seq)
				}
			})
		})
	case slices.Contains(clientStates, j.msg.Kind) && j.client.ID != "" && (j.ev.Replays == 0 || j.seq >= j.client.Seq):
		cl := j.client.ID
		j.effect(func(tx *store.Tx) error { return j.keepTold(tx, cl, fields) })
	}
}

// closeChat notes how far a finished chat was transcribed.
func (j *job) closeChat() {
	if j.msg.Kind != "chat_finished" || j.chat == nil {
		return
	}
	last := mapping.LastMessage(&mapping.Input{Fields: j.msg.Fields})
	cl := j.client.ID
	j.changeChat(func(c *event.Chat) {
		c.Client, c.NotedTo = cl, max(c.NotedTo, last)
	})
}

// changeClient, changeChat and changeRecord change a record where it stands.
func (j *job) changeClient(change func(*event.Client)) {
	conn, cl := j.c.Name, j.client.ID
	if cl == "" {
		return
	}
	j.effect(func(tx *store.Tx) error {
		c := tx.Client(conn, cl)
		change(c)
		return tx.PutClient(conn, c)
	})
}

func (j *job) changeChat(change func(*event.Chat)) {
	conn, chat := j.c.Name, j.msg.Chat
	j.effect(func(tx *store.Tx) error {
		return changeRecord(tx, store.Chats, store.Key(conn, chat), func(c *event.Chat) { c.ID = chat; change(c) })
	})
}

// known reads one record; ok is false if there is none.
func known[T any](j *job, b store.Bucket, key string) (r T, ok bool, err error) {
	err = j.d.store.View(func(tx *store.Tx) error {
		r, ok, err = store.Get[T](tx, b, key)
		return err
	})
	return r, ok, err
}

func changeRecord[T any](tx *store.Tx, b store.Bucket, key string, change func(*T)) error {
	r, _, err := store.Get[T](tx, b, key)
	if err != nil {
		return err
	}
	change(&r)
	return store.Set(tx, b, key, r)
}

// errNothing says a change had nothing left to write.
var errNothing = errors.New("nothing left to write")

// errThere says amoCRM has already what a change would bring.
var errThere = errors.New("it is there already")
