package app

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"path/filepath"
)

// tls returns how the public listener is served: plain, with the certificate of
// the config, or with certificates that are got and renewed by ACME.
func (a *App) tls(ctx context.Context, srv *http.Server) (func(net.Listener) error, error) {
	cfg := a.config()
	t := cfg.TLS
	switch {
	case t.Cert != "":
		return func(l net.Listener) error { return srv.ServeTLS(l, t.Cert, t.Key) }, nil
	case len(t.Domains) == 0:
		return srv.Serve, nil
	}
	storage := &certmagic.FileStorage{Path: filepath.Join(cfg.Data, "acme")}
	var magic *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return magic, nil },
		Logger:           zap.NewNop(),
	})
	magic = certmagic.New(cache, certmagic.Config{Storage: storage, Logger: zap.NewNop()})
	magic.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(magic, certmagic.ACMEIssuer{
		Email: t.Email, Agreed: true, DisableHTTPChallenge: true, Logger: zap.NewNop(),
	})}
	if err := magic.ManageAsync(ctx, t.Domains); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	srv.TLSConfig = magic.TLSConfig()
	srv.TLSConfig.NextProtos = append([]string{"h2", "http/1.1"}, srv.TLSConfig.NextProtos...)
	return func(l net.Listener) error { return srv.ServeTLS(l, "", "") }, nil
}
