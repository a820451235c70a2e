package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Backup writes a consistent copy of the store to w while it goes on working,
// and gives its length. The copy is a store file; Verify checks one.
func (s *Store) Backup(w io.Writer) (n int64, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		n, err = tx.WriteTo(w)
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return n, ErrClosed
	case err != nil:
		return n, fmt.Errorf("backing up the store: %w", err)
	}
	return n, nil
}

// Copy writes a copy of the store file at path, which nobody works on, to w as it
// is, and gives its length. Unlike Open it takes the file of an older version
// too, which stays what it is. Its errors are those of Open.
func Copy(path string, w io.Writer) (n int64, err error) {
	if err := Verify(path); err != nil {
		return 0, err
	}
	db, err := openBolt(path, true) // its lock keeps others from writing meanwhile
	if err != nil {
		return 0, err
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		n, err = tx.WriteTo(w)
		return err
	})
	if err != nil {
		return n, fmt.Errorf("copying the store: %w", err)
	}
	return n, nil
}

// Verify reads a store file through and says what is wrong with it, by the
// errors of Open; that an older version wrote it is nothing wrong. The file must
// not be in use.
func Verify(path string) error {
	db, err := openFile(path, true, nil)
	if errors.Is(err, ErrOlder) {
		return nil
	}
	if err != nil {
		return err
	}
	return db.Close()
}

// compactTx is how much Compact copies in one transaction, in bytes.
const compactTx = 4 << 20

// Compact copies the store src, which must not be in use, to the new file dst
// without its free pages, and compares the two. src is only read; dst is
// removed again if anything goes wrong. A dst that exists is refused.
func Compact(src, dst string) (err error) {
	switch _, err := os.Lstat(dst); {
	case err == nil:
		return &OpenError{Path: dst, Err: fs.ErrExist}
	case !errors.Is(err, fs.ErrNotExist):
		return &OpenError{Path: dst, Err: err}
	}
	from, err := openFile(src, true, nil)
	if err != nil {
		return err
	}
	defer from.Close()
	defer func() {
		if err != nil {
			_ = os.Remove(dst)
		}
	}()
	if err := copyTo(dst, from); err != nil {
		return fmt.Errorf("compacting the store: %w", err)
	}
	to, err := openFile(dst, true, nil)
	if err != nil {
		return err
	}
	defer to.Close()
	if err := same(from, to); err != nil {
		return fmt.Errorf("compacting the store: %w", err)
	}
	return syncDir(filepath.Dir(dst))
}

// copyTo fills a new file and syncs it once, at the end.
func copyTo(dst string, from *bolt.DB) error {
	to, err := bolt.Open(dst, 0o600, &bolt.Options{Timeout: lockWait, NoSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = bolt.Compact(to, from, compactTx)
	if err == nil {
		err = to.Sync()
	}
	return errors.Join(err, to.Close())
}

// same compares two files bucket by bucket, key by key.
func same(a, b *bolt.DB) error {
	return a.View(func(ta *bolt.Tx) error {
		return b.View(func(tb *bolt.Tx) error {
			return ta.ForEach(func(name []byte, ba *bolt.Bucket) error {
				bb := tb.Bucket(name)
				if bb == nil || bb.Sequence() != ba.Sequence() {
					return fmt.Errorf("%w: bucket %s did not arrive whole", ErrCorrupt, name)
				}
				ca, cb := ba.Cursor(), bb.Cursor()
				ka, va := ca.First()
				kb, vb := cb.First()
				for ; ka != nil; ka, va = ca.Next() {
					if string(ka) != string(kb) || string(va) != string(vb) {
						return fmt.Errorf("%w: bucket %s did not arrive whole", ErrCorrupt, name)
					}
					kb, vb = cb.Next()
				}
				if kb != nil {
					return fmt.Errorf("%w: bucket %s has more than it should", ErrCorrupt, name)
				}
				return nil
			})
		})
	})
}
