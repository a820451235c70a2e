package emulator

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fieldsSpec is `custom_fields_values`: each field by id or code, its values
// replaced as a whole, null to clear (amocrm-api.md §4.10).
func fieldsSpec() spec {
	return spec{kind: list, null: true, check: func(ck *checker, path string, v any) {
		for i, e := range asList(v) {
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
	id, hasID := num(m, "field_id")
	code := str(m, "field_code")
	def, ok := ck.a.st.field(ck.kind, id, code)
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
	values := asList(m["values"])
	at := join(path, "values")
	if len(values) > 1 && def.Type != "multitext" && def.Type != "multiselect" {
		ck.tooMany(at, 1)
	}
	for i, e := range values {
		ck.fieldValue(def, join(at, strconv.Itoa(i)), e)
	}
}

func (ck *checker) fieldValue(def FieldDef, path string, v any) {
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

func (ck *checker) enumValue(def FieldDef, path string, m obj) {
	ck.object(path, m, schema{
		"value": {kind: text, check: func(ck *checker, at string, v any) {
			if !slices.ContainsFunc(def.Enums, func(e Enum) bool { return e.Value == v }) {
				ck.choice(at)
			}
		}},
		"enum_id": {kind: integer, check: enumID(def)}, "enum_code": {kind: text, null: true, check: enumCode(def)},
	})
	if m["value"] == nil && m["enum_id"] == nil && m["enum_code"] == nil {
		ck.missing(join(path, "value"))
	}
}

func enumID(def FieldDef) func(*checker, string, any) {
	return func(ck *checker, path string, v any) {
		id := intOf(v)
		if !slices.ContainsFunc(def.Enums, func(e Enum) bool { return e.ID == id }) {
			ck.choice(path)
		}
	}
}

func enumCode(def FieldDef) func(*checker, string, any) {
	return func(ck *checker, path string, v any) {
		if !slices.ContainsFunc(def.Enums, func(e Enum) bool { return e.Code != "" && e.Code == v }) {
			ck.choice(path)
		}
	}
}

func dateValue(ck *checker, path string, v any) {
	if _, ok := unixOf(v); !ok {
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

// unixOf reads a date as unix seconds or RFC 3339.
func unixOf(v any) (int64, bool) {
	switch x := v.(type) {
	case json.Number:
		n, err := x.Int64()
		return n, err == nil
	case string:
		t, err := time.Parse(time.RFC3339, x)
		return t.Unix(), err == nil
	}
	return 0, false
}

// storedValue turns a checked value of a body into what is kept.
func storedValue(def FieldDef, m obj) Value {
	v := Value{EnumCode: str(m, "enum_code")}
	v.EnumID, _ = num(m, "enum_id")
	switch x := m["value"].(type) {
	case string:
		v.Text = x
	case json.Number:
		v.Text = x.String()
	case bool:
		v.Text = map[bool]string{true: "1", false: "0"}[x]
	}
	switch def.Type {
	case "date", "date_time", "birthday":
		n, _ := unixOf(m["value"])
		v.Text = itoa(n)
	case "multitext":
		if v.EnumID == 0 && v.EnumCode == "" {
			v.EnumCode = "WORK"
		}
	}
	for _, e := range def.Enums {
		if e.ID == v.EnumID || e.Code != "" && e.Code == v.EnumCode ||
			def.Type != "multitext" && v.EnumID == 0 && v.EnumCode == "" && e.Value == v.Text {
			v.EnumID, v.EnumCode = e.ID, e.Code
			if def.Type != "multitext" {
				v.Text = e.Value
			}
			break
		}
	}
	return v
}

// writeFields applies checked `custom_fields_values` to a record.
func (a *Account) writeFields(r *Record, v any) {
	for _, e := range asList(v) {
		m := asObj(e)
		id, _ := num(m, "field_id")
		def, ok := a.st.field(r.Kind, id, str(m, "field_code"))
		if !ok {
			continue
		}
		var values []Value
		for _, item := range asList(m["values"]) {
			values = append(values, storedValue(def, asObj(item)))
		}
		r.setField(def, values)
	}
}

// fieldsJSON is `custom_fields_values` as read: null when none is filled.
func fieldsJSON(r *Record) any {
	if len(r.Fields) == 0 {
		return nil
	}
	out := make([]obj, len(r.Fields))
	for i, f := range r.Fields {
		values := make([]obj, len(f.Values))
		for j, v := range f.Values {
			values[j] = valueJSON(f.Type, v)
		}
		out[i] = obj{
			"field_id": f.ID, "field_name": f.Name, "field_code": codeOrNull(f.Code),
			"field_type": f.Type, "is_computed": false, "values": values,
		}
	}
	return out
}

func valueJSON(fieldType string, v Value) obj {
	switch fieldType {
	case "checkbox":
		return obj{"value": v.Text == "1"}
	case "date", "date_time", "birthday":
		return obj{"value": atoi(v.Text)}
	}
	m := obj{"value": v.Text}
	if v.EnumID != 0 {
		m["enum_id"], m["enum_code"] = v.EnumID, codeOrNull(v.EnumCode)
	}
	return m
}

func codeOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// hookFields are a record's custom fields as hooks spell them (amocrm-api.md §6.4).
func (a *Account) hookFields(r *Record) []pair {
	var out []pair
	for i, f := range r.Fields {
		at := "[custom_fields][" + strconv.Itoa(i) + "]"
		out = append(out, pair{at + "[id]", itoa(f.ID)}, pair{at + "[name]", f.Name})
		for j, v := range f.Values {
			out = append(out, a.hookValue(f.Type, at+"[values]", "["+strconv.Itoa(j)+"]", v)...)
		}
		if f.Code != "" {
			out = append(out, pair{at + "[code]", f.Code})
		}
	}
	return out
}

func (a *Account) hookValue(fieldType, at, n string, v Value) []pair {
	switch fieldType {
	case "date", "date_time":
		return []pair{{at + n, v.Text}}
	case "birthday":
		return []pair{{at + n + "[value]", time.Unix(atoi(v.Text), 0).In(a.loc).Format("02.01.2006")}}
	case "radiobutton":
		return []pair{{at + "[value]", v.Text}, {at + "[enum]", itoa(v.EnumID)}}
	}
	out := []pair{{at + n + "[value]", v.Text}}
	if v.EnumID != 0 {
		out = append(out, pair{at + n + "[enum]", itoa(v.EnumID)})
	}
	return out
}

// lostValues names the multitext values that a write took away: allowed, but
// the usual way to lose somebody's phone number (amocrm-api.md §7.5).
func lostValues(before, after *Record) []string {
	var out []string
	for _, f := range before.Fields {
		if f.Type != "multitext" {
			continue
		}
		now := after.Values(f.Code)
		for _, v := range f.Values {
			if !slices.Contains(now, v.Text) {
				out = append(out, lower(f.Code)+" of "+strings.TrimSuffix(after.Kind, "s")+" "+itoa(after.ID))
			}
		}
	}
	return out
}
