package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/token"
	"github.com/jivo-amocrm/bridge/internal/config"
)

type authCmd struct {
	configFlag
	Connection string        `arg:"" help:"A connection of the config."`
	Code       string        `help:"The code amoCRM gave, or the whole address the browser ended at." placeholder:"CODE"`
	Wait       time.Duration `help:"How long a running bridge is waited on for the redirect." default:"15m"`
}

// Run gets consent for an OAuth connection and stores the grant.
func (c authCmd) Run(e *env) error {
	cfg, conn, err := c.pick(c.Connection)
	if err != nil {
		return err
	}
	if conn.AmoCRM.OAuth == nil {
		return hinted{fmt.Errorf("%s has a long-lived token; there is nothing to consent to", conn.Name), "for consent, write amocrm.oauth instead of amocrm.token"}
	}
	d, err := openDesk(e.ctx, cfg, false)
	if err != nil {
		return err
	}
	defer d.Close()
	ctx, stop := interruptible(e.ctx)
	defer stop()
	if c.Code != "" {
		return c.take(ctx, e, d, conn, c.Code)
	}
	if a, running := d.(*admin); running {
		return c.watch(ctx, e, a, conn)
	}
	address, err := d.ConsentURL(conn.Name)
	if err != nil {
		return err
	}
	c.invite(e, address)
	fmt.Fprintf(e.stderr, "The bridge is not running, so the page you come back to will not load. Paste its address here: ")
	line, err := bufio.NewReader(e.stdin).ReadString('\n')
	if line = strings.TrimSpace(line); line == "" {
		fmt.Fprintln(e.stderr)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return hinted{errors.Join(errors.New("no code"), err), "run it again with --code; or start the bridge first, which takes the redirect by itself"}
	}
	return c.take(ctx, e, d, conn, line)
}

func (c authCmd) invite(e *env, address string) {
	fmt.Fprintf(e.stdout, "Open this page as an administrator of the account, and consent:\n\n  %s\n\n", address)
}

// take trades a code for the grant.
func (c authCmd) take(ctx context.Context, e *env, d desk, conn *config.Connection, given string) error {
	code, err := codeOf(given, conn)
	if err != nil {
		return err
	}
	err = d.Exchange(ctx, conn.Name, code)
	if trouble(err) == amocrm.AuthNeeded {
		return hinted{fmt.Errorf("amoCRM did not take the code: %w", err), "a code is good for 20 minutes and one use: get a new one, and look at client_id, client_secret and redirect_url"}
	}
	if err != nil {
		return crmError(conn, err)
	}
	c.done(e, conn)
	return nil
}

func (c authCmd) done(e *env, conn *config.Connection) {
	fmt.Fprintf(e.stdout, "The bridge has access to %s.\n", conn.AmoCRM.Host)
}

// codeOf finds the code in what a person pasted: the code itself, or the address
// of the redirect, which must be of the right account.
func codeOf(given string, conn *config.Connection) (string, error) {
	u, err := url.Parse(given)
	if err != nil || u.Scheme == "" {
		return given, nil
	}
	q := u.Query()
	if referer := q.Get("referer"); referer != "" && !token.SameAccount(referer, conn.AmoCRM.Account) {
		return "", fmt.Errorf("the consent is for %s, the config says %s", referer, conn.AmoCRM.Host)
	}
	if q.Get("error") != "" {
		return "", errors.New("amoCRM says that access was denied")
	}
	if q.Get("code") == "" {
		return "", errors.New("the address has no code in it")
	}
	return q.Get("code"), nil
}

const (
	watchEvery = time.Second
	// exchanging is how long the bridge may take to trade the code.
	exchanging = time.Minute
)

// watch waits until a running bridge has taken the redirect.
func (c authCmd) watch(ctx context.Context, e *env, a *admin, conn *config.Connection) error {
	began, err := a.consent(ctx, conn.Name)
	if err != nil {
		return err
	}
	u, err := url.Parse(began.URL)
	if err != nil {
		return err
	}
	c.invite(e, began.URL)
	fmt.Fprintln(e.stderr, "Waiting for the redirect. Ctrl-C stops the waiting, not the consent.")
	ctx, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var used time.Time
	for {
		select {
		case <-ctx.Done():
			return hinted{outside{errors.New("nobody has consented yet")}, "the link stays good for an hour; --code takes a code by hand"}
		case <-tick.C:
		}
		now, err := a.granted(ctx, conn.Name, u.Query().Get("state"))
		switch {
		case ctx.Err() != nil:
			continue
		case err != nil:
			return err
		case now.Open:
		case now.Denied:
			return hinted{outside{errors.New("the consent was refused in amoCRM")}, "it takes an administrator of the account: run it again and consent"}
		case now.Grant.After(began.Grant):
			c.done(e, conn)
			return nil
		case used.IsZero():
			used = time.Now()
		case time.Since(used) > exchanging:
			return hinted{outside{errors.New("the redirect came, and no grant of it")}, "the browser's page and the bridge's log say why"}
		}
	}
}
