package event

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Client is the bridge's picture of one Jivo client of one connection, fed by
// every event that describes them, with the links to amoCRM.
type Client struct {
	ID          string            `json:"id"`
	Name        string            `json:"name,omitempty"`
	Phones      []string          `json:"phones,omitempty"` // E.164 where possible, else as given
	Emails      []string          `json:"emails,omitempty"` // lower case
	Description string            `json:"description,omitempty"`
	Company     string            `json:"company,omitempty"`
	Tags        []string          `json:"tags,omitempty"` // titles
	Responsible Agent             `json:"responsible,omitzero"`
	Category    string            `json:"category,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	Widget      string            `json:"widget,omitempty"`
	Described   bool              `json:"described,omitempty"` // some event said who this is
	Blacklisted bool              `json:"blacklisted,omitempty"`
	FirstTouch  *Touch            `json:"first_touch,omitempty"`
	Held        []Held            `json:"held,omitempty"` // finished chats of the time they were anonymous

	ContactID  int64     `json:"contact_id,omitempty"`
	CompanyID  int64     `json:"company_id,omitempty"` // assigned by an operator's link
	LinkedAt   time.Time `json:"linked_at,omitzero"`
	Leads      []Link    `json:"leads,omitempty"`     // newest last
	InfoChat   string    `json:"info_chat,omitempty"` // chat whose reply carried contact_info
	Accepted   time.Time `json:"accepted,omitzero"`   // the newest chat_accepted
	UpdatedAt  time.Time `json:"updated_at,omitzero"`
	ReceivedAt time.Time `json:"received_at,omitzero"` // newest event that described them
	Seq        uint64    `json:"seq,omitempty"`        // newest event that described them and was not imported
}

// Lapse drops what was held for the time the client would tell who they are, and is
// older at the given time than it may be: the first touch, and what they said. It
// reports whether there was any.
func (c *Client) Lapse(at time.Time, keep time.Duration) bool {
	lapsed := func(since time.Time) bool { return at.Sub(since) > keep }
	touch := c.FirstTouch != nil && lapsed(c.FirstTouch.At)
	if touch {
		c.FirstTouch = nil
	}
	held := len(c.Held)
	c.Held = slices.DeleteFunc(c.Held, func(h Held) bool { return lapsed(h.At) })
	return touch || len(c.Held) < held
}

// chatPerson begins the id of a person who is known by a chat alone.
const chatPerson = "chat-"

// ChatPerson is the client id under which the picture of a visitor without a
// number is kept: there is a person behind the chat all the same.
func ChatPerson(chat string) string { return chatPerson + chat }

// ChatOfPerson is the chat such a client id was made of; ok is false for a
// client with a number.
func ChatOfPerson(client string) (chat string, ok bool) { return strings.CutPrefix(client, chatPerson) }

// LineOfPerson is the line of the events of a person, by their client id.
func LineOfPerson(client string) string {
	if chat, ok := ChatOfPerson(client); ok {
		return "k:" + chat
	}
	return "c:" + client
}

// Agent is a Jivo agent. CRM-stream events know only the ID.
type Agent struct {
	ID    string `json:"id,omitempty"`
	Email string `json:"email,omitempty"`
	Name  string `json:"name,omitempty"`
}

// Touch is where a visitor came from at a visit.
type Touch struct {
	At      time.Time         `json:"at"`
	UTM     map[string]string `json:"utm,omitempty"` // source, medium, campaign, content, term
	Page    string            `json:"page,omitempty"`
	Title   string            `json:"title,omitempty"`
	City    string            `json:"city,omitempty"`
	Country string            `json:"country,omitempty"`
}

// Held is a chat finished while its visitor was anonymous; its transcript
// becomes a note once they are not.
type Held struct {
	Chat string    `json:"chat"`
	Seq  uint64    `json:"seq"`
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

// Key names the note that the transcript becomes: a chat may be finished several times.
func (h Held) Key() string { return "held:" + h.Chat + ":" + strconv.FormatUint(h.Seq, 10) }

// Link ties a lead to a client, and to the chats and the deal it stands for.
type Link struct {
	LeadID int64     `json:"lead_id"`
	Made   string    `json:"made,omitempty"` // chat | deal | found: who made the lead
	Bare   bool      `json:"bare,omitempty"` // made without a contact, because nobody had described the client
	At     time.Time `json:"at"`
	Chats  []string  `json:"chats,omitempty"`
	Deal   string    `json:"deal,omitempty"`
}

// Lead is what the bridge knows of an amoCRM lead (сделка). Ids, not names;
// the account's dictionary turns them into names.
type Lead struct {
	ID            int64            `json:"id"`
	Name          string           `json:"name,omitempty"`
	Price         float64          `json:"price,omitempty"`
	PipelineID    int64            `json:"pipeline_id,omitempty"`
	StatusID      int64            `json:"status_id,omitempty"`
	ResponsibleID int64            `json:"responsible_id,omitempty"`
	LossReasonID  int64            `json:"loss_reason_id,omitempty"`
	CreatedAt     int64            `json:"created_at,omitempty"` // unix seconds, the server's clock
	UpdatedAt     int64            `json:"updated_at,omitempty"`
	ClosedAt      int64            `json:"closed_at,omitempty"`
	Fields        map[int64]Values `json:"fields,omitempty"` // custom fields
	Tags          []string         `json:"tags,omitempty"`
	ContactIDs    []int64          `json:"contact_ids,omitempty"` // main contact first
	CompanyID     int64            `json:"company_id,omitempty"`
	Deleted       bool             `json:"deleted,omitempty"`
	// Partial says this came from a hook or thin answer: fields that are not
	// set are unknown rather than empty.
	Partial bool `json:"partial,omitempty"`
}

// Closed reports whether the lead is won (142) or lost (143) (amocrm-api.md §4.9).
func (l Lead) Closed() bool { return l.StatusID == StatusWon || l.StatusID == StatusLost }

// closedSince gives a closed lead that does not say since when (hooks carry no
// closed_at, amocrm-api.md §6.2) the time it was known by, else the given one.
func (l Lead) closedSince(old Lead, at int64) Lead {
	switch {
	case !l.Closed():
		l.ClosedAt = 0
	case l.ClosedAt == 0 && old.Closed() && old.ClosedAt != 0:
		l.ClosedAt = old.ClosedAt
	case l.ClosedAt == 0:
		l.ClosedAt = at
	}
	return l
}

// The two stage ids every pipeline shares (amocrm-api.md §4.9).
const (
	StatusWon  int64 = 142
	StatusLost int64 = 143
)

// Contact is what the bridge knows of an amoCRM contact.
type Contact struct {
	ID            int64            `json:"id"`
	Name          string           `json:"name,omitempty"`
	ResponsibleID int64            `json:"responsible_id,omitempty"`
	CreatedAt     int64            `json:"created_at,omitempty"`
	UpdatedAt     int64            `json:"updated_at,omitempty"`
	Phones        []Value          `json:"phones,omitempty"` // verbatim, with the enum they stand under
	Emails        []Value          `json:"emails,omitempty"`
	Fields        map[int64]Values `json:"fields,omitempty"`
	Tags          []string         `json:"tags,omitempty"`
	LeadIDs       []int64          `json:"lead_ids,omitempty"`
	CompanyID     int64            `json:"company_id,omitempty"`
	Company       string           `json:"company,omitempty"`
	IsCompany     bool             `json:"is_company,omitempty"`
	Deleted       bool             `json:"deleted,omitempty"`
	Partial       bool             `json:"partial,omitempty"`
}

// Value is one value of a custom field.
type Value struct {
	Text   string `json:"v"`
	EnumID int64  `json:"e,omitempty"`
	Enum   string `json:"c,omitempty"` // enum_code, e.g. WORK
}

// Values are the values of one custom field, in amoCRM's order.
type Values []Value

// Text returns the first value's text, or "".
func (v Values) Text() string {
	if len(v) == 0 {
		return ""
	}
	return v[0].Text
}

// Task is what the bridge knows of an amoCRM task.
type Task struct {
	ID            int64  `json:"id"`
	Text          string `json:"text,omitempty"`
	EntityType    string `json:"entity_type,omitempty"` // leads | contacts | companies
	EntityID      int64  `json:"entity_id,omitempty"`
	ResponsibleID int64  `json:"responsible_id,omitempty"`
	CompleteTill  int64  `json:"complete_till,omitempty"` // unix seconds
	Completed     bool   `json:"completed,omitempty"`
	Result        string `json:"result,omitempty"`
	CreatedAt     int64  `json:"created_at,omitempty"`
	UpdatedAt     int64  `json:"updated_at,omitempty"`
}

// Texts returns the texts of values.
func Texts(values []Value) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = v.Text
	}
	return out
}
