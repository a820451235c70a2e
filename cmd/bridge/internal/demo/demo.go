// Package demo plays the whole job on one machine: an emulated amoCRM account, a
// bridge with the default rules before it, visitors who write to Jivo and a manager
// who works in amoCRM, all over real HTTP on loopback.
package demo

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Config says what is played, and to whom it is shown.
type Config struct {
	Visitors int     // above 0: a load of so many instead of the script
	Rate     float64 // Jivo events a second of a load
	NoSync   bool    // the account's contacts are not read: each visitor is searched for
	Stay     bool    // go on after the script until ctx ends
	Data     string  // folder of the store; "": a temporary one
	Admin    string  // address of the admin listener
	Pace     int     // requests a second that amoCRM allows

	Version  string
	Log      *slog.Logger // the bridge's
	Out      io.Writer
	Live     bool      // Out is a terminal: the table is drawn anew with each change
	Progress io.Writer // takes the progress bar of a load; nil: none
}

// Pace is how many requests a second amoCRM allows (amocrm-api.md §3).
const Pace = 7

// timeout bounds how long everything may take to settle, beyond what the load
// itself must take.
const timeout = 60 * time.Second

// Run plays, prints what came of it and returns how many things did not arrive
// exactly once. Its error is one of the world around it: no port, no disk.
func Run(ctx context.Context, c Config) (faults int, err error) {
	s, err := openStage(c)
	if err != nil {
		return 0, err
	}
	defer s.close()
	if c.Visitors > 0 {
		return c.load(ctx, s)
	}
	return c.play(ctx, s)
}

// play runs the scripted visitors.
func (c Config) play(ctx context.Context, s *stage) (int, error) {
	fmt.Fprintf(c.Out, "An emulated amoCRM account, the bridge with its default rules, and visitors over real HTTP.\n")
	fmt.Fprintf(c.Out, "  Jivo's webhooks go to   %s/jivo/demo/…\n  amoCRM's hooks go to    %s/amocrm/demo/…\n  console and metrics     http://%s/\n\n", s.public, s.public, s.app.AdminAddr())
	acts := script(s)
	t := &board{w: c.Out, acts: acts, live: c.Live}
	for _, a := range acts {
		if err := a.play(ctx); err != nil {
			return 0, fmt.Errorf("%s: %w", a.who, err)
		}
		t.show()
	}
	settled := s.settle(ctx, timeout)
	t.final()
	faults := s.verify(acts, settled)
	verdict(c.Out, s, faults)
	if c.Stay && ctx.Err() == nil {
		fmt.Fprintf(c.Out, "\nIt stays up: look at http://%s/, or stop it with Ctrl-C.\n", s.app.AdminAddr())
		<-ctx.Done()
		return 0, nil
	}
	return len(faults), nil
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
