package emulator

import (
	"encoding/json"
	"slices"
)

// Task is a task, on a card or free.
type Task struct {
	ID            int64
	TypeID        int64
	EntityType    string // leads | contacts | companies, "" if free
	EntityID      int64
	Text          string
	CompleteTill  int64
	Duration      int64
	Completed     bool
	Result        string
	ResponsibleID int64
	CreatedBy     int64
	UpdatedBy     int64
	CreatedAt     int64
	UpdatedAt     int64
	Deleted       bool
}

func taskSchema(create bool) schema {
	s := schema{
		"text": {kind: text, required: create}, "complete_till": {kind: integer, required: create},
		"responsible_user_id": {kind: integer, check: someUser}, "entity_id": {kind: integer, null: true},
		"entity_type": {kind: text, null: true}, "task_type_id": {kind: integer, check: someTaskType},
		"duration": {kind: integer}, "is_completed": {kind: boolean},
		"result":     {kind: object, keys: schema{"text": {kind: text, required: true}}},
		"created_by": {kind: integer, check: someUserOrRobot}, "updated_by": {kind: integer, check: someUserOrRobot},
		"created_at": {kind: integer}, "updated_at": {kind: integer}, "request_id": {kind: text},
	}
	if !create {
		s["id"] = spec{kind: integer, required: true, check: func(ck *checker, path string, v any) {
			id := intOf(v)
			if _, ok := ck.a.task(id); !ok {
				ck.choice(path)
			}
		}}
	}
	return s
}

func someTaskType(ck *checker, path string, v any) {
	if v != json.Number("1") && v != json.Number("2") {
		ck.choice(path)
	}
}

func taskCheck(ck *checker, item obj) {
	if s, ok := item["text"].(string); ok && s == "" {
		ck.missing("text")
	}
	id, hasID := num(item, "entity_id")
	kind := str(item, "entity_type")
	if !hasID && kind == "" {
		return
	}
	t, ok := ck.a.st.Cards[kind]
	if !ok {
		ck.choice("entity_type")
		return
	}
	if _, ok := t.live(id); !ok {
		ck.choice("entity_id")
	}
}

func (a *Account) task(id int64) (*Task, bool) {
	for _, t := range a.st.Tasks {
		if t.ID == id && !t.Deleted {
			return t, true
		}
	}
	return nil, false
}

func (c *call) tasksCreate() answer {
	items, bad := c.items(250)
	if bad == nil {
		bad = c.validate("", true, items, taskSchema(true), taskCheck)
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, len(items))
	for i, item := range items {
		t := c.a.addTask(item, c.user)
		out[i] = obj{"id": t.ID, "request_id": requestID(item, i), "_links": c.selfOf("tasks", t.ID)}
	}
	return hal(obj{"_links": c.self("/api/v4/tasks"), "_embedded": obj{"tasks": out}})
}

func (a *Account) addTask(item obj, by int64) *Task {
	now := a.opt.Now().Unix()
	t := &Task{ID: a.st.id("tasks"), TypeID: 1, ResponsibleID: by, CreatedBy: by, UpdatedBy: by, CreatedAt: now, UpdatedAt: now}
	if v, ok := num(item, "created_by"); ok {
		t.CreatedBy = v
	}
	if v, ok := num(item, "created_at"); ok {
		t.CreatedAt = v
	}
	t.write(item)
	a.st.Tasks = append(a.st.Tasks, t)
	a.taskAdded(t)
	return t
}

func (t *Task) write(m obj) {
	for key, p := range map[string]*int64{
		"complete_till": &t.CompleteTill, "responsible_user_id": &t.ResponsibleID, "entity_id": &t.EntityID,
		"task_type_id": &t.TypeID, "duration": &t.Duration, "updated_by": &t.UpdatedBy,
	} {
		if v, ok := num(m, key); ok {
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
	if r := asObj(m["result"]); r != nil {
		t.Result = str(r, "text")
	}
}

func (c *call) tasksPatch() answer {
	items, bad := c.items(250)
	if bad == nil {
		bad = c.validate("", false, items, taskSchema(false), taskCheck)
	}
	if bad != nil {
		return *bad
	}
	out := make([]obj, len(items))
	for i, item := range items {
		id, _ := num(item, "id")
		t := c.a.patchTask(id, item, c.user)
		out[i] = obj{"id": t.ID, "updated_at": t.UpdatedAt, "request_id": requestID(item, i), "_links": c.selfOf("tasks", t.ID)}
	}
	return hal(obj{"_links": c.self("/api/v4/tasks"), "_embedded": obj{"tasks": out}})
}

func (c *call) taskPatch() answer {
	item, bad := c.one()
	if bad != nil {
		return *bad
	}
	item["id"] = json.Number(c.vars["id"])
	if bad = c.validate("", false, []obj{item}, taskSchema(false), taskCheck); bad != nil {
		return *bad
	}
	t := c.a.patchTask(c.id(), item, c.user)
	return hal(obj{"id": t.ID, "updated_at": t.UpdatedAt, "_links": c.selfOf("tasks", t.ID)})
}

func (a *Account) patchTask(id int64, item obj, by int64) *Task {
	t, _ := a.task(id)
	before := *t
	t.UpdatedAt, t.UpdatedBy = a.opt.Now().Unix(), by
	t.write(item)
	a.taskChanged(&before, t)
	return t
}

func (c *call) taskByID() answer {
	t, ok := c.a.task(c.id())
	if !ok {
		return nothing()
	}
	return hal(c.taskJSON(t))
}

func (c *call) tasksList() answer {
	want := map[string]func(*Task) string{
		"id":                  func(t *Task) string { return itoa(t.ID) },
		"responsible_user_id": func(t *Task) string { return itoa(t.ResponsibleID) },
		"is_completed":        func(t *Task) string { return map[bool]string{true: "1", false: "0"}[t.Completed] },
		"task_type":           func(t *Task) string { return itoa(t.TypeID) },
		"entity_type":         func(t *Task) string { return t.EntityType },
		"entity_id":           func(t *Task) string { return itoa(t.EntityID) },
	}
	var found []*Task
next:
	for _, t := range c.a.st.Tasks {
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
	byID := func(t *Task) int64 { return t.ID }
	sortBy(c, found, map[string]func(*Task) int64{
		"id": byID, "created_at": func(t *Task) int64 { return t.CreatedAt }, "complete_till": func(t *Task) int64 { return t.CompleteTill },
	}, byID)
	return c.page("tasks", len(found), 250, func(i int) obj { return c.taskJSON(found[i]) })
}

// taskJSON: result is [] when there is none and an object when there is one
// (amocrm-api.md §4.7).
func (c *call) taskJSON(t *Task) obj {
	v := obj{
		"id": t.ID, "created_by": t.CreatedBy, "updated_by": t.UpdatedBy, "created_at": t.CreatedAt, "updated_at": t.UpdatedAt,
		"responsible_user_id": t.ResponsibleID, "group_id": 0, "entity_id": orNull(t.EntityID), "entity_type": codeOrNull(t.EntityType),
		"is_completed": t.Completed, "task_type_id": t.TypeID, "text": t.Text, "duration": t.Duration, "complete_till": t.CompleteTill,
		"result": []int{}, "account_id": c.a.opt.AccountID, "_links": c.selfOf("tasks", t.ID),
	}
	if t.Result != "" {
		v["result"] = obj{"text": t.Result}
	}
	return v
}
