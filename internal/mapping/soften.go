package mapping

import (
	"reflect"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker/nature"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Names of the functions put in by softener. No expression can spell them.
const (
	softField = "field of"
	softEmpty = "nil if empty"
	softZero  = "or zero"
)

// softener rewrites a checked expression so that absent data is no error:
//
//   - `a ?? b` gives b if a is empty, not only if it is nil; a is evaluated once
//     and b only if needed;
//   - an element or field that is not there (`tags[0].title`, `extra.x.y`) has
//     its zero value;
//   - an operand that may be nil counts as the zero value of the other's type.
//
// Sources: architecture.md, decision 10; product.md › Rules, Language.
type softener struct{}

// Visit implements ast.Visitor.
func (softener) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.MemberNode:
		if softMember(n) {
			replace(node, softField, n.Node, n.Property, &ast.ConstantNode{Value: zeroOf(n.Nature(), 0)})
		}
	case *ast.BinaryNode:
		if n.Operator == "??" {
			replace(&n.Left, softEmpty, n.Left)
			return
		}
		softOperands(n)
	}
}

// replace puts a call in the node's place, with the type the node had.
func replace(node *ast.Node, function string, args ...ast.Node) {
	was := *(*node).Nature()
	call := &ast.CallNode{Callee: &ast.IdentifierNode{Value: function}, Arguments: args}
	call.SetNature(was)
	ast.Patch(node, call)
}

// softMember says whether reading a member may fail: everything but a
// documented field of an object that is surely there.
func softMember(n *ast.MemberNode) bool {
	base := n.Node.Nature()
	if n.Method || base.Kind == reflect.Struct {
		return false
	}
	return !sureMember(n)
}

func sureMember(n *ast.MemberNode) bool {
	name, ok := n.Property.(*ast.StringNode)
	base := n.Node.Nature()
	if !ok || n.Optional || base.TypeData == nil || !base.Strict {
		return false
	}
	if _, ok := base.Fields[name.Value]; !ok {
		return false
	}
	switch b := n.Node.(type) {
	case *ast.IdentifierNode, *ast.PointerNode:
		return true
	case *ast.MemberNode:
		return sureMember(b)
	}
	return false
}

// softOperands wraps an operand of unknown type whose partner's type is known.
func softOperands(n *ast.BinaryNode) {
	switch n.Operator {
	case "contains", "startsWith", "endsWith", "matches":
		for _, side := range []*ast.Node{&n.Left, &n.Right} {
			if unknown(*side) {
				replace(side, softZero, *side, &ast.ConstantNode{Value: ""})
			}
		}
	case "+", "-", "*", "/", "<", ">", "<=", ">=":
		softSide(&n.Left, n.Right)
		softSide(&n.Right, n.Left)
	}
}

func softSide(side *ast.Node, other ast.Node) {
	if !unknown(*side) || unknown(other) {
		return
	}
	if zero := zeroOf(other.Nature(), 0); zero != nil {
		replace(side, softZero, *side, &ast.ConstantNode{Value: zero})
	}
}

func unknown(n ast.Node) bool {
	return n.Type().Kind() == reflect.Interface && !n.Nature().Nil
}

// zeroOf is the zero value of a checked type; nil where it is not known.
func zeroOf(nt *nature.Nature, depth int) any {
	if depth > 16 {
		return nil
	}
	switch nt.Kind {
	case reflect.String:
		return ""
	case reflect.Bool:
		return false
	case reflect.Int:
		return 0
	case reflect.Float64:
		return 0.0
	case reflect.Slice:
		return []any{}
	case reflect.Map:
		o := event.Object{}
		if nt.TypeData != nil && nt.Strict {
			for name, f := range nt.Fields {
				o[name] = zeroOf(&f, depth+1)
			}
		}
		return o
	}
	return nil
}

// fieldOf reads a field or element; zero if there is none.
func fieldOf(args ...any) (any, error) {
	from, key, zero := args[0], args[1], args[2]
	var got any
	switch from := from.(type) {
	case event.Object:
		if k, ok := key.(string); ok {
			got = from[k]
		}
	case []any:
		got = element(key, len(from), func(i int) any { return from[i] })
	case []string:
		got = element(key, len(from), func(i int) any { return from[i] })
	case map[string]string:
		if k, ok := key.(string); ok {
			got = from[k]
		}
	}
	if got == nil {
		return zero, nil
	}
	return got, nil
}

func element(key any, n int, get func(int) any) any {
	i, ok := key.(int)
	if !ok {
		return nil
	}
	if i < 0 {
		i += n
	}
	if i < 0 || i >= n {
		return nil
	}
	return get(i)
}

func nilIfEmpty(args ...any) (any, error) {
	if empty(args[0]) {
		return nil, nil
	}
	return args[0], nil
}

func orZero(args ...any) (any, error) {
	if args[0] == nil {
		return args[1], nil
	}
	return args[0], nil
}
