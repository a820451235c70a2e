package clerk

import (
	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// AddNote writes a note on a card.
func (k *Clerk) AddNote(kind string, id int64, item obj, by int64) *book.Note {
	now := k.now().Unix()
	n := &book.Note{
		ID: k.book.NextID("notes"), EntityType: kind, EntityID: id, Type: body.Text(item, "note_type"), Params: body.Plain(body.Object(item["params"])),
		CreatedBy: by, UpdatedBy: by, CreatedAt: now, UpdatedAt: now,
		Trigger: item["is_need_to_trigger_digital_pipeline"] != false,
	}
	if v, ok := body.Int(item, "created_by"); ok {
		n.CreatedBy, n.UpdatedBy = v, v
	}
	if v, ok := body.Int(item, "created_at"); ok {
		n.CreatedAt, n.UpdatedAt = v, v
	}
	n.ResponsibleID = k.book.Cards[kind].ByID[id].ResponsibleID
	if v, ok := body.Int(item, "responsible_user_id"); ok {
		n.ResponsibleID = v
	}
	k.book.Notes = append(k.book.Notes, n)
	k.noted(n)
	return n
}

// PatchNote applies a checked item to a note.
func (k *Clerk) PatchNote(n *book.Note, item obj, by int64) {
	if p := body.Object(item["params"]); p != nil {
		n.Params = body.Plain(p)
	}
	n.UpdatedAt, n.UpdatedBy = k.now().Unix(), by
}
