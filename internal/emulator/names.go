package emulator

import (
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
	"github.com/jivo-amocrm/bridge/internal/emulator/clerk"
	"github.com/jivo-amocrm/bridge/internal/emulator/gate"
)

// What an account has, is made of and hands out; everything handed out is a copy.
type (
	User         = book.User
	Pipeline     = book.Pipeline
	Status       = book.Status
	LossReason   = book.LossReason
	FieldDef     = book.FieldDef
	Enum         = book.Enum
	Record       = book.Record
	ContactLink  = book.ContactLink
	Field        = book.Field
	Value        = book.Value
	Tag          = book.Tag
	Note         = book.Note
	Task         = book.Task
	Unsorted     = book.Unsorted
	Event        = book.Event
	Subscription = book.Subscription
	DPHook       = book.DPHook
)

// What the manager's hand writes.
type (
	Edit    = clerk.Edit
	NewCard = clerk.NewCard
)

// What goes wrong on the way to an account, and what its referee saw.
type (
	FaultKind = gate.FaultKind
	Fault     = gate.Fault
	Injected  = gate.Injected
	Report    = gate.Report
)

// The kinds of fault; see package gate.
const (
	DropBefore      = gate.DropBefore
	DropAfterCommit = gate.DropAfterCommit
	GiveStatus      = gate.GiveStatus
	HTML200         = gate.HTML200
	Truncated       = gate.Truncated
	Slow            = gate.Slow
	Trickle         = gate.Trickle
	Huge            = gate.Huge
	RateLimit       = gate.RateLimit
	BanNow          = gate.BanNow
	Unpaid          = gate.Unpaid
	Unauthorized    = gate.Unauthorized
)

// The two stage ids all pipelines share.
const (
	StatusWon  = book.StatusWon
	StatusLost = book.StatusLost
)

// ErrNoSuch says the hand was asked to touch what does not exist.
var ErrNoSuch = book.ErrNoSuch

// DefaultUsers are an admin, an owner and somebody who was switched off.
func DefaultUsers() []User { return book.DefaultUsers() }

// DefaultPipelines are the main pipeline "Продажи" and "Опт".
func DefaultPipelines() []Pipeline { return book.DefaultPipelines() }

// EverySetting lists all settings, also those that only the web interface
// knows (unsorted), for Subscribe.
func EverySetting() []string { return book.EverySetting() }
