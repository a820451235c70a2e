package store

import (
	"encoding/json"
	"errors"
	"fmt"
)

// recordVersion is the first byte of every record; JSON follows.
const recordVersion = 1

var errRecord = errors.New("record of an unknown version")

func encode(v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding a record: %w", err)
	}
	rec := make([]byte, 0, len(body)+1)
	rec = append(rec, recordVersion)
	return append(rec, body...), nil
}

// decode reads a record into v. It keeps nothing of rec, which belongs to bbolt.
func decode(rec []byte, v any) error {
	if len(rec) == 0 || rec[0] != recordVersion {
		return errRecord
	}
	if err := json.Unmarshal(rec[1:], v); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, scrubJSON(err))
	}
	return nil
}

// scrubJSON keeps the place and the kind of a JSON error and drops what it
// quotes of the record: that may be a person's data.
func scrubJSON(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("wrong type at %s", wrong.Field)
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("no JSON at byte %d", syntax.Offset)
	}
	return errors.New("unreadable record")
}
