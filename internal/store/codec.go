package store

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// recordVersion is the first byte of every record; JSON follows.
const recordVersion = 1

// The form of records is encoding/json's. Its second version reads it 2.6 times as
// fast (docs/adr/0012); what is left out in reading is what a record never needs:
// names in any case, and looking for names that come twice.
var (
	writing = json.JoinOptions(jsonv1.DefaultOptionsV1(), jsontext.EscapeForHTML(false), jsontext.EscapeForJS(false))
	reading = json.JoinOptions(jsonv1.FormatDurationAsNano(true), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
)

var errRecord = errors.New("record of an unknown version")

func encode(v any) ([]byte, error) {
	body, err := json.Marshal(v, writing)
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
	if err := json.Unmarshal(rec[1:], v, reading); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, scrubJSON(err))
	}
	return nil
}

// scrubJSON keeps the place and the kind of a JSON error and drops what it
// quotes of the record: that may be a person's data.
func scrubJSON(err error) error {
	var wrong *json.SemanticError
	if errors.As(err, &wrong) {
		return fmt.Errorf("wrong type at byte %d", wrong.ByteOffset)
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return fmt.Errorf("no JSON at byte %d", syntax.ByteOffset)
	}
	return errors.New("unreadable record")
}
