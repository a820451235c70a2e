package rehearse

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/jivo-amocrm/bridge/internal/config"
)

// File is a *.test.yaml file; examples/README.md explains it.
type File struct {
	Path       string  `yaml:"-"`
	Connection string  `yaml:"connection"` // may be left out where there is one only
	Account    Account `yaml:"account"`
	Cases      []Case  `yaml:"cases"`

	tree *ast.File // for the places of what is wrong in it
}

// Account is what the amoCRM account has beside the names that the config itself
// uses, which are taken to exist.
type Account struct {
	Country   string                   `yaml:"country"`
	Timezone  string                   `yaml:"timezone"`
	Pipelines yaml.MapSlice            `yaml:"pipelines"` // name → stages; the first one is the main one
	Users     []User                   `yaml:"users"`
	Fields    map[string][]FieldOrName `yaml:"fields"` // leads | contacts
	Reasons   []string                 `yaml:"loss_reasons"`
}

// User is an active user.
type User struct {
	ID    int64  `yaml:"id"`
	Name  string `yaml:"name"`
	Email string `yaml:"email"`
}

// FieldOrName is a custom field, or the name of a text field.
type FieldOrName struct {
	Name    string   `yaml:"name"`
	Code    string   `yaml:"code"`
	Type    string   `yaml:"type"`
	Options []string `yaml:"options"`
}

// UnmarshalYAML implements yaml.BytesUnmarshaler.
func (f *FieldOrName) UnmarshalYAML(raw []byte) error {
	if err := yaml.Unmarshal(raw, &f.Name); err == nil {
		return nil
	}
	type plain FieldOrName
	return yaml.UnmarshalWithOptions(raw, (*plain)(f), yaml.Strict())
}

// Case is one test: what is given, and what is expected.
type Case struct {
	Name   string  `yaml:"name"`
	CRM    CRM     `yaml:"crm"`
	Before []Event `yaml:"before"` // came earlier; what they write is not looked at
	Events []Event `yaml:"events"`
	Expect Expect  `yaml:"expect"`
}

// CRM is what stands in amoCRM before the case.
type CRM struct {
	Contacts []Contact `yaml:"contacts"`
	Leads    []Lead    `yaml:"leads"`
}

// Contact is a contact that exists.
type Contact struct {
	ID          int64             `yaml:"id"`
	Name        string            `yaml:"name"`
	Phones      []string          `yaml:"phones"`
	Emails      []string          `yaml:"emails"`
	Responsible string            `yaml:"responsible"`
	Tags        []string          `yaml:"tags"`
	Fields      map[string]string `yaml:"fields"`
}

// Lead is a lead that exists.
type Lead struct {
	ID          int64             `yaml:"id"`
	Name        string            `yaml:"name"`
	Contact     int64             `yaml:"contact"`
	Pipeline    string            `yaml:"pipeline"`
	Stage       string            `yaml:"stage"`
	Price       float64           `yaml:"price"`
	Responsible string            `yaml:"responsible"`
	Tags        []string          `yaml:"tags"`
	Fields      map[string]string `yaml:"fields"`
}

// Event is one webhook body of Jivo: as YAML, as a string of JSON, or as the name
// of a file beside the test, {file: chat.json}.
type Event struct{ value any }

// UnmarshalYAML implements yaml.BytesUnmarshaler.
func (e *Event) UnmarshalYAML(raw []byte) error { return yaml.Unmarshal(raw, &e.value) }

// body is the webhook as it would come.
func (e Event) body(dir string) ([]byte, error) {
	switch v := e.value.(type) {
	case string:
		return []byte(v), nil
	case map[string]any:
		name, ok := v["file"].(string)
		if ok && len(v) == 1 {
			return os.ReadFile(filepath.Join(dir, name))
		}
		return json.Marshal(v)
	}
	return nil, errors.New("an event is an object, a string of JSON or {file: NAME}")
}

// Expect is what a case expects. What is left out is not looked at.
type Expect struct {
	// Of the last event:
	State    string   `yaml:"state"`
	Reason   *string  `yaml:"reason"`
	Rules    []string `yaml:"rules"`     // these matched
	NotRules []string `yaml:"not_rules"` // these did not
	Contact  *Match   `yaml:"contact"`
	Lead     *Match   `yaml:"lead"`
	Warnings []string `yaml:"warnings"` // each stands in a warning

	// Of all the case's events:
	Changes *[]Change `yaml:"changes"` // each was made; an empty list: nothing was
	Exact   bool      `yaml:"exact"`   // and no other
}

// Match is which contact or lead was decided on.
type Match struct {
	ID int64  `yaml:"id"`
	By string `yaml:"by"` // client, phone, email, chat, open, deal…; created; none
}

// Change is one expected change.
type Change struct {
	Op       string            `yaml:"op"`     // create | update | link
	Target   string            `yaml:"target"` // contact | lead | note | task | call | company
	Rule     string            `yaml:"rule"`
	Entity   int64             `yaml:"entity"` // the contact or lead it is for
	Fields   map[string]any    `yaml:"fields"` // exactly these values; of a list, these among others
	Contains map[string]string `yaml:"contains"`
	Absent   []string          `yaml:"absent"` // these are not written
}

// Read reads a test file, strictly.
func Read(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := &File{Path: path}
	if err := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(f); err != nil {
		return nil, misread(path, err)
	}
	if f.tree, err = parser.ParseBytes(data, 0); err != nil {
		return nil, misread(path, err)
	}
	if len(f.Cases) == 0 {
		return nil, fmt.Errorf("%s: it has no cases", path)
	}
	seen := map[string]bool{}
	for i, c := range f.Cases {
		switch {
		case c.Name == "":
			return nil, fmt.Errorf("%s: case %d has no name", path, i+1)
		case seen[c.Name]:
			return nil, fmt.Errorf("%s: two cases are named %q", path, c.Name)
		case len(c.Events) == 0:
			return nil, fmt.Errorf("%s: case %q has no events", path, c.Name)
		}
		seen[c.Name] = true
	}
	return f, nil
}

// misread gives an error of the YAML library its place in the file.
func misread(path string, err error) error {
	var wrong yaml.Error
	if !errors.As(err, &wrong) || wrong.GetToken() == nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	at := wrong.GetToken().Position
	return &config.Problems{List: []config.Problem{{File: path, Line: at.Line, Col: at.Column, Text: wrong.GetMessage()}}}
}
