package book

// Event is one line of the account's event feed (amocrm-api.md §4.12).
type Event struct {
	N           int64
	Type        string
	EntityType  string // leads | contacts | companies | tasks
	EntityID    int64
	CreatedBy   int64
	CreatedAt   int64
	ValueAfter  any
	ValueBefore any
}

// AddEvent writes a line into the feed.
func (b *Book) AddEvent(e Event) {
	e.N = b.NextID("events")
	b.Events = append(b.Events, &e)
}
