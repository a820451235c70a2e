package event

import (
	"encoding/json"
	"time"
)

// Find says how the contact or the lead of an event is looked for.
type Find struct {
	By       []string      // in order: client, phone, email / chat, open, open_any, recent, deal, adopt
	Recent   time.Duration // for "recent": a lead closed not longer ago
	Pipeline string        // name or id that "open" is narrowed to; "" = any
	Create   bool
	Linked   bool // only the linked one counts; nothing is searched or made (built-ins of the CRM stream)
}

// Mode is a block's `update:`.
type Mode string

// The three ways an existing entity is written (product.md › Updating).
const (
	Fill      Mode = "fill"
	Overwrite Mode = "overwrite"
	Never     Mode = "never"
)

// Plan is the first phase of mapping: what the matching rules want found.
type Plan struct {
	Rules    []RuleTrace
	Contact  *Find // nil: no rule speaks of the contact
	Lead     *Find
	Empty    bool // no rule and no built-in matched
	Warnings []string
}

// CRM is what was found, as rules see it in the second phase: names, not ids.
type CRM struct {
	Contact CRMEntity
	Lead    CRMEntity
}

// CRMEntity is a found contact or lead in people's words; zero if none.
type CRMEntity struct {
	ID          string
	Name        string
	Responsible string
	Pipeline    string
	Stage       string
	Price       float64
}

// Desired is the second phase of mapping: what the CRM should look like.
// Names are still names; the account's dictionary resolves them.
type Desired struct {
	Contact  *Entity
	Lead     *Entity
	Notes    []Note
	Tasks    []TaskChange
	Calls    []Call
	Warnings []string
}

// Entity is what a contact or lead should hold. Empty values are never written.
type Entity struct {
	Update      Mode
	Create      bool
	Name        string
	Phones      []string // added beside what is there
	Emails      []string
	Company     string
	Price       string
	Pipeline    string
	Stage       string // a stage's name or id, unsorted, won, lost
	LossReason  string
	Responsible string // an agent e-mail or id, an amoCRM user's e-mail, name or id
	Tags        []string
	TagsRemove  []string
	// Fields by field name, code or id. A leading "?" makes one soft: left out
	// without a warning where the account has no such field.
	Fields map[string]string
	// Changed lists what changed in Jivo since the last event of the same
	// deal or client: name, price, stage, responsible, company. These are written
	// even under fill.
	Changed []string
}

// Note is one note to be added. Key is the rule's name: with the event's
// number it makes the note's ledger key.
type Note struct {
	Key     string
	To      string // lead | contact
	Text    string
	Service string // not empty: an extended_service_message of this service
	Chat    string
}

// TaskOp is what is to happen to a task.
type TaskOp string

// What may happen to a task.
const (
	TaskCreate   TaskOp = "create"
	TaskChanged  TaskOp = "change"
	TaskComplete TaskOp = "complete"
)

// TaskChange is one task to be created, changed or completed.
type TaskChange struct {
	Key         string
	Op          TaskOp
	To          string // lead | contact
	Jivo        string // Jivo's task id; "" for a rule's task
	Deal        string // Jivo's deal id the task stands on
	Text        string
	Due         time.Time     // zero: DueIn after the event
	DueIn       time.Duration // counted inside the work hours
	Once        bool
	Responsible string
	Result      string
}

// Call is one call note. N is its number within the chat, counted from 1.
type Call struct {
	Key       string
	To        string
	Chat      string
	N         int
	Incoming  bool
	Phone     string
	Answered  bool // an agent took it
	Duration  int  // seconds
	Record    string
	Status    string // end | error
	Reason    string
	CallBack  string // text of the task to call back, "" = none
	LateAsset bool   // only the record link came: patch the note of the same call
}

// ChangeState is where one change of an event stands in the ledger.
type ChangeState string

// The life of a change: open → sent → settled, or dropped when amoCRM refused it.
const (
	Open    ChangeState = "open"
	Sent    ChangeState = "sent"
	Settled ChangeState = "settled"
	Dropped ChangeState = "dropped"
)

// Op is what a change does.
type Op string

// What a change may do to amoCRM.
const (
	OpCreate Op = "create"
	OpUpdate Op = "update"
	OpLink   Op = "link"
)

// Target is the kind of thing a change is about.
type Target string

// What a change may be about.
const (
	OnContact Target = "contact"
	OnLead    Target = "lead"
	OnCompany Target = "company"
	OnNote    Target = "note"
	OnTask    Target = "task"
	OnCall    Target = "call"
)

// Change is one intent of one event, with its stand in the ledger. Its Key is
// stable: event seq, operation, target and rule name, never position or content.
type Change struct {
	Key    string      `json:"key"`
	Op     Op          `json:"op"`
	Target Target      `json:"target"`
	Rule   string      `json:"rule,omitempty"`
	State  ChangeState `json:"state"`
	AmoID  int64       `json:"amocrm_id,omitempty"` // of the entity made or changed

	// EntityType and EntityID say where a note, call or task goes, or which
	// entity an update is for. ID 0 with a type: the one this event resolves.
	EntityType string          `json:"entity_type,omitempty"` // leads | contacts | companies
	EntityID   int64           `json:"entity_id,omitempty"`
	Item       json.RawMessage `json:"item,omitempty"`   // amoCRM's wire item
	Marker     string          `json:"marker,omitempty"` // what a look-up compares: marker token, uniq or text
	Jivo       string          `json:"jivo,omitempty"`   // Jivo id the made entity is remembered under (task)

	SentAt time.Time `json:"sent_at,omitzero"` // before the request left: by our clock, or amoCRM's where ours is off
	// Ahead is by how much SentAt was ahead of our clock then.
	Ahead    time.Duration `json:"ahead,omitempty"`
	LookedAt time.Time     `json:"looked_at,omitzero"` // last look-up that did not find it
	Looks    int           `json:"looks,omitempty"`
	Error    string        `json:"error,omitempty"`
}
