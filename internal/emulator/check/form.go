package check

import (
	"slices"
	"strconv"

	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// Form is what the items of one kind of write must look like.
type Form struct {
	kind  string // leads | contacts | companies, where it matters
	keys  schema
	whole func(ck *checker, item obj) // looks at an item whose keys are right; nil if there is no more to see
}

// Refused is an item that was sent wrong, as an answer tells it.
type Refused struct {
	Faults    []Fault `json:"errors"`
	RequestID string  `json:"request_id"`
}

// Fault is one line of a validation error.
type Fault struct {
	Code   string `json:"code"`
	Path   string `json:"path"`
	Detail string `json:"detail"`
}

// Check looks at every item; none are refused if all are right. It changes nothing.
func (f Form) Check(b *book.Book, items []obj) []Refused {
	var bad []Refused
	for i, item := range items {
		ck := &checker{book: b, kind: f.kind}
		ck.object("", item, f.keys)
		if f.whole != nil && len(ck.faults) == 0 {
			f.whole(ck, item)
		}
		if len(ck.faults) > 0 {
			bad = append(bad, Refused{Faults: ck.faults, RequestID: body.RequestID(item, i)})
		}
	}
	return bad
}

// Card is a lead, contact or company to be made (amocrm-api.md §4.2–4.4).
func Card(kind string) Form { return Form{kind, cardSchema(kind, true), crossCheck} }

// CardPatch is a lead, contact or company to be changed.
func CardPatch(kind string) Form {
	s := cardSchema(kind, false)
	s["id"] = spec{kind: integer, required: true, check: existing(kind)}
	return Form{kind, s, crossCheck}
}

// Complex is a lead with its contact and company (amocrm-api.md §4.2).
func Complex() Form { return Form{book.Leads, complexSchema(), complexCheck} }

// Field is a custom field to be made (amocrm-api.md §4.10).
func Field(kind string) Form {
	return Form{kind, schema{
		"name": {kind: text, required: true}, "code": {kind: text, null: true}, "sort": {kind: integer},
		"type": {kind: text, required: true, check: func(ck *checker, path string, v any) {
			if !slices.Contains(fieldTypes(), body.Text(obj{"v": v}, "v")) || v == "tracking_data" && kind != book.Leads {
				ck.choice(path)
			}
		}},
		"group_id": {kind: text, null: true}, "is_api_only": {kind: boolean, null: true}, "is_required": {kind: boolean},
		"enums": {kind: list, null: true, keys: schema{
			"value": {kind: text, required: true}, "sort": {kind: integer}, "code": {kind: text, null: true}}},
		"required_statuses": {kind: list, null: true}, "remind": {kind: text, null: true}, "request_id": {kind: text},
	}, func(ck *checker, item obj) {
		if code := body.Text(item, "code"); code != "" {
			if _, taken := ck.book.Field(kind, 0, code); taken {
				ck.add("NotUnique", "code", "This value is already used.")
			}
		}
	}}
}

// Tag is a tag to be made (amocrm-api.md §4.8).
func Tag(kind string) Form {
	s := schema{"name": {kind: text, required: true}, "request_id": {kind: text}}
	if kind == book.Leads {
		s["color"] = spec{kind: text, null: true}
	}
	return Form{kind, s, nil}
}

// Link is a link to be made or taken away; named is the mass form, where every
// item names its card (amocrm-api.md §4.5).
func Link(kind string, named bool) Form {
	s := schema{
		"to_entity_id":   {kind: integer, required: true},
		"to_entity_type": {kind: text, required: true},
		"metadata": {kind: object, null: true, keys: schema{
			"is_main": {kind: boolean}, "updated_by": {kind: integer, check: someUserOrRobot},
			"quantity": {kind: number}, "catalog_id": {kind: integer}}},
	}
	if named {
		s["entity_id"] = spec{kind: integer, required: true, check: existing(kind)}
	}
	return Form{kind, s, (*checker).tieTarget}
}

// Note is a note to be made; named where every item names its card (amocrm-api.md §4.6).
func Note(kind string, named bool) Form {
	return Form{kind, noteSchema(kind, true, named), func(ck *checker, item obj) {
		ck.params(body.Text(item, "note_type"), item)
	}}
}

// NotePatch is a note to be changed, which find must find.
func NotePatch(kind string, named bool, find func(id int64) (*book.Note, bool)) Form {
	return Form{kind, noteSchema(kind, false, named), func(ck *checker, item obj) { ck.notePatch(item, find) }}
}

// Task is a task to be made (amocrm-api.md §4.7).
func Task() Form { return Form{"", taskSchema(true), taskCheck} }

// TaskPatch is a task to be changed.
func TaskPatch() Form { return Form{"", taskSchema(false), taskCheck} }

// Call is a call to be noted (amocrm-api.md §4.13).
func Call() Form {
	return Form{"", schema{
		"direction": {kind: text, required: true, check: func(ck *checker, path string, v any) {
			if v != "inbound" && v != "outbound" {
				ck.choice(path)
			}
		}},
		"duration": {kind: integer, required: true}, "source": {kind: text, required: true}, "phone": {kind: text, required: true},
		"uniq": {kind: text}, "link": {kind: text}, "call_responsible": {kind: anything}, "call_result": {kind: text},
		"call_status": {kind: integer}, "responsible_user_id": {kind: integer, check: someUser},
		"created_by": {kind: integer, check: someUserOrRobot}, "updated_by": {kind: integer, check: someUserOrRobot},
		"created_at": {kind: integer}, "updated_at": {kind: integer}, "request_id": {kind: text},
	}, nil}
}

// Unsorted is a filled-in form to be made an incoming lead (amocrm-api.md §4.11).
func Unsorted() Form {
	meta := metadataKeys()
	for _, key := range []string{"form_id", "form_name", "form_page", "form_sent_at"} {
		s := meta[key]
		s.required = true
		meta[key] = s
	}
	return Form{book.Leads, schema{
		"source_name": {kind: text, required: true}, "source_uid": {kind: text, required: true},
		"pipeline_id": {kind: integer, check: somePipeline}, "created_at": {kind: integer}, "request_id": {kind: text},
		"metadata":  {kind: object, required: true, keys: meta},
		"_embedded": {kind: object, keys: schema{"leads": {kind: list}, "contacts": {kind: list}, "companies": {kind: list}}},
	}, unsortedCheck}
}

// Acceptance says who accepts an incoming lead and where it goes (amocrm-api.md §4.11).
func Acceptance() Form {
	return Form{book.Leads, schema{
		"user_id": {kind: integer, check: someUser}, "status_id": {kind: integer}}, crossCheck}
}

// Subscription is a destination of hooks (amocrm-api.md §4.14).
func Subscription() Form {
	return Form{"", schema{
		"destination": {kind: text, required: true, check: someURL}, "sort": {kind: integer},
		"settings": {kind: list, required: true, check: func(ck *checker, path string, v any) {
			for i, e := range body.List(v) {
				if s, ok := e.(string); !ok || !slices.Contains(book.APISettings(), s) {
					ck.choice(join(path, strconv.Itoa(i)))
				}
			}
		}},
	}, nil}
}
