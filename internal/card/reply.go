package card

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// shownChanges is how many changes of the lead the operator is told of.
const shownChanges = 3

// Connection is what replies and cards need to know of a connection.
type Connection struct {
	Name     string
	BaseURL  string // https://example.amocrm.ru
	Account  string // key of the contact directory
	Language string
	Region   string
	Location *time.Location
	Dict     func() *dict.Snapshot // nil until read

	Wait        time.Duration // reply.wait
	Refresh     time.Duration // a card older than this is stale
	Link        string        // lead | contact | none
	ContactInfo bool
	Assign      string                 // auto | on | off
	Templates   func(View) []jivo.Item // nil: the default items
	Seats       func() int             // how many operators may wait for a lead at once; 0: it would be in vain
}

// View is what reply templates see besides the event.
type View struct {
	Fields   event.Object
	Kind     string
	Client   *event.Client
	Received time.Time
	Location *time.Location

	Lead    map[string]string
	Contact map[string]string
	Task    map[string]string
	Changes []string
}

// Observer counts the cards that replies were made from.
type Observer interface {
	Card(connection, result string) // fresh | stale | none
}

// Composer answers chat_accepted and chat_updated from cards. It is safe for
// concurrent use.
type Composer struct {
	store *store.Store
	conn  func(name string) (Connection, bool)
	obs   Observer
	// wait blocks until the event's contact and lead are settled, unless all seats
	// are taken; hooks until the hooks acknowledged before the event are applied. Both
	// end with ctx.
	wait  func(ctx context.Context, seq uint64, seats int)
	hooks func(ctx context.Context, seq uint64)
	stale func(connection string, leadID int64)
}

// NewComposer returns a composer; stale is told of cards too old to be trusted.
func NewComposer(st *store.Store, conn func(string) (Connection, bool), obs Observer, wait func(context.Context, uint64, int), hooks func(context.Context, uint64), stale func(string, int64)) *Composer {
	return &Composer{store: st, conn: conn, obs: obs, wait: wait, hooks: hooks, stale: stale}
}

// hookWait bounds how long a reply waits for hooks that came before its event.
const hookWait = time.Second

// Reply composes the answer to an event with the given number; of a repeat it is
// the first one's. It never fails: what cannot be had is left out.
func (p *Composer) Reply(ctx context.Context, connection string, m *jivo.Message, seq uint64, repeat bool) jivo.Reply {
	c, ok := p.conn(connection)
	if !ok {
		return jivo.Reply{}
	}
	hctx, cancel := context.WithTimeout(ctx, hookWait)
	p.hooks(hctx, seq)
	cancel()
	s := p.look(c, m)
	if seats := c.Seats(); !s.sure && seats > 0 && c.Wait > 0 {
		wctx, cancel := context.WithTimeout(ctx, c.Wait)
		p.wait(wctx, seq, seats)
		cancel()
		s = p.look(c, m)
	}
	return p.compose(ctx, c, m, s)
}

// sight is what the store holds for one reply.
type sight struct {
	client  *event.Client
	chat    event.Chat
	lead    *event.LeadCard
	contact *event.ContactCard
	sure    bool // the event goes to that lead, by all that is known
}

// look reads client, chat and cards in one transaction.
func (p *Composer) look(c Connection, m *jivo.Message) (s sight) {
	key := m.Client
	if key == "" {
		key = event.ChatPerson(m.Chat)
	}
	_ = p.store.View(func(tx *store.Tx) error { // what cannot be read is not shown
		s.client = tx.Client(c.Name, key)
		s.chat, _, _ = store.Get[event.Chat](tx, store.Chats, store.Key(c.Name, m.Chat))
		s.lead, s.sure = Shown(tx, c.Name, s.client, m.Chat, m.Kind)
		if s.client.ContactID != 0 {
			card, ok, _ := store.Get[event.ContactCard](tx, store.Cards, store.Key(c.Name, "contact", strconv.FormatInt(s.client.ContactID, 10)))
			if !ok {
				card.Contact.ID = s.client.ContactID
			}
			s.contact = &card
		}
		return nil
	})
	return s
}

func (p *Composer) compose(ctx context.Context, c Connection, m *jivo.Message, s sight) jivo.Reply {
	r := jivo.Reply{Result: "ok"}
	t := textsOf(c.Language)
	v := view(c, t, m, s)
	if c.Templates != nil {
		r.CustomData = c.Templates(v)
	} else {
		r.CustomData = defaults(t, v)
	}
	switch {
	case c.Link == "lead" && s.lead != nil:
		r.CRMLink = v.Lead["url"]
	case (c.Link == "contact" || c.Link == "lead") && s.contact != nil:
		r.CRMLink = v.Contact["url"]
	}
	assign := c.Assign == "on" || (c.Assign == "auto" && s.lead == nil)
	r.EnableAssign = &assign
	if c.ContactInfo {
		r.ContactInfo = p.info(ctx, c, m, s)
	}
	p.count(c, s)
	return r
}

func (p *Composer) count(c Connection, s sight) {
	switch {
	case s.lead == nil && s.contact == nil:
		p.obs.Card(c.Name, "none")
	case s.lead != nil && (s.lead.Dirty || time.Since(s.lead.ReadAt) > c.Refresh):
		p.obs.Card(c.Name, "stale")
		p.stale(c.Name, s.lead.Lead.ID)
	default:
		p.obs.Card(c.Name, "fresh")
	}
}

// info is what amoCRM knows of a client linked before this chat and the visitor
// has not given; once per chat, because Jivo treats it as typed by the visitor. What
// cannot be noted down before ctx ends is not told.
func (p *Composer) info(ctx context.Context, c Connection, m *jivo.Message, s sight) *jivo.ContactInfo {
	accepted := s.chat.Accepted
	if accepted.IsZero() { // this event is not learned yet: who is linked was linked before it
		accepted = time.Now()
	}
	if s.contact == nil || s.client.InfoChat == m.Chat || s.client.LinkedAt.IsZero() || !s.client.LinkedAt.Before(accepted) {
		return nil
	}
	visitor, _ := m.Fields["visitor"].(event.Object)
	missing := func(f string) bool { v, _ := visitor[f].(string); return v == "" }
	info := &jivo.ContactInfo{}
	if missing("name") {
		info.Name = s.contact.Contact.Name
	}
	if missing("phone") && len(s.contact.Contact.Phones) > 0 {
		info.Phone = s.contact.Contact.Phones[0].Text
	}
	if missing("email") && len(s.contact.Contact.Emails) > 0 {
		info.Email = s.contact.Contact.Emails[0].Text
	}
	if *info == (jivo.ContactInfo{}) {
		return nil
	}
	err := p.store.Update(ctx, func(tx *store.Tx) error {
		cl := tx.Client(c.Name, s.client.ID)
		cl.InfoChat = m.Chat
		return tx.PutClient(c.Name, cl)
	})
	if err != nil {
		return nil
	}
	return info
}

// view puts cards into words: names, never ids; what has no name is left out.
func view(c Connection, t texts, m *jivo.Message, s sight) View {
	v := View{Fields: m.Fields, Kind: m.Kind, Client: s.client, Received: time.Now(), Location: c.Location, Lead: map[string]string{}, Contact: map[string]string{}, Task: map[string]string{}}
	names := c.Dict()
	if names == nil {
		names = &dict.Snapshot{}
	}
	if s.contact != nil {
		v.Contact["id"] = strconv.FormatInt(s.contact.Contact.ID, 10)
		v.Contact["name"] = s.contact.Contact.Name
		v.Contact["responsible"] = names.UserName(s.contact.Contact.ResponsibleID)
		v.Contact["url"] = c.BaseURL + "/contacts/detail/" + v.Contact["id"]
	}
	if k, ok := nearest(s); ok {
		v.Task["text"] = k.Text
		v.Task["due"] = time.Unix(k.CompleteTill, 0).In(c.Location).Format("02.01 15:04")
		v.Task["responsible"] = names.UserName(k.ResponsibleID)
	}
	if s.lead == nil {
		return v
	}
	l := s.lead.Lead
	v.Lead["id"] = strconv.FormatInt(l.ID, 10)
	v.Lead["name"] = l.Name
	v.Lead["url"] = c.BaseURL + "/leads/detail/" + v.Lead["id"]
	v.Lead["pipeline"] = names.PipelineName(l.PipelineID)
	v.Lead["stage"] = names.StageName(l.PipelineID, l.StatusID)
	v.Lead["responsible"] = names.UserName(l.ResponsibleID)
	if l.Price != 0 {
		v.Lead["price"] = money(l.Price)
	}
	if s.lead.StageSince != 0 {
		v.Lead["since"] = time.Unix(s.lead.StageSince, 0).In(c.Location).Format("02.01 15:04")
	}
	if s.lead.LastIn != "" {
		v.Lead["last_in"] = t.lastIn[s.lead.LastIn] + s.lead.LastInAt.In(c.Location).Format(" 02.01 15:04")
	}
	v.Changes = changes(c, t, names, m, s)
	return v
}

// nearest is the nearest open task of the lead, else of the contact.
func nearest(s sight) (event.Task, bool) {
	switch {
	case s.lead != nil && len(s.lead.Tasks) > 0:
		return s.lead.Tasks[0], true
	case s.contact != nil && len(s.contact.Tasks) > 0:
		return s.contact.Tasks[0], true
	}
	return event.Task{}, false
}

// changes are those made by others since the client's previous chat_accepted,
// frozen at this chat's: an update of the chat shows the same ones.
func changes(c Connection, t texts, dict *dict.Snapshot, m *jivo.Message, s sight) (out []string) {
	since, until := s.chat.Since, s.chat.Accepted
	if s.chat.Accepted.IsZero() { // this chat_accepted itself is not learned yet
		since = s.client.Accepted
	}
	if until.IsZero() || m.Kind == "chat_accepted" {
		until = time.Now()
	}
	if since.IsZero() {
		return nil
	}
	for _, ch := range s.lead.Changes {
		if !ch.At.After(since) || ch.At.After(until) {
			continue
		}
		if line := inWords(c, t, dict, ch); line != "" {
			out = append(out, line)
		}
	}
	return out[max(0, len(out)-shownChanges):]
}

func inWords(c Connection, t texts, dict *dict.Snapshot, ch event.CardChange) string {
	var label, from, to string
	switch ch.What {
	case event.ChangedStage:
		label, from, to = t.stage, dict.StageName(ch.FromPipeline, int64(ch.From)), dict.StageName(ch.ToPipeline, int64(ch.To))
	case event.ChangedResponsible:
		label, from, to = t.responsible, dict.UserName(int64(ch.From)), dict.UserName(int64(ch.To))
	case event.ChangedPrice:
		label, from, to = t.price, money(ch.From), money(ch.To)
	}
	if from == "" || to == "" {
		return ""
	}
	return fmt.Sprintf("%s: %s → %s (%s)", label, from, to, ch.At.In(c.Location).Format("15:04"))
}

// defaults are the items shown where the config names none.
func defaults(t texts, v View) (items []jivo.Item) {
	add := func(title, content, link string) {
		if strings.TrimSpace(content) != "" {
			items = append(items, jivo.Item{Title: title, Content: content, Link: link})
		}
	}
	if v.Lead["id"] != "" {
		name := v.Lead["name"]
		if name == "" {
			name = "#" + v.Lead["id"]
		}
		add(t.lead, name, v.Lead["url"])
	}
	stage := v.Lead["stage"]
	if p := v.Lead["pipeline"]; p != "" && stage != "" {
		stage = p + " → " + stage
	}
	add(t.stage, stage, "")
	add(t.price, v.Lead["price"], "")
	add(t.responsible, v.Lead["responsible"], "")
	if v.Task["text"] != "" {
		add(t.task, v.Task["due"]+" "+v.Task["text"], "")
	}
	add(t.changed, strings.Join(v.Changes, "; "), "")
	return items
}

// money prints an amount with its thousands apart: 1 500 000.
func money(f float64) string {
	s := strconv.FormatFloat(f, 'f', -1, 64)
	whole, frac, _ := strings.Cut(s, ".")
	neg := strings.HasPrefix(whole, "-")
	whole = strings.TrimPrefix(whole, "-")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "\u00a0" + whole[i:]
	}
	if frac != "" {
		whole += "." + frac
	}
	if neg {
		whole = "-" + whole
	}
	return whole
}
