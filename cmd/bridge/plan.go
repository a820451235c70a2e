package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/jivo-amocrm/bridge/cmd/bridge/internal/rehearse"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/amocrm/token"
	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/event"
)

type planCmd struct {
	configFlag
	Connection string `arg:"" help:"A connection of the config."`
	Event      string `arg:"" help:"A file with one webhook body of Jivo; - is standard input." placeholder:"EVENT.json"`
	Blank      bool   `help:"As if the bridge had met nobody yet: leave its store out."`
	JSON       bool   `name:"json" help:"Print JSON."`
}

// planned is what an event would do.
type planned struct {
	Kind     string             `json:"kind"`
	Client   string             `json:"client"`
	Chat     string             `json:"chat"`
	RepeatOf uint64             `json:"repeat_of,omitempty"` // of a repeat nothing comes; the rest is as if it were none
	State    event.State        `json:"state"`
	Reason   event.Reason       `json:"reason"`
	Detail   string             `json:"detail"`
	Rules    []event.RuleTrace  `json:"rules"`
	Contact  *event.Match       `json:"contact"`
	Lead     *event.Match       `json:"lead"`
	Requests []rehearse.Request `json:"requests"`
	Warnings []string           `json:"warnings"`

	event *event.Event
}

// Run rehearses one event on the true account.
func (c planCmd) Run(e *env) error {
	cfg, conn, err := c.pick(c.Connection)
	if err != nil {
		return err
	}
	body, err := readBody(e, c.Event, cfg.Limits.Body)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(e.ctx)
	defer stop()
	p, err := c.rehearse(ctx, cfg, conn, body)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(e.stdout, p)
	} else {
		p.print(e.stdout, conn)
	}
	if err != nil {
		return err
	}
	if p.State == event.Pending { // the rehearsal itself got stuck
		return outside{fmt.Errorf("the rehearsal could not be finished: %s", p.Detail)}
	}
	return nil
}

// readBody reads one webhook body; a line of an import file does, too.
func readBody(e *env, name string, limit int64) ([]byte, error) {
	in, _, _, err := openInput(e, name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	body, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%s is larger than limits.body (%s)", name, size(limit))
	}
	l, err := (&importer{}).parse(bytes.TrimSpace(body))
	return []byte(l.Body), err
}

// account is what a rehearsal reads from: the running bridge, or a client of its
// own.
type account struct {
	reader app.Reader
	dict   *dict.Snapshot
	from   func(path string) error // writes the store to begin with; nil: a blank one
	close  func()
}

func (c planCmd) rehearse(ctx context.Context, cfg *config.Config, conn *config.Connection, body []byte) (*planned, error) {
	acc, err := c.account(ctx, cfg, conn)
	if err != nil {
		return nil, err
	}
	defer acc.close()
	if c.Blank {
		acc.from = nil
	}
	box := rehearse.NewSandbox(acc.reader)
	r, err := rehearse.Open(cfg, conn, acc.dict, box, acc.from)
	if err != nil {
		return nil, outside{err}
	}
	defer r.Close()
	played, err := r.Play(ctx, body)
	if err != nil {
		return nil, outside{err}
	}
	ev := played.Event
	return &planned{
		Kind: ev.Kind, Client: ev.Client, Chat: ev.Chat, RepeatOf: played.Repeat, State: ev.State, Reason: ev.Reason, Detail: ev.Detail,
		Rules: listed(ev.Rules), Contact: ev.Contact, Lead: ev.Lead, Requests: listed(box.Sent()), Warnings: listed(ev.Warnings), event: ev,
	}, nil
}

func listed[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// account opens the account for reading. The desk decides: through a running
// bridge both keep to one budget, and its grant is used by it alone.
func (c planCmd) account(ctx context.Context, cfg *config.Config, conn *config.Connection) (*account, error) {
	d, err := openDesk(ctx, cfg, true)
	if _, statErr := os.Stat(storePath(cfg)); err != nil && errors.Is(statErr, fs.ErrNotExist) {
		return direct(ctx, conn, nil) // never run yet: there is nothing to know
	}
	if err != nil {
		return nil, err
	}
	from := func(path string) error {
		_, err := copyStore(ctx, d, path)
		return err
	}
	a, running := d.(*admin)
	if !running || !a.works(ctx, conn) { // stopped, or running with another config
		acc, err := direct(ctx, conn, from)
		if err != nil {
			d.Close()
			return nil, err
		}
		inner := acc.close
		acc.close = func() { inner(); d.Close() }
		return acc, nil
	}
	r := remote{a, conn.Name}
	dict, err := r.dictionary(ctx)
	if err != nil {
		d.Close()
		return nil, crmError(conn, err)
	}
	return &account{reader: r, dict: dict, from: from, close: d.Close}, nil
}

// direct reads an account with the config's own token.
func direct(ctx context.Context, conn *config.Connection, from func(string) error) (*account, error) {
	if conn.AmoCRM.OAuth != nil {
		return nil, hinted{errors.New("an OAuth account can be asked only through the running bridge, which keeps its grant"), "start the bridge, then plan again"}
	}
	crm := app.NewClient(conn, token.NewStatic(conn.AmoCRM.Token.Reveal()), options())
	dict, err := dict.Load(ctx, crm)
	if err != nil {
		crm.Close()
		return nil, crmError(conn, err)
	}
	return &account{reader: crm, dict: dict, from: from, close: crm.Close}, nil
}

// print tells people what would happen.
func (p *planned) print(w io.Writer, conn *config.Connection) {
	s := story{w, marksFor(w)}
	s.printf("jivo %s, client %s, chat %s", orDash(p.Kind), orDash(p.Client), orDash(p.Chat))
	if p.RepeatOf != 0 {
		s.printf("%s it repeats event %d: nothing would be done. Were it new:", s.m.warn, p.RepeatOf)
	}
	s.rules(p.Rules)
	for _, m := range []struct {
		what string
		*event.Match
	}{{"contact", p.Contact}, {"lead", p.Lead}} {
		if m.Match != nil && m.Created {
			s.printf("%s: a new one%s", m.what, dash(m.Why))
		} else {
			s.match(m.what, m.Match, conn.AmoCRM.Account)
		}
	}
	s.list("warnings", p.Warnings)
	s.printf("it would be %s%s", strings.ToUpper(string(p.State)), because(p.Reason))
	if p.Detail != "" {
		s.printf("  %s", p.Detail)
	}
	if len(p.Requests) == 0 {
		s.printf("requests: none")
		return
	}
	s.printf("requests, none of which was sent")
	for i, r := range p.Requests {
		s.printf("%d. %s %s", i+1, r.Method, r.Path)
		var nice bytes.Buffer
		if json.Indent(&nice, r.Body, "   ", "  ") == nil {
			s.printf("   %s", nice.String())
		}
		for _, what := range []string{"lead", "contact", "company", "note", "task"} {
			if id := r.Made[what]; id != 0 {
				s.printf("   its %s is called %d here", what, id)
			}
		}
	}
}
