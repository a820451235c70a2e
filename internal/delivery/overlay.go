package delivery

import (
	"slices"
	"strconv"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// leadFrom is the lead a create item made, as far as the bridge can tell
// without reading it: what was not sent has amoCRM's default, and where the answer
// does not date it, it is as old as the request (amocrm-api.md §4.2).
func (j *job) leadFrom(item map[string]any, sentAt time.Time, res amocrm.Result) event.Lead {
	l := event.Lead{ID: res.ID, UpdatedAt: res.UpdatedAt, Partial: true}
	if l.UpdatedAt == 0 { // its own hook, and what a robot does to it before the answer comes, is newer
		a := j.c.Account // whose clock may be known since the answer only
		l.UpdatedAt = min(a.theirs(sentAt).Unix(), a.CRM.ServerTime().Unix()) - 1
	}
	l.CreatedAt = l.UpdatedAt
	dict := j.c.Account.Dict()
	if p, ok := dict.MainPipeline(); ok {
		l.PipelineID = p.ID
	}
	l.ResponsibleID = dict.CurrentUserID
	overlayLead(&l, item)
	if l.StatusID == 0 {
		if s, ok := dict.FirstStage(l.PipelineID); ok {
			l.StatusID = s.ID
		}
	}
	return l
}

// overlayLead puts what an item writes over what was known.
func overlayLead(l *event.Lead, item map[string]any) {
	if s, ok := item["name"].(string); ok {
		l.Name = s
	}
	if n, ok := number(item["price"]); ok {
		l.Price = n
	}
	overlayID(&l.PipelineID, item["pipeline_id"])
	overlayID(&l.StatusID, item["status_id"])
	overlayID(&l.ResponsibleID, item["responsible_user_id"])
	overlayID(&l.LossReasonID, item["loss_reason_id"])
	overlayFields(&l.Fields, item)
	l.Tags = withTags(l.Tags, item)
}

// contactFrom is the contact a create item made.
func (j *job) contactFrom(item map[string]any, cid int64, res amocrm.Result) event.Contact {
	c := event.Contact{ID: cid, CreatedAt: res.UpdatedAt, UpdatedAt: res.UpdatedAt}
	overlayContact(&c, item, j.c.Account.Dict())
	return c
}

func overlayContact(c *event.Contact, item map[string]any, dict *dict.Snapshot) {
	if s, ok := item["name"].(string); ok {
		c.Name = s
	}
	overlayID(&c.ResponsibleID, item["responsible_user_id"])
	overlayFields(&c.Fields, item)
	c.Tags = withTags(c.Tags, item)
	for code, to := range map[string]*[]event.Value{"PHONE": &c.Phones, "EMAIL": &c.Emails} {
		if v, ok := valuesOf(item, code, dict); ok {
			*to = v
		}
	}
}

// valuesOf reads a field by code out of an item's custom_fields_values.
func valuesOf(item map[string]any, code string, dict *dict.Snapshot) ([]event.Value, bool) {
	m := fieldOfItem(item, code, dict)
	if m == nil {
		return nil, false
	}
	return readValues(m), true
}

// fieldOfItem is a contact's field in an item, nil if it is not in it.
func fieldOfItem(item map[string]any, code string, dict *dict.Snapshot) map[string]any {
	f, known := dict.Field(contacts, code)
	fields, _ := item["custom_fields_values"].([]any)
	for _, e := range fields {
		m, _ := e.(map[string]any)
		fid, _ := number(m["field_id"])
		if c, _ := m["field_code"].(string); c == code || (known && int64(fid) == f.ID) {
			return m
		}
	}
	return nil
}

func readValues(field map[string]any) (out event.Values) {
	values, _ := field["values"].([]any)
	for _, v := range values {
		m, _ := v.(map[string]any)
		var val event.Value
		switch t := m["value"].(type) {
		case string:
			val.Text = t
		case float64:
			val.Text = strconv.FormatFloat(t, 'f', -1, 64)
		case bool:
			val.Text = map[bool]string{true: "1", false: "0"}[t]
		}
		n, _ := number(m["enum_id"])
		val.EnumID = int64(n)
		val.Enum, _ = m["enum_code"].(string)
		out = append(out, val)
	}
	return out
}

func overlayFields(to *map[int64]event.Values, item map[string]any) {
	fields, _ := item["custom_fields_values"].([]any)
	for _, e := range fields {
		m, _ := e.(map[string]any)
		fid, ok := number(m["field_id"])
		if !ok || fid == 0 {
			continue
		}
		if *to == nil {
			*to = map[int64]event.Values{}
		}
		(*to)[int64(fid)] = readValues(m)
	}
}

// withTags is what an item makes of the tags that were there.
func withTags(have []string, item map[string]any) []string {
	for _, t := range tagsOf(item, "tags_to_delete") {
		have = slices.DeleteFunc(slices.Clone(have), func(h string) bool { return sameName(h, t) })
	}
	for _, t := range tagsOf(item, "tags_to_add") {
		found := false
		for _, h := range have {
			found = found || sameName(h, t)
		}
		if !found {
			have = append(have, t)
		}
	}
	return have
}

func overlayID(to *int64, v any) {
	if n, ok := number(v); ok && n != 0 {
		*to = int64(n)
	}
}

func number(v any) (float64, bool) {
	n, ok := v.(float64)
	return n, ok
}
