package mapping

import (
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// Transcript is the transcript() of rules: a finished chat as text, with times
// on the connection's clock, the operators' names, the rating and the list of
// operators. Only messages newer than in.NotedTo are in it. It is "" if the
// visitor never wrote, or if there is nothing new. HTML is never used;
// `plain_messages` is the fall-back where Jivo sent no messages.
func (p *Program) Transcript(in *Input) string {
	messages := objects(in.Fields, "chat", "messages")
	if len(messages) == 0 {
		plain := lines(str(in.Fields, "plain_messages"))
		if plain == "" || in.NotedTo > 0 {
			return ""
		}
		return strings.Join(append([]string{plain}, p.closing(in)...), "\n")
	}
	t := transcript{p: p, in: in, names: operators(in)}
	wrote := false
	for _, m := range messages {
		wrote = wrote || isVisitor(m)
		if at := int(num(m, "timestamp")); at == 0 || at > in.NotedTo {
			t.message(m, at)
		}
	}
	if !wrote || len(t.lines) == 0 {
		return ""
	}
	head := p.texts.chat
	if chat := id(in.Fields, "chat_id"); chat != "" {
		head += " " + chat
	}
	out := []string{head}
	if text := lines(str(in.Fields, "chat", "invitation")); text != "" && in.NotedTo == 0 {
		out = append(out, p.texts.invitation+": "+text)
	}
	out = append(out, t.lines...)
	return strings.Join(append(out, p.closing(in)...), "\n")
}

// LastMessage is the time of a finished chat's last message (unix seconds), 0
// if it has none: what NotedTo becomes once the transcript is written.
func LastMessage(in *Input) int {
	last := 0
	for _, m := range objects(in.Fields, "chat", "messages") {
		last = max(last, int(num(m, "timestamp")))
	}
	return last
}

type transcript struct {
	p     *Program
	in    *Input
	names map[string]string
	day   string
	lines []string
}

func (t *transcript) message(m event.Object, at int) {
	text := lines(str(m, "message"))
	if text == "" {
		return
	}
	clock := ""
	if at > 0 {
		when := time.Unix(int64(at), 0).In(t.in.location())
		if day := when.Format(t.p.texts.date); day != t.day {
			t.day = day
			t.lines = append(t.lines, day)
		}
		clock = when.Format("15:04") + " "
	}
	t.lines = append(t.lines, clock+t.who(m)+": "+text)
}

func (t *transcript) who(m event.Object) string {
	if isVisitor(m) {
		return firstOf(line(str(t.in.Fields, "visitor", "name")), line(t.in.client().Name), t.p.texts.visitor)
	}
	agent := id(m, "agent_id")
	if agent == "" {
		return t.p.texts.agent
	}
	known := t.in.names().Agent(agent)
	return firstOf(t.names[agent], line(known.Name), line(known.Email), t.p.texts.agent)
}

func isVisitor(m event.Object) bool {
	who := str(m, "type")
	return who == "visitor" || who == "client" || who == "" && id(m, "agent_id") == ""
}

// operators are the names of the agents an event lists, by id.
func operators(in *Input) map[string]string {
	out := map[string]string{}
	list := append(few(in.Fields, "agents"), objectOr(in.Fields["agent"]))
	for _, a := range list {
		if n := id(a, "id"); n != "" {
			out[n] = firstOf(line(str(a, "name")), line(str(a, "email")))
		}
	}
	return out
}

// closing are the lines under a transcript: rating and operators.
func (p *Program) closing(in *Input) []string {
	var out []string
	rate := line(firstOf(str(in.Fields, "chat", "rate"), str(in.Fields, "chat_rate")))
	switch rate {
	case "":
	case "positive":
		out = append(out, p.texts.rating+": "+p.texts.good)
	case "negative":
		out = append(out, p.texts.rating+": "+p.texts.bad)
	default:
		out = append(out, p.texts.rating+": "+rate)
	}
	var who []string
	for _, a := range few(in.Fields, "agents") {
		n := id(a, "id")
		who = appendNew(who, firstOf(line(str(a, "name")), line(str(a, "email")), line(in.names().Agent(n).Name)))
	}
	if len(who) > 0 {
		out = append(out, p.texts.operators+": "+strings.Join(who, ", "))
	}
	return out
}
