package main

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/term"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/amocrm/token"
	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/config"
)

type initCmd struct {
	Account    string `help:"The amoCRM account: https://NAME.amocrm.ru, NAME.amocrm.com or NAME.kommo.com." placeholder:"URL"`
	Token      string `help:"A long-lived token of it; better given by the variable than on the command line." env:"AMOCRM_TOKEN" placeholder:"TOKEN"`
	Connection string `help:"The connection's name; default: the account's." placeholder:"NAME"`
	PublicURL  string `name:"public-url" help:"Where Jivo and amoCRM will reach the bridge." placeholder:"URL"`
	Out        string `help:"The config to write; its secrets go to .env beside it." default:"config.yaml" type:"path"`
	Force      bool   `help:"Replace files that are there."`
}

// Run asks for what is missing, reads the account's names and writes a config
// with everything a person needs to go on.
func (c initCmd) Run(e *env) error {
	if err := c.ask(e); err != nil {
		return err
	}
	if err := c.normalise(); err != nil {
		return err
	}
	secretsFile := filepath.Join(filepath.Dir(c.Out), ".env")
	for _, file := range []string{c.Out, secretsFile} {
		if _, err := os.Lstat(file); err == nil && !c.Force {
			return hinted{fmt.Errorf("%s exists", file), "--force replaces it, or --out writes elsewhere"}
		}
	}
	d, user, err := c.read(e)
	if err != nil {
		return err
	}
	s := newSecrets(c.Token)
	text := c.config(d, user)
	getenv := func(name string) (string, bool) { v, ok := s.values[name]; return v, ok }
	cfg, problems := config.Parse(c.Out, text, getenv, func(string) ([]byte, error) { return nil, fs.ErrNotExist }, vocabulary())
	if problems != nil {
		return fmt.Errorf("what was to be written is no good config: %w", problems)
	}
	if err := os.MkdirAll(filepath.Dir(c.Out), 0o700); err != nil {
		return outside{err}
	}
	if err := renameio.WriteFile(c.Out, text, 0o600); err != nil {
		return outside{err}
	}
	if err := renameio.WriteFile(secretsFile, s.file(), 0o600); err != nil {
		return outside{err}
	}
	c.tell(e, cfg, secretsFile)
	return nil
}

// ask asks a person at a terminal for what the flags do not say.
func (c *initCmd) ask(e *env) error {
	f, isFile := e.stdin.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		if c.Account == "" || c.Token == "" {
			return usage{errors.New("without a terminal, --account and --token (or AMOCRM_TOKEN) are needed")}
		}
		return nil
	}
	in := bufio.NewReader(f)
	question := func(text string, into *string) error {
		if *into != "" {
			return nil
		}
		fmt.Fprint(e.stderr, text)
		line, err := in.ReadString('\n')
		*into = strings.TrimSpace(line)
		return err
	}
	if err := question("amoCRM account (https://NAME.amocrm.ru): ", &c.Account); err != nil {
		return err
	}
	if c.Token == "" {
		fmt.Fprint(e.stderr, "Long-lived token (Settings → Integrations → your integration → Keys; not shown): ")
		token, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(e.stderr)
		if err != nil {
			return err
		}
		c.Token = strings.TrimSpace(string(token))
	}
	return question("Address of the bridge for Jivo and amoCRM (https://bridge.example.com, empty: later): ", &c.PublicURL)
}

const accountForm = "it looks like https://NAME.amocrm.ru, and the token is sent nowhere else"

// normalise brings account and name into the form the config wants. Nothing is
// dialled before: the token must reach no host but the account's.
func (c *initCmd) normalise() error {
	if !strings.Contains(c.Account, "://") {
		c.Account = "https://" + c.Account
	}
	u, err := url.Parse(c.Account)
	if err != nil || u.Host == "" {
		return hinted{errors.New("--account is no address of an account"), accountForm}
	}
	if c.Account, err = config.AccountURL(u.Scheme + "://" + u.Host); err != nil { // people paste the page they look at: its path is none of the account's
		return hinted{fmt.Errorf("--account: %w", err), accountForm}
	}
	if c.Connection == "" {
		name, _, _ := strings.Cut(u.Hostname(), ".")
		c.Connection = strings.Trim(strings.ToLower(name), "-")
		if !validName(c.Connection) || strings.Trim(c.Connection, "0123456789") == "" {
			c.Connection = "main"
		}
	}
	if !validName(c.Connection) {
		return fmt.Errorf("%q is no name for a connection: small letters, digits and hyphens, at most 32", c.Connection)
	}
	if c.PublicURL != "" && !strings.Contains(c.PublicURL, "://") {
		c.PublicURL = "https://" + c.PublicURL
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	return nil
}

// read reads the account's names, and who the token belongs to.
func (c initCmd) read(e *env) (*dict.Snapshot, dict.User, error) {
	conn := &config.Connection{Name: c.Connection, AmoCRM: config.AmoCRM{Account: c.Account}}
	if u, err := url.Parse(c.Account); err == nil {
		conn.AmoCRM.Host = u.Host
	}
	ctx, stop := interruptible(e.ctx)
	defer stop()
	crm := app.NewClient(conn, token.NewStatic(c.Token), options())
	defer crm.Close()
	d, err := dict.Load(ctx, crm)
	if err != nil {
		return nil, dict.User{}, initError(conn, err)
	}
	user, _ := d.UserByID(d.CurrentUserID)
	return d, user, nil
}

func initError(conn *config.Connection, err error) error {
	if trouble(err) == amocrm.Unauthorized {
		return hinted{fmt.Errorf("%s does not take the token", conn.AmoCRM.Host), "it must be a long-lived token of an integration of this very account"}
	}
	return crmError(conn, err)
}

// secrets are the values behind the config's ${NAME}s.
type secrets struct {
	names  []string
	values map[string]string
}

func newSecrets(token string) secrets {
	s := secrets{values: map[string]string{}}
	for _, name := range []string{"BRIDGE_ADMIN_TOKEN", "JIVO_SECRET", "AMOCRM_WEBHOOK_SECRET"} {
		raw := make([]byte, 20)
		rand.Read(raw) // never fails: crypto/rand ends the process instead
		s.add(name, hex.EncodeToString(raw))
	}
	s.add("AMOCRM_TOKEN", token)
	return s
}

func (s *secrets) add(name, value string) {
	s.names = append(s.names, name)
	s.values[name] = value
}

// file is a .env: what a shell, systemd and container runtimes read alike.
func (s secrets) file() []byte {
	var b bytes.Buffer
	for _, name := range s.names {
		fmt.Fprintf(&b, "%s=%s\n", name, s.values[name])
	}
	return b.Bytes()
}

// config writes the config.
func (c initCmd) config(d *dict.Snapshot, user dict.User) []byte {
	var b bytes.Buffer
	line := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	line("# Made by `bridge init` for %s. Every key with its default is in config.example.yaml;", comment(cmp.Or(d.Name, c.Account)))
	line("# `bridge schema` gives an editor the JSON Schema. The secrets are in .env beside this file.")
	line("")
	line(`listen: ":8080"                        # reached by Jivo and amoCRM`)
	if c.PublicURL == "" {
		line("# public_url: https://bridge.example.com   # fill in: to print URLs and subscribe hooks")
	} else {
		line("public_url: %s", quoted(c.PublicURL))
	}
	line("data: ./data")
	line("")
	line("admin:")
	line("  listen: 127.0.0.1:9090               # /metrics /healthz /readyz, console, API")
	line("  token: ${BRIDGE_ADMIN_TOKEN}")
	line("")
	line("connections:")
	line("  %s:", c.Connection)
	if d.Timezone != "" || d.Country != "" {
		line("    # The account says: timezone %s, country %s. They are used unless said otherwise here.", cmp.Or(comment(d.Timezone), "?"), cmp.Or(comment(d.Country), "?"))
	}
	line("    jivo:")
	line("      secret: ${JIVO_SECRET}")
	line("    amocrm:")
	line("      account: %s", quoted(c.Account))
	line("      token: ${AMOCRM_TOKEN}")
	line("      webhook_secret: ${AMOCRM_WEBHOOK_SECRET}")
	line("      # setup: auto                    # let `run` make the marker fields and subscribe its hook")
	line("")
	c.agents(&b, d, user)
	c.names(&b, d)
	line("    # rules: absent, so the default ones are used: every chat with a phone or an e-mail becomes a contact and")
	line("    # a lead in the main pipeline's first stage. config.example.yaml prints them whole, to change them here.")
	return b.Bytes()
}

// agents writes who is whom: the part only a person knows.
func (c initCmd) agents(b *bytes.Buffer, d *dict.Snapshot, user dict.User) {
	fmt.Fprintln(b, "    # Jivo agent e-mail → amoCRM user (e-mail, name or id). Agents whose e-mail is the same in both need no line.")
	fmt.Fprintln(b, "    agents:")
	for i, u := range d.Users {
		if i == 30 {
			fmt.Fprintf(b, "      # … and %d more users\n", len(d.Users)-i)
			break
		}
		if u.Active {
			fmt.Fprintf(b, "      # agent@example.com: %s   # %s\n", cmp.Or(comment(u.Email), fmt.Sprint(u.ID)), comment(u.Name))
		}
	}
	if user.ID == 0 {
		fmt.Fprintln(b, "      {}")
		return
	}
	name := quoted(user.Email)
	if user.Email == "" {
		name = fmt.Sprintf(`"%d"`, user.ID)
	}
	fmt.Fprintf(b, "      \"*\": %s   # everybody else\n", name)
}

// names writes what rules can name.
func (c initCmd) names(b *bytes.Buffer, d *dict.Snapshot) {
	fmt.Fprintln(b, "\n    # Pipelines and stages of the account, for rules:")
	for _, p := range d.Pipelines {
		if p.Archived {
			continue
		}
		var stages []string
		for _, s := range p.Stages {
			stages = append(stages, comment(s.Name))
		}
		main := ""
		if p.Main {
			main = " (main)"
		}
		fmt.Fprintf(b, "    #   %s%s: %s\n", comment(p.Name), main, strings.Join(stages, " · "))
	}
	for _, entity := range []string{"leads", "contacts"} {
		var fields []string
		for _, f := range d.Fields[entity] {
			fields = append(fields, comment(f.Name))
		}
		fmt.Fprintf(b, "    # Fields of %s: %s\n", entity, strings.Join(fields, " · "))
	}
	fmt.Fprintln(b)
}

// comment makes a name of the account's fit for a comment: one line.
func comment(s string) string { return strings.Join(strings.Fields(s), " ") }

// quoted is a YAML string that no character of s can break out of.
func quoted(s string) string {
	plain := s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@/:") == "" &&
		!strings.Contains(s, ": ") && !strings.HasSuffix(s, ":") && !strings.ContainsAny(s[:1], "-_.@/:")
	if plain {
		return s
	}
	return fmt.Sprintf("%q", strings.ReplaceAll(comment(s), "${", "$${"))
}

// tell prints what to paste where, and what comes next. It is the one time that
// the secrets are shown.
func (c initCmd) tell(e *env, cfg *config.Config, secretsFile string) {
	conn := cfg.Connections[0]
	base := cmp.Or(c.PublicURL, "https://YOUR-BRIDGE")
	w := e.stdout
	fmt.Fprintf(w, "Wrote %s, and its secrets to %s (mode 0600).\n\n", c.Out, secretsFile)
	fmt.Fprintf(w, "Paste into Jivo (every channel's webhooks, and CRM Webhooks):\n  %s/jivo/%s/%s\n\n", base, conn.Name, conn.Jivo.Secrets[0].Reveal())
	fmt.Fprintf(w, "Paste into amoCRM (Settings → Integrations → Webhooks; or let `bridge check --fix` do it):\n  %s/amocrm/%s/%s\n\n", base, conn.Name, conn.AmoCRM.WebhookSecrets[0].Reveal())
	if c.PublicURL == "" {
		fmt.Fprintf(w, "Fill in public_url first.\n\n")
	}
	fmt.Fprintf(w, "Next:\n  set -a; . %s; set +a\n  bridge check -c %s --fix\n  bridge run -c %s\n", shellWord(secretsFile), shellWord(c.Out), shellWord(c.Out))
}

// shellWord is a path a shell takes as one word; `.` wants a slash in it.
func shellWord(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
			path = "./" + rel
		}
	}
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
