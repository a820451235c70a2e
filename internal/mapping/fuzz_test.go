package mapping

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Any text compiles or is refused with a place inside it, and what compiles
// runs on any event without a panic.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		"known()", "visitor.name ?? chat.rate", "{{ }}", "{{ {\"a\": 1}.a }}", "tags[0].title", "a ?? b + c", "$env", "let x = 1; x",
		"map(tags, .title)", "extra?.a?.b", "1..10 | map(# * 2)", "{{ \"}}", "if true {1} else {2}", "reduce(1..3, #acc + #)", "visitor[agent.email]",
		"crm.lead.id", "tags[1:].title", "#", "::len([])", "b'x'", "-extra.x", "not extra.x", "extra.f()", "local(1).Format(\"x\")", "sortBy(tags, .id)",
	} {
		f.Add(s)
	}
	in := input("chat_finished", finishedChat(nil))
	f.Fuzz(func(t *testing.T, src string) {
		for _, r := range []Rule{
			{When: Text{Value: src, Line: 1, Col: 1, Set: true}, Stop: true},
			{Note: &NoteBlock{Text: Text{Value: "{{" + src + "}}", Line: 1, Col: 1}}},
			{Lead: &LeadBlock{Name: Text{Value: src, Line: 1, Col: 1}}},
		} {
			r.Name, r.On = tx("r"), txs("chat_finished", "call_event")
			p, problems := Compile([]Rule{r}, testEnv())
			if (p == nil) != (len(problems) > 0) {
				t.Fatalf("%q: program %v, problems %v", src, p != nil, problems)
			}
			for _, x := range problems {
				if x.Line != 1 || x.Col < 1 || x.Col > len([]rune(src))+6 || x.Msg == "" || strings.Contains(x.Msg, "interface {}") {
					t.Fatalf("%q: %+v", src, x)
				}
			}
			if p == nil {
				continue
			}
			plan, err := p.Plan(in)
			if err != nil {
				continue
			}
			if _, err := p.Desired(in, plan, event.CRM{}); err != nil {
				t.Fatalf("%q: %v", src, err)
			}
		}
	})
}

// Any JSON object of any kind maps without a panic or a rule error, and twice
// to the same.
func FuzzMap(f *testing.F) {
	for _, seed := range []obj{sample(nil), finishedChat(nil), callOf("end"), deal(nil), crmClientFields(nil),
		{"visitor": nil, "chat": []any{}, "tags": obj{"a": 1}}, {"pipeline": "x", "assigned_agent": 5}} {
		raw, err := json.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		for i := range testKinds() {
			f.Add(uint8(i), raw)
		}
	}
	p := compiled(f, testEnv(), defaults(f, "ru")...)
	f.Fuzz(func(t *testing.T, kind uint8, raw []byte) {
		var fields event.Object
		if json.Unmarshal(raw, &fields) != nil {
			return
		}
		// On purpose not brought to normal form: mapping must bear that too.
		in := &Input{Kind: testKinds()[int(kind)%len(testKinds())], Fields: fields, Call: &event.Call{}, Last: fields}
		plan, d := mapped(t, p, in, event.CRM{})
		again, e := mapped(t, p, in, event.CRM{})
		a, _ := json.Marshal([]any{plan, d})
		b, _ := json.Marshal([]any{again, e})
		if string(a) != string(b) {
			t.Fatalf("twice the same input:\n%s\n%s", a, b)
		}
		if len(d.Warnings) > 0 && in.Kind != "created_deal" && in.Kind != "updated_deal" {
			t.Fatalf("default rules warn of odd data: %q", d.Warnings)
		}
	})
}

func BenchmarkMap(b *testing.B) {
	p := compiled(b, testEnv(), defaults(b, "ru")...)
	in := input("chat_finished", finishedChat(nil))
	b.ReportAllocs()
	for b.Loop() {
		plan, err := p.Plan(in)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.Desired(in, plan, event.CRM{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompileDefaults(b *testing.B) {
	rules := defaults(b, "ru")
	for b.Loop() {
		compiled(b, testEnv(), rules...)
	}
}
