package config

import (
	"github.com/jivo-amocrm/bridge/internal/config/strict"
	"github.com/jivo-amocrm/bridge/internal/mapping"
)

// env is the world the connection's rules are compiled for. Where `region` is
// absent, the account's country takes its place later (mapping.Program.InRegion).
func (conn *Connection) env(v Vocabulary) mapping.Env {
	stages := make(map[string]mapping.StageTarget, len(conn.Stages))
	for _, s := range conn.Stages {
		stages[s.Jivo] = mapping.StageTarget{Pipeline: s.Pipeline, Stage: s.Stage}
	}
	return mapping.Env{
		Kinds: v.Kinds, Schema: v.Schema,
		Tables: conn.Tables, Language: conn.Language, Region: conn.Region,
		Builtin: mapping.Builtin(conn.Builtin), Stages: stages, Anonymous: conn.Anonymous,
	}
}

// compile makes the program. Only rules that were read whole are compiled; if
// there are others, the problems with them are reported already.
func (conn *Connection) compile(r *strict.Reader, v Vocabulary) {
	program, problems := mapping.Compile(conn.whole, conn.env(v))
	conn.Program, conn.whole = program, nil
	conn.report(r, problems)
}

// compileReply makes the lines of the operator's card; absent, they are built in.
func (conn *Connection) compileReply(r *strict.Reader, v Vocabulary) {
	if conn.Reply.CustomData == nil {
		return
	}
	items := make([]mapping.ReplyItem, len(conn.Reply.CustomData))
	for i, it := range conn.Reply.CustomData {
		items[i] = mapping.ReplyItem(it)
	}
	lines, problems := mapping.CompileReply(items, conn.env(v))
	conn.Reply.Lines = lines
	conn.report(r, problems)
}

// report turns the compiler's problems into problems of the file.
func (conn *Connection) report(r *strict.Reader, problems []mapping.Problem) {
	for _, p := range problems {
		at := r.Exact(Pos{Line: p.Line, Col: p.Col})
		switch {
		case at.Line == 0:
			r.Problem(conn.Pos, "default rules: %s", p.Msg)
		case r.Mixed(at.Line):
			// The compiler quotes what it complains of, and that came from
			// outside: it may be a secret.
			r.Problem(at, "this does not compile; it holds ${…}, so it is not shown")
		default:
			r.Problem(at, "%s", p.Msg)
		}
	}
}

// defaultRules are the built-in rules, read by the code that reads `rules:`.
func (conn *Connection) defaultRules(r *strict.Reader, v Vocabulary) []mapping.Rule {
	from := r.Source
	from.Builtin = true
	inner, defaults := strict.NewReader(from), newConnection(conn.Name, Pos{})
	inner.Read([]byte(mapping.DefaultsYAML(conn.Language)), defaults.rules(v), "rules")
	if wrong := inner.Problems(); wrong != nil {
		r.Problem(conn.Pos, "default rules: %s", wrong.List[0].Text)
	}
	return defaults.Rules
}
