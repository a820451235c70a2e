package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTest_TheCaseOfItsHelpPasses: what --help prints can be pasted into a file and
// passes with the default rules, in every language: with what `bridge init` writes.
func TestTest_TheCaseOfItsHelpPasses(t *testing.T) {
	t.Parallel()
	var help, errs bytes.Buffer
	if status := run(t.Context(), []string{"test", "--help"}, strings.NewReader(""), &help, &errs); status != exitDone {
		t.Fatalf("status %d\n%s", status, errs.String())
	}
	_, rest, _ := strings.Cut(help.String(), "cases:\n")
	example, _, ok := strings.Cut(rest, "\n\n")
	if !ok {
		t.Fatalf("--help shows no test file:\n%s", help.String())
	}
	for _, language := range []string{"ru", "en", "pt", "es"} {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"config.yaml": manualConfig + "    language: " + language + "\n    agents: {\"*\": owner@example.com}\n", "help.test.yaml": "cases:\n" + example,
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var out, errs bytes.Buffer
		status := run(t.Context(), []string{"test", "-c", filepath.Join(dir, "config.yaml")}, strings.NewReader(""), &out, &errs)
		if status != exitDone || !strings.HasSuffix(out.String(), "1 case, 0 failed\n") {
			t.Errorf("%s: status %d\n%s%s", language, status, out.String(), errs.String())
		}
	}
}
