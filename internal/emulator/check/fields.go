package check

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// fieldsSpec is `custom_fields_values`: each field by id or code, its values
// replaced as a whole, null to clear (amocrm-api.md §4.10).
func fieldsSpec() spec {
	return spec{kind: list, null: true, check: func(ck *checker, path string, v any) {
		for i, e := range body.List(v) {
			ck.customField(join(path, strconv.Itoa(i)), e)
		}
	}}
}

// fieldKeys leaves out `enum`: old samples show it, a write is refused for it (I#4).
func fieldKeys() schema {
	return schema{
		"field_id": {kind: integer}, "field_code": {kind: text, null: true},
		"field_name": {kind: text}, "field_type": {kind: text},
		"values": {kind: list, required: true, null: true},
	}
}

func (ck *checker) customField(path string, v any) {
	m, ok := v.(obj)
	if !ok {
		ck.wrongType(path, object)
		return
	}
	before := len(ck.faults)
	ck.object(path, m, fieldKeys())
	if len(ck.faults) > before {
		return
	}
	id, hasID := body.Int(m, "field_id")
	code := body.Text(m, "field_code")
	def, ok := ck.book.Field(ck.kind, id, code)
	switch {
	case !hasID && code == "":
		ck.missing(join(path, "field_id"))
		return
	case !ok && hasID:
		ck.choice(join(path, "field_id"))
		return
	case !ok:
		ck.choice(join(path, "field_code"))
		return
	}
	values := body.List(m["values"])
	at := join(path, "values")
	if len(values) > 1 && def.Type != "multitext" && def.Type != "multiselect" {
		ck.tooMany(at, 1)
	}
	for i, e := range values {
		ck.fieldValue(def, join(at, strconv.Itoa(i)), e)
	}
}

func (ck *checker) fieldValue(def book.FieldDef, path string, v any) {
	m, ok := v.(obj)
	if !ok {
		ck.wrongType(path, object)
		return
	}
	switch def.Type {
	case "select", "multiselect", "radiobutton", "category":
		ck.enumValue(def, path, m)
	case "multitext":
		ck.object(path, m, schema{
			"value":   {kind: text, required: true},
			"enum_id": {kind: integer, check: enumID(def)}, "enum_code": {kind: text, check: enumCode(def)},
		})
	case "checkbox":
		ck.object(path, m, schema{"value": {kind: boolean, required: true}})
	case "date", "date_time", "birthday":
		ck.object(path, m, schema{"value": {kind: anything, required: true, check: dateValue}})
	case "numeric", "price", "monetary":
		ck.object(path, m, schema{"value": {kind: anything, required: true, check: numericValue}})
	default:
		ck.object(path, m, schema{"value": {kind: text, required: true}})
	}
}

func (ck *checker) enumValue(def book.FieldDef, path string, m obj) {
	ck.object(path, m, schema{
		"value": {kind: text, check: func(ck *checker, at string, v any) {
			if !slices.ContainsFunc(def.Enums, func(e book.Enum) bool { return e.Value == v }) {
				ck.choice(at)
			}
		}},
		"enum_id": {kind: integer, check: enumID(def)}, "enum_code": {kind: text, null: true, check: enumCode(def)},
	})
	if m["value"] == nil && m["enum_id"] == nil && m["enum_code"] == nil {
		ck.missing(join(path, "value"))
	}
}

func enumID(def book.FieldDef) func(*checker, string, any) {
	return func(ck *checker, path string, v any) {
		id := body.IntOf(v)
		if !slices.ContainsFunc(def.Enums, func(e book.Enum) bool { return e.ID == id }) {
			ck.choice(path)
		}
	}
}

func enumCode(def book.FieldDef) func(*checker, string, any) {
	return func(ck *checker, path string, v any) {
		if !slices.ContainsFunc(def.Enums, func(e book.Enum) bool { return e.Code != "" && e.Code == v }) {
			ck.choice(path)
		}
	}
}

func dateValue(ck *checker, path string, v any) {
	if _, ok := body.Unix(v); !ok {
		ck.wrongType(path, integer)
	}
}

func numericValue(ck *checker, path string, v any) {
	s, ok := v.(string)
	if n, isNum := v.(json.Number); isNum {
		s, ok = n.String(), true
	}
	if _, err := strconv.ParseFloat(s, 64); !ok || err != nil {
		ck.wrongType(path, number)
	}
}
