package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

type demoCmd struct {
	Exit     bool    `help:"Stop when all has settled; status 0 only if everything arrived exactly once."`
	Visitors int     `help:"How many visitors to play. Above the scripted dozen it becomes a load generator." default:"0"`
	Rate     float64 `help:"Jivo events a second, on an open loop." default:"50"`
	NoSync   bool    `help:"Do not read the account's contacts: search for each visitor, as in an account too big to be read whole."`
	Data     string  `help:"Keep the store in this folder. By default it is a temporary one." placeholder:"DIR"`
	Admin    string  `help:"Where the admin listener is served." default:"127.0.0.1:9090"`
	Verbose  bool    `short:"v" help:"Show the bridge's log."`

	pace int // requests a second that amoCRM allows; 0: its own seven. Tests have less time
}

// amoPace is how many requests a second amoCRM allows (amocrm-api.md §3).
const amoPace = 7

// demoTimeout bounds how long --exit waits for everything to settle, beyond what
// the load itself must take.
const demoTimeout = 60 * time.Second

// Run plays the whole job. Without --exit it stays up until Ctrl-C.
func (c demoCmd) Run(e *env) error {
	if c.Visitors > 0 && !(c.Rate > 0) {
		return usage{errors.New("--rate must be more than 0")}
	}
	ctx, stop := signal.NotifyContext(e.ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.DiscardHandler)
	if c.Verbose {
		log = newLog(e.stderr, "text", slog.LevelInfo)
	}
	if c.Exit && c.Admin == "127.0.0.1:9090" {
		c.Admin = "127.0.0.1:0" // a port nobody needs to know must not be one somebody has
	}
	s, err := openStage(c, log)
	if err != nil {
		return outside{err}
	}
	defer s.close()
	if c.Visitors > 0 {
		return c.load(ctx, e, s)
	}
	return c.play(ctx, e, s)
}

// play runs the scripted visitors.
func (c demoCmd) play(ctx context.Context, e *env, s *stage) error {
	fmt.Fprintf(e.stdout, "An emulated amoCRM account, the bridge with its default rules, and visitors over real HTTP.\n")
	fmt.Fprintf(e.stdout, "  Jivo's webhooks go to   %s/jivo/demo/…\n  amoCRM's hooks go to    %s/amocrm/demo/…\n  console and metrics     http://%s/\n\n", s.public, s.public, s.app.AdminAddr())
	acts := script(s)
	t := newBoard(e.stdout, acts)
	for _, a := range acts {
		if err := a.play(ctx); err != nil {
			return outside{fmt.Errorf("%s: %w", a.who, err)}
		}
		t.show()
	}
	settled := s.settle(ctx, demoTimeout)
	t.final()
	faults := s.verify(acts, settled)
	verdict(e.stdout, s, faults)
	if c.Exit || ctx.Err() != nil {
		return demoVerdict(faults)
	}
	fmt.Fprintf(e.stdout, "\nIt stays up: look at http://%s/, or stop it with Ctrl-C.\n", s.app.AdminAddr())
	<-ctx.Done()
	return nil
}

// verdict says in a few lines how it went.
func verdict(w io.Writer, s *stage, faults []string) {
	r := s.amo.Report()
	fmt.Fprintf(w, "\n%d Jivo events and %d amoCRM hooks took %d requests to amoCRM; never more than %d in any second (%d are allowed).\n", s.jivoEvents(), s.hookEvents(), r.Requests, r.MaxInSecond, s.pace)
	if len(faults) == 0 {
		fmt.Fprintln(w, "Everything arrived, and arrived once.")
		return
	}
	fmt.Fprintln(w, "Not as it should be:")
	for _, f := range faults {
		fmt.Fprintln(w, "  -", f)
	}
}

func demoVerdict(faults []string) error {
	if len(faults) > 0 {
		return fmt.Errorf("%d things did not arrive exactly once", len(faults))
	}
	return nil
}
