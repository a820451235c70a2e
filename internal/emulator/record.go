package emulator

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

func lower(s string) string { return strings.ToLower(s) }

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

func (r *Record) clone() Record {
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

func (r *Record) field(id int64) *Field {
	for i := range r.Fields {
		if r.Fields[i].ID == id {
			return &r.Fields[i]
		}
	}
	return nil
}

// setField replaces the whole value list of a field; no values clear it
// (amocrm-api.md §7.5).
func (r *Record) setField(def FieldDef, values []Value) {
	r.Fields = slices.DeleteFunc(r.Fields, func(f Field) bool { return f.ID == def.ID && len(values) == 0 })
	if len(values) == 0 {
		return
	}
	if f := r.field(def.ID); f != nil {
		f.Values = values
		return
	}
	r.Fields = append(r.Fields, Field{ID: def.ID, Name: def.Name, Code: def.Code, Type: def.Type, Values: values})
}

func (r *Record) hasTag(name string) bool {
	return slices.ContainsFunc(r.Tags, func(t Tag) bool { return t.Name == name })
}

// indexed is one version of what the search index holds of a record.
type indexed struct {
	From   time.Time
	Text   string
	Digits []string // the digits of each filled field
}

// reindex gives the search index a new version, seen from now+lag on.
func (a *Account) reindex(r *Record) {
	now := a.opt.Now()
	filled := []string{r.Name}
	if r.Price != 0 {
		filled = append(filled, strconv.FormatFloat(r.Price, 'f', -1, 64))
	}
	for _, f := range r.Fields {
		for _, v := range f.Values {
			filled = append(filled, v.Text)
		}
	}
	v := indexed{From: now.Add(a.opt.IndexLag), Text: lower(strings.Join(filled, "\n"))}
	for _, s := range filled {
		if d := digits(s); d != "" {
			v.Digits = append(v.Digits, d)
		}
	}
	// Versions that are already overtaken will never be looked at again.
	for len(r.index) > 1 && !r.index[1].From.After(now) {
		r.index = r.index[1:]
	}
	r.index = append(r.index, v)
}

// matches is amoCRM's `query`: full text over every filled field, phones by
// their last ten digits whatever field the digits stand in, as of the newest
// version the index has seen (amocrm-api.md §4.3, §7.3).
func (r *Record) matches(query string, now time.Time) bool {
	var v *indexed
	for i := range r.index {
		if !r.index[i].From.After(now) {
			v = &r.index[i]
		}
	}
	if v == nil {
		return false
	}
	if d, ok := phoneLike(query); ok {
		d = lastTen(d)
		return slices.ContainsFunc(v.Digits, func(s string) bool { return strings.Contains(s, d) })
	}
	for _, word := range strings.Fields(lower(query)) {
		if !strings.Contains(v.Text, word) {
			return false
		}
	}
	return true
}

// phoneLike tells a query of digits and phone punctuation, and its digits.
func phoneLike(q string) (string, bool) {
	if strings.Trim(q, "0123456789+-() .") != "" {
		return "", false
	}
	d := digits(q)
	return d, len(d) >= 5
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII || !unicode.IsDigit(r) {
			return -1
		}
		return r
	}, s)
}

func lastTen(d string) string { return d[max(0, len(d)-10):] }
