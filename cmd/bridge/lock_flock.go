//go:build unix && !solaris && !aix

package main

import (
	"os"
	"syscall"
)

// isLocked reports at once whether somebody works on a store file; opening it
// would wait a second first.
func isLocked(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() // lets go of the lock
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == syscall.EWOULDBLOCK
}
