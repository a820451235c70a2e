package config

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/jivo-amocrm/bridge/internal/config/strict"
)

// Load reads, checks and compiles a config file. Relative paths in it (data,
// tls.cert, tls.key, ${file:…}) start at the file's own folder, so that every
// command finds the same store wherever it is started.
//
// The error is a *Problems if the file could be read.
func Load(path string, v Vocabulary) (*Config, error) { return load(path, v, false) }

// LoadForStore is Load for who works with the store alone: a secret whose
// variable or file is not there is a stand-in (Secret.IsStandIn). Everything else
// is read as strictly.
func LoadForStore(path string, v Vocabulary) (*Config, error) { return load(path, v, true) }

func load(path string, v Vocabulary, standIns bool) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the config: %w", err)
	}
	base := filepath.Dir(path)
	readFile := func(name string) ([]byte, error) { return os.ReadFile(under(base, name)) }
	c, literal, problems := parse(data, strict.Source{File: path, Getenv: os.LookupEnv, ReadFile: readFile, StandIns: standIns}, v)
	if problems != nil {
		return nil, problems
	}
	c.Data = under(base, c.Data)
	c.TLS.Cert, c.TLS.Key = under(base, c.TLS.Cert), under(base, c.TLS.Key)
	if info, err := os.Stat(path); err == nil && literal && info.Mode().Perm()&0o077 != 0 {
		c.Warnings = append(c.Warnings, Problem{File: path, Text: fmt.Sprintf(
			"the file holds secrets and others may read it (mode %04o): chmod 600 it, or take the secrets from ${NAME} or ${file:…}", info.Mode().Perm())})
	}
	return c, nil
}

// under resolves a path of the config. An empty one stays empty.
func under(base, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}

// Parse is Load for a text: name stands in problems, getenv and readFile serve
// ${NAME} and ${file:/path}. Paths are left as they are written. One of the two
// results is nil.
func Parse(name string, data []byte, getenv func(string) (string, bool), readFile func(string) ([]byte, error), v Vocabulary) (*Config, *Problems) {
	c, _, problems := parse(data, strict.Source{File: name, Getenv: getenv, ReadFile: readFile}, v)
	return c, problems
}

func parse(data []byte, from strict.Source, v Vocabulary) (c *Config, literal bool, _ *Problems) {
	r := strict.NewReader(from)
	c = newConfig(from.File, v)
	r.Read(data, c.table(), "config")
	if wrong := r.Problems(); wrong != nil {
		return nil, false, wrong
	}
	c.Warnings = r.Warnings()
	return c, r.LiteralSecret(), nil
}
