package budget

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
)

// hosts are the hosts the client may talk to: the account's own, which a
// rename may change. It is safe for concurrent use.
type hosts struct{ at atomic.Pointer[url.URL] }

func newHosts(base string) *hosts {
	h := &hosts{}
	u, err := url.Parse(strings.TrimRight(base, "/"))
	if err != nil || u.Host == "" {
		// Config checks the URL; with a broken one every request fails.
		u = &url.URL{Scheme: "https", Host: "invalid.invalid"}
	}
	h.at.Store(&url.URL{Scheme: u.Scheme, Host: u.Host})
	return h
}

func (h *hosts) base() *url.URL { return h.at.Load() }

func (h *hosts) move(host string) { h.at.Store(&url.URL{Scheme: h.base().Scheme, Host: host}) }

func (h *hosts) allows(ctx context.Context, u *url.URL) error {
	if base := h.base(); u.Host == base.Host && u.Scheme == base.Scheme {
		return nil
	}
	if extra, ok := ctx.Value(extraHostKey{}).(string); ok && u.Host == extra && u.Scheme == "https" {
		return nil
	}
	return fmt.Errorf("host %q is not the account's", u.Host)
}

type extraHostKey struct{}

// Elsewhere returns a context whose request may leave the account's host for
// one other: to ask where a renamed account went, and to try its grant there.
func Elsewhere(ctx context.Context, host string) context.Context {
	return context.WithValue(ctx, extraHostKey{}, host)
}
