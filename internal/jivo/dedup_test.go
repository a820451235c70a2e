package jivo

import (
	"fmt"
	"strings"
	"testing"
)

// journal recognises repeats the way event.Dedup asks the real one to.
type journal map[string]string

func (j journal) repeat(t *testing.T, body string) bool {
	t.Helper()
	d := decode(t, body).Dedup()
	if d.Key != "" && j[d.Key] == d.Value {
		return true
	}
	if d.Key != "" {
		j[d.Key] = d.Value
	}
	for key := range j {
		if d.Clear != "" && strings.HasPrefix(key, d.Clear) {
			delete(j, key)
		}
	}
	return false
}

func accepted(chat, agent string) string {
	return fmt.Sprintf(`{"event_name":"chat_accepted","chat_id":%s,"agent":{"id":%s}}`, chat, agent)
}

func finished(chat string, stamps ...int) string {
	var messages []string
	for _, at := range stamps {
		messages = append(messages, fmt.Sprintf(`{"timestamp":%d}`, at))
	}
	return fmt.Sprintf(`{"event_name":"chat_finished","chat_id":%s,"chat":{"messages":[%s]}}`, chat, strings.Join(messages, ","))
}

func call(status, more string) string {
	return fmt.Sprintf(`{"event_name":"call_event","chat_id":7,"call":{"status":%q%s}}`, status, more)
}

func of(kind, more string) string { return fmt.Sprintf(`{"event_name":%q%s}`, kind, more) }

// repeat announces that the next body of a story is a repeat.
const repeat = "="

// stories are bodies in the order they come.
var stories = map[string][]string{
	"a chat is accepted once by an agent until it has finished": {
		accepted("7", "1"), repeat, accepted("7", `"1"`), accepted("7", "2"), repeat, accepted("7", "1"), accepted("8", "1"),
		finished("7", 5), accepted("7", "1"), accepted("7", "2"), repeat, accepted("8", "1"),
	},
	"a chat's end does not reopen chats whose id begins alike": {
		accepted("76", "1"), finished("7", 5), repeat, accepted("76", "1"),
	},
	"a repeated end leaves a reopened chat accepted": {
		accepted("7", "1"), finished("7", 5), accepted("7", "1"), repeat, finished("7", 5), repeat, accepted("7", "1"),
	},
	"a chat finished again has newer messages": {
		finished("7", 5, 9), repeat, finished("7", 5, 9), finished("7", 5, 9, 12), finished("7", 5, 9, 12, 12), repeat, finished("7", 9, 5), finished("8", 5, 9),
	},
	"a chat finished without messages is told by its transcript": {
		of("chat_finished", `,"chat_id":7,"plain_messages":"a"`), repeat, of("chat_finished", `,"chat_id":7,"plain_messages":"a","event_timestamp":9`),
		of("chat_finished", `,"chat_id":7,"plain_messages":"b"`),
	},
	"an offline message happens once by its id": {
		of("offline_message", `,"offline_message_id":1,"message":"a"`), of("offline_message", `,"offline_message_id":2,"message":"a"`),
		repeat, of("offline_message", `,"offline_message_id":"1","message":"a"`),
	},
	"two visitors may write in one millisecond": {
		of("offline_message", `,"offline_message_id":1665399500726,"message":"a","visitor":{"number":"7"}`),
		of("offline_message", `,"offline_message_id":1665399500726,"message":"b","visitor":{"number":"8"}`),
		repeat, of("offline_message", `,"offline_message_id":1665399500726,"message":"a","visitor":{"number":"7"}`),
	},
	"an offline message without an id happens once by content": {
		of("offline_message", `,"message":"a"`), of("offline_message", `,"message":"b"`), repeat, of("offline_message", `,"message":"a"`),
	},
	"a call's state is compared with the latest": {
		call("start", ""), repeat, call("start", ""), call("agent_connected", ""), call("end", ""), repeat, call("end", ""),
		call("start", ""), call("agent_connected", ""), call("end", ""),
	},
	"a call's record comes once, whatever came between": {
		call("end", ""), call("end", `,"record_url":"u1"`), repeat, call("end", ""), repeat, call("end", `,"record_url":"u1"`),
		call("start", ""), call("end", `,"record_url":"u2"`), repeat, call("end", `,"record_url":"u1"`),
	},
	"a state that returns is no repeat": {
		of("client_updated", `,"client_id":1,"visitor":{"name":"X"}`), repeat, of("client_updated", ` , "visitor":{"name":"X"}, "client_id":1`),
		of("client_updated", `,"client_id":1,"visitor":{"name":"Y"}`), of("client_updated", `,"client_id":1,"visitor":{"name":"X"}`),
		of("client_updated", `,"client_id":2,"visitor":{"name":"X"}`), repeat, of("client_updated", `,"client_id":1,"visitor":{"name":"X"}`),
	},
	"chat_updated is a state of its chat": {
		of("chat_updated", `,"chat_id":1,"visitor":{"number":5}`), of("chat_updated", `,"chat_id":2,"visitor":{"number":5}`),
		repeat, of("chat_updated", `,"chat_id":1,"visitor":{"number":5}`),
	},
	"names have states of their own": {
		of("updated_client", `,"client_id":1`), of("changed_client_company", `,"client_id":1`), repeat, of("updated_client", `,"client_id":1`),
	},
	"deals": {
		of("created_deal", `,"deal_id":1,"title":"a"`), repeat, of("created_deal", `,"deal_id":1,"title":"b"`), of("created_deal", `,"deal_id":2,"title":"a"`),
		of("updated_deal", `,"deal_id":1,"title":"a"`), of("updated_deal", `,"deal_id":1,"title":"b"`), of("updated_deal", `,"deal_id":1,"title":"a"`),
		of("deleted_deal", `,"deal_id":1`), repeat, of("deleted_deal", `,"deal_id":1`), repeat, of("updated_deal", `,"deal_id":1,"title":"a"`),
	},
	"tasks of one client": {
		of("completed task", `,"task_id":1,"client":{"client_id":1}`), of("completed_task", `,"task_id":2,"client":{"client_id":1}`),
		of("created_task", `,"task_id":1`), repeat, of("created_task", `,"task_id":1,"text":"x"`), of("fired_task", `,"task_id":1`),
	},
	"clients": {
		of("created_client", `,"client_id":1`), repeat, of("created_client", `,"client_id":1,"name":"x"`), of("deleted_client", `,"client_id":1`), repeat, of("created_client", `,"client_id":1`),
	},
	"dictionaries": {
		of("created_status", `,"status_id":1`), of("created_client_tag", `,"tag_id":1`), of("created_pipeline", `,"pipeline_id":1`), of("created_organization", `,"organization_id":1`),
		of("created_organization", `,"organization_id":2`), repeat, of("created_organization", `,"organization_id":"1"`),
		of("merged_tag", `,"tag":{"tag_id":1}`), of("merged_client_tag", `,"tag":{"tag_id":2}`),
		of("updated_status", `,"status_id":1,"title":"a"`), of("updated_status", `,"status_id":2,"title":"a"`), repeat, of("updated_status", `,"status_id":1,"title":"a"`),
		of("assigned_status", `,"status":{"status_id":1},"client":{"client_id":1}`), of("assigned_status", `,"status":{"status_id":1},"client":{"client_id":2}`),
		of("changed_administrator_only_client_tag", `,"enabled":1`), of("changed_administrator_only_client_tag", `,"enabled":0`), of("changed_administrator_only_client_tag", `,"enabled":1`),
	},
	"of a key given twice the last counts": {
		of("chat_updated", `,"chat_id":1,"visitor":{"name":"a"},"visitor":{"name":"b"}`), repeat, of("chat_updated", `,"chat_id":1,"visitor":{"name":"b"}`),
		of("chat_updated", `,"chat_id":1,"visitor":{"name":"a"}`),
	},
	"what has no id is compared with the latest of its name": {
		of("chat_accepted", `,"visitor":{"name":"a"}`), repeat, of("chat_accepted", `,"visitor":{"name":"a"}`), of("chat_accepted", `,"visitor":{"name":"b"}`),
		of("created_client", `,"name":"a"`), repeat, of("created_client", `,"name":"a"`), of("created_client", `,"name":"b"`),
	},
	"unknown names are never repeats": {
		of("chat_started", `,"chat_id":1`), of("chat_started", `,"chat_id":1`), `{}`, `{}`,
	},
	"ids cannot imitate one another": {
		accepted(`"1|2"`, `"3"`), accepted(`"1"`, `"2|3"`), accepted(`"1%7C2"`, `"3"`),
	},
}

func TestDedup_Stories(t *testing.T) {
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			j, want := journal{}, false
			for i, body := range story {
				if body == repeat {
					want = true
					continue
				}
				if got := j.repeat(t, body); got != want {
					t.Errorf("%d: %s: repeat %v, want %v", i, body, got, want)
				}
				want = false
			}
		})
	}
}

func TestDedup_EveryKnownNameHasAKey(t *testing.T) {
	for _, kind := range Kinds() {
		if d := decode(t, `{"event_name":"`+kind+`"}`).Dedup(); d.Key == "" || d.Value == "" {
			t.Errorf("%s: %+v", kind, d)
		}
	}
}

func TestDedup_KeysHoldNoPersonalData(t *testing.T) {
	everyBody(t, func(name string, body []byte) {
		d := decode(t, string(body)).Dedup()
		for _, private := range []string{"@", "+1", "John", "Thomas", "http", "Message"} {
			if strings.Contains(d.Key+d.Value+d.Clear, private) {
				t.Errorf("%s: %+v", name, d)
			}
		}
	})
}
