package mapping

import (
	"slices"

	"github.com/expr-lang/expr/types"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// ReplyItem is one line of `reply.custom_data`: templates that see lead,
// contact, task, changes and the event (product.md §6).
type ReplyItem struct{ Title, Content, Link, Key Text }

// ReplyView is what they see of the card, in people's words.
type ReplyView struct {
	Lead    map[string]string // id, name, url, pipeline, stage, since, price, responsible, last_in
	Contact map[string]string // id, name, url, responsible
	Task    map[string]string // text, due, responsible
	Changes []string
}

// Line is one rendered line; one without a content is not shown.
type Line struct{ Title, Content, Link, Key string }

// Replies are the compiled lines of one connection. They are immutable and safe
// for concurrent use.
type Replies struct {
	program *Program
	items   []replyItem
}

type replyItem struct{ title, content, link, key *template }

// replyKinds are the events whose answer an operator sees (product.md §6).
func replyKinds() []string { return []string{"chat_accepted", "chat_updated"} }

func replyNames() map[string][]string {
	return map[string][]string{
		"lead":    {"id", "name", "url", "pipeline", "stage", "since", "price", "responsible", "last_in"},
		"contact": {"id", "name", "url", "responsible"},
		"task":    {"text", "due", "responsible"},
	}
}

// CompileReply checks and compiles the lines of a reply. It returns every
// problem in one go; Replies are nil if there is any.
func CompileReply(items []ReplyItem, env Env) (*Replies, []Problem) {
	c := &compiler{env: &env, scopes: map[string]*scope{}}
	sc := newScope(slices.DeleteFunc(replyKinds(), func(k string) bool { return env.Schema(k) == nil }), &env)
	delete(sc.after, "crm")
	for object, names := range replyNames() {
		m := types.Map{}
		for _, n := range names {
			m[n] = types.String
		}
		sc.after[object] = m
	}
	sc.after["changes"] = types.Array(types.String)
	t := textsIn(env.Language)
	r := &Replies{program: &Program{env: env, texts: t, print: printer{dateTime: t.dateTime}}}
	for _, it := range items {
		r.items = append(r.items, replyItem{
			title: c.template(it.Title, sc, "title", true), content: c.template(it.Content, sc, "content", true),
			link: c.template(it.Link, sc, "link", true), key: c.template(it.Key, sc, "key", true),
		})
	}
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return r, nil
}

// Render gives the lines for one event. What fails in a line leaves that part
// of it out.
func (r *Replies) Render(in *Input, v ReplyView) []Line {
	s := r.program.session(in, event.Plan{}, &event.CRM{})
	s.more = map[string]any{"changes": texted(v.Changes)}
	for object, m := range map[string]map[string]string{"lead": v.Lead, "contact": v.Contact, "task": v.Task} {
		o := event.Object{}
		for _, n := range replyNames()[object] {
			o[n] = m[n]
		}
		s.more[object] = o
	}
	out := make([]Line, 0, len(r.items))
	for _, it := range r.items {
		out = append(out, Line{
			Title: s.text("reply", it.title), Content: s.text("reply", it.content), Link: s.text("reply", it.link), Key: s.text("reply", it.key),
		})
	}
	return out
}

func texted(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
