package items

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/event"
)

func TestFieldValues_ByType(t *testing.T) {
	options := []dict.Enum{{ID: 31, Value: "Москва"}, {ID: 32, Value: "Орёл", Code: "OREL"}, {ID: 33, Value: "А, Б"}, {ID: 34, Value: "31"}}
	day := time.Date(2026, 11, 21, 0, 0, 0, 0, moscow).Unix()
	at := time.Date(2026, 11, 21, 18, 20, 0, 0, moscow).Unix()
	value := func(v any) []any { return []any{map[string]any{"value": v}} }
	enums := func(ids ...int64) []any {
		var out []any
		for _, id := range ids {
			out = append(out, map[string]any{"enum_id": id})
		}
		return out
	}
	for _, c := range []struct {
		kind, raw string
		want      []any // nil: dropped with a complaint
	}{
		{"text", "  a\x00b\nc ", value("ab c")},
		{"textarea", "a\r\nb\x07", value("a\nb")},
		{"streetaddress", "Street 1\nCity", value("Street 1\nCity")},
		{"tracking_data", "yandex", value("yandex")},
		{"numeric", "1500", value("1500")},
		{"numeric", "1500,50", value("1500.5")},
		{"numeric", "1 500,5", value("1500.5")},
		{"numeric", "1 500 000", value("1500000")},
		{"numeric", "1,500,000", value("1500000")},
		{"numeric", "1,500.25", value("1500.25")},
		{"numeric", "0,125", value("0.125")},
		{"numeric", "-3", value("-3")},
		{"numeric", "about 5", nil},
		{"numeric", "1e5", nil},
		{"numeric", "0x10", nil},
		{"numeric", "NaN", nil},
		{"numeric", "12 34", nil},
		{"price", "99.9", value("99.9")},
		{"monetary", "100", value("100")},
		{"checkbox", "Да", value(true)},
		{"checkbox", "1", value(true)},
		{"checkbox", "false", value(false)},
		{"checkbox", "maybe", nil},
		{"url", "https://example.com/a?b=c", value("https://example.com/a?b=c")},
		{"url", "example.com", value("https://example.com")},
		{"url", "javascript://example.com/%0aalert(1)", nil},
		{"url", "not a link", nil},
		{"url", "word", nil},
		{"date", "2026-11-21", value(day)},
		{"date", "21.11.2026", value(day)},
		{"date", "1.2.2026", value(time.Date(2026, 2, 1, 0, 0, 0, 0, moscow).Unix())},
		{"date", "1795000000", value(int64(1795000000))},
		{"date", "1795000000123", value(int64(1795000000))},
		{"date", "11/21/2026", nil},
		{"date", "2026", nil},
		{"date", "31.02.2026", nil},
		{"date_time", "2026-11-21T18:20:00+03:00", value(at)},
		{"date_time", "2026-11-21 18:20:00", value(at)},
		{"date_time", "21.11.2026 18:20", value(at)},
		{"birthday", "21.11.1960", value("1960-11-21T00:00:00+03:00")},
		{"birthday", "yesterday", nil},
		{"select", "москва", enums(31)},
		{"select", "Орел", enums(32)},
		{"select", "orel", enums(32)},
		{"select", "33", enums(33)},
		{"select", "31", enums(34)}, // a label that looks like an id is a label
		{"select", "Тверь", nil},
		{"radiobutton", "Москва", enums(31)},
		{"category", "Москва", enums(31)},
		{"multiselect", "Москва; Орёл", enums(31, 32)},
		{"multiselect", "Москва, москва", enums(31)},
		{"multiselect", "А, Б", enums(33)},
		{"multitext", "nick", []any{map[string]any{"value": "nick", "enum_id": int64(31)}}},
		{"smart_address", "City, Street 1", []any{map[string]any{"value": "City, Street 1", "enum_code": "address_line_1"}}},
		{"legal_entity", "ООО Ромашка", value(map[string]any{"name": "ООО Ромашка"})},
		{"items", "x", nil}, {"file", "x", nil}, {"chained_list", "x", nil}, {"linked_entity", "x", nil},
		{"payer", "x", nil}, {"supplier", "x", nil}, {"brand_new_type", "x", nil},
	} {
		w := fieldWriter{loc: moscow}
		values, complaint := w.values(dict.Field{ID: 1, Type: c.kind, Enums: options}, c.raw)
		if c.want == nil {
			if len(values) != 0 || complaint == "" {
				t.Errorf("%s %q: written as %v (%q), want it dropped with a complaint", c.kind, c.raw, values, complaint)
			}
			if strings.Contains(complaint, c.raw) && len(c.raw) > 2 {
				t.Errorf("%s %q: the complaint quotes the value", c.kind, c.raw)
			}
			continue
		}
		if diff := cmp.Diff(c.want, wireValues(c.kind, values)); diff != "" || complaint != "" {
			t.Errorf("%s %q: %s%s", c.kind, c.raw, diff, complaint)
		}
	}
}

func TestFieldValues_KnownOptionsGoThoughOneIsUnknown(t *testing.T) {
	f := dict.Field{Type: "multiselect", Enums: []dict.Enum{{ID: 1, Value: "A"}, {ID: 2, Value: "B"}}}
	values, complaint := fieldWriter{}.values(f, "A, X, B")
	if len(values) != 2 || complaint != complainOption {
		t.Errorf("%v %q", values, complaint)
	}
}

func TestFieldValues_ComputedIsNeverWritten(t *testing.T) {
	if values, complaint := (fieldWriter{}).values(dict.Field{Type: "numeric", Computed: true}, "5"); values != nil || complaint == "" {
		t.Errorf("%v %q", values, complaint)
	}
}

func TestFieldValues_EmptyIsNothing(t *testing.T) {
	for _, kind := range []string{"text", "textarea", "numeric", "select", "multiselect", "date", "url", "checkbox"} {
		if values, complaint := (fieldWriter{}).values(dict.Field{Type: kind}, " \x00\n"); values != nil || complaint != "" {
			t.Errorf("%s: %v %q", kind, values, complaint)
		}
	}
}

func TestCanon_WhatMeansTheSameIsEqual(t *testing.T) {
	w := fieldWriter{loc: moscow}
	city := []dict.Enum{{ID: 31, Value: "Москва"}, {ID: 32, Value: "Орёл"}}
	for _, c := range []struct {
		kind string
		a, b []event.Value
		same bool
	}{
		{"numeric", []event.Value{{Text: "1500"}}, []event.Value{{Text: "1500.00"}}, true},
		{"numeric", []event.Value{{Text: "1500"}}, []event.Value{{Text: "1501"}}, false},
		{"checkbox", []event.Value{{Text: "1"}}, []event.Value{{Text: "true"}}, true},
		{"date", []event.Value{{Text: "1795000000"}}, []event.Value{{Text: time.Unix(1795000000, 0).In(moscow).Format("02.01.2006")}}, true},
		{"date_time", []event.Value{{Text: "1795000000"}}, []event.Value{{Text: "1795000060"}}, false},
		{"select", []event.Value{{Text: "Москва"}}, []event.Value{{Text: "x", EnumID: 31}}, true},
		{"select", []event.Value{{EnumID: 32}}, []event.Value{{Text: "Москва", EnumID: 31}}, false},
		{"multiselect", []event.Value{{EnumID: 32}, {EnumID: 31}}, []event.Value{{EnumID: 31}, {EnumID: 32}}, true},
		{"text", []event.Value{{Text: "a"}}, []event.Value{{Text: "A"}}, false},
		{"legal_entity", []event.Value{{Text: `{"name":"ООО Ромашка","vat_id":"77"}`}}, []event.Value{{Text: "ООО Ромашка"}}, true},
		{"text", nil, []event.Value{{Text: ""}}, true},
	} {
		f := dict.Field{Type: c.kind, Enums: city}
		if got := w.canon(f, c.a) == w.canon(f, c.b); got != c.same {
			t.Errorf("%s %v %v: same %t", c.kind, c.a, c.b, got)
		}
	}
}
