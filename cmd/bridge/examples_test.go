package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExamples_PassTheirOwnTests runs `bridge test` on every rule pack, and reads
// its config as `bridge check` would.
func TestExamples_PassTheirOwnTests(t *testing.T) {
	packs, err := filepath.Glob("../../examples/*/config.yaml")
	if err != nil || len(packs) < 2 {
		t.Fatalf("rule packs: %v, %v", packs, err)
	}
	for _, config := range packs {
		t.Run(filepath.Base(filepath.Dir(config)), func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			if status := run(t.Context(), []string{"test", "-c", config}, strings.NewReader(""), &out, &errs); status != exitDone {
				t.Errorf("status %d\n%s%s", status, out.String(), errs.String())
			}
			if cfg, err := loadWithoutSecrets(config); err != nil || len(cfg.Connections) == 0 {
				t.Errorf("config: %v", err)
			}
		})
	}
}

// TestExamples_TheManualOfTestFilesIsOne: the file that examples/README.md explains
// every key by can be read.
func TestExamples_TheManualOfTestFilesIsOne(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../examples/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	file, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("examples/README.md shows no test file")
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"manual.test.yaml":     file,
		"config.yaml":          manualConfig,
		"events/finished.json": `{"event_name":"chat_finished","chat_id":1,"visitor":{"number":"11"},"chat":{"messages":[]}}`,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, errs bytes.Buffer
	status := run(t.Context(), []string{"test", "-c", filepath.Join(dir, "config.yaml")}, strings.NewReader(""), &out, &errs)
	// Its expectations are there to be explained, not to be met: it is read and run.
	if status != exitWrong || errs.Len() > 0 || !strings.Contains(out.String(), "1 case, 1 failed") {
		t.Errorf("status %d\n%s%s", status, out.String(), errs.String())
	}
}

const manualConfig = `
connections:
  shop:
    jivo: {secret: "${JIVO_SECRET}"}
    amocrm: {account: https://example.amocrm.ru, token: "${AMOCRM_TOKEN}"}
`
