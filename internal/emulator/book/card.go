package book

import (
	"slices"
	"strconv"
)

// Record is a lead, contact or company as the account keeps it. What the
// account hands out are copies. Times are unix seconds.
type Record struct {
	Kind          string // leads | contacts | companies
	ID            int64
	Name          string
	FirstName     string // contacts only
	LastName      string
	ResponsibleID int64
	CreatedBy     int64
	UpdatedBy     int64
	CreatedAt     int64
	UpdatedAt     int64
	Deleted       bool
	Hidden        bool // stands behind an unsorted lead that nobody accepted yet
	Fields        []Field
	Tags          []Tag

	Price        float64 // leads only, down to Contacts
	PipelineID   int64
	StatusID     int64
	LossReasonID int64
	ClosedAt     int64
	Contacts     []ContactLink

	CompanyID int64   // leads and contacts
	Leads     []int64 // contacts and companies

	index []indexed
}

// ContactLink ties a contact to a lead.
type ContactLink struct {
	ID   int64
	Main bool
}

// Field is one filled custom field of a record.
type Field struct {
	ID     int64
	Name   string
	Code   string
	Type   string
	Values []Value
}

// Value is one value of a custom field. Dates are unix seconds as digits,
// checkboxes "1" and "0".
type Value struct {
	Text     string
	EnumID   int64
	EnumCode string
}

// Unix is a date's moment in unix seconds, 0 for other values.
func (v Value) Unix() int64 {
	n, err := strconv.ParseInt(v.Text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Tag is a tag of a record.
type Tag struct {
	ID   int64
	Name string
}

// Values returns the texts of a custom field, found by name or code; nil if it is not filled.
func (r *Record) Values(nameOrCode string) []string {
	for _, f := range r.Fields {
		if f.Name != nameOrCode && f.Code != nameOrCode {
			continue
		}
		out := make([]string, len(f.Values))
		for i, v := range f.Values {
			out[i] = v.Text
		}
		return out
	}
	return nil
}

// Value returns the first text of a custom field, or "".
func (r *Record) Value(nameOrCode string) string {
	if v := r.Values(nameOrCode); len(v) > 0 {
		return v[0]
	}
	return ""
}

// TagNames returns the names of the record's tags.
func (r *Record) TagNames() []string {
	out := make([]string, len(r.Tags))
	for i, t := range r.Tags {
		out[i] = t.Name
	}
	return out
}

// Closed reports whether a lead is won or lost.
func (r *Record) Closed() bool { return r.StatusID == StatusWon || r.StatusID == StatusLost }

// Clone is a copy that shares nothing with the record.
func (r *Record) Clone() Record {
	c := *r
	c.Fields = slices.Clone(r.Fields)
	for i := range c.Fields {
		c.Fields[i].Values = slices.Clone(c.Fields[i].Values)
	}
	c.Tags = slices.Clone(r.Tags)
	c.Contacts = slices.Clone(r.Contacts)
	c.Leads = slices.Clone(r.Leads)
	c.index = nil
	return c
}

// Field is the filled field with an id, nil if it is not filled.
func (r *Record) Field(id int64) *Field {
	for i := range r.Fields {
		if r.Fields[i].ID == id {
			return &r.Fields[i]
		}
	}
	return nil
}

// SetField replaces the whole value list of a field; no values clear it
// (amocrm-api.md §7.5).
func (r *Record) SetField(def FieldDef, values []Value) {
	r.Fields = slices.DeleteFunc(r.Fields, func(f Field) bool { return f.ID == def.ID && len(values) == 0 })
	if len(values) == 0 {
		return
	}
	if f := r.Field(def.ID); f != nil {
		f.Values = values
		return
	}
	r.Fields = append(r.Fields, Field{ID: def.ID, Name: def.Name, Code: def.Code, Type: def.Type, Values: values})
}

// HasTag says whether the record has a tag of that name.
func (r *Record) HasTag(name string) bool {
	return slices.ContainsFunc(r.Tags, func(t Tag) bool { return t.Name == name })
}
