package amocrm

import (
	"net/http"
	"time"
)

// Endpoint is one of amoCRM's bulk write endpoints. Items of one endpoint (and
// entity, where it has one) may share a request.
type Endpoint uint8

// The bulk write endpoints the bridge uses. Each takes a bare array
// (amocrm-api.md §8.19), also for a single item.
const (
	ComplexLeads  Endpoint = iota + 1 // POST /leads/complex: lead with contact and company
	PatchLeads                        // PATCH /leads
	PostContacts                      // POST /contacts
	PatchContacts                     // PATCH /contacts
	PostCompanies                     // POST /companies
	LinkLeads                         // POST /leads/link: EntityID is the lead
	LinkContacts                      // POST /contacts/link: EntityID is the contact
	PostNotes                         // POST /{entity}/notes: EntityID is the entity the note goes to
	PatchNotes                        // PATCH /{entity}/notes: EntityID is the note
	PostTasks                         // POST /tasks
	PatchTasks                        // PATCH /tasks
)

// maxComplex is how many leads amoCRM takes in one leads/complex
// (amocrm-api.md §3); maxItems is the same for every other endpoint.
const (
	maxComplex = 50
	maxItems   = 250
)

// Route returns where items of the endpoint go, and under which name of
// `_embedded` the answer lists them; all are "" for an endpoint that does not exist.
func (e Endpoint) Route(entity string) (method, path, collection string) {
	switch e {
	case ComplexLeads:
		return http.MethodPost, "/api/v4/leads/complex", ""
	case PatchLeads:
		return http.MethodPatch, "/api/v4/leads", "leads"
	case PostContacts:
		return http.MethodPost, "/api/v4/contacts", "contacts"
	case PatchContacts:
		return http.MethodPatch, "/api/v4/contacts", "contacts"
	case PostCompanies:
		return http.MethodPost, "/api/v4/companies", "companies"
	case LinkLeads:
		return http.MethodPost, "/api/v4/leads/link", "links"
	case LinkContacts:
		return http.MethodPost, "/api/v4/contacts/link", "links"
	case PostNotes:
		return http.MethodPost, "/api/v4/" + entity + "/notes", "notes"
	case PatchNotes:
		return http.MethodPatch, "/api/v4/" + entity + "/notes", "notes"
	case PostTasks:
		return http.MethodPost, "/api/v4/tasks", "tasks"
	case PatchTasks:
		return http.MethodPatch, "/api/v4/tasks", "tasks"
	}
	return "", "", ""
}

// takesEntity reports whether the endpoint is one per entity type.
func (e Endpoint) takesEntity() bool { return e == PostNotes || e == PatchNotes }

// patches reports whether an item changes the entity its EntityID names.
func (e Endpoint) patches() bool {
	return e == PatchLeads || e == PatchContacts || e == PatchNotes || e == PatchTasks
}

// links reports whether the endpoint's items carry no request_id: the link API
// does not document one and amoCRM refuses keys it does not expect
// (amocrm-api.md §4.5, §5 FieldNotExpected).
func (e Endpoint) links() bool { return e == LinkLeads || e == LinkContacts }

// IDKey is the key of the item that EntityID fills where the item lacks it; "":
// there is none.
func (e Endpoint) IDKey() string {
	switch {
	case e.patches():
		return "id"
	case e.links() || e == PostNotes:
		return "entity_id"
	}
	return ""
}

// Priority says how urgent a request is while requests wait for the budget.
type Priority uint8

// The priorities of product.md §8.4, most urgent first. Before them all goes what an
// operator waits for: see WithOperator.
const (
	NewLead Priority = iota
	Update
	NoteTask
	CardRead
	Sync
)

const (
	// ageStep is how long a request must wait to overtake a fresh one that is one
	// priority more urgent. It is what keeps the least urgent from starving.
	ageStep = 5 * time.Second
	// operatorsInRow is how many requests in a row are operators' while others wait.
	operatorsInRow = 2
	// patience is how many reads writes of a kind stand behind. A read brings one
	// event on, a write up to fifty: without a bound a queue of people to be looked
	// for is worked through to its end before the first lead is made, and what was
	// found is forgotten if the process ends. Less of it makes smaller groups.
	patience = 50
)

// due is the moment a request is ordered by: the earliest goes first.
func (p Priority) due(at time.Time) time.Time { return at.Add(time.Duration(min(p, Sync)) * ageStep) }
