package mapping

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// Budgets of one expression: its size when it is compiled, and the elements it
// may make each time it runs.
const (
	maxNodes     = 2000
	memoryBudget = 100_000
	maxSource    = 16 << 10
)

// expression is one compiled expression with the scope it runs in.
type expression struct {
	program *vm.Program
	scope   *scope
	after   bool // may use crm
	calls   map[string]bool
}

// fault is a problem inside an expression; at counts characters from its start.
type fault struct {
	at  int
	msg string
}

// compileExpression checks and compiles src. after says whether crm is known;
// condition asks for true or false. All unknown names are reported at once,
// of other errors the first.
func (c *compiler) compileExpression(src string, sc *scope, after, condition bool) (x *expression, faults []fault) {
	defer func() {
		if r := recover(); r != nil {
			x, faults = nil, []fault{{msg: "the expression cannot be compiled"}}
		}
	}()
	if len(src) > maxSource {
		return nil, []fault{{msg: fmt.Sprintf("the expression is longer than %d bytes", maxSource)}}
	}
	if strings.TrimSpace(src) == "" {
		return nil, []fault{{msg: "the expression is empty"}}
	}
	options := []expr.Option{
		expr.MaxNodes(maxNodes),
		expr.DisableBuiltin("now"),    // rules know no clock
		expr.DisableBuiltin("repeat"), // its result is not in the memory budget
		expr.Function(softField, fieldOf, new(func(any, any, any) any)),
		expr.Function(softEmpty, nilIfEmpty, new(func(any) any)),
		expr.Function(softZero, orZero, new(func(any, any) any)),
	}
	if after {
		options = append(options, expr.Env(sc.after))
	} else {
		options = append(options, expr.Env(sc.before))
	}
	if condition {
		options = append(options, expr.AsBool())
	}

	// First pass: errors. Second: the same with the soft operations in place;
	// the checker no longer looks into those.
	names := newNames(c, sc, after)
	checked, err := expr.Compile(src, append(options, expr.Patch(names))...)
	if faults = names.faults(); len(faults) > 0 {
		return nil, faults
	}
	if err != nil {
		return nil, []fault{explain(err)}
	}
	if !condition {
		if msg := unprintable(checked.Node().Type()); msg != "" {
			return nil, []fault{{msg: msg}}
		}
	}
	program, err := expr.Compile(src, append(options, expr.Patch(softener{}))...)
	if err != nil {
		return nil, []fault{explain(err)}
	}
	return &expression{program: program, scope: sc, after: after, calls: names.called}, nil
}

// unprintable says why a result of type t makes no text, "" if it does.
func unprintable(t reflect.Type) string {
	if t == nil {
		return ""
	}
	switch t.Kind() {
	case reflect.Map:
		return "this is an object, not a text: name one of its fields"
	}
	return ""
}

// explain turns an error of Expr into words for somebody who writes YAML.
func explain(err error) fault {
	f := fault{msg: err.Error()}
	var at *file.Error
	if errors.As(err, &at) {
		f = fault{at: at.From, msg: at.Message}
	}
	switch {
	case strings.Contains(f.msg, "coalesce expressions (??) cannot be mixed"):
		op := between(f.msg, "Operator (", ")")
		f.msg = fmt.Sprintf("`??` beside `%s`: bracket it, as in `(a ?? b) %s c`", op, op)
	case strings.HasPrefix(f.msg, "expected bool, but got "):
		f.msg = "must be true or false, but is " + plainTypes(strings.TrimPrefix(f.msg, "expected bool, but got "))
	case strings.Contains(f.msg, "exceeds maximum allowed nodes"):
		f.msg = fmt.Sprintf("the expression has more than %d parts", maxNodes)
	case strings.Contains(f.msg, "mismatched types string and int") || strings.Contains(f.msg, "mismatched types int and string"):
		f.msg = plainTypes(f.msg) + "; ids are strings: put the number in quotes"
	default:
		f.msg = plainTypes(f.msg)
	}
	return f
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}

// plainTypes replaces the names of Go's types in a message of Expr.
func plainTypes(msg string) string {
	return strings.NewReplacer(
		"map[string]interface {}", "object", "[]interface {}", "list", "interface {}", "any",
		"float64", "number", "token EOF", "end of the expression", "Operator(", "(", "Identifier(", "(", "Bracket(", "(",
	).Replace(msg)
}

// run evaluates x. The error names the kind of trouble and the place in the
// expression, never a value: values are people's data.
func (x *expression) run(env map[string]any) (v any, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, errors.New("the expression failed")
		}
	}()
	machine := vm.VM{MemoryBudget: memoryBudget}
	v, err = machine.Run(x.program, env)
	if err == nil {
		return v, nil
	}
	where, msg := "", err.Error()
	var at *file.Error
	if errors.As(err, &at) {
		where, msg = fmt.Sprintf(" at character %d", at.From+1), at.Message
	}
	for _, known := range []string{
		"memory budget exceeded", "index out of range", "cannot fetch", "cannot call", "invalid operation",
		"interface conversion", "divide by zero", "invalid date", "invalid argument", "invalid duration",
		"error parsing regexp", "reflect: call",
	} {
		if strings.Contains(msg, known) {
			return nil, errors.New(known + where)
		}
	}
	return nil, errors.New("the expression failed" + where)
}
