package config

import (
	"log/slog"
	"time"

	"github.com/jivo-amocrm/bridge/internal/config/strict"
	"github.com/jivo-amocrm/bridge/internal/duration"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/mapping"
)

// Secret is a value that no way of printing shows.
type Secret = strict.Secret

// Pos is a place in the config file.
type Pos = strict.Pos

// Problem is one thing that is wrong, or worth a warning, with its place.
type Problem = strict.Problem

// Problems is everything that is wrong with a config, in the order of the file.
type Problems = strict.Problems

// Config is config.yaml, read, checked and compiled. It is not changed after
// Load and safe for concurrent use.
type Config struct {
	File      string // as given to Load
	Listen    string // host:port; reached by Jivo and amoCRM
	PublicURL string // without a slash at its end; "" if not given
	Data      string // folder of bridge.db
	TLS       TLS
	Limits    Limits
	Retention Retention
	Log       Log
	Admin     Admin

	Connections []*Connection // in the order of the file
	Warnings    []Problem     // what is legal and probably not meant

	vocab Vocabulary
}

// TLS is how the public listener serves HTTPS: with the files Cert and Key, or
// with certificates got by ACME for Domains; all empty: not at all.
type TLS struct {
	Cert, Key string
	Domains   []string
	Email     string
}

// Limits bound what the bridge takes in.
type Limits struct {
	Body      int64 // bytes of one request's body
	Backlog   int   // events waiting, over all connections
	FreeSpace int64 // bytes to be left free where Data is
}

// Retention is how long settled things are kept.
type Retention struct{ Events, Bodies, Dead time.Duration }

// Log is how the log is written. Format is text or json.
type Log struct {
	Level  slog.Level
	Format string
}

// Admin is the listener of metrics, health, console and API. Token is empty
// only while Listen is on loopback.
type Admin struct {
	Listen string
	Token  Secret
}

// Connection is one pair of a Jivo and an amoCRM account.
type Connection struct {
	Name     string         // part of URLs and a metric label
	Language string         // ru | en | pt | es
	Location *time.Location // nil: the account's
	Region   string         // two capital letters; "": the account's country
	Jivo     Jivo
	AmoCRM   AmoCRM

	Agents    map[string]string // Jivo agent (e-mail or id, "*" for any) → amoCRM user (e-mail, name or id)
	WorkHours *WorkHours        // nil: always
	Stages    []DealStage       // deals.stages, in the order of the file
	Tables    map[string]map[string]string

	Anonymous     string // hold | lead | ignore
	AnonymousHold time.Duration
	Park          time.Duration

	Rules        []mapping.Rule
	DefaultRules bool // `rules` is absent: Rules are the built-in ones
	Builtin      Builtin
	Reply        Reply

	// Program is Rules, compiled.
	Program *mapping.Program
	// References lists every name of the account's dictionary that stands
	// literally in this connection, so that `bridge check` can look each up.
	References []Reference

	Pos Pos // of the connection's name in the file

	whole []mapping.Rule // the rules that were read whole; all, once the config is good
}

// Jivo is a connection's Jivo side. Any of Secrets lets a request in. Channels
// are the widget ids let in; nil: all.
type Jivo struct {
	Secrets  []Secret
	Channels []string
}

// AmoCRM is a connection's amoCRM side.
type AmoCRM struct {
	Account        string   // https://example.amocrm.ru, without a slash at its end
	Host           string   // example.amocrm.ru, with the port if there is one
	WebhookSecrets []Secret // none: /amocrm/ is 404
	Token          Secret   // long-lived token; empty: OAuth is not nil
	OAuth          *OAuth

	RequestsPerSecond float64
	Batch             int
	Timeout           time.Duration
	Backoff           Backoff
	Probe             time.Duration
	Sweep             time.Duration
	Refresh           time.Duration
	InDoubtAfter      time.Duration
	MarkerField       string
	ContactsSync      bool // auto, as opposed to off
	SetupAuto         bool // `run` may create marker fields and subscribe its hook
}

// OAuth is an integration's credentials.
type OAuth struct {
	ClientID     string
	ClientSecret Secret
	RedirectURL  string // default: {public_url}/oauth/{connection}
}

// Backoff spaces the attempts of an event that has trouble of its own.
type Backoff struct{ First, Max, GiveUp time.Duration }

// WorkHours are the hours task due times count inside. From and To are times
// since midnight, in the connection's time zone; From is before To.
type WorkHours struct {
	Days     [7]bool // by time.Weekday
	From, To time.Duration
}

// DealStage maps a stage of Jivo to one of amoCRM. Jivo is a stage id, or
// "pipeline / stage" titles. Pipeline "" is the main one.
type DealStage struct {
	Jivo            string
	Pipeline, Stage string
}

// Builtin switches what the bridge does beside the rules (product.md §7).
type Builtin struct {
	Deals, Tasks, Clients, BlacklistTag, DeletedTag, Categories bool
}

// Reply is what the operator sees.
type Reply struct {
	Wait         time.Duration
	CRMLink      string // lead | contact | none
	ContactInfo  bool
	EnableAssign string // auto | on | off
	// CustomData are the connection's own lines; nil: the default ones; empty:
	// none.
	CustomData []ReplyItem
	// Lines are CustomData, compiled; nil if CustomData is nil.
	Lines *mapping.Replies
}

// ReplyItem is one line of the operator's card: templates that see lead,
// contact, task, changes and the event.
type ReplyItem struct {
	Title, Content, Link, Key mapping.Text
}

// ReferenceKind says in which dictionary of the account a name is to be found.
type ReferenceKind string

// The kinds of references.
const (
	RefPipeline   ReferenceKind = "pipeline"
	RefStage      ReferenceKind = "stage"
	RefUser       ReferenceKind = "user"
	RefField      ReferenceKind = "field"
	RefLossReason ReferenceKind = "loss_reason"
)

// Reference is one name that the account's dictionary must know.
type Reference struct {
	Kind     ReferenceKind
	Name     string // a name or an id, a field's code; of a stage also unsorted, won, lost
	Pipeline string // of a stage: the pipeline it belongs to, "" the main one
	Entity   string // of a field: leads | contacts
	Line     int
	Col      int
}

// Vocabulary is what the config has to know of Jivo's events; the app hands in
// jivo.Kinds and jivo.Schema.
type Vocabulary struct {
	Kinds  []string
	Schema func(kind string) *event.Type
}

// Connection returns the connection of that name, nil if there is none.
func (c *Config) Connection(name string) *Connection {
	for _, one := range c.Connections {
		if one.Name == name {
			return one
		}
	}
	return nil
}

func newConfig(file string, v Vocabulary) *Config {
	return &Config{
		File:      file,
		vocab:     v,
		Listen:    ":8080",
		Data:      "./data",
		Limits:    Limits{Body: 4 << 20, Backlog: 1_000_000, FreeSpace: 256 << 20},
		Retention: Retention{Events: 30 * duration.Day, Bodies: 7 * duration.Day, Dead: 90 * duration.Day},
		Log:       Log{Level: slog.LevelInfo, Format: "text"},
		Admin:     Admin{Listen: "127.0.0.1:9090"},
	}
}

func newConnection(name string, at Pos) *Connection {
	return &Connection{
		Name: name,
		AmoCRM: AmoCRM{
			RequestsPerSecond: 7,
			Batch:             50,
			Timeout:           15 * time.Second,
			Backoff:           Backoff{First: 5 * time.Second, Max: time.Hour, GiveUp: 168 * time.Hour},
			Probe:             time.Minute,
			Sweep:             5 * time.Minute,
			Refresh:           time.Hour,
			InDoubtAfter:      10 * time.Second,
			MarkerField:       "Jivo ID",
			ContactsSync:      true,
		},
		Anonymous:     "hold",
		AnonymousHold: 30 * duration.Day,
		Park:          10 * time.Minute,
		Builtin:       Builtin{Deals: true, Tasks: true, Clients: true, BlacklistTag: true, DeletedTag: true, Categories: true},
		Reply:         Reply{Wait: 1500 * time.Millisecond, CRMLink: "lead", EnableAssign: "auto"},
		Pos:           at,
	}
}
