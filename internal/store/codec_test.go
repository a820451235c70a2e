package store

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// A record is the same whichever version of the JSON package wrote it, and reads
// the same whichever reads it: stores go from one release to the next and back.
func TestRecord_OneFormWhoeverWroteIt(t *testing.T) {
	awkward := event.Object{
		"text": "<b>&\u2028\x00\"\\ Ёж 🦔", "broken": "a\xffb", "n": 1.5e300, "i": float64(math.MaxInt32), "none": nil, "yes": true,
		"list": []any{}, "deep": map[string]any{"a": []any{nil, "x", 0.1, map[string]any{}}}, "": "no name", "TEXT": "another",
	}
	full := settledEvent()
	full.Waited, full.Coercions, full.Detail = -3*time.Hour, []string{}, "a\xff<&>"
	for _, v := range []any{
		&event.Event{}, full,
		&event.Client{ID: "1", Name: "Анна <&>", Phones: []string{}},
		&event.Chat{ID: "2", Accepted: t0.In(time.FixedZone("", 3*3600)), Calls: []event.CallLog{{N: 1}}},
		&event.Deal{ID: "3", Last: awkward, At: math.MaxUint64}, &event.JivoTask{Last: event.Object{}},
		&event.ContactCard{Wrote: map[string]string{"z": "1", "a": "<"}}, &event.LeadCard{},
	} {
		before, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		now, err := encode(v)
		if err != nil {
			t.Fatal(err)
		}
		var all [4]any
		for i := range all {
			all[i] = reflect.New(reflect.TypeOf(v).Elem()).Interface()
		}
		for _, err := range []error{
			json.Unmarshal(before, all[0]), decode(append([]byte{recordVersion}, before...), all[1]), json.Unmarshal(now[1:], all[2]), decode(now, all[3]),
		} {
			if err != nil {
				t.Fatalf("%T: %v", v, err)
			}
		}
		for i, other := range all[1:] {
			if diff := cmp.Diff(all[0], other); diff != "" {
				t.Errorf("%T, reading %d: %s", v, i+1, diff)
			}
		}
	}
}

// What is wrong with a record is told without quoting it: it may be a person's data.
func TestRecord_ErrorsQuoteNothing(t *testing.T) {
	for _, bad := range []string{`{"seq":"+79991112233"}`, `{"seq":1,"kind":"+79991112233`, `+79991112233`, `{"received_at":"+79991112233"}`, ``} {
		err := decode(append([]byte{recordVersion}, bad...), new(event.Event))
		if !errors.Is(err, ErrCorrupt) || strings.Contains(err.Error(), "79991112233") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
