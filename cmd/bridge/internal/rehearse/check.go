package rehearse

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/mapping"
	"github.com/jivo-amocrm/bridge/internal/nearest"
)

// What a case may expect (product.md §3, §7).
func states() []string {
	return wordsOf(event.Pending, event.Parked, event.Done, event.Skipped, event.Dead)
}
func ops() []string { return wordsOf(event.OpCreate, event.OpUpdate, event.OpLink) }
func targets() []string {
	return wordsOf(event.OnContact, event.OnLead, event.OnCompany, event.OnNote, event.OnTask, event.OnCall)
}
func contactBy() []string {
	return []string{"client", "phone", "email", "chat_assigned", "created", "none"}
}
func leadBy() []string {
	return []string{"chat", "open", "open_any", "recent", "deal", "adopt", "chat_assigned", "created", "none"}
}

func wordsOf[T ~string](list ...T) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return out
}

// checker looks for names in a test file that nothing has: what is expected of
// them would be so, or not so, whatever the config says.
type checker struct {
	file     *File
	rules    []string
	problems []config.Problem
}

// check returns a *config.Problems with every name that neither the connection nor
// the bridge nor Jivo has, nil if there is none.
func (f *File) check(conn *config.Connection) error {
	c := checker{file: f}
	for _, r := range conn.Rules {
		c.rules = append(c.rules, strings.TrimSpace(r.Name.Value))
	}
	for i, one := range f.Cases {
		path := fmt.Sprintf("$.cases[%d]", i)
		c.events(path+".before", one.Before, one.Expect)
		c.events(path+".events", one.Events, one.Expect)
		c.expect(path+".expect", one.Expect)
	}
	if len(c.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(c.problems, func(a, b config.Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return &config.Problems{List: c.problems}
}

func (c *checker) expect(path string, x Expect) {
	c.word(path+".state", "state", x.State, states())
	for i, name := range x.Rules {
		c.rule(fmt.Sprintf("%s.rules[%d]", path, i), name)
	}
	for i, name := range x.NotRules {
		c.rule(fmt.Sprintf("%s.not_rules[%d]", path, i), name)
	}
	if x.Contact != nil {
		c.word(path+".contact.by", "by", x.Contact.By, contactBy())
	}
	if x.Lead != nil {
		c.word(path+".lead.by", "by", x.Lead.By, leadBy())
	}
	if x.Changes == nil {
		return
	}
	for i, ch := range *x.Changes {
		at := fmt.Sprintf("%s.changes[%d]", path, i)
		c.word(at+".op", "op", ch.Op, ops())
		c.word(at+".target", "target", ch.Target, targets())
		// The second part of a long note is "RULE/2", the task of a missed call
		// "RULE/call back", what was said before the contact came "held:CHAT".
		name := ch.Rule
		if i := strings.LastIndexByte(name, '/'); i >= 0 && !c.has(name) {
			name = name[:i]
		}
		if name != "" && !strings.HasPrefix(name, "held:") {
			c.rule(at+".rule", name)
		}
	}
}

// events looks at the events' names. An unknown one is a slip, unless that it is
// unknown is what the case is about.
func (c *checker) events(path string, events []Event, x Expect) {
	if x.Reason != nil && *x.Reason == string(event.UnknownEvent) {
		return
	}
	for i, e := range events {
		at := fmt.Sprintf("%s[%d]", path, i)
		body, err := e.body(filepath.Dir(c.file.Path))
		if err != nil {
			c.problem(at, "%v", err)
			continue
		}
		m, err := jivo.Decode(body)
		switch {
		case err != nil || m.Known: // what cannot be read is for the case to expect
		case m.Kind == "":
			c.problem(at, "the event has no event_name")
		default:
			c.problem(at+".event_name", "Jivo has no event %q%s", m.Kind, didYouMean(m.Kind, jivo.Kinds()))
		}
	}
}

func (c *checker) has(rule string) bool {
	return slices.Contains(c.rules, rule) || slices.Contains(mapping.Builtins(jivo.Kinds()), rule)
}

func (c *checker) rule(path, name string) {
	if c.has(name) {
		return
	}
	hint := didYouMean(name, slices.Concat(c.rules, mapping.Builtins(jivo.Kinds())))
	if hint == "" && len(c.rules) > 0 {
		const some = 8
		hint = "; the connection has: " + strings.Join(c.rules[:min(some, len(c.rules))], ", ")
		if len(c.rules) > some {
			hint += "…"
		}
	}
	c.problem(path, "no such rule: %q%s", name, hint)
}

// word looks at a word of a closed set; "" is one that is left out.
func (c *checker) word(path, key, got string, set []string) {
	if got == "" || slices.Contains(set, got) {
		return
	}
	last := len(set) - 1
	c.problem(path, "%s: %s or %s is expected, not %q%s", key, strings.Join(set[:last], ", "), set[last], got, didYouMean(got, set))
}

func (c *checker) problem(path, format string, a ...any) {
	line, col := c.file.place(path)
	c.problems = append(c.problems, config.Problem{File: c.file.Path, Line: line, Col: col, Text: fmt.Sprintf(format, a...)})
}

// place is where the value of a path stands in the file; of a path that leads
// into a text, another file or through an alias, the last node on the way.
func (f *File) place(path string) (line, col int) {
	for ; path != "$"; path = path[:strings.LastIndexAny(path, ".[")] {
		p, err := yaml.PathString(path)
		if err != nil {
			continue
		}
		node, err := p.FilterFile(f.tree)
		if err != nil || node == nil {
			continue
		}
		at := start(node).GetToken()
		if at != nil && at.Position != nil {
			return at.Position.Line, at.Position.Column
		}
	}
	return 1, 1
}

// start is the node a value begins with: of a block mapping its first key.
func start(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return n.Values[0].Key
		}
	case *ast.MappingValueNode:
		return n.Key
	}
	return n
}

// didYouMean is `; did you mean "x"?` for the known name nearest to a misspelt
// one, "" if none is near: up to one slip for every three letters.
func didYouMean(got string, known []string) string {
	near := nearest.Names(got, known, max(1, utf8.RuneCountInString(got)/3))
	if len(near) == 0 {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", near[0].Name)
}
