package mapping

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// at is a text that stands somewhere in a config.
func pos(line, col int, s string) Text { return Text{Value: s, Line: line, Col: col, Set: true} }

// base is a sound rule; each case breaks it in one place.
func base() Rule {
	return Rule{Name: pos(2, 9, "r"), On: []Text{pos(3, 10, "chat_accepted")}, Line: 2, Col: 3,
		Lead: &LeadBlock{Create: yes(), Line: 5, Col: 5}}
}

func TestCompile_EveryProblemHasItsPlaceAndWords(t *testing.T) {
	when := func(src string) func(*Rule) { return func(r *Rule) { r.When = pos(4, 11, src) } }
	name := func(src string) func(*Rule) { return func(r *Rule) { r.Lead.Name = pos(6, 13, src) } }
	const event1 = "no event of this rule has a field "
	for _, c := range []struct {
		name   string
		break_ func(*Rule)
		want   string
	}{
		{"no name", func(r *Rule) { r.Name = Text{} }, "2:3: a rule needs a `name:`; its notes and tasks are remembered under it"},
		{"blank name", func(r *Rule) { r.Name.Value = " " }, "2:9: a rule needs a `name:`; its notes and tasks are remembered under it"},
		{"taken name", func(r *Rule) { r.Name.Value = "builtin:deals" }, `2:9: rule names beginning with "builtin:" are taken by the built-ins`},
		{"no events", func(r *Rule) { r.On = nil }, "2:3: rule \"r\" has no events: list them under `on:`"},
		{"unknown event", func(r *Rule) { r.On = append(r.On, pos(3, 25, "chat_acepted")) }, `3:25: there is no event "chat_acepted"; did you mean "chat_accepted"?`},
		{"unknown event, nothing near", func(r *Rule) { r.On[0] = pos(3, 10, "tuesday") }, `3:10: there is no event "tuesday"`},
		{"event twice", func(r *Rule) { r.On = append(r.On, pos(3, 25, "chat_accepted")) }, `3:25: event "chat_accepted" is listed twice`},
		{"does nothing", func(r *Rule) { r.Lead = nil }, `2:3: rule "r" does nothing: give it contact, lead, note, task, call or stop`},

		{"empty when", when("  "), "4:11: `when:` is empty: write an expression, or leave the key out"},
		{"when in braces", when(`{{ known() }}`), "4:11: `when` is an expression already: write it without {{ }}"},
		{"when is text", when(`visitor.name`), "4:11: when: must be true or false, but is string"},
		{"when is a number", when(`1 + 1`), "4:11: when: must be true or false, but is int"},
		{"unknown field", when(`known() and vistor.name == ""`), `4:23: when: ` + event1 + `"vistor"; did you mean "visitor"?`},
		{"unknown inner field", when(`visitor.nmae == ""`), `4:19: when: visitor has no field "nmae"; did you mean "name"?`},
		{"unknown field, nothing near", when(`weather == ""`), `4:11: when: ` + event1 + `"weather"`},
		{"field of another event", when(`call.status == "end"`), "4:11: when: \"call\" is a field of call_event, and `on` lists no such event"},
		{"field of many others", when(`contacts == []`), "4:11: when: \"contacts\" is a field of assigned_agent_to_client, changed_client_blacklist, changed_client_company and others, and `on` lists no such event"},
		{"unknown function", when(`lokup("site_of_channel", widget_id) == ""`), `4:11: when: there is no function "lokup"; did you mean "lookup"?`},
		{"function without brackets", when(`known and true`), "4:11: when: known is a function: call it with ()"},
		{"unknown table", when(`lookup("site_of_chanel", widget_id) == ""`), "4:18: when: there is no table \"site_of_chanel\" in `tables`; did you mean \"site_of_channel\"?"},
		{"now", when(`now() > date("2026-01-01")`), "4:11: when: `now()` is switched off: rules know no clock"},
		{"env", when(`$env.visitor.name == ""`), "4:11: when: `$env` is switched off: name the fields"},
		{"env by get", when(`get($env, "visitor") == nil`), "4:15: when: `$env` is switched off: name the fields"},
		{"crm in when", when(`crm.lead.id == ""`), "4:11: when: `crm` is known only after contact and lead are found: it may stand in templates, not in `when` or `pipeline`"},
		{"coalesce beside plus", when(`visitor.name ?? visitor.email + "x" == ""`), "4:41: when: `??` beside `+`: bracket it, as in `(a ?? b) + c`"},
		{"coalesce beside equals", when(`visitor.name ?? "x" == ""`), "4:31: when: `??` beside `==`: bracket it, as in `(a ?? b) == c`"},
		{"id compared with a number", when(`visitor.number == 2198`), "4:26: when: invalid operation: == (mismatched types string and int); ids are strings: put the number in quotes"},
		{"syntax", when(`known() and`), "4:21: when: unexpected end of the expression"},
		{"unclosed bracket", when(`(known() `), "4:19: when: unexpected end of the expression"},
		{"bad character", when(`known() ± 1`), "4:19: when: unrecognized character: U+00B1 '±'"},
		{"unclosed string", when(`"abc`), "4:15: when: literal not terminated"},
		{"columns count characters", when(`"чат" == vistor.name`), `4:20: when: ` + event1 + `"vistor"; did you mean "visitor"?`},
		{"a bad regexp", when(`visitor.name matches "("`), "4:24: when: error parsing regexp: missing closing ): `(`"},
		{"too many parts", when(strings.Repeat("1<2 and ", 1500) + "true"), "4:4015: when: the expression has more than 2000 parts"},
		{"too long", when(`"` + strings.Repeat("x", 17<<10) + `" == ""`), "4:11: when: the expression is longer than 16384 bytes"},
		{"transcript of another event", when(`transcript() == ""`), "4:11: when: transcript() is of chat_finished, which `on` does not list"},
		{"two at once", when(`vistor.name == agnt.name`), `4:11: when: ` + event1 + `"vistor"; did you mean "visitor"?` + "\n" + `4:26: when: ` + event1 + `"agnt"; did you mean "agent"?`},

		{"template never closed", name(`Чат {{ visitor.name`), "6:17: lead.name: `{{` is never closed with `}}`"},
		{"template closed in a string only", name(`{{ "}}" `), "6:13: lead.name: `{{` is never closed with `}}`"},
		{"empty expression", name(`a {{ }}`), "6:17: lead.name: the expression is empty"},
		{"unknown field in a template", name(`Чат: {{ visitor.nam }}`), `6:29: lead.name: visitor has no field "nam"; did you mean "name"?`},
		{"two expressions, two problems", name(`{{ a1 }} {{ b1 }}`), `6:16: lead.name: ` + event1 + `"a1"` + "\n" + `6:25: lead.name: ` + event1 + `"b1"`},
		{"object for a text", name(`{{ visitor }}`), "6:15: lead.name: this is an object, not a text: name one of its fields"},
		{"function for a text", name(`{{ transcript }}`), "6:16: lead.name: transcript is a function: call it with ()"},
		{"unknown crm field", name(`{{ crm.lead.stge }}`), `6:25: lead.name: crm.lead has no field "stge"; did you mean "stage"?`},
		{"unknown utm", name(`{{ utm.sorce }}`), `6:20: lead.name: utm has no field "sorce"; did you mean "source"?`},
		{"second line of a text", name("a\n{{ vistor }}"), `6:18: lead.name: ` + event1 + `"vistor"; did you mean "visitor"?`},

		{"crm in pipeline", func(r *Rule) { r.Lead.Pipeline = pos(7, 17, `{{ crm.lead.pipeline }}`) }, "7:20: lead.pipeline: `crm` is known only after contact and lead are found: it may stand in templates, not in `when` or `pipeline`"},
		{"lead finder", func(r *Rule) { r.Lead.Find = []Text{pos(7, 14, "chat"), pos(7, 20, "opne")} }, `7:20: lead.find: there is no finder "opne"; did you mean "open"? (known: chat, open, open_any, recent, deal)`},
		{"a finder of ours", func(r *Rule) { r.Lead.Find = []Text{pos(7, 14, "adopt")} }, `7:14: lead.find: there is no finder "adopt" (known: chat, open, open_any, recent, deal)`},
		{"finder twice", func(r *Rule) { r.Lead.Find = []Text{pos(7, 14, "open"), pos(7, 20, "open")} }, `7:20: lead.find: "open" is listed twice`},
		{"recent without a time", func(r *Rule) { r.Lead.Find = []Text{pos(7, 14, "recent")} }, "7:14: lead.find: say how recent, as in `recent: 7d`"},
		{"recent of nonsense", func(r *Rule) { r.Lead.Find = []Text{pos(7, 14, "recent: soon")} }, "7:14: lead.find: \"soon\" is no duration, as in `recent: 7d`"},
		{"lead mode", func(r *Rule) { r.Lead.Update = pos(7, 15, "fil") }, `7:15: lead.update: "fil" is none of fill, overwrite, never; did you mean "fill"?`},
		{"contact finder", func(r *Rule) { r.Contact = &ContactBlock{Find: []Text{pos(8, 14, "chat")}} }, `8:14: contact.find: there is no finder "chat" (known: client, phone, email)`},
		{"contact mode", func(r *Rule) { r.Contact = &ContactBlock{Update: pos(8, 15, "overwite")} }, `8:15: contact.update: "overwite" is none of fill, overwrite, never; did you mean "overwrite"?`},
		{"contact field", func(r *Rule) { r.Contact = &ContactBlock{Email: pos(8, 15, "{{ visitor.mail }}")} }, `8:26: contact.email: visitor has no field "mail"; did you mean "email"?`},
		{"tag", func(r *Rule) { r.Lead.Tags = []Text{pos(8, 15, "ok"), pos(8, 19, "{{ x1 }}")} }, `8:22: lead.tags: ` + event1 + `"x1"`},
		{"custom field", func(r *Rule) { r.Lead.Fields = []Field{{pos(9, 8, "UTM"), pos(9, 13, "{{ x1 }}")}} }, `9:16: lead.fields.UTM: ` + event1 + `"x1"`},
		{"custom field without a name", func(r *Rule) { r.Lead.Fields = []Field{{pos(9, 8, "?"), pos(9, 13, "x")}} }, `9:8: lead.fields: a field needs a name, code or id`},
		{"custom field twice", func(r *Rule) {
			r.Lead.Fields = []Field{{pos(9, 8, "A"), pos(9, 13, "x")}, {pos(10, 8, "A"), pos(10, 13, "x")}}
		}, `10:8: lead.fields: "A" is listed twice`},
		{"note target", func(r *Rule) { r.Note = &NoteBlock{To: pos(9, 15, "leads"), Text: pos(9, 22, "x")} }, `9:15: note.to: "leads" is none of lead, contact; did you mean "lead"?`},
		{"note without text", func(r *Rule) { r.Note = &NoteBlock{Line: 9, Col: 7} }, `9:7: note.text: a note needs a text`},
		{"task without text", func(r *Rule) { r.Task = &TaskBlock{Text: pos(9, 15, " ")} }, `9:15: task.text: a task needs a text`},
		{"task due", func(r *Rule) { r.Task = &TaskBlock{Text: pos(9, 15, "x"), Due: pos(9, 25, "tomorrow")} }, `9:25: task.due: "tomorrow" is no duration, as in 1h or 2d`},
		{"call of no call", func(r *Rule) { r.Call = &CallBlock{Line: 9, Col: 5} }, "9:5: call: only call_event is a call, and `on` does not list it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := base()
			c.break_(&r)
			p, problems := Compile([]Rule{r}, testEnv())
			var got []string
			for _, x := range problems {
				got = append(got, fmt.Sprintf("%d:%d: %s", x.Line, x.Col, x.Msg))
			}
			if diff := cmp.Diff(c.want, strings.Join(got, "\n")); diff != "" {
				t.Error(diff)
			}
			if p != nil {
				t.Error("there is a program in spite of problems")
			}
		})
	}
}

func TestCompile_RulesHaveUniqueNames(t *testing.T) {
	a, b := base(), base()
	b.Name = pos(20, 9, "r")
	_, problems := Compile([]Rule{a, b}, testEnv())
	want := []Problem{{20, 9, `there are two rules named "r"; the first is on line 2`}}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Error(diff)
	}
}

func TestCompile_ProblemsComeInOneGoAndInOrder(t *testing.T) {
	a, b := base(), base()
	a.When, a.Lead.Update = pos(40, 1, "x1"), pos(30, 1, "x")
	b.Name, b.On = pos(20, 9, "other"), []Text{pos(21, 1, "x")}
	_, problems := Compile([]Rule{a, b}, testEnv())
	var got []int
	for _, p := range problems {
		got = append(got, p.Line)
	}
	if diff := cmp.Diff([]int{21, 30, 40}, got); diff != "" {
		t.Error(diff)
	}
}

func TestCutTemplate(t *testing.T) {
	for _, c := range []struct {
		src  string
		want []string // expressions in <>
		bad  int
	}{
		{"", nil, -1},
		{"text", []string{"text"}, -1},
		{"{{ a }}", []string{"< a >"}, -1},
		{"x{{a}}y{{b}}z", []string{"x", "<a>", "y", "<b>", "z"}, -1},
		{`{{ "}}" }}`, []string{`< "}}" >`}, -1},
		{`{{ '}}' }}`, []string{`< '}}' >`}, -1},
		{"{{ `}}` }}", []string{"< `}}` >"}, -1},
		{`{{ "\"}}" }}`, []string{`< "\"}}" >`}, -1},
		{"{{ `\\` }}", []string{"< `\\` >"}, -1},
		{`{{ {"a": {"b": 1}} }}`, []string{`< {"a": {"b": 1}} >`}, -1},
		{`{{ {"a": 1}}}`, []string{`< {"a": 1}>`}, -1},
		{`{{ filter(x, {.a}) }}`, []string{`< filter(x, {.a}) >`}, -1},
		{`{{ a /* }} */ }}`, []string{`< a /* }} */ >`}, -1},
		{"{{ a // }}\n }}", []string{"< a // }}\n >"}, -1},
		{`{{ a / b }}`, []string{`< a / b >`}, -1},
		{`}} {a} {`, []string{`}} {a} {`}, -1},
		{`{{{ 1 }}}`, []string{`<{ 1 }>`}, -1},
		{`жж{{ a`, nil, 2},
		{`{{ a }} {{ "b }}`, nil, 8},
		{`{{ a // }}`, nil, 0},
		{`{{ /* }}`, nil, 0},
		{`{{`, nil, 0},
		{`{{ a }`, nil, 0},
	} {
		pieces, bad := cutTemplate(c.src)
		var got []string
		for _, p := range pieces {
			if p.expr {
				p.text = "<" + p.text + ">"
			}
			got = append(got, p.text)
		}
		if bad != c.bad || !cmp.Equal(got, c.want) {
			t.Errorf("%s: %q, bad %d", c.src, got, bad)
		}
	}
}

// Mapping knows no clock: the same input gives the same output for ever.
func TestPackage_IsPure(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"time.Now", "time.Since", "time.Local", "rand.", `"os"`, `"net/http"`} {
			if strings.Contains(string(src), bad) {
				t.Errorf("%s uses %s", f, bad)
			}
		}
	}
}
