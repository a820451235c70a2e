package jivo

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo/samples"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

func decode(t testing.TB, body string) *Message {
	t.Helper()
	m, err := Decode([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return m
}

// seen is everything the package says of one event.
type seen struct {
	Kind, Client, Chat, Deal, Task, Widget string
	Described                              bool
	Agents                                 []event.Agent `json:",omitempty"`
	Dedup                                  event.Dedup
	Coercions                              []string      `json:",omitempty"`
	Picture                                *event.Client `json:",omitempty"`
	Touch                                  *event.Touch  `json:",omitempty"`
	Fields                                 event.Object
}

func look(m *Message) seen {
	c := &event.Client{}
	changed, described := m.Describe(c, "RU", noon)
	s := seen{
		Kind: m.Kind, Client: m.Client, Chat: m.Chat, Deal: m.Deal, Task: m.Task, Widget: m.Widget,
		Described: described, Agents: m.Agents, Dedup: m.Dedup(),
		Coercions: m.Coercions, Touch: m.Touch(noon), Fields: m.Fields,
	}
	if changed {
		s.Picture = c
	}
	return s
}

// golden compares with a file, or writes it with -update.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("%s differs (-want +got), -update if meant:\n%s", path, diff)
	}
}

func pretty(t testing.TB, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDecode_EverySampleOfJivosPage(t *testing.T) {
	all := samples.Printed()
	if len(all) != 18 {
		t.Errorf("%d samples, Jivo's page prints 18", len(all))
	}
	for name, body := range all {
		t.Run(name, func(t *testing.T) {
			m, err := Decode(body)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "testdata/golden/"+name+".json", pretty(t, look(m)))
		})
	}
}

func TestSchema_DeclaresEverythingTheSamplesHave(t *testing.T) {
	for name, body := range samples.Printed() {
		m := decode(t, string(body))
		if !m.Known {
			t.Errorf("%s: %q is unknown", name, m.Kind)
		}
		if extra := m.Fields["extra"].(event.Object); len(extra) != 0 {
			t.Errorf("%s: not declared: %v", name, extra)
		}
	}
}

func TestSchema_KnowsEveryDocumentedName(t *testing.T) {
	want := map[string]string{channel: `call_event chat_accepted chat_assigned chat_finished chat_updated
		client_attribute_updated client_updated offline_message`,
		crm: `created_pipeline updated_pipeline deleted_pipeline created_status updated_status deleted_status
		reordered_status changed_require_update_of_status assigned_status created_client_tag updated_client_tag
		deleted_client_tag merged_client_tag changed_administrator_only_client_tag created_deal updated_deal deleted_deal
		created_task deleted_task updated_task completed_task fired_task created_organization assigned_agent_to_client
		created_client deleted_client updated_client changed_client_company changed_client_blacklist updated_client_contacts`}
	var all []string
	for stream, names := range want {
		for _, name := range strings.Fields(names) {
			all = append(all, name)
			if got := Stream(name); got != stream {
				t.Errorf("Stream(%s) = %q, want %q", name, got, stream)
			}
			if s := Schema(name); s == nil || s.Fields["extra"] == nil || s.Fields["event_name"] == nil {
				t.Errorf("Schema(%s) lacks extra or event_name", name)
			}
		}
	}
	slices.Sort(all)
	if diff := cmp.Diff(all, Kinds()); diff != "" {
		t.Errorf("Kinds: %s", diff)
	}
	if Schema("chat_started") != nil || Stream("chat_started") != "" {
		t.Error("a name nobody documents has a schema")
	}
}

func TestSchema_FieldsDocumentedAnywhereCount(t *testing.T) {
	for path, kinds := range map[string]string{
		"department.name":         "call_event chat_accepted chat_updated chat_finished offline_message chat_assigned",
		"user_token":              "call_event chat_accepted chat_finished client_updated client_attribute_updated",
		"agent.phone":             "chat_accepted chat_finished",
		"event_timestamp":         "chat_finished created_deal",
		"event_type":              "created_deal chat_accepted",
		"chat_rate":               "chat_finished",
		"chat.invite_timestamp":   "chat_finished",
		"chat.invitation":         "chat_finished",
		"analytics.ga":            "chat_accepted chat_finished",
		"session.geoip.isp":       "chat_accepted",
		"visitor.social":          "client_updated chat_finished",
		"assign_to":               "chat_assigned",
		"call.reason":             "call_event",
		"client.contacts":         "assigned_status",
		"blacklist.agent":         "changed_client_blacklist",
		"pipeline.pipeline_id":    "deleted_deal",
		"merged_tags":             "merged_client_tag",
		"enabled":                 "changed_administrator_only_client_tag changed_require_update_of_status",
		"status.status_id":        "created_client assigned_status",
		"organization.name":       "updated_client chat_finished",
		"assigned_agent.email":    "chat_accepted",
		"tags":                    "chat_accepted created_client",
		"extra":                   "chat_accepted created_organization",
		"session.utm_json.source": "offline_message",
	} {
		for _, kind := range strings.Fields(kinds) {
			shape := Schema(kind)
			for _, name := range strings.Split(path, ".") {
				if shape = shape.Fields[name]; shape == nil {
					t.Errorf("%s has no %s", kind, path)
					break
				}
			}
		}
	}
}

func TestDecode_AbsentFieldsAreZeroValues(t *testing.T) {
	for _, kind := range Kinds() {
		m := decode(t, `{"event_name":"`+kind+`"}`)
		want := Schema(kind).Zero().(event.Object)
		want["event_name"], want["event_type"] = kind, kinds[kind].category
		if diff := cmp.Diff(want, m.Fields); diff != "" {
			t.Errorf("%s: %s", kind, diff)
		}
		if len(m.Coercions) > 0 {
			t.Errorf("%s: coercions %q of nothing", kind, m.Coercions)
		}
	}
}

func TestDecode_NoJSONObjectIsUnparsable(t *testing.T) {
	deep := func(open, shut string, n int) string {
		return `{"event_name":"chat_accepted","a":` + strings.Repeat(open, n) + "1" + strings.Repeat(shut, n) + `}`
	}
	for name, body := range map[string]string{
		"nothing":                             "",
		"space":                               " \n\t",
		"byte order mark":                     "\uFEFF",
		"text":                                "hello",
		"a form":                              "event_name=chat_accepted&chat_id=1",
		"a list":                              `[{"event_name":"chat_accepted"}]`,
		"a string":                            `"{}"`,
		"null":                                "null",
		"a lone brace":                        "{",
		"cut in a key":                        `{"event_na`,
		"cut in a string":                     `{"event_name":"chat_acc`,
		"cut in an escape":                    `{"event_name":"chat\`,
		"cut after a key":                     `{"event_name"`,
		"cut after a colon":                   `{"event_name":`,
		"cut in a number":                     `{"event_name":"chat_accepted","chat_id":76`,
		"cut in a word":                       `{"event_name":nul`,
		"two objects":                         `{"event_name":"chat_accepted"}{"event_name":"chat_updated"}`,
		"text behind":                         `{"event_name":"chat_accepted"} trailing`,
		"no comma":                            `{"event_name":"chat_accepted" "chat_id":1}`,
		"a bare word":                         `{event_name:"chat_accepted"}`,
		"a wrong brace":                       `{"tags":[1}`,
		"a bad number":                        `{"chat_id":1.}`,
		"a leading zero":                      `{"chat_id":01}`,
		"a slash without a value":             `{"event_name":"a"/}`,
		"an endless placeholder":              `{"event_name":<` + strings.Repeat("x", 1000),
		"arrays of 65 levels":                 deep("[", "]", 65),
		"objects of 65 levels":                deep(`{"a":`, "}", 65),
		"half a million arrays":               deep("[", "", 500_000),
		"half a million braces":               strings.Repeat("{", 500_000),
		"half a million objects":              strings.Repeat(`{"a":`, 500_000),
		"more values than memory":             `{"a":[` + strings.Repeat("0,", maxNodes) + `0]}`,
		"a chain of keys through many levels": `{"a":` + strings.Repeat(`["k":`, 1000),
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Decode([]byte(body))
			var unparsable *Unparsable
			if !errors.As(err, &unparsable) {
				t.Fatalf("Decode: %+v, %v", m, err)
			}
			if unparsable.Why == "" || len(unparsable.Why) > 100 {
				t.Errorf("Why = %q", unparsable.Why)
			}
			if deep := strings.Contains(name, "levels") || strings.Contains(name, "million"); deep != strings.Contains(unparsable.Why, "nested too deep") {
				t.Errorf("Why = %q", unparsable.Why)
			}
		})
	}
}

func TestDecode_DepthUpToTheCapIsRead(t *testing.T) {
	m := decode(t, `{"event_name":"chat_accepted","a":`+strings.Repeat("[", 63)+strings.Repeat("]", 63)+`}`)
	if m.Kind != "chat_accepted" {
		t.Errorf("Kind = %q", m.Kind)
	}
}

func TestDecode_ErrorsAndNotesNeverQuoteValues(t *testing.T) {
	const canary = "canary-7f3a"
	for _, body := range []string{
		`{"event_name":"chat_accepted","` + canary + `":{"` + canary + `":1,"` + canary + `":2},"` + canary + `":1,"visitor":["` + canary + `"],"chat_id":["` + canary + `"]}`,
		`{"event_name":"chat_accepted","visitor":{"name":{"` + canary + `":1},"number":"` + canary + ` x"},"tags":["` + canary + `"]}`,
		`{"event_name":"` + canary + `","` + canary + `":1,"` + canary + `":2}`,
		`{"` + canary + `" "x"`, `{"a":"` + canary + `" x`, `{"a":<` + canary + `>}`, canary,
	} {
		m, err := Decode([]byte(body))
		if err != nil {
			if strings.Contains(err.Error(), canary) {
				t.Errorf("error %q", err)
			}
			continue
		}
		for _, note := range m.Coercions {
			if strings.Contains(note, canary) {
				t.Errorf("note %q", note)
			}
		}
	}
}

func TestDecode_UnknownNames(t *testing.T) {
	long := strings.Repeat("ж", 100)
	for body, want := range map[string]string{
		`{}`:                            "",
		`{"event_name":null}`:           "",
		`{"event_name":7}`:              "",
		`{"event_name":{"a":1}}`:        "",
		`{"event_name":"Chat Started"}`: "Chat Started",
		`{"event_name":"` + long + `"}`: long[:2*maxKind],
	} {
		m := decode(t, body)
		if m.Known || m.Kind != want {
			t.Errorf("%s: kind %q known %v, want %q", body, m.Kind, m.Known, want)
		}
		if m.Dedup() != (event.Dedup{}) || m.Touch(noon) != nil {
			t.Errorf("%s: an unknown event has a key or touch", body)
		}
	}
	m := decode(t, `{"event_name":"chat_started","chat_id":5,"visitor":{"number":7},"price":1.5,"big":123456789012345678901,"list":[null,true]}`)
	want := event.Object{"event_name": "chat_started", "chat_id": 5, "visitor": event.Object{"number": 7}, "price": 1.5,
		"big": "123456789012345678901", "list": []any{nil, true}}
	if diff := cmp.Diff(want, m.Fields); diff != "" {
		t.Error(diff)
	}
	if m.Chat != "5" || m.Client != "7" {
		t.Errorf("chat %q client %q", m.Chat, m.Client)
	}
}
