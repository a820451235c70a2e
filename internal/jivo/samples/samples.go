// Package samples holds the events that Jivo's page on webhooks prints, byte
// for byte (jivo-webhooks-source.md), what they are once repaired, and what can
// be made of them: the corpus that tests read and that `bridge demo` plays. It
// knows nothing of the bridge; the product imports it from the demo only.
package samples

import (
	"bytes"
	"embed"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

//go:embed printed/*.json
var printed embed.FS

//go:embed whole/*.json
var whole embed.FS

// Printed returns the page's samples as printed, broken ones included, by name:
// the event's, or the file's where one event is printed twice.
func Printed() map[string][]byte { return read(printed, "printed") }

// Whole returns the same events as plain JSON objects, with what the
// documentation describes and no sample shows added to them, and chat_assigned,
// which the page leaves out. The maps are the caller's own.
func Whole() map[string]map[string]any {
	out := map[string]map[string]any{}
	for name, body := range read(whole, "whole") {
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		var o map[string]any
		if err := d.Decode(&o); err != nil {
			panic("samples: " + name + ": " + err.Error()) // a file of this package
		}
		out[name] = o
	}
	return out
}

func read(fs embed.FS, dir string) map[string][]byte {
	out := map[string][]byte{}
	files, err := fs.ReadDir(dir)
	if err != nil {
		panic("samples: " + err.Error()) // embedded with the program
	}
	for _, f := range files {
		body, err := fs.ReadFile(path.Join(dir, f.Name()))
		if err != nil {
			panic("samples: " + err.Error())
		}
		out[strings.TrimSuffix(f.Name(), ".json")] = body
	}
	return out
}

// Payload is one generated body: an event with one field changed.
type Payload struct {
	Path   string // of the field, such as visitor.phone or tags.0.id
	Change string // missing | null | wrong: of a type it never has
	Body   []byte
}

// Vary returns every field of an event missing, null, and of a wrong type, in
// the order of the fields' names; the three of a field follow each other.
func Vary(event map[string]any) []Payload {
	var out []Payload
	add := func(path, change string) { out = append(out, Payload{path, change, JSON(event)}) }
	var walk func(at any, path string)
	walk = func(at any, path string) {
		switch in := at.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(in)) {
				was, here := in[name], strings.TrimPrefix(path+"."+name, ".")
				delete(in, name)
				add(here, "missing")
				in[name] = nil
				add(here, "null")
				in[name] = wrongFor(was)
				add(here, "wrong")
				in[name] = was
				walk(was, here)
			}
		case []any:
			for i := range in {
				walk(in[i], path+"."+strconv.Itoa(i))
			}
		}
	}
	walk(event, "")
	return out
}

func wrongFor(v any) any {
	switch v.(type) {
	case map[string]any, []any:
		return "odd"
	}
	return map[string]any{"odd": 1}
}

// JSON prints an event.
func JSON(event map[string]any) []byte {
	b, err := json.Marshal(event)
	if err != nil {
		panic("samples: " + err.Error()) // it was read from JSON
	}
	return b
}

// Siblings returns the events that are of a sample's shape besides the one it
// is named after: the page prints one body for them all.
func Siblings(name string) []string {
	return map[string][]string{
		"assigned_agent_to_client": {
			"created_client", "updated_client", "updated_client_contacts", "changed_client_company",
			"changed_client_blacklist", "deleted_client",
		},
		"created_client_tag":                    {"updated_client_tag", "deleted_client_tag"},
		"created_deal":                          {"updated_deal", "deleted_deal"},
		"created_pipeline":                      {"updated_pipeline", "deleted_pipeline"},
		"created_status":                        {"updated_status", "deleted_status", "reordered_status"},
		"created_task":                          {"updated_task", "completed_task", "deleted_task", "fired_task"},
		"changed_administrator_only_client_tag": {"changed_require_update_of_status"},
	}[name]
}
