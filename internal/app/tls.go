package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/console"
)

// certificates is where the public listener's certificates come from.
type certificates interface {
	// keep keeps them up until ctx ends, and returns how the listener uses them.
	keep(ctx context.Context) (*tls.Config, error)
	// missing tells what cannot be served for want of a certificate.
	missing() []console.Problem
}

// newCertificates finds the certificates of a config; nil: the listener is plain.
// Files are read here, so that a bridge that could serve nobody does not start.
func newCertificates(cfg *config.Config, log *slog.Logger) (certificates, error) {
	switch t := cfg.TLS; {
	case t.Cert != "":
		return newPair(t, log)
	case len(t.Domains) == 0:
		return nil, nil
	default:
		return newACME(cfg, log), nil
	}
}

// CheckTLS reports what is wrong with the certificate files of a config, if it
// names any. The error names the key of the config.
func CheckTLS(t config.TLS) error {
	if t.Cert == "" {
		return nil
	}
	_, err := newPair(t, slog.New(slog.DiscardHandler))
	return err
}

// tls returns how the public listener is served: plain, with the certificate of
// the config, or with certificates that are got and renewed by ACME.
func (a *App) tls(ctx context.Context, srv *http.Server) (func(net.Listener) error, error) {
	if a.certs == nil {
		return srv.Serve, nil
	}
	var err error
	if srv.TLSConfig, err = a.certs.keep(ctx); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return func(l net.Listener) error { return srv.ServeTLS(l, "", "") }, nil
}

// pairLook is how old what is known of the files of a pair may get while
// handshakes ask for it.
const pairLook = 5 * time.Second

// pair is a certificate and its key in files. What renews them knows nothing of
// the bridge, so they are looked at again while they are in use. It is safe for
// concurrent use.
type pair struct {
	at  config.TLS
	log *slog.Logger

	mu     sync.Mutex
	served *tls.Certificate
	from   pairFiles // what served was made of
	looked time.Time
	bad    pairFiles // what was last refused, and
	why    string    // why; "": nothing was
}

// pairFiles is what is in the files. They are told apart by it and not by their
// times: copying and restoring keeps times, and two writes may share one.
type pairFiles struct{ cert, key []byte }

func (f pairFiles) equal(g pairFiles) bool {
	return bytes.Equal(f.cert, g.cert) && bytes.Equal(f.key, g.key)
}

// certificate makes what is served of the files.
func (f pairFiles) certificate() (*tls.Certificate, error) {
	made, err := tls.X509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, errors.New("tls.cert and tls.key: " + strings.TrimPrefix(err.Error(), "tls: "))
	}
	return &made, nil
}

func newPair(at config.TLS, log *slog.Logger) (*pair, error) {
	p := &pair{at: at, log: log, looked: time.Now()}
	var err error
	if p.from, err = p.read(); err != nil {
		return nil, err
	}
	if p.served, err = p.from.certificate(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *pair) read() (f pairFiles, err error) {
	if f.cert, err = os.ReadFile(p.at.Cert); err != nil {
		return f, fmt.Errorf("tls.cert: %w", err)
	}
	if f.key, err = os.ReadFile(p.at.Key); err != nil {
		return f, fmt.Errorf("tls.key: %w", err)
	}
	return f, nil
}

func (p *pair) keep(context.Context) (*tls.Config, error) {
	return &tls.Config{GetCertificate: p.get}, nil
}

// missing is empty: there is a pair from the start, and a worse one is not taken.
func (p *pair) missing() []console.Problem { return nil }

// get returns the certificate for a handshake: that of the files as they were at
// most pairLook ago, or the last good one.
func (p *pair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.looked) >= pairLook {
		p.looked = now
		p.look()
	}
	return p.served, nil
}

// look takes over what is in the files, if it is new and good. The caller holds
// the lock.
func (p *pair) look() {
	now, err := p.read()
	if err == nil && now.equal(p.from) {
		p.why = ""
		return
	}
	var fresh *tls.Certificate
	if err == nil {
		fresh, err = now.certificate()
	}
	if err != nil {
		if why := err.Error(); why != p.why || !now.equal(p.bad) { // once, not with every handshake
			p.bad, p.why = now, why
			p.log.Error("the new certificate was refused; the old one stays", "error", err)
		}
		return
	}
	p.served, p.from, p.why = fresh, now, ""
	p.log.Info("the new certificate is served", "until", fresh.Leaf.NotAfter)
}

// acme are certificates that are got and renewed from an authority.
type acme struct {
	domains []string
	email   string
	log     *slog.Logger
	cache   *certmagic.Cache
	magic   *certmagic.Config
}

func newACME(cfg *config.Config, log *slog.Logger) *acme {
	c := &acme{domains: cfg.TLS.Domains, email: cfg.TLS.Email, log: log}
	c.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return c.magic, nil },
		Logger:           zap.NewNop(),
	})
	c.magic = certmagic.New(c.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: filepath.Join(cfg.Data, "acme")}, Logger: zap.NewNop(), OnEvent: c.told,
	})
	c.magic.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(c.magic, certmagic.ACMEIssuer{
		Email: c.email, Agreed: true, DisableHTTPChallenge: true, Logger: zap.NewNop(),
	})}
	return c
}

func (c *acme) keep(ctx context.Context) (*tls.Config, error) {
	context.AfterFunc(ctx, c.cache.Stop)
	if err := c.magic.ManageAsync(ctx, c.domains); err != nil {
		return nil, err
	}
	use := c.magic.TLSConfig()
	use.NextProtos = append([]string{"h2", "http/1.1"}, use.NextProtos...)
	return use, nil
}

// missing tells of the domains that every handshake fails for.
func (c *acme) missing() (out []console.Problem) {
	good := func(cert certmagic.Certificate) bool { return !cert.Expired() }
	for _, domain := range c.domains {
		if !slices.ContainsFunc(c.cache.AllMatchingCertificates(domain), good) {
			out = append(out, console.Problem{
				What: "there is no certificate for " + domain,
				Hint: "does the name point to this machine, and is its port 443 reachable from outside? the log has what the authority said",
			})
		}
	}
	return out
}

// told hears of every attempt to get a certificate (certmagic.Config.OnEvent).
// Its own log stays silent: it would tell of each failure several times over.
func (c *acme) told(ctx context.Context, event string, data map[string]any) error {
	log := c.log.With("domain", data["identifier"])
	switch event {
	case "cert_obtained":
		log.Info("the certificate was obtained")
	case "cert_failed":
		if ctx.Err() != nil {
			break // it was the stop of the bridge
		}
		what := "no certificate"
		if left, _ := data["remaining"].(time.Duration); left > 0 {
			what, log = "the certificate was not renewed", log.With("left", left.Round(time.Minute))
		}
		err := fmt.Sprint(data["error"])
		if c.email != "" {
			err = strings.ReplaceAll(err, c.email, "tls.email") // authorities quote a contact they refuse
		}
		log.Error(what, "error", err)
	}
	return nil
}
