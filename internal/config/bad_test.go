package config_test

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/jivo"
)

var update = flag.Bool("update", false, "write golden files anew")

// canary is a value that comes in from outside and must come out nowhere.
const canary = "canary-5f3a90c1d7e2-secret"

func vocabulary() config.Vocabulary {
	return config.Vocabulary{Kinds: jivo.Kinds(), Schema: jivo.Schema}
}

func getenv(name string) (string, bool) {
	value, ok := map[string]string{
		"CANARY": canary, "EMPTY": "", "SHORT": canary[:15], "SPACED": canary + " " + canary, "NOT_UTF8": canary + "\xff",
		"JIVO_SECRET": canary + "-jivo", "AMOCRM_TOKEN": canary + "-token", "AMOCRM_WEBHOOK_SECRET": canary + "-hook",
		"BRIDGE_ADMIN_TOKEN": canary + "-admin", "AMOCRM_CLIENT_SECRET": canary + "-client", "RPS": "3.5", "BATCH": "20",
	}[name]
	return value, ok
}

func readFile(name string) ([]byte, error) {
	switch name {
	case "/run/secrets/token":
		return []byte(canary + "-file\n"), nil
	case "/run/secrets/two-lines":
		return []byte(canary + "-line\n\n"), nil
	case "/binary":
		return []byte(canary + "\xff\x00"), nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func parse(data string) (*config.Config, *config.Problems) {
	return config.Parse("config.yaml", []byte(data), getenv, readFile, vocabulary())
}

// TestParse_RefusesBadConfigWithExactPlace runs every case of testdata/bad.
func TestParse_RefusesBadConfigWithExactPlace(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no corpus", err)
	}
	cases := 0
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(archive.Files); i += 2 {
			given, want := archive.Files[i], &archive.Files[i+1]
			name := strings.TrimSuffix(given.Name, ".yaml")
			if want.Name != name+".want" {
				t.Fatalf("%s: %s is followed by %s", file, given.Name, want.Name)
			}
			cases++
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar")+"/"+name, func(t *testing.T) {
				cfg, problems := parse(string(given.Data))
				if problems == nil {
					t.Fatalf("accepted:\n%s", given.Data)
				}
				if cfg != nil {
					t.Error("a config came with the problems")
				}
				got := problems.Error() + "\n"
				if strings.Contains(got, canary[:12]) {
					t.Errorf("the secret is told: %s", got)
				}
				if *update {
					want.Data = []byte(got)
					return
				}
				if diff := cmp.Diff(string(want.Data), got); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		}
		if *update {
			if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if cases < 100 {
		t.Errorf("only %d cases", cases)
	}
}

func TestParse_RefusesWhatIsNoText(t *testing.T) {
	t.Parallel()
	_, problems := parse("listen: x\ndata: ab\xffc\n")
	if problems == nil || problems.Error() != "config.yaml:2:9: the file is not UTF-8 text" {
		t.Errorf("got %v", problems)
	}
	_, problems = parse(strings.Repeat("# a long comment\n", 1<<16))
	if problems == nil || !strings.Contains(problems.Error(), "larger than 1MiB") {
		t.Errorf("got %v", problems)
	}
}
