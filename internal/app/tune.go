package app

import (
	"os"
	"runtime"
	"runtime/debug"
)

// Tune sets Go's runtime up for a bridge, where GOGC and GOMAXPROCS do not say
// otherwise (docs/adr/0011). Call it once, before anything runs.
//
// Every commit of the store leaves garbage, of a heap that is small: a third of the
// collections, which take processors an operator's answer waits for, costs a few
// dozen MiB under load and next to none without. And the store's writer holds a processor while it waits for the disk, until
// the scheduler notices: one more, in name, goes on with the others' work.
func Tune() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}
