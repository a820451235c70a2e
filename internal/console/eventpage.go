package console

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// eventView is the one-minute answer: an event with what its page says of it.
type eventView struct {
	D        *Detail
	Story    string
	Todo     []string
	NoReplay string // why it cannot be replayed, "" if it can
	Gist     []fact
	Contact  matchView
	Lead     matchView
	Rules    string // how many matched
	Changes  []changeView
	Requests string // how they went
}

// matchView is a found contact or lead in words, with the way to it.
type matchView struct {
	ID  int64
	URL string
	How string
}

// changeView is a change with the way to what it made.
type changeView struct {
	Change
	Name string // lead 501
	URL  string
	On   string // lead 501, of a note, call or task
	OnTo string
}

func (s *Server) pageEvent(w http.ResponseWriter, r *http.Request) {
	d, err := s.event(r)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	v := eventView{
		D: d, Story: s.pages.clock.story(d), NoReplay: noReplay(d), Gist: gist(d),
		Contact: matchOf(d.Account, "contacts", d.Contact), Lead: matchOf(d.Account, "leads", d.Lead),
		Rules: rulesInShort(d), Changes: changesOf(d), Requests: requestsInShort(d.Requests),
	}
	if v.Todo, err = s.todoOf(r, d); err != nil {
		s.failed(w, r, err)
		return
	}
	title := "Event " + strconv.FormatUint(d.Seq, 10)
	if d.Kind != "" {
		title += ": " + d.Kind
	}
	s.show(w, r, http.StatusOK, "event", title, v)
}

// todoOf looks at the connection only for an event that waits: that may be why.
func (s *Server) todoOf(r *http.Request, d *Detail) ([]string, error) {
	if d.State.Settled() {
		return todo(d, nil, false), nil
	}
	all, err := s.backend.Connections(r.Context())
	if err != nil {
		return nil, err
	}
	removed := slices.ContainsFunc(all, func(c Connection) bool { return c.Name == d.Connection && c.State == ConnectionRemoved })
	return todo(d, s.backend.Ready(r.Context()), removed), nil
}

func matchOf(account, entity string, m *event.Match) matchView {
	if m == nil {
		return matchView{How: "not looked for"}
	}
	v := matchView{ID: m.ID, URL: entityURL(account, entity, m.ID)}
	switch {
	case m.Created && m.ID == 0:
		v.How = "to be made"
	case m.Created:
		v.How = "made for this event"
	case m.ID == 0:
		v.How = "none"
	case m.By != "":
		v.How = "found by " + m.By
	}
	if m.Why != "" {
		v.How += ": " + m.Why
	}
	return v
}

func rulesInShort(d *Detail) string {
	if len(d.Rules) == 0 {
		return "none was asked"
	}
	n := 0
	for _, r := range d.Rules {
		if r.Matched {
			n++
		}
	}
	return fmt.Sprintf("%d of %d matched", n, len(d.Rules))
}

// requestsInShort says how all requests went, the last trouble first.
func requestsInShort(all []event.Request) string {
	if len(all) == 0 {
		return "no request was made for it"
	}
	refused, silent := 0, 0
	for _, r := range all {
		switch outcome(r.Status) {
		case "bad":
			refused++
		case "none":
			silent++
		}
	}
	s := count(len(all), "request")
	switch {
	case refused == 0 && silent == 0:
		return s + ", all accepted"
	case silent == 0:
		return fmt.Sprintf("%s, %d refused", s, refused)
	case refused == 0:
		return fmt.Sprintf("%s, %d without an answer", s, silent)
	}
	return fmt.Sprintf("%s, %d refused, %d without an answer", s, refused, silent)
}

func changesOf(d *Detail) []changeView {
	out := make([]changeView, 0, len(d.Changes))
	for _, c := range d.Changes {
		v := changeView{Change: c, Name: string(c.Target)}
		if c.AmoID != 0 {
			v.Name += " " + strconv.FormatInt(c.AmoID, 10)
		}
		switch c.Target {
		case event.OnContact:
			v.URL = entityURL(d.Account, "contacts", c.AmoID)
		case event.OnLead:
			v.URL = entityURL(d.Account, "leads", c.AmoID)
		case event.OnCompany:
			v.URL = entityURL(d.Account, "companies", c.AmoID)
		default:
			v.On, v.OnTo = placeOf(d, c.On)
		}
		out = append(out, v)
	}
	return out
}

// placeOf is the entity a note, call or task stands on: amoCRM has no page for
// the thing itself. An entity without an id is the one the event resolved.
func placeOf(d *Detail, p *Place) (name, to string) {
	if p == nil {
		return "", ""
	}
	id := p.ID
	word := map[string]string{"leads": "lead", "contacts": "contact", "companies": "company"}[p.Entity]
	switch {
	case id == 0 && word == "lead" && d.Lead != nil:
		id = d.Lead.ID
	case id == 0 && word == "contact" && d.Contact != nil:
		id = d.Contact.ID
	}
	if id == 0 || word == "" {
		return word, ""
	}
	return word + " " + strconv.FormatInt(id, 10), entityURL(d.Account, p.Entity, id)
}
