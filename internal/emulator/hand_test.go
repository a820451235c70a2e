package emulator

import (
	"strconv"
	"testing"
)

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
	if status, _ := c.do("PATCH", "/api/v4/leads", `[{"id":`+strconv.FormatInt(lead, 10)+`,"responsible_user_id":9002}]`); status != 400 {
		t.Errorf("removed user = %d", status)
	}
}
