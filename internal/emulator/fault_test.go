package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// served runs the account behind a real server, for what only a connection shows.
func served(t *testing.T, o Options) (*client, func(method, path, body string) (int, string, error)) {
	t.Helper()
	c := account(t, o)
	srv := httptest.NewServer(c.a)
	t.Cleanup(srv.Close)
	return c, func(method, path, body string) (int, string, error) {
		t.Helper()
		r := c.request(method, path, body)
		u, err := url.Parse(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		r.URL, r.RequestURI, r.Host = u, "", ""
		resp, err := srv.Client().Do(r)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b), err
	}
}

func TestFault_DropAfterCommitKeepsTheWriteAndDropBeforeDoesNot(t *testing.T) {
	for kind, want := range map[FaultKind]int{DropBefore: 0, DropAfterCommit: 1} {
		c, do := served(t, Options{})
		f := c.a.Inject(Fault{Method: "POST", PathPrefix: "/api/v4/leads/complex", Kind: kind})
		if _, _, err := do("POST", "/api/v4/leads/complex", `[{"name":"x"}]`); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v, want a closed connection", kind, err)
		}
		if n := len(c.a.Leads()); n != want || f.Hits() != 1 {
			t.Errorf("%s: %d leads, %d hits", kind, n, f.Hits())
		}
		if status, _, err := do("POST", "/api/v4/leads/complex", `[{"name":"x"}]`); status != 200 {
			t.Errorf("%s: the next one = %d %v", kind, status, err)
		}
	}
}

// The table says for each kind what the client sees and whether the lead exists.
func TestFault_EveryKind(t *testing.T) {
	for _, tt := range []struct {
		fault  Fault
		status int
		body   string
		leads  int
	}{
		{Fault{Kind: GiveStatus}, 500, "An unknown error occurred.", 0},
		{Fault{Kind: GiveStatus, Status: 502}, 502, "<html>", 0},
		{Fault{Kind: GiveStatus, Status: 504, AfterCommit: true}, 504, "<html>", 1},
		{Fault{Kind: HTML200}, 200, "<!DOCTYPE html>", 0},
		{Fault{Kind: Truncated}, 200, `{"_embedded"`, 1},
		{Fault{Kind: Huge}, 200, "xxxxxxxx", 1},
		{Fault{Kind: Trickle, Delay: time.Millisecond}, 200, `"request_id":"0"`, 1},
		{Fault{Kind: Slow, Delay: time.Millisecond}, 200, `"request_id":"0"`, 1},
		{Fault{Kind: RateLimit, RetryAfter: "17"}, 429, "<html>", 0},
		{Fault{Kind: BanNow}, 403, "nginx", 0},
		{Fault{Kind: Unpaid}, 402, `"status":402`, 0},
		{Fault{Kind: Unauthorized}, 401, `"status":401`, 0},
	} {
		t.Run(fmt.Sprint(tt.fault.Kind, tt.status), func(t *testing.T) {
			c := account(t, Options{})
			c.a.Inject(tt.fault)
			w := c.raw("POST", "/api/v4/leads", `[{}]`)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.body) || len(c.a.Leads()) != tt.leads {
				t.Errorf("got %d %.200s, %d leads", w.Code, w.Body, len(c.a.Leads()))
			}
			if got := w.Header().Get("Retry-After"); got != tt.fault.RetryAfter {
				t.Errorf("Retry-After %q", got)
			}
			if tt.fault.Kind == Truncated && json.Valid(w.Body.Bytes()) {
				t.Error("truncated JSON is whole")
			}
		})
	}
}

func TestFault_MatchesTimesAndIsRemoved(t *testing.T) {
	c := account(t, Options{Seed: 1})
	twice := c.a.Inject(Fault{Method: "POST", PathPrefix: "/api/v4/leads", Times: 2, Kind: GiveStatus, Status: 503})
	code := func(method, path string) int { return c.raw(method, path, `[{}]`).Code }
	if got := fmt.Sprint(code("GET", "/api/v4/account"), code("POST", "/api/v4/contacts"), code("POST", "/api/v4/leads"),
		code("POST", "/api/v4/leads"), code("POST", "/api/v4/leads")); got != "200 200 503 503 200" {
		t.Error(got)
	}
	if twice.Hits() != 2 {
		t.Errorf("%d hits", twice.Hits())
	}
	forever := c.a.Inject(Fault{Times: -1, Probability: 0.5, Kind: Unpaid})
	for range 100 {
		code("GET", "/api/v4/account")
	}
	if n := forever.Hits(); n < 30 || n > 70 {
		t.Errorf("half of 100 = %d", n)
	}
	forever.Remove()
	if got := code("GET", "/api/v4/account"); got != 200 {
		t.Errorf("after removing: %d", got)
	}
}

func TestLatency_AWriteStandsThoughItsSenderHungUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := account(t, Options{Latency: 10 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		c.a.ServeHTTP(httptest.NewRecorder(), c.request("POST", "/api/v4/leads", `[{}]`).WithContext(ctx))
		if took := time.Since(start); took != 5*time.Second || len(c.a.Leads()) != 1 {
			t.Errorf("%d leads after %v", len(c.a.Leads()), took)
		}
	})
}

// token posts to the token endpoint.
func (c *client) grant(fields map[string]string) (int, any) {
	c.t.Helper()
	in := map[string]string{"client_id": c.a.opt.ClientID, "client_secret": c.a.opt.ClientSecret, "redirect_uri": c.a.opt.RedirectURI}
	for k, v := range fields {
		in[k] = v
	}
	b, err := json.Marshal(in)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.do("POST", "/oauth2/access_token", string(b))
}

func (c *client) refresh(token any) (int, any) {
	s, _ := token.(string)
	return c.grant(map[string]string{"grant_type": "refresh_token", "refresh_token": s})
}

func TestOAuth_CodeThenRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := account(t, Options{})
		code := c.a.Grant()
		exchange := map[string]string{"grant_type": "authorization_code", "code": code}
		status, first := c.grant(exchange)
		if status != 200 || at(first, "expires_in") != 86400.0 || at(first, "server_time") == nil || at(first, "token_type") != "Bearer" {
			t.Fatalf("code: %d %v", status, first)
		}
		if status, v := c.grant(exchange); status != 400 || at(v, "hint") != "Authorization code has been revoked" {
			t.Errorf("code again: %d %v", status, v)
		}
		access := func(token any) int {
			c.token, _ = token.(string)
			return c.raw("GET", "/api/v4/account", "").Code
		}
		status, second := c.refresh(at(first, "refresh_token"))
		if status != 200 || access(at(first, "access_token")) != 200 || access(at(second, "access_token")) != 200 {
			t.Errorf("refresh: %d %v", status, second)
		}
		if status, v := c.refresh(at(first, "refresh_token")); status != 401 || at(v, "hint") != "Token has been revoked" {
			t.Errorf("spent refresh token: %d %v", status, v)
		}
		if n := c.a.Report().SpentRefreshes; n != 1 {
			t.Errorf("the referee counts %d", n)
		}
		time.Sleep(24*time.Hour - time.Second)
		if got := access(at(second, "access_token")); got != 200 {
			t.Errorf("before it expires: %d", got)
		}
		time.Sleep(time.Second)
		if got := access(at(second, "access_token")); got != 401 {
			t.Errorf("expired: %d", got)
		}
		c.a.Revoke()
		if status, _ := c.refresh(at(second, "refresh_token")); status != 401 || access(testToken) != 401 {
			t.Errorf("revoked integration refreshes: %d", status)
		}
	})
}

func TestOAuth_Refusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := account(t, Options{Domain: "demo.amocrm.ru", CheckHost: true})
		old := c.a.Grant()
		time.Sleep(20 * time.Minute)
		for _, tt := range []struct {
			key, value, hint string
			status           int
		}{
			{"code", old, "Authorization code has expired", 400},
			{"code", "garbage", "Cannot decrypt the authorization code", 400},
			{"client_id", "x", "Check the `client_id` parameter", 400},
			{"client_secret", "x", "Check the `client_secret` parameter", 400},
			{"redirect_uri", "https://bridge.example/oauth/amo/", "Redirect URI is not associated with client", 400},
		} {
			in := map[string]string{"grant_type": "authorization_code", "code": "x"}
			in[tt.key] = tt.value
			if status, v := c.grant(in); status != tt.status || at(v, "hint") != tt.hint {
				t.Errorf("%s: %d %v", tt.key, status, v)
			}
		}
		code := c.a.Grant()
		c.a.Rename("demo2")
		if status, v := c.grant(map[string]string{"grant_type": "authorization_code", "code": code}); status != 400 || at(v, "hint") != "Invalid account" {
			t.Errorf("old host: %d %v", status, v)
		}
		if got := c.raw("GET", "/api/v4/account", "").Code; got != 401 {
			t.Errorf("old host, API: %d", got)
		}
	})
}

func TestOAuth_RotatedPairCanBeLostOnTheWay(t *testing.T) {
	c, do := served(t, Options{})
	_, first := c.grant(map[string]string{"grant_type": "authorization_code", "code": c.a.Grant()})
	c.a.Inject(Fault{PathPrefix: "/oauth2/access_token", Kind: DropAfterCommit})
	b, err := json.Marshal(map[string]any{"client_id": c.a.opt.ClientID, "client_secret": c.a.opt.ClientSecret,
		"redirect_uri": c.a.opt.RedirectURI, "grant_type": "refresh_token", "refresh_token": at(first, "refresh_token")})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := do("POST", "/oauth2/access_token", string(b)); err == nil {
		t.Error("the answer came through")
	}
	if status, _ := c.refresh(at(first, "refresh_token")); status != 401 {
		t.Errorf("the old refresh token still works: %d", status)
	}
}

func TestOAuth_RedirectAndSubdomain(t *testing.T) {
	c := account(t, Options{})
	u, err := url.Parse(c.a.Consent("s1"))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Get("state") != "s1" || q.Get("referer") != "demo.amocrm.ru" || q.Get("platform") != "1" || q.Get("client_id") == "" {
		t.Errorf("redirect: %v", q)
	}
	_, pair := c.grant(map[string]string{"grant_type": "authorization_code", "code": q.Get("code")})
	c.a.Rename("renamed")
	r := c.request("GET", "/oauth2/account/current/subdomain", "")
	r.Header.Set("X-Refresh-Token", fmt.Sprint(at(pair, "refresh_token")))
	w := httptest.NewRecorder()
	c.a.ServeHTTP(w, r)
	if want := `{"domain":"renamed.amocrm.ru","id":31000001,"subdomain":"renamed","top_level_domain":"ru"}`; w.Body.String() != want {
		t.Errorf("got %s", w.Body)
	}
	if w := c.raw("GET", "/oauth2/account/current/subdomain", ""); w.Code != 401 {
		t.Errorf("without a token = %d", w.Code)
	}
}

func TestAuth_NoForeignOrMissingToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := account(t, Options{})
		get := func(token string) int {
			c.token = token
			return c.raw("GET", "/api/v4/account", "").Code
		}
		short := c.a.LongLivedToken(time.Hour)
		if got := fmt.Sprint(get(""), get("foreign"), get(testToken), get(short)); got != "401 401 200 200" {
			t.Error(got)
		}
		time.Sleep(time.Hour)
		if got := get(short); got != http.StatusUnauthorized {
			t.Errorf("expired long-lived token: %d", got)
		}
	})
}

func TestOAuth_OfManyRefreshesWithOneTokenOneWins(t *testing.T) {
	c := account(t, Options{})
	_, pair := c.grant(map[string]string{"grant_type": "authorization_code", "code": c.a.Grant()})
	codes := make(chan int, 16)
	for range cap(codes) {
		go func() {
			status, _ := c.refresh(at(pair, "refresh_token"))
			codes <- status
		}()
	}
	won := 0
	for range cap(codes) {
		if <-codes == 200 {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d of %d refreshes succeeded", won, cap(codes))
	}
}
