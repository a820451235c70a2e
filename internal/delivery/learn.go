package delivery

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/phone"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// reviveWithin bounds how long a task that died for want of its client is
// revived by itself (product.md §7).
const reviveWithin = 30 * 24 * time.Hour

// state is what the bridge knows locally about the things an event speaks of,
// after the event was learned.
type state struct {
	msg    *jivo.Message
	client *event.Client
	chat   *event.Chat
	deal   *event.Deal
	task   *event.JivoTask
	last   event.Object // the client's last state, for an event that tells the next
	told   event.Object // the same, for any other event
	known  bool         // the client had a contact before this event
	seen   bool         // the event described the client as they were known
}

// Kinds whose whole state is compared with the last of the same client.
var clientStates = []string{
	"client_updated", "created_client", "updated_client", "updated_client_contacts",
	"assigned_agent_to_client", "changed_client_company", "changed_client_blacklist",
}

// clientKey names the local picture of the person an event speaks of. A chat
// whose visitor has no number still has a person behind it.
func clientKey(m *jivo.Message) string {
	if m.Client != "" {
		return m.Client
	}
	if m.Chat != "" {
		return event.ChatPerson(m.Chat)
	}
	return ""
}

// learn merges what the event says into the local knowledge and reads what is
// known of its client, chat, deal and task. Learning twice changes nothing.
func (j *job) learn(ctx context.Context) error {
	changed := false
	err := j.d.store.View(func(tx *store.Tx) error {
		st, writes, err := j.study(tx)
		j.state, changed = st, len(writes) > 0
		return err
	})
	if err != nil || !changed {
		return err
	}
	return j.update(ctx, func(tx *store.Tx) error {
		if stands, err := tx.Event(j.seq); err == nil && isForgotten(stands) {
			return errForgotten // nothing of its person comes back
		}
		st, writes, err := j.study(tx)
		if err != nil {
			return err
		}
		j.state = st
		for _, w := range writes {
			if err := w(tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// study reads the local state and lists what the event adds to it.
func (j *job) study(tx *store.Tx) (st state, writes []func(*store.Tx) error, err error) {
	m, conn := j.msg, j.c.Name
	st.msg = m
	writes = append(writes, nameWrites(tx, conn, m)...)
	key := clientKey(m)
	st.client = tx.Client(conn, key)
	st.known = st.client.ContactID != 0
	if key != "" {
		w, err := j.studyClient(tx, &st)
		if err != nil {
			return st, nil, err
		}
		writes = append(writes, w...)
	}
	if m.Chat != "" {
		w, err := j.studyChat(tx, &st)
		if err != nil {
			return st, nil, err
		}
		writes = append(writes, w...)
	}
	if m.Deal != "" {
		d, ok, err := store.Get[event.Deal](tx, store.Deals, store.Key(conn, m.Deal))
		if err != nil {
			return st, nil, err
		}
		if !ok {
			d = event.Deal{ID: m.Deal, Client: key}
		}
		st.deal = &d
	}
	if m.Task != "" {
		t, ok, err := store.Get[event.JivoTask](tx, store.Tasks, store.Key(conn, m.Task))
		if err != nil {
			return st, nil, err
		}
		if !ok {
			t = event.JivoTask{ID: m.Task}
		}
		st.task = &t
	}
	return st, writes, nil
}

func (j *job) studyClient(tx *store.Tx, st *state) (writes []func(*store.Tx) error, err error) {
	m, conn, at := j.msg, j.c.Name, j.ev.ReceivedAt
	c := st.client
	was, fresh := c.Described, !toldAt(j.ev, c).Before(c.ReceivedAt)
	changed, described := m.Describe(c, j.c.Region, toldAt(j.ev, c))
	st.seen = described && !changed
	if described && !j.ev.Imported {
		c.Seq = max(c.Seq, j.seq)
	}
	last, err := j.lastTold(tx, c.ID)
	if err != nil {
		return nil, err
	}
	if slices.Contains(clientStates, m.Kind) {
		st.last = last
	} else {
		st.told = last
		if first := firstSight(m); first != nil && last == nil && fresh {
			writes = append(writes, func(tx *store.Tx) error { return store.Set(tx, store.Last, store.Key(conn, "client", c.ID), first) })
		}
	}
	if c.Lapse(at, j.c.AnonymousHold) {
		changed = true
	}
	// Only an anonymous visitor's first touch is held: who can be written to
	// amoCRM brings their own along with each event.
	anonymous := c.ContactID == 0 && len(c.Phones) == 0 && len(c.Emails) == 0
	if t := m.Touch(at); t != nil && c.FirstTouch == nil && anonymous && j.c.Anonymous != "ignore" {
		c.FirstTouch, changed = t, true
	}
	if m.Kind == "chat_accepted" && at.After(c.Accepted) {
		changed = true // studyChat reads the old value first
	}
	if changed {
		writes = append(writes, func(tx *store.Tx) error { return tx.PutClient(conn, c) })
	}
	if c.Described && !was {
		writes = append(writes, func(tx *store.Tx) error { return j.revive(tx, c) })
	}
	return writes, nil
}

// firstSight is what a chat tells of its client that the client's own events are
// compared with, should it be the first to tell; nil if nothing. Later chats change
// nothing of it, as they write none of it to a contact that is there; tags no chat
// writes at all.
func firstSight(m *jivo.Message) event.Object {
	var path []string
	fields := m.Fields
	switch {
	case m.Kind == "assigned_status":
		path = []string{"client"}
		fields, _ = fields["client"].(event.Object)
	case !slices.Contains(visitorKinds, m.Kind):
		return nil
	}
	first := event.Object{}
	for _, name := range []string{"organization", "assigned_agent"} {
		if m.Says(append(path, name)...) {
			first[name] = fields[name]
		}
	}
	if len(first) == 0 {
		return nil
	}
	return first
}

// before is a client's last state as an event found it, for that event to be mapped
// anew: what it left behind itself must not hide what it says.
type before struct {
	Seq  uint64       `json:"seq"`
	Last event.Object `json:"last"`
}

// lastTold is the state of a client that this event is compared with, nil at first
// sight.
func (j *job) lastTold(tx *store.Tx, client string) (event.Object, error) {
	found, ok, err := store.Get[before](tx, store.Last, store.Key(j.c.Name, "client", client, "before"))
	if err != nil || ok && found.Seq == j.seq {
		return found.Last, err
	}
	last, _, err := store.Get[event.Object](tx, store.Last, store.Key(j.c.Name, "client", client))
	return last, err
}

// keepTold keeps the state of a client that the next event is compared with.
func (j *job) keepTold(tx *store.Tx, client string, fields event.Object) error {
	last, err := j.lastTold(tx, client)
	if err != nil {
		return err
	}
	if err := store.Set(tx, store.Last, store.Key(j.c.Name, "client", client, "before"), before{j.seq, last}); err != nil {
		return err
	}
	return store.Set(tx, store.Last, store.Key(j.c.Name, "client", client), fields)
}

// toldAt is when what an event says of its client was told, to be compared with
// when they were last described (event.Client.ReceivedAt). What comes in later is
// newer and what came in before is older, whatever the clock said, which may have
// been set back meanwhile; an event that was imported has nothing but its time.
func toldAt(ev *event.Event, c *event.Client) time.Time {
	switch {
	case ev.Imported || c.Seq == 0:
	case ev.Seq >= c.Seq && ev.ReceivedAt.Before(c.ReceivedAt):
		return c.ReceivedAt
	case ev.Seq < c.Seq && !ev.ReceivedAt.Before(c.ReceivedAt):
		return c.ReceivedAt.Add(-1)
	}
	return ev.ReceivedAt
}

// outdated reports whether newer events have described the visitor of this one:
// it was imported late. What it tells of them fills what is empty and takes
// nothing back (product.md §1 › import). What is replayed was asked for.
func (j *job) outdated() bool {
	return j.ev.Replays == 0 && slices.Contains(visitorKinds, j.msg.Kind) && toldAt(j.ev, j.client).Before(j.client.ReceivedAt)
}

func (j *job) studyChat(tx *store.Tx, st *state) (writes []func(*store.Tx) error, err error) {
	m, conn, at := j.msg, j.c.Name, j.ev.ReceivedAt
	chat, ok, err := store.Get[event.Chat](tx, store.Chats, store.Key(conn, m.Chat))
	if err != nil {
		return nil, err
	}
	if !ok {
		chat = event.Chat{ID: m.Chat, Client: st.client.ID}
	}
	st.chat = &chat
	if m.Kind != "chat_accepted" || !at.After(chat.Accepted) {
		return nil, nil
	}
	if chat.Accepted.IsZero() {
		chat.Since = st.client.Accepted
	}
	chat.Accepted = at
	if at.After(st.client.Accepted) {
		st.client.Accepted = at
	}
	return []func(*store.Tx) error{func(tx *store.Tx) error {
		return store.Set(tx, store.Chats, store.Key(conn, chat.ID), chat)
	}}, nil
}

// revive takes up the events that waited for this client to be described, and
// the tasks that died waiting, and links the client to deals whose lead was
// made without a contact. Such a deal goes first where it came first: whatever
// this event looks a lead for must find that one.
func (j *job) revive(tx *store.Tx, c *event.Client) error {
	conn, at := j.c.Name, j.ev.ReceivedAt
	if err := j.takeUp(tx, c.ID, event.Dead, event.ClientUnknown); err != nil {
		return err
	}
	for _, l := range c.Leads {
		if !l.Bare || l.Deal == "" {
			continue
		}
		d, ok, err := store.Get[event.Deal](tx, store.Deals, store.Key(conn, l.Deal))
		if err != nil {
			return err
		}
		if !ok || d.Seq == 0 {
			continue
		}
		woken, err := wake(tx, d.Seq, at)
		if err != nil {
			return err
		}
		if woken != nil && woken.Line == j.ev.Line && woken.Seq < j.seq && !j.ev.Frozen {
			j.first = woken.Seq
		}
	}
	return nil
}

// takeUp wakes the events of a client that are parked, and the tasks that ended in this
// way for want of what there is now.
func (j *job) takeUp(tx *store.Tx, client string, ended event.State, why event.Reason) error {
	conn, at := j.c.Name, j.ev.ReceivedAt
	for _, seq := range tx.ParkedOf(conn, client) {
		if _, err := wake(tx, seq, at); err != nil {
			return err
		}
	}
	evs, _, err := tx.Events(store.Filter{Connection: conn, Client: client, State: ended, Reason: why, Limit: 100})
	if err != nil {
		return err
	}
	for _, ev := range evs {
		if ev.Seq == j.seq || at.Sub(ev.ReceivedAt) >= reviveWithin || !slices.Contains(taskKinds, ev.Kind) {
			continue
		}
		if _, err := wake(tx, ev.Seq, at); err != nil {
			return err
		}
	}
	return nil
}

// wake has an event mapped anew, at once and returned, or once the list that is being
// carried out is done (takeOver). What was purged, if but its body, is left as it is:
// whoever looks for a lead of the client finds a bare one all the same (leadBare).
func wake(tx *store.Tx, seq uint64, at time.Time) (*event.Event, error) {
	ev, err := tx.Event(seq)
	if err != nil || tx.Body(seq) == nil {
		return nil, nil
	}
	if ev.Frozen && !ev.State.Settled() {
		ev.Woken = true
		return nil, tx.Put(ev)
	}
	anew(ev, at)
	return ev, tx.Put(ev)
}

// anew makes an event pending, to be mapped anew. Notes, calls and tasks that are not
// there yet wait for their place: what they tell is remembered as told.
func anew(ev *event.Event, at time.Time) {
	ev.State, ev.Reason, ev.Detail, ev.NextAt, ev.SettledAt = event.Pending, "", "", at, time.Time{}
	ev.Frozen, ev.Detached, ev.Overdue, ev.Woken, ev.Again = false, false, false, false, false
	for i := range ev.Changes {
		if ch := &ev.Changes[i]; ch.State == event.Open && ch.Op == event.OpCreate && !isCore(*ch) {
			ch.State, ch.Error = event.Dropped, displaced
		}
	}
}

// names of the dictionary records.
const (
	nameAgent    = "agent"
	namePipeline = "pipeline"
	nameCategory = "category"
	nameTag      = "tag"
	nameCompany  = "organization"
)

// pipelineNames is what Jivo's pipeline events said of one pipeline.
type pipelineNames struct {
	Title   string            `json:"title"`
	Stages  map[string]string `json:"stages"`
	Finals  map[string]string `json:"finals"`
	Reasons map[string]string `json:"reasons"`
}

// nameWrites lists what the event teaches of agents, pipelines, categories,
// tags and organizations.
func nameWrites(tx *store.Tx, conn string, m *jivo.Message) (writes []func(*store.Tx) error) {
	set := func(kind, id string, v any) {
		if id == "" {
			return
		}
		writes = append(writes, func(tx *store.Tx) error { return store.Set(tx, store.Names, store.Key(conn, kind, id), v) })
	}
	title := func(kind, id, name string) {
		if old, ok, _ := store.Get[string](tx, store.Names, store.Key(conn, kind, id)); name != "" && (!ok || old != name) {
			set(kind, id, name)
		}
	}
	for _, a := range m.Agents {
		old, ok, _ := store.Get[event.Agent](tx, store.Names, store.Key(conn, nameAgent, a.ID))
		if a.Name == "" {
			a.Name = old.Name
		}
		if a.Email == "" {
			a.Email = old.Email
		}
		if !ok || old != a {
			set(nameAgent, a.ID, a)
		}
	}
	f := m.Fields
	title(nameCompany, text(f, "organization", "id"), text(f, "organization", "name"))
	title(nameCompany, text(f, "organization", "organization_id"), text(f, "organization", "name"))
	title(nameCompany, text(f, "client", "organization", "organization_id"), text(f, "client", "organization", "name"))
	switch m.Kind {
	case "created_pipeline", "updated_pipeline":
		set(namePipeline, text(f, "pipeline_id"), readPipeline(f))
	case "created_status", "updated_status":
		set(nameCategory, text(f, "status_id"), text(f, "title"))
	case "assigned_status":
		title(nameCategory, text(f, "status", "status_id"), text(f, "status", "title"))
	case "created_client_tag", "updated_client_tag":
		set(nameTag, text(f, "tag_id"), text(f, "title"))
	case "merged_client_tag":
		name := text(f, "tag", "title")
		set(nameTag, text(f, "tag", "tag_id"), name)
		for _, t := range event.Objects(f["merged_tags"]) {
			set(nameTag, text(t, "tag_id"), name)
		}
	}
	return writes
}

func readPipeline(f event.Object) pipelineNames {
	p := pipelineNames{Title: text(f, "title"), Stages: map[string]string{}, Finals: map[string]string{}, Reasons: map[string]string{}}
	for _, s := range event.Objects(f["pipeline_statuses"]) {
		id := text(s, "pipeline_status_id")
		p.Stages[id] = text(s, "title")
		p.Finals[id] = text(s, "final_status")
	}
	for _, r := range event.Objects(f["pipeline_reject_reasons"]) {
		p.Reasons[text(r, "pipeline_reject_reason_id")] = text(r, "title")
	}
	return p
}

// names answers mapping's questions from the store. It implements mapping.Names.
type names struct {
	st   *store.Store
	conn string
}

func lookUp[T any](n names, kind, id string) (v T) {
	_ = n.st.View(func(tx *store.Tx) error { // an unreadable name is an unknown one
		v, _, _ = store.Get[T](tx, store.Names, store.Key(n.conn, kind, id))
		return nil
	})
	return v
}

func (n names) Agent(id string) event.Agent { return lookUp[event.Agent](n, nameAgent, id) }

func (n names) Stage(pipelineID, stageID string) (pipeline, stage, final string) {
	p := lookUp[pipelineNames](n, namePipeline, pipelineID)
	return p.Title, p.Stages[stageID], p.Finals[stageID]
}

func (n names) RejectReason(pipelineID, reasonID string) string {
	return lookUp[pipelineNames](n, namePipeline, pipelineID).Reasons[reasonID]
}

func (n names) Tag(id string) string          { return lookUp[string](n, nameTag, id) }
func (n names) Organization(id string) string { return lookUp[string](n, nameCompany, id) }
func (n names) Category(id string) string     { return lookUp[string](n, nameCategory, id) }

// text reads a string field of a normalised object, "" if it is not there.
func text(o event.Object, path ...string) string {
	for i, p := range path {
		v, ok := o[p]
		if !ok {
			return ""
		}
		if i == len(path)-1 {
			s, _ := v.(string)
			return strings.TrimSpace(s)
		}
		if o, ok = v.(event.Object); !ok {
			return ""
		}
	}
	return ""
}

// directoryKeys are the contact directory's keys of an amoCRM contact.
func directoryKeys(c event.Contact, region string) []string {
	return phone.Keys(event.Texts(c.Phones), event.Texts(c.Emails), region)
}
