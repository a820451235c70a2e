package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/token"
	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/config"
)

type checkCmd struct {
	configFlag
	Offline bool `help:"Read the config only; ask no account."`
	Fix     bool `help:"Make the marker fields and the hook subscription where they are missing."`
	JSON    bool `name:"json" help:"Print JSON."`
}

// level is how good or bad a finding is.
type level string

const (
	fine  level = "ok"
	doubt level = "warning" // it works, and less well than it could
	wrong level = "error"
	away  level = "outside" // the outside world failed; nothing is known
)

// finding is one line of a check.
type finding struct {
	Level level  `json:"level"`
	What  string `json:"what"`
	Hint  string `json:"hint,omitempty"`
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
	Col   int    `json:"col,omitempty"`
	// Nearest are the names the account has that look most like a missing one.
	Nearest []string `json:"nearest,omitempty"`
}

// section is what was found about the config, or about one connection.
type section struct {
	Connection string    `json:"connection,omitempty"`
	Account    string    `json:"account,omitempty"`
	Findings   []finding `json:"findings"`
}

func (s *section) add(l level, format string, a ...any) *finding {
	s.Findings = append(s.Findings, finding{Level: l, What: fmt.Sprintf(format, a...)})
	return &s.Findings[len(s.Findings)-1]
}

// checked is the whole report.
type checked struct {
	OK       bool      `json:"ok"`
	Sections []section `json:"sections"`
}

// Run reads the config and looks at its accounts.
func (c checkCmd) Run(e *env) error {
	cfg, err := c.load()
	var problems *config.Problems
	if errors.As(err, &problems) && c.JSON {
		if err := printJSON(e.stdout, checked{Sections: []section{wrongConfig(problems)}}); err != nil {
			return err
		}
		return ended{exitWrong}
	}
	if err != nil {
		return err
	}
	report := checked{Sections: []section{goodConfig(cfg)}}
	if !c.Offline {
		report.Sections = append(report.Sections, c.accounts(e.ctx, cfg)...)
	}
	status := report.status()
	report.OK = status == exitDone
	if c.JSON {
		err = printJSON(e.stdout, report)
	} else {
		err = report.print(e.stdout, marksFor(e.stdout))
	}
	if err == nil && status != exitDone {
		err = ended{status}
	}
	return err
}

func wrongConfig(p *config.Problems) section {
	var s section
	for _, one := range p.List {
		*s.add(wrong, "%s", one.Text) = finding{Level: wrong, What: one.Text, File: one.File, Line: one.Line, Col: one.Col}
	}
	return s
}

func goodConfig(cfg *config.Config) section {
	var s section
	rules := 0
	for _, c := range cfg.Connections {
		rules += len(c.Rules)
	}
	s.add(fine, "%s is good: %s, %s", cfg.File, plural(len(cfg.Connections), "connection"), plural(rules, "rule"))
	for _, w := range cfg.Warnings {
		f := s.add(doubt, "%s", w.Text)
		f.File, f.Line, f.Col = w.File, w.Line, w.Col
	}
	return s
}

// status is the exit status the findings amount to: what somebody can mend in
// the config weighs more than what passes.
func (r checked) status() int {
	status := exitDone
	for _, s := range r.Sections {
		for _, f := range s.Findings {
			switch {
			case f.Level == wrong:
				return exitWrong
			case f.Level == away:
				status = exitOutside
			}
		}
	}
	return status
}

func (r checked) print(w io.Writer, m marks) error {
	for _, s := range r.Sections {
		if s.Connection != "" {
			fmt.Fprintf(w, "\n%s: %s\n", s.Connection, s.Account)
		}
		for _, f := range s.Findings {
			mark := m.bad
			switch f.Level {
			case fine:
				mark = m.ok
			case doubt:
				mark = m.warn
			}
			if _, err := fmt.Fprintf(w, "%s %s%s\n", mark, f.place(), f.What); err != nil {
				return err
			}
			if f.Hint != "" {
				fmt.Fprintf(w, "%*s %s\n", len([]rune(mark)), "", f.Hint)
			}
		}
	}
	return nil
}

func (f finding) place() string {
	if f.Line == 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d:%d: ", f.File, f.Line, f.Col)
}

// accounts looks at the account of every connection: through the running bridge
// where there is one, so that both keep to one budget, else by itself.
func (c checkCmd) accounts(ctx context.Context, cfg *config.Config) (out []section) {
	running := runningBridge(ctx, cfg)
	clients := map[string]app.Looker{}
	for _, conn := range cfg.Connections {
		s := section{Connection: conn.Name, Account: conn.AmoCRM.Account}
		look, err := c.look(ctx, cfg, conn, running, clients)
		switch {
		case errors.Is(err, errOAuthStopped):
			f := s.add(doubt, "%v", err)
			f.Hint = "start the bridge, then check again"
		case err != nil:
			s.failed(crmError(conn, err))
		default:
			s.judge(cfg, conn, look)
		}
		out = append(out, s)
	}
	for _, l := range clients {
		l.CRM.Close()
	}
	return out
}

// errOAuthStopped: only whoever has the store can use, and renew, a grant.
var errOAuthStopped = errors.New("not looked at: an OAuth account can be asked only through the running bridge, which keeps its grant")

func (c checkCmd) look(ctx context.Context, cfg *config.Config, conn *config.Connection, running *admin, clients map[string]app.Looker) (*app.Look, error) {
	hook := hookURL(cfg, conn)
	if running != nil && running.works(ctx, conn) {
		return running.look(ctx, conn.Name, hook, c.Fix)
	}
	if conn.AmoCRM.OAuth != nil {
		return nil, errOAuthStopped
	}
	l, ok := clients[conn.AmoCRM.Host]
	if !ok {
		token := token.NewStatic(conn.AmoCRM.Token.Reveal())
		l = app.Looker{CRM: app.NewClient(conn, token, options()), Tokens: token, Opt: options()}
		clients[conn.AmoCRM.Host] = l
	}
	l.Conn = conn
	return l.Look(ctx, hook, c.Fix)
}

// hookURL is where amoCRM's hooks are wanted, "" if nowhere.
func hookURL(cfg *config.Config, conn *config.Connection) string {
	if cfg.PublicURL == "" || len(conn.AmoCRM.WebhookSecrets) == 0 {
		return ""
	}
	return cfg.PublicURL + "/amocrm/" + conn.Name + "/" + conn.AmoCRM.WebhookSecrets[0].Reveal()
}

// failed adds an error of amoCRM's.
func (s *section) failed(err error) {
	l := wrong
	var o outside
	if errors.As(err, &o) {
		l = away
	}
	f := s.add(l, "%v", err)
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		f.Hint = h.Hint()
	}
}

// judge says what a look at an account means for a connection.
func (s *section) judge(cfg *config.Config, conn *config.Connection, look *app.Look) {
	for _, f := range look.Fixed {
		s.add(fine, "fixed: %s", f)
	}
	s.token(look)
	s.rights(look)
	s.references(cfg, conn, look.Dictionary)
	s.marker(conn, look)
	s.hook(cfg, conn, look)
	s.contacts(conn, look)
}

func (s *section) token(look *app.Look) {
	kind := "long-lived"
	if look.TokenKind == "oauth" {
		kind = "OAuth"
	}
	until := ""
	if look.TokenExpires != nil {
		until = ", good until " + look.TokenExpires.Local().Format(time.DateOnly)
	}
	if look.TokenState == "expiring" {
		s.add(doubt, "token: works (%s%s)", kind, until).Hint = "put a new one into the config before that day"
		return
	}
	s.add(fine, "token: works (%s%s)", kind, until)
}

func (s *section) rights(look *app.Look) {
	d := look.Dictionary
	switch {
	case !d.UsersReadable:
		s.add(doubt, "rights: the token may not read users, so users can be named by id only").Hint = "make the token's user an administrator"
	case !look.Admin:
		s.add(doubt, "rights: the token's user is no administrator: hooks can be neither looked at nor made").Hint = "make the token's user an administrator"
	default:
		s.add(fine, "rights: administrator")
	}
	s.add(fine, "names: %s, %s, %s on leads and %d on contacts", plural(len(d.Pipelines), "pipeline"), plural(len(d.Users), "user"),
		plural(len(d.Fields["leads"]), "field"), len(d.Fields["contacts"]))
}

func (s *section) marker(conn *config.Connection, look *app.Look) {
	name := conn.AmoCRM.MarkerField
	missing := look.Missing(name)
	if len(missing) == 0 {
		s.add(fine, "marker field %q: on leads and contacts", name)
		return
	}
	for _, entity := range missing {
		cost := "after a lost answer the bridge can tell its own lead by name and phone only: one may be doubled"
		if entity == "contacts" {
			cost = "after a lost answer the bridge can tell its own contact by phone and e-mail only, and of several it cannot tell which is whose"
		}
		s.add(doubt, "marker field %q is missing on %s: %s", name, entity, cost).Hint = "`bridge check --fix` makes it"
	}
}

func (s *section) hook(cfg *config.Config, conn *config.Connection, look *app.Look) {
	sweep := fmt.Sprintf("what operators see of amoCRM is up to %s old (amocrm.sweep)", span(conn.AmoCRM.Sweep))
	fix := "`bridge check --fix` subscribes it"
	switch look.Hook {
	case "ok":
		s.add(fine, "hooks: subscribed")
	case "missing":
		s.add(doubt, "hooks: not subscribed; %s", sweep).Hint = fix
	case "disabled":
		s.add(doubt, "hooks: amoCRM has disabled them after too many bad answers; %s", sweep).Hint = fix + " anew; is public_url reachable?"
	case "partial":
		s.add(doubt, "hooks: subscribed without %v", look.Unsent).Hint = fix + " whole"
	case "unknown":
		s.add(doubt, "hooks: the token may not look at them").Hint = "subscribe them in amoCRM by hand (`bridge init` prints the address), or use an administrator's token"
	default:
		f := s.add(doubt, "hooks: off; %s", sweep)
		f.Hint = "set amocrm.webhook_secret"
		if cfg.PublicURL == "" {
			f.Hint = "set public_url and amocrm.webhook_secret"
		}
	}
}

func (s *section) contacts(conn *config.Connection, look *app.Look) {
	switch {
	case !conn.AmoCRM.ContactsSync:
		s.add(fine, "contacts: looked up by search (contacts_sync: off)")
	case look.Contacts == "many":
		s.add(doubt, "contacts: more than 50 000, which `run` does not read by itself; everybody new is searched for").Hint = "run `bridge contacts sync` once"
	default:
		s.add(fine, "contacts: few enough to be read by themselves")
	}
}
