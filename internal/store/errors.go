package store

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// Errors of a running store.
var (
	// ErrNotFound says there is no such event.
	ErrNotFound = errors.New("no such event")
	// ErrFull says the disk has no room, or less than Options.FreeSpace.
	// Nothing was stored; the store goes on by itself once there is room.
	ErrFull = errors.New("disk is full")
	// ErrBroken says a commit failed: what was to be written is perhaps
	// stored, perhaps not. The store refuses all writes from then on.
	ErrBroken = errors.New("store is broken by a failed write")
	// ErrClosed says the store is closed or closing; nothing was stored.
	ErrClosed = errors.New("store is closed")
	// ErrReadOnly says the store was opened with Options.ReadOnly.
	ErrReadOnly = errors.New("store is opened for reading only")
)

// Errors of opening a store, and ErrCorrupt of reading one. Open wraps them in
// an *OpenError, which knows a way out.
var (
	ErrLocked  = errors.New("in use by another process")
	ErrCorrupt = errors.New("damaged")
	ErrForeign = errors.New("not a store of the bridge")
	ErrNewer   = errors.New("written by a newer version of the bridge")
	ErrOlder   = errors.New("written by an older version of the bridge")
	// ErrFolder says that the folder of the store is not there and cannot be
	// made. Who makes it says so, not Open.
	ErrFolder = errors.New("its folder cannot be made")
)

// OpenError says why a store file was refused. The file is as it was: the store
// never deletes or overwrites what it cannot read.
type OpenError struct {
	Path string
	Kind error // one of the errors above; nil: Err alone says it
	Err  error // what was found
}

// Error names the file and what is wrong with it.
func (e *OpenError) Error() string {
	switch {
	case e.Kind == nil:
		return fmt.Sprintf("store %s: %v", e.Path, e.Err)
	case e.Err == nil:
		return fmt.Sprintf("store %s: %v", e.Path, e.Kind)
	}
	return fmt.Sprintf("store %s: %v: %v", e.Path, e.Kind, e.Err)
}

// Unwrap gives both the kind and what was found to errors.Is and errors.As.
func (e *OpenError) Unwrap() []error {
	var errs []error
	for _, err := range []error{e.Kind, e.Err} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// Hint tells the way out, or is empty.
func (e *OpenError) Hint() string {
	switch {
	case errors.Is(e, syscall.EROFS):
		return "nothing can be written there: mount it writable; under systemd name the folder in StateDirectory= or ReadWritePaths="
	case errors.Is(e, ErrFolder):
		return e.folderHint()
	case errors.Is(e, ErrLocked):
		return "another bridge works on this file: stop it, or use its admin listener; two cannot share a store"
	case errors.Is(e, ErrCorrupt):
		return "restore a backup made by `bridge backup`, or move the file away to start empty; it is left untouched"
	case errors.Is(e, ErrForeign):
		return "set `data` to the bridge's own directory, or move this file away to start empty; it is left untouched"
	case errors.Is(e, ErrNewer):
		return "run the version of the bridge that wrote it, or restore a backup made before the upgrade"
	case errors.Is(e, ErrOlder):
		return "start `bridge run` once: it brings the file up to date"
	case errors.Is(e, fs.ErrPermission):
		return "the data directory and the file must belong to the user the bridge runs as"
	case errors.Is(e, fs.ErrNotExist):
		return "start `bridge run` once to create it, or check `data` in the config"
	}
	return ""
}

// folderHint tells the way out where there is no folder for the store.
func (e *OpenError) folderHint() string {
	switch {
	case errors.Is(e, fs.ErrPermission):
		return "make the folder that `data` names yourself, so that it belongs to the user the bridge runs as"
	case errors.Is(e, syscall.ENOTDIR), errors.Is(e, fs.ErrExist):
		return "what stands at that path, or on the way there, is no folder: move it away, or check `data` in the config"
	}
	return "check `data` in the config: it names the folder that the store lives in"
}
