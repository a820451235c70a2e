//go:build crash

// Package crashpoint names the moments at which the crash tests kill the bridge.
// In ordinary builds it is empty. A binary built with -tags crash kills itself
// with SIGKILL at the n-th passing of a point, as BRIDGE_CRASH=point:n says.
package crashpoint

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

type trap struct {
	point string
	left  atomic.Int64
}

var armed = sync.OnceValue(func() *trap {
	point, n, _ := strings.Cut(os.Getenv("BRIDGE_CRASH"), ":")
	t := &trap{point: point}
	count, _ := strconv.ParseInt(n, 10, 64) // 0 never strikes
	t.left.Store(count)
	return t
})

// At marks a moment, and is the end of the process if it is the one asked for.
func At(point string) {
	t := armed()
	if t.point != point || t.left.Add(-1) != 0 {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // it does not return to tell
	select {}
}

// Pin keeps the goroutine that syncs the file on one thread: strace counts the
// calls of each thread by itself, and is to strike at the n-th sync of all.
func Pin() { runtime.LockOSThread() }
