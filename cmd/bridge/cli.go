package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/config"
)

// configFlag is the flag of every command that reads a config.
type configFlag struct {
	Config string `short:"c" required:"" help:"The config file." placeholder:"config.yaml"`
}

func (f configFlag) load() (*config.Config, error) { return loadConfig(f.Config) }

// loadForStore loads the config for a command that needs the store and no secret
// of a connection: under a service manager they are there for the service only.
func (f configFlag) loadForStore() (*config.Config, error) {
	return config.LoadForStore(f.Config, vocabulary())
}

// pick loads the config and finds one connection of it.
func (f configFlag) pick(name string) (*config.Config, *config.Connection, error) {
	cfg, err := f.load()
	if err != nil {
		return nil, nil, err
	}
	c, err := connectionOf(cfg, name)
	return cfg, c, err
}

func connectionOf(cfg *config.Config, name string) (*config.Connection, error) {
	if c := cfg.Connection(name); c != nil {
		return c, nil
	}
	names := make([]string, 0, len(cfg.Connections))
	for _, c := range cfg.Connections {
		names = append(names, c.Name)
	}
	return nil, hinted{fmt.Errorf("%s has no connection %q", cfg.File, name), "it has: " + strings.Join(names, ", ")}
}

// options are what the rooms of a command are made with: it logs nothing of its
// own, for what it has to say it prints.
func options() app.Options {
	return app.Options{Version: versionText(), Log: slog.New(slog.DiscardHandler)}
}

// marks stand before the lines of a list: signs for people, words for programs.
type marks struct{ ok, bad, warn string }

func marksFor(w io.Writer) marks {
	if isTerminal(w) {
		return marks{"✓", "✗", "!"}
	}
	return marks{"ok  ", "FAIL", "warn"}
}

// printJSON prints one value the way --json does everywhere.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// columns prints rows in columns.
func columns(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(t, strings.TrimRight(strings.Join(r, "\t"), "\t"))
	}
	return t.Flush()
}

// clock writes a moment in this machine's time, in full.
func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// ago says roughly how long ago a moment was.
func ago(t time.Time) string {
	d := time.Since(t)
	switch {
	case d < time.Minute:
		return "just now"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}

// span writes a duration without what it has none of: 5m, not 5m0s.
func span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// plural is "1 event", "2 events".
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// crmError says of an error of amoCRM's whose fault it is, and the way out. A
// token that is rejected, a consent that is missing and rights that are lacking
// count as a wrong config (exit status 1): trying again helps none of them. What
// may pass by itself is the outside world's (3).
func crmError(c *config.Connection, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", c.AmoCRM.Host, err)
	switch trouble(err) {
	case amocrm.Unauthorized:
		return hinted{err, "put a valid long-lived token of this account into the config"}
	case amocrm.AuthNeeded:
		return hinted{err, "run `bridge auth` for " + c.Name + " and consent in the browser"}
	case amocrm.Forbidden:
		return hinted{err, "the token's user needs an administrator's rights for this"}
	case amocrm.Unreachable:
		return hinted{outside{err}, "is the address right, and does this machine reach it?"}
	case amocrm.Unpaid:
		return hinted{outside{err}, "the amoCRM account is not paid"}
	case amocrm.Banned:
		return hinted{outside{err}, "amoCRM has banned this address; its support lifts bans"}
	case "":
		var refused *amocrm.Refused
		if errors.As(err, &refused) {
			return err
		}
	}
	return outside{err}
}

// trouble is the word for what is wrong with an error, also for one that a
// running bridge passed on.
func trouble(err error) amocrm.Trouble {
	var told *toldTrouble
	if errors.As(err, &told) {
		return told.trouble
	}
	return amocrm.TroubleOf(err)
}

// toldTrouble is an error of amoCRM's in a running bridge's words.
type toldTrouble struct {
	text    string
	trouble amocrm.Trouble
}

func (t *toldTrouble) Error() string { return t.text }

// orDash is s, or a dash in a table's empty cell.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
