package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/token"
	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/store"
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
	if err := app.CheckTLS(cfg.TLS); err != nil {
		s.add(wrong, "%v", err)
	} else {
		s.add(fine, "%s is good: %s, %s", cfg.File, plural(len(cfg.Connections), "connection"), plural(rules, "rule"))
	}
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
// where there is one, so that both keep to one budget, else by itself. The
// sections are in the config's order.
func (c checkCmd) accounts(ctx context.Context, cfg *config.Config) []section {
	running := runningBridge(ctx, cfg)
	grants := &grants{cfg: cfg}
	defer grants.close()
	out := make([]section, len(cfg.Connections))
	eachAccount(cfg, func(conns []int) {
		var own app.Looker // one client for all of them
		for _, i := range conns {
			out[i] = c.account(ctx, cfg, cfg.Connections[i], running, &own, grants)
		}
		if own.CRM != nil {
			own.CRM.Close()
		}
	})
	return out
}

// grants opens the store of a bridge that does not run, once it is needed: it keeps
// the grants of OAuth accounts, and a renewed one must be in it before it is used. It
// is safe for concurrent use.
type grants struct {
	cfg    *config.Config
	once   sync.Once
	bridge *app.Stopped
	err    error
}

// unseen is why an account was not looked at, which says nothing about it.
type unseen struct{ why, hint string }

func (u unseen) Error() string { return "not looked at: " + u.why }
func (u unseen) Hint() string  { return u.hint }

func (g *grants) open() (*app.Stopped, error) {
	g.once.Do(func() {
		if _, err := os.Stat(storePath(g.cfg)); errors.Is(err, fs.ErrNotExist) {
			g.err = &amocrm.NeedsAuth{Err: errors.New("nobody has consented yet")} // and a check makes no store
			return
		}
		if g.bridge, g.err = app.OpenStopped(g.cfg, options(), false); errors.Is(g.err, store.ErrLocked) {
			g.err = unseen{"the store, which keeps its grant, is in use by another process", "is the bridge running with another admin.listen?"}
		}
	})
	return g.bridge, g.err
}

func (g *grants) close() {
	if g.bridge != nil {
		g.bridge.Close()
	}
}

// looksAtOnce is how many accounts are looked at side by side: each has a budget
// of its own, and one that does not answer holds up no other.
const looksAtOnce = 8

// eachAccount calls do for every account with the connections that share it, by
// their places in the config, for up to looksAtOnce accounts at a time, and
// returns when all is done.
func eachAccount(cfg *config.Config, do func(conns []int)) {
	shared := map[string][]int{}
	var hosts []string
	for i, conn := range cfg.Connections {
		host := conn.AmoCRM.Host
		if shared[host] == nil {
			hosts = append(hosts, host)
		}
		shared[host] = append(shared[host], i)
	}
	var work sync.WaitGroup
	seats := make(chan struct{}, looksAtOnce)
	for _, host := range hosts {
		seats <- struct{}{}
		work.Go(func() {
			do(shared[host])
			<-seats
		})
	}
	work.Wait()
}

func (c checkCmd) account(ctx context.Context, cfg *config.Config, conn *config.Connection, running *admin, own *app.Looker, grants *grants) section {
	s := section{Connection: conn.Name, Account: conn.AmoCRM.Account}
	look, err := c.look(ctx, cfg, conn, running, own, grants)
	if u, not := errors.AsType[unseen](err); not {
		s.add(doubt, "%v", u).Hint = u.Hint()
	} else if err != nil {
		s.failed(crmError(conn, err))
	} else {
		s.judge(cfg, conn, look)
	}
	return s
}

// look looks through the running bridge, if it works this connection; else with the
// grant that the store keeps, or with own, the account's client of this command's, made
// when it is first needed.
func (c checkCmd) look(ctx context.Context, cfg *config.Config, conn *config.Connection, running *admin, own *app.Looker, grants *grants) (*app.Look, error) {
	hook := hookURL(cfg, conn)
	if running != nil && running.works(ctx, conn) {
		return running.look(ctx, conn.Name, hook, c.Fix)
	}
	if conn.AmoCRM.OAuth != nil {
		stopped, err := grants.open()
		if err != nil {
			return nil, err
		}
		return stopped.Look(ctx, conn.Name, hook, c.Fix)
	}
	if own.CRM == nil {
		token := token.NewStatic(conn.AmoCRM.Token.Reveal())
		*own = app.Looker{CRM: app.NewClient(conn, token, options()), Tokens: token, Opt: options()}
	}
	own.Conn = conn
	return own.Look(ctx, hook, c.Fix)
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
	s.marker(cfg, conn, look)
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

// setUp says how something that is missing comes about: by itself, where
// `setup: auto` is in force, else by --fix. does is what is done to it.
func setUp(auto bool, look *app.Look, does string) string {
	switch {
	case !auto:
		return "`bridge check --fix` " + does
	case !look.Admin:
		return "setup: auto " + does + " once the token's user is an administrator"
	}
	return "a running bridge " + does + " by itself at its next sweep (setup: auto)"
}

func (s *section) marker(cfg *config.Config, conn *config.Connection, look *app.Look) {
	name := conn.AmoCRM.MarkerField
	missing := look.Missing(name)
	if len(missing) == 0 {
		s.add(fine, "marker field %q: on leads and contacts", name)
		return
	}
	auto := slices.ContainsFunc(cfg.Connections, func(c *config.Connection) bool { // one that shares the field will do
		return c.AmoCRM.SetupAuto && c.AmoCRM.Host == conn.AmoCRM.Host && c.AmoCRM.MarkerField == name
	})
	for _, entity := range missing {
		cost := "after a lost answer the bridge can tell its own lead by name and phone only: one may be doubled"
		if entity == "contacts" {
			cost = "after a lost answer the bridge can tell its own contact by phone and e-mail only, and of several it cannot tell which is whose"
		}
		s.add(doubt, "marker field %q is missing on %s: %s", name, entity, cost).Hint = setUp(auto, look, "makes it")
	}
}

func (s *section) hook(cfg *config.Config, conn *config.Connection, look *app.Look) {
	sweep := fmt.Sprintf("what operators see of amoCRM is up to %s old (amocrm.sweep)", span(conn.AmoCRM.Sweep))
	fix := func(does string) string { return setUp(conn.AmoCRM.SetupAuto, look, does) }
	switch look.Hook {
	case "ok":
		s.add(fine, "hooks: subscribed")
	case "missing":
		s.add(doubt, "hooks: not subscribed; %s", sweep).Hint = fix("subscribes it")
	case "disabled":
		s.add(doubt, "hooks: amoCRM has disabled them after too many bad answers; %s", sweep).Hint = fix("subscribes it anew") + "; is public_url reachable?"
	case "partial":
		s.add(doubt, "hooks: subscribed without %v", look.Unsent).Hint = setUp(false, look, "subscribes it whole") // `setup: auto` leaves one that works alone
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
