package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jivo-amocrm/bridge/internal/config"
)

// The ten lines to production are what an integrator pastes first.
func TestReadme_ItsConfigIsGood(t *testing.T) {
	readme := readReadme(t)
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(readme)
	if block == nil {
		t.Fatal("README.md shows no config")
	}
	if lines := strings.Count(block[1], "\n"); lines > 10 {
		t.Errorf("the ten lines are %d", lines)
	}
	env := func(string) (string, bool) { return "0123456789abcdef.x.y", true }
	_, problems := config.Parse("README.md", []byte(block[1]), env, os.ReadFile, vocabulary())
	if problems != nil {
		t.Error(problems)
	}
}

// Every command and file the README speaks of exists.
func TestReadme_SpeaksOfWhatIsThere(t *testing.T) {
	readme := readReadme(t)
	for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(readme, -1) {
		if _, err := os.Stat("../../" + m[1]); err != nil {
			t.Errorf("README.md links to %s: %v", m[1], err)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^(?:\./|go run \./cmd/)?bridge ([a-z]+)`).FindAllStringSubmatch(readme, -1) {
		var out, errs strings.Builder
		if status := run(t.Context(), []string{m[1], "--help"}, strings.NewReader(""), &out, &errs); status != 0 {
			t.Errorf("README.md speaks of `bridge %s`, which answers: %s", m[1], errs.String())
		}
	}
}

func readReadme(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
