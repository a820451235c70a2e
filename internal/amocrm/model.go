package amocrm

import (
	"encoding/json"
	"fmt"

	"github.com/jivo-amocrm/bridge/internal/amocrm/lenient"
)

// NoteInfo is a note as a look-up needs it.
type NoteInfo struct {
	ID        int64
	EntityID  int64
	Type      string // note_type: common, extended_service_message, call_in, …
	Text      string
	Uniq      string // of calls
	CreatedAt int64
}

type restNote struct {
	ID        lenient.Number `json:"id"`
	EntityID  lenient.Number `json:"entity_id"`
	Type      lenient.Words  `json:"note_type"`
	CreatedAt lenient.Number `json:"created_at"`
	// Params is [] when empty.
	Params lenient.Many[struct {
		Text lenient.Words `json:"text"`
		Uniq lenient.Words `json:"uniq"`
	}] `json:"params"`
}

func (n restNote) note() NoteInfo {
	info := NoteInfo{ID: int64(n.ID), EntityID: int64(n.EntityID), Type: string(n.Type), CreatedAt: int64(n.CreatedAt)}
	if len(n.Params) > 0 {
		info.Text, info.Uniq = string(n.Params[0].Text), string(n.Params[0].Uniq)
	}
	return info
}

// decode reads a JSON answer into out.
func decode(status int, body []byte, out any) error {
	if err := json.Unmarshal(body, out); err != nil {
		// The shape is not what it should be although it is JSON: this
		// read's own trouble, not the account's.
		return &Failed{Status: status, Trouble: BadAnswer, Err: fmt.Errorf("decode: %s", shapeOf(err))}
	}
	return nil
}

// shapeOf says where JSON had a wrong shape, without the value itself.
func shapeOf(err error) string {
	if t, ok := err.(*json.UnmarshalTypeError); ok {
		return fmt.Sprintf("%s is no %s", t.Field, t.Type)
	}
	return "broken JSON"
}
