package config_test

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/mapping"
)

const examplePath = "../../config.example.yaml"

func example(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestExample_LoadsAndShowsTheDefaults(t *testing.T) {
	t.Parallel()
	cfg := good(t, example(t))
	conn, least := cfg.Connections[0], good(t, ten).Connections[0]
	if len(cfg.Warnings) != 0 {
		t.Errorf("warnings: %v", cfg.Warnings)
	}
	// "What is left out has the default shown": what the example gives for
	// these keys is what ten lines get.
	for _, c := range []struct {
		key       string
		got, want any
	}{
		{"limits", cfg.Limits, good(t, ten).Limits},
		{"retention", cfg.Retention, good(t, ten).Retention},
		{"log", cfg.Log, good(t, ten).Log},
		{"listen", []string{cfg.Listen, cfg.Data, cfg.Admin.Listen}, []string{":8080", "./data", "127.0.0.1:9090"}},
		{"backoff", conn.AmoCRM.Backoff, least.AmoCRM.Backoff},
		{"budget", []any{conn.AmoCRM.RequestsPerSecond, conn.AmoCRM.Batch}, []any{least.AmoCRM.RequestsPerSecond, least.AmoCRM.Batch}},
		{"times", []any{conn.AmoCRM.Timeout, conn.AmoCRM.Probe, conn.AmoCRM.Sweep, conn.AmoCRM.Refresh, conn.AmoCRM.InDoubtAfter},
			[]any{least.AmoCRM.Timeout, least.AmoCRM.Probe, least.AmoCRM.Sweep, least.AmoCRM.Refresh, least.AmoCRM.InDoubtAfter}},
		{"words", []any{conn.AmoCRM.MarkerField, conn.AmoCRM.ContactsSync, conn.AmoCRM.SetupAuto}, []any{least.AmoCRM.MarkerField, least.AmoCRM.ContactsSync, least.AmoCRM.SetupAuto}},
		{"anonymous", []any{conn.Anonymous, conn.AnonymousHold, conn.Park}, []any{least.Anonymous, least.AnonymousHold, least.Park}},
		{"builtin", conn.Builtin, least.Builtin},
		{"reply", []any{conn.Reply.Wait, conn.Reply.CRMLink, conn.Reply.ContactInfo, conn.Reply.EnableAssign}, []any{least.Reply.Wait, least.Reply.CRMLink, least.Reply.ContactInfo, least.Reply.EnableAssign}},
		{"rules", values(conn.Rules), values(least.Rules)},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-default +example)\n%s", c.key, diff)
		}
	}
}

// values takes the places out of rules, which differ by design.
func values(rules []mapping.Rule) string {
	text, err := json.Marshal(rules)
	if err != nil {
		return err.Error()
	}
	return regexp.MustCompile(`"(Line|Col)":[0-9]+`).ReplaceAllString(string(text), `"$1":0`)
}

// TestExample_PrintsTheDefaultRulesWhole compares the text under `rules:`,
// comments and all. With -update it is written anew.
func TestExample_PrintsTheDefaultRulesWhole(t *testing.T) {
	text := example(t)
	before, rest, ok := strings.Cut(text, "    rules:\n")
	printed, after, ok2 := strings.Cut(rest, "    builtin:")
	if !ok || !ok2 {
		t.Fatal("the example has no rules before builtin")
	}
	var want bytes.Buffer
	for line := range strings.Lines(mapping.DefaultsYAML("ru")) {
		if line != "\n" {
			line = "      " + line
		}
		want.WriteString(line)
	}
	want.WriteString("\n")
	if *update {
		if err := os.WriteFile(examplePath, []byte(before+"    rules:\n"+want.String()+"    builtin:"+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want.String(), printed); diff != "" {
		t.Errorf("config.example.yaml is behind the default rules; run go test ./internal/config -update (-want +got)\n%s", diff)
	}
}

// TestExample_NamesEveryKey: a key the schema knows stands in the example, if
// only in a comment.
func TestExample_NamesEveryKey(t *testing.T) {
	t.Parallel()
	text := example(t)
	// Keys of rules that the default rules have no use for.
	spare := map[string]bool{"stop": true, "price": true, "loss_reason": true, "tags_remove": true, "recent": true, "key": true}
	eachKey(schema(t), func(name string) {
		if !spare[name] && !regexp.MustCompile(`\b`+name+`:`).MatchString(text) {
			t.Errorf("the example does not show %q", name)
		}
	})
}

func eachKey(s *jsonschema.Schema, fn func(name string)) {
	if s == nil {
		return
	}
	for name, one := range s.Properties {
		fn(name)
		eachKey(one, fn)
	}
	eachKey(s.AdditionalProperties, fn)
	eachKey(s.Items, fn)
	for _, one := range s.AnyOf {
		eachKey(one, fn)
	}
}

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := config.Schema(vocabulary())
	if err != nil {
		t.Fatal(err)
	}
	s := new(jsonschema.Schema)
	if err := json.Unmarshal(text, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSchema_AgreesWithTheReader holds the corpus of good and bad configs
// against the JSON Schema: what the reader takes, the schema takes.
func TestSchema_AgreesWithTheReader(t *testing.T) {
	t.Parallel()
	s := schema(t)
	if s.Schema != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("the schema is of %q", s.Schema)
	}
	resolved, err := s.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
	if err != nil {
		t.Fatal(err)
	}
	valid := func(text string) error {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			return err
		}
		return resolved.Validate(asJSON(t, v))
	}
	for name, text := range map[string]string{
		"example": example(t), "ten": ten, "secrets": everySecret,
		"rule": with("    rules:\n      - {name: x, on: [chat_accepted], when: true, lead: {find: [chat, recent: 7d, 'recent: 1w'], price: 5}, task: {text: x, due: 0}}\n"),
		"ids":  with("    deals: {stages: {20: {pipeline: 77, stage: 142}}}\n    builtin: {deals: false}\n    reply: {wait: 0, enable_assign: true, custom_data: [{content: x}]}\n"),
	} {
		if err := valid(text); err != nil {
			t.Errorf("%s: the reader takes it, the schema does not: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"unknown key":      "lisen: x\n" + ten,
		"no connections":   "listen: x\n",
		"wrong type":       "limits: {backlog: many}\n" + ten,
		"out of range":     strings.Replace(ten, "      token:", "      batch: 251\n      token:", 1),
		"no unit":          "retention: {events: 30}\n" + ten,
		"word":             "log: {level: verbose}\n" + ten,
		"reserved":         "alerts: {}\n" + ten,
		"short secret":     strings.Replace(ten, "${JIVO_SECRET}", "short", 1),
		"connection name":  strings.Replace(ten, "  shop:", "  Shop:", 1),
		"unknown event":    with("    rules: [{name: x, on: [chat_acepted], stop: true}]\n"),
		"rule of nothing":  with("    rules: [{name: x, on: [chat_accepted]}]\n"),
		"token and oauth":  strings.Replace(ten, "      token:", "      oauth: {client_id: a, client_secret: b}\n      token:", 1),
		"neither of these": strings.Replace(ten, "      token: ${AMOCRM_TOKEN}\n", "", 1),
		"eleven lines":     with("    reply: {custom_data: [" + strings.Repeat("{content: x},", 10) + "{content: x}]}\n"),
	} {
		if valid(text) == nil {
			t.Errorf("%s: the schema takes it", name)
		}
		if _, problems := parse(text); problems == nil {
			t.Errorf("%s: the reader takes it", name)
		}
	}
}

// asJSON turns what YAML was decoded to into what JSON would be.
func asJSON(t *testing.T, v any) any {
	t.Helper()
	text, err := yaml.MarshalWithOptions(v, yaml.JSON())
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return out
}
