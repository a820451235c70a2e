package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/jivo"
)

const tlsDomain = "bridge.example.com"

// certificate makes a certificate of tlsDomain that is good until then, in PEM.
func certificate(t *testing.T, until time.Time) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(until.UnixNano()), Subject: pkix.Name{CommonName: tlsDomain}, DNSNames: []string{tlsDomain},
		NotBefore: until.AddDate(-1, 0, 0), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// pairIn writes a pair into a folder and returns the config's tls block for it.
func pairIn(t *testing.T, folder string, cert, key []byte) config.TLS {
	t.Helper()
	at := config.TLS{Cert: filepath.Join(folder, "cert.pem"), Key: filepath.Join(folder, "key.pem")}
	for path, data := range map[string][]byte{at.Cert: cert, at.Key: key} {
		if data == nil {
			continue
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return at
}

// tlsConfig is a config with this tls block, whose account nobody answers for.
func tlsConfig(t *testing.T, block config.TLS) *config.Config {
	t.Helper()
	cfg, problems := config.Parse("tls.yaml", fmt.Appendf(nil, `listen: "127.0.0.1:0"
data: %q
limits: {free_space: 1MiB}
admin: {listen: "127.0.0.1:0"}
connections:
  shop:
    jivo: {secret: jivo-secret-0123456789}
    amocrm: {account: "http://127.0.0.1:1", token: long-lived-token}
`, filepath.Join(t.TempDir(), "data")), os.LookupEnv, os.ReadFile, config.Vocabulary{Kinds: jivo.Kinds(), Schema: jivo.Schema})
	if problems != nil {
		t.Fatal(problems)
	}
	cfg.TLS = block
	return cfg
}

// A pair that cannot be served is refused before anything listens, by the key of
// the config that names it.
func TestTLS_BadPairIsRefusedAtStart(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t, time.Now().Add(time.Hour))
	_, another := certificate(t, time.Now().Add(time.Hour))
	for name, c := range map[string]struct {
		cert, key []byte
		want      string
	}{
		"no certificate":    {nil, key, "tls.cert: open "},
		"no key":            {cert, nil, "tls.key: open "},
		"another's key":     {cert, another, "tls.cert and tls.key: private key does not match"},
		"no PEM":            {[]byte("certificate"), key, "tls.cert and tls.key: failed to find any PEM data in certificate"},
		"a key for a chain": {key, key, "tls.cert and tls.key: "},
	} {
		a, err := New(tlsConfig(t, pairIn(t, t.TempDir(), c.cert, c.key)), Options{Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			a.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s…", name, err, c.want)
		}
	}
}

// A bridge whose domain has no certificate says so where readiness is asked for.
func TestTLS_DomainWithoutCertificateIsNotReady(t *testing.T) {
	t.Parallel()
	a, err := New(tlsConfig(t, config.TLS{Domains: []string{tlsDomain}}), Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, p := range a.Ready(t.Context()) {
		if p.Connection == "" && strings.Contains(p.What, "no certificate for "+tlsDomain) && strings.Contains(p.Hint, "port 443") {
			return
		}
	}
	t.Errorf("nothing about the certificate in %+v", a.Ready(t.Context()))
}

// The public listener serves the pair of the config.
func TestTLS_PairIsServed(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t, time.Now().Add(time.Hour))
	a, err := New(tlsConfig(t, pairIn(t, t.TempDir(), cert, key)), Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx, nil) }()
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(cert)
	way := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, ServerName: tlsDomain}, ForceAttemptHTTP2: true}
	client := &http.Client{Transport: way, Timeout: 20 * time.Second}
	res, err := client.Get("https://" + a.PublicAddr() + "/")
	if err != nil {
		t.Error(err)
	} else {
		if res.ProtoMajor != 2 {
			t.Errorf("served by %s, want HTTP/2", res.Proto)
		}
		_ = res.Body.Close()
	}
	way.CloseIdleConnections()
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// serial asks for the certificate as a handshake does.
func serial(t *testing.T, p *pair) *big.Int {
	t.Helper()
	c, err := p.get(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf.SerialNumber
}

// A renewed pair is served to handshakes that come a few seconds later, whatever
// the times of its files are; one that does not go together is told of once for each
// change of it, and the last good one is served meanwhile.
func TestTLS_RenewedPairIsServedByItself(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		first, firstKey := certificate(t, time.Now().Add(1*time.Hour))
		second, secondKey := certificate(t, time.Now().Add(2*time.Hour))
		third, _ := certificate(t, time.Now().Add(3*time.Hour))
		at := pairIn(t, folder, first, firstKey)
		p, err := newPair(at, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		old, renewed := big.NewInt(time.Now().Add(1*time.Hour).UnixNano()), big.NewInt(time.Now().Add(2*time.Hour).UnixNano())
		const mixed, taken = "level=ERROR.*private key does not match", "level=INFO.*the new certificate is served"
		for i, step := range []struct {
			cert, key []byte
			serves    *big.Int
			told      string
		}{
			{first, firstKey, old, ""},
			{second, firstKey, old, mixed}, // half of a renewal
			{second, firstKey, old, ""},    // told of already
			{second, []byte("no key"), old, "level=ERROR.*failed to find any PEM data in key"},
			{second, firstKey, old, mixed},
			{third, firstKey, old, mixed}, // another half
			{first, firstKey, old, ""},
			{second, firstKey, old, mixed}, // again, after a good one
			{second, secondKey, renewed, taken},
			{second, secondKey, renewed, ""},
			{second, firstKey, renewed, mixed},
			{second, nil, renewed, "level=ERROR.*tls.key: open "},
			{second, nil, renewed, ""},
			{second, secondKey, renewed, ""},
			{second, firstKey, renewed, mixed},
			{first, firstKey, old, taken},
			{second, firstKey, old, mixed}, // again, after one that was taken
		} {
			pairIn(t, folder, step.cert, step.key)
			if step.key == nil {
				_ = os.Remove(at.Key) // at the second time it is gone already
			}
			for _, path := range []string{at.Cert, at.Key} {
				_ = os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0))
			}
			log.Reset()
			before := serial(t, p)
			if time.Sleep(pairLook - time.Nanosecond); serial(t, p).Cmp(before) != 0 || log.Len() > 0 {
				t.Errorf("step %d: the files were looked at too soon: %s", i, log.String())
			}
			time.Sleep(time.Nanosecond)
			if got := serial(t, p); got.Cmp(step.serves) != 0 {
				t.Errorf("step %d: the certificate %v is served, want %v", i, got, step.serves)
			}
			told := log.String()
			if strings.Count(told, "\n") != min(1, len(step.told)) || !regexp.MustCompile(step.told).MatchString(told) {
				t.Errorf("step %d: told %q, want %q", i, told, step.told)
			}
			if strings.Contains(told, "PRIVATE") {
				t.Errorf("step %d: the log has the key: %s", i, told)
			}
		}
	})
}

// A certificate makes a domain ready as long as it has not expired.
func TestTLS_ExpiredCertificateIsNone(t *testing.T) {
	t.Parallel()
	for good, until := range map[bool]time.Time{true: time.Now().Add(time.Hour), false: time.Now().Add(-time.Hour)} {
		folder := t.TempDir()
		c := newACME(&config.Config{Data: folder, TLS: config.TLS{Domains: []string{tlsDomain, "other.example.com"}}}, slog.New(slog.DiscardHandler))
		defer c.cache.Stop()
		cert, key := certificate(t, until)
		own, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.magic.CacheUnmanagedTLSCertificate(t.Context(), own, nil); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range c.missing() {
			names = append(names, strings.TrimPrefix(p.What, "there is no certificate for "))
		}
		want := []string{tlsDomain, "other.example.com"}
		if good {
			want = want[1:]
		}
		if !slices.Equal(names, want) {
			t.Errorf("good: %t: missing %q, want %q", good, names, want)
		}
	}
}

// authority issues certificates, or refuses to.
type authority struct{ err error }

func (authority) IssuerKey() string { return "test" }

func (a authority) Issue(_ context.Context, of *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	if a.err != nil {
		return nil, a.err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: of.DNSNames, NotBefore: time.Now(), NotAfter: time.Now().AddDate(0, 3, 0)}
	der, err := x509.CreateCertificate(rand.Reader, form, &x509.Certificate{Subject: pkix.Name{CommonName: "test"}}, of.PublicKey, private)
	return &certmagic.IssuedCertificate{Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, err
}

// lines hands over what is logged, a record at a time.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// What an authority refuses is in the log, once for each attempt and without the
// operator's address; an attempt that the end of the bridge cut short is not.
func TestTLS_RefusedCertificateIsTold(t *testing.T) {
	t.Parallel()
	log := make(lines, 10)
	c := newACME(&config.Config{Data: t.TempDir(), TLS: config.TLS{Domains: []string{tlsDomain}, Email: "ops@example.com"}}, slog.New(slog.NewTextHandler(log, nil)))
	c.magic.Issuers = []certmagic.Issuer{authority{errors.New("rateLimited: ops@example.com asks too often")}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	if _, err := c.keep(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case line := <-log:
		if want := `level=ERROR msg="no certificate" domain=` + tlsDomain + ` error="rateLimited: tls.email asks too often"`; !strings.Contains(line, want) {
			t.Errorf("told %s, want %s", line, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was told")
	}
	if len(c.missing()) != 1 {
		t.Errorf("missing: %v", c.missing())
	}
	failed := map[string]any{"identifier": tlsDomain, "renewal": true, "remaining": 48 * time.Hour, "error": errors.New("away")}
	_ = c.told(ctx, "cert_failed", failed)
	if line := <-log; !strings.Contains(line, `level=ERROR msg="the certificate was not renewed" domain=`+tlsDomain+` left=48h0m0s error=away`) {
		t.Errorf("told %s", line)
	}
	stop()
	_ = c.told(ctx, "cert_failed", failed)
	if len(log) > 0 {
		t.Errorf("told at the end: %s", <-log)
	}
}

// A certificate that was obtained is served, and the domain is ready.
func TestTLS_ObtainedCertificateIsServed(t *testing.T) {
	t.Parallel()
	log := make(lines, 10)
	c := newACME(&config.Config{Data: t.TempDir(), TLS: config.TLS{Domains: []string{tlsDomain}}}, slog.New(slog.NewTextHandler(log, nil)))
	c.magic.Issuers = []certmagic.Issuer{authority{}}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	use, err := c.keep(ctx)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for len(c.missing()) > 0 {
		select {
		case <-ctx.Done():
			t.Fatal("there is no certificate")
		case <-tick.C:
		}
	}
	if line := <-log; !strings.Contains(line, `level=INFO msg="the certificate was obtained" domain=`+tlsDomain) {
		t.Errorf("told %s", line)
	}
	here, there := net.Pipe()
	go func() { _ = tls.Server(there, use).HandshakeContext(ctx) }()
	client := tls.Client(here, &tls.Config{ServerName: tlsDomain, NextProtos: []string{"h2"}, InsecureSkipVerify: true}) // the authority is nobody's
	if err := client.HandshakeContext(ctx); err != nil {
		t.Fatal(err)
	}
	is := client.ConnectionState()
	if err := is.PeerCertificates[0].VerifyHostname(tlsDomain); err != nil || is.NegotiatedProtocol != "h2" {
		t.Errorf("%q is spoken, and %v", is.NegotiatedProtocol, err)
	}
	_, _ = here.Close(), there.Close()
}
