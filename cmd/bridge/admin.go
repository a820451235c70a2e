package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/console"
)

const (
	aliveTimeout = 2 * time.Second
	adminTimeout = 30 * time.Second
)

// admin is a running bridge, spoken to through its admin listener.
type admin struct {
	cfg  *config.Config
	base string
	http *http.Client
}

func newAdmin(cfg *config.Config) *admin {
	return &admin{cfg: cfg, base: "http://" + dialable(cfg.Admin.Listen), http: &http.Client{
		Transport:     &http.Transport{DialContext: (&net.Dialer{Timeout: aliveTimeout}).DialContext},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// dialable turns an address to listen at into one to call: a listener on every
// address is called on loopback.
func dialable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// Close implements desk.
func (a *admin) Close() { a.http.CloseIdleConnections() }

// alive reports why no bridge answers, nil if one does.
func (a *admin) alive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, aliveTimeout)
	defer cancel()
	var is struct {
		Status string `json:"status"`
	}
	if err := a.ask(ctx, http.MethodGet, "/healthz", nil, &is); err != nil {
		return err
	}
	if is.Status != "ok" {
		return errors.New("what answers is no bridge")
	}
	return nil
}

// send makes one request; an answer that is an error becomes one.
func (a *admin) send(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return nil, err
	}
	if token := a.cfg.Admin.Token; !token.IsZero() && !token.IsStandIn() {
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := a.http.Do(req)
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if err != nil {
		return nil, outside{fmt.Errorf("the running bridge at %s: %w", a.base, err)}
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, a.refusal(resp)
}

// errTokenless says that a running bridge cannot be asked for want of its token.
var errTokenless = errors.New("the running bridge wants admin.token, and the variable or file that this config takes it from is not there")

// tokenless returns errTokenless if a bridge answers that wants a token which
// this config has only a stand-in of.
func (a *admin) tokenless(ctx context.Context) error {
	if !a.cfg.Admin.Token.IsStandIn() || a.alive(ctx) != nil {
		return nil
	}
	if _, err := a.Connections(ctx); errors.Is(err, errTokenless) {
		return err
	}
	return nil
}

// refusal is the error an answer stands for.
func (a *admin) refusal(resp *http.Response) error {
	var said struct {
		Error   string `json:"error"`
		Trouble string `json:"trouble"`
	}
	_ = json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&said) // without words the status must do
	text := cmp.Or(said.Error, resp.Status)
	switch {
	case resp.StatusCode == http.StatusUnauthorized && a.cfg.Admin.Token.IsStandIn():
		return hinted{errTokenless, "run this where the bridge's secrets are, or stop the bridge first: its store asks for no token"}
	case resp.StatusCode == http.StatusUnauthorized:
		return hinted{errors.New("the running bridge refuses admin.token of this config"), "it was started with another one; send it SIGHUP, or restart it"}
	case resp.StatusCode == http.StatusConflict:
		return &console.Conflict{Why: text}
	case resp.StatusCode == http.StatusNotFound && said.Error == console.ErrNotFound.Error():
		return console.ErrNotFound
	case resp.StatusCode == http.StatusBadGateway:
		return &toldTrouble{text, amocrm.Trouble(said.Trouble)}
	case resp.StatusCode >= 500:
		return outside{fmt.Errorf("the running bridge at %s: %s", a.base, text)}
	}
	return fmt.Errorf("the running bridge: %s", text)
}

// ask makes a request with a JSON body and reads a JSON answer.
func (a *admin) ask(ctx context.Context, method, path string, body, into any) error {
	var r io.Reader
	contentType := ""
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r, contentType = bytes.NewReader(raw), "application/json"
	}
	resp, err := a.send(ctx, method, path, contentType, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return outside{fmt.Errorf("the running bridge at %s gave no sensible answer: %w", a.base, err)}
	}
	return nil
}

func (a *admin) quick(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	return a.ask(ctx, method, path, body, into)
}

// Connections lists how the bridge's connections stand.
func (a *admin) Connections(ctx context.Context) ([]console.Connection, error) {
	var out struct {
		Connections []console.Connection `json:"connections"`
	}
	err := a.quick(ctx, http.MethodGet, "/api/v1/connections", nil, &out)
	return out.Connections, err
}

// Events implements desk.
func (a *admin) Events(ctx context.Context, f console.Filter) (p console.Page, err error) {
	q := url.Values{}
	set := func(key, value string) {
		if value != "" {
			q.Set(key, value)
		}
	}
	set("connection", f.Connection)
	set("source", string(f.Source))
	set("kind", f.Kind)
	set("state", string(f.State))
	set("reason", string(f.Reason))
	set("client", f.Client)
	q.Set("limit", strconv.Itoa(f.Limit))
	if f.Before != 0 {
		q.Set("before", strconv.FormatUint(f.Before, 10))
	}
	err = a.quick(ctx, http.MethodGet, "/api/v1/events?"+q.Encode(), nil, &p)
	return p, err
}

// Search implements desk.
func (a *admin) Search(ctx context.Context, q string) (p console.Page, err error) {
	err = a.quick(ctx, http.MethodPost, "/api/v1/search", map[string]string{"q": q}, &p)
	return p, err
}

func eventPath(seq uint64) string { return "/api/v1/events/" + strconv.FormatUint(seq, 10) }

// Event implements desk.
func (a *admin) Event(ctx context.Context, seq uint64) (*console.Detail, error) {
	var d console.Detail
	if err := a.quick(ctx, http.MethodGet, eventPath(seq), nil, &d); err != nil {
		return nil, err
	}
	return &d, nil
}

// Replay implements desk.
func (a *admin) Replay(ctx context.Context, seq uint64, again bool) error {
	return a.quick(ctx, http.MethodPost, eventPath(seq)+"/replay", map[string]bool{"again": again}, nil)
}

// Discard implements desk.
func (a *admin) Discard(ctx context.Context, seq uint64) error {
	return a.quick(ctx, http.MethodPost, eventPath(seq)+"/discard", nil, nil)
}

// ReplayAll implements desk.
func (a *admin) ReplayAll(ctx context.Context, f console.ReplayFilter) (int, error) {
	var out struct {
		Replayed int `json:"replayed"`
	}
	err := a.ask(ctx, http.MethodPost, "/api/v1/replay", f, &out)
	return out.Replayed, err
}

// Backup implements desk.
func (a *admin) Backup(ctx context.Context, w io.Writer) (int64, error) {
	resp, err := a.send(ctx, http.MethodPost, "/api/v1/backup", "", nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(w, resp.Body)
	if err != nil {
		return n, outside{fmt.Errorf("the copy broke off: %w", err)}
	}
	return n, nil
}

func commandPath(what, connection string) string {
	return "/api/v1/" + what + "/" + url.PathEscape(connection)
}

// ConsentURL implements desk.
func (a *admin) ConsentURL(connection string) (string, error) {
	c, err := a.consent(context.Background(), connection)
	return c.URL, err
}

func (a *admin) consent(ctx context.Context, connection string) (c app.Consent, err error) {
	err = a.quick(ctx, http.MethodPost, commandPath("auth", connection), nil, &c)
	return c, err
}

// granted tells how a consent stands.
func (a *admin) granted(ctx context.Context, connection, state string) (c app.Consent, err error) {
	err = a.quick(ctx, http.MethodGet, commandPath("auth", connection)+"?state="+url.QueryEscape(state), nil, &c)
	return c, err
}

// Exchange implements desk.
func (a *admin) Exchange(ctx context.Context, connection, code string) error {
	return a.quick(ctx, http.MethodPost, commandPath("auth", connection)+"/code", map[string]string{"code": code}, nil)
}

// look has the bridge look at an account.
func (a *admin) look(ctx context.Context, connection, hook string, fix bool) (*app.Look, error) {
	var l app.Look
	err := a.ask(ctx, http.MethodPost, commandPath("look", connection), map[string]any{"hook": hook, "fix": fix}, &l)
	if err != nil {
		return nil, err
	}
	return &l, nil
}

// read asks amoCRM one question through the bridge.
func (a *admin) read(ctx context.Context, connection string, q app.Read) (r app.Answer, err error) {
	err = a.ask(ctx, http.MethodPost, commandPath("crm", connection), q, &r)
	return r, err
}

// maxPacked is the largest body the admin listener takes, with some room.
const maxPacked = 60 << 10

// Import implements desk. What the listener would not take in one request goes
// in several.
func (a *admin) Import(ctx context.Context, connection string, lines []app.ImportLine) (n app.ImportCounts, err error) {
	packed, err := pack(lines)
	if err != nil {
		return n, err
	}
	if len(packed) > maxPacked {
		if len(lines) == 1 {
			return n, hinted{
				fmt.Errorf("one event of %d bytes is too large for the running bridge's admin listener", len(lines[0].Body)),
				"stop the bridge and import again: what is in already is not doubled, but for lines that are no events",
			}
		}
		half := len(lines) / 2
		for _, part := range [][]app.ImportLine{lines[:half], lines[half:]} {
			m, err := a.Import(ctx, connection, part)
			n.Add(m)
			if err != nil {
				return n, err
			}
		}
		return n, nil
	}
	resp, err := a.send(ctx, http.MethodPost, commandPath("import", connection), "application/gzip", bytes.NewReader(packed))
	if err != nil {
		return n, err
	}
	defer resp.Body.Close()
	return n, json.NewDecoder(resp.Body).Decode(&n)
}

func pack(lines []app.ImportLine) ([]byte, error) {
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	enc := json.NewEncoder(zip)
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return nil, err
		}
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// SyncContacts implements desk.
func (a *admin) SyncContacts(ctx context.Context, connection string, progress func(done int)) error {
	resp, err := a.send(ctx, http.MethodPost, commandPath("contacts", connection)+"/sync", "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var step app.SyncStep
		if err := dec.Decode(&step); err != nil {
			return outside{fmt.Errorf("the running bridge went away: %w", err)}
		}
		switch {
		case step.Error != "":
			return &toldTrouble{step.Error, amocrm.Trouble(step.Trouble)}
		case step.Finished:
			return nil
		}
		progress(step.Done)
	}
}
