package book

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

// Task finds a task that is not deleted.
func (b *Book) Task(id int64) (*Task, bool) {
	for _, t := range b.Tasks {
		if t.ID == id && !t.Deleted {
			return t, true
		}
	}
	return nil, false
}

// ClosestTask is when the record's nearest open task is due, or 0.
func (b *Book) ClosestTask(r *Record) int64 {
	var at int64
	for _, t := range b.Tasks {
		if t.EntityType == r.Kind && t.EntityID == r.ID && !t.Completed && !t.Deleted && (at == 0 || t.CompleteTill < at) {
			at = t.CompleteTill
		}
	}
	return at
}
