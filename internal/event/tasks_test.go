package event

import (
	"testing"
	"time"
)

// Tasks that were read are taken over as a whole, but for those a hook has told of
// since the reading began: what was read may be older.
func TestLeadCard_TasksReadBeforeAHookTakeNothingBack(t *testing.T) {
	for name, c := range map[string]struct {
		told  time.Duration // after the reading began
		taken bool
	}{
		"a hook before it":         {-time.Second, true},
		"a hook of the moment":     {0, true},
		"a hook while it was read": {time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			card := known()
			card.SetTask(Task{ID: 1, CompleteTill: 100})
			card.TasksAt = t0.Add(c.told)
			taken := card.ReadTasks([]Task{{ID: 2, CompleteTill: 200}, {ID: 3, CompleteTill: 100, Completed: true}}, t0)
			want := int64(1)
			if c.taken {
				want = 2
			}
			if taken != c.taken || len(card.Tasks) != 1 || card.Tasks[0].ID != want {
				t.Errorf("taken %v, tasks %+v", taken, card.Tasks)
			}
		})
	}
}
