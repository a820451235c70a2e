package event

import (
	"slices"
	"time"
)

// LeadCard is what the bridge keeps of a lead it follows: the base of what the
// operator is shown and of what an update may fill. It is a record of one
// connection.
type LeadCard struct {
	Lead       Lead              `json:"lead"`
	StageSince int64             `json:"stage_since,omitempty"` // unix seconds
	ReadAt     time.Time         `json:"read_at,omitzero"`      // last full hook or read, or own create
	WroteAt    time.Time         `json:"wrote_at,omitzero"`     // last own write
	SeenTo     int64             `json:"seen_to,omitempty"`     // updated_at of the newest whole state: hook, read or own create
	PlacedAt   int64             `json:"placed_at,omitempty"`   // updated_at of the bridge's own newest move
	Dirty      bool              `json:"dirty,omitempty"`       // must be read again
	DirtyAt    time.Time         `json:"dirty_at,omitzero"`
	Tasks      []Task            `json:"tasks,omitempty"`   // open ones
	TasksAt    time.Time         `json:"tasks_at,omitzero"` // when a hook last told of one
	LastIn     string            `json:"last_in,omitempty"`
	LastInAt   time.Time         `json:"last_in_at,omitzero"`
	Changes    []CardChange      `json:"changes,omitempty"` // newest last
	Wrote      map[string]string `json:"wrote,omitempty"`   // what the bridge last wrote, by field
}

// ContactCard is the same for a contact.
type ContactCard struct {
	Contact Contact           `json:"contact"`
	ReadAt  time.Time         `json:"read_at,omitzero"`
	WroteAt time.Time         `json:"wrote_at,omitzero"`
	Dirty   bool              `json:"dirty,omitempty"`
	Wrote   map[string]string `json:"wrote,omitempty"`
	Tasks   []Task            `json:"tasks,omitempty"` // open ones, as hooks told of them
	// Doubt is the event whose update of the contact was last in doubt, 0 if none ever was.
	Doubt uint64 `json:"doubt,omitempty"`
}

// Fresh reports whether all of the lead is known as of `within` ago. What the bridge
// wrote makes nothing fresher: it tells of no more than what was written. A time to
// come is none: the clock was put right since.
func (c *LeadCard) Fresh(now time.Time, within time.Duration) bool {
	return !c.Dirty && recent(c.ReadAt, now, within)
}

// Fresh is the same for a contact.
func (c *ContactCard) Fresh(now time.Time, within time.Duration) bool {
	return !c.Dirty && recent(c.ReadAt, now, within)
}

func recent(at, now time.Time, within time.Duration) bool {
	return !at.After(now) && now.Sub(at) < within
}

// KnownAt is when the card last took anything over.
func (c *LeadCard) KnownAt() time.Time { return later(c.ReadAt, c.WroteAt) }

// KnownAt is the same for a contact.
func (c *ContactCard) KnownAt() time.Time { return later(c.ReadAt, c.WroteAt) }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// CardChange is one change of a lead that somebody else than the bridge made.
type CardChange struct {
	At           time.Time `json:"at"`
	What         string    `json:"what"` // stage | responsible | price
	FromPipeline int64     `json:"from_pipeline,omitempty"`
	From         float64   `json:"from"`
	ToPipeline   int64     `json:"to_pipeline,omitempty"`
	To           float64   `json:"to"`
}

// What a CardChange may be about.
const (
	ChangedStage       = "stage"
	ChangedResponsible = "responsible"
	ChangedPrice       = "price"
)

// keptChanges bounds a card's history; three are shown.
const keptChanges = 20

// ApplyHook takes over a full lead from an account hook that came at the given
// time (product.md §6 › Freshness). A hook newer than the card is applied; one
// of the same second with another stage, or without a time, marks the card
// dirty; an older one is left alone. So does one that is older than an own write
// and newer than everything seen before: the write left alone what the hook
// tells. It reports whether the card changed.
func (c *LeadCard) ApplyHook(l Lead, at time.Time) bool {
	switch {
	case l.UpdatedAt == 0:
		c.stage(l, at)
		c.MarkDirty(at)
		return true
	case l.UpdatedAt < c.SeenTo:
		return false
	case l.UpdatedAt <= c.Lead.UpdatedAt:
		if l.StatusID == c.Lead.StatusID && l.PipelineID == c.Lead.PipelineID && l.ResponsibleID == c.Lead.ResponsibleID && l.Price == c.Lead.Price {
			c.SeenTo = l.UpdatedAt
			return false
		}
		if l.UpdatedAt > c.PlacedAt { // else it may tell of the time before the bridge moved the lead
			c.stage(l, at)
		}
		c.MarkDirty(at)
		return true
	}
	c.take(l, at)
	return true
}

// ApplyThin takes over the stage a thin hook names and marks the card dirty:
// the stage is shown until the read confirms it.
func (c *LeadCard) ApplyThin(pipeline, status int64, at time.Time) {
	if status != 0 {
		l := c.Lead
		l.PipelineID, l.StatusID = pipeline, status
		c.stage(l, at)
	}
	c.MarkDirty(at)
}

// ApplyRead takes over a lead read from the API at the given time. Dirt that
// arose after the read began stays.
func (c *LeadCard) ApplyRead(l Lead, began time.Time) {
	since := meanwhile(c.KnownAt(), began) && l.UpdatedAt == c.Lead.UpdatedAt // which of the two came later in that second?
	if l.UpdatedAt < c.Lead.UpdatedAt || since && (l.StatusID != c.Lead.StatusID || l.PipelineID != c.Lead.PipelineID) {
		c.MarkDirty(c.DirtyAt) // the read was answered from before the hook or the write
		return
	}
	late := meanwhile(c.DirtyAt, began)
	if late && c.Lead.StatusID != 0 { // the read may be from before the hook, whose stage is shown until a read confirms it
		l.PipelineID, l.StatusID = c.Lead.PipelineID, c.Lead.StatusID
	}
	c.take(l, began)
	if !late {
		c.Dirty = false
	}
}

// ApplyOwn takes over what the bridge itself wrote: no change to tell the
// operator of.
func (c *LeadCard) ApplyOwn(l Lead, at time.Time) {
	switch {
	case c.Lead.ID == 0:
		c.SeenTo, c.StageSince, c.ReadAt = l.UpdatedAt, at.Unix(), at
	case c.Lead.StatusID != l.StatusID || c.Lead.PipelineID != l.PipelineID:
		c.PlacedAt, c.StageSince = l.UpdatedAt, at.Unix()
	}
	c.Lead = l.closedSince(c.Lead, l.UpdatedAt)
	c.WroteAt = at
}

// Disown takes back the changes noted since a write of the bridge's own left
// that are that write: its hook may come before its answer. wrote holds what was
// written and is zero elsewhere.
func (c *LeadCard) Disown(wrote Lead, since time.Time) {
	c.Changes = slices.DeleteFunc(c.Changes, func(ch CardChange) bool {
		if ch.At.Before(since) {
			return false
		}
		switch ch.What {
		case ChangedStage:
			return wrote.StatusID != 0 && ch.To == float64(wrote.StatusID)
		case ChangedResponsible:
			return wrote.ResponsibleID != 0 && ch.To == float64(wrote.ResponsibleID)
		case ChangedPrice:
			return wrote.Price != 0 && ch.To == wrote.Price
		}
		return false
	})
}

// meanwhile reports whether something came while a read was under way. A time to come
// is none: the clock was put right since.
func meanwhile(at, began time.Time) bool { return at.After(began) && !at.After(time.Now()) }

// MarkDirty says the card must be read again.
func (c *LeadCard) MarkDirty(at time.Time) {
	c.Dirty = true
	if at.After(c.DirtyAt) || c.DirtyAt.After(time.Now()) {
		c.DirtyAt = at
	}
}

// take replaces the card's lead and notes what somebody else changed in it.
func (c *LeadCard) take(l Lead, at time.Time) {
	old := c.Lead
	if old.ID != 0 {
		c.note(old, l, at)
	}
	if l.Partial { // hooks carry no contacts, no company
		l.ContactIDs, l.CompanyID = old.ContactIDs, old.CompanyID
		if l.CreatedAt == 0 {
			l.CreatedAt = old.CreatedAt
		}
		if l.Name == "" {
			l.Name = old.Name
		}
	}
	c.Lead = l.closedSince(old, l.UpdatedAt)
	c.SeenTo, c.ReadAt = l.UpdatedAt, at
}

func (c *LeadCard) stage(l Lead, at time.Time) {
	if l.StatusID == 0 || (l.StatusID == c.Lead.StatusID && (l.PipelineID == 0 || l.PipelineID == c.Lead.PipelineID)) {
		return
	}
	next := c.Lead
	next.StatusID = l.StatusID
	if l.PipelineID != 0 {
		next.PipelineID = l.PipelineID
	}
	if c.Lead.ID != 0 {
		c.note(c.Lead, next, at)
	}
	c.Lead = next.closedSince(c.Lead, at.Unix())
}

// note adds the differences between two states to the history. An own write is
// among them only where its hook came before its answer; Disown takes it back.
func (c *LeadCard) note(old, now Lead, at time.Time) {
	if now.StatusID != 0 && old.StatusID != 0 && (now.StatusID != old.StatusID || (now.PipelineID != 0 && now.PipelineID != old.PipelineID)) {
		c.StageSince = at.Unix()
		c.add(CardChange{At: at, What: ChangedStage, FromPipeline: old.PipelineID, From: float64(old.StatusID), ToPipeline: now.PipelineID, To: float64(now.StatusID)})
	}
	if now.ResponsibleID != 0 && old.ResponsibleID != 0 && now.ResponsibleID != old.ResponsibleID {
		c.add(CardChange{At: at, What: ChangedResponsible, From: float64(old.ResponsibleID), To: float64(now.ResponsibleID)})
	}
	if now.Price != old.Price && now.UpdatedAt != 0 && old.UpdatedAt != 0 { // else what it was before is not known
		c.add(CardChange{At: at, What: ChangedPrice, From: old.Price, To: now.Price})
	}
}

func (c *LeadCard) add(ch CardChange) {
	c.Changes = append(c.Changes, ch)
	if n := len(c.Changes); n > keptChanges {
		c.Changes = slices.Delete(c.Changes, 0, n-keptChanges)
	}
}

// SetTask keeps the card's open tasks in step with one task.
func (c *LeadCard) SetTask(t Task) { c.Tasks = withTask(c.Tasks, t) }

// SetTask is the same for a contact.
func (c *ContactCard) SetTask(t Task) { c.Tasks = withTask(c.Tasks, t) }

func withTask(tasks []Task, t Task) []Task {
	tasks = withoutTask(tasks, t.ID)
	if !t.Completed {
		tasks = append(tasks, t)
	}
	slices.SortFunc(tasks, func(a, b Task) int { return int(a.CompleteTill - b.CompleteTill) })
	return tasks[:min(len(tasks), 10)]
}

// ReadTasks takes over the lead's open tasks as they were read, unless a hook has
// told of one since the read began: then they may be older, and it reports false.
func (c *LeadCard) ReadTasks(open []Task, began time.Time) bool {
	if meanwhile(c.TasksAt, began) {
		return false
	}
	c.Tasks = nil
	for _, t := range open {
		c.SetTask(t)
	}
	return true
}

// DropTask forgets a task that was deleted.
func (c *LeadCard) DropTask(id int64) { c.Tasks = withoutTask(c.Tasks, id) }

// DropTask is the same for a contact.
func (c *ContactCard) DropTask(id int64) { c.Tasks = withoutTask(c.Tasks, id) }

func withoutTask(tasks []Task, id int64) []Task {
	return slices.DeleteFunc(tasks, func(t Task) bool { return t.ID == id })
}

// Chat is the bridge's record of one Jivo chat.
type Chat struct {
	ID       string    `json:"id"`
	Client   string    `json:"client,omitempty"`
	Since    time.Time `json:"since,omitzero"`    // the client's previous chat_accepted
	Accepted time.Time `json:"accepted,omitzero"` // the newest one of this chat
	NotedTo  int       `json:"noted_to,omitempty"`
	Calls    []CallLog `json:"calls,omitempty"`
}

// CallLog is one telephone call of a chat (jivo-webhooks.md §a.2).
type CallLog struct {
	N         int       `json:"n"`
	Type      string    `json:"type,omitempty"` // callback | incoming | outgoing
	Phone     string    `json:"phone,omitempty"`
	Started   time.Time `json:"started,omitzero"`
	Connected time.Time `json:"connected,omitzero"` // agent_connected
	Ended     time.Time `json:"ended,omitzero"`
	Status    string    `json:"status,omitempty"`
	Record    string    `json:"record,omitempty"`
	NoteID    int64     `json:"note_id,omitempty"`
	NoteOn    string    `json:"note_on,omitempty"` // leads | contacts
}

// Deal is the bridge's record of one Jivo deal.
type Deal struct {
	ID     string `json:"id"`
	Client string `json:"client,omitempty"`
	LeadID int64  `json:"lead_id,omitempty"`
	Last   Object `json:"last,omitempty"`
	At     uint64 `json:"at,omitempty"`   // the newest event that Last is of
	Seq    uint64 `json:"seq,omitempty"`  // the event that made its lead without a contact
	Bare   bool   `json:"bare,omitempty"` // its lead has no contact yet
}

// JivoTask is the bridge's record of one Jivo task.
type JivoTask struct {
	ID    string `json:"id"`
	AmoID int64  `json:"amocrm_id,omitempty"`
	Last  Object `json:"last,omitempty"`
	At    uint64 `json:"at,omitempty"` // the newest event that Last is of
}
