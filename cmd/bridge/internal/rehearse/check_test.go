package rehearse_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jivo-amocrm/bridge/cmd/bridge/internal/rehearse"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo/samples"
)

// checked runs a test file on the default rules and returns its problems.
func checked(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.test.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := rehearse.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg, conn := load(t, ten)
	_, err = f.Run(t.Context(), cfg, conn)
	var problems *config.Problems
	if err != nil && !errors.As(err, &problems) {
		t.Fatal(err)
	}
	if problems == nil {
		return ""
	}
	return strings.ReplaceAll(problems.Error(), path+":", "")
}

// TestRun_NamesThatNothingHasAreProblems has the slips that cmd's script lacks: the
// place of one that the file tells elsewhere, and what is no slip at all.
func TestRun_NamesThatNothingHasAreProblems(t *testing.T) {
	t.Parallel()
	const one = "cases:\n  - name: one\n    events: [{event_name: chat_accepted, chat_id: 1}]\n"
	for text, want := range map[string]string{
		one + "    expect: {rules: [a chat is a laed]}\n":    `4:22: no such rule: "a chat is a laed"; did you mean "a chat is a lead"?`,
		one + "    expect: {not_rules: ['builtin:deal']}\n":  `4:26: no such rule: "builtin:deal"; did you mean "builtin:deals"?`,
		one + "    expect: {not_rules: [calls, ' calls']}\n": `4:33: no such rule: " calls"; did you mean "calls"?`,
		// A rule that is there, and not read for the event, is a matter of the case.
		one + "    expect: {rules: [transcript, 'builtin:deals'], not_rules: [calls]}\n":     "",
		one + "    expect: {changes: [{op: create, target: task, rule: calls/call back}]}\n": "",
		// Finders that no sample of Jivo's comes to.
		one + "    expect: {contact: {by: none}, lead: {by: adopt}}\n":     "",
		one + "    expect: {contact: {by: email}, lead: {by: open_any}}\n": "",
		one + "    expect: {contact: {by: client}, lead: {by: recent}}\n":  "",
		// Behind an anchor or an alias, that is the place.
		one + "    expect: &e\n      state: dnoe\n  - {name: two, events: [{event_name: call_event}], expect: *e}\n": `4:13: state: pending, parked, done, skipped or dead is expected, not "dnoe"; did you mean "done"?` + "\n" +
			`6:61: state: pending, parked, done, skipped or dead is expected, not "dnoe"; did you mean "done"?`,
		"cases:\n  - name: one\n    events:\n      - '{\"event_name\": \"call_evnt\"}'\n":                        `4:9: Jivo has no event "call_evnt"; did you mean "call_event"?`,
		"cases:\n  - {name: one, events: [{event_name: chat_acepted}], expect: {reason: unknown_event}}\n":       "",
		"cases:\n  - {name: one, events: [{event_name: Completed task}, {event_name: merged_tag}, 'no JSON']}\n": "",
	} {
		if got := checked(t, text); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
	if got := checked(t, "cases:\n  - {name: one, events: [{file: none.json}]}\n"); !strings.HasPrefix(got, "2:26: open ") {
		t.Errorf("a file that is missing: %s", got)
	}
}

// TestRun_TakesEveryNameThatComesUp: whatever any event of Jivo comes to may be
// expected: no state, finder, operation, target or built-in is left out.
func TestRun_TakesEveryNameThatComesUp(t *testing.T) {
	t.Parallel()
	r := open(t, ten, rehearse.NewSandbox(nil), rehearse.Account{})
	printed := samples.Printed()
	var text strings.Builder
	text.WriteString("cases:\n")
	n := 0
	for range 2 { // the second time with everything known
		for _, name := range slices.Sorted(maps.Keys(printed)) {
			p, err := r.Play(t.Context(), printed[name])
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			n++
			fmt.Fprintf(&text, "  - {name: %d, events: [{event_name: chat_accepted}], expect: %s}\n", n, expected(t, p.Event))
		}
	}
	if got := checked(t, text.String()); got != "" {
		t.Error(got)
	}
}

// expected is an event as a case would expect it.
func expected(t *testing.T, ev *event.Event) []byte {
	t.Helper()
	x := map[string]any{"state": ev.State}
	var rules []string
	for _, r := range ev.Rules {
		rules = append(rules, r.Rule)
	}
	var changes []map[string]any
	for _, ch := range ev.Changes {
		changes = append(changes, map[string]any{"op": ch.Op, "target": ch.Target, "rule": ch.Rule})
	}
	for key, m := range map[string]*event.Match{"contact": ev.Contact, "lead": ev.Lead} {
		if m != nil {
			x[key] = map[string]any{"by": m.By}
		}
	}
	if rules != nil {
		x["rules"] = rules
	}
	if changes != nil {
		x["changes"] = changes
	}
	text, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
