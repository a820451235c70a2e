package book

import "slices"

// Subscription is one destination of account hooks (amocrm-api.md §4.14).
type Subscription struct {
	ID          int64
	Destination string
	Settings    []string
	Sort        int64
	CreatedAt   int64
	UpdatedAt   int64
	CreatedBy   int64
	Disabled    bool
	Invalid     []int64 // unix times of the last two hours' invalid answers
}

// DPHook is a hook set on a stage of the digital pipeline. StatusID 0 means
// every stage.
type DPHook struct {
	PipelineID int64
	StatusID   int64
	URL        string
}

// EverySetting lists all settings, also those that only the web interface
// knows (unsorted), for Subscribe.
func EverySetting() []string {
	return append(slices.Clone(APISettings()), "add_unsorted", "update_unsorted", "delete_unsorted")
}

// APISettings lists the settings a subscription made by the API may have (amocrm-api.md §4.14).
func APISettings() []string {
	var out []string
	for _, entity := range []string{"lead", "contact", "company"} {
		for _, action := range []string{"add", "update", "delete", "restore", "responsible", "note"} {
			out = append(out, action+"_"+entity)
		}
	}
	for _, action := range []string{"add", "update", "delete", "responsible", "note"} {
		out = append(out, action+"_customer")
	}
	return append(out, "status_lead", "add_task", "update_task", "delete_task", "responsible_task", "add_talk", "update_talk", "add_chat_template_review")
}

// Subscribe makes or replaces a destination.
func (b *Book) Subscribe(destination string, settings []string, sort, now int64) *Subscription {
	for _, s := range b.Hooks {
		if s.Destination == destination {
			s.Settings, s.Sort, s.UpdatedAt = settings, sort, now
			return s
		}
	}
	s := &Subscription{ID: b.NextID("webhooks"), Destination: destination, Settings: settings, Sort: sort,
		CreatedAt: now, UpdatedAt: now, CreatedBy: b.TokenUser}
	b.Hooks = append(b.Hooks, s)
	return s
}
