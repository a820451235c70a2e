package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/console"
	"github.com/jivo-amocrm/bridge/internal/event"
)

type eventsShowCmd struct {
	configFlag
	Seq  uint64 `arg:"" help:"The event's number."`
	Body bool   `default:"true" negatable:"" help:"Print what came as well (it may hold a person's data)."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run prints the whole story of one event.
func (c eventsShowCmd) Run(e *env) error {
	cfg, err := c.loadForStore()
	if err != nil {
		return err
	}
	d, err := openDesk(e.ctx, cfg, true)
	if err != nil {
		return err
	}
	defer d.Close()
	ev, err := d.Event(e.ctx, c.Seq)
	if err != nil {
		return aboutEvent(c.Seq, err)
	}
	if !c.Body {
		ev.Body = nil
	}
	if c.JSON {
		return printJSON(e.stdout, ev)
	}
	story{e.stdout, marksFor(e.stdout)}.tell(ev)
	if c.Body {
		printBody(e.stdout, ev)
	}
	return nil
}

// story prints what happened to an event, for people.
type story struct {
	w io.Writer
	m marks
}

func (s story) printf(format string, a ...any) { fmt.Fprintf(s.w, format+"\n", a...) }

func (s story) tell(ev *console.Detail) {
	s.printf("event %d: %s %s of %s is %s%s", ev.Seq, ev.Source, cmp.Or(ev.Kind, "(no name)"), ev.Connection, strings.ToUpper(string(ev.State)), because(ev.Reason))
	if ev.Detail != "" {
		s.printf("  %s", ev.Detail)
	}
	s.printf("  received %s (%s)%s", clock(ev.ReceivedAt), ago(ev.ReceivedAt), settling(ev))
	if ev.NextAt != nil && !ev.State.Settled() {
		s.printf("  next try %s, tried %d× so far", clock(*ev.NextAt), ev.Attempts)
	}
	if ev.Client != "" || ev.Chat != "" {
		s.printf("  client %s, chat %s", cmp.Or(ev.Client, "-"), cmp.Or(ev.Chat, "-"))
	}
	s.rules(ev.Rules)
	s.match("contact", ev.Contact, ev.Account)
	s.match("lead", ev.Lead, ev.Account)
	s.changes(ev)
	s.requests(ev.Requests)
	s.list("warnings", ev.Warnings)
	s.list("read with repairs", ev.Coercions)
}

func because(r event.Reason) string {
	if r == "" {
		return ""
	}
	return " (" + string(r) + ")"
}

func settling(ev *console.Detail) string {
	if ev.SettledAt == nil {
		return ""
	}
	out := fmt.Sprintf(", settled %.1f s later", ev.SettledAt.Sub(ev.ReceivedAt).Seconds())
	if ev.Attempts > 0 {
		out += fmt.Sprintf(" after %d failed tries", ev.Attempts)
	}
	return out
}

func (s story) rules(rules []event.RuleTrace) {
	if len(rules) == 0 {
		return
	}
	s.printf("rules")
	for _, r := range rules {
		mark, why := s.m.ok, ""
		if !r.Matched {
			mark = "-" + strings.Repeat(" ", max(0, len([]rune(s.m.ok))-1))
		}
		if r.Why != "" {
			why = ": " + r.Why
		}
		s.printf("  %s %s%s", mark, r.Rule, why)
	}
}

func (s story) match(what string, m *event.Match, account string) {
	switch {
	case m == nil:
		return
	case m.ID == 0:
		s.printf("%s: none%s", what, dash(m.Why))
	case m.Created:
		s.printf("%s %d: made%s", what, m.ID, dash(m.Why))
	default:
		s.printf("%s %d: found by %s%s", what, m.ID, m.By, dash(m.Why))
	}
	if m.ID != 0 && account != "" {
		s.printf("  %s/%ss/detail/%d", account, what, m.ID)
	}
}

func dash(why string) string {
	if why == "" {
		return ""
	}
	return " (" + why + ")"
}

func (s story) changes(ev *console.Detail) {
	if len(ev.Changes) == 0 {
		if ev.State == event.Done {
			s.printf("changes: none, everything stood already")
		}
		return
	}
	s.printf("changes")
	for _, c := range ev.Changes {
		mark := s.m.warn
		switch c.State {
		case event.Settled:
			mark = s.m.ok
		case event.Dropped:
			mark = s.m.bad
		}
		line := fmt.Sprintf("  %s %s %s", mark, c.Op, c.Target)
		if c.AmoID != 0 {
			line += fmt.Sprintf(" %d", c.AmoID)
		}
		if c.Rule != "" {
			line += fmt.Sprintf(" by %q", c.Rule)
		}
		if c.State != event.Settled {
			line += ": " + string(c.State)
		}
		if c.Error != "" {
			line += ": " + c.Error
		}
		s.printf("%s", line)
	}
}

func (s story) requests(all []event.Request) {
	if len(all) == 0 {
		return
	}
	s.printf("requests")
	for _, r := range all {
		status := "no answer"
		if r.Status != 0 {
			status = fmt.Sprint(r.Status)
		}
		s.printf("  %s %s %s → %s in %.2f s", r.At.Local().Format("15:04:05"), r.Method, r.Path, status, r.Seconds)
		if r.Answer != "" {
			s.printf("    amoCRM said: %s", r.Answer)
		}
	}
}

func (s story) list(title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	s.printf("%s", title)
	for _, l := range slices.Sorted(slices.Values(lines)) {
		s.printf("  %s", l)
	}
}

// printBody prints what came, JSON set out nicely.
func printBody(w io.Writer, ev *console.Detail) {
	if ev.Body == nil {
		fmt.Fprintln(w, "body: purged (retention.bodies)")
		return
	}
	fmt.Fprintln(w, "body")
	var nice bytes.Buffer
	if json.Indent(&nice, []byte(*ev.Body), "  ", "  ") == nil {
		fmt.Fprintf(w, "  %s\n", nice.String())
		return
	}
	fmt.Fprintf(w, "  %q\n", *ev.Body)
}
