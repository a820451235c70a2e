package clerk

import (
	"encoding/json"
	"strconv"

	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// storedValue turns a checked value of a body into what is kept.
func storedValue(def book.FieldDef, m obj) book.Value {
	v := book.Value{EnumCode: body.Text(m, "enum_code")}
	v.EnumID, _ = body.Int(m, "enum_id")
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
		n, _ := body.Unix(m["value"])
		v.Text = strconv.FormatInt(n, 10)
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
func (k *Clerk) writeFields(r *book.Record, v any) {
	for _, e := range body.List(v) {
		m := body.Object(e)
		id, _ := body.Int(m, "field_id")
		def, ok := k.book.Field(r.Kind, id, body.Text(m, "field_code"))
		if !ok {
			continue
		}
		var values []book.Value
		for _, item := range body.List(m["values"]) {
			values = append(values, storedValue(def, body.Object(item)))
		}
		r.SetField(def, values)
	}
}
