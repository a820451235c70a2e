package token

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/amocrm/budget"
	"github.com/jivo-amocrm/bridge/internal/amocrm/farend"
)

// vault is a Store that remembers, and may fail.
type vault struct {
	mu    sync.Mutex
	pair  Pair
	found bool
	saves int
	err   error
}

func (v *vault) stored() Pair {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.pair
}

func (v *vault) Load(context.Context) (Pair, bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.pair, v.found, nil
}

func (v *vault) Save(_ context.Context, p Pair) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		return v.err
	}
	v.pair, v.found = p, true
	v.saves++
	return nil
}

func jwt(claims string) string {
	return "h." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".s"
}

// grants is a token endpoint that rotates as amoCRM does: each refresh token
// is good once.
type grants struct {
	mu      sync.Mutex
	current string
	n       int
	trades  []map[string]string
	api     func(http.ResponseWriter, *http.Request, []byte)
	refuse  func(http.ResponseWriter, *http.Request, []byte)
	delay   time.Duration
}

// traded returns what was sent to the token endpoint.
func (g *grants) traded() []map[string]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.trades)
}

// now returns the refresh token amoCRM takes.
func (g *grants) now() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.current
}

func (g *grants) refuses(h func(http.ResponseWriter, *http.Request, []byte)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refuse = h
}

func (g *grants) handle(w http.ResponseWriter, r *http.Request, body []byte) {
	if r.URL.Path != "/oauth2/access_token" {
		g.api(w, r, body)
		return
	}
	time.Sleep(g.delay)
	g.mu.Lock()
	defer g.mu.Unlock()
	var in map[string]string
	_ = json.Unmarshal(body, &in)
	g.trades = append(g.trades, in)
	if g.refuse != nil {
		g.refuse(w, r, body)
		return
	}
	if in["grant_type"] == "refresh_token" && in["refresh_token"] != g.current {
		w.WriteHeader(401)
		fmt.Fprint(w, `{"hint":"Token has been revoked","title":"x","status":401,"detail":"d"}`)
		return
	}
	g.n++
	g.current = fmt.Sprintf("r%d", g.n)
	fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":86400,"access_token":"a%d","refresh_token":"r%d"}`, g.n, g.n)
}

var integration = OAuthConfig{
	BaseURL: "http://demo.amocrm.ru", ClientID: "id", ClientSecret: "s3cret", RedirectURL: "https://b.example/oauth/shop", Hint: "run bridge auth",
}

// inGrantBubble runs a test with a stored grant that ends after life.
func inGrantBubble(t *testing.T, life time.Duration, g *grants, test func(t *testing.T, w *world, o *OAuth, v *vault)) {
	t.Helper()
	v := &vault{}
	o := NewOAuth(integration, v, nil, nil)
	if g.api == nil {
		g.api = func(w http.ResponseWriter, r *http.Request, body []byte) { farend.Landing(0)(w, r, body) }
	}
	g.current = "r0"
	synctest.Test(t, func(t *testing.T) { v.pair.ExpiresAt = time.Now().Add(life) }) // a bubble's clock starts at one moment
	v.pair.Access, v.pair.Refresh, v.found = "a0", "r0", life != 0
	v.pair.RefreshedAt = v.pair.ExpiresAt.Add(-24 * time.Hour)
	o.turn = nil
	inBubble(t, lazily{o}, g.handle, func(t *testing.T, w *world) { test(t, w, o, v) })
}

// lazily makes the OAuth's channel inside the bubble.
type lazily struct{ *OAuth }

func (l lazily) Bind(t *budget.Transport, granted func()) {
	l.turn = make(chan struct{}, 1)
	l.OAuth.Bind(t, granted)
}

func TestOAuth_SixtyFourCallersOneRefresh(t *testing.T) {
	g := &grants{delay: time.Second}
	inGrantBubble(t, time.Minute, g, func(t *testing.T, w *world, o *OAuth, v *vault) {
		time.Sleep(2 * time.Minute)
		v.mu.Lock()
		v.pair.ExpiresAt = time.Now() // it runs out for everybody at once
		v.mu.Unlock()
		o.mu.Lock()
		o.pair.ExpiresAt = time.Now()
		o.mu.Unlock()
		before := len(g.traded())
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				tok, err := o.Token(t.Context())
				if i%2 == 0 {
					err = o.Refused(t.Context(), fmt.Sprintf("a%d", before))
				}
				if err != nil || i%2 == 1 && tok != fmt.Sprintf("a%d", before+1) {
					t.Errorf("%q %v", tok, err)
				}
			})
		}
		wg.Wait()
		if n := len(g.traded()) - before; n != 1 {
			t.Errorf("%d refreshes", n)
		}
		want := map[string]string{
			"grant_type": "refresh_token", "refresh_token": fmt.Sprintf("r%d", before), "client_id": "id",
			"client_secret": "s3cret", "redirect_uri": "https://b.example/oauth/shop",
		}
		if got := g.traded()[before]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("sent %v", got)
		}
	})
}

func TestOAuth_RefreshesAheadOfTheEndAlsoWhenIdle(t *testing.T) {
	g := &grants{}
	inGrantBubble(t, 24*time.Hour, g, func(t *testing.T, w *world, _ *OAuth, v *vault) {
		time.Sleep(100 * 24 * time.Hour)
		if n := len(g.traded()); n < 95 || n > 105 {
			t.Errorf("%d refreshes in 100 idle days", n)
		}
		if _, err := w.Write(t.Context(), lead(1)); err != nil {
			t.Error(err)
		}
		if v.stored().Refresh != g.now() {
			t.Errorf("stored %q, amoCRM knows %q", v.stored().Refresh, g.now())
		}
	})
}

func TestOAuth_NewPairIsDurableBeforeItIsUsed(t *testing.T) {
	g := &grants{}
	inGrantBubble(t, -time.Minute, g, func(t *testing.T, w *world, o *OAuth, v *vault) {
		v.mu.Lock()
		v.err = errors.New("disk")
		v.pair = Pair{Access: "a1", Refresh: g.now(), ExpiresAt: time.Now().Add(-time.Minute)}
		v.mu.Unlock()
		o.mu.Lock()
		o.pair = v.pair
		o.mu.Unlock()
		before := len(g.traded())
		for range 3 {
			_, err := w.Write(t.Context(), lead(1))
			if e, ok := errors.AsType[*amocrm.NotSent](err); !ok || e.Trouble != amocrm.Unrecorded {
				t.Fatalf("%v", err)
			}
		}
		if n := len(g.traded()) - before; n != 1 {
			t.Errorf("%d refreshes while the pair could not be stored", n)
		}
		v.mu.Lock()
		v.err = nil
		v.mu.Unlock()
		if _, err := w.Write(t.Context(), lead(1)); err != nil {
			t.Error(err)
		}
		seen := w.Seen()
		if last := seen[len(seen)-1]; v.stored().Refresh != g.now() || last.Token != "Bearer "+v.stored().Access {
			t.Errorf("stored %v, used %s", v.stored().Refresh, last.Token)
		}
	})
}

func TestOAuth_CallerThatGivesUpDoesNotLoseThePair(t *testing.T) {
	g := &grants{delay: 5 * time.Second}
	inGrantBubble(t, time.Hour, g, func(t *testing.T, w *world, o *OAuth, v *vault) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := o.Refused(ctx, "a0"); err != nil {
			t.Error(err)
		}
		if v.stored().Refresh != "r1" {
			t.Errorf("stored %q", v.stored().Refresh)
		}
	})
}

func TestOAuth_WhatTheTokenEndpointSays(t *testing.T) {
	problem := func(status int, hint string) func(http.ResponseWriter, *http.Request, []byte) {
		return func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"hint":%q,"title":"t","status":%d,"detail":"d"}`, hint, status)
		}
	}
	for _, c := range []struct {
		name   string
		refuse func(http.ResponseWriter, *http.Request, []byte)
		want   amocrm.Trouble
	}{
		{"revoked", problem(401, "Token has been revoked"), amocrm.AuthNeeded},
		{"wrong secret", problem(400, "Check the `client_secret` parameter"), amocrm.AuthNeeded},
		{"no such account", problem(404, "x"), amocrm.AuthNeeded},
		{"ban", farend.Page(403), amocrm.Banned},
		{"unpaid", problem(402, ""), amocrm.Unpaid}, // it is over once somebody pays: the grant is not
		{"500", problem(500, ""), amocrm.Unavailable},
		{"503 page", farend.Page(503), amocrm.Unavailable},
		{"200 page", farend.Page(200), amocrm.BadAnswer},
		{"no pair", func(w http.ResponseWriter, _ *http.Request, _ []byte) { fmt.Fprint(w, `{}`) }, amocrm.BadAnswer},
		{"dropped", func(http.ResponseWriter, *http.Request, []byte) { panic(http.ErrAbortHandler) }, amocrm.Unreachable},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &grants{refuse: c.refuse}
			inGrantBubble(t, -time.Minute, g, func(t *testing.T, w *world, o *OAuth, v *vault) {
				_, err := w.Write(t.Context(), lead(1))
				if amocrm.TroubleOf(err) != c.want || w.State().Reason != c.want {
					t.Fatalf("%v, %+v", err, w.State())
				}
				if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "r0") {
					t.Errorf("a secret shows in %v", err)
				}
				if dead := c.want == amocrm.AuthNeeded; dead != (o.Info().State == "needs_auth") {
					t.Errorf("info %+v", o.Info())
				}
				n := len(g.traded())
				if c.want == amocrm.AuthNeeded {
					time.Sleep(time.Hour / 2)
					if len(g.traded()) != n {
						t.Error("a dead grant was tried again")
					}
					// Somebody consents anew, in another process.
					g.mu.Lock()
					g.refuse = nil
					g.current = "fresh"
					g.mu.Unlock()
					v.mu.Lock()
					v.pair = Pair{Access: "x", Refresh: "fresh", ExpiresAt: time.Now().Add(time.Hour), RefreshedAt: time.Now()}
					v.mu.Unlock()
				} else {
					g.refuses(nil)
				}
				<-w.Resumed()
				if _, err := w.Write(t.Context(), lead(1)); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestOAuth_TokenRequestsPassTheBudget(t *testing.T) {
	g := &grants{refuse: farend.Page(503)}
	inGrantBubble(t, -time.Minute, g, func(t *testing.T, w *world, o *OAuth, _ *vault) {
		for range 30 {
			_, _ = o.Token(t.Context())
		}
		if most := w.InAnySecond(); most > 7 {
			t.Errorf("%d requests in one second", most)
		}
	})
}

func TestOAuth_EarlyRefreshThatFailsLeavesTheTokenInUse(t *testing.T) {
	g := &grants{refuse: farend.Page(503)}
	inGrantBubble(t, 4*time.Minute, g, func(t *testing.T, w *world, _ *OAuth, _ *vault) {
		for range 10 {
			if _, err := w.Write(t.Context(), lead(1)); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(g.traded()); n > 2 {
			t.Errorf("%d tries at once", n)
		}
	})
}

func TestOAuth_ExchangeStoresThePairAndWakesThePausedAccount(t *testing.T) {
	g := &grants{}
	inGrantBubble(t, 0, g, func(t *testing.T, w *world, o *OAuth, v *vault) {
		_, err := w.Write(t.Context(), lead(1))
		if e, ok := errors.AsType[*amocrm.NeedsAuth](err); !ok || e.Hint != "run bridge auth" {
			t.Fatalf("%v", err)
		}
		if err := o.Exchange(t.Context(), "c0de"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		<-w.Resumed()
		if time.Since(began) > time.Second {
			t.Errorf("resumed after %v", time.Since(began))
		}
		if got := g.traded()[0]; got["code"] != "c0de" || got["grant_type"] != "authorization_code" || got["redirect_uri"] == "" {
			t.Errorf("%v", got)
		}
		if v.stored().Access != "a1" || o.Info().State != "ok" || time.Until(o.Info().ExpiresAt) < 80*24*time.Hour {
			t.Errorf("%+v", o.Info())
		}
		g.refuses(func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			w.WriteHeader(400)
			fmt.Fprint(w, `{"hint":"Authorization code has expired","status":400}`)
		})
		err = o.Exchange(t.Context(), "c0de")
		if _, ok := errors.AsType[*amocrm.NeedsAuth](err); !ok || strings.Contains(err.Error(), "c0de") {
			t.Errorf("%v", err)
		}
		if _, err := w.Write(t.Context(), lead(1)); err != nil {
			t.Errorf("a bad code spoilt the good grant: %v", err)
		}
	})
}

func TestOAuth_AccountThatMovedIsFollowedOnce(t *testing.T) {
	for _, c := range []struct {
		domain string
		follow bool
	}{
		{"api-b.amocrm.ru", true},
		{"evil.example", false},
		{"amocrm.ru.evil.example", false},
	} {
		t.Run(c.domain, func(t *testing.T) {
			var mu sync.Mutex
			var asked []string
			rt := answering(func(r *http.Request) (int, string) {
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, r.URL.Host+r.URL.Path)
				switch {
				case r.URL.Path == "/oauth2/account/current/subdomain" && r.Header.Get("X-Refresh-Token") == "r0":
					return 200, `{"id":1,"subdomain":"moved","domain":"moved.amocrm.ru","top_level_domain":"ru"}`
				case r.URL.Path == "/oauth2/access_token" && r.URL.Host == "moved.amocrm.ru":
					return 200, `{"expires_in":86400,"access_token":"a1","refresh_token":"r1"}`
				case r.URL.Host == "moved.amocrm.ru":
					return 200, `{"id":1}`
				}
				return 401, `{"title":"Unauthorized","status":401}`
			})
			v := &vault{found: true, pair: Pair{Access: jwt(`{"api_domain":"` + c.domain + `"}`), Refresh: "r0", ExpiresAt: time.Now().Add(-time.Hour)}}
			cfg := integration
			cfg.BaseURL = "https://demo.amocrm.ru"
			o := NewOAuth(cfg, v, nil, nil)
			client := amocrm.New(amocrm.Config{BaseURL: "https://demo.amocrm.ru", RPS: 1000}, o, nil, nil, nil, rt)
			defer client.Close()
			_, err := client.Account(t.Context())
			if !c.follow {
				if amocrm.TroubleOf(err) != amocrm.AuthNeeded || len(asked) != 1 {
					t.Errorf("%v after asking %v", err, asked)
				}
				return
			}
			want := []string{
				"demo.amocrm.ru/oauth2/access_token", "api-b.amocrm.ru/oauth2/account/current/subdomain",
				"moved.amocrm.ru/oauth2/access_token", "moved.amocrm.ru/api/v4/account",
			}
			if err != nil || !slices.Equal(asked, want) || o.via.Base().Host != "moved.amocrm.ru" || v.pair.Host != "moved.amocrm.ru" {
				t.Errorf("%v; asked %v; stored %q", err, asked, v.pair.Host)
			}
			// A restart goes to where the account is now.
			reborn := NewOAuth(cfg, v, nil, nil)
			again := amocrm.New(amocrm.Config{BaseURL: "https://demo.amocrm.ru", RPS: 1000}, reborn, nil, nil, nil, rt)
			defer again.Close()
			if _, err := again.Account(t.Context()); err != nil || reborn.via.Base().Host != "moved.amocrm.ru" {
				t.Errorf("after a restart: %v, %s", err, reborn.via.Base().Host)
			}
		})
	}
}

// answering is a transport that answers out of hand.
type answering func(*http.Request) (int, string)

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body.Close()
	}
	status, body := a(r)
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: readCloser{strings.NewReader(body)}, Request: r,
	}, nil
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func TestOAuth_SecretsNeverPrint(t *testing.T) {
	p := Pair{Access: "acc", Refresh: "ref"}
	s := NewStatic("tok")
	if out := fmt.Sprintf("%v %+v %#v %s %v %#v", p, p, p, s, s, s); strings.Contains(out, "acc") || strings.Contains(out, "ref") || strings.Contains(out, "tok") {
		t.Error(out)
	}
}

func TestStaticToken_EndIsReadFromTheJWT(t *testing.T) {
	at := time.Now().Add(30 * 24 * time.Hour).Truncate(time.Second)
	s := NewStatic(" " + jwt(fmt.Sprintf(`{"exp":%d}`, at.Unix())) + "\n")
	if got := s.Info(); !got.ExpiresAt.Equal(at) || got.State != "ok" {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"", "x", "a.b.c", "a." + base64.RawURLEncoding.EncodeToString([]byte("[]")) + ".c", jwt(`{"exp":"soon"}`)} {
		if !NewStatic(bad).Info().ExpiresAt.IsZero() {
			t.Errorf("%q has an end", bad)
		}
	}
	now := time.Now()
	for d, want := range map[time.Duration]string{-time.Hour: "expired", time.Hour: "expiring", 15 * 24 * time.Hour: "ok"} {
		if got := expiryState(now.Add(d), now); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
}

func TestSameAccount(t *testing.T) {
	for referer, want := range map[string]bool{
		"demo.amocrm.ru": true, "Demo.amocrm.ru": true, "https://demo.amocrm.ru/": true, "demo.amocrm.ru/": true,
		"": false, "amocrm.ru": false, "evil.example": false, "demo.amocrm.ru.evil.example": false, "https://evil.example/demo.amocrm.ru": false,
		"https://demo.amocrm.ru@evil.example": false,
	} {
		if got := SameAccount(referer, "https://demo.amocrm.ru"); got != want {
			t.Errorf("%q: %v", referer, got)
		}
	}
}

func TestPlatform(t *testing.T) {
	for host, want := range map[string]string{
		"demo.amocrm.ru": "amocrm.ru", "x-1.kommo.com": "kommo.com", "demo.amocrm.com": "amocrm.com",
		"amocrm.ru": "", "a.b.amocrm.ru": "", "demo.amocrm.ru:443": "", "127.0.0.1:80": "", "evilamocrm.ru": "",
	} {
		if got := Platform(host); got != want {
			t.Errorf("%s: %q", host, got)
		}
	}
}

func TestOAuth_ConsentURL(t *testing.T) {
	o := NewOAuth(integration, &vault{}, nil, nil)
	if got := o.ConsentURL("st"); got != "https://www.amocrm.ru/oauth?client_id=id&mode=popup&state=st" {
		t.Error(got)
	}
}

func TestPair_IsReplacedAheadOfItsEndButNotAtOnce(t *testing.T) {
	at := time.Unix(1795000000, 0)
	for life, want := range map[time.Duration]time.Duration{24 * time.Hour: 24*time.Hour - refreshAhead, 4 * time.Minute: 3 * time.Minute} {
		p := Pair{RefreshedAt: at, ExpiresAt: at.Add(life)}
		if got := p.due().Sub(at); got != want {
			t.Errorf("a token of %v is due after %v, want %v", life, got, want)
		}
	}
	if got := (Pair{ExpiresAt: at}).due(); !got.Equal(at.Add(-refreshAhead)) {
		t.Errorf("a pair without a beginning is due at %v", got)
	}
}
