package rehearse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/delivery"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// FirstMadeUp is the least id the sandbox makes up: no account has come so far.
const FirstMadeUp int64 = 900_000_001

// Request is one write that was not sent.
type Request struct {
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Body   json.RawMessage `json:"body"` // as it would go, but for request_id
	// Made are the ids that were made up for its answer, by what they are of.
	Made map[string]int64 `json:"made,omitempty"`
}

// Sandbox is an amoCRM account that reads are asked of a real one, if there is
// one, and that keeps what is written to itself. It implements delivery.CRM and
// is safe for concurrent use.
type Sandbox struct {
	// The rest of the interface looks for what was sent and never answered. No
	// answer is lost here, so it is not asked for, and there is none.
	delivery.CRM

	real   app.Reader // nil: there is only what was put here
	dict   *dict.Snapshot
	ledger amocrm.Ledger

	mu        sync.Mutex
	next      int64
	sent      []Request
	leads     map[int64]event.Lead
	contacts  map[int64]event.Contact
	companies map[int64]event.Contact
	tasks     map[int64]event.Task
}

// NewSandbox returns an account over real, which may be nil.
func NewSandbox(real app.Reader) *Sandbox {
	return &Sandbox{
		real: real, next: FirstMadeUp, leads: map[int64]event.Lead{}, contacts: map[int64]event.Contact{},
		companies: map[int64]event.Contact{}, tasks: map[int64]event.Task{},
	}
}

// Sent lists the writes so far, in order.
func (s *Sandbox) Sent() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

// PutLead and PutContact put an entity there, as if it had always been.
func (s *Sandbox) PutLead(l event.Lead) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leads[l.ID] = l
	for _, id := range l.ContactIDs {
		s.tie(id, l.ID)
	}
}

// PutContact puts a contact there.
func (s *Sandbox) PutContact(c event.Contact) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.contacts[c.ID] = c
}

// tie has a contact know a lead. mu is held.
func (s *Sandbox) tie(contactID, leadID int64) {
	c, ok := s.contacts[contactID]
	if ok && !slices.Contains(c.LeadIDs, leadID) {
		c.LeadIDs = append(slices.Clone(c.LeadIDs), leadID)
		s.contacts[contactID] = c
	}
}

// Write implements delivery.CRM: the item is written down, taken into the
// sandbox and answered with made-up ids.
func (s *Sandbox) Write(ctx context.Context, w amocrm.Write) (amocrm.Result, error) {
	method, path, _ := w.Endpoint.Route(w.Entity)
	if path == "" {
		return amocrm.Result{}, fmt.Errorf("endpoint %d cannot be rehearsed", w.Endpoint)
	}
	var item map[string]any
	if err := json.Unmarshal(w.Item, &item); err != nil {
		return amocrm.Result{}, errors.New("the item is no JSON object")
	}
	if key := w.Endpoint.IDKey(); key != "" && item[key] == nil && w.EntityID != 0 {
		item[key] = w.EntityID
	}
	if s.ledger != nil {
		if err := s.ledger.Sent(ctx, w.Keys); err != nil {
			return amocrm.Result{}, &amocrm.NotSent{Trouble: amocrm.Unrecorded, Reason: amocrm.Unrecorded, Err: err}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	res, made := s.take(w, item)
	body, err := json.Marshal([]any{item})
	if err != nil {
		return amocrm.Result{}, err
	}
	s.sent = append(s.sent, Request{Method: method, Path: path, Body: body, Made: made})
	return res, nil
}

func (s *Sandbox) newID() int64 {
	s.next++
	return s.next - 1
}

// take carries a write out on the sandbox. mu is held.
func (s *Sandbox) take(w amocrm.Write, item map[string]any) (res amocrm.Result, made map[string]int64) {
	now := time.Now()
	res = amocrm.Result{ID: w.EntityID, UpdatedAt: now.Unix(), SentAt: now}
	made = map[string]int64{}
	create := func(what string) int64 {
		made[what] = s.newID()
		return made[what]
	}
	switch w.Endpoint {
	case amocrm.ComplexLeads:
		res.ID, res.ContactID, res.CompanyID = s.complex(item, now, create)
	case amocrm.PatchLeads:
		l := s.leads[w.EntityID]
		l.ID, l.UpdatedAt = w.EntityID, now.Unix()
		overlayLead(&l, item)
		s.leads[l.ID] = l
	case amocrm.PostContacts:
		res.ID = create("contact")
		s.contacts[res.ID] = s.contactOf(event.Contact{ID: res.ID, CreatedAt: now.Unix(), UpdatedAt: now.Unix()}, item)
	case amocrm.PatchContacts:
		c := s.contacts[w.EntityID]
		c.ID, c.UpdatedAt = w.EntityID, now.Unix()
		s.contacts[c.ID] = s.contactOf(c, item)
	case amocrm.PostCompanies:
		res.ID = create("company")
		s.companies[res.ID] = event.Contact{ID: res.ID, Name: text(item["name"]), IsCompany: true}
	case amocrm.LinkLeads:
		res.ContactID = int64(number(item["to_entity_id"]))
		if l, ok := s.leads[w.EntityID]; ok {
			l.ContactIDs = append([]int64{res.ContactID}, l.ContactIDs...)
			s.leads[l.ID] = l
		}
		s.tie(res.ContactID, w.EntityID)
	case amocrm.PostNotes:
		res.ID = create("note")
	case amocrm.PostTasks:
		res.ID = create("task")
		s.tasks[res.ID] = event.Task{
			ID: res.ID, Text: text(item["text"]), EntityType: text(item["entity_type"]), EntityID: int64(number(item["entity_id"])),
			CompleteTill: int64(number(item["complete_till"])), CreatedAt: now.Unix(),
		}
	case amocrm.PatchTasks:
		t := s.tasks[w.EntityID]
		t.ID, t.Completed = w.EntityID, item["is_completed"] == true
		s.tasks[t.ID] = t
	}
	return res, made
}

// complex makes a lead with its contact and company. mu is held.
func (s *Sandbox) complex(item map[string]any, now time.Time, create func(string) int64) (leadID, contactID, companyID int64) {
	leadID = create("lead")
	contact, found := party(item, "contacts")
	if contactID = int64(number(contact["id"])); found && contactID == 0 {
		contactID = create("contact")
		s.contacts[contactID] = s.contactOf(event.Contact{ID: contactID, CreatedAt: now.Unix(), UpdatedAt: now.Unix()}, contact)
	}
	company, found := party(item, "companies")
	if companyID = int64(number(company["id"])); found && companyID == 0 {
		companyID = create("company")
		s.companies[companyID] = event.Contact{ID: companyID, Name: text(company["name"]), IsCompany: true}
	}
	l := event.Lead{ID: leadID, CreatedAt: now.Unix(), UpdatedAt: now.Unix(), CompanyID: companyID}
	if p, ok := s.dict.MainPipeline(); ok {
		l.PipelineID = p.ID
	}
	overlayLead(&l, item)
	if l.StatusID == 0 {
		if st, ok := s.dict.FirstStage(l.PipelineID); ok {
			l.StatusID = st.ID
		}
	}
	if contactID != 0 {
		l.ContactIDs = []int64{contactID}
		s.tie(contactID, leadID)
	}
	s.leads[leadID] = l
	return leadID, contactID, companyID
}

// party is the first contact or company that rides in a leads/complex item.
func party(item map[string]any, what string) (map[string]any, bool) {
	embedded, _ := item["_embedded"].(map[string]any)
	list, _ := embedded[what].([]any)
	if len(list) == 0 {
		return nil, false
	}
	p, ok := list[0].(map[string]any)
	return p, ok
}

// Lead implements delivery.CRM.
func (s *Sandbox) Lead(ctx context.Context, id int64) (event.Lead, bool, error) {
	all, err := s.Leads(ctx, []int64{id})
	l, ok := all[id]
	return l, ok, err
}

// Leads implements delivery.CRM.
func (s *Sandbox) Leads(ctx context.Context, ids []int64) (map[int64]event.Lead, error) {
	out := map[int64]event.Lead{}
	var ask []int64
	s.mu.Lock()
	for _, id := range ids {
		if l, ok := s.leads[id]; ok && !(s.real != nil && id < FirstMadeUp) {
			out[id] = l
		} else if id < FirstMadeUp {
			ask = append(ask, id)
		}
	}
	s.mu.Unlock()
	if s.real == nil || len(ask) == 0 {
		return out, nil
	}
	read, err := s.real.Leads(ctx, ask)
	maps.Copy(out, read)
	return out, err
}

// Contact implements delivery.CRM.
func (s *Sandbox) Contact(ctx context.Context, id int64) (event.Contact, bool, error) {
	s.mu.Lock()
	c, ok := s.contacts[id]
	s.mu.Unlock()
	if s.real == nil || id >= FirstMadeUp {
		return c, ok, nil
	}
	return s.real.Contact(ctx, id)
}

// SearchContacts implements delivery.CRM.
func (s *Sandbox) SearchContacts(ctx context.Context, query string, prio amocrm.Priority) (out []event.Contact, err error) {
	if s.real != nil {
		if out, err = s.real.SearchContacts(ctx, query, prio); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(s.contacts)) {
		if c := s.contacts[id]; (s.real == nil || id >= FirstMadeUp) && mentions(c, query) {
			out = append(out, c)
		}
	}
	return out, nil
}

// mentions reports whether a full-text search would find the contact.
func mentions(c event.Contact, query string) bool {
	digits := onlyDigits(query)
	for _, p := range c.Phones {
		if digits != "" && strings.Contains(onlyDigits(p.Text), digits) {
			return true
		}
	}
	return slices.ContainsFunc(c.Emails, func(e event.Value) bool { return strings.EqualFold(e.Text, query) })
}

func onlyDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

// SearchCompanies implements delivery.CRM.
func (s *Sandbox) SearchCompanies(ctx context.Context, query string) (out []event.Contact, err error) {
	if s.real != nil {
		if out, err = s.real.SearchCompanies(ctx, query); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(s.companies)) {
		if strings.EqualFold(s.companies[id].Name, query) {
			out = append(out, s.companies[id])
		}
	}
	return out, nil
}

// TasksOf implements delivery.CRM.
func (s *Sandbox) TasksOf(ctx context.Context, entity string, id int64) (out []event.Task, err error) {
	if s.real != nil && id < FirstMadeUp {
		if out, err = s.real.TasksOf(ctx, entity, id); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, tid := range slices.Sorted(maps.Keys(s.tasks)) {
		if t := s.tasks[tid]; t.EntityType == entity && t.EntityID == id {
			out = append(out, t)
		}
	}
	return out, nil
}

// State implements delivery.CRM.
func (s *Sandbox) State() amocrm.Status { return amocrm.Status{} }

// ServerTime implements delivery.CRM.
func (s *Sandbox) ServerTime() time.Time {
	if s.real == nil {
		return time.Now()
	}
	return s.real.ServerTime()
}
