package config

import "slices"

// Change is what a reload has to deal with.
type Change struct {
	// Restart names the changed keys that a running bridge cannot take over
	// (product.md §2).
	Restart []string
}

// Diff compares the config a bridge was started with with one that is to take its
// place.
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
	return c
}

func (t TLS) equal(u TLS) bool {
	return t.Cert == u.Cert && t.Key == u.Key && t.Email == u.Email && slices.Equal(t.Domains, u.Domains)
}
