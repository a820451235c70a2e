package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/jivo-amocrm/bridge/cmd/bridge/internal/demo"
)

type demoCmd struct {
	Exit     bool    `help:"Stop when all has settled; status 0 only if everything arrived exactly once."`
	Visitors int     `help:"How many visitors to play. Above the scripted dozen it becomes a load generator." default:"0"`
	Rate     float64 `help:"Jivo events a second, on an open loop." default:"50"`
	NoSync   bool    `help:"Do not read the account's contacts: search for each visitor, as in an account too big to be read whole."`
	Data     string  `help:"Keep the store in this folder. By default it is a temporary one." placeholder:"DIR"`
	Admin    string  `help:"Where the admin listener is served." default:"127.0.0.1:9090"`
	Verbose  bool    `short:"v" help:"Show the bridge's log."`
}

// Run plays the whole job. Without --exit it stays up until Ctrl-C.
func (c demoCmd) Run(e *env) error {
	if c.Visitors > 0 && !(c.Rate > 0) {
		return usage{errors.New("--rate must be more than 0")}
	}
	ctx, stop := signal.NotifyContext(e.ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	show := demo.Config{
		Visitors: c.Visitors, Rate: c.Rate, NoSync: c.NoSync, Stay: !c.Exit, Data: c.Data, Admin: c.Admin, Pace: demo.Pace,
		Version: versionText(), Log: slog.New(slog.DiscardHandler), Out: e.stdout, Live: isTerminal(e.stdout),
	}
	if c.Verbose {
		show.Log = newLog(e.stderr, "text", slog.LevelInfo)
	}
	if c.Exit && c.Admin == "127.0.0.1:9090" {
		show.Admin = "127.0.0.1:0" // a port nobody needs to know must not be one somebody has
	}
	if isTerminal(e.stderr) {
		show.Progress = e.stderr
	}
	faults, err := demo.Run(ctx, show)
	if err != nil {
		return outside{err}
	}
	if faults > 0 {
		return fmt.Errorf("%d things did not arrive exactly once", faults)
	}
	return nil
}
