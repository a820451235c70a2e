package rest

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/amocrm/lenient"
	"github.com/jivo-amocrm/bridge/internal/event"
)

type field struct {
	ID     lenient.Number      `json:"field_id"`
	Code   lenient.Words       `json:"field_code"`
	Values lenient.Many[value] `json:"values"`
}

type value struct {
	Value    json.RawMessage `json:"value"`
	EnumID   lenient.Number  `json:"enum_id"`
	EnumCode lenient.Words   `json:"enum_code"`
	Enum     lenient.Words   `json:"enum"` // older spelling of enum_code
}

type named struct {
	ID     lenient.Number `json:"id"`
	Name   lenient.Words  `json:"name"`
	IsMain lenient.Truth  `json:"is_main"`
}

// Entity is a lead, a contact or a company as a read gives it.
type Entity struct {
	ID            lenient.Number      `json:"id"`
	Name          lenient.Words       `json:"name"`
	Price         lenient.Amount      `json:"price"`
	ResponsibleID lenient.Number      `json:"responsible_user_id"`
	StatusID      lenient.Number      `json:"status_id"`
	PipelineID    lenient.Number      `json:"pipeline_id"`
	LossReasonID  lenient.Number      `json:"loss_reason_id"`
	CreatedAt     lenient.Number      `json:"created_at"`
	UpdatedAt     lenient.Number      `json:"updated_at"`
	ClosedAt      lenient.Number      `json:"closed_at"`
	Deleted       lenient.Truth       `json:"is_deleted"`
	Fields        lenient.Many[field] `json:"custom_fields_values"`
	Embedded      struct {
		Tags      lenient.Many[named] `json:"tags"`
		Companies lenient.Many[named] `json:"companies"`
		Contacts  lenient.Many[named] `json:"contacts"`
		Leads     lenient.Many[named] `json:"leads"`
	} `json:"_embedded"`
}

// text returns a field value as text: numbers as written, booleans as
// "true"/"false", objects (legal_entity) as JSON.
func (v value) text() string {
	raw := bytes.TrimSpace(v.Value)
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	if s := lenient.Scalar(raw); s != "" {
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

func (e Entity) fields() map[int64]event.Values {
	if len(e.Fields) == 0 {
		return nil
	}
	fields := make(map[int64]event.Values, len(e.Fields))
	for _, f := range e.Fields {
		fields[int64(f.ID)] = f.values()
	}
	return fields
}

func (f field) values() event.Values {
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
func (e Entity) coded(code string) []event.Value {
	var values []event.Value
	for _, f := range e.Fields {
		if strings.EqualFold(string(f.Code), code) {
			values = append(values, f.values()...)
		}
	}
	return values
}

func (e Entity) tags() []string {
	var tags []string
	for _, t := range e.Embedded.Tags {
		if t.Name != "" {
			tags = append(tags, string(t.Name))
		}
	}
	return tags
}

// Lead returns the entity as a lead, its main contact first.
func (e Entity) Lead() event.Lead {
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

// Company returns the entity as a company, which event keeps as a contact.
func (e Entity) Company() event.Contact {
	c := e.Contact()
	c.IsCompany = true
	return c
}

// Contact returns the entity as a contact.
func (e Entity) Contact() event.Contact {
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

// Task is a task as a read gives it.
type Task struct {
	ID            lenient.Number `json:"id"`
	Text          lenient.Words  `json:"text"`
	EntityType    lenient.Words  `json:"entity_type"`
	EntityID      lenient.Number `json:"entity_id"`
	ResponsibleID lenient.Number `json:"responsible_user_id"`
	CompleteTill  lenient.Number `json:"complete_till"`
	Completed     lenient.Truth  `json:"is_completed"`
	// Result is [] when empty, an object otherwise (amocrm-api.md §4.7).
	Result lenient.Many[struct {
		Text lenient.Words `json:"text"`
	}] `json:"result"`
	CreatedAt lenient.Number `json:"created_at"`
	UpdatedAt lenient.Number `json:"updated_at"`
}

// Task returns the task as the bridge knows it.
func (t Task) Task() event.Task {
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
