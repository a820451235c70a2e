package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/console"
	"github.com/jivo-amocrm/bridge/internal/event"
)

type eventsCmd struct {
	List    eventsListCmd    `cmd:"" help:"List events, newest first."`
	Show    eventsShowCmd    `cmd:"" help:"Everything about one event: what came, which rule, which contact and lead and why, which requests, what amoCRM said."`
	Replay  eventsReplayCmd  `cmd:"" help:"Put settled events to work again."`
	Discard eventsDiscardCmd `cmd:"" help:"Make dead events skipped."`
}

// eventFilter are the flags that narrow a list (product.md §4).
type eventFilter struct {
	Connection string `help:"Only this connection's."`
	Source     string `help:"Only from jivo or from amocrm." enum:"jivo,amocrm," default:""`
	Kind       string `help:"Only this event name, such as chat_finished or leads.status."`
	State      string `help:"Only in this state: pending, parked, done, skipped, dead." enum:"pending,parked,done,skipped,dead," default:""`
	Reason     string `help:"Only with this reason, such as anonymous or refused."`
	Client     string `help:"Only of this Jivo client id."`
}

func (f eventFilter) filter(cfg *config.Config) (console.Filter, error) {
	if f.Connection != "" && cfg.Connection(f.Connection) == nil {
		// A connection that was removed from the config still has events.
		if !validName(f.Connection) {
			_, err := connectionOf(cfg, f.Connection)
			return console.Filter{}, err
		}
	}
	return console.Filter{
		Connection: f.Connection, Source: event.Source(f.Source), Kind: f.Kind,
		State: event.State(f.State), Reason: event.Reason(f.Reason), Client: f.Client,
	}, nil
}

func validName(s string) bool {
	return s != "" && len(s) <= 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

type eventsListCmd struct {
	configFlag
	eventFilter
	Search string `short:"q" help:"Only those of a phone, e-mail, name, chat id or lead id." placeholder:"TEXT"`
	Limit  int    `help:"At most so many." default:"50"`
	Before uint64 `help:"Only older than this number: the next page."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run lists events.
func (c eventsListCmd) Run(e *env) error {
	if c.Limit < 1 || c.Limit > 10_000 {
		return usage{errors.New("--limit must be from 1 to 10000")}
	}
	cfg, err := c.loadForStore()
	if err != nil {
		return err
	}
	f, err := c.filter(cfg)
	if err != nil {
		return err
	}
	d, err := openDesk(e.ctx, cfg, true)
	if err != nil {
		return err
	}
	defer d.Close()
	f.Before = c.Before
	page, err := c.collect(e.ctx, d, f)
	if err != nil {
		return err
	}
	if len(page.Events) == 0 && f.Connection != "" { // one that was removed from the config would have some
		if _, err := connectionOf(cfg, f.Connection); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(e.stdout, page)
	}
	if err := printItems(e.stdout, page.Events); err != nil {
		return err
	}
	if page.Next != 0 {
		fmt.Fprintf(e.stderr, "bridge: hint: more: --before %d\n", page.Next)
	}
	return nil
}

// collect gathers as many pages as the limit takes.
func (c eventsListCmd) collect(ctx context.Context, d desk, f console.Filter) (console.Page, error) {
	if c.Search != "" {
		return c.search(ctx, d, f)
	}
	all := console.Page{Events: []console.Item{}}
	for {
		f.Limit = min(c.Limit-len(all.Events), console.MaxLimit)
		p, err := d.Events(ctx, f)
		if err != nil {
			return all, err
		}
		all.Events, all.Next = append(all.Events, p.Events...), p.Next
		if p.Next == 0 || len(all.Events) >= c.Limit {
			return all, nil
		}
		f.Before = p.Next
	}
}

// search narrows what a search found by the other flags.
func (c eventsListCmd) search(ctx context.Context, d desk, f console.Filter) (console.Page, error) {
	p, err := d.Search(ctx, c.Search)
	if err != nil {
		return p, err
	}
	out := console.Page{Events: []console.Item{}}
	for _, it := range p.Events {
		if len(out.Events) < c.Limit && matches(it, f) {
			out.Events = append(out.Events, it)
		}
	}
	return out, nil
}

func matches(it console.Item, f console.Filter) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	return is(f.Connection, it.Connection) && is(string(f.Source), string(it.Source)) && is(f.Kind, it.Kind) &&
		is(string(f.State), string(it.State)) && is(string(f.Reason), string(it.Reason)) && is(f.Client, it.Client) &&
		(f.Before == 0 || it.Seq < f.Before)
}

// whyLetters is how much of a dead event's why a list shows: `events show` has
// all of it.
const whyLetters = 60

// inShort puts a text on one line and cuts it.
func inShort(text string, letters int) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > letters {
		return strings.TrimSpace(string(r[:letters-1])) + "…"
	}
	return text
}

func printItems(w io.Writer, items []console.Item) error {
	rows := [][]string{{"SEQ", "RECEIVED", "CONNECTION", "SOURCE", "KIND", "CLIENT", "STATE", "REASON"}}
	for _, it := range items {
		reason := string(it.Reason)
		if it.State == event.Dead && it.Detail != "" {
			reason = fmt.Sprintf("%s: %s", reason, inShort(it.Detail, whyLetters))
		}
		if n := len(it.Warnings); n > 0 {
			reason = strings.TrimSpace(reason + " (" + plural(n, "warning") + ")")
		}
		if it.NextAt != nil && it.State == event.Pending && it.Attempts > 0 {
			reason = strings.TrimSpace(fmt.Sprintf("%s tried %d×, next %s", reason, it.Attempts, clock(*it.NextAt)))
		}
		rows = append(rows, []string{
			strconv.FormatUint(it.Seq, 10), clock(it.ReceivedAt), it.Connection, string(it.Source), it.Kind, it.Client, string(it.State), reason,
		})
	}
	return columns(w, rows)
}

type eventsReplayCmd struct {
	configFlag
	Seq        []uint64 `arg:"" optional:"" help:"Numbers of events."`
	Connection string   `help:"In bulk: only this connection's."`
	State      string   `help:"In bulk: all in this state (dead, skipped, done)." enum:"dead,skipped,done," default:""`
	Reason     string   `help:"In bulk: only with this reason."`
	Again      bool     `help:"Repeat creates, notes, tasks and calls that are settled already."`
	JSON       bool     `name:"json" help:"Print JSON."`
}

// Run puts events to work again.
func (c eventsReplayCmd) Run(e *env) error {
	if err := oneWay(c.Seq, c.State, c.Connection, c.Reason); err != nil {
		return err
	}
	return moveEvents(e, c.configFlag, c.JSON, "replayed", func(d desk) (int, error) {
		if len(c.Seq) == 0 {
			return d.ReplayAll(e.ctx, console.ReplayFilter{
				Connection: c.Connection, State: event.State(c.State), Reason: event.Reason(c.Reason), Again: c.Again,
			})
		}
		for i, seq := range c.Seq {
			if err := d.Replay(e.ctx, seq, c.Again); err != nil {
				return i, aboutEvent(seq, err)
			}
		}
		return len(c.Seq), nil
	})
}

type eventsDiscardCmd struct {
	configFlag
	Seq        []uint64 `arg:"" optional:"" help:"Numbers of events."`
	Connection string   `help:"In bulk: only this connection's."`
	State      string   `help:"In bulk: dead." enum:"dead," default:""`
	Reason     string   `help:"In bulk: only with this reason."`
	JSON       bool     `name:"json" help:"Print JSON."`
}

// Run makes dead events skipped.
func (c eventsDiscardCmd) Run(e *env) error {
	if err := oneWay(c.Seq, c.State, c.Connection, c.Reason); err != nil {
		return err
	}
	return moveEvents(e, c.configFlag, c.JSON, "discarded", func(d desk) (int, error) {
		if len(c.Seq) == 0 {
			return discardAll(e.ctx, d, console.Filter{Connection: c.Connection, State: event.Dead, Reason: event.Reason(c.Reason)})
		}
		for i, seq := range c.Seq {
			if err := d.Discard(e.ctx, seq); err != nil {
				return i, aboutEvent(seq, err)
			}
		}
		return len(c.Seq), nil
	})
}

// oneWay makes sure that events are named either by number or in bulk, and that
// nothing in bulk is done by accident.
func oneWay(seqs []uint64, state, connection, reason string) error {
	switch bulk := state != "" || connection != "" || reason != ""; {
	case len(seqs) > 0 && bulk:
		return usage{errors.New("either numbers of events, or --state with what narrows it")}
	case len(seqs) == 0 && state == "":
		return usage{errors.New("which events? give their numbers, or --state dead for all that match")}
	}
	return nil
}

func discardAll(ctx context.Context, d desk, f console.Filter) (n int, err error) {
	f.Limit = console.MaxLimit
	for {
		p, err := d.Events(ctx, f)
		if err != nil {
			return n, err
		}
		for _, it := range p.Events {
			err := d.Discard(ctx, it.Seq)
			var meanwhile *console.Conflict
			if errors.As(err, &meanwhile) {
				continue
			}
			if err != nil {
				return n, aboutEvent(it.Seq, err)
			}
			n++
		}
		if p.Next == 0 {
			return n, nil
		}
		f.Before = p.Next
	}
}

// moveEvents does something to events and says how many it were.
func moveEvents(e *env, flag configFlag, asJSON bool, word string, move func(desk) (int, error)) error {
	cfg, err := flag.loadForStore()
	if err != nil {
		return err
	}
	d, err := openDesk(e.ctx, cfg, false)
	if err != nil {
		return err
	}
	defer d.Close()
	n, err := move(d)
	if asJSON {
		if e := printJSON(e.stdout, map[string]int{word: n}); e != nil {
			return e
		}
	} else if n > 0 || err == nil {
		fmt.Fprintf(e.stdout, "%s %s\n", word, plural(n, "event"))
	}
	if _, running := d.(*admin); err == nil && n > 0 && word == "replayed" && !running {
		fmt.Fprintln(e.stderr, "bridge: hint: the bridge is not running; they are worked when it starts")
	}
	return err
}

// aboutEvent names the event an error is about.
func aboutEvent(seq uint64, err error) error {
	if errors.Is(err, console.ErrNotFound) {
		return hinted{fmt.Errorf("there is no event %d", seq), "it may have been purged (retention); `bridge events list` shows what there is"}
	}
	return fmt.Errorf("event %d: %w", seq, err)
}
