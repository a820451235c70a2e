package amocrm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// number is a whole number as amoCRM gives it: a JSON number, a string, null,
// or a boolean for want of one (amocrm-api.md §7.10). What is no number is 0.
type number int64

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (n *number) UnmarshalJSON(b []byte) error {
	*n = 0
	s := scalar(b)
	if v, err := strconv.ParseInt(s, 10, 64); err == nil {
		*n = number(v)
	} else if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 1<<62 {
		*n = number(f)
	}
	return nil
}

// amount is a sum of money: int or float, perhaps a string.
type amount float64

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (a *amount) UnmarshalJSON(b []byte) error {
	*a = 0
	if f, err := strconv.ParseFloat(scalar(b), 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
		*a = amount(f)
	}
	return nil
}

// words is a text, or a number where a text was due; null and the rest are "".
type words string

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (w *words) UnmarshalJSON(b []byte) error {
	*w = words(scalar(b))
	return nil
}

// truth is a boolean, also as 0/1 or "0"/"1".
type truth bool

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (t *truth) UnmarshalJSON(b []byte) error {
	s := scalar(b)
	*t = truth(string(bytes.TrimSpace(b)) == "true" || s == "1" || s == "true")
	return nil
}

// many is a list that may be null, or an object where a list was due
// (amocrm-api.md §4.2 loss_reason). Entries of a wrong shape are left out.
type many[T any] []T

// UnmarshalJSON implements json.Unmarshaler; it never fails.
func (m *many[T]) UnmarshalJSON(b []byte) error {
	*m = nil
	var raw []json.RawMessage
	if json.Unmarshal(b, &raw) != nil {
		if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '{' {
			raw = []json.RawMessage{b}
		}
	}
	for _, r := range raw {
		var v T
		if json.Unmarshal(r, &v) == nil {
			*m = append(*m, v)
		}
	}
	return nil
}

type restField struct {
	ID     number          `json:"field_id"`
	Code   words           `json:"field_code"`
	Values many[restValue] `json:"values"`
}

type restValue struct {
	Value    json.RawMessage `json:"value"`
	EnumID   number          `json:"enum_id"`
	EnumCode words           `json:"enum_code"`
	Enum     words           `json:"enum"` // older spelling of enum_code
}

type restNamed struct {
	ID     number `json:"id"`
	Name   words  `json:"name"`
	IsMain truth  `json:"is_main"`
}

type restEntity struct {
	ID            number          `json:"id"`
	Name          words           `json:"name"`
	Price         amount          `json:"price"`
	ResponsibleID number          `json:"responsible_user_id"`
	StatusID      number          `json:"status_id"`
	PipelineID    number          `json:"pipeline_id"`
	LossReasonID  number          `json:"loss_reason_id"`
	CreatedAt     number          `json:"created_at"`
	UpdatedAt     number          `json:"updated_at"`
	ClosedAt      number          `json:"closed_at"`
	Deleted       truth           `json:"is_deleted"`
	Fields        many[restField] `json:"custom_fields_values"`
	Embedded      struct {
		Tags      many[restNamed] `json:"tags"`
		Companies many[restNamed] `json:"companies"`
		Contacts  many[restNamed] `json:"contacts"`
		Leads     many[restNamed] `json:"leads"`
	} `json:"_embedded"`
}

// text returns a field value as text: numbers as written, booleans as
// "true"/"false", objects (legal_entity) as JSON.
func (v restValue) text() string {
	raw := bytes.TrimSpace(v.Value)
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	if s := scalar(raw); s != "" {
		return s
	}
	if raw[0] == '"' {
		return ""
	}
	var out bytes.Buffer
	if json.Compact(&out, raw) != nil {
		return ""
	}
	return out.String()
}

func (e restEntity) fields() map[int64]event.Values {
	if len(e.Fields) == 0 {
		return nil
	}
	fields := make(map[int64]event.Values, len(e.Fields))
	for _, f := range e.Fields {
		fields[int64(f.ID)] = f.values()
	}
	return fields
}

func (f restField) values() event.Values {
	values := make(event.Values, 0, len(f.Values))
	for _, v := range f.Values {
		code := string(v.EnumCode)
		if code == "" {
			code = string(v.Enum)
		}
		values = append(values, event.Value{Text: v.text(), EnumID: int64(v.EnumID), Enum: code})
	}
	return values
}

// coded returns the values of every field with the given code.
func (e restEntity) coded(code string) []event.Value {
	var values []event.Value
	for _, f := range e.Fields {
		if strings.EqualFold(string(f.Code), code) {
			values = append(values, f.values()...)
		}
	}
	return values
}

func (e restEntity) tags() []string {
	var tags []string
	for _, t := range e.Embedded.Tags {
		if t.Name != "" {
			tags = append(tags, string(t.Name))
		}
	}
	return tags
}

func (e restEntity) lead() event.Lead {
	l := event.Lead{
		ID: int64(e.ID), Name: string(e.Name), Price: float64(e.Price),
		PipelineID: int64(e.PipelineID), StatusID: int64(e.StatusID),
		ResponsibleID: int64(e.ResponsibleID), LossReasonID: int64(e.LossReasonID),
		CreatedAt: int64(e.CreatedAt), UpdatedAt: int64(e.UpdatedAt), ClosedAt: int64(e.ClosedAt),
		Fields: e.fields(), Tags: e.tags(), Deleted: bool(e.Deleted),
	}
	var rest []int64
	for _, c := range e.Embedded.Contacts {
		if c.IsMain {
			l.ContactIDs = append(l.ContactIDs, int64(c.ID))
		} else {
			rest = append(rest, int64(c.ID))
		}
	}
	l.ContactIDs = append(l.ContactIDs, rest...)
	if len(e.Embedded.Companies) > 0 {
		l.CompanyID = int64(e.Embedded.Companies[0].ID)
	}
	return l
}

func (e restEntity) contact() event.Contact {
	c := event.Contact{
		ID: int64(e.ID), Name: string(e.Name), ResponsibleID: int64(e.ResponsibleID),
		CreatedAt: int64(e.CreatedAt), UpdatedAt: int64(e.UpdatedAt),
		Phones: e.coded("PHONE"), Emails: e.coded("EMAIL"),
		Fields: e.fields(), Tags: e.tags(), Deleted: bool(e.Deleted),
	}
	for _, l := range e.Embedded.Leads {
		c.LeadIDs = append(c.LeadIDs, int64(l.ID))
	}
	if len(e.Embedded.Companies) > 0 {
		c.CompanyID = int64(e.Embedded.Companies[0].ID)
		c.Company = string(e.Embedded.Companies[0].Name)
	}
	return c
}

type restTask struct {
	ID            number `json:"id"`
	Text          words  `json:"text"`
	EntityType    words  `json:"entity_type"`
	EntityID      number `json:"entity_id"`
	ResponsibleID number `json:"responsible_user_id"`
	CompleteTill  number `json:"complete_till"`
	Completed     truth  `json:"is_completed"`
	// Result is [] when empty, an object otherwise (amocrm-api.md §4.7).
	Result many[struct {
		Text words `json:"text"`
	}] `json:"result"`
	CreatedAt number `json:"created_at"`
	UpdatedAt number `json:"updated_at"`
}

func (t restTask) task() event.Task {
	task := event.Task{
		ID: int64(t.ID), Text: string(t.Text), EntityType: string(t.EntityType), EntityID: int64(t.EntityID),
		ResponsibleID: int64(t.ResponsibleID), CompleteTill: int64(t.CompleteTill), Completed: bool(t.Completed),
		CreatedAt: int64(t.CreatedAt), UpdatedAt: int64(t.UpdatedAt),
	}
	if len(t.Result) > 0 {
		task.Result = string(t.Result[0].Text)
	}
	return task
}

// NoteInfo is a note as a look-up needs it.
type NoteInfo struct {
	ID        int64
	EntityID  int64
	Type      string // note_type: common, extended_service_message, call_in, …
	Text      string
	Uniq      string // of calls
	CreatedAt int64
}

type restNote struct {
	ID        number `json:"id"`
	EntityID  number `json:"entity_id"`
	Type      words  `json:"note_type"`
	CreatedAt number `json:"created_at"`
	// Params is [] when empty.
	Params many[struct {
		Text words `json:"text"`
		Uniq words `json:"uniq"`
	}] `json:"params"`
}

func (n restNote) note() NoteInfo {
	info := NoteInfo{ID: int64(n.ID), EntityID: int64(n.EntityID), Type: string(n.Type), CreatedAt: int64(n.CreatedAt)}
	if len(n.Params) > 0 {
		info.Text, info.Uniq = string(n.Params[0].Text), string(n.Params[0].Uniq)
	}
	return info
}

// decode reads a JSON answer into out.
func decode(status int, body []byte, out any) error {
	if err := json.Unmarshal(body, out); err != nil {
		// The shape is not what it should be although it is JSON: this
		// read's own trouble, not the account's.
		return &Failed{Status: status, Trouble: BadAnswer, Err: fmt.Errorf("decode: %s", shapeOf(err))}
	}
	return nil
}

// shapeOf says where JSON had a wrong shape, without the value itself.
func shapeOf(err error) string {
	if t, ok := err.(*json.UnmarshalTypeError); ok {
		return fmt.Sprintf("%s is no %s", t.Field, t.Type)
	}
	return "broken JSON"
}

// entries decodes the entries of a list; those of a wrong shape are left out.
func entries[T any](body []byte, collection string) []T {
	var all []T
	for _, raw := range list(body, collection) {
		var v T
		if json.Unmarshal(raw, &v) == nil {
			all = append(all, v)
		}
	}
	return all
}
