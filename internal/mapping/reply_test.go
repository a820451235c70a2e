package mapping

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
)

func replyEnv() Env {
	shape := &event.Type{Basic: event.Struct, Fields: map[string]*event.Type{
		"visitor": {Basic: event.Struct, Fields: map[string]*event.Type{"name": {Basic: event.String}, "number": {Basic: event.ID}}},
	}}
	return Env{Kinds: replyKinds(), Schema: func(string) *event.Type { return shape }, Language: "ru", Anonymous: "hold"}
}

func replyLine(title, content string) ReplyItem {
	return ReplyItem{Title: Text{Value: title, Line: 1, Col: 1, Set: true}, Content: Text{Value: content, Line: 2, Col: 1, Set: true}}
}

func TestReply_TemplatesSeeTheCardAndTheEvent(t *testing.T) {
	r, problems := CompileReply([]ReplyItem{
		replyLine("Сделка", "{{ lead.name }}: {{ lead.stage ?? \"—\" }}"),
		replyLine("Задача", "{{ task.text }}"),
		replyLine("Изменилось", "{{ join(changes, \"; \") }}"),
		replyLine("Гость", "{{ visitor.name ?? visitor.number }}"),
	}, replyEnv())
	if problems != nil {
		t.Fatal(problems)
	}
	got := r.Render(&Input{Kind: "chat_accepted", Received: time.Unix(1, 0), Fields: event.Object{"visitor": event.Object{"number": "7"}}},
		ReplyView{Lead: map[string]string{"name": "Доски"}, Changes: []string{"a", "b"}})
	want := []Line{{"Сделка", "Доски: —", "", ""}, {"Задача", "", "", ""}, {"Изменилось", "a; b", "", ""}, {"Гость", "7", "", ""}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestReply_AWrongNameIsAnErrorAtItsPlace(t *testing.T) {
	_, problems := CompileReply([]ReplyItem{replyLine("x", "{{ lead.stge }}")}, replyEnv())
	if len(problems) != 1 || problems[0].Line != 2 || !strings.Contains(problems[0].Msg, "stge") {
		t.Errorf("problems: %v", problems)
	}
	_, problems = CompileReply([]ReplyItem{replyLine("x", "{{ crm.lead.id }}")}, replyEnv())
	if len(problems) != 1 {
		t.Errorf("crm is no name of a reply, got %v", problems)
	}
}

// TestReply_TheExampleNamesWhatTemplatesSee: the names are documented nowhere else.
func TestReply_TheExampleNamesWhatTemplatesSee(t *testing.T) {
	example, err := os.ReadFile("../../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^ +# +(lead|contact|task)\. +([a-z_ ]*[a-z_])`).FindAllStringSubmatch(string(example), -1) {
		told[m[1]] = strings.Fields(m[2])
	}
	if d := cmp.Diff(replyNames(), told); d != "" {
		t.Errorf("config.example.yaml is behind (-templates see +told):\n%s", d)
	}
	for object, names := range told {
		for _, n := range names {
			if _, problems := CompileReply([]ReplyItem{replyLine("x", "{{ "+object+"."+n+" }}")}, replyEnv()); problems != nil {
				t.Errorf("%s.%s: %v", object, n, problems)
			}
		}
	}
}
