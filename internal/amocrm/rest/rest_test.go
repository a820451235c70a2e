package rest

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// An unfinished task's result is an empty list, a finished one's an object
// (amocrm-api.md §4.7).
func TestTask_ResultIsAnObjectOrAnEmptyList(t *testing.T) {
	for body, want := range map[string]event.Task{
		`{"id":7,"text":"Call","entity_type":"leads","entity_id":501,"complete_till":5,"is_completed":true,"result":{"text":"done"},"responsible_user_id":9}`: {
			ID: 7, Text: "Call", EntityType: "leads", EntityID: 501, CompleteTill: 5, Completed: true, Result: "done", ResponsibleID: 9},
		`{"id":8,"text":"Call","result":[]}`: {ID: 8, Text: "Call"},
	} {
		var task Task
		if err := json.Unmarshal([]byte(body), &task); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, task.Task()); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
}
