package emulator

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// Every body is one JSON object with its event's name and the ids that tie it
// to its visitor and chat (jivo-webhooks.md §a, §c).
func TestVisitor_BodiesAreJivos(t *testing.T) {
	v := NewVisitor(1, 7)
	v.Phone, v.Email = v.Contacts()
	task := JivoTask{ID: 2, Text: "x", Deal: 3, Due: time.Unix(1795000000, 0)}
	bodies := map[string][]byte{
		"chat_accepted": v.Accepted(), "chat_updated": v.Updated("+7", ""), "chat_finished": v.Finished("positive", false),
		"offline_message": v.Offline("x"), "client_updated": v.ClientUpdated(), "client_attribute_updated": v.Attributes(map[string]any{"a": 1}),
		"chat_assigned": v.ChatAssigned("https://demo.amocrm.ru/leads/detail/1"), "call_event": v.Call("incoming", true)[3],
		"created_deal": v.CreatedDeal(Deal{ID: 3}), "updated_deal": v.UpdatedDeal(Deal{ID: 3}), "deleted_deal": v.DeletedDeal(Deal{ID: 3}),
		"created_task": v.CreatedTask(task), "completed_task": v.CompletedTask(task), "created_pipeline": PipelineEvent("created_pipeline"),
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

func TestPlay_EightVisitorsPlayEveryStory(t *testing.T) {
	seen := map[string]bool{}
	phones := map[string]bool{}
	for n := 1; n <= 8; n++ {
		s := Play(1, n, time.Second)
		for _, step := range s.Steps {
			seen[step.Kind] = true
			if step.After < 500*time.Millisecond || step.After > 1500*time.Millisecond || !json.Valid(step.Body) {
				t.Errorf("visitor %d: %s after %v", n, step.Kind, step.After)
			}
		}
		phone, _ := s.Visitor.Contacts()
		phones[lastTen(digits(phone))] = true
	}
	for _, kind := range []string{"chat_accepted", "chat_updated", "chat_finished", "offline_message", "call_event", "client_updated",
		"client_attribute_updated", "created_deal", "updated_deal", "created_task", "completed_task"} {
		if !seen[kind] {
			t.Errorf("nobody plays %s", kind)
		}
	}
	if len(phones) != 8 {
		t.Errorf("%d phones of 8 visitors", len(phones))
	}
	if s := Play(1, 8, time.Second); slices.ContainsFunc(s.Steps, func(s Step) bool { return bytes.Contains(s.Body, []byte("+7916")) }) {
		t.Error("the anonymous visitor is not")
	}
}

func TestHand_TouchesOnlyWhatIs(t *testing.T) {
	c := account(t, Options{})
	lead, err := c.a.CreateLead(NewCard{Edit: Edit{Name: "Рукой", Fields: map[string][]string{"Тип клиента": {"Опт"}}}, PipelineID: 700002})
	if err != nil {
		t.Fatal(err)
	}
	if l, _ := c.a.Lead(lead); l.StatusID != 70000012 || l.Value("Тип клиента") != "Опт" {
		t.Errorf("made by hand: %+v", l)
	}
	if _, err := c.a.CreateContact(NewCard{Edit: Edit{Name: "Иван Петров"}, Phone: "8 999", Email: "a@example.com"}); err != nil {
		t.Fatal(err)
	}
	price := 10.5
	for i, err := range []error{
		c.a.EditLead(lead, Edit{Price: &price}), c.a.DeleteLead(lead), c.a.RestoreLead(lead),
		c.a.RenameStage(700002, StatusWon, "Победа"), c.a.RenamePipeline(700002, "Опт 2"), c.a.MoveLead(lead, StatusWon, 0),
	} {
		if err != nil {
			t.Errorf("deed %d: %v", i, err)
		}
	}
	if l, _ := c.a.Lead(lead); l.Price != 10.5 || l.Deleted || !l.Closed() || l.ClosedAt == 0 {
		t.Errorf("after the deeds: %+v", l)
	}
	if p, s := c.a.StageName(700002, StatusWon); p != "Опт 2" || s != "Победа" {
		t.Errorf("named %s / %s", p, s)
	}
	for name, err := range map[string]error{
		"no lead": c.a.MoveLead(1, 70000003, 0), "no stage": c.a.MoveLead(lead, 70000003, 700002), "no field": c.a.EditLead(lead, Edit{Fields: map[string][]string{"x": {"y"}}}),
		"no contact": c.a.MergeContacts(1, 2), "no task": c.a.CompleteTask(1, ""), "not deleted": c.a.RestoreLead(lead), "no unsorted": c.a.AcceptUnsorted("x", 0),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	c.a.RemoveUser(9002)
	if status, _ := c.do("PATCH", "/api/v4/leads", `[{"id":`+itoa(lead)+`,"responsible_user_id":9002}]`); status != 400 {
		t.Errorf("removed user = %d", status)
	}
}
