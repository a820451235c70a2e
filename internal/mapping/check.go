package mapping

import (
	"slices"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/duration"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// defaultDue is when a task without `due:` is due.
const defaultDue = 24 * time.Hour

func contactFinders() []string { return []string{"client", "phone", "email"} }

func leadFinders() []string { return []string{"chat", "open", "open_any", "recent", "deal"} }

// rule compiles one rule for the given events. With problems the result is
// incomplete and never used.
func (c *compiler) rule(r *Rule, kinds []string) *rule {
	if len(kinds) == 0 {
		return nil // every name would be unknown
	}
	sc := c.scope(kinds)
	out := &rule{name: strings.TrimSpace(r.Name.Value), stop: r.Stop, when: c.when(r.When, sc)}
	if r.Contact != nil {
		out.contact = c.contact(r.Contact, sc)
	}
	if r.Lead != nil {
		out.lead = c.lead(r.Lead, sc)
	}
	if r.Note != nil {
		out.note = c.note(r.Note, sc)
	}
	if r.Task != nil {
		out.task = c.task(r.Task, sc)
	}
	if r.Call != nil {
		out.call = c.call(r.Call, sc)
	}
	if r.Contact == nil && r.Lead == nil && r.Note == nil && r.Task == nil && r.Call == nil && !r.Stop {
		c.problem(r.Line, r.Col, "rule %q does nothing: give it contact, lead, note, task, call or stop", r.Name.Value)
	}
	return out
}

func (c *compiler) when(t Text, sc *scope) *expression {
	src := strings.TrimSpace(t.Value)
	if src == "" {
		if t.Set {
			c.problemAt(t, 0, "`when:` is empty: write an expression, or leave the key out")
		}
		return nil
	}
	if strings.HasPrefix(src, "{{") {
		c.problemAt(t, 0, "`when` is an expression already: write it without {{ }}")
		return nil
	}
	x, faults := c.compileExpression(t.Value, sc, false, true)
	for _, f := range faults {
		c.problemAt(t, f.at, "when: %s", f.msg)
	}
	c.checkCalls(t, x, sc, "when")
	return x
}

// checkCalls refuses functions that are always empty for the rule's events.
func (c *compiler) checkCalls(t Text, x *expression, sc *scope, field string) {
	if x != nil && x.calls["transcript"] && !slices.Contains(sc.kinds, "chat_finished") {
		c.problemAt(t, 0, "%s: transcript() is of chat_finished, which `on` does not list", field)
	}
}

func (c *compiler) contact(b *ContactBlock, sc *scope) *contactPart {
	return &contactPart{
		want:        want{by: c.finders(b.Find, contactFinders(), "contact.find"), create: b.Create},
		update:      c.mode(b.Update, "contact.update"),
		name:        c.template(b.Name, sc, "contact.name", true),
		phone:       c.template(b.Phone, sc, "contact.phone", true),
		email:       c.template(b.Email, sc, "contact.email", true),
		company:     c.template(b.Company, sc, "contact.company", true),
		responsible: c.template(b.Responsible, sc, "contact.responsible", true),
		tags:        c.templates(b.Tags, sc, "contact.tags"),
		tagsRemove:  c.templates(b.TagsRemove, sc, "contact.tags_remove"),
		fields:      c.fields(b.Fields, sc, "contact.fields"),
	}
}

func (c *compiler) lead(b *LeadBlock, sc *scope) *leadPart {
	find, recent := c.recent(b.Find)
	return &leadPart{
		want:        want{by: c.finders(find, leadFinders(), "lead.find"), recent: recent, create: b.Create},
		update:      c.mode(b.Update, "lead.update"),
		pipeline:    c.template(b.Pipeline, sc, "lead.pipeline", false),
		stage:       c.template(b.Stage, sc, "lead.stage", true),
		name:        c.template(b.Name, sc, "lead.name", true),
		price:       c.template(b.Price, sc, "lead.price", true),
		responsible: c.template(b.Responsible, sc, "lead.responsible", true),
		loss:        c.template(b.LossReason, sc, "lead.loss_reason", true),
		tags:        c.templates(b.Tags, sc, "lead.tags"),
		tagsRemove:  c.templates(b.TagsRemove, sc, "lead.tags_remove"),
		fields:      c.fields(b.Fields, sc, "lead.fields"),
	}
}

// recent takes the duration off `recent: 7d`.
func (c *compiler) recent(find []Text) ([]Text, time.Duration) {
	var limit time.Duration
	out := slices.Clone(find)
	for i, f := range out {
		name, value, given := strings.Cut(f.Value, ":")
		if strings.TrimSpace(name) != "recent" {
			continue
		}
		out[i].Value = "recent"
		d, ok := duration.Parse(strings.TrimSpace(value))
		switch {
		case !given || strings.TrimSpace(value) == "":
			c.problemAt(f, 0, "lead.find: say how recent, as in `recent: 7d`")
		case !ok || d <= 0:
			c.problemAt(f, 0, "lead.find: %q is no duration, as in `recent: 7d`", strings.TrimSpace(value))
		}
		limit = d
	}
	return out, limit
}

func (c *compiler) finders(find []Text, known []string, field string) []string {
	var out []string
	for _, f := range find {
		name := strings.TrimSpace(f.Value)
		switch {
		case !slices.Contains(known, name):
			c.problemAt(f, 0, "%s: there is no finder %q%s (known: %s)", field, name,
				didYouMean(name, known), strings.Join(known, ", "))
		case slices.Contains(out, name):
			c.problemAt(f, 0, "%s: %q is listed twice", field, name)
		default:
			out = append(out, name)
		}
	}
	return out
}

func (c *compiler) mode(t Text, field string) event.Mode {
	return event.Mode(c.oneOf(t, field, string(event.Fill), string(event.Overwrite), string(event.Never)))
}

func (c *compiler) to(t Text, field string) string {
	if to := c.oneOf(t, field, "lead", "contact"); to != "" {
		return to
	}
	return "lead"
}

// oneOf checks a word of a closed set; an absent one is "".
func (c *compiler) oneOf(t Text, field string, known ...string) string {
	word := strings.TrimSpace(t.Value)
	if word == "" || slices.Contains(known, word) {
		return word
	}
	c.problemAt(t, 0, "%s: %q is none of %s%s", field, word, strings.Join(known, ", "), didYouMean(word, known))
	return ""
}

func (c *compiler) templates(list []Text, sc *scope, field string) []*template {
	var out []*template
	for _, t := range list {
		if compiled := c.template(t, sc, field, true); compiled != nil {
			out = append(out, compiled)
		}
	}
	return out
}

func (c *compiler) fields(list []Field, sc *scope, field string) []fieldPart {
	var out []fieldPart
	for _, f := range list {
		key := strings.TrimSpace(f.Key.Value)
		switch {
		case strings.TrimPrefix(key, "?") == "":
			c.problemAt(f.Key, 0, "%s: a field needs a name, code or id", field)
			continue
		case slices.ContainsFunc(out, func(o fieldPart) bool { return o.key == key }):
			c.problemAt(f.Key, 0, "%s: %q is listed twice", field, key)
			continue
		}
		out = append(out, fieldPart{key: key, value: c.template(f.Value, sc, field+"."+key, true)})
	}
	return out
}

func (c *compiler) note(b *NoteBlock, sc *scope) *notePart {
	if strings.TrimSpace(b.Text.Value) == "" {
		line, col := place(b.Text, b.Line, b.Col)
		c.problem(line, col, "note.text: a note needs a text")
	}
	n := &notePart{to: c.to(b.To, "note.to"), text: c.template(b.Text, sc, "note.text", true)}
	n.service = n.text.calls("transcript", "origin")
	return n
}

func (c *compiler) task(b *TaskBlock, sc *scope) *taskPart {
	if strings.TrimSpace(b.Text.Value) == "" {
		line, col := place(b.Text, b.Line, b.Col)
		c.problem(line, col, "task.text: a task needs a text")
	}
	due := defaultDue
	if v := strings.TrimSpace(b.Due.Value); v != "" {
		d, ok := duration.Parse(v)
		if !ok {
			c.problemAt(b.Due, 0, "task.due: %q is no duration, as in 1h or 2d", v)
		}
		due = d
	}
	return &taskPart{
		to: c.to(b.To, "task.to"), text: c.template(b.Text, sc, "task.text", true), due: due, once: b.Once,
		responsible: c.template(b.Responsible, sc, "task.responsible", true),
	}
}

func (c *compiler) call(b *CallBlock, sc *scope) *callPart {
	if !slices.Contains(sc.kinds, "call_event") {
		c.problem(b.Line, b.Col, "call: only call_event is a call, and `on` does not list it")
	}
	return &callPart{to: c.to(b.To, "call.to")}
}

// place is where t stands, or its block if t is absent.
func place(t Text, line, col int) (int, int) {
	if t.Line > 0 {
		return t.Line, t.Col
	}
	return line, col
}
