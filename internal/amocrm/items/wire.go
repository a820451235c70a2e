package items

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jivo-amocrm/bridge/internal/amocrm/spelling"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// Wrote returns what an item of Lead or Contact writes, by field key ("name",
// "price", "responsible", "field:123", "tag:vip"), to be remembered and handed back as
// `wrote`: under fill, what the bridge wrote itself it may write again. The
// texts mean something to this package only. item may have been through JSON.
func Wrote(item map[string]any) map[string]string {
	out := map[string]string{}
	for key, wire := range map[string]string{keyName: "name", keyPrice: "price", keyResponsible: "responsible_user_id"} {
		if text := spelling.Scalar(item[wire]); text != "" {
			out[key] = text
		}
	}
	for list, mark := range map[string]string{"tags_to_add": "1", "tags_to_delete": ""} {
		tags, _ := item[list].([]any)
		for _, t := range tags {
			out[keyTag+spelling.Fold(spelling.Scalar(t))] = mark // only tags the bridge added are ever removed
		}
	}
	fields, _ := item["custom_fields_values"].([]any)
	for _, entry := range fields {
		field, _ := entry.(map[string]any)
		id := spelling.Scalar(field["field_id"])
		values, _ := field["values"].([]any)
		if id == "" || len(values) == 0 {
			continue
		}
		var texts []string
		for _, v := range values {
			value, _ := v.(map[string]any)
			text := spelling.Scalar(value["value"])
			if enum := spelling.Scalar(value["enum_id"]); text == "" && enum != "" {
				text = enumMark + enum
			}
			texts = append(texts, text)
		}
		out[keyField+id] = strings.Join(texts, valueSeparator)
	}
	return out
}

// Party is a contact or company of a new lead: one that exists (ID), one to be
// made (Item), or none (zero).
type Party struct {
	ID   int64
	Item map[string]any
}

func (p Party) wire() []any {
	switch {
	case p.ID != 0:
		return []any{map[string]any{"id": p.ID}}
	case len(p.Item) > 0:
		return []any{p.Item}
	}
	return nil
}

// Complex returns an item of POST /api/v4/leads/complex: a new lead with
// its contact and company (amocrm-api.md §4.2). The parts are not changed.
func Complex(lead map[string]any, contact, company Party) map[string]any {
	item := make(map[string]any, len(lead)+1)
	for k, v := range lead {
		item[k] = v
	}
	embedded := map[string]any{}
	if c := contact.wire(); c != nil {
		embedded["contacts"] = c
	}
	if c := company.wire(); c != nil {
		embedded["companies"] = c
	}
	if len(embedded) > 0 {
		item["_embedded"] = embedded
	}
	return item
}

// Company returns a company to be made, nil without a name.
func Company(name string, responsible int64) map[string]any {
	if name = spelling.Cut(spelling.Line(name), maxName); name == "" {
		return nil
	}
	item := map[string]any{"name": name}
	if responsible != 0 {
		item["responsible_user_id"] = responsible
	}
	return item
}

// Link returns an item of POST /api/v4/{leads|contacts}/link: entity id is
// linked to toID of toType (contacts, companies). main makes a contact the main
// one of a lead (amocrm-api.md §4.5).
func Link(id int64, toType string, toID int64, main bool) map[string]any {
	item := map[string]any{"entity_id": id, "to_entity_id": toID, "to_entity_type": toType}
	if toType == spelling.Contacts {
		item["metadata"] = map[string]any{"is_main": main}
	}
	return item
}

// Note returns a note: a plain one, or, with a service, an
// extended_service_message. It starts no digital pipeline and is nobody's
// (product.md › Authorship and noise). It returns nil without a text. The
// entity_id is put in when the note leaves: its entity may not exist yet.
func (s *Shaper) Note(text, service string) map[string]any {
	if text = spelling.Text(text); text == "" {
		return nil
	}
	if service = spelling.Line(service); service != "" {
		return noteItem("extended_service_message", map[string]any{"service": service, "text": text})
	}
	return noteItem("common", map[string]any{"text": text})
}

func noteItem(kind string, params map[string]any) map[string]any {
	return map[string]any{
		"note_type": kind, "params": params,
		"created_by": 0, "is_need_to_trigger_digital_pipeline": false,
	}
}

// Call returns the note of a call, without its entity_id as Note does. uniq is
// the call's own marker: amoCRM keeps it and a look-up compares it. Author and
// responsible are the same user, as call analytics asks (amocrm-api.md §4.6).
func (s *Shaper) Call(c event.Call, uniq string, responsible int64) map[string]any {
	kind := "call_out"
	if c.Incoming {
		kind = "call_in"
	}
	params := map[string]any{
		"uniq": uniq, "duration": max(c.Duration, 0), "source": callSource,
		"link": spelling.Line(c.Record), "phone": spelling.Line(c.Phone),
	}
	item := noteItem(kind, params)
	if responsible != 0 {
		params["call_responsible"] = responsible
		item["created_by"], item["responsible_user_id"] = responsible, responsible
	}
	return item
}

const callSource = "Jivo"

// followUp is the task type every account has (amocrm-api.md §4.7).
const followUp = 1

// Task returns a task to be made for responsible (0: amoCRM chooses). The
// entity_id is left out while it is 0. amoCRM takes no task without a text, so
// an empty one is a dash.
func (s *Shaper) Task(t event.TaskChange, due time.Time, responsible int64, entityType string, entityID int64) map[string]any {
	text := spelling.Text(t.Text)
	if text == "" {
		text = "—"
	}
	item := map[string]any{"text": text, "complete_till": due.Unix(), "task_type_id": followUp}
	if entityType != "" {
		item["entity_type"] = entityType
	}
	if entityID != 0 {
		item["entity_id"] = entityID
	}
	if responsible != 0 {
		item["responsible_user_id"] = responsible
	}
	return item
}

// TaskPatch returns what a change or completion writes to a known task, without
// its id, nil if nothing (amocrm-api.md §4.7). An empty text, a zero due time
// and responsible 0 leave what is there.
func (s *Shaper) TaskPatch(t event.TaskChange, due time.Time, responsible int64) map[string]any {
	item := map[string]any{}
	if t.Op == event.TaskComplete {
		item["is_completed"] = true
		if result := spelling.Text(t.Result); result != "" {
			item["result"] = map[string]any{"text": result}
		}
		return item
	}
	if text := spelling.Text(t.Text); text != "" {
		item["text"] = text
	}
	if !due.IsZero() {
		item["complete_till"] = due.Unix()
	}
	if responsible != 0 {
		item["responsible_user_id"] = responsible
	}
	if len(item) == 0 {
		return nil
	}
	return item
}

// Split parts a text into pieces of at most limit characters each, at line
// ends where there are any, else at spaces, else anywhere. Several pieces are
// numbered on a line of their own: "1/3". Nothing but white space is lost.
func Split(text string, limit int) []string {
	text = spelling.Text(text)
	if text == "" {
		return nil
	}
	if utf8.RuneCountInString(text) <= limit {
		return []string{text}
	}
	const heading = len("9999/9999\n")
	var parts []string
	for room := max(limit-heading, 1); text != ""; {
		var part string
		part, text = splitOff(text, room)
		if part != "" {
			parts = append(parts, part)
		}
	}
	for i, part := range parts {
		parts[i] = fmt.Sprintf("%d/%d\n%s", i+1, len(parts), part)
	}
	return parts
}

func splitOff(text string, room int) (part, rest string) {
	end, n := len(text), 0
	for i := range text {
		if n == room {
			end = i
			break
		}
		n++
	}
	if end == len(text) {
		return text, ""
	}
	if text[end] != '\n' {
		if cut := strings.LastIndexByte(text[:end], '\n'); cut > 0 {
			end = cut
		} else if cut := strings.LastIndexByte(text[:end], ' '); cut > 0 {
			end = cut
		}
	}
	return strings.TrimRight(text[:end], " \n"), strings.TrimLeft(text[end:], "\n")
}
