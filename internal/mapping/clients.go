package mapping

import (
	"slices"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/phone"
)

// findLinked is the search of the CRM stream's client events: only the linked
// contact counts, an unlinked client is merely remembered.
func findLinked(*Program, *Input) (contact, lead *event.Find) {
	return &event.Find{By: []string{"client"}, Linked: true}, nil
}

// person is what an event says of a client, in whichever stream's spelling
// (jivo-webhooks.md §b row 25).
type person struct {
	name, company, responsible string
	tags, phones, emails       []string
}

func (s *session) person(o event.Object) person {
	if c, ok := o["client"].(event.Object); ok && len(few(c, "contacts")) > 0 {
		o = c // assigned_status
	}
	names := s.in.names()
	p := person{
		name:        line(firstOf(str(o, "visitor", "name"), str(o, "name"))),
		company:     line(str(o, "organization", "name")),
		responsible: s.agent(o["assigned_agent"]),
	}
	if p.company == "" {
		p.company = line(names.Organization(firstOf(id(o, "organization", "organization_id"), id(o, "organization", "id"))))
	}
	for _, t := range few(o, "tags") {
		p.tags = appendNew(p.tags, line(firstOf(names.Tag(tagID(t)), str(t, "title"))))
	}
	p.phones = appendNew(nil, phone.Soft(str(o, "visitor", "phone"), s.p.env.Region))
	p.emails = appendNew(nil, phone.Email(str(o, "visitor", "email")))
	for _, c := range few(o, "contacts") {
		sortContact(c,
			func(raw string) { p.phones = appendNew(p.phones, phone.Soft(raw, s.p.env.Region)) },
			func(raw string) { p.emails = appendNew(p.emails, phone.Email(raw)) })
	}
	return p
}

// toldTags are a client's tags by the names the event itself told, so that one
// renamed or merged since counts as changed.
func (s *session) toldTags(o event.Object) (tags []string) {
	for _, t := range few(o, "tags") {
		tags = appendNew(tags, line(firstOf(str(t, "title"), s.in.names().Tag(tagID(t)))))
	}
	return tags
}

func tagID(tag event.Object) string { return firstOf(id(tag, "tag_id"), id(tag, "id")) }

// agent names an agent as `agents` of the config may: by e-mail where some
// channel event told it, else by id.
func (s *session) agent(v any) string {
	o, ok := v.(event.Object)
	if !ok {
		return ""
	}
	if email := phone.Email(str(o, "email")); email != "" {
		return email
	}
	number := firstOf(id(o, "assigned_agent_id"), id(o, "agent_id"), id(o, "id"))
	if number == "" {
		return ""
	}
	return firstOf(phone.Email(s.in.names().Agent(number).Email), number)
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// crmClient fills the linked contact from a whole client of the CRM stream.
// Two of the kinds say by their name what has changed, even at first sight.
func (s *session) crmClient() event.Desired {
	now := s.person(s.in.Fields)
	e := &event.Entity{
		Update: event.Fill, Name: now.name, Company: now.company, Responsible: now.responsible,
		Phones: now.phones, Emails: now.emails,
	}
	switch s.in.Kind {
	case "assigned_agent_to_client":
		e.Changed = []string{"responsible"}
	case "changed_client_company":
		e.Changed = []string{"company"}
	}
	s.changes(e, now)
	return event.Desired{Contact: e}
}

// changes compares a client with the last state Jivo sent: what changed there
// is written even over a manager's value; tags only when they changed. What was
// never told before has not changed. A contact that is made takes all tags.
func (s *session) changes(e *event.Entity, now person) {
	last := s.in.Last
	switch {
	case s.crm.Contact.ID == "" && s.plan.Contact.Create:
		e.Tags = union(e.Tags, now.tags)
		return
	case last == nil:
		return
	}
	was := s.person(last)
	was.tags = s.toldTags(last)
	for _, f := range []struct{ name, was, now, told string }{
		{"name", was.name, now.name, "visitor"}, {"name", was.name, now.name, "name"},
		{"company", was.company, now.company, "organization"}, {"responsible", was.responsible, now.responsible, "assigned_agent"},
	} {
		if _, told := last[f.told]; told && f.was != f.now && f.now != "" {
			e.Changed = appendNew(e.Changed, f.name)
		}
	}
	for _, t := range now.tags {
		if !slices.Contains(was.tags, t) {
			e.Tags = appendNew(e.Tags, t)
		}
	}
	for _, t := range was.tags {
		if !slices.Contains(now.tags, t) {
			e.TagsRemove = appendNew(e.TagsRemove, t)
		}
	}
}

// channelClient corrects what rules made of client_updated: company,
// responsible and tags are written at creation, and later when they changed in
// Jivo (product.md §7).
func (s *session) channelClient(e *event.Entity) {
	if s.in.Kind != "client_updated" || s.crm.Contact.ID == "" {
		return
	}
	now := s.person(s.in.Fields)
	e.Tags = slices.DeleteFunc(e.Tags, func(t string) bool { return slices.Contains(now.tags, t) })
	s.changes(e, now)
	if !s.in.Known {
		e.Changed = nil // the first sight of this contact, however long the client is known
	}
}

// blacklist puts the tag on or takes it off, in whatever language the connection
// spoke when it was put on.
func (s *session) blacklist() event.Desired {
	since, until := num(s.in.Fields, "blacklist", "block_datetime_ts"), num(s.in.Fields, "blacklist", "unblock_datetime_ts")
	e := &event.Entity{Update: event.Fill}
	if since > 0 && (until == 0 || until > since) {
		e.Tags = []string{s.p.texts.blacklisted}
	} else {
		for _, t := range []*texts{s.p.texts, russian(), english(), portuguese(), spanish()} {
			e.TagsRemove = appendNew(e.TagsRemove, t.blacklisted)
		}
	}
	return event.Desired{Contact: e}
}

func (s *session) deletedClient() event.Desired {
	return event.Desired{Contact: &event.Entity{Update: event.Fill, Tags: []string{s.p.texts.clientDeleted}}}
}

// category writes the client's category into the contact field made for it, if
// the account has one.
func (s *session) category() event.Desired {
	title := line(firstOf(str(s.in.Fields, "status", "title"), s.in.names().Category(id(s.in.Fields, "status", "status_id"))))
	e := &event.Entity{Update: event.Overwrite}
	setSoft(e, s.p.texts.category, title)
	setSoft(e, russian().category, title) // its name in product.md §7, whatever the language
	return event.Desired{Contact: e}
}

// clientAttributes writes attributes into contact fields of the same name.
func (s *session) clientAttributes() event.Desired {
	e := &event.Entity{Update: event.Overwrite}
	for k, v := range objectOr(s.in.Fields["attributes"]) {
		setSoft(e, k, line(s.p.print.text(v)))
	}
	return event.Desired{Contact: e}
}
