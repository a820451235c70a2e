package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// hookShare of limits.backlog is where amoCRM's hooks are refused: the sweep
// repairs what they would have said, and nothing repairs a lost chat.
const hookShare = 0.8

// presized is the most that is allocated on the word of a Content-Length.
const presized = 64 << 10

// endpoint serves POST /{source}/{connection}/{secret}. Checks stand in an
// order by which a wrong secret learns nothing: whatever is wrong besides, it
// gets the 404 of a path that does not exist.
func (s *Server) endpoint(source event.Source, handle func(x *exchange, c *connection, body []byte)) http.Handler {
	route := "/" + string(source) + "/{connection}/{secret}"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := s.begin(w, r, source, route)
		defer x.end()
		c, name := s.table.Load().find(r, source)
		x.connection = name
		if c == nil {
			x.count(whyNotFound)
			x.notFound()
			return
		}
		if r.Method != http.MethodPost {
			x.count(whyMethod)
			x.wrongMethod(http.MethodPost)
			return
		}
		if compressed(r.Header) {
			x.refuse(http.StatusUnsupportedMediaType, whyEncoding, "content encoding not supported")
			return
		}
		cfg := s.cfg.Load()
		if why := s.pressure(c.name, source, cfg.Backlog); why != "" {
			x.unavailable(why, nil)
			return
		}
		body, ok := x.read(cfg.Body)
		if !ok {
			return
		}
		handle(x, c, body)
	})
}

// compressed reports whether a body has an encoding other than identity.
func compressed(h http.Header) bool {
	for _, line := range h.Values("Content-Encoding") {
		for coding := range strings.SplitSeq(line, ",") {
			if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
				return true
			}
		}
	}
	return false
}

// pressure is why an event cannot be taken now, or "".
func (s *Server) pressure(connection string, source event.Source, backlog int) string {
	limit := backlog
	if source == event.AmoCRM {
		limit = int(float64(limit) * hookShare)
	}
	if backlog > 0 && s.deps.Pending(connection) >= limit {
		return whyBacklog
	}
	return ""
}

// read takes the whole body, or answers why it could not.
func (x *exchange) read(limit int64) ([]byte, bool) {
	if x.r.ContentLength > limit {
		x.refuse(http.StatusRequestEntityTooLarge, whyTooLarge, "body too large")
		return nil, false
	}
	var buf bytes.Buffer
	buf.Grow(int(min(max(x.r.ContentLength, 0), presized)) + bytes.MinRead)
	_, err := io.Copy(&buf, http.MaxBytesReader(x.w, x.r.Body, limit))
	x.size = buf.Len()
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return buf.Bytes(), true
	case errors.As(err, &tooLarge):
		x.refuse(http.StatusRequestEntityTooLarge, whyTooLarge, "body too large")
	default:
		x.refuse(http.StatusBadRequest, whyRead, "body not read")
	}
	return nil, false
}

// keep journals an event and reports whether it is on disk; if not, it has
// answered. A sender that goes away meanwhile changes nothing: what was taken
// is stored.
func (x *exchange) keep(in event.Incoming) (store.Appended, bool) {
	in.Event.Connection = x.connection
	in.Event.Source = x.source
	in.Event.ReceivedAt = x.start.UTC()
	if in.Event.State.Settled() {
		in.Event.SettledAt = in.Event.ReceivedAt
	}
	at, err := x.s.deps.Journal.Append(context.WithoutCancel(x.r.Context()), in)
	if err != nil {
		x.unavailable(whyNot(err), err)
		return at, false
	}
	x.stored, x.seq, x.repeat = true, at.Seq, at.Repeat
	x.s.deps.Observer.Acked(x.source, time.Since(x.start))
	x.s.deps.Observer.Received(x.connection, x.source, x.kindLabel())
	if in.Event.State == event.Dead { // an alarm, as any other event's death (product.md §8.8); why may quote the body
		x.s.deps.Log.Error("event", "connection", x.connection, "seq", at.Seq, "source", string(x.source), "kind", x.kindLabel(),
			"state", string(event.Dead), "reason", string(in.Event.Reason))
	}
	if state := storedAs(in.Event.State, at); state.Settled() {
		x.s.deps.Observer.Settled(x.connection, x.source, x.kindLabel(), state, time.Since(x.start).Seconds())
	}
	x.s.alarms.clear(x.s.deps.Log, x.connection, x.source)
	return at, true
}

// storedAs is the state the journal gave an event: a repeat is skipped.
func storedAs(wanted event.State, at store.Appended) event.State {
	if at.Repeat {
		return event.Skipped
	}
	return wanted
}

func whyNot(err error) string {
	switch {
	case errors.Is(err, store.ErrFull):
		return whyFull
	case errors.Is(err, store.ErrClosed):
		return whyClosing
	}
	return whyBroken
}

// jivo takes one event of either of Jivo's streams.
func (s *Server) jivo(x *exchange, c *connection, body []byte) {
	s.takeJivo(x, c, body)
	if x.stored {
		s.deps.Observer.Replied(x.kindLabel(), time.Since(x.start))
	}
}

func (s *Server) takeJivo(x *exchange, c *connection, body []byte) {
	msg, err := jivo.Decode(body)
	if err != nil {
		why := unparsable(err)
		in := event.Incoming{Event: event.Event{State: event.Dead, Reason: event.Unparsable, Detail: why}, Body: body}
		if _, ok := x.keep(in); ok {
			x.result(why)
		}
		return
	}
	if msg.Known {
		x.kind = msg.Kind
	}
	in := incoming(msg, c)
	in.Body = body
	at, ok := x.keep(in)
	if !ok {
		return
	}
	if in.Event.State == event.Pending && isAnswered(msg.Kind) {
		x.reply(msg, at)
		return
	}
	x.ok()
}

// isAnswered reports whether Jivo shows the operator what is answered
// (jivo-webhooks.md §a.3).
func isAnswered(kind string) bool { return kind == "chat_accepted" || kind == "chat_updated" }

// unparsable is the why of a body that is no event.
func unparsable(err error) string {
	var u *jivo.Unparsable
	if errors.As(err, &u) && u.Why != "" {
		return u.Why
	}
	return "not a JSON object"
}

// incoming is the event a message is journaled as. Only what is to be done has
// a dedup key: what is skipped has no effect that could be doubled.
func incoming(msg *jivo.Message, c *connection) event.Incoming {
	ev := event.Event{
		Kind: msg.Kind, Client: msg.Client, Chat: msg.Chat, Line: line(msg),
		State: event.Pending, Coercions: msg.Coercions,
	}
	switch {
	case !msg.Known:
		ev.State, ev.Reason = event.Skipped, event.UnknownEvent
	case !c.letsIn(msg.Widget):
		ev.State, ev.Reason = event.Skipped, event.ChannelClosed
	default:
		return event.Incoming{Event: ev, Dedup: msg.Dedup()}
	}
	return event.Incoming{Event: ev}
}

// line says which events a message must wait for: its client's, else its
// chat's or deal's. Jivo's own dictionaries (pipelines, categories, tags,
// organizations) form one line.
func line(msg *jivo.Message) string {
	switch {
	case msg.Client != "":
		return event.LineOfPerson(msg.Client)
	case msg.Chat != "":
		return event.LineOfPerson(event.ChatPerson(msg.Chat))
	case msg.Deal != "":
		return "l:" + msg.Deal
	case msg.Known && msg.Task == "" && jivo.Stream(msg.Kind) == "crm":
		return "d"
	}
	return ""
}

// reply answers with what the operator is to see. The event is on disk, so
// whatever goes wrong here costs the card and nothing else.
func (x *exchange) reply(msg *jivo.Message, at store.Appended) {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(x.r.Context()), x.start.Add(ReplyLimit))
	defer cancel()
	seq := at.Seq
	if at.Repeat && at.Of != 0 {
		seq = at.Of
	}
	body, err := json.Marshal(x.s.deps.Replier.Reply(ctx, x.connection, msg, seq, at.Repeat))
	if err != nil {
		x.s.deps.Log.Error("reply not composed", "connection", x.connection, "seq", at.Seq, "error", err)
		x.ok()
		return
	}
	x.json(body)
}

// result is the answer to a body that is no event: Jivo shows nobody anything.
func (x *exchange) result(why string) {
	body, err := json.Marshal(map[string]string{"result": why})
	if err != nil { // cannot be: a string always encodes
		x.ok()
		return
	}
	x.json(body)
}

// hook takes one amoCRM hook; each is an event outside any client's order
// (product.md §6).
func (s *Server) hook(x *exchange, _ *connection, body []byte) {
	ev := event.Event{State: event.Pending}
	kind, err := s.deps.HookKind(x.r.Header.Get("Content-Type"), body)
	if err != nil {
		ev.State, ev.Reason, ev.Detail = event.Dead, event.Unparsable, err.Error()
	} else {
		ev.Kind, x.kind = kind, kind
	}
	if _, ok := x.keep(event.Incoming{Event: ev, Body: body}); ok {
		x.ok()
	}
}
