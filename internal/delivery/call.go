package delivery

import (
	"slices"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/phone"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// call works out which call of its chat a call_event belongs to. The webhooks
// between a `start` and its end are one call; a chat may hold several
// (issue on every event; jivo-webhooks.md §a.2). It returns nil when there is
// nothing to write: an intermediate state, or an end that was told before. The
// chat's log is changed with the event's next commit.
func (j *job) call() *event.Call {
	if j.chat == nil {
		return nil
	}
	f := j.msg.Fields
	status, record := text(f, "call", "status"), text(f, "call", "record_url")
	number := phone.Soft(text(f, "call", "phone"), j.c.Region)
	if number == "" && len(j.client.Phones) > 0 {
		number = j.client.Phones[0]
	}
	calls := slices.Clone(j.chat.Calls)
	n := len(calls)
	var cur *event.CallLog
	if n > 0 {
		cur = &calls[n-1]
	}
	begin := func() *event.CallLog {
		calls = append(calls, event.CallLog{N: n + 1, Type: text(f, "call", "type"), Phone: number, Started: j.ev.ReceivedAt})
		return &calls[len(calls)-1]
	}
	ended := cur != nil && !cur.Ended.IsZero()
	at := j.ev.ReceivedAt
	switch status {
	case "end", "error":
		if record != "" {
			for i := range calls { // a record that was told belongs to its call
				if calls[i].Record == record && calls[i].Status == status {
					return j.note(&calls[i], j.noted(&calls[i]))
				}
			}
		}
		switch {
		case cur == nil:
			cur = begin()
		case ended && cur.Status == status && record != "" && cur.Record == "":
			cur.Record = record
			j.keepCalls(calls)
			return j.note(cur, true)
		case ended && cur.Status == status && record == "":
			return j.note(cur, j.noted(cur)) // told again
		case ended:
			cur = begin()
		}
		cur.Ended, cur.Status, cur.Record = at, status, record
		j.keepCalls(calls)
		return j.note(cur, false)
	case "agent_connected":
		if cur == nil || ended {
			cur = begin()
		}
		if cur.Connected.IsZero() {
			cur.Connected = at
		}
	case "start":
		if cur == nil || ended {
			begin()
		}
	default: // an intermediate state, known or not
		if cur == nil || ended {
			begin()
		}
	}
	j.keepCalls(calls)
	return nil
}

// keepCalls remembers the chat's calls at once in this job and in the store
// with the next commit.
func (j *job) keepCalls(calls []event.CallLog) {
	j.chat.Calls = calls
	cl := j.client.ID
	kept := slices.Clone(calls)
	j.changeChat(func(c *event.Chat) {
		c.Client = cl
		for i := range kept { // the ids of notes are recorded elsewhere
			for _, o := range c.Calls {
				if o.N == kept[i].N && o.NoteID != 0 {
					kept[i].NoteID, kept[i].NoteOn = o.NoteID, o.NoteOn
				}
			}
		}
		c.Calls = kept
	})
}

// noted reports whether the call has its note, so that what is told of it again,
// or worked again after it was put off, goes there. Asked to, a replay makes another.
func (j *job) noted(l *event.CallLog) bool { return l.NoteID != 0 && !j.ev.Again }

func (j *job) note(l *event.CallLog, late bool) *event.Call {
	c := &event.Call{
		Chat: j.msg.Chat, N: l.N, Incoming: l.Type != "outgoing", Phone: l.Phone, Record: l.Record,
		Status: l.Status, Reason: text(j.msg.Fields, "call", "reason"), LateAsset: late,
		Answered: !l.Connected.IsZero(),
	}
	if !l.Connected.IsZero() && l.Ended.After(l.Connected) {
		c.Duration = int(l.Ended.Sub(l.Connected).Seconds())
	}
	return c
}

func (j *job) callLog(n int) *event.CallLog {
	for i := range j.chat.Calls {
		if j.chat.Calls[i].N == n {
			return &j.chat.Calls[i]
		}
	}
	return nil
}

// logCall is called when the call's changes freeze; the log itself was kept by
// keepCalls, so only a call without one is added.
func (j *job) logCall(tx *store.Tx, call event.Call) error {
	return changeRecord(tx, store.Chats, store.Key(j.c.Name, j.msg.Chat), func(c *event.Chat) {
		if !slices.ContainsFunc(c.Calls, func(l event.CallLog) bool { return l.N == call.N }) {
			c.Calls = append(c.Calls, event.CallLog{N: call.N, Phone: call.Phone, Status: call.Status, Record: call.Record, Ended: j.ev.ReceivedAt})
		}
	})
}
