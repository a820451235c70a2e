//go:build unix

package main

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// giveTo gives a file the owner and the group that another one has.
func giveTo(file string, other fs.FileInfo) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	is, ok := info.Sys().(*syscall.Stat_t)
	want, known := other.Sys().(*syscall.Stat_t)
	if !ok || !known || is.Uid == want.Uid && is.Gid == want.Gid {
		return nil
	}
	err = os.Chown(file, int(want.Uid), int(want.Gid))
	switch {
	case err == nil:
		return nil
	case is.Uid == want.Uid && other.Mode().Perm()&0o070 == 0:
		return nil // whose group it is opens nothing to anybody
	}
	return hinted{fmt.Errorf("the store belongs to user %d, group %d, and the smaller one cannot: %w", want.Uid, want.Gid, err), "run this as the user the bridge runs as, or as root"}
}
