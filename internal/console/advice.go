package console

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// lore is what a person called at night needs to know of a reason: what it
// means, and what to do about it.
type lore struct{ means, todo string }

// deadLore explains the closed list of product.md §4.
func deadLore() map[event.Reason]lore {
	return map[event.Reason]lore{
		event.Unparsable: {"what came is no JSON object, even after every known repair",
			"Look at the body. From a probe or a browser: discard it. From Jivo: enter the visitor by hand and report the body; a replay helps only once the bridge can read it."},
		event.Refused: {"amoCRM refused what was to be written",
			"Read what amoCRM said under Requests. Mend the cause (rights of the token's user, a required field, a limit of the account), then replay: nothing that is settled is repeated."},
		event.RuleError: {"the condition of a rule failed while it ran",
			"Mend the rule that is named, try it with “bridge plan”, reload the config, then replay."},
		event.ClientUnknown: {"nothing has described its client for as long as it may wait",
			"Nothing has to be done: it goes on by itself when Jivo describes the client within 30 days."},
		event.GaveUp: {"its own trouble lasted longer than backoff.give_up",
			"The last requests say what the trouble was. Mend the cause, then replay: nothing that is settled is repeated."},
		event.Forgotten: {"the person was forgotten on request",
			"Nothing can be done, on purpose: what came was removed."},
		event.Panicked: {"a fault of the bridge itself",
			"The log has the stack at the time it was settled: report it together with the version. Replay it after an update."},
	}
}

// skippedLore explains the reasons of skipped events.
func skippedLore() map[event.Reason]lore {
	return map[event.Reason]lore{
		event.NoRule: {"no rule and no built-in wanted it",
			"If it should have done something, the rules below say why they did not match. Change the rule, reload the config, then replay."},
		event.Duplicate: {"a repeat of an event that came before",
			"Nothing: the first one did the work. See the client's other events. A replay would do the work a second time."},
		event.Anonymous: {"the visitor has left no phone and no e-mail yet",
			"Nothing: when a contact comes, the lead is made with the source of this visit. “anonymous: lead” in the config makes leads of such visitors at once."},
		event.Stale:          {"older than what was applied already", "Nothing: a newer event of the same kind won."},
		event.Discarded:      {"somebody discarded it", "If that was wrong: replay."},
		event.UnknownEvent:   {"a name the bridge does not know, or none", "Nothing, unless Jivo has a new kind of event: then report the name."},
		event.NoTarget:       {"there was no lead and no contact to put it on", "If there should have been one, see the rules and the client's other events, then replay."},
		event.NotLinked:      {"its client has no contact in amoCRM, and such an event makes none", "Nothing: what it says of the client is remembered and written with the contact."},
		event.NotOurs:        {"none of its leads and contacts is linked to a Jivo client", "Nothing: amoCRM tells the bridge of everything that happens in the account."},
		event.ForeignAccount: {"a hook of another amoCRM account", "Take this bridge's address out of the other account's webhooks."},
		event.ChannelClosed:  {"jivo.channels does not let its widget in", "If it should come in, add the widget's id to jivo.channels, reload the config, then replay."},
		event.SwitchedOff:    {"the built-in it is for is switched off", "If that is not wanted, switch it on under “builtin”, reload the config, then replay."},
		event.Remembered:     {"kept for later; amoCRM has no place for it", "Nothing."},
		event.BadLink:        {"the link is not one of this account's leads, contacts or companies", "The operator must choose a lead or contact of this amoCRM account in Jivo."},
		event.Ignored:        {"a family of events that is kept and counted only", "Nothing."},
	}
}

func loreOf(state event.State, r event.Reason) lore {
	if state == event.Dead {
		return deadLore()[r]
	}
	return skippedLore()[r]
}

// bulky reports whether all events of a reason may be replayed at once: those
// that died of something that can be mended, and those a changed config wants.
// Repeats and discarded ones never: their replay would do work twice.
func bulky(state event.State, r event.Reason) bool {
	switch state {
	case event.Dead:
		return r != event.Forgotten
	case event.Skipped:
		return r == event.NoRule || r == event.SwitchedOff || r == event.ChannelClosed
	}
	return false
}

// noReplay says why an event cannot be replayed, "" if it can.
func noReplay(d *Detail) string {
	switch {
	case !d.State.Settled():
		return "it is being worked on"
	case d.Reason == event.Forgotten:
		return "its person was forgotten"
	case d.Body == nil:
		return "its body is no longer kept (retention.bodies)"
	}
	return ""
}

// story is the first sentence of an event's page: what came of it.
func (c clock) story(d *Detail) string {
	switch d.State {
	case event.Pending:
		return c.pendingStory(d)
	case event.Parked:
		return "It waits for Jivo to describe its client" + c.until(d) + "."
	case event.Done:
		return doneStory(d)
	case event.Skipped:
		return "Nothing was to be done for it: " + because(d) + "."
	case event.Dead:
		return "It cannot succeed by itself: " + because(d) + "."
	}
	return ""
}

func (c clock) until(d *Detail) string {
	if d.NextAt == nil {
		return ""
	}
	return ", until " + c.when(d.NextAt) + " at the latest"
}

func (c clock) pendingStory(d *Detail) string {
	if d.NextAt == nil {
		return "It waits for its turn."
	}
	s := fmt.Sprintf("It will be tried at %s (%s)", c.when(d.NextAt), c.ago(d.NextAt))
	if d.NextAt.Before(c.now()) {
		s = "It is due since " + c.when(d.NextAt)
	}
	if d.Attempts > 0 {
		s += fmt.Sprintf(", after %s that failed", count(d.Attempts, "attempt"))
	}
	if d.Detail != "" {
		s += ": " + strings.TrimSuffix(d.Detail, ".")
	}
	return s + "."
}

func doneStory(d *Detail) string {
	if d.Source == event.AmoCRM {
		return "It is done: what it says was taken over."
	}
	if len(d.Changes) == 0 {
		return "It is done: nothing was missing in amoCRM."
	}
	return "It is done: everything it asks for stands in amoCRM."
}

// because is the reason in its word and in words.
func because(d *Detail) string {
	why := cmp.Or(d.Detail, loreOf(d.State, d.Reason).means)
	if why == "" {
		return string(d.Reason)
	}
	return string(d.Reason) + ", " + strings.TrimSuffix(why, ".")
}

// todo is what to do about an event; none = nothing to be done. problems and
// removed are about its connection.
func todo(d *Detail, problems []Problem, removed bool) []string {
	if d.State.Settled() {
		if s := loreOf(d.State, d.Reason).todo; s != "" {
			return []string{s}
		}
		return nil
	}
	if removed {
		return []string{"Its connection is not in the config: it waits until the name comes back."}
	}
	var out []string
	for _, p := range problems {
		if p.Connection == "" || p.Connection == d.Connection {
			out = append(out, strings.TrimSuffix(p.What+": "+p.Hint, ": ")+".")
		}
	}
	if len(out) > 0 {
		return out
	}
	if d.State == event.Parked {
		return []string{"Nothing: any event that describes the client takes it up again."}
	}
	if d.NextAt == nil && d.Client != "" {
		return []string{"Nothing: an earlier event of the same client comes first, or it is being worked on now."}
	}
	return []string{"Nothing: it goes on by itself."}
}
