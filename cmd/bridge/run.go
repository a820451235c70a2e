package main

import (
	"cmp"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/config"
)

type runCmd struct{ configFlag }

// Run serves until SIGTERM or SIGINT; a second one ends it at once. SIGHUP reads
// the config again.
func (c runCmd) Run(e *env) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	level.Set(cfg.Log.Level)
	log := newLog(e.stderr, cfg.Log.Format, level)
	for _, w := range cfg.Warnings {
		log.Warn(w.String())
	}
	if err := cmp.Or(dataFolder(cfg), app.CheckTLS(cfg.TLS)); err != nil {
		return err
	}
	// Before the listeners open: who sees them may send a signal at once, and
	// SIGHUP's default effect is the end.
	ctx, stop := signal.NotifyContext(e.ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // a second signal has its default effect: the end, at once
	}()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	a, err := app.New(cfg, app.Options{
		Version: versionText(), Log: log,
		Reload: func() (*config.Config, error) {
			cfg, err := c.load()
			if err == nil {
				level.Set(cfg.Log.Level)
			}
			return cfg, err
		},
	})
	if err != nil {
		return outside{withListenHint(err)}
	}
	defer a.Close()
	a.ServeCommands()
	if err := a.Run(ctx, reload); err != nil {
		return outside{err}
	}
	return nil
}

// withListenHint adds a way out to the error of a listener that cannot be had.
func withListenHint(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return hinted{err, "another process listens there: is a bridge running already? `ss -ltnp` tells"}
	case errors.Is(err, syscall.EACCES) && errors.As(err, new(*net.OpError)):
		return hinted{err, "a port below 1024 takes CAP_NET_BIND_SERVICE, which deploy/systemd gives; or listen behind a proxy"}
	}
	return err
}

// newLog makes the log as the config wants it; colours only for a terminal.
func newLog(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: "2006-01-02 15:04:05.000", NoColor: !isTerminal(w)}))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
