package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// What the meta bucket says of a file.
const (
	metaFormat  = "format"  // fileFormat
	metaVersion = "version" // decimal
	metaCreated = "created" // RFC 3339
	metaProbe   = "probe"   // last write of Writable

	fileFormat  = "jivo-amocrm bridge store"
	fileVersion = 2
)

// migrations brings a file of the version it is listed under to the next one.
// Each runs in the one transaction that also notes the new version.
var migrations = map[int]func(*bolt.Tx) error{1: joinDedup}

// initialMap is how much of the file is mapped beyond its size. bbolt can map
// anew only when nobody reads, so that a long backup would hold up the writer.
const initialMap = 1 << 30

// allocSize is the step the file grows by.
const allocSize = 4 << 20

// openFile opens a file that has been checked, or makes one.
func openFile(path string, readOnly bool, now func() time.Time) (*bolt.DB, error) {
	if !readOnly {
		if err := ensure(path, now); err != nil {
			return nil, &OpenError{Path: path, Err: err}
		}
	}
	if err := sniff(path); err != nil {
		return nil, err
	}
	db, err := openBolt(path, true)
	if err != nil {
		return nil, err
	}
	version, err := inspect(db)
	if err != nil || readOnly {
		return refuse(db, path, err, version, readOnly)
	}
	if err := db.Close(); err != nil {
		return nil, &OpenError{Path: path, Err: err}
	}
	if db, err = openBolt(path, false); err != nil {
		return nil, err
	}
	if err := migrate(db, version, migrations); err != nil {
		_ = db.Close()
		return nil, &OpenError{Path: path, Err: err}
	}
	return db, nil
}

// refuse closes a file that failed its inspection; one that is good for reading
// is given back.
func refuse(db *bolt.DB, path string, err error, version int, readOnly bool) (*bolt.DB, error) {
	if err == nil && readOnly && version < fileVersion {
		err = ErrOlder
	}
	if err == nil {
		return db, nil
	}
	_ = db.Close()
	return nil, &OpenError{Path: path, Err: err}
}

// boltMagic stands at byte 16 of a bbolt file's first two pages.
const boltMagic = 0xED0CDAED

// sniff tells a damaged store from a file that never was one.
func sniff(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return &OpenError{Path: path, Err: err}
	}
	defer f.Close()
	var page [4096]byte
	n, err := io.ReadFull(f, page[:])
	switch {
	case n == 0:
		return &OpenError{Path: path, Kind: ErrCorrupt, Err: errors.New("the file is empty")}
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return &OpenError{Path: path, Err: err}
	}
	if hasMagic(page[:n]) {
		return nil
	}
	// The first page may be lost; bbolt then reads the second.
	if n, _ = f.ReadAt(page[:], int64(os.Getpagesize())); hasMagic(page[:n]) {
		return nil
	}
	return &OpenError{Path: path, Kind: ErrForeign}
}

func hasMagic(page []byte) bool {
	return len(page) >= 20 && binary.NativeEndian.Uint32(page[16:]) == boltMagic
}

// openBolt opens the file by bbolt, with its errors and panics made ours.
func openBolt(path string, readOnly bool) (db *bolt.DB, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &OpenError{Path: path, Kind: ErrCorrupt, Err: fmt.Errorf("%v", v)}
		}
	}()
	o := &bolt.Options{
		Timeout: lockWait, ReadOnly: readOnly,
		NoFreelistSync: true, FreelistType: bolt.FreelistMapType, NoStatistics: true,
	}
	if !readOnly {
		o.InitialMmapSize = mapSize(path)
	}
	db, err = bolt.Open(path, 0o600, o)
	switch {
	case err == nil:
		db.AllocSize = allocSize
		return db, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, &OpenError{Path: path, Kind: ErrLocked}
	case errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, &OpenError{Path: path, Kind: ErrForeign, Err: err}
	case errors.As(err, new(*fs.PathError)):
		return nil, &OpenError{Path: path, Err: err}
	}
	return nil, &OpenError{Path: path, Kind: ErrCorrupt, Err: err}
}

func mapSize(path string) int {
	info, err := os.Stat(path)
	if err != nil || strconv.IntSize < 64 {
		return 0
	}
	return int(info.Size())*2 + initialMap
}

// inspect checks a file before it is worked with, and gives the version it was
// written by.
func inspect(db *bolt.DB) (version int, err error) {
	f, err := os.Open(db.Path())
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if err := checkPages(f, info.Size()); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	err = db.View(func(tx *bolt.Tx) error {
		version, err = readVersion(tx)
		return err
	})
	return version, err
}

func readVersion(tx *bolt.Tx) (int, error) {
	meta := tx.Bucket([]byte(bucketMeta))
	if meta == nil || string(meta.Get([]byte(metaFormat))) != fileFormat {
		return 0, ErrForeign
	}
	version, err := strconv.Atoi(string(meta.Get([]byte(metaVersion))))
	switch {
	case err != nil || version < 1:
		return 0, fmt.Errorf("%w: no store version", ErrCorrupt)
	case version > fileVersion:
		return 0, fmt.Errorf("%w: store version %d, this one knows %d", ErrNewer, version, fileVersion)
	}
	if version == fileVersion {
		for _, name := range buckets() {
			if tx.Bucket([]byte(name)) == nil {
				return 0, fmt.Errorf("%w: bucket %s is missing", ErrCorrupt, name)
			}
		}
	}
	return version, nil
}

// migrate brings a file from its version to this one, whole or not at all.
func migrate(db *bolt.DB, from int, steps map[int]func(*bolt.Tx) error) error {
	target := from
	for steps[target] != nil {
		target++
	}
	if target == from {
		return nil
	}
	return db.Update(func(tx *bolt.Tx) error {
		for v := from; v < target; v++ {
			if err := steps[v](tx); err != nil {
				return fmt.Errorf("bringing the store from version %d to %d: %w", v, v+1, err)
			}
		}
		return tx.Bucket([]byte(bucketMeta)).Put([]byte(metaVersion), []byte(strconv.Itoa(target)))
	})
}

// ensure makes the file if there is none: whole or not at all, so that a file
// found empty or half written later is known to be damaged.
func ensure(path string, now func() time.Time) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	pattern := filepath.Base(path) + ".new-*"
	f, err := os.CreateTemp(dir, pattern) // mode 0600
	if err != nil {
		return fmt.Errorf("making the store: %w", err)
	}
	temp := f.Name()
	defer os.Remove(temp)
	if err := f.Close(); err != nil {
		return err
	}
	if err := initialise(temp, now()); err != nil {
		return fmt.Errorf("making the store: %w", err)
	}
	return publish(temp, path)
}

// publish gives a finished file its name without ever replacing another's.
func publish(temp, path string) error {
	err := os.Link(temp, path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		// No hard links on this file system.
		if _, statErr := os.Stat(path); errors.Is(statErr, fs.ErrNotExist) {
			err = os.Rename(temp, path)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the store: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func initialise(path string, now time.Time) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockWait, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range buckets() {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		meta := tx.Bucket([]byte(bucketMeta))
		return errors.Join(
			meta.Put([]byte(metaFormat), []byte(fileFormat)),
			meta.Put([]byte(metaVersion), []byte(strconv.Itoa(fileVersion))),
			meta.Put([]byte(metaCreated), []byte(now.UTC().Format(time.RFC3339))))
	})
	return errors.Join(err, db.Close())
}

// syncDir makes a new name in a directory survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
