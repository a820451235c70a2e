package rest

import (
	"net/http"

	"github.com/gorilla/mux"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
)

const cards = "{kind:leads|contacts|companies}"

// routes lists every path this account knows (amocrm-api.md §4). Dictionaries
// come before the cards they would be taken for.
func (a *API) routes() *mux.Router {
	root := mux.NewRouter()
	root.Handle("/oauth2/access_token", a.open((*call).token)).Methods(http.MethodPost)
	root.Handle("/oauth2/account/current/subdomain", a.open((*call).subdomain)).Methods(http.MethodGet)

	// No subrouter: its prefix would make mux forget a method mismatch.
	on := func(method, path string, h http.Handler) { root.Handle("/api/v4"+path, h).Methods(method) }
	get := func(path string, fn func(*call) answer.Answer) { on(http.MethodGet, path, a.guarded(fn)) }
	post := func(path string, fn func(*call) answer.Answer) { on(http.MethodPost, path, a.guarded(fn)) }
	patch := func(path string, fn func(*call) answer.Answer) { on(http.MethodPatch, path, a.guarded(fn)) }

	get("/account", (*call).account)
	get("/leads/pipelines", (*call).pipelines)
	get("/leads/pipelines/{id:[0-9]+}", (*call).pipeline)
	get("/leads/pipelines/{id:[0-9]+}/statuses", (*call).statuses)
	get("/leads/loss_reasons", (*call).lossReasons)
	get("/leads/unsorted", (*call).unsortedList)
	get("/leads/unsorted/{uid}", (*call).unsortedOne)
	post("/leads/unsorted/forms", (*call).unsortedForms)
	post("/leads/unsorted/{uid}/accept", (*call).unsortedAccept)
	on(http.MethodDelete, "/leads/unsorted/{uid}/decline", a.guarded((*call).unsortedDecline))
	post("/leads/complex", (*call).complexLeads)
	on(http.MethodGet, "/users", a.admin((*call).users))
	on(http.MethodGet, "/users/{id:[0-9]+}", a.admin((*call).userByID))

	a.cardRoutes(on)

	get("/tasks", (*call).tasksList)
	post("/tasks", (*call).tasksCreate)
	patch("/tasks", (*call).tasksPatch)
	get("/tasks/{id:[0-9]+}", (*call).taskByID)
	patch("/tasks/{id:[0-9]+}", (*call).taskPatch)

	get("/events", (*call).eventsList)
	post("/calls", (*call).callsCreate)

	on(http.MethodGet, "/webhooks", a.admin((*call).webhooksList))
	on(http.MethodPost, "/webhooks", a.admin((*call).webhookPut))
	on(http.MethodDelete, "/webhooks", a.admin((*call).webhookDelete))

	root.NotFoundHandler = a.open((*call).unknownRoute)
	root.MethodNotAllowedHandler = a.open((*call).wrongMethod)
	return root
}

// cardRoutes are the paths leads, contacts and companies share.
func (a *API) cardRoutes(on func(method, path string, h http.Handler)) {
	get := func(path string, fn func(*call) answer.Answer) { on(http.MethodGet, path, a.guarded(fn)) }
	post := func(path string, fn func(*call) answer.Answer) { on(http.MethodPost, path, a.guarded(fn)) }
	patch := func(path string, fn func(*call) answer.Answer) { on(http.MethodPatch, path, a.guarded(fn)) }

	get("/"+cards+"/custom_fields", (*call).customFields)
	get("/"+cards+"/custom_fields/{id:[0-9]+}", (*call).customField)
	on(http.MethodPost, "/"+cards+"/custom_fields", a.admin((*call).customFieldsCreate))
	get("/"+cards+"/tags", (*call).tags)
	post("/"+cards+"/tags", (*call).tagsCreate)

	get("/"+cards+"/links", (*call).linksMass)
	post("/"+cards+"/link", (*call).link)
	post("/"+cards+"/unlink", (*call).unlink)
	get("/"+cards+"/{id:[0-9]+}/links", (*call).linksOf)
	post("/"+cards+"/{id:[0-9]+}/link", (*call).link)
	post("/"+cards+"/{id:[0-9]+}/unlink", (*call).unlink)

	get("/"+cards+"/notes", (*call).notesList)
	post("/"+cards+"/notes", (*call).notesCreate)
	patch("/"+cards+"/notes", (*call).notesPatch)
	get("/"+cards+"/notes/{note:[0-9]+}", (*call).noteByID)
	patch("/"+cards+"/notes/{note:[0-9]+}", (*call).notePatch)
	get("/"+cards+"/{id:[0-9]+}/notes", (*call).notesList)
	post("/"+cards+"/{id:[0-9]+}/notes", (*call).notesCreate)
	patch("/"+cards+"/{id:[0-9]+}/notes", (*call).notesPatch)
	get("/"+cards+"/{id:[0-9]+}/notes/{note:[0-9]+}", (*call).noteByID)
	patch("/"+cards+"/{id:[0-9]+}/notes/{note:[0-9]+}", (*call).notePatch)

	get("/"+cards, (*call).cardsList)
	post("/"+cards, (*call).cardsCreate)
	patch("/"+cards, (*call).cardsPatch)
	get("/"+cards+"/{id:[0-9]+}", (*call).cardByID)
	patch("/"+cards+"/{id:[0-9]+}", (*call).cardPatch)
}

func (c *call) unknownRoute() answer.Answer {
	c.violate("unknown route")
	return answer.Problem(http.StatusNotFound, "Cannot "+c.r.Method+" "+c.base+c.r.URL.Path)
}

func (c *call) wrongMethod() answer.Answer {
	c.violate("method not allowed")
	return answer.Problem(http.StatusMethodNotAllowed, "Method Not Allowed")
}
