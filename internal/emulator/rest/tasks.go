package rest

import (
	"encoding/json"
	"slices"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
	"github.com/jivo-amocrm/bridge/internal/emulator/check"
)

func (c *call) tasksCreate() answer.Answer {
	items, bad := c.items(250)
	if bad == nil {
		bad = c.validate(items, check.Task())
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, len(items))
	for i, item := range items {
		t := c.clerk.AddTask(item, c.user)
		out[i] = obj{"id": t.ID, "request_id": body.RequestID(item, i), "_links": c.selfOf("tasks", t.ID)}
	}
	return answer.HAL(obj{"_links": c.self("/api/v4/tasks"), "_embedded": obj{"tasks": out}})
}

func (c *call) tasksPatch() answer.Answer {
	items, bad := c.items(250)
	if bad == nil {
		bad = c.validate(items, check.TaskPatch())
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, len(items))
	for i, item := range items {
		id, _ := body.Int(item, "id")
		t := c.patchTask(id, item)
		out[i] = obj{"id": t.ID, "updated_at": t.UpdatedAt, "request_id": body.RequestID(item, i), "_links": c.selfOf("tasks", t.ID)}
	}
	return answer.HAL(obj{"_links": c.self("/api/v4/tasks"), "_embedded": obj{"tasks": out}})
}

func (c *call) taskPatch() answer.Answer {
	item, bad := c.one()
	if bad != nil {
		return *bad
	}
	item["id"] = json.Number(c.vars["id"])
	if bad = c.validate([]obj{item}, check.TaskPatch()); bad != nil {
		return *bad
	}
	t := c.patchTask(c.id(), item)
	return answer.HAL(obj{"id": t.ID, "updated_at": t.UpdatedAt, "_links": c.selfOf("tasks", t.ID)})
}

func (c *call) patchTask(id int64, item obj) *book.Task {
	t, _ := c.book.Task(id)
	c.clerk.PatchTask(t, item, c.user)
	return t
}

func (c *call) taskByID() answer.Answer {
	t, ok := c.book.Task(c.id())
	if !ok {
		return answer.Nothing()
	}
	return answer.HAL(c.taskJSON(t))
}

func (c *call) tasksList() answer.Answer {
	want := map[string]func(*book.Task) string{
		"id":                  func(t *book.Task) string { return itoa(t.ID) },
		"responsible_user_id": func(t *book.Task) string { return itoa(t.ResponsibleID) },
		"is_completed":        func(t *book.Task) string { return map[bool]string{true: "1", false: "0"}[t.Completed] },
		"task_type":           func(t *book.Task) string { return itoa(t.TypeID) },
		"entity_type":         func(t *book.Task) string { return t.EntityType },
		"entity_id":           func(t *book.Task) string { return itoa(t.EntityID) },
	}
	var found []*book.Task
next:
	for _, t := range c.book.Tasks {
		if t.Deleted {
			continue
		}
		for name, have := range want {
			if f := c.filter(name); f != nil && !slices.Contains(f, have(t)) {
				continue next
			}
		}
		if from, to, ok := c.span("updated_at"); ok && (float64(t.UpdatedAt) < from || float64(t.UpdatedAt) > to) {
			continue
		}
		found = append(found, t)
	}
	byID := func(t *book.Task) int64 { return t.ID }
	sortBy(c, found, map[string]func(*book.Task) int64{
		"id": byID, "created_at": func(t *book.Task) int64 { return t.CreatedAt }, "complete_till": func(t *book.Task) int64 { return t.CompleteTill },
	}, byID)
	return c.page("tasks", len(found), 250, func(i int) obj { return c.taskJSON(found[i]) })
}

// taskJSON: result is [] when there is none and an object when there is one
// (amocrm-api.md §4.7).
func (c *call) taskJSON(t *book.Task) obj {
	v := obj{
		"id": t.ID, "created_by": t.CreatedBy, "updated_by": t.UpdatedBy, "created_at": t.CreatedAt, "updated_at": t.UpdatedAt,
		"responsible_user_id": t.ResponsibleID, "group_id": 0, "entity_id": body.OrNull(t.EntityID), "entity_type": body.TextOrNull(t.EntityType),
		"is_completed": t.Completed, "task_type_id": t.TypeID, "text": t.Text, "duration": t.Duration, "complete_till": t.CompleteTill,
		"result": []int{}, "account_id": c.book.AccountID(), "_links": c.selfOf("tasks", t.ID),
	}
	if t.Result != "" {
		v["result"] = obj{"text": t.Result}
	}
	return v
}
