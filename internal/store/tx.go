package store

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Tx is a transaction, valid inside the function it was given to and in that
// goroutine only. What a Tx returns is the caller's own copy.
type Tx struct {
	tx  *bolt.Tx
	now func() time.Time

	wrote bool             // by the function running now
	delta map[tallyKey]int // what the commit will change in the counts
	due   bool             // the due index gained an entry
	err   error            // first failure of a method that cannot return one
}

type tallyKey struct {
	connection string
	state      event.State
}

// call runs a caller's function; its panics and those of bbolt become errors.
func (t *Tx) call(fn func(*Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = caught(v)
		}
	}()
	t.err = nil
	if err = fn(t); err == nil {
		err = t.err
	}
	return err
}

// note keeps the first failure of a method that has no error to return; it
// fails the transaction.
func (t *Tx) note(err error) {
	if t.err == nil {
		t.err = err
	}
}

func (t *Tx) bucket(name string) *bolt.Bucket { return t.tx.Bucket([]byte(name)) }

func (t *Tx) get(bucket, key string) []byte { return t.bucket(bucket).Get([]byte(key)) }

// put keeps value itself until the commit. An index entry has no value: bbolt
// would answer nil for a nil one, as if the key were not there.
func (t *Tx) put(bucket, key string, value []byte) error {
	if value == nil {
		value = []byte{}
	}
	t.wrote = true
	return boltError(t.bucket(bucket).Put([]byte(key), value))
}

func (t *Tx) del(bucket, key string) error {
	t.wrote = true
	return boltError(t.bucket(bucket).Delete([]byte(key)))
}

func boltError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bolterrors.ErrTxNotWritable):
		return ErrReadOnly
	}
	return fmt.Errorf("writing the store: %w", err)
}

// each gives every key that begins with prefix, in order, until fn says stop.
// key and value belong to bbolt; fn must not write to the same bucket.
func (t *Tx) each(bucket, prefix string, fn func(key, value []byte) (more bool)) {
	p := []byte(prefix)
	c := t.bucket(bucket).Cursor()
	for k, v := c.Seek(p); k != nil && bytes.HasPrefix(k, p); k, v = c.Next() {
		if !fn(k, v) {
			return
		}
	}
}

// keys collects the keys under a prefix.
func (t *Tx) keys(bucket, prefix string) []string {
	var keys []string
	t.each(bucket, prefix, func(k, _ []byte) bool {
		keys = append(keys, string(k))
		return true
	})
	return keys
}

// Connections lists every connection that ever had an event, sorted.
func (t *Tx) Connections() []string { return t.keys(bucketConnections, "") }
