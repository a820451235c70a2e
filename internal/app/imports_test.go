package app_test

import (
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/jivo-amocrm/bridge/"

// allowed is which rooms each room may import: the arrows of the house
// (architecture.md › The rooms). A room that is not listed may not exist.
func allowed() map[string][]string {
	dialects := []string{"internal/event", "internal/phone", "internal/jivo", "internal/mapping", "internal/store",
		"internal/amocrm", "internal/amocrm/dict", "internal/amocrm/hook", "internal/amocrm/items", "internal/amocrm/token"}
	return map[string][]string{
		"internal/event":           {},
		"internal/phone":           {},
		"internal/nearest":         {},
		"internal/duration":        {},
		"internal/crashpoint":      {},
		"internal/crash":           {"internal/emulator", "internal/emulator/site"},
		"internal/jivo/samples":    {},
		"internal/jivo":            {"internal/event", "internal/phone"},
		"internal/amocrm":          {"internal/event", "internal/crashpoint", "internal/amocrm/budget", "internal/amocrm/lenient", "internal/amocrm/rest"},
		"internal/amocrm/budget":   {},
		"internal/amocrm/rest":     {"internal/event", "internal/amocrm/lenient"},
		"internal/amocrm/farend":   {},
		"internal/amocrm/token":    {"internal/amocrm", "internal/amocrm/budget", "internal/amocrm/lenient"},
		"internal/amocrm/dict":     {"internal/event", "internal/nearest", "internal/amocrm", "internal/amocrm/lenient", "internal/amocrm/spelling"},
		"internal/amocrm/hook":     {"internal/event", "internal/amocrm/spelling"},
		"internal/amocrm/items":    {"internal/event", "internal/phone", "internal/amocrm/dict", "internal/amocrm/spelling"},
		"internal/amocrm/lenient":  {},
		"internal/amocrm/spelling": {},
		"internal/mapping":         {"internal/event", "internal/phone", "internal/nearest", "internal/duration"},
		"internal/store":           {"internal/event", "internal/crashpoint"},
		"internal/config":          {"internal/event", "internal/phone", "internal/mapping", "internal/config/strict", "internal/duration"},
		"internal/config/strict":   {"internal/nearest", "internal/duration"},
		"internal/intake":          dialects,
		"internal/delivery":        append([]string{"internal/crashpoint"}, dialects...),
		"internal/card":            dialects,
		"internal/upkeep":          dialects,
		"internal/console":         dialects,
		"internal/emulator": {"internal/emulator/answer", "internal/emulator/body", "internal/emulator/book", "internal/emulator/clerk", "internal/emulator/gate",
			"internal/emulator/hook", "internal/emulator/luck", "internal/emulator/oauth", "internal/emulator/post", "internal/emulator/rest"},
		"internal/emulator/answer": {},
		"internal/emulator/body":   {},
		"internal/emulator/luck":   {},
		"internal/emulator/post":   {},
		"internal/emulator/site":   {},
		"internal/emulator/book":   {"internal/emulator/body"},
		"internal/emulator/check":  {"internal/emulator/body", "internal/emulator/book"},
		"internal/emulator/gate":   {"internal/emulator/answer", "internal/emulator/luck"},
		"internal/emulator/hook":   {"internal/emulator/body", "internal/emulator/book", "internal/emulator/luck", "internal/emulator/post"},
		"internal/emulator/oauth":  {"internal/emulator/answer", "internal/emulator/book", "internal/emulator/gate", "internal/emulator/luck"},
		"internal/emulator/clerk":  {"internal/emulator/body", "internal/emulator/book", "internal/emulator/hook", "internal/emulator/luck"},
		"internal/emulator/rest": {"internal/emulator/answer", "internal/emulator/body", "internal/emulator/book", "internal/emulator/check",
			"internal/emulator/clerk", "internal/emulator/gate", "internal/emulator/oauth"},
		"internal/canary": {},
		"internal/app": append([]string{"internal/intake", "internal/delivery", "internal/card", "internal/upkeep", "internal/console", "internal/config"},
			dialects...),
	}
}

func TestImports_PointOneWay(t *testing.T) {
	may := allowed()
	for _, p := range packages(t) {
		room := strings.TrimPrefix(p.ImportPath, module)
		list, known := may[room]
		if !known {
			if strings.HasPrefix(room, "internal/") && len(p.GoFiles) > 0 {
				t.Errorf("%s is a room nobody planned: give it its arrows", room)
			}
			continue
		}
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module)
			if ours && !slices.Contains(list, to) {
				t.Errorf("%s imports %s", room, to)
			}
		}
	}
}

func TestImports_TheVocabularyIsStandardLibraryOnly(t *testing.T) {
	for _, p := range packages(t) {
		if p.ImportPath != module+"internal/event" {
			continue
		}
		for _, imp := range p.Imports {
			if strings.Contains(imp, ".") {
				t.Errorf("internal/event imports %s", imp)
			}
		}
	}
}

type pkg struct {
	ImportPath string
	Imports    []string
	GoFiles    []string
}

func packages(t *testing.T) (out []pkg) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,GoFiles", "./...")
	cmd.Dir = "../.."
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(raw))); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
}
