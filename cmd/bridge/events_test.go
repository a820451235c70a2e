package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jivo-amocrm/bridge/internal/console"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// TestEventsList_DeadEventSaysWhyOnOneLine: whatever amoCRM said of it.
func TestEventsList_DeadEventSaysWhyOnOneLine(t *testing.T) {
	t.Parallel()
	exact := strings.Repeat("ж", whyLetters)
	cases := []struct {
		name string
		item console.Item
		want string // the line's end
	}{
		{"in words", console.Item{State: event.Dead, Reason: event.Refused, Detail: "400 name: too long"}, "dead refused: 400 name: too long"},
		{"no words", console.Item{State: event.Dead, Reason: event.Forgotten}, "dead forgotten"},
		{"several lines", console.Item{State: event.Dead, Reason: event.RuleError, Detail: "line 3:\n\tno such field"}, "dead rule_error: line 3: no such field"},
		{"just fits", console.Item{State: event.Dead, Reason: event.Refused, Detail: exact}, "dead refused: " + exact},
		{"too long", console.Item{State: event.Dead, Reason: event.Refused, Detail: exact + "ж"}, "dead refused: " + strings.Repeat("ж", whyLetters-1) + "…"},
		{"with warnings", console.Item{State: event.Dead, Reason: event.Refused, Detail: "400", Warnings: []string{"a"}}, "dead refused: 400 (1 warning)"},
		{"not dead", console.Item{State: event.Skipped, Reason: event.Duplicate, Detail: "repeat of 1"}, "skipped duplicate"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := printItems(&out, []console.Item{c.item}); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			if len(lines) != 2 || !strings.HasSuffix(strings.Join(strings.Fields(lines[1]), " "), c.want) || !utf8.ValidString(lines[1]) {
				t.Errorf("got\n%s", out.String())
			}
		})
	}
}
