package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzParse: whatever the file holds, Parse returns one of config and
// problems, every problem has its place in the file, and no value that came in
// from outside is told.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/bad/*.txtar")
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for i := 0; i < len(archive.Files); i += 2 {
			f.Add(string(archive.Files[i].Data))
		}
	}
	if example, err := os.ReadFile("../../config.example.yaml"); err == nil {
		f.Add(string(example))
	}
	place := regexp.MustCompile(`^config\.yaml:([0-9]+):[0-9]+: .`)
	f.Fuzz(func(t *testing.T, data string) {
		cfg, problems := parse(data)
		if (cfg == nil) == (problems == nil) {
			t.Fatalf("config %v, problems %v", cfg != nil, problems)
		}
		if problems == nil {
			return
		}
		if len(problems.List) == 0 {
			t.Fatal("refused without a problem")
		}
		lines := strings.Count(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(data), "\n") + 1
		for _, p := range problems.List {
			if !place.MatchString(p.String()) || p.Line > lines {
				t.Errorf("%q has no place in %d lines", p, lines)
			}
			if strings.Contains(p.Text, canary[:12]) && !strings.Contains(data, canary[:12]) {
				t.Errorf("the secret is told: %q", p)
			}
		}
	})
}
