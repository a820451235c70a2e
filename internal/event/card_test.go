package event

import (
	"testing"
	"time"
)

var t0 = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// known is the card of a lead that stands in a stage, as of second 100.
func known() *LeadCard {
	return &LeadCard{SeenTo: 100, Lead: Lead{
		ID: 7, Name: "Chat", Price: 10, PipelineID: 1, StatusID: 11, ResponsibleID: 5, CreatedAt: 50, UpdatedAt: 100,
		ContactIDs: []int64{8}, CompanyID: 9,
	}}
}

// hook is what an account hook says of that lead, changed by fn.
func hook(updated int64, fn func(*Lead)) Lead {
	l := Lead{ID: 7, Name: "Chat", Price: 10, PipelineID: 1, StatusID: 11, ResponsibleID: 5, CreatedAt: 50, UpdatedAt: updated, Partial: true}
	if fn != nil {
		fn(&l)
	}
	return l
}

func TestLeadCard_HookIsAppliedByItsTime(t *testing.T) {
	moved := func(l *Lead) { l.StatusID = 12 }
	for name, c := range map[string]struct {
		hook    Lead
		changed bool
		stage   int64
		updated int64
		dirty   bool
	}{
		"newer":                               {hook(101, moved), true, 12, 101, false},
		"newer with nothing new in it":        {hook(101, nil), true, 11, 101, false},
		"older":                               {hook(99, moved), false, 11, 100, false},
		"same second, nothing else":           {hook(100, nil), false, 11, 100, false},
		"same second, another stage":          {hook(100, moved), true, 12, 100, true},
		"same second, another pipeline":       {hook(100, func(l *Lead) { l.PipelineID = 2 }), true, 11, 100, true},
		"same second, another responsible":    {hook(100, func(l *Lead) { l.ResponsibleID = 6 }), true, 11, 100, true},
		"same second, another price":          {hook(100, func(l *Lead) { l.Price = 11 }), true, 11, 100, true},
		"without a time":                      {hook(0, moved), true, 12, 100, true},
		"without a time and without a change": {hook(0, nil), true, 11, 100, true},
	} {
		t.Run(name, func(t *testing.T) {
			card := known()
			if got := card.ApplyHook(c.hook, t0); got != c.changed {
				t.Errorf("changed is %v", got)
			}
			if card.Lead.StatusID != c.stage || card.Lead.UpdatedAt != c.updated || card.Dirty != c.dirty {
				t.Errorf("stage %d at %d, dirty %v; want %d at %d, %v", card.Lead.StatusID, card.Lead.UpdatedAt, card.Dirty, c.stage, c.updated, c.dirty)
			}
		})
	}
}

func TestLeadCard_NewerHookKeepsWhatHooksDoNotCarry(t *testing.T) {
	card := known()
	card.ApplyHook(hook(101, func(l *Lead) { l.CreatedAt, l.Name, l.Price = 0, "", 20 }), t0)
	l := card.Lead
	if len(l.ContactIDs) != 1 || l.ContactIDs[0] != 8 || l.CompanyID != 9 || l.CreatedAt != 50 || l.Name != "Chat" {
		t.Errorf("lost: %+v", l)
	}
	if l.Price != 20 || !card.ReadAt.Equal(t0) {
		t.Errorf("not taken over: price %v, read at %v", l.Price, card.ReadAt)
	}
}

func TestLeadCard_HookTellsWhatOthersChanged(t *testing.T) {
	card := known()
	card.ApplyHook(hook(101, func(l *Lead) { l.StatusID, l.PipelineID, l.ResponsibleID, l.Price = 22, 2, 6, 30 }), t0)
	want := []CardChange{
		{At: t0, What: ChangedStage, FromPipeline: 1, From: 11, ToPipeline: 2, To: 22},
		{At: t0, What: ChangedResponsible, From: 5, To: 6},
		{At: t0, What: ChangedPrice, From: 10, To: 30},
	}
	if len(card.Changes) != len(want) {
		t.Fatalf("changes %+v", card.Changes)
	}
	for i := range want {
		if card.Changes[i] != want[i] {
			t.Errorf("change %d is %+v, want %+v", i, card.Changes[i], want[i])
		}
	}
	if card.StageSince != t0.Unix() {
		t.Errorf("stage since %d", card.StageSince)
	}
}

func TestLeadCard_FirstSightIsNoChange(t *testing.T) {
	var card LeadCard
	card.ApplyHook(hook(101, nil), t0)
	if len(card.Changes) != 0 || card.Lead.StatusID != 11 {
		t.Errorf("changes %+v of a lead in stage %d", card.Changes, card.Lead.StatusID)
	}
}

func TestLeadCard_StageShownEarlyIsToldOnce(t *testing.T) {
	card := known()
	card.ApplyHook(hook(100, func(l *Lead) { l.StatusID = 12 }), t0)
	card.ApplyRead(hook(100, func(l *Lead) { l.StatusID = 12 }), t0.Add(time.Second))
	if len(card.Changes) != 1 || card.Dirty {
		t.Errorf("changes %+v, dirty %v", card.Changes, card.Dirty)
	}
}

func TestLeadCard_ThinHookShowsItsStageUntilRead(t *testing.T) {
	for name, c := range map[string]struct{ pipeline, status, wantPipeline, wantStatus int64 }{
		"stage and pipeline": {2, 22, 2, 22},
		"stage alone":        {0, 12, 1, 12},
		"neither":            {0, 0, 1, 11},
		"pipeline alone":     {2, 0, 1, 11}, // half a place is none
	} {
		t.Run(name, func(t *testing.T) {
			card := known()
			card.ApplyThin(c.pipeline, c.status, t0)
			if card.Lead.PipelineID != c.wantPipeline || card.Lead.StatusID != c.wantStatus {
				t.Errorf("shown %d/%d", card.Lead.PipelineID, card.Lead.StatusID)
			}
			if !card.Dirty || !card.DirtyAt.Equal(t0) {
				t.Error("is not to be read again")
			}
			if card.Lead.UpdatedAt != 100 {
				t.Error("counts as newer, though nothing of it was read")
			}
		})
	}
}

func TestLeadCard_ReadCleansOnlyOlderDirt(t *testing.T) {
	for name, c := range map[string]struct {
		dirtyAt time.Time
		updated int64
		dirty   bool
		price   float64
	}{
		"dirt before the read":          {t0.Add(-time.Second), 101, false, 42},
		"dirt as the read began":        {t0, 101, false, 42},
		"dirt while the read was on":    {t0.Add(time.Second), 101, true, 42},
		"answered from before the hook": {t0.Add(-time.Second), 99, true, 10},
		"the state that is known":       {t0.Add(-time.Second), 100, false, 42},
	} {
		t.Run(name, func(t *testing.T) {
			card := known()
			card.MarkDirty(c.dirtyAt)
			card.ApplyRead(hook(c.updated, func(l *Lead) { l.Price = 42 }), t0)
			if card.Dirty != c.dirty || card.Lead.Price != c.price {
				t.Errorf("dirty %v, price %v", card.Dirty, card.Lead.Price)
			}
		})
	}
}

func TestLeadCard_ReadIsWhole(t *testing.T) {
	card := known()
	card.ApplyRead(Lead{ID: 7, UpdatedAt: 101, StatusID: 11, PipelineID: 1, ResponsibleID: 5, Price: 10}, t0)
	if card.Lead.ContactIDs != nil || card.Lead.CompanyID != 0 {
		t.Errorf("links that amoCRM no longer has are kept: %+v", card.Lead)
	}
}

func TestLeadCard_OwnWritesAreNoChanges(t *testing.T) {
	card := known()
	own := card.Lead
	own.StatusID, own.Price, own.ResponsibleID, own.UpdatedAt = 12, 99, 6, 101
	card.ApplyOwn(own, t0)
	card.ApplyHook(hook(101, func(l *Lead) { l.StatusID, l.Price, l.ResponsibleID = 12, 99, 6 }), t0.Add(time.Second)) // its echo
	if len(card.Changes) != 0 || card.Dirty {
		t.Errorf("changes %+v, dirty %v", card.Changes, card.Dirty)
	}
	if card.StageSince != t0.Unix() || !card.WroteAt.Equal(t0) {
		t.Errorf("stage since %d, written at %v", card.StageSince, card.WroteAt)
	}
}

// A hook that is older than the bridge's own write and newer than all that was
// seen may tell what that write left alone.
func TestLeadCard_HookFromBeforeAnOwnWriteIsLookedInto(t *testing.T) {
	for name, c := range map[string]struct {
		own   func(*Lead)
		hook  Lead
		stage int64
		dirty bool
	}{
		"a move before a price was written":     {func(l *Lead) { l.Price = 99 }, hook(102, func(l *Lead) { l.StatusID, l.Price = 12, 10 }), 12, true},
		"a move before the bridge's own move":   {func(l *Lead) { l.StatusID = 13 }, hook(102, func(l *Lead) { l.StatusID = 12 }), 13, true},
		"nothing but what is known":             {func(l *Lead) { l.Name = "Own" }, hook(102, nil), 11, false},
		"older than what was seen all the same": {func(l *Lead) { l.Price = 99 }, hook(99, func(l *Lead) { l.StatusID = 12 }), 11, false},
	} {
		t.Run(name, func(t *testing.T) {
			card := known()
			own := card.Lead
			c.own(&own)
			own.UpdatedAt = 105
			card.ApplyOwn(own, t0)
			card.ApplyHook(c.hook, t0.Add(time.Second))
			if card.Lead.StatusID != c.stage || card.Dirty != c.dirty {
				t.Errorf("stage %d, dirty %v; want %d, %v", card.Lead.StatusID, card.Dirty, c.stage, c.dirty)
			}
			if card.Lead.UpdatedAt != 105 {
				t.Errorf("the own write's time became %d", card.Lead.UpdatedAt)
			}
		})
	}
}

// The hook of an own write may come before the write's answer; its differences
// are taken back, those of others stay.
func TestLeadCard_OwnEchoBeforeTheAnswerIsDisowned(t *testing.T) {
	card := known()
	card.ApplyHook(hook(101, func(l *Lead) { l.Price = 1 }), t0.Add(-time.Second)) // before the write left
	card.ApplyHook(hook(102, func(l *Lead) { l.StatusID, l.Price, l.ResponsibleID = 12, 99, 6 }), t0.Add(time.Second))
	card.Disown(Lead{StatusID: 12, Price: 99}, t0)
	if len(card.Changes) != 2 || card.Changes[0].To != 1 || card.Changes[1].What != ChangedResponsible {
		t.Errorf("changes %+v", card.Changes)
	}
	card.Disown(Lead{}, t0.Add(-time.Hour))
	if len(card.Changes) != 2 {
		t.Errorf("nothing was written, yet changes were taken back: %+v", card.Changes)
	}
}

func TestLeadCard_OwnWriteInTheSameStageKeepsItsSince(t *testing.T) {
	card := known()
	card.StageSince = 77
	own := card.Lead
	own.Price = 5
	card.ApplyOwn(own, t0)
	if card.StageSince != 77 {
		t.Errorf("stage since %d", card.StageSince)
	}
}

func TestLeadCard_HistoryIsBoundedAndKeepsTheNewest(t *testing.T) {
	card := known()
	for i := range int64(keptChanges + 5) {
		card.ApplyHook(hook(101+i, func(l *Lead) { l.Price = float64(100 + i) }), t0.Add(time.Duration(i)*time.Second))
	}
	if n := len(card.Changes); n != keptChanges {
		t.Fatalf("%d changes kept", n)
	}
	if last := card.Changes[keptChanges-1]; last.To != 100+keptChanges+4 {
		t.Errorf("the newest is %+v", last)
	}
}

func TestLeadCard_DirtIsAsOldAsTheNewest(t *testing.T) {
	card := known()
	card.MarkDirty(t0)
	card.MarkDirty(t0.Add(-time.Hour))
	if !card.DirtyAt.Equal(t0) {
		t.Errorf("dirty since %v", card.DirtyAt)
	}
}

func TestLeadCard_TasksStandByDueTime(t *testing.T) {
	ids := func(c *LeadCard) (out []int64) {
		for _, k := range c.Tasks {
			out = append(out, k.ID)
		}
		return out
	}
	equal := func(t *testing.T, c *LeadCard, want ...int64) {
		t.Helper()
		got := ids(c)
		if len(got) != len(want) {
			t.Fatalf("tasks %v, want %v", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("tasks %v, want %v", got, want)
			}
		}
	}
	c := known()
	c.SetTask(Task{ID: 1, CompleteTill: 300})
	c.SetTask(Task{ID: 2, CompleteTill: 100})
	c.SetTask(Task{ID: 3, CompleteTill: 200})
	equal(t, c, 2, 3, 1)
	c.SetTask(Task{ID: 2, CompleteTill: 400}) // put off
	equal(t, c, 3, 1, 2)
	c.SetTask(Task{ID: 1, Completed: true})
	equal(t, c, 3, 2)
	c.SetTask(Task{ID: 9, Completed: true}) // never seen open
	equal(t, c, 3, 2)
	c.DropTask(3)
	c.DropTask(3)
	equal(t, c, 2)
	for i := range int64(20) {
		c.SetTask(Task{ID: 100 + i, CompleteTill: 500 + i})
	}
	if len(c.Tasks) != 10 || c.Tasks[0].ID != 2 {
		t.Errorf("tasks %v", ids(c))
	}
}

func TestState_SettledAreThree(t *testing.T) {
	for s, want := range map[State]bool{Pending: false, Parked: false, Done: true, Skipped: true, Dead: true} {
		if s.Settled() != want {
			t.Errorf("%s: settled is %v", s, !want)
		}
	}
}

// A read that was under way while the bridge moved the lead may tell of the time
// before, in the same second.
func TestLeadCard_ReadBegunBeforeAnOwnWriteDoesNotUndoIt(t *testing.T) {
	for name, c := range map[string]struct {
		began time.Time
		stage int64 // as read
		want  int64
		dirty bool
	}{
		"begun before, tells of another stage": {t0, 11, 12, true},
		"begun before, tells of the same":      {t0, 12, 12, false},
		"begun after":                          {t0.Add(2 * time.Second), 13, 13, false},
	} {
		t.Run(name, func(t *testing.T) {
			card := known()
			card.ApplyOwn(hook(101, func(l *Lead) { l.StatusID = 12 }), t0.Add(time.Second))
			card.ApplyRead(hook(101, func(l *Lead) { l.StatusID = c.stage }), c.began)
			if card.Lead.StatusID != c.want || card.Dirty != c.dirty {
				t.Errorf("stage %d, dirty %v; want %d, %v", card.Lead.StatusID, card.Dirty, c.want, c.dirty)
			}
		})
	}
}
