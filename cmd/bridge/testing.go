package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jivo-amocrm/bridge/cmd/bridge/internal/rehearse"
	"github.com/jivo-amocrm/bridge/internal/config"
)

type testCmd struct {
	configFlag
	Dir  string `arg:"" optional:"" help:"Where the *.test.yaml files are; default: beside the config."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Help is the longer text of --help.
func (testCmd) Help() string {
	return `A test file has cases: events as Jivo sends them, what stands in amoCRM before, and what is expected of them.

  cases:
    - name: a phone makes a lead
      events: [{event_name: chat_accepted, chat_id: 1, visitor: {number: "1", phone: "+79161234567"}}]
      expect:
        state: done
        rules: [a chat is a lead]
        changes: [{op: create, target: lead, fields: {tags: [jivo]}}]

No account, store or secret is needed. examples/README.md explains every key.`
}

// Run runs the config's own tests. It needs no account, no store and no secret.
func (c testCmd) Run(e *env) error {
	cfg, err := loadWithoutSecrets(c.Config)
	if err != nil {
		return err
	}
	dir := c.Dir
	if dir == "" {
		dir = filepath.Dir(c.Config)
	}
	files, err := testFiles(dir)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(e.ctx)
	defer stop()
	var all []rehearse.Outcome
	for _, name := range files {
		f, err := rehearse.Read(name)
		if err != nil {
			return err
		}
		conn, err := connectionFor(cfg, f)
		if err != nil {
			return err
		}
		out, err := f.Run(ctx, cfg, conn)
		if err != nil {
			return err
		}
		all = append(all, out...)
	}
	return c.print(e, all)
}

func (c testCmd) print(e *env, all []rehearse.Outcome) error {
	failed := 0
	for _, o := range all {
		if !o.OK {
			failed++
		}
	}
	if c.JSON {
		if err := printJSON(e.stdout, map[string]any{"ok": failed == 0, "cases": all}); err != nil {
			return err
		}
	} else {
		for _, o := range all {
			printOutcome(e, o)
		}
		fmt.Fprintf(e.stdout, "%s, %d failed\n", plural(len(all), "case"), failed)
	}
	if failed > 0 {
		return ended{exitWrong}
	}
	return nil
}

func printOutcome(e *env, o rehearse.Outcome) {
	if o.OK {
		fmt.Fprintf(e.stdout, "PASS %s: %s\n", filepath.Base(o.File), o.Case)
		return
	}
	fmt.Fprintf(e.stdout, "FAIL %s: %s\n", filepath.Base(o.File), o.Case)
	for _, f := range o.Faults {
		fmt.Fprintf(e.stdout, "     %s\n", f)
	}
	fmt.Fprintln(e.stdout, "     what was written:")
	for _, w := range o.Wrote {
		fmt.Fprintf(e.stdout, "       %s\n", w)
	}
	if len(o.Wrote) == 0 {
		fmt.Fprintln(e.stdout, "       nothing")
	}
}

// testFiles lists the *.test.yaml files of a folder and those below it.
func testFiles(dir string) (files []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (strings.HasSuffix(path, ".test.yaml") || strings.HasSuffix(path, ".test.yml")) {
			files = append(files, path)
		}
		return err
	})
	slices.Sort(files)
	if err == nil && len(files) == 0 {
		err = hinted{fmt.Errorf("there is no *.test.yaml in %s", dir), "examples/ has some to begin with"}
	}
	return files, err
}

// connectionFor is the connection a test file is about.
func connectionFor(cfg *config.Config, f *rehearse.File) (*config.Connection, error) {
	switch {
	case f.Connection != "":
		return connectionOf(cfg, f.Connection)
	case len(cfg.Connections) == 1:
		return cfg.Connections[0], nil
	}
	return nil, hinted{fmt.Errorf("%s: which connection?", f.Path), "write `connection: NAME` at its top"}
}

// standIn stands for every secret that is not to be had where tests run.
const standIn = "stand-in-for-a-secret-of-the-config"

// loadWithoutSecrets reads a config as loadConfig does, but a variable or file
// that is missing has a stand-in: tests run where there are no secrets.
func loadWithoutSecrets(path string) (*config.Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the config: %w", err)
	}
	getenv := func(name string) (string, bool) {
		if v := os.Getenv(name); v != "" { // a CI gives a secret it lacks as ""
			return v, true
		}
		return standIn, true
	}
	readFile := func(name string) ([]byte, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return []byte(standIn), nil
		}
		return text, err
	}
	cfg, problems := config.Parse(path, data, getenv, readFile, vocabulary())
	if problems != nil {
		return nil, problems
	}
	return cfg, nil
}
