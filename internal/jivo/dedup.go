package jivo

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// once is the value of keys that alone make a repeat.
const once = "1"

// Dedup says how the journal recognises a repeat of this event; Jivo sends no
// event id (product.md §8.2). An occurrence has all its identity in the key and
// a constant value, so it happens once. A state has its entity in the key and
// its content in the value, so it is a repeat of the latest one only, and
// X→Y→X is none. Unknown events have no key.
func (m *Message) Dedup() event.Dedup {
	if !m.Known {
		return event.Dedup{}
	}
	switch m.Kind {
	case "chat_accepted":
		if m.Chat != "" {
			return event.Dedup{Key: dedupKey("accepted", m.Chat, text(m.Fields, "agent", "id")), Value: once}
		}
	case "chat_finished":
		return m.finishedDedup()
	case "call_event":
		return m.callDedup()
	case "offline_message":
		// Its id looks like a millisecond (jivo-webhooks.md §a.2): two visitors may share one.
		if id := firstID(text(m.Fields, "offline_message_id")); id != "" {
			return event.Dedup{Key: dedupKey(m.Kind, firstID(m.Client, m.Chat), id), Value: once}
		}
		return m.occurrence("")
	}
	if strings.HasPrefix(m.Kind, "created_") || strings.HasPrefix(m.Kind, "deleted_") {
		return m.occurrence(m.entity())
	}
	return event.Dedup{Key: dedupKey(m.Kind, m.entity()), Value: m.tree.hash()}
}

// occurrence happens once per id; without one, once per content.
func (m *Message) occurrence(id string) event.Dedup {
	if firstID(id) == "" {
		return event.Dedup{Key: dedupKey(m.Kind, "", m.tree.hash()), Value: once}
	}
	return event.Dedup{Key: dedupKey(m.Kind, id), Value: once}
}

// finishedDedup tells a chat finished again after it was reopened, which has
// newer messages, from a repeat. It ends the time in which another
// chat_accepted of the chat is a repeat.
func (m *Message) finishedDedup() event.Dedup {
	if m.Chat == "" {
		return m.occurrence("")
	}
	last, messages := 0, event.Objects(object(m.Fields, "chat")["messages"])
	for _, msg := range messages {
		at, _ := msg["timestamp"].(int)
		last = max(last, at)
	}
	key := dedupKey("finished", m.Chat, strconv.Itoa(last), strconv.Itoa(len(messages)))
	if len(messages) == 0 {
		key = dedupKey("finished", m.Chat, short(text(m.Fields, "plain_messages"), text(m.Fields, "html_messages")))
	}
	return event.Dedup{Key: key, Value: once, Clear: dedupKey("accepted", m.Chat, "")}
}

// callDedup compares a call's state with the latest one of its chat, since one
// chat may hold several calls with equal webhooks. A record's address is of one
// call only.
func (m *Message) callDedup() event.Dedup {
	call := object(m.Fields, "call")
	record, status := text(call, "record_url"), text(call, "status")
	if record != "" && status == "end" {
		return event.Dedup{Key: dedupKey("call", m.Chat, "rec", short(record), status), Value: once}
	}
	return event.Dedup{Key: dedupKey("call", m.Chat), Value: m.tree.hash()}
}

// entity is the id of what the event is about, "" if it says none.
func (m *Message) entity() string {
	f := m.Fields
	switch k := kinds[m.Kind]; k.category {
	case "crm_pipeline":
		return text(f, "pipeline_id")
	case "crm_client_tag":
		return firstID(text(f, "tag_id"), text(f, "tag", "tag_id"))
	case "crm_deal":
		return m.Deal
	case "crm_task":
		return m.Task
	case "crm_organization":
		return text(f, "organization_id")
	case "crm_status":
		if m.Kind != "assigned_status" {
			return text(f, "status_id")
		}
	}
	if strings.HasPrefix(m.Kind, "chat_") {
		return m.Chat
	}
	return m.Client
}

// dedupKey joins parts so that no id can look like two.
func dedupKey(parts ...string) string {
	for i, p := range parts {
		if strings.ContainsAny(p, "|%") {
			parts[i] = strings.NewReplacer("%", "%25", "|", "%7C").Replace(p)
		}
	}
	return strings.Join(parts, "|")
}

func short(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(appendText(nil, p))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
