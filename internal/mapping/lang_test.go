package mapping

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// eval gives what a template comes out as, for one event.
func eval(t *testing.T, in *Input, on []string, src string) (string, []string) {
	t.Helper()
	p := compiled(t, testEnv(), Rule{Name: tx("r"), On: txs(on...), Note: &NoteBlock{Text: tx(src)}, Task: &TaskBlock{Text: tx("x")}})
	plan, d := mapped(t, p, in, event.CRM{})
	_ = plan
	if len(d.Notes) == 0 {
		return "", d.Warnings
	}
	return d.Notes[0].Text, d.Warnings
}

func TestExpressions_ValuesAndFunctions(t *testing.T) {
	chat := func() *Input {
		in := input("chat_finished", sample(obj{"chat": obj{}, "extra": obj{"deep": obj{"x": "1"}, "n": 15000000.0}}))
		in.Client.Attributes = map[string]string{"size": "XL"}
		return in
	}
	for _, c := range []struct{ name, src, want string }{
		{"field", `{{ visitor.name }}`, "John Smith"},
		{"text around", `Чат: {{ visitor.name }}!`, "Чат: John Smith!"},
		{"first non-empty takes the first", `{{ visitor.name ?? "nobody" }}`, "John Smith"},
		{"first non-empty skips an empty string", `{{ department.name ?? "none" }}`, "none"},
		{"first non-empty skips 0", `{{ chat.messages[5].timestamp ?? 7 }}`, "7"},
		{"first non-empty skips an empty list", `{{ len(chat.messages ?? [1, 2]) }}`, "2"},
		{"first non-empty skips an object of empty fields", `{{ (department ?? organization).name }}`, "Company name"},
		{"first non-empty skips nil", `{{ extra.nothing ?? "x" }}`, "x"},
		{"first non-empty in a row", `{{ agent.email ?? department.name ?? assigned_agent.email }}`, "agent1@gmail.com"},
		{"first non-empty with brackets and +", `{{ (department.name ?? "a") + "b" }}`, "ab"},
		{"first non-empty keeps false", `{{ chat.blacklisted ?? true }}`, "false"},
		{"first non-empty is lazy", `{{ visitor.name ?? extra.a.b.c.d[1] }}`, "John Smith"},
		{"last is kept even if empty", `[{{ department.name ?? agent.email }}]`, "[]"},
		{"list element that is not there", `[{{ agents[3].email }}]`, "[]"},
		{"list element", `{{ tags[0].title }}`, "Tag example"},
		{"list element from the end", `{{ tags[-1].title }}`, "Tag example"},
		{"extra", `{{ extra.deep.x }}`, "1"},
		{"extra that is not there", `[{{ extra.a.b.c }}]`, "[]"},
		{"unknown text operand", `{{ extra.a contains "x" }}`, "false"},
		{"unknown number operand", `{{ extra.a > 3 }}`, "false"},
		{"unknown sum", `{{ "a" + extra.a }}`, "a"},
		{"attributes of the client", `{{ attributes.size }}`, "XL"},
		{"numbers without exponent", `{{ extra.n }}`, "15000000"},
		{"string() without exponent", `{{ string(15000000.0) + "!" }}`, "15000000!"},
		{"fractions", `{{ 1 / 4 }}`, "0.25"},
		{"bool", `{{ chat.blacklisted }}`, "false"},
		{"list in a text", `{{ map(tags, .title) }}`, "Tag example"},
		{"lookup", `{{ lookup("site_of_channel", widget_id) }}`, "Главный сайт"},
		{"lookup of a missing key", `[{{ lookup("site_of_channel", "x") }}]`, "[]"},
		{"phone", `{{ phone("8 (999) 000-00-01") }}`, "+79990000001"},
		{"has", `{{ has(visitor.name) and not has(department.name) and not has(department) }}`, "true"},
		{"known", `{{ known() }}`, "false"},
		{"has_contact", `{{ has_contact() }}`, "true"},
		{"local", `{{ local(1665396476) }}`, "10.10.2022 13:07"},
		{"local of nothing", `[{{ local(0) }}]`, "[]"},
		{"local has methods", `{{ local(1665396476).Format("15:04") }}`, "13:07"},
		{"utm json wins and is decoded", `{{ utm.campaign }}`, "campaign name"},
		{"let", `{{ let n = visitor.name; n + "!" }}`, "John Smith!"},
		{"ternary", `{{ visitor.number == "2198" ? "yes" : "no" }}`, "yes"},
		{"predicates", `{{ any(tags, .title startsWith "Tag") }}`, "true"},
		{"braces in a string", `{{ "}}" + '{{' + ` + "`}}`" + ` }}`, "}}{{}}"},
		{"nested braces", `{{ {"a": {"b": "deep"}}.a.b }}`, "deep"},
		{"escaped quote before braces", `{{ "\"}}" }}`, `"}}`},
		{"comment with braces", `{{ /* }} */ "x" }}`, "x"},
		{"single braces are text", `{a} {{ "b" }} }}`, "{a} b }}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, warnings := eval(t, chat(), []string{"chat_finished", "chat_accepted"}, c.src)
			if got != c.want || len(warnings) > 0 {
				t.Errorf("%s\ngot  %q %q\nwant %q", c.src, got, warnings, c.want)
			}
		})
	}
}

// What a visitor writes is never read as a template or an expression.
func TestExpressions_VisitorTextIsData(t *testing.T) {
	in := input("offline_message", sample(obj{"message": `{{ visitor.phone }} {{ 1/0 }} ?? }}`}))
	got, warnings := eval(t, in, []string{"offline_message"}, `{{ message }}`)
	if got != `{{ visitor.phone }} {{ 1/0 }} ?? }}` || len(warnings) > 0 {
		t.Errorf("got %q %q", got, warnings)
	}
}

// A field of one of the rule's events is empty for the others.
func TestExpressions_UnionOfTheRulesEvents(t *testing.T) {
	in := input("chat_accepted", sample(nil))
	got, _ := eval(t, in, []string{"chat_accepted", "offline_message", "created_deal", "call_event"},
		`[{{ message }}|{{ title }}|{{ amount }}|{{ call.status }}|{{ pipeline.pipeline_status.pipeline_status_id }}]`)
	if got != "[||0||]" {
		t.Errorf("got %q", got)
	}
}

// `assigned_agent` has an id in one stream and an assigned_agent_id in the other.
func TestExpressions_UnionMergesObjects(t *testing.T) {
	in := input("updated_deal", obj{"assigned_agent": obj{"assigned_agent_id": "2"}})
	got, _ := eval(t, in, []string{"updated_deal", "chat_accepted"}, `{{ assigned_agent.email ?? assigned_agent.assigned_agent_id }}`)
	if got != "2" {
		t.Errorf("got %q", got)
	}
}

func TestExpressions_FieldErrorDropsTheFieldOnly(t *testing.T) {
	in := input("offline_message", sample(obj{"message": "secret text"}))
	p := compiled(t, testEnv(), Rule{Name: tx("r"), On: txs("offline_message"),
		Lead: &LeadBlock{Create: yes(), Name: tx(`{{ int(message) }}`), Price: tx(`{{ date(message) }}`), Tags: txs("kept")}})
	_, d := mapped(t, p, in, event.CRM{})
	if d.Lead.Name != "" || d.Lead.Price != "" || !cmp.Equal(d.Lead.Tags, []string{"kept"}) {
		t.Errorf("lead %+v", d.Lead)
	}
	if len(d.Warnings) != 2 || !strings.HasPrefix(d.Warnings[0], "rule r: lead.name left out") {
		t.Errorf("warnings %q", d.Warnings)
	}
	if strings.Contains(strings.Join(d.Warnings, " "), "secret") {
		t.Errorf("a visitor's text is in %q", d.Warnings)
	}
}

func TestExpressions_WhenErrorIsARuleError(t *testing.T) {
	in := input("offline_message", sample(obj{"message": "secret text"}))
	p := compiled(t, testEnv(), Rule{Name: tx("bad"), On: txs("offline_message"), When: tx(`int(message) > 3`), Stop: true})
	_, err := p.Plan(in)
	re, ok := err.(*RuleError)
	if !ok || re.Rule != "bad" || re.Field != "when" || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestExpressions_MemoryBudget(t *testing.T) {
	in := input("chat_accepted", sample(nil))
	got, warnings := eval(t, in, []string{"chat_accepted"}, `{{ len(map(1..400, map(1..400, #))) }}`)
	if got != "" || len(warnings) != 1 || !strings.Contains(warnings[0], "memory budget exceeded") {
		t.Errorf("got %q %q", got, warnings)
	}
}

func TestUTM_BothFormsAndTheHeldTouch(t *testing.T) {
	const src = `{{ utm.source }}|{{ utm.medium }}|{{ utm.term }}`
	in := input("chat_accepted", obj{"session": obj{"utm": "utm_source=ya%20ndex|medium=cpc|term=%zz", "utm_json": obj{"medium": "banner"}}})
	if got, _ := eval(t, in, []string{"chat_accepted"}, src); got != "ya ndex|banner|%zz" {
		t.Errorf("merged: %q", got)
	}
	in.Touch = &event.Touch{UTM: map[string]string{"source": "first"}}
	if got, _ := eval(t, in, []string{"chat_accepted"}, src); got != "first||" {
		t.Errorf("touch: %q", got)
	}
}

func TestHasContact_WhereverTheContactStands(t *testing.T) {
	known := func(c event.Client) *Input {
		in := input("chat_finished", anonymous(nil))
		in.Client = &c
		return in
	}
	for name, c := range map[string]struct {
		in   *Input
		want bool
	}{
		"nothing":                {known(event.Client{}), false},
		"no client at all":       {&Input{Kind: "chat_finished"}, false},
		"visitor":                {input("chat_accepted", sample(nil)), true},
		"call":                   {input("call_event", anonymous(obj{"call": obj{"phone": "79990000001"}})), true},
		"contacts":               {input("updated_client", obj{"contacts": []any{obj{"contact_type": "email", "contact": "a@b.c"}}}), true},
		"client's contacts":      {input("assigned_status", obj{"client": obj{"contacts": []any{obj{"contact_type": "phone", "contact": "333"}}}}), true},
		"known phone":            {known(event.Client{Phones: []string{"+79990000001"}}), true},
		"known e-mail":           {known(event.Client{Emails: []string{"a@b.c"}}), true},
		"an e-mail that is none": {input("chat_accepted", obj{"visitor": obj{"email": "nobody", "phone": "-"}}), false},
	} {
		if got := HasContact(c.in, "RU"); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestLikely(t *testing.T) {
	for _, c := range []struct {
		name  string
		known []string
		want  []string
	}{
		{"chat_acepted", testKinds(), []string{"chat_accepted"}},
		{"chta_accepted", testKinds(), []string{"chat_accepted"}},
		{"CHAT_ACCEPTED", testKinds(), []string{"chat_accepted"}},
		{"nothing_like_it", testKinds(), nil},
		{"ab", []string{"aa", "bb", "cc"}, []string{"aa", "bb"}},
		{strings.Repeat("x", 500), testKinds(), nil},
	} {
		if got := likely(c.name, c.known); !cmp.Equal(got, c.want) {
			t.Errorf("%.20s: %q", c.name, got)
		}
	}
}
