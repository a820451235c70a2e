package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
)

// names collects, while Expr walks over an expression, every name that means
// nothing, with the nearest ones that do, and every function called.
type names struct {
	c     *compiler
	scope *scope
	after bool

	functions map[string]any
	called    map[string]bool
	unknown   []unknownName
	uncalled  map[ast.Node]string // functions named but not called
	lets      map[string]bool
	other     []fault
}

type unknownName struct {
	node     ast.Node
	name     string
	function bool
}

func newNames(c *compiler, sc *scope, after bool) *names {
	return &names{c: c, scope: sc, after: after, functions: signatures(), called: map[string]bool{}, lets: map[string]bool{}, uncalled: map[ast.Node]string{}}
}

// Visit implements ast.Visitor; children come before their parents.
func (v *names) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		m := v.scope.before
		if v.after {
			m = v.scope.after
		}
		if _, ok := m[n.Value]; !ok {
			v.unknown = append(v.unknown, unknownName{node: n, name: n.Value})
		}
		if _, ok := v.functions[n.Value]; ok {
			v.uncalled[n] = n.Value
		}
	case *ast.VariableDeclaratorNode:
		v.lets[n.Name] = true
	case *ast.CallNode:
		v.call(n)
	case *ast.MemberNode:
		v.member(n)
	}
}

func (v *names) call(n *ast.CallNode) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return
	}
	v.called[callee.Value] = true
	delete(v.uncalled, callee)
	for i := range v.unknown {
		if v.unknown[i].node == ast.Node(callee) {
			v.unknown[i].function = true
		}
	}
	table, ok := first(n.Arguments).(*ast.StringNode)
	if callee.Value != "lookup" || !ok {
		return
	}
	if _, known := v.c.env.Tables[table.Value]; !known {
		v.other = append(v.other, fault{table.Location().From, fmt.Sprintf("there is no table %q in `tables`%s",
			table.Value, didYouMean(table.Value, slices.Collect(maps.Keys(v.c.env.Tables))))})
	}
}

func first(nodes []ast.Node) ast.Node {
	if len(nodes) == 0 {
		return nil
	}
	return nodes[0]
}

func (v *names) member(n *ast.MemberNode) {
	name, ok := n.Property.(*ast.StringNode)
	base := n.Node.Nature()
	if !ok || base.TypeData == nil || !base.Strict {
		return
	}
	if _, ok := base.Fields[name.Value]; ok {
		return
	}
	of := n.Node.String()
	if len(of) > 40 || strings.Contains(of, "#") {
		of = "the object"
	}
	v.other = append(v.other, fault{name.Location().From, fmt.Sprintf("%s has no field %q%s",
		of, name.Value, didYouMean(name.Value, slices.Collect(maps.Keys(base.Fields))))})
}

// faults returns what was found, in order of place.
func (v *names) faults() []fault {
	out := slices.Clone(v.other)
	for _, u := range v.unknown {
		if !v.lets[u.name] {
			out = append(out, fault{u.node.Location().From, v.say(u)})
		}
	}
	for node, name := range v.uncalled {
		if !v.lets[name] {
			out = append(out, fault{node.Location().From, fmt.Sprintf("%s is a function: call it with ()", name)})
		}
	}
	slices.SortStableFunc(out, func(a, b fault) int { return a.at - b.at })
	return slices.Compact(out)
}

func (v *names) say(u unknownName) string {
	switch {
	case u.name == "$env":
		return "`$env` is switched off: name the fields"
	case u.name == "now" && u.function:
		return "`now()` is switched off: rules know no clock"
	case u.name == "crm" && !v.after:
		return "`crm` is known only after contact and lead are found: it may stand in templates, not in `when` or `pipeline`"
	case u.function:
		return fmt.Sprintf("there is no function %q%s", u.name, didYouMean(u.name, functionNames()))
	}
	if owners := v.c.kindsWith(u.name); len(owners) > 0 {
		return fmt.Sprintf("%q is a field of %s, and `on` lists no such event", u.name, someOf(owners))
	}
	if slices.Contains(functionNames(), u.name) {
		return fmt.Sprintf("%s is a function: call it with ()", u.name)
	}
	return fmt.Sprintf("no event of this rule has a field %q%s", u.name, didYouMean(u.name, v.scope.names(v.after)))
}

// someOf names up to three kinds of event.
func someOf(kinds []string) string {
	if len(kinds) > 3 {
		return strings.Join(kinds[:3], ", ") + " and others"
	}
	return strings.Join(kinds, ", ")
}

// functionNames lists every function a rule may call, ours and Expr's.
func functionNames() []string {
	out := slices.Collect(maps.Keys(signatures()))
	for _, f := range builtin.Builtins {
		if f.Name != "now" && f.Name != "repeat" {
			out = append(out, f.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
