package clerk

import (
	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// AddTask makes a task of a checked item.
func (k *Clerk) AddTask(item obj, by int64) *book.Task {
	now := k.now().Unix()
	t := &book.Task{ID: k.book.NextID("tasks"), TypeID: 1, ResponsibleID: by, CreatedBy: by, UpdatedBy: by, CreatedAt: now, UpdatedAt: now}
	if v, ok := body.Int(item, "created_by"); ok {
		t.CreatedBy = v
	}
	if v, ok := body.Int(item, "created_at"); ok {
		t.CreatedAt = v
	}
	setTask(t, item)
	k.book.Tasks = append(k.book.Tasks, t)
	k.taskAdded(t)
	return t
}

// setTask sets what the item carries.
func setTask(t *book.Task, m obj) {
	for key, p := range map[string]*int64{
		"complete_till": &t.CompleteTill, "responsible_user_id": &t.ResponsibleID, "entity_id": &t.EntityID,
		"task_type_id": &t.TypeID, "duration": &t.Duration, "updated_by": &t.UpdatedBy,
	} {
		if v, ok := body.Int(m, key); ok {
			*p = v
		}
	}
	for key, p := range map[string]*string{"text": &t.Text, "entity_type": &t.EntityType} {
		if s, ok := m[key].(string); ok {
			*p = s
		}
	}
	if b, ok := m["is_completed"].(bool); ok {
		t.Completed = b
	}
	if r := body.Object(m["result"]); r != nil {
		t.Result = body.Text(r, "text")
	}
}

// PatchTask applies a checked item to a task.
func (k *Clerk) PatchTask(t *book.Task, item obj, by int64) {
	before := *t
	t.UpdatedAt, t.UpdatedBy = k.now().Unix(), by
	setTask(t, item)
	k.taskChanged(&before, t)
}
