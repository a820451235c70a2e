package app

import (
	"testing"
	"time"
)

func TestNames_EachNameIsSaidOnceAnHour(t *testing.T) {
	n, at := newNames(), time.Unix(1795000000, 0)
	for i, step := range []struct {
		name  string
		after time.Duration
		count int
		say   bool
	}{
		{"a", 0, 1, true}, {"a", time.Minute, 1, false}, {"b", 0, 2, true}, {"a", 59 * time.Minute, 2, true}, {"a", time.Second, 2, false},
	} {
		at = at.Add(step.after)
		if count, say := n.want("shop", step.name, at); count != step.count || say != step.say {
			t.Errorf("step %d: %d, %v", i, count, say)
		}
	}
}
