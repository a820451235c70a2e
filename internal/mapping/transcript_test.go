package mapping

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTranscript(t *testing.T) {
	msg := func(text string, at int, kind, agent string) obj {
		return obj{"message": text, "timestamp": at, "type": kind, "agent_id": agent}
	}
	const at = 1665396476 // 10.10.2022 13:07:56 in Moscow
	two := []any{msg("Hello", at, "visitor", ""), msg("Good day", at+7, "agent", "1")}
	agents := []any{obj{"id": "1", "name": "Thomas Anderson"}, obj{"id": "2"}, obj{"id": "3", "email": "three@example.com"}}
	for _, c := range []struct {
		name    string
		fields  obj
		notedTo int
		want    string
	}{
		{"names, local times, rating, operators", obj{"chat_id": "7607", "visitor": obj{"name": "John"}, "agents": agents,
			"chat": obj{"rate": "positive", "messages": two}}, 0,
			"Чат 7607\n10.10.2022\n13:07 John: Hello\n13:08 Thomas Anderson: Good day\nОценка: хорошо\nОператоры: Thomas Anderson, Two, three@example.com"},
		{"finished again: only what is new", obj{"chat_id": "7607", "chat": obj{"rate": "negative", "messages": append(append([]any{}, two...), msg("Still here?", at+90000, "agent", "2"))}}, at + 7,
			"Чат 7607\n11.10.2022\n14:07 Two: Still here?\nОценка: плохо"},
		{"nothing new", obj{"chat": obj{"messages": two}}, at + 7, ""},
		{"the visitor never wrote", obj{"chat": obj{"messages": []any{msg("Hi?", at, "agent", "1")}}}, 0, ""},
		{"nobody wrote", obj{"chat": obj{"rate": "positive"}, "agents": agents}, 0, ""},
		{"a new day is said", obj{"chat": obj{"messages": []any{msg("a", at, "visitor", ""), msg("b", at+86400, "visitor", "")}}}, 0,
			"Чат\n10.10.2022\n13:07 Посетитель: a\n11.10.2022\n13:07 Посетитель: b"},
		{"an agent nobody knows", obj{"chat": obj{"messages": []any{msg("a", at, "visitor", ""), msg("b", at, "agent", "77"), msg("c", at, "agent", "")}}}, 0,
			"Чат\n10.10.2022\n13:07 Посетитель: a\n13:07 Оператор: b\n13:07 Оператор: c"},
		{"no times", obj{"chat": obj{"messages": []any{msg("a", 0, "visitor", "")}}}, 5, "Чат\nПосетитель: a"},
		{"invitation", obj{"chat": obj{"invitation": "Need help?", "messages": []any{msg("yes", at, "visitor", "")}}}, 0,
			"Чат\nПриглашение: Need help?\n10.10.2022\n13:07 Посетитель: yes"},
		{"undocumented rating", obj{"chat_rate": "5", "chat": obj{"messages": []any{msg("a", at, "visitor", "")}}}, 0,
			"Чат\n10.10.2022\n13:07 Посетитель: a\nОценка: 5"},
		{"plain messages are the fall-back", obj{"plain_messages": " a: b\r\nc: d ", "html_messages": "<b>no</b>", "agents": agents[:1]}, 0, "a: b\nc: d\nОператоры: Thomas Anderson"},
		{"plain messages once", obj{"plain_messages": "a: b"}, at, ""},
		{"never HTML", obj{"html_messages": "<b>no</b>"}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := input("chat_finished", c.fields)
			in.NotedTo, in.Jivo = c.notedTo, testNames{}
			if diff := cmp.Diff(c.want, compiled(t, testEnv()).Transcript(in)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := LastMessage(input("chat_finished", obj{"chat": obj{"messages": two}})); got != at+7 {
		t.Errorf("LastMessage: %d", got)
	}
}
