package config

import (
	"fmt"
	"math"
	"strings"

	"github.com/jivo-amocrm/bridge/internal/config/strict"
)

// connectionName is the form of a connection's name: it is part of URLs and a
// metric label.
const connectionName = `^[a-z0-9-]{1,32}$`

// table is the top level of the file.
func (c *Config) table() strict.Object {
	return strict.Object{
		Keys: []strict.Key{
			strict.May("listen", strict.Words(&c.Listen, "host:port", listenAddress), "Address of the public listener, reached by Jivo and amoCRM"),
			strict.May("public_url", strict.Words(&c.PublicURL, "a URL", publicURL), "URL under which the public listener is reached: to print URLs, subscribe hooks, for OAuth"),
			strict.May("data", strict.Words(&c.Data, "a folder", nil), "Folder of bridge.db; relative to the config file"),
			strict.May("tls", c.TLS.table(), "HTTPS on the public listener: by certificate files, or automatic for domains"),
			strict.May("limits", c.Limits.table(), "What is taken in at most"),
			strict.May("retention", c.Retention.table(), "How long settled things are kept"),
			strict.May("log", c.Log.table(), "How the log is written"),
			strict.May("admin", c.Admin.table(), "The listener of metrics, health, console and API"),
			strict.Must("connections", c.connections(), "One entry per pair of a Jivo and an amoCRM account"),
			strict.Reserve("alerts"),
		},
		After: c.together,
	}
}

func (t *TLS) table() strict.Object {
	return strict.Object{
		Keys: []strict.Key{
			strict.May("cert", strict.Free(&t.Cert), "Certificate file (PEM)"),
			strict.May("key", strict.Free(&t.Key), "Key file (PEM)"),
			strict.May("domains", strict.List{
				Want: "domain names", Least: 1, Start: func() { t.Domains = nil },
				Each: func(int, Pos) strict.Node {
					t.Domains = append(t.Domains, "")
					return strict.Words(&t.Domains[len(t.Domains)-1], "a domain name", domainName)
				},
			}, "Domains to get certificates for by ACME"),
			strict.May("email", strict.Free(&t.Email), "Address the ACME authority may write to"),
		},
		After: t.together,
	}
}

func (t *TLS) together(r *strict.Reader, at strict.Place, _ bool) {
	domains := r.Seen(at.Path + ".domains")
	if (t.Cert != "" || t.Key != "") && domains {
		r.Problem(at.Pos, "tls: either cert and key, or domains, not both")
		return
	}
	if (t.Cert == "") != (t.Key == "") {
		r.Problem(at.Pos, "tls: cert and key go together")
	}
	if t.Email != "" && !domains {
		r.Problem(at.Pos, "tls: email goes with domains")
	}
}

func (l *Limits) table() strict.Object {
	return strict.Object{Keys: []strict.Key{
		strict.May("body", strict.Size(&l.Body, 1<<10, 64<<20), "Largest request body"),
		strict.May("backlog", strict.Integer(&l.Backlog, 1, math.MaxInt32), "Most events waiting at a time"),
		strict.May("free_space", strict.Size(&l.FreeSpace, 0, 1<<50), "Disk space to be left free"),
	}}
}

func (t *Retention) table() strict.Object {
	return strict.Object{Keys: []strict.Key{
		strict.May("events", strict.Duration(&t.Events, 1, strict.Longest), "Settled events"),
		strict.May("bodies", strict.Duration(&t.Bodies, 1, strict.Longest), "Their raw bodies"),
		strict.May("dead", strict.Duration(&t.Dead, 1, strict.Longest), "Dead events"),
	}}
}

func (l *Log) table() strict.Object {
	level := strings.ToLower(l.Level.String())
	return strict.Object{Keys: []strict.Key{
		strict.May("level", strict.OneOf(&level, "debug", "info", "warn", "error").Then(func(strict.Scalar) {
			_ = l.Level.UnmarshalText([]byte(level)) // one of slog's own words
		}), "Least severe level written"),
		strict.May("format", strict.OneOf(&l.Format, "text", "json"), "Form of a log line"),
	}}
}

func (a *Admin) table() strict.Object {
	return strict.Object{
		Keys: []strict.Key{
			strict.May("listen", strict.Words(&a.Listen, "host:port", listenAddress), "Address of the admin listener"),
			strict.May("token", bearer(func(s Secret) { a.Token = s }), "Bearer token; may be absent only while listening on loopback"),
		},
		After: a.together,
	}
}

func (a *Admin) together(r *strict.Reader, at strict.Place, _ bool) {
	if r.Seen(at.Path+".token") || onLoopback(a.Listen) {
		return
	}
	r.Problem(r.At(at.Path+".listen", at.Path), "admin.listen: %q is not loopback, so admin.token is needed", a.Listen)
}

func (c *Config) connections() strict.Dict {
	return strict.Dict{
		Want:  "connections by name",
		Names: connectionName,
		Least: 1,
		Name: func(name string) string {
			if connectionNames.MatchString(name) {
				return ""
			}
			return fmt.Sprintf("connection name %q: 1 to 32 of a-z, 0-9 and - are allowed", name)
		},
		Each: func(name string, at Pos) strict.Node {
			conn := newConnection(name, at)
			c.Connections = append(c.Connections, conn)
			return conn.table(c)
		},
	}
}

// together looks at what only shows once the whole file is read.
func (c *Config) together(r *strict.Reader, _ strict.Place, _ bool) {
	if c.Listen == c.Admin.Listen && !strings.HasSuffix(c.Listen, ":0") {
		r.Problem(r.At("admin.listen", "listen"), "listen and admin.listen are the same address, %q", c.Listen)
	}
	for i, conn := range c.Connections {
		conn.complete(r, c)
		for _, other := range c.Connections[:i] {
			if conn.AmoCRM.Account != "" && conn.AmoCRM.Account == other.AmoCRM.Account {
				conn.share(r, other)
				break
			}
		}
	}
}

// share reports settings that differ between two connections of one account:
// they have one budget, token and dictionary (product.md §2).
func (conn *Connection) share(r *strict.Reader, other *Connection) {
	a, b := &conn.AmoCRM, &other.AmoCRM
	for _, s := range []struct {
		key  string
		same bool
	}{
		{"token", a.OAuth != nil || b.OAuth != nil || a.Token.Equal(b.Token)},
		{"oauth", sameOAuth(a.OAuth, b.OAuth)},
		{"requests_per_second", a.RequestsPerSecond == b.RequestsPerSecond},
		{"batch", a.Batch == b.Batch},
		{"timeout", a.Timeout == b.Timeout},
		{"probe", a.Probe == b.Probe},
		{"sweep", a.Sweep == b.Sweep},
		{"refresh", a.Refresh == b.Refresh},
		{"contacts_sync", a.ContactsSync == b.ContactsSync},
	} {
		if s.same {
			continue
		}
		amocrm := "connections." + conn.Name + ".amocrm."
		r.Problem(r.At(amocrm+s.key, amocrm+"account"), "%s differs from that of connection %q: connections with the same account share it", s.key, other.Name)
	}
}

func sameOAuth(a, b *OAuth) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ClientID == b.ClientID && a.ClientSecret.Equal(b.ClientSecret)
}
