package jivo

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo/samples"
)

// FuzzDecode holds for any body: no panic, *Unparsable or a message whose
// fields have their types, whose key is stable and whose picture is idempotent;
// and what is JSON is read as encoding/json reads it.
func FuzzDecode(f *testing.F) {
	everyBody(f, func(_ string, body []byte) { f.Add(body) })
	for _, odd := range []string{
		"\uFEFF{}", `{"a":[1,2,]}`, `{{"event_name":"chat_accepted"}`, `{"attributes":["a":1,...<b: c>: <d>,]}`, `{"a":"\ud800\u0041"}`,
		`{"a":1e999,"b":-0,"c":0.10}`, `{"еvent_name":"сreated_client","a":{"a":1,"a":2}}`, `{"a":"x"/"y";"b":<z>}`, "{\"a\":\"\xff\"}", strings.Repeat(`{"a":[`, 40),
	} {
		f.Add([]byte(odd))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := Decode(body)
		if err != nil {
			var unparsable *Unparsable
			if !errors.As(err, &unparsable) {
				t.Fatalf("%T: %v", err, err)
			}
			if mustDecode(body) {
				t.Fatalf("valid JSON is unparsable: %v", err)
			}
			return
		}
		if m.Known {
			if odd := conforms("", m.Fields, Schema(m.Kind)); odd != "" {
				t.Fatal(odd)
			}
		}
		once, twice := &event.Client{}, &event.Client{}
		m.Describe(once, "RU", noon)
		m.Describe(twice, "RU", noon)
		if changed, _ := m.Describe(twice, "RU", noon); changed || !reflect.DeepEqual(once, twice) {
			t.Fatalf("describing twice: %+v, %+v", once, twice)
		}
		again, err := Decode(body)
		if err != nil || again.Dedup() != m.Dedup() || !reflect.DeepEqual(again.Fields, m.Fields) {
			t.Fatal("decoding twice gives two results")
		}
		m.Touch(noon)
		if mustDecode(body) {
			likeEncodingJSON(t, body, m)
		}
	})
}

// mustDecode reports whether a body is a JSON object within the caps.
func mustDecode(body []byte) bool {
	return json.Valid(body) && utf8.Valid(body) && bytes.TrimSpace(body)[0] == '{' &&
		bytes.Count(body, []byte{'['})+bytes.Count(body, []byte{'{'}) <= maxDepth
}

func likeEncodingJSON(t *testing.T, body []byte, m *Message) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var want any
	if err := d.Decode(&want); err != nil {
		t.Fatal(err)
	}
	got := (&shaper{tree: m.tree, notes: &notes{}}).plainObject(0)
	if !reflect.DeepEqual(got, plainJSON(want)) {
		t.Fatalf("read as %v, encoding/json reads %v", got, plainJSON(want))
	}
}

func plainJSON(v any) any {
	switch in := v.(type) {
	case json.Number:
		return plainValue(in.String())
	case []any:
		for i := range in {
			in[i] = plainJSON(in[i])
		}
	case map[string]any:
		for k := range in {
			in[k] = plainJSON(in[k])
		}
	}
	return v
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"chat_accepted", "chat_finished", "created_pipeline"} {
		body := samples.Printed()[name]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := Decode(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for name, body := range map[string][]byte{
		"4MiB_brackets": bytes.Repeat([]byte{'['}, 4<<20),
		"4MiB_nested":   append([]byte(`{"a":`), bytes.Repeat([]byte{'['}, 4<<20)...),
		"4MiB_objects":  []byte(`{"event_name":"chat_finished","chat":{"messages":[` + strings.Repeat(`{},`, 250_000) + `{}]}}`),
		"4MiB_controls": []byte(`{"event_name":"chat_accepted","message":["` + strings.Repeat("\x01\",\"", 800_000) + `"]}`),
		"4MiB_keys":     []byte(`{"event_name":"chat_accepted"` + strings.Repeat(`,"q":1`, 500_000) + `}`),
		"4MiB_spaces":   []byte(`{"event_name":"chat_accepted"` + strings.Repeat(" ", 4<<20) + `}`),
		"4MiB_escapes":  []byte(`{"event_name":"` + strings.Repeat(`\ud800`, 600_000) + `"}`),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Decode(body)
			}
		})
	}
}

func BenchmarkDedup(b *testing.B) {
	m := decode(b, string(samples.Printed()["chat_updated"]))
	b.ReportAllocs()
	for b.Loop() {
		m.Dedup()
	}
}

func BenchmarkDescribe(b *testing.B) {
	m := decode(b, string(samples.Printed()["chat_updated"]))
	b.ReportAllocs()
	for b.Loop() {
		m.Describe(&event.Client{}, "RU", noon)
	}
}
