package event

import (
	"fmt"
	"time"
)

// Ending is how one attempt at an event ended. The types below are all of
// them; delivery settles an event by a type switch over them.
type Ending interface{ ending() }

// Finished says that everything the event asks for stands in amoCRM.
type Finished struct{ Detail string }

// Retry tells of the event's own trouble; an attempt is burnt and it is tried again
// after the backoff, until give_up.
type Retry struct{ Err error }

// Snooze tells of trouble of the account, the pace or the token; no attempt is burnt.
type Snooze struct {
	Until time.Time
	Why   string
}

// Park has the event wait until its client is described, or until Until.
type Park struct{ Until time.Time }

// Kill says that the event cannot succeed by itself.
type Kill struct {
	Reason Reason
	Detail string
}

// Skip says that nothing was to be done.
type Skip struct {
	Reason Reason
	Detail string
}

// Cut says that the bridge is stopping. What happened so far is kept and the event goes on
// with the next start.
type Cut struct{}

func (Finished) ending() {}
func (Retry) ending()    {}
func (Snooze) ending()   {}
func (Park) ending()     {}
func (Kill) ending()     {}
func (Skip) ending()     {}
func (Cut) ending()      {}

func (r Retry) String() string { return fmt.Sprintf("retry: %v", r.Err) }
