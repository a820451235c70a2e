package store

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// errDamage marks an error that came out of bbolt's own code as a panic.
var errDamage = fmt.Errorf("%w: the file has a page that makes no sense", ErrCorrupt)

// errPanic says a caller's function panicked.
var errPanic = errors.New("panic in a transaction")

// damage makes an error of what bbolt panicked with.
func damage(v any) error {
	if err, ok := v.(error); ok {
		return fmt.Errorf("%w: %w", errDamage, err)
	}
	return fmt.Errorf("%w: %v", errDamage, v)
}

// caught makes an error of a recovered panic. It must be called by the deferred
// function itself. What a caller's code panicked with may be a person's data
// and is left out, unless it is the runtime's own word.
func caught(v any) error {
	if _, fault := v.(interface{ Addr() uintptr }); fault || fromBolt() {
		return damage(v)
	}
	var re runtime.Error
	if err, ok := v.(error); ok && errors.As(err, &re) {
		return fmt.Errorf("%w: %w", errPanic, re)
	}
	return fmt.Errorf("%w: %T", errPanic, v)
}

// fromBolt reports whether the panic being recovered began in bbolt: the first
// function below the runtime's panic is one of its.
func fromBolt() bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	panicking := false
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			panicking = true
		case panicking && !strings.HasPrefix(f.Function, "runtime."):
			return strings.HasPrefix(f.Function, "go.etcd.io/bbolt")
		}
		if !more {
			return false
		}
	}
}
