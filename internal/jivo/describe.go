package jivo

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/phone"
)

// Describe merges what the event says of the person into the picture of that
// client. Nothing is ever blanked by an empty, null or placeholder value, and
// phones and e-mails are only added; a list of tags that came replaces the one
// before. An event older than the newest that described the client (at, its
// receive time) only fills what is empty. Phones without a country code are
// read as of region.
//
// changed says that the picture differs from before; ReceivedAt alone, which
// moves with every describing event, does not count. described says that the
// event tells who this is: a visitor or client object with any content, not a
// bare client_id. Describing twice changes nothing the second time.
func (m *Message) Describe(c *event.Client, region string, at time.Time) (changed, described bool) {
	if !m.Known {
		return false, false
	}
	p := m.person()
	into := merge{c: c, fresh: !at.Before(c.ReceivedAt)}
	if c.ID == "" {
		c.ID = m.Client
	}
	into.person(p, region)
	if p.described {
		into.changed = into.changed || !c.Described
		c.Described = true
		if at.After(c.ReceivedAt) {
			c.ReceivedAt = at
		}
	}
	if into.changed && at.After(c.UpdatedAt) {
		c.UpdatedAt = at
	}
	return into.changed, p.described
}

// Says reports whether the body has a key, be it null. Fields has every key that
// is documented, whether it came or not.
func (m *Message) Says(path ...string) bool {
	at := int32(0)
	for _, name := range path {
		at = m.tree.find(at, name)
	}
	return at >= 0
}

// merge writes into a picture and remembers whether it changed it.
type merge struct {
	c       *event.Client
	fresh   bool // false: older than the picture
	changed bool
}

func (m *merge) person(p person, region string) {
	c := m.c
	m.set(&c.Name, p.name)
	m.set(&c.Description, p.description)
	m.set(&c.Company, p.company)
	m.set(&c.Category, p.category)
	m.set(&c.Widget, p.widget)
	for _, raw := range p.phones {
		m.add(&c.Phones, phone.Soft(raw, region))
	}
	for _, raw := range p.emails {
		m.add(&c.Emails, phone.Email(raw))
	}
	if p.saysTags && (m.fresh || len(c.Tags) == 0) && !slices.Equal(c.Tags, p.tags) {
		c.Tags, m.changed = p.tags, true
	}
	if p.saysBlacklisted && m.fresh && c.Blacklisted != p.blacklisted {
		c.Blacklisted, m.changed = p.blacklisted, true
	}
	m.responsible(p.responsible)
	for _, name := range slices.Sorted(maps.Keys(p.attributes)) {
		m.attribute(name, p.attributes[name])
	}
}

// set replaces a text unless the new one is empty, or older.
func (m *merge) set(have *string, said string) {
	if said == "" || said == *have || !m.fresh && *have != "" {
		return
	}
	*have, m.changed = said, true
}

func (m *merge) add(have *[]string, said string) {
	if said == "" || slices.Contains(*have, said) {
		return
	}
	*have, m.changed = append(slices.Clip(*have), said), true
}

func (m *merge) attribute(name, said string) {
	have := m.c.Attributes[name]
	m.set(&have, said)
	if have == "" || have == m.c.Attributes[name] {
		return
	}
	if m.c.Attributes == nil {
		m.c.Attributes = map[string]string{}
	}
	m.c.Attributes[name] = have
}

// responsible keeps the e-mail and name of an agent whom the CRM stream
// mentions by id only.
func (m *merge) responsible(said event.Agent) {
	have := &m.c.Responsible
	if said == (event.Agent{}) || !m.fresh && *have != (event.Agent{}) {
		return
	}
	same := said.ID == have.ID || said.ID == "" && said.Email == have.Email
	if !same {
		*have, m.changed = said, true
		return
	}
	m.set(&have.Email, said.Email)
	m.set(&have.Name, said.Name)
}

// person is what one event says of somebody. Phones and e-mails are as given.
type person struct {
	described                                    bool
	name, description, company, category, widget string
	phones, emails, tags                         []string
	saysTags                                     bool // a list came, even an empty one
	blacklisted, saysBlacklisted                 bool
	responsible                                  event.Agent
	attributes                                   map[string]string
}

// person reads what a known event says of its client.
func (m *Message) person() person {
	k := kinds[m.Kind]
	switch {
	case k.stream == channel:
		return m.visitor()
	case k.category == "crm_client":
		return m.client(m.Fields, 0)
	case m.Kind == "assigned_status":
		p := m.client(object(m.Fields, "client"), m.tree.find(0, "client"))
		p.category = firstText(cleanLine(text(m.Fields, "status", "title")), p.category)
		return p
	}
	return person{} // a deal's or task's client is an id, their agent not the client's
}

// visitor reads the channel stream's objects (§a.1).
func (m *Message) visitor() person {
	f := m.Fields
	v := object(f, "visitor")
	p := person{
		described:   hasContent(v) || hasContent(object(f, "extra", "visitor")),
		name:        personName(text(v, "name")),
		description: cleanText(text(v, "description")),
		company:     cleanLine(text(f, "organization", "name")),
		category:    cleanLine(text(f, "status", "title")),
		widget:      text(f, "widget_id"),
		phones:      []string{text(v, "phone")},
		emails:      []string{text(v, "email")},
		responsible: event.Agent{
			ID: text(f, "assigned_agent", "id"), Email: cleanLine(text(f, "assigned_agent", "email")), Name: cleanLine(text(f, "assigned_agent", "name")),
		},
		attributes: attributes(object(f, "attributes")),
	}
	if p.phones[0] == "" && m.Kind == "call_event" {
		p.phones[0] = text(f, "call", "phone")
	}
	p.tags, p.saysTags = m.tags(f, 0)
	if at := m.tree.find(m.tree.find(0, "chat"), "blacklisted"); slices.Contains([]nodeKind{isTrue, isFalse, isNumber}, m.tree.kindAt(at)) {
		p.blacklisted, p.saysBlacklisted = object(f, "chat")["blacklisted"] == true, true
	}
	return p
}

// client reads the CRM stream's client object (§a.4), which stands at a node.
func (m *Message) client(o event.Object, at int32) person {
	p := person{
		described:   saysMoreThanID(o),
		name:        personName(text(o, "name")),
		description: cleanText(text(o, "description")),
		company:     cleanLine(text(o, "organization", "name")),
		category:    cleanLine(text(o, "status", "title")),
		widget:      text(o, "widget", "widget_id"),
		responsible: event.Agent{ID: text(o, "assigned_agent", "assigned_agent_id")},
	}
	for _, contact := range event.Objects(o["contacts"]) {
		value := text(contact, "contact")
		switch kind := normalName(text(contact, "contact_type")); {
		case kind == "email", kind != "phone" && strings.Contains(value, "@"):
			p.emails = append(p.emails, value)
		case kind == "phone", kind == "":
			p.phones = append(p.phones, value)
		}
	}
	p.tags, p.saysTags = m.tags(o, at)
	if b := m.tree.find(at, "blacklist"); b >= 0 && (m.tree.kindAt(b) == isNull || m.tree.kindAt(b) == isObject) {
		p.blacklisted, p.saysBlacklisted = blocked(object(o, "blacklist")), true
	}
	return p
}

// blocked reads a blacklist object. Null means not blocked; an end not after
// the beginning, or an end alone, is how an unblocking looks. The end is not
// compared with the clock: blocking for a term is still blocking.
func blocked(o event.Object) bool {
	from, _ := o["block_datetime_ts"].(int)
	to, _ := o["unblock_datetime_ts"].(int)
	if to != 0 {
		return from != 0 && to > from
	}
	return from != 0 || hasContent(o)
}

// tags returns the titles of a list of tags and whether a usable list came:
// tags whose titles are not said are not known.
func (m *Message) tags(o event.Object, at int32) (titles []string, said bool) {
	if kind := m.tree.kindAt(m.tree.find(at, "tags")); kind != isArray && kind != isObject {
		return nil, false
	}
	list := event.Objects(o["tags"])
	for _, tag := range list {
		if title := cleanLine(text(tag, "title")); title != "" && !slices.Contains(titles, title) {
			titles = append(titles, title)
		}
	}
	return titles, len(titles) > 0 || len(list) == 0
}

// attributes prints client attributes, which are texts or numbers (§a.2).
func attributes(o event.Object) map[string]string {
	out := make(map[string]string, len(o))
	for name, v := range o {
		if value := cleanText(scalar(v)); value != "" {
			out[cleanLine(name)] = value
		}
	}
	return out
}

// saysMoreThanID reports whether a client object has more than its id.
func saysMoreThanID(o event.Object) bool {
	for name, v := range o {
		switch name {
		case "client_id", "event_name", "event_type", "event_timestamp", "extra":
			continue
		}
		if hasContent(v) {
			return true
		}
	}
	return false
}

func hasContent(v any) bool {
	switch v := v.(type) {
	case event.Object:
		for _, inner := range v {
			if hasContent(inner) {
				return true
			}
		}
		return false
	case []any:
		return len(v) > 0
	}
	return v != nil && v != "" && v != 0 && v != 0.0 && v != false
}

// personName returns a name people gave, "" for what stands where none was
// given: "null", "-", or Jivo's own "Клиент 2198".
func personName(raw string) string {
	name := cleanLine(raw)
	word, number, _ := strings.Cut(strings.ToLower(name), " ")
	switch word {
	case "null", "undefined", "none", "n/a":
		if number == "" {
			return ""
		}
	case "visitor", "client", "guest", "посетитель", "клиент", "гость", "visitante", "cliente":
		if strings.Trim(number, "#№0123456789 ") == "" {
			return ""
		}
	}
	if !strings.ContainsFunc(name, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsSymbol(r) }) {
		return ""
	}
	return name
}

// Bounds of texts kept of a person, in runes.
const (
	longestLine = 255
	longestText = 4000
)

// cleanLine makes one line of a text: no control characters, single spaces.
func cleanLine(s string) string {
	return cut(strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " "), longestLine)
}

// cleanText drops control characters other than line ends and tabs.
func cleanText(s string) string {
	return cut(strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)), longestText)
}

func firstText(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
