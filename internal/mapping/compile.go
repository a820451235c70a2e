package mapping

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Env is the world rules are compiled for: one connection's settings.
type Env struct {
	Kinds    []string                      // every known event name
	Schema   func(kind string) *event.Type // the documented shape; nil if unknown
	Tables   map[string]map[string]string  // for lookup(table, key)
	Language string                        // ru | en | pt | es
	Region   string                        // of phones without a country code
	Builtin  Builtin                       // product.md §7
	Stages   map[string]StageTarget        // deals.stages: Jivo stage id or "pipeline / stage" titles
	// Anonymous is the connection's setting hold | lead | ignore, the value
	// `anonymous` of rules.
	Anonymous string
}

// Builtin are the switches of what is done without any rule (product.md §7).
type Builtin struct {
	Deals, Tasks, Clients, BlacklistTag, DeletedTag, Categories bool
}

// StageTarget is where a Jivo stage leads in amoCRM, in names or ids.
type StageTarget struct{ Pipeline, Stage string }

// Problem is one thing wrong with the rules. Line and Col are 0 where the
// place is not known. Inside a Text, Line is the Text's and Col counts on from
// its first character, line breaks and all: who read the file knows how the
// text is written there, and turns it into a place (config does).
type Problem struct {
	Line, Col int
	Msg       string
}

// RuleError says that an expression failed on an event. It carries no value of
// the event: those are people's data.
type RuleError struct {
	Rule  string
	Field string
	Err   error
}

func (e *RuleError) Error() string { return fmt.Sprintf("rule %q: %s: %v", e.Rule, e.Field, e.Err) }

func (e *RuleError) Unwrap() error { return e.Err }

// Program is a compiled set of rules. It is immutable and safe for concurrent use.
type Program struct {
	env    Env
	texts  *texts
	print  printer
	byKind map[string][]*rule
}

// rule is a compiled Rule.
type rule struct {
	name string
	when *expression // nil: always
	stop bool

	contact *contactPart
	lead    *leadPart
	note    *notePart
	task    *taskPart
	call    *callPart
}

// want is what a block says of finding.
type want struct {
	by     []string // nil: not said
	recent time.Duration
	create *bool
}

type contactPart struct {
	want
	update               event.Mode // "": not said
	name, phone, email   *template
	company, responsible *template
	tags, tagsRemove     []*template
	fields               []fieldPart
}

type leadPart struct {
	want
	update                                          event.Mode
	pipeline, stage, name, price, responsible, loss *template
	tags, tagsRemove                                []*template
	fields                                          []fieldPart
}

type fieldPart struct {
	key   string
	value *template
}

type notePart struct {
	to      string
	text    *template
	service bool
}

type taskPart struct {
	to          string
	text        *template
	due         time.Duration
	once        bool
	responsible *template
}

type callPart struct{ to string }

// compiler gathers problems while rules are compiled.
type compiler struct {
	env      *Env
	scopes   map[string]*scope
	problems []Problem
}

// Compile checks and compiles rules. It returns every problem in one go, in
// order of place; the Program is nil if there is any.
func Compile(rules []Rule, env Env) (*Program, []Problem) {
	if env.Schema == nil {
		env.Schema = func(string) *event.Type { return nil }
	}
	if env.Anonymous == "" {
		env.Anonymous = "hold"
	}
	c := &compiler{env: &env, scopes: map[string]*scope{}}
	t := textsIn(env.Language)
	p := &Program{env: env, texts: t, print: printer{dateTime: t.dateTime}, byKind: map[string][]*rule{}}
	seen := map[string]int{}
	for i := range rules {
		r := &rules[i]
		c.ruleName(r, seen)
		kinds := c.kinds(r)
		compiled := c.rule(r, kinds)
		for _, k := range kinds {
			p.byKind[k] = append(p.byKind[k], compiled)
		}
	}
	if len(c.problems) == 0 {
		return p, nil
	}
	slices.SortStableFunc(c.problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
	return nil, c.problems
}

// problemAt records a problem `offset` characters into t.
func (c *compiler) problemAt(t Text, offset int, format string, args ...any) {
	p := Problem{Line: t.Line, Col: t.Col, Msg: fmt.Sprintf(format, args...)}
	if t.Line > 0 {
		p.Col += offset
	}
	c.problems = append(c.problems, p)
}

func (c *compiler) problem(line, col int, format string, args ...any) {
	c.problems = append(c.problems, Problem{Line: line, Col: col, Msg: fmt.Sprintf(format, args...)})
}

// builtinPrefix begins the names of the built-ins in traces and keys.
const builtinPrefix = "builtin:"

func (c *compiler) ruleName(r *Rule, seen map[string]int) {
	name := strings.TrimSpace(r.Name.Value)
	at := r.Name
	if at.Line == 0 {
		at.Line, at.Col = r.Line, r.Col
	}
	switch {
	case name == "":
		c.problem(at.Line, at.Col, "a rule needs a `name:`; its notes and tasks are remembered under it")
	case strings.HasPrefix(name, builtinPrefix):
		c.problem(at.Line, at.Col, "rule names beginning with %q are taken by the built-ins", builtinPrefix)
	case has(seen, name):
		c.problem(at.Line, at.Col, "there are two rules named %q; the first is on line %d", name, seen[name])
	default:
		seen[name] = at.Line
	}
}

func has[V any](m map[string]V, key string) bool {
	_, ok := m[key]
	return ok
}

// kinds returns the events a rule is for, without those nobody knows.
func (c *compiler) kinds(r *Rule) []string {
	var out []string
	for _, on := range r.On {
		name := strings.TrimSpace(on.Value)
		switch {
		case !slices.Contains(c.env.Kinds, name):
			c.problemAt(on, 0, "there is no event %q%s", name, didYouMean(name, c.env.Kinds))
		case slices.Contains(out, name):
			c.problemAt(on, 0, "event %q is listed twice", name)
		default:
			out = append(out, name)
		}
	}
	if len(r.On) == 0 {
		c.problem(r.Line, r.Col, "rule %q has no events: list them under `on:`", r.Name.Value)
	}
	return out
}

// scope returns the scope of a set of events, one for all rules that share it.
func (c *compiler) scope(kinds []string) *scope {
	kinds = slices.Sorted(slices.Values(kinds))
	key := strings.Join(kinds, " ")
	if c.scopes[key] == nil {
		c.scopes[key] = newScope(kinds, c.env)
	}
	return c.scopes[key]
}

// kindsWith lists the events that have a top-level field.
func (c *compiler) kindsWith(field string) []string {
	var out []string
	for _, k := range slices.Sorted(slices.Values(c.env.Kinds)) {
		if t := c.env.Schema(k); t != nil && has(t.Fields, field) {
			out = append(out, k)
		}
	}
	return out
}
