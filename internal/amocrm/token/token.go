package token

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm/lenient"
)

// Info is how a token stands, for people and gauges.
type Info struct {
	Kind  string // long_lived | oauth
	State string // ok | expiring | expired | needs_auth
	// ExpiresAt is when the account stops answering unless somebody or something
	// acts: a long-lived token's end, or the day the refresh token dies if the
	// bridge stands still. Zero if not known.
	ExpiresAt time.Time
}

// expiringWithin is how long before its end a token is called expiring.
const expiringWithin = 14 * 24 * time.Hour

// Static is a long-lived token: it cannot be refreshed (amocrm-api.md §2.2).
type Static struct {
	token string
	ends  time.Time
}

// NewStatic takes a long-lived token as amoCRM showed it.
func NewStatic(token string) *Static {
	token = strings.TrimSpace(token)
	return &Static{token: token, ends: readClaims(token).expiry()}
}

// Token implements Tokens. A token that is past its end is given all the same:
// amoCRM's clock decides.
func (s *Static) Token(context.Context) (string, error) { return s.token, nil }

var errStaticRefused = errors.New("amoCRM does not take the long-lived token: it is expired, revoked, or of another account")

// Refused implements Tokens: there is no other token to be had.
func (s *Static) Refused(context.Context, string) error { return errStaticRefused }

// Info returns how the token stands.
func (s *Static) Info() Info {
	return Info{Kind: "long_lived", State: expiryState(s.ends, time.Now()), ExpiresAt: s.ends}
}

// String keeps the token out of any output.
func (s *Static) String() string { return "<secret>" }

// GoString keeps the token out of any output.
func (s *Static) GoString() string { return "<secret>" }

func expiryState(ends, now time.Time) string {
	switch {
	case ends.IsZero() || ends.Sub(now) > expiringWithin:
		return "ok"
	case now.Before(ends):
		return "expiring"
	}
	return "expired"
}

// claims are what the bridge reads of an access token; they are not verified,
// for nothing is granted by them.
type claims struct {
	Exp       lenient.Number `json:"exp"`
	APIDomain lenient.Words  `json:"api_domain"`
}

// readClaims reads a JWT's claims; of what is no JWT they are empty.
func readClaims(token string) claims {
	var c claims
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err == nil {
		_ = json.Unmarshal(payload, &c)
	}
	return c
}

func (c claims) expiry() time.Time {
	if c.Exp <= 0 {
		return time.Time{}
	}
	return time.Unix(int64(c.Exp), 0)
}

// platforms are the domains accounts live under (amocrm-api.md §1).
func platforms() []string { return []string{"amocrm.ru", "amocrm.com", "kommo.com"} }

// Platform returns the domain an account's host lives under, which accounts
// banned by IP share; "" for a host of no platform (an emulated account).
func Platform(host string) string {
	label, domain, _ := strings.Cut(strings.ToLower(host), ".")
	for _, p := range platforms() {
		if domain == p && isLabel(label) {
			return p
		}
	}
	return ""
}

func isLabel(s string) bool {
	return s != "" && len(s) <= 63 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
