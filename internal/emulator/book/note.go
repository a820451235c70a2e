package book

import (
	"maps"

	"github.com/jivo-amocrm/bridge/internal/emulator/body"
)

// Note is a note on a card. Params are as sent.
type Note struct {
	ID            int64
	EntityType    string // leads | contacts | companies
	EntityID      int64
	Type          string
	Params        map[string]any
	CreatedBy     int64
	UpdatedBy     int64
	ResponsibleID int64
	CreatedAt     int64
	UpdatedAt     int64
	Trigger       bool // is_need_to_trigger_digital_pipeline
}

// Text is the note's text, "" for a call.
func (n Note) Text() string { return body.Text(n.Params, "text") }

// Uniq is a call note's uniq, "" for others.
func (n Note) Uniq() string { return body.Text(n.Params, "uniq") }

// Clone is a copy with params of its own.
func (n *Note) Clone() Note {
	c := *n
	c.Params = maps.Clone(n.Params)
	return c
}
