package mapping

import (
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
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
	// its event, nil at first sight.
	Last event.Object
	// NotedTo is the time of the chat's last message already in a transcript
	// note (unix seconds), 0 if there is none: only newer messages are new.
	NotedTo int
	// Call is the call this call_event belongs to, numbered and timed by the
	// caller; nil for other kinds and for calls that have nothing to write.
	Call *event.Call
	// Link is where a task's or deal's own id already leads: whether an amoCRM
	// task or lead was made for it before.
	Linked bool

	Jivo Names
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
