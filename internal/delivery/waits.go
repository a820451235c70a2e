package delivery

import (
	"slices"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/mapping"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// await parks an event whose client nobody has described yet, and says what
// becomes of it when it has waited long enough.
func (j *job) await() event.Ending {
	if j.client.Described || !slices.Contains(needsClient, j.msg.Kind) || j.msg.Client == "" {
		return nil
	}
	isTask := j.task != nil
	if end := j.park("its client"); end != nil {
		return end
	}
	switch {
	case j.msg.Kind == "client_attribute_updated":
		return event.Skip{Reason: event.Remembered, Detail: "attributes kept with the client"}
	case isTask && (j.deal == nil || j.deal.LeadID == 0):
		return event.Kill{Reason: event.ClientUnknown, Detail: "no event has described the task's client"}
	}
	j.warn("client_unknown: no event has described the client")
	return nil
}

// placeless parks a task that has no place yet: its deal has no lead, and its client,
// although described, no contact. Whatever makes one takes it up (linkClient).
func (j *job) placeless() event.Ending {
	if j.task == nil || j.task.AmoID != 0 || !j.client.Described || j.client.ContactID != 0 || j.c.Program.SwitchedOff(j.msg.Kind) || j.deal != nil && j.deal.LeadID != 0 {
		return nil
	}
	return j.park("a lead or contact")
}

// park has an event wait for something, once; nil: it has waited.
func (j *job) park(what string) event.Ending {
	switch {
	case j.ev.State == event.Parked && j.queues():
		return event.Snooze{Until: time.Now(), Why: "has waited for " + what + ", and stands in the line again"}
	case !j.ev.Overdue && j.ev.State != event.Parked:
		j.ev.Overdue = true // should it come due again, it has waited
		return event.Park{Until: time.Now().Add(j.c.Park)}
	}
	return nil
}

// queues reports whether an event that has waited long enough for its client stands
// behind another in its line: one that came before it, or has begun.
func (j *job) queues() (behind bool) {
	_ = j.d.store.View(func(tx *store.Tx) error { // what cannot be read holds nobody up
		head, ok := tx.Head(j.ev.Connection, j.ev.Line)
		if !ok || j.ev.Line == "" {
			return nil
		}
		ev, err := tx.Event(head)
		behind = err == nil && (head < j.seq || ev.Frozen)
		return err
	})
	return behind
}

// nobody settles what no rule wants, and holds what an anonymous visitor did
// until a phone or e-mail comes.
func (j *job) nobody(plan event.Plan) event.Ending {
	anonymous := slices.Contains(visitorKinds, j.msg.Kind) && len(j.peopleKeys()) == 0 && j.client.ContactID == 0
	makes := (plan.Contact != nil && plan.Contact.Create) || (plan.Lead != nil && plan.Lead.Create)
	if anonymous && (plan.Empty || !makes || j.c.Anonymous != "lead") {
		if j.c.Anonymous == "hold" {
			j.hold()
		}
		j.closeChat()
		return event.Skip{Reason: event.Anonymous, Detail: "no phone and no e-mail yet"}
	}
	if !plan.Empty {
		return nil
	}
	j.remember()
	j.closeChat()
	if mapping.Handled(j.msg.Kind, j.c.Kinds) == "local" {
		return event.Finished{}
	}
	if end := j.deleted(); end != nil {
		return end
	}
	if j.c.Program.SwitchedOff(j.msg.Kind) {
		return event.Skip{Reason: event.SwitchedOff, Detail: "its built-in is switched off in `builtin`"}
	}
	return event.Skip{Reason: event.NoRule, Detail: "no rule and no built-in wanted it"}
}

// hold keeps what an anonymous visitor said, the transcript of a chat or a message,
// with the client.
func (j *job) hold() {
	var t string
	switch j.msg.Kind {
	case "chat_finished":
		t = j.c.Program.Transcript(j.input())
	case "offline_message":
		t = text(j.msg.Fields, "message")
	}
	if t == "" {
		return
	}
	held := event.Held{Chat: j.msg.Chat, Seq: j.seq, Text: t, At: j.ev.ReceivedAt}
	j.changeClient(func(c *event.Client) {
		if !slices.ContainsFunc(c.Held, func(h event.Held) bool { return h.Seq == held.Seq }) && len(c.Held) < 20 {
			c.Held = append(c.Held, held)
		}
	})
}
