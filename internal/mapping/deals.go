package mapping

import (
	"fmt"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// findDeal looks for the deal's lead, else adopts one made from a chat, else
// makes one; the contact is made from what is known of the client, if
// anything is.
func findDeal(p *Program, in *Input) (contact, lead *event.Find) {
	c := in.client()
	phones, emails := Contacts(in, p.env.Region)
	contact = &event.Find{
		By:     []string{"client", "phone", "email"},
		Create: c.Described || c.Name != "" || len(phones) > 0 || len(emails) > 0,
	}
	return contact, &event.Find{By: []string{"deal", "adopt"}, Create: true}
}

func findDeletedDeal(*Program, *Input) (contact, lead *event.Find) {
	return nil, &event.Find{By: []string{"deal"}, Linked: true}
}

// deal is what created_deal and updated_deal want: the whole deal at first
// sight (written under fill, should the lead be there), afterwards only what
// changed in Jivo. A late one leaves the lead as a newer event says; its text is
// still a note, for nobody else brings it.
func (s *session) deal() event.Desired {
	f := s.in.Fields
	d := event.Desired{Lead: &event.Entity{Update: event.Fill}}
	agent := s.agent(f["assigned_agent"])
	if !s.in.Late || s.crm.Lead.ID == "" {
		s.dealLead(&d, agent)
	}
	if text := lines(str(f, "text")); text != "" && (s.in.Last == nil || str(f, "text") != str(s.in.Last, "text")) {
		d.Notes = append(d.Notes, event.Note{Key: builtinPrefix + "deals", To: "lead", Text: text})
	}
	d.Contact = s.dealContact(agent)
	return d
}

// dealLead sets what a deal says of its lead.
func (s *session) dealLead(d *event.Desired, agent string) {
	f, last, e := s.in.Fields, s.in.Last, d.Lead
	if s.crm.Lead.ID == "" {
		last = nil // a new lead takes everything
	}
	differs := func(path ...string) bool { return last == nil || str(f, path...) != str(last, path...) }

	if differs("title") {
		e.Name = line(str(f, "title"))
	}
	if n := num(f, "amount"); n != 0 && differs("amount") {
		e.Price = number(n)
	}
	if last == nil || agent != s.agent(last["assigned_agent"]) {
		e.Responsible = agent
	}
	if differs("pipeline", "pipeline_id") || differs("pipeline", "pipeline_status", "pipeline_status_id") ||
		differs("pipeline", "pipeline_reject_reason", "pipeline_reject_reason_id") {
		s.stage(d)
	}
	if last != nil {
		for _, c := range []struct{ name, value string }{
			{"name", e.Name}, {"price", e.Price}, {"responsible", e.Responsible}, {"stage", e.Stage}, {"loss_reason", e.LossReason},
		} {
			if c.value != "" {
				e.Changed = append(e.Changed, c.name)
			}
		}
	}
	if e.Name == "" && s.crm.Lead.ID == "" {
		e.Name = s.p.texts.dealName + ": " + firstOf(line(s.in.client().Name), id(f, "deal_id"))
	}
}

// dealContact is the contact of a deal's client.
func (s *session) dealContact(agent string) *event.Entity {
	if s.plan.Contact == nil || !s.plan.Contact.Create {
		return nil
	}
	c := s.in.client()
	e := &event.Entity{
		Update: event.Fill, Name: line(c.Name), Company: line(c.Company),
		Responsible: firstOf(c.Responsible.Email, c.Responsible.ID, agent),
	}
	if e.Name == "" && s.crm.Contact.ID == "" {
		e.Name = s.p.texts.visitor + " " + firstOf(c.ID, id(s.in.Fields, "client", "client_id"))
	}
	return e
}

// stage sets where the deal stands: by deals.stages, else by equal titles,
// else by how it ended, else nothing, with a warning, which leaves a new lead
// in its pipeline's first stage (product.md §7).
func (s *session) stage(d *event.Desired) {
	pipelineID := id(s.in.Fields, "pipeline", "pipeline_id")
	stageID := id(s.in.Fields, "pipeline", "pipeline_status", "pipeline_status_id")
	reasonID := id(s.in.Fields, "pipeline", "pipeline_reject_reason", "pipeline_reject_reason_id")
	names := s.in.names()
	pipeline, stage, final := names.Stage(pipelineID, stageID)
	lead := d.Lead
	if final == "unsuccessful" {
		lead.LossReason = line(names.RejectReason(pipelineID, reasonID))
	}
	to, mapped := s.p.env.Stages[stageID]
	if !mapped && pipeline != "" {
		to, mapped = s.p.env.Stages[pipeline+" / "+stage]
	}
	has := func(stage string) bool { return s.in.HasStage == nil || s.in.HasStage(pipeline, stage) }
	// A found lead that is won or lost stays in its own pipeline.
	home := ""
	if s.crm.Lead.ID == "" && pipeline != "" && has("") {
		home = line(pipeline)
	}
	switch {
	case mapped && stageID != "":
		lead.Pipeline, lead.Stage = to.Pipeline, to.Stage
	case stage != "" && has(stage) && (final == "" || s.in.HasStage != nil):
		lead.Pipeline, lead.Stage = line(pipeline), line(stage)
	case final == "successful":
		lead.Pipeline, lead.Stage = home, "won"
	case final == "unsuccessful":
		lead.Pipeline, lead.Stage = home, "lost"
	case stageID != "":
		lead.Pipeline = home
		d.Warnings = append(d.Warnings, fmt.Sprintf(
			"Jivo stage %s has no stage of its name in amoCRM: name one under deals.stages", stageID))
	}
}

func (s *session) deletedDeal() event.Desired {
	if s.crm.Lead.ID == "" {
		return event.Desired{}
	}
	return event.Desired{
		Lead:  &event.Entity{Update: event.Fill, Tags: []string{s.p.texts.dealDeleted}},
		Notes: []event.Note{{Key: builtinPrefix + "deals", To: "lead", Text: s.p.texts.dealNote}},
	}
}

// findTask looks for what a task stands on: its deal's lead, or the contact.
func findTask(_ *Program, in *Input) (contact, lead *event.Find) {
	contact = &event.Find{By: []string{"client", "phone", "email"}}
	if id(in.Fields, "deal", "deal_id") != "" {
		lead = &event.Find{By: []string{"deal"}, Linked: true}
	}
	return contact, lead
}

// task follows one Jivo task.
func (s *session) task() event.Desired {
	f := s.in.Fields
	if s.in.Late && s.in.Linked { // the task is as a newer event says
		return event.Desired{}
	}
	t := event.TaskChange{
		Key: builtinPrefix + "tasks", Op: event.TaskCreate, To: "contact",
		Jivo: id(f, "task_id"), Deal: id(f, "deal", "deal_id"),
		Text: lines(str(f, "text")), Responsible: s.agent(f["agent"]),
	}
	if t.Deal != "" {
		t.To = "lead"
	}
	if t.Text == "" {
		t.Text = s.p.texts.taskText
	}
	if at := int64(num(f, "notify_ts")); at > 0 {
		t.Due = time.Unix(at, 0).UTC()
	} else {
		t.DueIn = defaultDue
	}
	switch s.in.Kind {
	case "completed_task":
		t.Op = event.TaskComplete
	case "deleted_task":
		t.Op, t.Result = event.TaskComplete, s.p.texts.taskDeleted
	default:
		if s.in.Linked {
			t.Op = event.TaskChanged
		}
	}
	return event.Desired{Tasks: []event.TaskChange{t}}
}
