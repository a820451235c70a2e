package check

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// noteParams are the ten editable note types and their params (amocrm-api.md §4.6).
func noteParams(kind string) (schema, bool) {
	need := spec{kind: text, required: true}
	phoneCall := schema{
		"uniq": {kind: text}, "duration": {kind: integer, required: true}, "source": need, "link": {kind: text},
		"phone": need, "call_responsible": {kind: anything}, "call_result": {kind: text}, "call_status": {kind: integer},
	}
	sms := schema{"text": need, "phone": need}
	service := schema{"service": need, "text": need}
	s, ok := map[string]schema{
		"common": {"text": need}, "call_in": phoneCall, "call_out": phoneCall,
		"service_message": service, "extended_service_message": service,
		"message_cashier": {"text": need, "status": {kind: text, required: true, check: cashierStatus}},
		"geolocation":     {"text": need, "address": need, "longitude": need, "latitude": need},
		"sms_in":          sms, "sms_out": sms,
		"attachment": {"file_uuid": need, "version_uuid": {kind: text}, "file_name": need},
	}[kind]
	return s, ok
}

func cashierStatus(ck *checker, path string, v any) {
	if v != "created" && v != "shown" && v != "canceled" {
		ck.choice(path)
	}
}

func (ck *checker) params(noteType string, item obj) {
	s, ok := noteParams(noteType)
	if !ok {
		ck.choice("note_type")
		return
	}
	if p := body.Object(item["params"]); p != nil {
		ck.object("params", p, s)
	}
}

func noteSchema(kind string, create, named bool) schema {
	s := schema{
		"note_type": {kind: text, required: create}, "params": {kind: object, required: create},
		"created_by": {kind: integer, check: someUserOrRobot}, "responsible_user_id": {kind: integer, check: someUser},
		"request_id": {kind: text}, "is_need_to_trigger_digital_pipeline": {kind: boolean},
		"created_at": {kind: integer}, "updated_at": {kind: integer},
	}
	if named {
		s["entity_id"] = spec{kind: integer, required: create, check: existing(kind)}
	}
	if !create {
		s["id"] = spec{kind: integer, required: true}
	}
	return s
}

func (ck *checker) notePatch(item obj, find func(id int64) (*book.Note, bool)) {
	id, _ := body.Int(item, "id")
	n, ok := find(id)
	if !ok {
		ck.choice("id")
		return
	}
	if t := body.Text(item, "note_type"); t != "" && t != n.Type {
		ck.choice("note_type")
		return
	}
	ck.params(n.Type, item)
}

func taskSchema(create bool) schema {
	s := schema{
		"text": {kind: text, required: create}, "complete_till": {kind: integer, required: create},
		"responsible_user_id": {kind: integer, check: someUser}, "entity_id": {kind: integer, null: true},
		"entity_type": {kind: text, null: true}, "task_type_id": {kind: integer, check: someTaskType},
		"duration": {kind: integer}, "is_completed": {kind: boolean},
		"result":     {kind: object, keys: schema{"text": {kind: text, required: true}}},
		"created_by": {kind: integer, check: someUserOrRobot}, "updated_by": {kind: integer, check: someUserOrRobot},
		"created_at": {kind: integer}, "updated_at": {kind: integer}, "request_id": {kind: text},
	}
	if !create {
		s["id"] = spec{kind: integer, required: true, check: func(ck *checker, path string, v any) {
			id := body.IntOf(v)
			if _, ok := ck.book.Task(id); !ok {
				ck.choice(path)
			}
		}}
	}
	return s
}

func someTaskType(ck *checker, path string, v any) {
	if v != json.Number("1") && v != json.Number("2") {
		ck.choice(path)
	}
}

func taskCheck(ck *checker, item obj) {
	if s, ok := item["text"].(string); ok && s == "" {
		ck.missing("text")
	}
	id, hasID := body.Int(item, "entity_id")
	kind := body.Text(item, "entity_type")
	if !hasID && kind == "" {
		return
	}
	t, ok := ck.book.Cards[kind]
	if !ok {
		ck.choice("entity_type")
		return
	}
	if _, ok := t.Live(id); !ok {
		ck.choice("entity_id")
	}
}

// tieTarget: contacts are linked from the lead's side; contacts take companies
// (amocrm-api.md §4.5).
func (ck *checker) tieTarget(item obj) {
	to, _ := body.Int(item, "to_entity_id")
	kind := body.Text(item, "to_entity_type")
	allowed := map[string][]string{book.Leads: {book.Contacts, book.Companies}, book.Contacts: {book.Companies}, book.Companies: {book.Contacts}}
	if !slices.Contains(allowed[ck.kind], kind) {
		ck.choice("to_entity_type")
		return
	}
	if _, ok := ck.book.Cards[kind].Live(to); !ok {
		ck.choice("to_entity_id")
	}
}

func metadataKeys() schema {
	t := spec{kind: text}
	return schema{
		"form_id": t, "form_name": t, "form_page": t, "ip": t, "form_sent_at": {kind: integer}, "referer": t, "visitor_uid": t,
		"phone": {kind: anything}, "from": t, "call_responsible": {kind: anything}, "called_at": {kind: integer},
		"duration": {kind: integer}, "link": t, "service_code": t, "is_call_event_needed": {kind: boolean}, "uniq": t,
	}
}

func unsortedCheck(ck *checker, item obj) {
	for _, kind := range []string{book.Leads, book.Contacts, book.Companies} {
		for _, v := range body.List(body.Object(item["_embedded"])[kind]) {
			sub := &checker{book: ck.book, kind: kind}
			sub.object("_embedded."+kind+".0", body.Object(v), cardSchema(kind, true))
			ck.faults = append(ck.faults, sub.faults...)
		}
	}
	for _, u := range ck.book.Unsorted { // the same thing twice is an error
		if u.SourceUID == body.Text(item, "source_uid") && u.State == "" {
			ck.add("NotUnique", "source_uid", "This value is already used.")
		}
	}
}

func someURL(ck *checker, path string, v any) {
	u, err := url.Parse(v.(string)) // the schema checked it
	ascii := err == nil && strings.IndexFunc(u.Host, func(r rune) bool { return r > 127 }) < 0
	if !ascii || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Contains(u.Host, "xn--") {
		ck.choice(path)
	}
}

// fieldTypes are the types of amocrm-api.md §4.10 a field can be made with here.
func fieldTypes() []string {
	return []string{
		"text", "numeric", "checkbox", "select", "multiselect", "date", "url", "textarea", "radiobutton", "streetaddress",
		"birthday", "date_time", "price", "monetary", "tracking_data",
	}
}
