//go:build unix

package main

import (
	"os"
	"syscall"
	"testing"
)

// TestCompact_StoreKeepsItsOwner: root compacts the store of a service that runs
// as another user, and the service opens it afterwards.
func TestCompact_StoreKeepsItsOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	const uid, gid = 4321, 4322
	db, cfg := stoppedStore(t)
	before, err := os.Stat(db)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(db, uid, gid); err != nil {
		t.Skip(err) // a container may forbid it to its root
	}
	if status, said := compacted(t, cfg); status != exitDone {
		t.Fatalf("exit status %d: %s", status, said)
	}
	after, err := os.Stat(db)
	if err != nil {
		t.Fatal(err)
	}
	if os.SameFile(before, after) {
		t.Error("nothing was compacted")
	}
	if is := after.Sys().(*syscall.Stat_t); is.Uid != uid || is.Gid != gid || after.Mode().Perm() != 0o600 {
		t.Errorf("owner %d:%d, mode %v", is.Uid, is.Gid, after.Mode())
	}
}
