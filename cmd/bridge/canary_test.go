package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/jivo-amocrm/bridge/internal/canary"
)

// canaryDir is where the commands of a script leave a copy of what they print.
const canaryDir = "BRIDGE_TEST_OUTPUT"

// overheard is main with a copy of its output for the script's Watch.
func overheard() {
	dir := os.Getenv(canaryDir)
	if dir == "" {
		main()
		return
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, copied(os.Stdout, dir, "stdout"), copied(os.Stderr, dir, "stderr")))
}

func copied(to io.Writer, dir, name string) io.Writer {
	command := "none"
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		command = os.Args[1]
	}
	f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%s.%s.%d", command, name, os.Getpid())))
	if err != nil {
		panic(err) // a test without its watch proves nothing
	}
	return io.MultiWriter(to, f)
}

// showsPeople are the commands whose stdout is an integrator's look at people:
// there only secrets and tokens are looked for. On stderr nobody's data may stand,
// whatever the command.
var showsPeople = []string{"events", "plan", "test", "check", "init", "demo"}

// overhear has a script's commands leave their output, and compares it at the
// end with the script's secrets and the people in its files.
func overhear(t *testing.T, seen *canary.Watch, e *testscript.Env) error {
	dir := filepath.Join(e.WorkDir, ".output")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	e.Setenv(canaryDir, dir)
	for _, name := range []string{"JIVO_SECRET", "AMOCRM_WEBHOOK_SECRET", "BRIDGE_ADMIN_TOKEN", "AMOCRM_TOKEN"} {
		seen.Add(canary.Secret, e.Getenv(name))
	}
	seen.Add(canary.Secret, clientSecret)
	script := strings.TrimPrefix(filepath.Base(e.WorkDir), "script-")
	e.Defer(func() {
		if err := learnFiles(seen, e.WorkDir, dir); err != nil {
			t.Error(err)
		}
		list, err := os.ReadDir(dir)
		if err != nil || len(list) == 0 {
			t.Errorf("script %s: no output was overheard (%v)", script, err)
		}
		for _, f := range list {
			text, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				t.Error(err)
			}
			part := strings.Split(f.Name(), ".")
			scope := canary.Anything
			if part[1] == "stdout" && slices.Contains(showsPeople, part[0]) {
				scope = canary.Keys
			}
			seen.Scan(fmt.Sprintf("script %s, %s of %s", script, part[1], part[0]), scope, text)
		}
	})
	return nil
}

// learnFiles watches the people of a script's events.
func learnFiles(seen *canary.Watch, root, but string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == but {
			return filepath.SkipDir
		}
		if d.IsDir() || !slices.Contains([]string{".json", ".jsonl"}, filepath.Ext(path)) && !strings.HasSuffix(path, ".test.yaml") {
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen.Learn(raw)
		for line := range bytes.Lines(raw) {
			seen.Learn(line)
		}
		return nil
	})
}
