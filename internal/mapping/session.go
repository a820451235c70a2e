package mapping

import (
	"maps"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/phone"
)

// signatures are the types of the functions a rule may call (product.md ›
// Rules, Language), and of string(), whose own version writes exponents.
// origin() is ours: page, city and source of the visit, for a service note.
func signatures() map[string]any {
	return map[string]any{
		"has_contact": (func() bool)(nil),
		"known":       (func() bool)(nil),
		"has":         (func(any) bool)(nil),
		"lookup":      (func(any, any) string)(nil),
		"phone":       (func(any) string)(nil),
		"transcript":  (func() string)(nil),
		"origin":      (func() string)(nil),
		"local":       (func(any) time.Time)(nil),
		"string":      (func(any) string)(nil),
	}
}

// session is one event on its way through a program: the values its
// expressions see. It is used by one goroutine.
type session struct {
	p    *Program
	in   *Input
	crm  *event.CRM // nil in the first phase
	plan event.Plan

	more     map[string]any // beside the event: the card, in replies
	common   map[string]any
	envs     map[envKey]map[string]any
	warnings []string
}

type envKey struct {
	scope *scope
	after bool
}

func (p *Program) session(in *Input, plan event.Plan, crm *event.CRM) *session {
	return &session{p: p, in: in, plan: plan, crm: crm, envs: map[envKey]map[string]any{}}
}

func (s *session) warn(msg string) { s.warnings = appendNew(s.warnings, msg) }

// env returns the values an expression of this scope sees.
func (s *session) env(x *expression) map[string]any {
	key := envKey{x.scope, x.after}
	if env := s.envs[key]; env != nil {
		return env
	}
	env := make(map[string]any, len(x.scope.after))
	for name, t := range x.scope.union.Fields {
		env[name] = complete(t, s.in.Fields[name])
	}
	maps.Copy(env, s.shared())
	if x.after && s.crm != nil {
		env["crm"] = crmValue(s.crm)
	}
	maps.Copy(env, s.more)
	s.envs[key] = env
	return env
}

// shared are the values and functions every expression has.
func (s *session) shared() map[string]any {
	if s.common != nil {
		return s.common
	}
	print := s.p.print
	s.common = map[string]any{
		"utm":        s.utm(),
		"anonymous":  s.p.env.Anonymous,
		"extra":      objectOr(s.in.Fields["extra"]),
		"attributes": s.attributes(),

		"has_contact": sync.OnceValue(func() bool { return HasContact(s.in, s.p.env.Region) }),
		"known":       func() bool { return s.in.Known },
		"has":         func(v any) bool { return !empty(v) },
		"lookup":      func(table, key any) string { return s.p.env.Tables[print.text(table)][print.text(key)] },
		"phone":       func(v any) string { return phone.Soft(print.text(v), s.p.env.Region) },
		"transcript":  sync.OnceValue(func() string { return s.p.Transcript(s.in) }),
		"origin":      s.origin,
		"local":       s.local,
		"string":      print.text,
	}
	return s.common
}

func objectOr(v any) event.Object {
	if o, ok := v.(event.Object); ok && o != nil {
		return o
	}
	return event.Object{}
}

func crmValue(crm *event.CRM) event.Object {
	c, l := crm.Contact, crm.Lead
	return event.Object{
		"contact": event.Object{"id": c.ID, "name": c.Name, "responsible": c.Responsible},
		"lead": event.Object{
			"id": l.ID, "name": l.Name, "responsible": l.Responsible,
			"pipeline": l.Pipeline, "stage": l.Stage, "price": l.Price,
		},
	}
}

// attributes are the client's, with this event's own over them.
func (s *session) attributes() event.Object {
	out := event.Object{}
	for k, v := range s.in.client().Attributes {
		out[k] = v
	}
	maps.Copy(out, objectOr(s.in.Fields["attributes"]))
	return out
}

// utm merges session.utm_json over session.utm; a touch to credit that came by
// an advertisement replaces both.
func (s *session) utm() event.Object {
	got := map[string]string{}
	if s.in.Touch != nil && len(s.in.Touch.UTM) > 0 {
		got = s.in.Touch.UTM
	} else {
		for part := range strings.SplitSeq(str(s.in.Fields, "session", "utm"), "|") {
			k, v, _ := strings.Cut(part, "=")
			if v = decoded(v); v != "" {
				got[strings.TrimPrefix(strings.TrimSpace(k), "utm_")] = v
			}
		}
		for _, k := range utmKeys() {
			if v := decoded(str(s.in.Fields, "session", "utm_json", k)); v != "" {
				got[k] = v
			}
		}
	}
	out := event.Object{}
	for _, k := range utmKeys() {
		out[k] = got[k]
	}
	return out
}

// decoded undoes percent-encoding; what is none, or hides no text, stays.
func decoded(s string) string {
	d, err := url.PathUnescape(strings.TrimSpace(s))
	if err != nil || !utf8.ValidString(d) {
		return s
	}
	return d
}

// local returns a moment (unix seconds) on the connection's clock.
func (s *session) local(v any) time.Time {
	switch v := v.(type) {
	case time.Time:
		return v.In(s.in.location())
	case int:
		if v != 0 {
			return time.Unix(int64(v), 0).In(s.in.location())
		}
	case float64:
		if v != 0 {
			return time.Unix(int64(v), 0).In(s.in.location())
		}
	}
	return time.Time{}
}

// origin says in words where the visitor came from: the touch to credit if
// one is held, else this event's page, city and source. It is empty unless
// this event may make a lead.
func (s *session) origin() string {
	if s.crm != nil && (s.plan.Lead == nil || !s.plan.Lead.Create) {
		return ""
	}
	t := s.p.texts
	var out []string
	add := func(label, value string) {
		if value = line(value); value != "" {
			out = append(out, label+": "+value)
		}
	}
	page, title := str(s.in.Fields, "page", "url"), str(s.in.Fields, "page", "title")
	city, country := str(s.in.Fields, "session", "geoip", "city"), str(s.in.Fields, "session", "geoip", "country")
	if touch := s.in.Touch; touch != nil {
		if touch.Page != "" {
			page, title = touch.Page, touch.Title
		}
		if touch.City != "" || touch.Country != "" {
			city, country = touch.City, touch.Country
		}
		if !touch.At.IsZero() && touch.At.Before(s.in.Received) {
			add(t.firstVisit, touch.At.In(s.in.location()).Format(t.dateTime))
		}
	}
	if title != "" && page != "" {
		title += " — "
	}
	add(t.page, title+page)
	if city != "" && country != "" {
		city += ", "
	}
	add(t.city, city+country)
	var from []string
	utm := s.utm()
	for _, k := range utmKeys() {
		if v := line(utm[k].(string)); v != "" {
			from = append(from, k+"="+v)
		}
	}
	add(t.source, strings.Join(from, ", "))
	return strings.Join(out, "\n")
}
