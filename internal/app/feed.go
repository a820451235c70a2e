package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/intake"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// Feed puts saved webhooks of Jivo into a journal. They come through the very
// handler that takes the live ones, so that identity, order and repeats are
// decided alike; only their time is their own, and a state that is older than
// what came since is skipped as stale (product.md §1 › import). It is safe for
// concurrent use.
type Feed struct {
	st      *store.Store
	conn    string
	handler http.Handler
	path    string
}

// Saved is one saved webhook. At is when it was received. Where nobody wrote
// that down, File is when the file it stands in was written and At is File and
// as many nanoseconds as lines come before it: that keeps their order, and tells
// a line that is read again from one that says the same later.
type Saved struct {
	Body []byte
	At   time.Time
	File time.Time // zero: At is known
	// New has a repeat taken all the same: for rehearsals.
	New bool
}

// Fed says what became of a saved webhook.
type Fed struct {
	Seq    uint64 // 0: not stored, because it is stored already
	State  event.State
	Reason event.Reason
	Of     uint64 // of a repeat: the event it repeats, where that is known
}

// ErrTooLarge says that a saved webhook is larger than limits.body.
var ErrTooLarge = errors.New("larger than limits.body")

// NewFeed returns a feed into st for a connection of cfg.
func NewFeed(st *store.Store, cfg *config.Config, c *config.Connection) *Feed {
	f := &Feed{st: st, conn: c.Name}
	secret := rand.Text()
	s := intake.New(intake.Config{Body: cfg.Limits.Body}, intake.Deps{
		Journal: f, Pending: func(string) int { return 0 }, Replier: mute{}, Observer: mute{},
		HookKind: hookKind, Log: slog.New(slog.DiscardHandler),
	})
	s.SetConnections([]intake.Connection{{Name: c.Name, JivoSecrets: []string{secret}, Channels: c.Jivo.Channels}})
	f.handler, f.path = s.Handler(), "/jivo/"+c.Name+"/"+secret
	return f
}

// fedKey carries the webhook being fed to Append.
type fedKey struct{}

type feeding struct {
	saved Saved
	fed   Fed
	err   error
}

// Put feeds one webhook. Its error is ErrTooLarge or one of the journal's; what
// is no event at all is kept as dead, like a live one.
func (f *Feed) Put(ctx context.Context, s Saved) (Fed, error) {
	one := &feeding{saved: s}
	ctx = context.WithValue(ctx, fedKey{}, one)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.path, bytes.NewReader(s.Body))
	if err != nil {
		return Fed{}, err
	}
	answer := &nowhere{header: http.Header{}}
	f.handler.ServeHTTP(answer, req)
	switch {
	case one.err != nil:
		return Fed{}, one.err
	case answer.status == http.StatusRequestEntityTooLarge:
		return Fed{}, ErrTooLarge
	case answer.status != http.StatusOK:
		return Fed{}, fmt.Errorf("not taken (%d)", answer.status)
	}
	return one.fed, nil
}

// Append implements intake.Journal: the journal with the webhook's own time.
func (f *Feed) Append(ctx context.Context, in event.Incoming) (store.Appended, error) {
	one := ctx.Value(fedKey{}).(*feeding)
	in.Event.ReceivedAt, in.Event.Imported = one.saved.At.UTC(), true
	if one.saved.New {
		in.Dedup = event.Dedup{}
	} else if in.Event.State == event.Pending {
		reason, of, stripped, err := f.outdated(in, one.saved)
		if err != nil {
			one.err = err
			return store.Appended{}, err
		}
		switch reason {
		case event.Duplicate: // it is here: a second record would tell nobody anything
			one.fed = Fed{State: event.Skipped, Reason: reason, Of: of}
			return store.Appended{Seq: of, Repeat: true, Of: of}, nil
		case event.Stale:
			in.Event.State, in.Event.Reason = event.Skipped, reason
			in.Event.Detail = fmt.Sprintf("imported; %d is newer", of)
			if of == 0 {
				in.Event.Detail = "imported; what is known of the client is newer"
			}
			in.Dedup = event.Dedup{} // the newest state is what repeats are told by
			if stripped {
				in.Body = nil // its person may have been forgotten, which an older state must not undo
			}
		}
	}
	if now := time.Now(); in.Event.State == event.Pending && one.saved.At.After(now) {
		in.Event.NextAt = now.UTC() // a time written in another zone, or by another clock, keeps nobody waiting
	}
	got, err := f.st.Append(ctx, in)
	one.err = err
	if err != nil {
		return got, err
	}
	one.fed = Fed{Seq: got.Seq, State: in.Event.State, Reason: in.Event.Reason, Of: got.Of}
	if got.Repeat {
		one.fed.State, one.fed.Reason = event.Skipped, event.Duplicate
	}
	return got, nil
}

// lookBack is how many events of the same person or kind are compared with one
// that is imported.
const lookBack = 500

// outdated says whether an event that tells a state comes too late: Duplicate if
// it is in the journal already, Stale if something newer about the same thing is;
// stripped says that the body of the newer one is no longer kept.
// An event that happens once is left to the journal's own look at repeats.
func (f *Feed) outdated(in event.Incoming, s Saved) (reason event.Reason, of uint64, stripped bool, err error) {
	m, err := jivo.Decode(in.Body)
	if err != nil {
		return "", 0, false, nil // it is not stored as pending anyway
	}
	if !tellsState(m) {
		return "", 0, false, nil
	}
	err = f.st.View(func(tx *store.Tx) error {
		evs, err := f.relatives(tx, m)
		if err != nil {
			return err
		}
		for _, ev := range evs {
			body := tx.Body(ev.Seq)
			gone := reason == "" && body == nil && ev.ReceivedAt.Equal(s.At) && sameThing(m, ev, nil) // what it said went with its person, or its time
			if ev.Kind == m.Kind && (gone || bytes.Equal(body, in.Body) && s.sameAs(ev)) {
				reason, of = event.Duplicate, ev.Seq
				return nil
			}
			if ev.State == event.Skipped && (ev.Reason == event.Stale || ev.Reason == event.Duplicate) {
				continue
			}
			if reason == "" && s.before(m, ev) && sameThing(m, ev, body) {
				reason, of, stripped = event.Stale, ev.Seq, body == nil
			}
		}
		if reason == "" && describesClient(m) {
			if c := tx.Client(f.conn, m.Client); c.Described && c.ReceivedAt.After(s.At) {
				reason = event.Stale
			}
		}
		return nil
	})
	return reason, of, stripped, err
}

// sameAs reports whether a stored event with the same body is this very one.
func (s Saved) sameAs(ev *event.Event) bool {
	return ev.ReceivedAt.Equal(s.At) || ev.ReceivedAt.Before(s.File)
}

// before reports whether a stored event about the same thing shows that m came
// too late. Without a time of its own, an event of a chat that went on before
// the file was written was lived through.
func (s Saved) before(m *jivo.Message, ev *event.Event) bool {
	if ev.ReceivedAt.After(s.At) {
		return true
	}
	if !ev.ReceivedAt.Before(s.File) {
		return false
	}
	return m.Kind == "call_event" || m.Kind == "chat_accepted" && ev.Kind == "chat_finished"
}

// tellsState reports whether an event tells how something stands, so that an old
// one must not come after a new one. chat_accepted counts: an old one could open
// a second lead once the first is closed.
func tellsState(m *jivo.Message) bool {
	switch {
	case m.Kind == "offline_message", m.Kind == "chat_finished":
		return false
	case strings.HasPrefix(m.Kind, "created_"), strings.HasPrefix(m.Kind, "deleted_"):
		return false
	}
	return true
}

// relatives are the stored events an imported one may be older than, newest first.
func (f *Feed) relatives(tx *store.Tx, m *jivo.Message) ([]*event.Event, error) {
	filter := store.Filter{Connection: f.conn, Source: event.Jivo, Limit: lookBack}
	switch {
	case m.Chat != "":
		filter.Chat = m.Chat
	case m.Client != "":
		filter.Client = m.Client
	default:
		filter.Kind = m.Kind
	}
	evs, _, err := tx.Events(filter)
	return evs, err
}

// chatStates are the events of one chat that outdate each other.
var chatStates = []string{"chat_accepted", "chat_updated", "chat_finished"}

// sameThing reports whether a stored event speaks of what m speaks of.
func sameThing(m *jivo.Message, ev *event.Event, body []byte) bool {
	if slices.Contains(chatStates, m.Kind) {
		return ev.Chat == m.Chat && slices.Contains(chatStates, ev.Kind)
	}
	if m.Kind == "call_event" {
		return ev.Chat == m.Chat && ev.Kind == m.Kind
	}
	o, err := jivo.Decode(body)
	if err != nil {
		return ev.Kind == m.Kind && ev.Client == m.Client && m.Deal == "" && m.Task == ""
	}
	switch {
	case m.Task != "":
		return o.Task == m.Task
	case m.Deal != "":
		return o.Deal == m.Deal && o.Task == ""
	}
	return o.Kind == m.Kind && o.Dedup().Key == m.Dedup().Key
}

// describesClient reports whether the event is about the client as a person.
func describesClient(m *jivo.Message) bool {
	return m.Client != "" && m.Deal == "" && m.Task == "" && m.Chat == "" && m.Kind != "client_attribute_updated"
}

// nowhere is the answer nobody reads.
type nowhere struct {
	header http.Header
	status int
}

func (n *nowhere) Header() http.Header { return n.header }

func (n *nowhere) WriteHeader(status int) {
	if n.status == 0 {
		n.status = status
	}
}

func (n *nowhere) Write(p []byte) (int, error) {
	n.WriteHeader(http.StatusOK)
	return len(p), nil
}

// mute answers no operator and counts nothing: what is imported was not received
// by this listener.
type mute struct{}

func (mute) Reply(context.Context, string, *jivo.Message, uint64, bool) jivo.Reply {
	return jivo.Reply{}
}
func (mute) Received(string, event.Source, string)                      {}
func (mute) Settled(string, event.Source, string, event.State, float64) {}
func (mute) Refused(string, event.Source, string)                       {}
func (mute) Acked(event.Source, time.Duration)                          {}
func (mute) Replied(string, time.Duration)                              {}
