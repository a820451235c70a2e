package config

import (
	"github.com/jivo-amocrm/bridge/internal/mapping"
)

// Env is the world the connection's rules are compiled for. Load has compiled
// them for it; where the account's country takes the place of an absent
// `region`, the app compiles Rules again with Env's Region set.
func (conn *Connection) Env(v Vocabulary) mapping.Env {
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
func (conn *Connection) compile(r *reader) {
	program, problems := mapping.Compile(conn.whole, conn.Env(r.vocab))
	conn.Program, conn.whole = program, nil
	for _, p := range problems {
		at := r.exact(Pos{p.Line, p.Col})
		switch {
		case at.Line == 0:
			r.problem(conn.Pos, "default rules: %s", p.Msg)
		case r.mixed[at.Line]:
			// The compiler quotes what it complains of, and that came from
			// outside: it may be a secret.
			r.problem(at, "this does not compile; it holds ${…}, so it is not shown")
		default:
			r.problem(at, "%s", p.Msg)
		}
	}
}

// defaultRules are the built-in rules, read by the code that reads `rules:`.
func (conn *Connection) defaultRules(r *reader) []mapping.Rule {
	inner := newReader("default rules", r.getenv, r.readFile, r.vocab)
	inner.builtin = true
	defaults := newConnection(conn.Name, Pos{})
	if body := inner.parseSource([]byte(mapping.DefaultsYAML(conn.Language))); body != nil {
		inner.read(defaults.rules(newConfig("", r.vocab)), body, place{name: "rules", path: "rules"})
	}
	for _, p := range inner.problems {
		r.problem(conn.Pos, "default rules: %s", p.Text)
	}
	return defaults.Rules
}
