package mapping

import (
	"testing"

	"github.com/goccy/go-yaml"
)

// parseRules reads rules from YAML as far as the tests need it; the config
// package has the strict reader with positions.
func parseRules(t testing.TB, src string) []Rule {
	t.Helper()
	type block struct {
		Find, Tags                           []string
		TagsRemove                           []string `yaml:"tags_remove"`
		Create                               *bool
		Once                                 bool
		Update, Pipeline, Stage, Name, Price string
		LossReason                           string `yaml:"loss_reason"`
		Phone, Email, Company, Responsible   string
		To, Text, Due                        string
		Fields                               yaml.MapSlice
	}
	var list []struct {
		Name                            string
		On                              []string
		When                            string
		Stop                            bool
		Contact, Lead, Note, Task, Call *block
	}
	if err := yaml.UnmarshalWithOptions([]byte(src), &list, yaml.Strict()); err != nil {
		t.Fatalf("rules: %v", err)
	}
	fields := func(m yaml.MapSlice) (out []Field) {
		for _, f := range m {
			out = append(out, Field{Key: tx(f.Key.(string)), Value: tx(f.Value.(string))})
		}
		return out
	}
	opt := func(s string) Text {
		if s == "" {
			return Text{}
		}
		return tx(s)
	}
	var out []Rule
	for _, r := range list {
		x := Rule{Name: tx(r.Name), On: txs(r.On...), When: opt(r.When), Stop: r.Stop, Line: 1, Col: 1}
		if b := r.Contact; b != nil {
			x.Contact = &ContactBlock{Find: txs(b.Find...), Create: b.Create, Update: opt(b.Update), Name: opt(b.Name),
				Phone: opt(b.Phone), Email: opt(b.Email), Company: opt(b.Company), Tags: txs(b.Tags...),
				TagsRemove: txs(b.TagsRemove...), Responsible: opt(b.Responsible), Fields: fields(b.Fields)}
		}
		if b := r.Lead; b != nil {
			x.Lead = &LeadBlock{Find: txs(b.Find...), Create: b.Create, Update: opt(b.Update), Pipeline: opt(b.Pipeline),
				Stage: opt(b.Stage), Name: opt(b.Name), Price: opt(b.Price), Responsible: opt(b.Responsible),
				LossReason: opt(b.LossReason), Tags: txs(b.Tags...), TagsRemove: txs(b.TagsRemove...), Fields: fields(b.Fields)}
		}
		if b := r.Note; b != nil {
			x.Note = &NoteBlock{To: opt(b.To), Text: opt(b.Text)}
		}
		if b := r.Task; b != nil {
			x.Task = &TaskBlock{To: opt(b.To), Text: opt(b.Text), Due: opt(b.Due), Once: b.Once, Responsible: opt(b.Responsible)}
		}
		if b := r.Call; b != nil {
			x.Call = &CallBlock{To: opt(b.To)}
		}
		out = append(out, x)
	}
	return out
}

func defaults(t testing.TB, lang string) []Rule { return parseRules(t, DefaultsYAML(lang)) }

func TestDefaults_CompileInEveryLanguage(t *testing.T) {
	for _, lang := range []string{"ru", "en", "pt", "es", ""} {
		env := testEnv()
		env.Language = lang
		compiled(t, env, defaults(t, lang)...)
	}
}
