package console

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

const (
	cookieName    = "bridge_console"
	sessionLength = 12 * time.Hour
)

// guard decides who may see and do what. Without a token everybody who reaches
// the (loopback) listener by a loopback name may; with one, whoever carries it
// as a bearer or has a session cookie won by it.
type guard struct {
	key    [32]byte               // of this process; sessions and form tokens end with it
	token  atomic.Pointer[sealed] // nil: no token
	origin *http.CrossOriginProtection
	now    func() time.Time
}

// sealed is the hash of the admin token.
type sealed [sha256.Size]byte

func newGuard(token string) *guard {
	g := &guard{origin: http.NewCrossOriginProtection(), now: time.Now}
	rand.Read(g.key[:]) // never fails: crypto/rand ends the process instead
	g.set(token)
	return g
}

func (g *guard) set(token string) {
	if token == "" {
		g.token.Store(nil)
		return
	}
	sum := sealed(sha256.Sum256([]byte(token)))
	g.token.Store(&sum)
}

// tokenIs reports whether s is the admin token, in constant time over hashes.
func (g *guard) tokenIs(s string) bool {
	want := g.token.Load()
	if want == nil {
		return false
	}
	sum := sha256.Sum256([]byte(s))
	return subtle.ConstantTimeCompare(sum[:], want[:]) == 1
}

// allowed reports whether the request may see anything at all.
func (g *guard) allowed(r *http.Request) bool {
	want := g.token.Load()
	if want == nil {
		return true
	}
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "bearer") {
		return g.tokenIs(strings.TrimSpace(token))
	}
	return g.sessionHolds(cookie(r), want)
}

// hostHolds guards a listener without a token against pages of other sites
// whose name was made to lead to this machine (DNS rebinding): they come with
// their own name as Host.
func (g *guard) hostHolds(r *http.Request) bool {
	if g.token.Load() != nil {
		return true
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}

// session is a cookie value: its end and the proof that this process gave it
// out for the token of now.
func (g *guard) session() string {
	raw := binary.BigEndian.AppendUint64(nil, uint64(g.now().Add(sessionLength).Unix()))
	return base64.RawURLEncoding.EncodeToString(append(raw, g.seal(raw, g.token.Load())...))
}

func (g *guard) sessionHolds(value string, token *sealed) bool {
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || len(raw) != 8+sha256.Size {
		return false
	}
	if !hmac.Equal(raw[8:], g.seal(raw[:8], token)) {
		return false
	}
	return g.now().Unix() < int64(binary.BigEndian.Uint64(raw))
}

func (g *guard) seal(end []byte, token *sealed) []byte {
	mac := hmac.New(sha256.New, g.key[:])
	mac.Write([]byte("session"))
	mac.Write(end)
	if token != nil {
		mac.Write(token[:])
	}
	return mac.Sum(nil)
}

// formToken is the hidden field of every form shown for this session; a page
// of another site cannot read it.
func (g *guard) formToken(r *http.Request) string {
	mac := hmac.New(sha256.New, g.key[:])
	mac.Write([]byte("form"))
	mac.Write([]byte(cookie(r)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (g *guard) formHolds(r *http.Request) bool {
	return hmac.Equal([]byte(r.PostFormValue("csrf")), []byte(g.formToken(r)))
}

func cookie(r *http.Request) string {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return c.Value
}

// setCookie gives out value, or takes the cookie back when it is "".
func setCookie(w http.ResponseWriter, r *http.Request, value string) {
	c := &http.Cookie{
		Name: cookieName, Value: value, Path: "/", MaxAge: int(sessionLength / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}
