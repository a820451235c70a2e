package delivery

import (
	"slices"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Replay makes a settled event pending again: a dead one, discarded since or not, goes
// on with its frozen change list, a done or skipped one is mapped anew with today's
// rules (product.md › Replay). Mapped anew is also a dead one whose contact or lead was
// not made: of its list nothing stands that others build on, and by now the client, or
// somebody with the same phone, may have a contact and a lead (product.md §8.2). again
// lets it repeat what it has made. The caller writes the event.
func Replay(ev *event.Event, again bool, now time.Time) {
	switch {
	case ev.State != event.Dead && ev.Reason != event.Discarded: // that one was dead
		ev.Frozen = false
	case unmade(ev):
		ev.Frozen = false
		ev.Changes = slices.DeleteFunc(ev.Changes, func(ch event.Change) bool { return ch.State == event.Open })
	default:
		for i := range ev.Changes {
			if ev.Changes[i].State == event.Dropped {
				ev.Changes[i].State, ev.Changes[i].Error = event.Open, ""
			}
		}
	}
	ev.Detached = false
	ev.State, ev.Reason, ev.Detail = event.Pending, "", "replayed by hand"
	ev.Attempts, ev.Waited, ev.Overdue = 0, 0, false
	ev.NextAt, ev.SettledAt = now, time.Time{}
	ev.Again = again
	ev.Replays++
}

// unmade reports whether the contact or lead that the event was to make was not made
// for certain: none of its changes is in doubt.
func unmade(ev *event.Event) bool {
	missing := func(ch event.Change) bool {
		return ch.Op == event.OpCreate && (ch.Target == event.OnContact || ch.Target == event.OnLead) && ch.State != event.Settled
	}
	doubtful := func(ch event.Change) bool { return ch.State == event.Sent }
	return slices.ContainsFunc(ev.Changes, missing) && !slices.ContainsFunc(ev.Changes, doubtful)
}

// startOver has an event mapped anew whose contact or lead is not there: while it was
// dead, or between two attempts, it held nobody up, so that its client, or somebody
// with the same phone, may have come to a contact and a lead since.
func (j *job) startOver(why string) event.Ending {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ev.Frozen, j.ev.Anew, j.learned = false, true, len(j.effects)
	return event.Snooze{Until: time.Now(), Why: why}
}
