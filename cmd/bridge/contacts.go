package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
)

type contactsCmd struct {
	Sync contactsSyncCmd `cmd:"" help:"Read all contacts into the contact directory, so that nobody has to be searched for. Goes on where it was cut short."`
}

type contactsSyncCmd struct {
	configFlag
	Connection string `arg:"" help:"A connection of the config."`
	JSON       bool   `name:"json" help:"Print JSON."`
}

// Run reads every contact of the connection's account.
func (c contactsSyncCmd) Run(e *env) error {
	cfg, conn, err := c.pick(c.Connection)
	if err != nil {
		return err
	}
	d, err := openDesk(e.ctx, cfg, false)
	if err != nil {
		return err
	}
	defer d.Close()
	ctx, stop := interruptible(e.ctx)
	defer stop()
	bar := newBar(e.stderr, -1, "contacts", false)
	done := 0
	err = d.SyncContacts(ctx, conn.Name, func(n int) {
		done = n
		_ = bar.Set(n) // a terminal that is gone stops nothing
	})
	_ = bar.Finish()
	if err != nil && ctx.Err() != nil {
		return hinted{outside{fmt.Errorf("stopped after %s", plural(done, "contact"))}, "the next sync goes on from there"}
	}
	if err != nil {
		return crmError(conn, err)
	}
	if c.JSON {
		return printJSON(e.stdout, map[string]any{"connection": conn.Name, "contacts": done})
	}
	fmt.Fprintf(e.stdout, "%s of %s are in the contact directory\n", plural(done, "contact"), conn.AmoCRM.Host)
	return nil
}

// interruptible is a context that a signal ends, so that a command can end in
// good order; a second signal ends the process.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// newBar is a progress bar; it shows nothing unless w is a terminal. total -1:
// nobody knows.
func newBar(w io.Writer, total int64, what string, bytes bool) *progressbar.ProgressBar {
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w), progressbar.OptionSetVisibility(isTerminal(w)), progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionShowBytes(bytes), progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(), progressbar.OptionUseANSICodes(true),
	)
}
