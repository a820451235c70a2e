package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// joinDedup brings a file from version 1 to 2: the three buckets of the dedup
// keys become two. A key moves behind the digest of the part it can be cleared
// by, which its record held, and a day lists its keys by the number of their
// event: an append then touches two pages fewer, and those of a group the same
// ones.
func joinDedup(tx *bolt.Tx) error {
	seen, err := tx.CreateBucket([]byte(bucketSeen))
	if err != nil {
		return err
	}
	days, err := tx.CreateBucket([]byte(bucketSeenDay))
	if err != nil {
		return err
	}
	old := tx.Bucket([]byte("dedup"))
	if old == nil {
		return fmt.Errorf("%w: bucket dedup is missing", ErrCorrupt)
	}
	err = old.ForEach(func(key, rec []byte) error {
		const size = 1 + 8 + 8 + 16 + 16 // version, at, seq, value, part
		if len(key) != 16 || len(rec) != size || rec[0] != 1 {
			return fmt.Errorf("dedup key: %w", errRecord)
		}
		s := sighting{at: int64(binary.BigEndian.Uint64(rec[1:])), seq: binary.BigEndian.Uint64(rec[9:]), value: digest(rec[17:33])}
		at := append(append([]byte{}, rec[33:]...), key...)
		return errors.Join(seen.Put(at, s.encode()), days.Put([]byte(s.day()), at))
	})
	if err != nil {
		return err
	}
	for _, name := range []string{"dedup", "dedup_prefix", "dedup_day", "chat_lead", "touches"} { // nobody read the last two
		if err := tx.DeleteBucket([]byte(name)); err != nil {
			return fmt.Errorf("bucket %s: %w", name, err)
		}
	}
	return nil
}
