package jivo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo/samples"
)

// TestSamples_WholeBodiesAreThePrintedOnesRepaired keeps the bodies the corpus
// is made of in step with the page's: the samples after repair, and what no
// sample shows.
func TestSamples_WholeBodiesAreThePrintedOnesRepaired(t *testing.T) {
	whole := map[string]event.Object{}
	for name, body := range samples.Printed() {
		m := decode(t, string(body))
		root := (&shaper{tree: m.tree, notes: &notes{}}).plainObject(0)
		switch name {
		case "assigned_status_2": // the same as the first
			continue
		case "client_attribute_updated":
			root["attributes"] = m.Fields["attributes"]
		case "assigned_agent_to_client":
			root["tags"] = []any{event.Object{"tag_id": 4, "title": "VIP"}}
			root["contacts"] = append(root["contacts"].([]any), event.Object{"contact_type": "phone", "contact": "8 (999) 000-00-01", "channel_type": "widget"})
		case "chat_finished":
			root["event_timestamp"], root["chat_rate"] = 1665396490, "positive"
		}
		whole[name] = root
	}
	assigned := maps.Clone(whole["chat_accepted"])
	assigned["event_name"], assigned["assign_to"] = "chat_assigned", "https://example.amocrm.ru/leads/detail/1"
	whole["chat_assigned"] = assigned
	for name, body := range whole {
		golden(t, "samples/whole/"+name+".json", pretty(t, body))
	}
	if got := len(samples.Whole()); got != len(whole) {
		t.Errorf("%d whole samples, want %d", got, len(whole))
	}
}

// Every known kind has a body in the corpus: its own sample or a sibling's.
func TestSamples_EveryKindHasAShape(t *testing.T) {
	have := map[string]bool{}
	for name, body := range samples.Whole() {
		have[decode(t, string(samples.JSON(body))).Kind] = true
		for _, s := range samples.Siblings(name) {
			have[s] = true
		}
	}
	if got := slices.Sorted(maps.Keys(have)); !slices.Equal(got, Kinds()) {
		t.Errorf("the corpus has %q, known are %q", got, Kinds())
	}
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCorpus_EffectOfEveryFieldMissingNullOrWrong keeps, for each generated
// payload, what differs from the whole body: one line a field.
func TestCorpus_EffectOfEveryFieldMissingNullOrWrong(t *testing.T) {
	payloads := 0
	for name, base := range samples.Whole() {
		t.Run(name, func(t *testing.T) {
			whole := effects(t, samples.JSON(base))
			var b bytes.Buffer
			for _, group := range byField(samples.Vary(base)) {
				payloads += len(group)
				var order []string
				changes := map[string][]string{}
				for _, p := range group {
					effect := difference("", whole, effects(t, p.Body))
					if _, known := changes[effect]; !known {
						order = append(order, effect)
					}
					changes[effect] = append(changes[effect], p.Change)
				}
				for _, effect := range order {
					fmt.Fprintf(&b, "%s %s:%s\n", group[0].Path, strings.Join(changes[effect], "="), effect)
				}
			}
			golden(t, "testdata/corpus/"+name+".golden", b.Bytes())
		})
	}
	if payloads < 300 {
		t.Errorf("%d payloads, at least 300 are promised", payloads)
	}
	t.Logf("%d payloads", payloads)
}

func byField(all []samples.Payload) [][]samples.Payload {
	var out [][]samples.Payload
	for _, p := range all {
		if n := len(out); n > 0 && out[n-1][0].Path == p.Path {
			out[n-1] = append(out[n-1], p)
			continue
		}
		out = append(out, []samples.Payload{p})
	}
	return out
}

// effects is what is seen of a body, as plain JSON values, with the content
// hash left out.
func effects(t testing.TB, body []byte) any {
	t.Helper()
	m, err := Decode(body)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	s := look(m)
	if len(s.Dedup.Value) > 1 {
		s.Dedup.Value = "content"
	}
	var out any
	if err := json.Unmarshal(marshal(t, s), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// difference prints what changed between two JSON values: " path=value",
// with ~ for what became empty.
func difference(path string, was, is any) string {
	if reflect.DeepEqual(was, is) {
		return ""
	}
	if one, ok := was.([]any); ok {
		if other, ok := is.([]any); ok && len(one) == len(other) {
			was, is = byIndex(one), byIndex(other)
		}
	}
	a, isObject := was.(map[string]any)
	b, both := is.(map[string]any)
	if !isObject || !both {
		if !hasContent(is) {
			return " " + path + "~"
		}
		j, _ := json.Marshal(is)
		return " " + path + "=" + string(j)
	}
	if !hasContent(is) {
		return " " + path + "~"
	}
	keys := maps.Clone(a)
	maps.Copy(keys, b)
	var out strings.Builder
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		out.WriteString(difference(strings.TrimPrefix(path+"."+key, "."), a[key], b[key]))
	}
	return out.String()
}

func byIndex(list []any) map[string]any {
	out := map[string]any{}
	for i, v := range list {
		out[strconv.Itoa(i)] = v
	}
	return out
}

// everyBody yields the whole corpus and the samples themselves.
func everyBody(t testing.TB, fn func(name string, body []byte)) {
	for name, body := range samples.Printed() {
		fn(name, body)
	}
	for name, base := range samples.Whole() {
		for _, p := range samples.Vary(base) {
			fn(name+" "+p.Path+" "+p.Change, p.Body)
		}
	}
}

func TestDecode_FieldsAlwaysHaveTheirDeclaredTypes(t *testing.T) {
	everyBody(t, func(name string, body []byte) {
		m := decode(t, string(body))
		if !m.Known {
			return
		}
		if odd := conforms("", m.Fields, Schema(m.Kind)); odd != "" {
			t.Errorf("%s: %s", name, odd)
		}
	})
}

// conforms returns where a value is not of its type, "" if nowhere.
func conforms(path string, v any, shape *event.Type) string {
	switch shape.Basic {
	case event.Struct:
		o, ok := v.(event.Object)
		for name, t := range shape.Fields {
			field, given := o[name]
			if !ok || !given {
				return path + "." + name + " is missing"
			}
			if odd := conforms(path+"."+name, field, t); odd != "" {
				return odd
			}
		}
		if len(o) != len(shape.Fields) {
			return path + " has undeclared fields"
		}
		return ""
	case event.List:
		list, ok := v.([]any)
		for _, item := range list {
			if odd := conforms(path+"[]", item, shape.Elem); odd != "" {
				return odd
			}
		}
		if ok {
			return ""
		}
	default:
		if want := shape.Zero(); want == nil || reflect.TypeOf(v) == reflect.TypeOf(want) {
			return ""
		}
	}
	return fmt.Sprintf("%s is %T", path, v)
}

func TestDedup_IsStableUnderKeyOrderAndSpace(t *testing.T) {
	everyBody(t, func(name string, body []byte) {
		m := decode(t, string(body))
		root := (&shaper{tree: m.tree, notes: &notes{}}).plainObject(0)
		again := decode(t, backwards(root))
		if m.Dedup() != again.Dedup() {
			t.Errorf("%s: %+v, reordered %+v", name, m.Dedup(), again.Dedup())
		}
		if m.tree.hash() != again.tree.hash() {
			t.Errorf("%s: the content hash depends on the order of keys", name)
		}
		if m.Known && m.Kind == again.Kind && len(again.Fields) != len(m.Fields) {
			t.Errorf("%s: fields depend on the order of keys", name)
		}
	})
}

// backwards prints JSON with keys in falling order and much space.
func backwards(v any) string {
	switch in := v.(type) {
	case event.Object:
		keys := slices.Sorted(maps.Keys(in))
		slices.Reverse(keys)
		var parts []string
		for _, k := range keys {
			parts = append(parts, fmt.Sprintf("\n  %s :\t%s", backwards(k), backwards(in[k])))
		}
		return "{ " + strings.Join(parts, " ,") + "\r\n}"
	case []any:
		var parts []string
		for _, item := range in {
			parts = append(parts, backwards(item))
		}
		return "[ " + strings.Join(parts, " , ") + " ]"
	}
	b, _ := json.Marshal(v)
	return string(b)
}

func TestDedup_EveryChangeOfContentIsAnotherContent(t *testing.T) {
	for name, base := range samples.Whole() {
		whole := decode(t, string(samples.JSON(base))).tree.hash()
		for _, p := range samples.Vary(base) {
			if p.Change == "null" && strings.Contains(string(samples.JSON(base)), string(p.Body)) {
				continue // it was null before
			}
			if decode(t, string(p.Body)).tree.hash() == whole {
				t.Errorf("%s: %s %s has the hash of the whole body", name, p.Path, p.Change)
			}
		}
	}
}

func TestDescribe_TwiceChangesNothing(t *testing.T) {
	everyBody(t, func(name string, body []byte) {
		m := decode(t, string(body))
		once, twice := &event.Client{}, &event.Client{}
		_, described := m.Describe(once, "RU", noon)
		m.Describe(twice, "RU", noon)
		changed, again := m.Describe(twice, "RU", noon)
		if changed || described != again {
			t.Errorf("%s: the second time changed %v, described %v then %v", name, changed, described, again)
		}
		if diff := cmp.Diff(once, twice); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	})
}
