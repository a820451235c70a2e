package rehearse

import (
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// overlayLead puts what an item writes over a lead.
func overlayLead(l *event.Lead, item map[string]any) {
	if s := text(item["name"]); s != "" {
		l.Name = s
	}
	if _, ok := item["price"]; ok {
		l.Price = number(item["price"])
	}
	for key, to := range map[string]*int64{
		"pipeline_id": &l.PipelineID, "status_id": &l.StatusID, "responsible_user_id": &l.ResponsibleID, "loss_reason_id": &l.LossReasonID,
	} {
		if n := int64(number(item[key])); n != 0 {
			*to = n
		}
	}
	l.Tags = append(l.Tags, tags(item, "tags_to_add")...)
	for _, f := range fieldsOf(item) {
		if f.id != 0 {
			if l.Fields == nil {
				l.Fields = map[int64]event.Values{}
			}
			l.Fields[f.id] = f.values
		}
	}
}

// contactOf is a contact with what an item writes over it.
func (s *Sandbox) contactOf(c event.Contact, item map[string]any) event.Contact {
	if name := text(item["name"]); name != "" {
		c.Name = name
	}
	if n := int64(number(item["responsible_user_id"])); n != 0 {
		c.ResponsibleID = n
	}
	c.Tags = append(c.Tags, tags(item, "tags_to_add")...)
	for _, f := range fieldsOf(item) {
		known, _ := s.dict.Field("contacts", f.key())
		switch {
		case known.Code == "PHONE" || f.code == "PHONE":
			c.Phones = f.values
		case known.Code == "EMAIL" || f.code == "EMAIL":
			c.Emails = f.values
		case f.id != 0:
			if c.Fields == nil {
				c.Fields = map[int64]event.Values{}
			}
			c.Fields[f.id] = f.values
		}
	}
	return c
}

// wireField is one entry of custom_fields_values.
type wireField struct {
	id     int64
	code   string
	values event.Values
}

func (f wireField) key() string {
	if f.id != 0 {
		return strconv.FormatInt(f.id, 10)
	}
	return f.code
}

func fieldsOf(item map[string]any) (out []wireField) {
	list, _ := item["custom_fields_values"].([]any)
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			continue
		}
		f := wireField{id: int64(number(m["field_id"])), code: text(m["field_code"])}
		values, _ := m["values"].([]any)
		for _, v := range values {
			if one, ok := v.(map[string]any); ok {
				f.values = append(f.values, event.Value{Text: text(one["value"]), EnumID: int64(number(one["enum_id"])), Enum: text(one["enum_code"])})
			}
		}
		out = append(out, f)
	}
	return out
}

// tags lists the names under a key of an item.
func tags(item map[string]any, key string) (out []string) {
	list, _ := item[key].([]any)
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			out = append(out, text(m["name"]))
		}
	}
	return out
}

// text is a scalar as text, "" for anything else.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v)
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case int:
		return strconv.Itoa(v)
	}
	return ""
}

func number(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case int64:
		return float64(v)
	case int:
		return float64(v)
	}
	return 0
}
