package mapping

import (
	"slices"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/phone"
)

// apply adds a matching rule's part (product.md › Reading order): a scalar wins
// over earlier ones unless it comes out empty, fields are merged one by one,
// tags united; notes, tasks and calls stand beside each other.
func (s *session) apply(r *rule, d *event.Desired) {
	if r.contact != nil && d.Contact != nil {
		s.applyContact(r, d.Contact)
	}
	if r.lead != nil && d.Lead != nil {
		s.applyLead(r, d.Lead)
	}
	if r.note != nil {
		if text := lines(s.text(r.name, r.note.text)); text != "" {
			n := event.Note{Key: r.name, To: r.note.to, Text: text, Chat: id(s.in.Fields, "chat_id")}
			if r.note.service {
				n.Service = service
			}
			d.Notes = append(d.Notes, n)
		}
	}
	if r.task != nil {
		if text := lines(s.text(r.name, r.task.text)); text != "" {
			d.Tasks = append(d.Tasks, event.TaskChange{
				Key: r.name, Op: event.TaskCreate, To: r.task.to, Text: text, DueIn: r.task.due, Once: r.task.once,
				Responsible: line(s.text(r.name, r.task.responsible)),
			})
		}
	}
	if r.call != nil && s.in.Call != nil {
		d.Calls = append(d.Calls, s.call(r))
	}
}

// call completes the call delivery has put together.
func (s *session) call(r *rule) event.Call {
	c := *s.in.Call
	c.Key, c.To = r.name, r.call.to
	if c.Incoming && c.Status == "error" && !c.Answered && !c.LateAsset && c.CallBack == "" {
		c.CallBack = s.p.texts.callBack
		if c.Phone != "" {
			c.CallBack += ": " + line(c.Phone)
		}
	}
	return c
}

func (s *session) applyContact(r *rule, e *event.Entity) {
	p := r.contact
	s.applyShared(r, e, p.update, p.name, p.responsible, p.tags, p.tagsRemove, p.fields)
	set(&e.Company, line(s.text(r.name, p.company)))
	var phones, emails []string
	for _, raw := range s.list(r.name, p.phone) {
		phones = appendNew(phones, phone.Soft(raw, s.p.env.Region))
	}
	for _, raw := range s.list(r.name, p.email) {
		emails = appendNew(emails, phone.Email(raw))
	}
	if len(phones) > 0 {
		e.Phones = phones
	}
	if len(emails) > 0 {
		e.Emails = emails
	}
}

func (s *session) applyLead(r *rule, e *event.Entity) {
	p := r.lead
	s.applyShared(r, e, p.update, p.name, p.responsible, p.tags, p.tagsRemove, p.fields)
	set(&e.Pipeline, line(s.text(r.name, p.pipeline)))
	set(&e.Stage, line(s.text(r.name, p.stage)))
	set(&e.LossReason, line(s.text(r.name, p.loss)))
	if price := line(s.text(r.name, p.price)); price != "0" { // 0 is amoCRM's empty price
		set(&e.Price, price)
	}
}

// applyShared is what contact and lead blocks share.
func (s *session) applyShared(r *rule, e *event.Entity, update event.Mode, name, responsible *template, tags, remove []*template, fields []fieldPart) {
	if update != "" {
		e.Update = update
	}
	set(&e.Name, line(s.text(r.name, name)))
	set(&e.Responsible, line(s.text(r.name, responsible)))
	for _, t := range tags {
		for _, tag := range s.list(r.name, t) {
			e.Tags = appendNew(e.Tags, line(tag))
		}
	}
	for _, t := range remove {
		for _, tag := range s.list(r.name, t) {
			e.TagsRemove = appendNew(e.TagsRemove, line(tag))
		}
	}
	for _, f := range fields {
		if v := lines(s.text(r.name, f.value)); v != "" {
			setField(e, f.key, v)
		}
	}
}

// set overwrites dst unless v is empty.
func set(dst *string, v string) {
	if v != "" {
		*dst = v
	}
}

// under puts a built-in's part under the rules' part: rules add to it and
// never replace it (product.md §7), so its own values stand.
func under(rules, own *event.Entity) *event.Entity {
	switch {
	case own == nil:
		return rules
	case rules == nil:
		return own
	}
	out := *rules
	set((*string)(&out.Update), string(own.Update))
	set(&out.Name, own.Name)
	set(&out.Company, own.Company)
	set(&out.Price, own.Price)
	if own.Stage != "" { // a stage is one of its pipeline
		out.Stage, out.Pipeline = own.Stage, own.Pipeline
	} else {
		set(&out.Pipeline, own.Pipeline)
	}
	set(&out.LossReason, own.LossReason)
	set(&out.Responsible, own.Responsible)
	out.Phones = union(own.Phones, rules.Phones)
	out.Emails = union(own.Emails, rules.Emails)
	out.Tags = union(own.Tags, rules.Tags)
	out.TagsRemove = union(own.TagsRemove, rules.TagsRemove)
	out.Changed = union(own.Changed, rules.Changed)
	for k, v := range own.Fields {
		setField(&out, k, v)
	}
	return &out
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		out = appendNew(out, s)
	}
	return out
}
