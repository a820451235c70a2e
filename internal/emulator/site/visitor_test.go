package site

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Every body is one JSON object with its event's name and the ids that tie it
// to its visitor and chat (jivo-webhooks.md §a, §c).
func TestVisitor_BodiesAreJivos(t *testing.T) {
	v := NewVisitor(1, 7)
	v.Phone, v.Email = v.Contacts()
	task := Task{ID: 2, Text: "x", Deal: 3, Due: time.Unix(1795000000, 0)}
	bodies := map[string][]byte{
		"chat_accepted": v.Accepted(), "chat_updated": v.Updated("+7", ""), "chat_finished": v.Finished("positive", false),
		"offline_message": v.Offline("x"), "client_updated": v.ClientUpdated(), "client_attribute_updated": v.Attributes(map[string]any{"a": 1}),
		"chat_assigned": v.ChatAssigned("https://demo.amocrm.ru/leads/detail/1"), "call_event": v.Call("incoming", true)[3],
		"created_deal": v.CreatedDeal(Deal{ID: 3}), "updated_deal": v.UpdatedDeal(Deal{ID: 3}), "deleted_deal": v.DeletedDeal(Deal{ID: 3}),
		"created_task": v.CreatedTask(task), "completed_task": v.CompletedTask(task),
		"created_client": v.ClientEvent("created_client"), "changed_client_blacklist": v.ClientEvent("changed_client_blacklist"),
		"assigned_status": v.AssignedStatus(5, "x"), "created_status": StatusEvent("created_status", 5, "x"),
		"created_client_tag": TagEvent("created_client_tag", 1, "x"), "merged_tag": MergedTags(6, "x", 9, 10), "created_organization": CreatedOrganization(3),
	}
	for name, b := range bodies {
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil || m["event_name"] != name {
			t.Errorf("%s: %v %s", name, err, b)
		}
	}
	number := func(name, path string) any {
		var m any
		if err := json.Unmarshal(bodies[name], &m); err != nil {
			t.Fatal(err)
		}
		return at(m, path)
	}
	if number("chat_accepted", "visitor.number") != "7" || number("client_updated", "visitor.number") != 7.0 || number("client_updated", "client_id") != "7" ||
		number("created_deal", "client.client_id") != 7.0 || number("created_client", "client_id") != 7.0 {
		t.Error("the client's id is not what Jivo sends")
	}
	if number("chat_accepted", "chat_id") != number("chat_finished", "chat_id") || number("chat_finished", "chat.messages.0.type") != "visitor" {
		t.Error("the chat does not hang together")
	}
}

func TestVisitor_SameSeedSamePlay(t *testing.T) {
	bodies := func(seed uint64) []byte {
		v := NewVisitor(seed, 3)
		v.Now = func() time.Time { return time.Unix(1795000000, 0) }
		return bytes.Join([][]byte{v.Accepted(), v.Finished("", false), v.ClientUpdated()}, nil)
	}
	if !bytes.Equal(bodies(1), bodies(1)) || bytes.Equal(bodies(1), bodies(2)) {
		t.Error("bodies do not depend on the seed, and on it alone")
	}
}

// at walks into decoded JSON by a dotted path.
func at(v any, path string) any {
	for key := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}
