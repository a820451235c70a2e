//go:build linux || darwin

package store

import (
	"fmt"
	"syscall"
)

// freeSpace is how many bytes an ordinary user may still write to the disk of dir.
func freeSpace(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}
