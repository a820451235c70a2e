// Package mapping turns events into what the CRM should look like. It is pure:
// rules are compiled once into a Program, which is asked twice for each event,
// first what to find (Plan), then, with what was found, what to write
// (Desired). It knows no clock, no network and no store.
package mapping

// Text is a scalar of the config with the place of its first character (inside
// the quotes, if it has any), so that a compile error can point into it. Line
// and Col count from 1, Col in characters; Line 0 means a built-in.
type Text struct {
	Value     string
	Line, Col int
	Set       bool // the key stands in the config, even if its value is empty
}

// Rule is one entry of `rules:` (product.md › Rules), read but not compiled.
type Rule struct {
	Name    Text
	On      []Text
	When    Text
	Stop    bool
	Contact *ContactBlock
	Lead    *LeadBlock
	Note    *NoteBlock
	Task    *TaskBlock
	Call    *CallBlock

	Line, Col int
}

// ContactBlock is a rule's `contact:`.
type ContactBlock struct {
	Find        []Text // client, phone, email
	Create      *bool  // nil: not said
	Update      Text   // fill | overwrite | never
	Name        Text
	Phone       Text
	Email       Text
	Company     Text
	Tags        []Text
	TagsRemove  []Text
	Responsible Text
	Fields      []Field
	Line, Col   int
}

// LeadBlock is a rule's `lead:`.
type LeadBlock struct {
	Find        []Text // chat, open, open_any, "recent: 7d" (as Value "recent: 7d"), deal
	Create      *bool
	Update      Text
	Pipeline    Text
	Stage       Text
	Name        Text
	Price       Text
	Responsible Text
	LossReason  Text
	Tags        []Text
	TagsRemove  []Text
	Fields      []Field
	Line, Col   int
}

// Field is one entry of a `fields:` map: a custom field by name, code or id. A
// key with a leading "?" is soft: it is kept in event.Entity.Fields with the "?",
// and where the account has no such field the value is left out without a warning.
type Field struct {
	Key   Text
	Value Text
}

// NoteBlock is a rule's `note:`.
type NoteBlock struct {
	To        Text // lead | contact
	Text      Text
	Line, Col int
}

// TaskBlock is a rule's `task:`. Due is a duration such as 1h or 2d.
type TaskBlock struct {
	To          Text
	Text        Text
	Due         Text
	Once        bool
	Responsible Text
	Line, Col   int
}

// CallBlock is a rule's `call:`.
type CallBlock struct {
	To        Text
	Line, Col int
}
