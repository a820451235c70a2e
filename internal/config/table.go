package config

import (
	"fmt"
	"math"
	"strings"
)

// connectionName is the form of a connection's name: it is part of URLs and a
// metric label.
const connectionName = `^[a-z0-9-]{1,32}$`

// table is the top level of the file.
func (c *Config) table() object {
	return object{
		keys: []key{
			may("listen", words(&c.Listen, "host:port", listenAddress), "Address of the public listener, reached by Jivo and amoCRM"),
			may("public_url", words(&c.PublicURL, "a URL", publicURL), "URL under which the public listener is reached: to print URLs, subscribe hooks, for OAuth"),
			may("data", words(&c.Data, "a folder", nil), "Folder of bridge.db; relative to the config file"),
			may("tls", c.TLS.table(), "HTTPS on the public listener: by certificate files, or automatic for domains"),
			may("limits", c.Limits.table(), "What is taken in at most"),
			may("retention", c.Retention.table(), "How long settled things are kept"),
			may("log", c.Log.table(), "How the log is written"),
			may("admin", c.Admin.table(), "The listener of metrics, health, console and API"),
			must("connections", c.connections(), "One entry per pair of a Jivo and an amoCRM account"),
			reserve("alerts"),
		},
		after: c.together,
	}
}

func (t *TLS) table() object {
	return object{
		keys: []key{
			may("cert", free(&t.Cert), "Certificate file (PEM)"),
			may("key", free(&t.Key), "Key file (PEM)"),
			may("domains", list{
				want: "domain names", least: 1, start: func() { t.Domains = nil },
				each: func(int, Pos) node {
					t.Domains = append(t.Domains, "")
					return words(&t.Domains[len(t.Domains)-1], "a domain name", domainName)
				},
			}, "Domains to get certificates for by ACME"),
			may("email", free(&t.Email), "Address the ACME authority may write to"),
		},
		after: t.together,
	}
}

func (t *TLS) together(r *reader, at place) {
	domains := r.seen[at.path+".domains"]
	if (t.Cert != "" || t.Key != "") && domains {
		r.problem(at.Pos, "tls: either cert and key, or domains, not both")
		return
	}
	if (t.Cert == "") != (t.Key == "") {
		r.problem(at.Pos, "tls: cert and key go together")
	}
	if t.Email != "" && !domains {
		r.problem(at.Pos, "tls: email goes with domains")
	}
}

func (l *Limits) table() object {
	return object{keys: []key{
		may("body", size(&l.Body, 1<<10, 64<<20), "Largest request body"),
		may("backlog", integer(&l.Backlog, 1, math.MaxInt32), "Most events waiting at a time"),
		may("free_space", size(&l.FreeSpace, 0, 1<<50), "Disk space to be left free"),
	}}
}

func (t *Retention) table() object {
	return object{keys: []key{
		may("events", duration(&t.Events, 1, longest), "Settled events"),
		may("bodies", duration(&t.Bodies, 1, longest), "Their raw bodies"),
		may("dead", duration(&t.Dead, 1, longest), "Dead events"),
	}}
}

func (l *Log) table() object {
	level := strings.ToLower(l.Level.String())
	return object{keys: []key{
		may("level", oneOf(&level, "debug", "info", "warn", "error").then(func(scalar) {
			_ = l.Level.UnmarshalText([]byte(level)) // one of slog's own words
		}), "Least severe level written"),
		may("format", oneOf(&l.Format, "text", "json"), "Form of a log line"),
	}}
}

func (a *Admin) table() object {
	return object{
		keys: []key{
			may("listen", words(&a.Listen, "host:port", listenAddress), "Address of the admin listener"),
			may("token", bearer(func(s Secret) { a.Token = s }), "Bearer token; may be absent only while listening on loopback"),
		},
		after: a.together,
	}
}

func (a *Admin) together(r *reader, at place) {
	if r.seen[at.path+".token"] || onLoopback(a.Listen) {
		return
	}
	pos := at.Pos
	if p, ok := r.places[at.path+".listen"]; ok {
		pos = p
	}
	r.problem(pos, "admin.listen: %q is not loopback, so admin.token is needed", a.Listen)
}

func (c *Config) connections() dict {
	return dict{
		want:  "connections by name",
		names: connectionName,
		least: 1,
		name: func(name string) string {
			if connectionNames.MatchString(name) {
				return ""
			}
			return fmt.Sprintf("connection name %q: 1 to 32 of a-z, 0-9 and - are allowed", name)
		},
		each: func(name string, at Pos) node {
			conn := newConnection(name, at)
			c.Connections = append(c.Connections, conn)
			return conn.table(c)
		},
	}
}

// together looks at what only shows once the whole file is read.
func (c *Config) together(r *reader, _ place) {
	if c.Listen == c.Admin.Listen && !strings.HasSuffix(c.Listen, ":0") {
		at := r.places["admin.listen"]
		if at == (Pos{}) {
			at = r.places["listen"]
		}
		r.problem(at, "listen and admin.listen are the same address, %q", c.Listen)
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
func (conn *Connection) share(r *reader, other *Connection) {
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
		{"refresh", a.Refresh == b.Refresh},
		{"contacts_sync", a.ContactsSync == b.ContactsSync},
	} {
		if s.same {
			continue
		}
		at, ok := r.places["connections."+conn.Name+".amocrm."+s.key]
		if !ok {
			at = r.places["connections."+conn.Name+".amocrm.account"]
		}
		r.problem(at, "%s differs from that of connection %q: connections with the same account share it", s.key, other.Name)
	}
}

func sameOAuth(a, b *OAuth) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ClientID == b.ClientID && a.ClientSecret.Equal(b.ClientSecret)
}

// bearer is a secret that travels in an HTTP header.
func bearer(set func(Secret)) leaf {
	return hush("a token", `^[!-~]+$`, set, credential)
}

// then adds what follows once the value is taken.
func (l leaf) then(do func(s scalar)) leaf {
	take := l.take
	l.take = func(s scalar) string {
		complaint := take(s)
		if complaint == "" {
			do(s)
		}
		return complaint
	}
	return l
}
