package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jivo-amocrm/bridge/internal/store"
)

// stoppedStore makes an empty store and a config of it.
func stoppedStore(t *testing.T) (db, cfg string) {
	t.Helper()
	dir := t.TempDir()
	db, cfg = filepath.Join(dir, "bridge.db"), filepath.Join(dir, "config.yaml")
	st, err := store.Open(store.Options{Path: db})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`data: %q
admin: {listen: "127.0.0.1:1"}
connections:
  shop:
    jivo: {secret: "${file:credentials/jivo}"}
    amocrm: {account: "http://127.0.0.1:2", token: "${file:credentials/amocrm}"}
`, dir)
	if err := os.WriteFile(cfg, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return db, cfg
}

func compacted(t *testing.T, cfg string) (status int, stderr string) {
	t.Helper()
	var out, said bytes.Buffer
	status = run(context.Background(), []string{"compact", "-c", cfg}, strings.NewReader(""), &out, &said)
	return status, said.String()
}

// TestCompact_StoreKeepsItsMode: who could read the store before still can, and
// nobody else.
func TestCompact_StoreKeepsItsMode(t *testing.T) {
	t.Parallel()
	db, cfg := stoppedStore(t)
	if err := os.Chmod(db, 0o640); err != nil {
		t.Fatal(err)
	}
	if status, said := compacted(t, cfg); status != exitDone {
		t.Fatalf("exit status %d: %s", status, said)
	}
	info, err := os.Stat(db)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v", info.Mode())
	}
}
