package mapping

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/phone"
)

// Input is everything a Program may look at for one event. It is read, never
// changed.
type Input struct {
	Kind     string       // normalised event name
	Fields   event.Object // decoded and normalised by the schema of Kind
	Received time.Time    // when the event came; the only clock there is
	Location *time.Location

	Client *event.Client // the picture after this event was merged in; never nil
	Known  bool          // the client had a linked contact before this event
	Touch  *event.Touch  // the first touch to credit, if held longer than this event's own

	// Last is the previous whole state of the same deal or client as Fields of
	// its event, nil at first sight. A client may have been seen in part only:
	// what it does not have was never told.
	Last event.Object
	// Told is what Last would be if this were one of the client's own events;
	// nil for those.
	Told event.Object
	// NotedTo is the time of the chat's last message already in a transcript
	// note (unix seconds), 0 if there is none: only newer messages are new.
	NotedTo int
	// Call is the call this call_event belongs to, numbered and timed by the
	// caller; nil for other kinds and for calls that have nothing to write.
	Call *event.Call
	// Linked says whether a task's or deal's own id already leads somewhere: an amoCRM
	// task or lead stands for it.
	Linked bool
	// Late says that a newer event of the same deal or task was carried out before
	// this one: the lead or task stays as that one says.
	Late bool

	// HasStage says whether the CRM has a stage of these titles, or, with an
	// empty stage, such a pipeline. nil: not known; then Jivo's titles are
	// passed on, and final stages become won or lost.
	HasStage func(pipeline, stage string) bool

	Jivo Names // may be nil
}

// Names looks up what Jivo's own dictionary events said. Every method returns
// zero values for ids nobody has named yet.
type Names interface {
	Agent(id string) event.Agent
	Stage(pipelineID, stageID string) (pipeline, stage, final string) // titles; final: successful, unsuccessful or ""
	RejectReason(pipelineID, reasonID string) string
	Tag(id string) string
	Organization(id string) string
	Category(id string) string
}

// noNames is a Names that has heard of nobody.
type noNames struct{}

func (noNames) Agent(string) event.Agent                      { return event.Agent{} }
func (noNames) Stage(string, string) (string, string, string) { return "", "", "" }
func (noNames) RejectReason(string, string) string            { return "" }
func (noNames) Tag(string) string                             { return "" }
func (noNames) Organization(string) string                    { return "" }
func (noNames) Category(string) string                        { return "" }

func (in *Input) names() Names {
	if in.Jivo == nil {
		return noNames{}
	}
	return in.Jivo
}

func (in *Input) client() *event.Client {
	if in.Client == nil {
		return &event.Client{}
	}
	return in.Client
}

func (in *Input) location() *time.Location {
	if in.Location == nil {
		return time.UTC
	}
	return in.Location
}

// HasContact is the has_contact() of rules: a phone or an e-mail stands in the
// event, in `call.phone`, in `contacts[]`, or is known of the client.
func HasContact(in *Input, region string) bool {
	phones, emails := Contacts(in, region)
	return len(phones) > 0 || len(emails) > 0
}

// Contacts returns the phones and e-mails of the event, then those known of
// its client, in normal form and each once. A call's own number comes first:
// it is the one the call is about.
func Contacts(in *Input, region string) (phones, emails []string) {
	addPhone := func(raw string) { phones = appendNew(phones, phone.Soft(raw, region)) }
	addEmail := func(raw string) { emails = appendNew(emails, phone.Email(raw)) }

	addPhone(str(in.Fields, "call", "phone"))
	addPhone(str(in.Fields, "visitor", "phone"))
	addEmail(str(in.Fields, "visitor", "email"))
	for _, at := range [][]string{{"contacts"}, {"client", "contacts"}} {
		for _, c := range few(in.Fields, at...) {
			sortContact(c, addPhone, addEmail)
		}
	}
	for _, p := range in.client().Phones { // in normal form since it was described
		phones = appendNew(phones, p)
	}
	for _, e := range in.client().Emails {
		emails = appendNew(emails, e)
	}
	return phones, emails
}

// sortContact passes on one of contacts[]: what says it is a phone or e-mail, and
// what says nothing by its looks. Other types are neither (jivo.Message.Describe
// reads them alike).
func sortContact(c event.Object, addPhone, addEmail func(string)) {
	value := str(c, "contact")
	switch kind := strings.ToLower(str(c, "contact_type")); {
	case kind == "email", kind != "phone" && strings.Contains(value, "@"):
		addEmail(value)
	case kind == "phone", kind == "":
		addPhone(value)
	}
}

// appendNew appends s unless it is empty or already there.
func appendNew(list []string, s string) []string {
	if s == "" || slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// at walks down the objects of an event; nil where there is nothing.
func at(o event.Object, path ...string) any {
	var v any = o
	for _, p := range path {
		m, ok := v.(event.Object)
		if !ok {
			return nil
		}
		v = m[p]
	}
	return v
}

// str is the text at a path; ids and numbers as text too.
func str(o event.Object, path ...string) string {
	switch v := at(o, path...).(type) {
	case string:
		return strings.TrimSpace(v)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return number(v)
	}
	return ""
}

// num is the number at a path, 0 if there is none.
func num(o event.Object, path ...string) float64 {
	switch v := at(o, path...).(type) {
	case int:
		return float64(v)
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return 0
}

// id is a Jivo id at a path; "0" is none.
func id(o event.Object, path ...string) string {
	if s := str(o, path...); s != "0" {
		return s
	}
	return ""
}

// maxListed is how many contacts, tags or agents of one event are looked at: a
// person has few, and an event may be megabytes of them.
const maxListed = 200

// few is objects, but no more than anybody has.
func few(o event.Object, path ...string) []event.Object {
	list, _ := at(o, path...).([]any)
	return event.Objects(list[:min(len(list), maxListed)])
}

// objects is the list of objects at a path.
func objects(o event.Object, path ...string) []event.Object {
	return event.Objects(at(o, path...))
}
