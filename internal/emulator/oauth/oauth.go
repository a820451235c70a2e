// Package oauth hands out the tokens of an emulated account and tells whose
// they are (amocrm-api.md §2): codes, rotating refresh tokens, long-lived ones.
package oauth

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator/answer"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
	"github.com/jivo-amocrm/bridge/internal/emulator/gate"
	"github.com/jivo-amocrm/bridge/internal/emulator/luck"
)

// Lifetimes of amocrm-api.md §2.
const (
	codeLife    = 20 * time.Minute
	accessLife  = 24 * time.Hour
	refreshLife = 90 * 24 * time.Hour
)

// App is the integration the account knows.
type App struct {
	ClientID     string
	ClientSecret string
	RedirectURI  string
	CheckHost    bool // refuse requests whose Host is not the account's (amocrm-api.md §8.1)
}

// Issuer hands out tokens and tells whose they are. It is not safe for
// concurrent use: the account's lock guards it.
type Issuer struct {
	book    *book.Book
	referee *gate.Referee
	luck    *luck.Luck
	now     func() time.Time
	app     App
}

// New returns the issuer of the account b is of.
func New(b *book.Book, watch *gate.Referee, l *luck.Luck, now func() time.Time, app App) *Issuer {
	return &Issuer{book: b, referee: watch, luck: l, now: now, app: app}
}

// Authorize checks the bearer token and says whose rights the request has;
// expired, revoked and foreign ones are all the same 401 (amocrm-api.md §5).
func (s *Issuer) Authorize(r *http.Request, now int64) (user int64, refusal answer.Answer, refused bool) {
	unauthorized := answer.Problem(http.StatusUnauthorized, "Неверный логин или пароль")
	if s.app.CheckHost && r.Host != s.book.Host() {
		return 0, unauthorized, true
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		s.violate(r, "no bearer token")
		return 0, unauthorized, true
	}
	expires, known := s.book.Access[token]
	if !known || expires != 0 && expires <= now {
		return 0, unauthorized, true
	}
	id := r.Header.Get("X-Context-User-Id")
	if id == "" {
		return s.book.TokenUser, answer.Answer{}, false
	}
	n, err := strconv.ParseInt(id, 10, 64)
	u, known := s.book.User(n)
	if err != nil || !known || !u.Active {
		return 0, unauthorized, true
	}
	return u.ID, answer.Answer{}, false
}

func (s *Issuer) violate(r *http.Request, what string) {
	s.referee.Violate(r.Method+" "+r.URL.Path, "%s", what)
}

// Code makes an authorisation code, good once and for 20 minutes.
func (s *Issuer) Code() string {
	code := "def502" + s.luck.Hex(90)
	s.book.Codes[code] = s.now().Add(codeLife).Unix()
	return code
}

// Consent makes a code and returns the redirect amoCRM sends the admin's
// browser to (amocrm-api.md §2.1).
func (s *Issuer) Consent(state string) string {
	return s.app.RedirectURI + "?" + url.Values{"code": {s.Code()}, "state": {state}, "referer": {s.book.Host()},
		"client_id": {s.app.ClientID}, "platform": {"1"}}.Encode()
}

// LongLived makes a token without a refresh; ttl 0 means five years.
func (s *Issuer) LongLived(ttl time.Duration) string {
	if ttl == 0 {
		ttl = 5 * 365 * 24 * time.Hour
	}
	return s.accessToken(ttl)
}

// Revoke makes every token dead, long-lived ones too.
func (s *Issuer) Revoke() {
	for t := range s.book.Refresh {
		s.book.Spent[t] = true
	}
	clear(s.book.Access)
	clear(s.book.Refresh)
}

// Allow makes a token valid (again), without an end.
func (s *Issuer) Allow(token string) { s.book.Access[token] = 0 }

// accessToken issues a JWT with the claims of amocrm-api.md §1. The signature
// is noise: nobody but the account checks it, by heart.
func (s *Issuer) accessToken(ttl time.Duration) string {
	now := s.now()
	exp := now.Add(ttl).Unix()
	part := func(v any) string {
		b, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	token := part(map[string]any{"typ": "JWT", "alg": "RS256"}) + "." + part(map[string]any{
		"aud": s.app.ClientID, "jti": s.luck.Hex(64), "iat": now.Unix(), "nbf": now.Unix(), "exp": exp, "sub": strconv.FormatInt(s.book.TokenUser, 10),
		"account_id": s.book.AccountID(), "base_domain": "amocrm.ru", "api_domain": "api-b.amocrm.ru",
		"scopes": []string{"crm", "files", "files_delete", "notifications", "push_notifications"},
	}) + "." + base64.RawURLEncoding.EncodeToString([]byte(s.luck.Hex(128)))
	s.book.Access[token] = exp
	return token
}

// Token is POST /oauth2/access_token: JSON, both grants with redirect_uri,
// a refresh token good once (amocrm-api.md §2.2, §2.3).
func (s *Issuer) Token(r *http.Request, body []byte, now int64) answer.Answer {
	s.referee.CheckWrite(r)
	var in struct {
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
		GrantType    string `json:"grant_type"`
		Code         string `json:"code"`
		RefreshToken string `json:"refresh_token"`
		RedirectURI  string `json:"redirect_uri"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		s.violate(r, "token request is not JSON")
		return refusal(http.StatusBadRequest, "")
	}
	switch {
	case in.ClientID != s.app.ClientID:
		return refusal(http.StatusBadRequest, "Check the `client_id` parameter")
	case in.ClientSecret != s.app.ClientSecret:
		return refusal(http.StatusBadRequest, "Check the `client_secret` parameter")
	case in.RedirectURI != s.app.RedirectURI:
		return refusal(http.StatusBadRequest, "Redirect URI is not associated with client")
	case s.app.CheckHost && r.Host != s.book.Host():
		return refusal(http.StatusBadRequest, "Invalid account")
	}
	switch in.GrantType {
	case "authorization_code":
		return s.spendCode(in.Code, now)
	case "refresh_token":
		return s.spendRefresh(in.RefreshToken, now)
	}
	return refusal(http.StatusBadRequest, "Check the `grant_type` parameter")
}

func (s *Issuer) spendCode(code string, now int64) answer.Answer {
	expires, known := s.book.Codes[code]
	switch {
	case s.book.Spent[code]:
		return refusal(http.StatusBadRequest, "Authorization code has been revoked")
	case !known:
		return refusal(http.StatusBadRequest, "Cannot decrypt the authorization code")
	case expires <= now:
		return refusal(http.StatusBadRequest, "Authorization code has expired")
	}
	delete(s.book.Codes, code)
	return s.issue(code, now)
}

func (s *Issuer) spendRefresh(token string, now int64) answer.Answer {
	expires, known := s.book.Refresh[token]
	if s.book.Spent[token] {
		s.referee.SpentRefresh()
	}
	if !known || expires <= now {
		return refusal(http.StatusUnauthorized, "Token has been revoked")
	}
	delete(s.book.Refresh, token)
	return s.issue(token, now)
}

// issue hands out a new pair for what was just spent.
func (s *Issuer) issue(spent string, now int64) answer.Answer {
	s.book.Spent[spent] = true
	refresh := "def502" + s.luck.Hex(200)
	s.book.Refresh[refresh] = now + int64(refreshLife/time.Second)
	return answer.JSON(http.StatusOK, answer.PlainJSON, map[string]any{
		"token_type": "Bearer", "expires_in": int64(accessLife / time.Second), "server_time": now,
		"access_token": s.accessToken(accessLife), "refresh_token": refresh,
	})
}

func refusal(status int, hint string) answer.Answer {
	v := map[string]any{
		"hint": hint, "title": "Некорректный запрос", "type": "https://developers.amocrm.ru/v3/errors/OAuthProblemJson",
		"status": status, "detail": "В запросе отсутствует ряд параметров или параметры невалидны",
	}
	if hint == "" {
		delete(v, "hint")
	}
	return answer.JSON(status, answer.PlainJSON, v)
}

// Subdomain tells the account's host by refresh token, which it does not
// spend (amocrm-api.md §1).
func (s *Issuer) Subdomain(r *http.Request, now int64) answer.Answer {
	expires, known := s.book.Refresh[r.Header.Get("X-Refresh-Token")]
	if !known || expires <= now {
		return answer.Problem(http.StatusUnauthorized, "Неверный логин или пароль")
	}
	domain := s.book.Host()
	return answer.JSON(http.StatusOK, answer.PlainJSON, map[string]any{
		"id": s.book.AccountID(), "subdomain": s.book.Subdomain, "domain": domain,
		"top_level_domain": domain[strings.LastIndexByte(domain, '.')+1:],
	})
}
