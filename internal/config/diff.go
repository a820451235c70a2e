package config

import "slices"

// Change is what a reload has to deal with.
type Change struct {
	// Restart names the changed keys that a running bridge cannot take over:
	// listen, data, tls, admin.listen (product.md §2).
	Restart []string
	// Added and Removed are names of connections.
	Added, Removed []string
}

// Diff compares the config a bridge runs with, for Restart the one it was
// started with, with one that is to take its place.
func Diff(before, after *Config) Change {
	var c Change
	for _, k := range []struct {
		key  string
		same bool
	}{
		{"listen", before.Listen == after.Listen},
		{"data", before.Data == after.Data},
		{"tls", before.TLS.equal(after.TLS)},
		{"admin.listen", before.Admin.Listen == after.Admin.Listen},
		{"log.format", before.Log.Format == after.Log.Format},
	} {
		if !k.same {
			c.Restart = append(c.Restart, k.key)
		}
	}
	c.Added, c.Removed = missing(before, after), missing(after, before)
	return c
}

func (t TLS) equal(u TLS) bool {
	return t.Cert == u.Cert && t.Key == u.Key && t.Email == u.Email && slices.Equal(t.Domains, u.Domains)
}

// missing lists the connections of b that a does not have.
func missing(a, b *Config) []string {
	var names []string
	for _, conn := range b.Connections {
		if a.Connection(conn.Name) == nil {
			names = append(names, conn.Name)
		}
	}
	return names
}
