package emulator

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Lifetimes of amocrm-api.md §2.
const (
	codeLife    = 20 * time.Minute
	accessLife  = 24 * time.Hour
	refreshLife = 90 * 24 * time.Hour
)

// authorize checks the bearer token; expired, revoked and foreign ones are all
// the same 401 (amocrm-api.md §5).
func (c *call) authorize() (answer, bool) {
	unauthorized := problem(http.StatusUnauthorized, "Неверный логин или пароль")
	if c.a.opt.CheckHost && c.r.Host != c.a.domain() {
		return unauthorized, true
	}
	token, ok := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		c.violate("no bearer token")
		return unauthorized, true
	}
	expires, known := c.a.st.Access[token]
	if !known || expires != 0 && expires <= c.now {
		return unauthorized, true
	}
	if id := c.r.Header.Get("X-Context-User-Id"); id != "" {
		u, known := c.a.st.user(atoi(id))
		if !known || !u.Active {
			return unauthorized, true
		}
		c.user = u.ID
	}
	return answer{}, false
}

// Grant is an admin's consent: it returns an authorisation code, good once and
// for 20 minutes.
func (a *Account) Grant() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	code := "def502" + a.hex(90)
	a.st.Codes[code] = a.opt.Now().Add(codeLife).Unix()
	return code
}

// Consent grants and returns the redirect amoCRM sends the admin's browser to
// (amocrm-api.md §2.1).
func (a *Account) Consent(state string) string {
	return a.redirect(url.Values{"code": {a.Grant()}, "state": {state}, "referer": {a.Domain()},
		"client_id": {a.opt.ClientID}, "platform": {"1"}})
}

func (a *Account) redirect(q url.Values) string { return a.opt.RedirectURI + "?" + q.Encode() }

// Domain is the account's current host.
func (a *Account) Domain() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.domain()
}

// Rename gives the account another subdomain; with CheckHost the old host is
// refused from now on (amocrm-api.md §7.16).
func (a *Account) Rename(subdomain string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.st.Subdomain = subdomain
	if a.opt.Domain != "" {
		a.opt.Domain = subdomain + a.opt.Domain[strings.IndexByte(a.opt.Domain, '.'):]
	}
}

// LongLivedToken makes a token without a refresh, as the integration's
// settings do; ttl 0 means five years.
func (a *Account) LongLivedToken(ttl time.Duration) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ttl == 0 {
		ttl = 5 * 365 * 24 * time.Hour
	}
	return a.accessToken(ttl)
}

// Revoke is an admin who disables the integration: every token is dead, long-lived ones too.
func (a *Account) Revoke() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for t := range a.st.Refresh {
		a.st.Spent[t] = true
	}
	clear(a.st.Access)
	clear(a.st.Refresh)
}

// AllowToken makes a token valid (again), without an end.
func (a *Account) AllowToken(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.st.Access[token] = 0
}

// accessToken issues a JWT with the claims of amocrm-api.md §1. The signature
// is noise: nobody but the account checks it, by heart.
func (a *Account) accessToken(ttl time.Duration) string {
	now := a.opt.Now()
	exp := now.Add(ttl).Unix()
	part := func(v any) string {
		b, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	token := part(obj{"typ": "JWT", "alg": "RS256"}) + "." + part(obj{
		"aud": a.opt.ClientID, "jti": a.hex(64), "iat": now.Unix(), "nbf": now.Unix(), "exp": exp, "sub": itoa(a.st.TokenUser),
		"account_id": a.opt.AccountID, "base_domain": "amocrm.ru", "api_domain": "api-b.amocrm.ru",
		"scopes": []string{"crm", "files", "files_delete", "notifications", "push_notifications"},
	}) + "." + base64.RawURLEncoding.EncodeToString([]byte(a.hex(128)))
	a.st.Access[token] = exp
	return token
}

// oauthToken is POST /oauth2/access_token: JSON, both grants with redirect_uri,
// a refresh token good once (amocrm-api.md §2.2, §2.3).
func (c *call) oauthToken() answer {
	c.a.referee.checkWrite(c.r)
	var in struct {
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
		GrantType    string `json:"grant_type"`
		Code         string `json:"code"`
		RefreshToken string `json:"refresh_token"`
		RedirectURI  string `json:"redirect_uri"`
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		c.violate("token request is not JSON")
		return oauthProblem(http.StatusBadRequest, "")
	}
	o := c.a.opt
	switch {
	case in.ClientID != o.ClientID:
		return oauthProblem(http.StatusBadRequest, "Check the `client_id` parameter")
	case in.ClientSecret != o.ClientSecret:
		return oauthProblem(http.StatusBadRequest, "Check the `client_secret` parameter")
	case in.RedirectURI != o.RedirectURI:
		return oauthProblem(http.StatusBadRequest, "Redirect URI is not associated with client")
	case o.CheckHost && c.r.Host != c.a.domain():
		return oauthProblem(http.StatusBadRequest, "Invalid account")
	}
	switch in.GrantType {
	case "authorization_code":
		return c.spendCode(in.Code)
	case "refresh_token":
		return c.spendRefresh(in.RefreshToken)
	}
	return oauthProblem(http.StatusBadRequest, "Check the `grant_type` parameter")
}

func (c *call) spendCode(code string) answer {
	expires, known := c.a.st.Codes[code]
	switch {
	case c.a.st.Spent[code]:
		return oauthProblem(http.StatusBadRequest, "Authorization code has been revoked")
	case !known:
		return oauthProblem(http.StatusBadRequest, "Cannot decrypt the authorization code")
	case expires <= c.now:
		return oauthProblem(http.StatusBadRequest, "Authorization code has expired")
	}
	delete(c.a.st.Codes, code)
	return c.issue(code)
}

func (c *call) spendRefresh(token string) answer {
	expires, known := c.a.st.Refresh[token]
	if c.a.st.Spent[token] {
		c.a.referee.SpentRefreshes++
	}
	if !known || expires <= c.now {
		return oauthProblem(http.StatusUnauthorized, "Token has been revoked")
	}
	delete(c.a.st.Refresh, token)
	return c.issue(token)
}

// issue hands out a new pair for what was just spent.
func (c *call) issue(spent string) answer {
	c.a.st.Spent[spent] = true
	refresh := "def502" + c.a.hex(200)
	c.a.st.Refresh[refresh] = c.now + int64(refreshLife/time.Second)
	return jsonAnswer(http.StatusOK, plainJSON, obj{
		"token_type": "Bearer", "expires_in": int64(accessLife / time.Second), "server_time": c.now,
		"access_token": c.a.accessToken(accessLife), "refresh_token": refresh,
	})
}

func oauthProblem(status int, hint string) answer {
	v := obj{
		"hint": hint, "title": "Некорректный запрос", "type": "https://developers.amocrm.ru/v3/errors/OAuthProblemJson",
		"status": status, "detail": "В запросе отсутствует ряд параметров или параметры невалидны",
	}
	if hint == "" {
		delete(v, "hint")
	}
	return jsonAnswer(status, plainJSON, v)
}

// oauthSubdomain tells the account's host by refresh token, which it does not
// spend (amocrm-api.md §1).
func (c *call) oauthSubdomain() answer {
	expires, known := c.a.st.Refresh[c.r.Header.Get("X-Refresh-Token")]
	if !known || expires <= c.now {
		return problem(http.StatusUnauthorized, "Неверный логин или пароль")
	}
	domain := c.a.domain()
	return jsonAnswer(http.StatusOK, plainJSON, obj{
		"id": c.a.opt.AccountID, "subdomain": c.a.st.Subdomain, "domain": domain,
		"top_level_domain": domain[strings.LastIndexByte(domain, '.')+1:],
	})
}
