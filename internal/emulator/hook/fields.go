package hook

import (
	"strconv"

	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// fieldPairs are a record's custom fields as hooks spell them (amocrm-api.md §6.4).
func (o *Outbox) fieldPairs(r *book.Record) []pair {
	var out []pair
	for i, f := range r.Fields {
		at := "[custom_fields][" + strconv.Itoa(i) + "]"
		out = append(out, pair{at + "[id]", itoa(f.ID)}, pair{at + "[name]", f.Name})
		for j, v := range f.Values {
			out = append(out, o.valuePairs(f.Type, at+"[values]", "["+strconv.Itoa(j)+"]", v)...)
		}
		if f.Code != "" {
			out = append(out, pair{at + "[code]", f.Code})
		}
	}
	return out
}

func (o *Outbox) valuePairs(fieldType, at, n string, v book.Value) []pair {
	switch fieldType {
	case "date", "date_time":
		return []pair{{at + n, v.Text}}
	case "birthday":
		return []pair{{at + n + "[value]", o.book.Local(v.Unix()).Format("02.01.2006")}}
	case "radiobutton":
		return []pair{{at + "[value]", v.Text}, {at + "[enum]", itoa(v.EnumID)}}
	}
	out := []pair{{at + n + "[value]", v.Text}}
	if v.EnumID != 0 {
		out = append(out, pair{at + n + "[enum]", itoa(v.EnumID)})
	}
	return out
}
