package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBackup_OfAStoreOfAnOlderVersionIsItAsItIs: before an upgrade is when a
// backup is wanted, and it must not be the upgrade.
func TestBackup_OfAStoreOfAnOlderVersionIsItAsItIs(t *testing.T) {
	t.Parallel()
	old, err := os.ReadFile(filepath.Join("..", "..", "internal", "store", "testdata", "stores", "v1.db"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	data, cfg, saved := filepath.Join(dir, "data"), filepath.Join(dir, "config.yaml"), filepath.Join(dir, "copy.db")
	text := fmt.Sprintf(`data: %q
admin: {listen: "127.0.0.1:1"}
connections:
  shop:
    jivo: {secret: jivo-secret-0123456789}
    amocrm: {account: "http://127.0.0.1:2", token: long-lived-token}
`, data)
	for _, err := range []error{
		os.Mkdir(data, 0o700), os.WriteFile(filepath.Join(data, "bridge.db"), old, 0o600), os.WriteFile(cfg, []byte(text), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	bridge := func(args ...string) (status int, stderr string) {
		var out, complaints bytes.Buffer
		status = run(context.Background(), args, strings.NewReader(""), &out, &complaints)
		return status, complaints.String()
	}
	if status, said := bridge("backup", "-c", cfg, saved); status != exitDone {
		t.Fatalf("exit status %d: %s", status, said)
	}
	if left, err := os.ReadFile(filepath.Join(data, "bridge.db")); err != nil || !bytes.Equal(left, old) {
		t.Errorf("the backup changed the store: %v", err)
	}
	if status, said := bridge("events", "list", "-c", cfg); status == exitDone || !strings.Contains(said, "bridge: hint: ") {
		t.Errorf("an older store is read as if it were new, or without a way out: %d, %s", status, said)
	}
	// Put in its place, the copy is worked with and brought up to date.
	if err := os.Rename(saved, filepath.Join(data, "bridge.db")); err != nil {
		t.Fatal(err)
	}
	lines := filepath.Join(dir, "none.jsonl")
	if err := os.WriteFile(lines, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"import", "-c", cfg, "shop", lines}, {"events", "list", "-c", cfg}} {
		if status, said := bridge(args...); status != exitDone {
			t.Errorf("%v: exit status %d: %s", args, status, said)
		}
	}
}
