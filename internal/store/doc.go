// Package store keeps everything the bridge must not forget in one bbolt file:
// the journal of events with its indexes, the bodies as they came, the pictures
// of clients, the contact directory, and small records of other rooms.
//
// One goroutine writes. It takes a request, adds whatever else is queued and
// commits them together, so that one fsync serves many callers
// (architecture.md, decision 1). What Append and Update answered without an
// error is on disk. A commit that fails by an I/O error may still be on disk,
// so the store answers ErrBroken, tells Options.OnFatal and refuses every
// further write (decision 2).
//
// Every record begins with a version byte, every file with a store version; a
// golden file per version stays readable (testdata).
package store
