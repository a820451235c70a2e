package mapping

import (
	"errors"
	"fmt"
	"slices"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Plan is the first phase: which built-in and which rules match the event, and
// what they want found. The error is a *RuleError: an expression in `when`
// failed, and the event is dead (product.md › Two phases).
func (p *Program) Plan(in *Input) (plan event.Plan, err error) {
	defer recovered(&err)
	s := p.session(in, event.Plan{}, nil)
	plan.Empty = true
	// What a built-in makes itself is never looked for in another way.
	var lockedContact, lockedLead bool
	if b := p.native(in.Kind); b != nil {
		plan.Contact, plan.Lead = b.find(p, in)
		plan.Rules = append(plan.Rules, event.RuleTrace{Rule: builtinPrefix + b.name, Matched: true})
		plan.Empty = false
		lockedLead = plan.Lead != nil
		lockedContact = lockedLead && plan.Lead.Create
	}
	stopped := ""
	for _, r := range p.byKind[in.Kind] {
		trace := event.RuleTrace{Rule: r.name}
		if stopped != "" {
			trace.Why = fmt.Sprintf("rule %q ends the reading", stopped)
			plan.Rules = append(plan.Rules, trace)
			continue
		}
		if trace.Matched, err = s.matches(r); err != nil {
			return event.Plan{}, err
		}
		if !trace.Matched {
			trace.Why = "when is false"
			plan.Rules = append(plan.Rules, trace)
			continue
		}
		plan.Rules = append(plan.Rules, trace)
		plan.Empty = false
		if r.contact != nil {
			plan.Contact = r.contact.onto(plan.Contact, lockedContact, []string{"client", "phone", "email"})
		}
		if r.lead != nil {
			plan.Lead = r.lead.onto(plan.Lead, lockedLead, []string{"chat", "open"})
			if name := line(s.text(r.name, r.lead.pipeline)); name != "" && !lockedLead {
				plan.Lead.Pipeline = name
			}
		}
		if r.stop {
			stopped = r.name
		}
	}
	plan.Warnings = s.warnings
	return plan, nil
}

// recovered turns a panic into a *RuleError, so that one event's trouble stays
// one event's.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = &RuleError{Rule: "?", Field: "?", Err: errors.New("panic")}
	}
}

func (s *session) matches(r *rule) (bool, error) {
	if r.when == nil {
		return true, nil
	}
	v, err := r.when.run(s.env(r.when))
	if err != nil {
		return false, &RuleError{Rule: r.name, Field: "when", Err: err}
	}
	yes, ok := v.(bool)
	if !ok && v != nil {
		return false, &RuleError{Rule: r.name, Field: "when", Err: errors.New("the result is neither true nor false")}
	}
	return yes, nil
}

// onto adds what a block says to what is looked for so far. A block that says
// how to find or create wins over a built-in that would only take the linked
// one; what a built-in makes itself is locked.
func (w want) onto(f *event.Find, locked bool, defaults []string) *event.Find {
	if f == nil {
		f = &event.Find{By: defaults}
	} else if locked {
		return f
	}
	if w.by != nil {
		f.By, f.Recent, f.Linked = slices.Clone(w.by), w.recent, false
	}
	if w.create != nil {
		if *w.create && f.Linked {
			f.By, f.Linked = defaults, false
		}
		f.Create = *w.create
	}
	return f
}

// Desired is the second phase: what the CRM should look like, given what was
// found. plan must be what Plan returned for the same input. A field whose
// expression fails is left out with a warning.
func (p *Program) Desired(in *Input, plan event.Plan, crm event.CRM) (d event.Desired, err error) {
	defer recovered(&err)
	s := p.session(in, plan, &crm)
	if plan.Contact != nil {
		d.Contact = &event.Entity{}
	}
	if plan.Lead != nil {
		d.Lead = &event.Entity{}
	}
	for _, r := range p.byKind[in.Kind] {
		if matched(plan, r.name) {
			s.apply(r, &d)
		}
	}
	if b := p.native(in.Kind); b != nil && matched(plan, builtinPrefix+b.name) {
		part := b.want(s)
		d.Contact = under(d.Contact, part.Contact)
		d.Lead = under(d.Lead, part.Lead)
		d.Notes = append(part.Notes, d.Notes...)
		d.Tasks = append(part.Tasks, d.Tasks...)
		for _, w := range part.Warnings {
			s.warn(w)
		}
	}
	if d.Contact != nil {
		d.Contact.Create = plan.Contact.Create
		s.finishContact(d.Contact)
	}
	if d.Lead != nil {
		d.Lead.Create = plan.Lead.Create
		finish(d.Lead)
	}
	d.Notes = written(append(d.Notes, s.held()...))
	d.Warnings = s.warnings
	return d, nil
}

func matched(plan event.Plan, name string) bool {
	return slices.ContainsFunc(plan.Rules, func(t event.RuleTrace) bool { return t.Rule == name && t.Matched })
}

// finish gives what nobody said its default.
func finish(e *event.Entity) {
	if e.Update == "" {
		e.Update = event.Fill
	}
}

// finishContact adds what is known of the client to a contact that may be
// made by this event: every phone and e-mail, and, at creation, attributes, the
// tags its own events told, and the name if the event gives none.
func (s *session) finishContact(e *event.Entity) {
	finish(e)
	s.channelClient(e)
	if !e.Create {
		return
	}
	phones, emails := Contacts(s.in, s.p.env.Region)
	for _, x := range phones {
		e.Phones = appendNew(e.Phones, x)
	}
	for _, x := range emails {
		e.Emails = appendNew(e.Emails, x)
	}
	if s.crm.Contact.ID != "" {
		return
	}
	for _, t := range s.person(s.in.Told).tags {
		e.Tags = appendNew(e.Tags, t)
	}
	if e.Name == "" || e.Name == s.p.texts.visitor+" "+str(s.in.Fields, "visitor", "number") {
		set(&e.Name, line(s.in.client().Name)) // better than one made up
	}
	for k, v := range s.in.client().Attributes {
		setSoft(e, k, line(v))
	}
}

// setSoft sets a field that the account may lack, unless a rule speaks of it.
func setSoft(e *event.Entity, key, value string) {
	if value == "" || has(e.Fields, key) || has(e.Fields, "?"+key) {
		return
	}
	setField(e, "?"+key, value)
}

func setField(e *event.Entity, key, value string) {
	if e.Fields == nil {
		e.Fields = map[string]string{}
	}
	e.Fields[key] = value
}

// held makes notes of the transcripts of the client's anonymous time, once
// they have a contact.
func (s *session) held() []event.Note {
	if s.plan.Contact == nil || s.crm.Contact.ID == "" && !s.plan.Contact.Create {
		return nil
	}
	var out []event.Note
	for _, h := range s.in.client().Held {
		if text := lines(h.Text); text != "" {
			out = append(out, event.Note{Key: h.Key(), To: "lead", Text: text, Service: service, Chat: h.Chat})
		}
	}
	return out
}

// service is the name that service notes carry in amoCRM.
const service = "Jivo"

// written are the notes that have a text.
func written(notes []event.Note) (out []event.Note) {
	for _, n := range notes {
		if n.Text != "" {
			out = append(out, n)
		}
	}
	return out
}
