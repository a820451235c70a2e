package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jivo-amocrm/bridge/internal/event"
)

func deduped(key, value, clear string) event.Incoming {
	in := incoming("7")
	in.Event.Chat = "c"
	in.Dedup = event.Dedup{Key: key, Value: value, Clear: clear}
	return in
}

func TestDedup_RepeatIsKeptAsSkipped(t *testing.T) {
	s := open(t, Options{Now: func() time.Time { return t0 }})
	first := mustAppend(t, s, deduped("task|1", "x", ""))
	repeat := mustAppend(t, s, deduped("task|1", "x", ""))
	again := mustAppend(t, s, deduped("task|1", "x", ""))
	if first.Repeat || !repeat.Repeat || repeat.Of != first.Seq || !again.Repeat || again.Of != first.Seq {
		t.Fatalf("first %+v, repeat %+v, again %+v", first, repeat, again)
	}
	ev := read(t, s, repeat.Seq)
	if ev.State != event.Skipped || ev.Reason != event.Duplicate || ev.Detail != "repeat of 1" || !ev.SettledAt.Equal(t0) {
		t.Errorf("repeat is %+v", ev)
	}
	view(t, s, func(tx *Tx) {
		if tx.Body(repeat.Seq) == nil {
			t.Error("the repeat's body is not kept")
		}
	})
	if got := due(t, s, t0); !slices.Equal(got, []uint64{first.Seq}) {
		t.Errorf("due %v", got)
	}
	verifyIndexes(t, s)
}

func TestDedup_StateThatReturnsIsNoRepeat(t *testing.T) {
	s := open(t, Options{})
	var got []bool
	for _, v := range []string{"X", "X", "Y", "X", "X", ""} {
		got = append(got, mustAppend(t, s, deduped("deal|1", v, "")).Repeat)
		s = reopen(t, s) // and a restart forgets nothing
	}
	if want := []bool{false, true, false, false, true, false}; !slices.Equal(got, want) {
		t.Errorf("X X Y X X '': repeats %v, want %v", got, want)
	}
}

func TestDedup_ScopedByConnection(t *testing.T) {
	s := open(t, Options{})
	mustAppend(t, s, deduped("deal|1", "X", ""))
	other := deduped("deal|1", "X", "")
	other.Event.Connection = "other"
	if mustAppend(t, s, other).Repeat {
		t.Error("a repeat across connections")
	}
}

func TestDedup_NoKeyNoRepeat(t *testing.T) {
	s := open(t, Options{})
	for range 2 {
		if mustAppend(t, s, deduped("", "X", "")).Repeat {
			t.Error("an event without a key is a repeat")
		}
	}
}

func TestDedup_ClearOpensTheChatAgain(t *testing.T) {
	s := open(t, Options{})
	accept := func(chat, agent string) bool {
		return mustAppend(t, s, deduped("accepted|"+chat+"|"+agent, "", "")).Repeat
	}
	finish := func(chat, message string) bool {
		return mustAppend(t, s, deduped("finished|"+chat+"|"+message, "", "accepted|"+chat+"|")).Repeat
	}
	steps := []struct {
		what string
		got  func() bool
		want bool
	}{
		{"first", func() bool { return accept("1", "anna") }, false},
		{"same agent", func() bool { return accept("1", "anna") }, true},
		{"other agent", func() bool { return accept("1", "boris") }, false},
		{"chat with a longer name", func() bool { return accept("12", "anna") }, false},
		{"finish", func() bool { return finish("1", "m1") }, false},
		{"same agent after the finish", func() bool { return accept("1", "anna") }, false},
		{"other agent after the finish", func() bool { return accept("1", "boris") }, false},
		{"the other chat is not concerned", func() bool { return accept("12", "anna") }, true},
		{"finish again", func() bool { return finish("1", "m1") }, true},
		{"a repeated finish clears nothing", func() bool { return accept("1", "anna") }, true},
	}
	for _, step := range steps {
		if got := step.got(); got != step.want {
			t.Errorf("%s: repeat %v, want %v", step.what, got, step.want)
		}
	}
}

func TestDedup_ClearOfAWholeKey(t *testing.T) {
	s := open(t, Options{})
	mustAppend(t, s, deduped("a|b", "", ""))
	mustAppend(t, s, deduped("a|bc", "", ""))
	mustAppend(t, s, deduped("", "", "a|b"))
	if mustAppend(t, s, deduped("a|b", "", "")).Repeat {
		t.Error("the key was not cleared")
	}
	if !mustAppend(t, s, deduped("a|bc", "", "")).Repeat {
		t.Error("its neighbour was")
	}
}

func TestDedup_KeysAreNotOnDisk(t *testing.T) {
	s := open(t, Options{})
	mustAppend(t, s, deduped("offline|+79991112233", "anna@example.com", ""))
	if strings.Contains(dump(t, s), "79991112233") || strings.Contains(dump(t, s), "anna@") {
		t.Error("a dedup key or value is readable in the file")
	}
}

func TestDedup_AtOnceOneIsFirst(t *testing.T) {
	s := open(t, Options{})
	var mu sync.Mutex
	var firsts, repeats int
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			a, err := s.Append(context.Background(), deduped("call|1", "", ""))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				t.Error(err)
			case a.Repeat:
				repeats++
			default:
				firsts++
			}
		})
	}
	wg.Wait()
	if firsts != 1 || repeats != 99 {
		t.Errorf("%d firsts, %d repeats", firsts, repeats)
	}
}

// The journal's decisions against event.Dedup's own words, over random streams.
func TestDedup_Model(t *testing.T) {
	s := open(t, Options{})
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		connection := fmt.Sprint("c", run)
		model := map[string]string{}
		first := map[string]uint64{}
		for range rapid.IntRange(1, 25).Draw(rt, "n") {
			d := event.Dedup{
				Key:   rapid.SampledFrom([]string{"", "a", "a|1", "a|1|x", "a|1|y", "a|2|x", "a|12|x", "b|1"}).Draw(rt, "key"),
				Value: rapid.SampledFrom([]string{"", "X", "Y"}).Draw(rt, "value"),
				Clear: rapid.SampledFrom([]string{"", "", "", "a|1|", "a|2|", "b|"}).Draw(rt, "clear"),
			}
			v, known := model[d.Key]
			want := d.Key != "" && known && v == d.Value
			in := incoming("7")
			in.Event.Connection, in.Dedup = connection, d
			got := mustAppend(t, s, in)
			if got.Repeat != want || (want && got.Of != first[d.Key]) {
				rt.Fatalf("%+v: got %+v, want repeat %v of %d", d, got, want, first[d.Key])
			}
			if want {
				continue
			}
			for key := range model {
				// Only the part up to a key's last "|" can be cleared.
				if d.Clear != "" && key[:strings.LastIndexByte(key, '|')+1] == d.Clear {
					delete(model, key)
				}
			}
			if d.Key != "" {
				model[d.Key], first[d.Key] = d.Value, got.Seq
			}
		}
	})
}
