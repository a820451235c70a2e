package check

import (
	"strconv"

	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// cardSchema is what a lead, contact or company may carry when written
// (amocrm-api.md §4.2–4.4).
func cardSchema(kind string, create bool) schema {
	embedded := schema{"tags": {kind: list, null: true, keys: tagKeys()}}
	s := schema{
		"name": {kind: text}, "responsible_user_id": {kind: integer, check: someUser},
		"created_by": {kind: integer, check: someUserOrRobot}, "updated_by": {kind: integer, check: someUserOrRobot},
		"created_at": {kind: integer}, "updated_at": {kind: integer},
		"custom_fields_values": fieldsSpec(), "request_id": {kind: text},
		"tags_to_add": {kind: list, keys: tagKeys()},
		"_embedded":   {kind: object, keys: embedded},
	}
	if !create {
		s["tags_to_delete"] = spec{kind: list, keys: tagKeys()}
	}
	switch kind {
	case book.Contacts:
		s["first_name"], s["last_name"] = spec{kind: text}, spec{kind: text}
	case book.Leads:
		s["price"] = spec{kind: number}
		s["status_id"] = spec{kind: integer}
		s["pipeline_id"] = spec{kind: integer, check: somePipeline}
		s["loss_reason_id"] = spec{kind: integer, null: true, check: someLossReason}
		s["closed_at"] = spec{kind: integer}
		s["visitor_uid"] = spec{kind: text}
		if create {
			embedded["contacts"] = spec{kind: list, keys: schema{
				"id": {kind: integer, required: true, check: existing(book.Contacts)}, "is_main": {kind: boolean}}}
			embedded["companies"] = spec{kind: list, keys: schema{"id": {kind: integer, required: true, check: existing(book.Companies)}}}
			embedded["source"] = spec{kind: object, keys: schema{"external_id": {kind: text}, "type": {kind: text}}}
		}
	}
	return s
}

func tagKeys() schema {
	return schema{"id": {kind: integer}, "name": {kind: text}}
}

// someUser: ids of removed and switched-off users are no valid choice (amocrm-api.md §7.9).
func someUser(ck *checker, path string, v any) {
	id := body.IntOf(v)
	if u, ok := ck.book.User(id); !ok || !u.Active {
		ck.choice(path)
	}
}

func someUserOrRobot(ck *checker, path string, v any) {
	if body.IntOf(v) != 0 {
		someUser(ck, path, v)
	}
}

func somePipeline(ck *checker, path string, v any) {
	id := body.IntOf(v)
	if _, ok := ck.book.Pipeline(id); !ok {
		ck.choice(path)
	}
}

func someLossReason(ck *checker, path string, v any) {
	id := body.IntOf(v)
	if _, ok := ck.book.LossReason(id); !ok {
		ck.choice(path)
	}
}

func existing(kind string) func(*checker, string, any) {
	return func(ck *checker, path string, v any) {
		id := body.IntOf(v)
		if _, ok := ck.book.Cards[kind].Live(id); !ok {
			ck.choice(path)
		}
	}
}

// crossCheck looks at keys that depend on one another: a stage must belong to
// its pipeline, and 142 and 143 need the pipeline named, since all pipelines
// share them (amocrm-api.md §4.2).
func crossCheck(ck *checker, item obj) {
	status, ok := body.Int(item, "status_id")
	if !ok || ck.kind != book.Leads {
		return
	}
	pipeline, named := body.Int(item, "pipeline_id")
	if status == book.StatusWon || status == book.StatusLost {
		if !named {
			ck.missing("pipeline_id")
		}
		return
	}
	p, known := ck.book.PipelineOf(status)
	if !known || named && p.ID != pipeline {
		ck.choice("status_id")
	}
}

// complexFieldsMax is how many fields one card of leads/complex may carry (amocrm-api.md §3).
const complexFieldsMax = 40

// complexSchema is a lead's schema whose contact and company may be an id or a
// whole card; those are checked by complexCheck, being of another kind.
func complexSchema() schema {
	s := cardSchema(book.Leads, true)
	e := s["_embedded"].keys
	e["contacts"], e["companies"] = spec{kind: list}, spec{kind: list}
	e["metadata"] = spec{kind: object, keys: metadataKeys()}
	e["metadata"].keys["category"] = spec{kind: text, required: true}
	return s
}

func complexCheck(ck *checker, item obj) {
	crossCheck(ck, item)
	fields := func(path string, m obj) {
		if len(body.List(m["custom_fields_values"])) > complexFieldsMax {
			ck.tooMany(join(path, "custom_fields_values"), complexFieldsMax)
		}
	}
	fields("", item)
	for _, kind := range []string{book.Contacts, book.Companies} {
		path := "_embedded." + kind
		list := body.List(body.Object(item["_embedded"])[kind])
		if len(list) > 1 {
			ck.tooMany(path, 1)
			continue
		}
		for i, v := range list {
			m, at := body.Object(v), join(path, strconv.Itoa(i))
			s := cardSchema(kind, true)
			s["id"] = spec{kind: integer, check: existing(kind)}
			s["is_main"] = spec{kind: boolean}
			sub := &checker{book: ck.book, kind: kind}
			sub.object(at, m, s)
			ck.faults = append(ck.faults, sub.faults...)
			fields(at, m)
		}
	}
}
