package console

import (
	"html"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// pagePaths are all pages a person can open.
func pagePaths() []string {
	return []string{"/", "/events", "/events/12", "/events/13", "/dead", "/clients/shop/2198", "/login", "/events/99", "/nothing"}
}

func TestPages_WorkWithoutScriptAndCarryACSP(t *testing.T) {
	inline := regexp.MustCompile(`(?i)<script|<style|\sstyle=|\son[a-z]+=|javascript:|http-equiv`)
	for _, path := range pagePaths() {
		t.Run(path, func(t *testing.T) {
			s, logs := serve(t, sample(), adminToken)
			w := ask(s, "GET", path, "", asPage)
			if w.Code >= 500 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
				t.Fatalf("%d %s %s", w.Code, w.Header(), logs)
			}
			want := "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
			if got := w.Header().Get("Content-Security-Policy"); got != want {
				t.Errorf("CSP %q", got)
			}
			// Escaped text of visitors holds none of these as markup.
			if m := inline.FindString(strings.ReplaceAll(w.Body.String(), "onerror=alert(2)&gt;", "")); m != "" {
				t.Errorf("inline script or style: %q", m)
			}
			for h, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store"} {
				if got := w.Header().Get(h); got != want {
					t.Errorf("%s: %q, want %q", h, got, want)
				}
			}
		})
	}
}

func TestPages_VisitorTextIsNeverMarkup(t *testing.T) {
	f := sample()
	d := f.events[12]
	raw := "<script>alert(1)</script>" // no JSON: shown as it came
	d.Body = &raw
	d.Client, d.Chat, d.Kind, d.Detail = hostile, hostile, hostile, hostile
	d.Warnings, d.Coercions = []string{hostile}, []string{hostile}
	d.Rules = []event.RuleTrace{{Rule: hostile, Why: hostile}}
	d.Contact = &event.Match{ID: 1, By: hostile, Why: hostile}
	d.Changes = []Change{{Rule: hostile, Error: hostile}}
	d.Requests = []event.Request{{Method: hostile, Path: hostile, Answer: hostile}}
	d.Account = "javascript:alert(1)//"
	f.page.Events = []Item{d.Item}
	f.connections[0].UnmatchedAgents = []string{hostile}
	f.connections[0].Account = "javascript:alert(1)"
	s, _ := serve(t, f, "")
	for _, path := range append(pagePaths(), "/events?kind=%3Cscript%3E&client=%22%3E%3Cscript%3E", "/?did=%3Cscript%3E") {
		body := ask(s, "GET", path, "", asPage).Body.String()
		for _, markup := range []string{"<script", "<img", `="javascript:`} {
			if strings.Contains(body, markup) {
				t.Errorf("%s: %s got through", path, markup)
			}
		}
	}
}

func TestEventPage_AnswersWhatHappenedAndWhy(t *testing.T) {
	s, _ := serve(t, sample(), adminToken)
	body := ask(s, "GET", "/events/12", "", asPage).Body.String()
	for _, want := range []string{
		"chat_accepted", "2026-11-21 12:40:05", `href="/clients/shop/2198"`,
		"It cannot succeed by itself: refused, amoCRM refused the lead.",
		"a chat with contacts is a lead", "on: chat_finished",
		`href="https://example.amocrm.ru/contacts/detail/77"`, "by phone", "one hit",
		"create lead", "NotSupportedChoice pipeline_id",
		"POST /api/v4/leads/complex", "400", "250 ms", "1 request, 1 refused",
		"1 of 2 matched", "30s ago", "Settled 1m later, after 2 failed attempts.", "Read what amoCRM said under Requests",
		"agent.id: string for number", "ambiguous_contact",
		"&#34;event_name&#34;: &#34;chat_accepted&#34;", // indented body
		`action="/events/12/replay"`, `action="/events/12/discard"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	pending := ask(s, "GET", "/events/13", "", asPage).Body.String()
	if strings.Contains(pending, "/replay") || !strings.Contains(pending, "It will be tried at 2026-11-21 12:41:05 (in 30s).") {
		t.Error("a pending event can be replayed, or does not say when it is tried")
	}
}

func TestOverview_ShowsEveryConnectionsStand(t *testing.T) {
	f := sample()
	f.problems = []Problem{{Connection: "shop", What: "amoCRM is unreachable", Hint: "check the network"}}
	s, _ := serve(t, f, adminToken)
	body := ask(s, "GET", "/", "", asPage).Body.String()
	for _, want := range []string{"shop", "paused", "unreachable", "1m 33s", "long_lived", "agent1@gmail.com", "check the network", "removed", "2026-12-21"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestOverview_ShowsWhyAConfigWasRefused(t *testing.T) {
	f := sample()
	f.refusal = "bridge.yaml:7:5: unknown key “sweeep”\nbridge.yaml:9:1: <b>"
	s, _ := serve(t, f, "")
	body := ask(s, "GET", "/", "", asPage).Body.String()
	for _, want := range []string{
		`<a href="#refused">the config was refused and an older one is in force</a>`, `id="refused"`, "bridge.yaml:7:5: unknown key “sweeep”\nbridge.yaml:9:1: &lt;b&gt;",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %s", want)
		}
	}
	f.refusal = ""
	if body := ask(s, "GET", "/", "", asPage).Body.String(); strings.Contains(body, "refused") {
		t.Error("it still speaks of a refusal")
	}
}

// The line under what is not ready never says the opposite of it.
func TestOverview_SaysThatSomebodyIsNeededWhileSomethingIsNotReady(t *testing.T) {
	const none = "nothing needs you"
	paused := func(names ...string) (out []Problem) {
		for _, n := range names {
			out = append(out, Problem{Connection: n, What: "amoCRM is paused: unpaid"})
		}
		return out
	}
	for _, c := range []struct {
		name     string
		dead     int
		problems []Problem
		want     []string
	}{
		{"all is well", 0, nil, []string{"4 events wait, " + none + "."}},
		{"one", 0, paused("shop"), []string{`4 events wait, <a href="#not-ready">1 connection is not ready and needs a look</a>.`}},
		{"many, one of them twice", 0, paused("a", "b", "b", "c"), []string{`, <a href="#not-ready">3 connections are not ready and need a look</a>.`}},
		{"the bridge itself", 0, []Problem{{What: "the store cannot be written"}}, []string{`, <a href="#not-ready">the bridge itself is not ready</a>.`}},
		{"all three", 2, append(paused("a", "b"), Problem{What: "the store cannot be written"}), []string{
			`, <a href="/dead">2 events cannot succeed without you</a>, <a href="#not-ready">2 connections are not ready and need a look</a>, <a href="#not-ready">the bridge itself is not ready</a>.`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := sample()
			f.connections[0].Dead, f.problems = c.dead, c.problems
			s, _ := serve(t, f, "")
			body := ask(s, "GET", "/", "", asPage).Body.String()
			needed := c.dead > 0 || len(c.problems) > 0
			if strings.Contains(body, none) == needed || strings.Contains(body, `class="box bad">4`) != needed {
				t.Errorf("with %d dead events and %v it says %q", c.dead, c.problems, regexp.MustCompile(`(?s)<p class="box.*?</p>`).FindString(body))
			}
			for _, want := range c.want {
				if !strings.Contains(body, want) {
					t.Errorf("it does not say %s", want)
				}
			}
			if len(c.problems) > 0 && !strings.Contains(body, `id="not-ready"`) {
				t.Error("the link leads nowhere")
			}
		})
	}
}

func TestEventsPage_KeepsTheFilterOnTheWayToOlderOnes(t *testing.T) {
	f := sample()
	s, _ := serve(t, f, adminToken)
	body := ask(s, "GET", "/events?connection=shop&state=dead", "", asPage).Body.String()
	if !strings.Contains(body, `href="/events?before=12&amp;connection=shop&amp;state=dead"`) {
		t.Error("no way to older events of the same filter")
	}
	if !strings.Contains(body, "<option selected>dead</option>") {
		t.Error("the filter is not shown")
	}
}

func TestOverview_LeadsToTheEventsBehindANumber(t *testing.T) {
	f := sample()
	s, _ := serve(t, f, adminToken)
	body := ask(s, "GET", "/", "", asPage).Body.String()
	m := regexp.MustCompile(`href="([^"]*)">2</a>`).FindStringSubmatch(body)
	if m == nil {
		t.Fatal("the number of dead events leads nowhere")
	}
	ask(s, "GET", html.UnescapeString(m[1]), "", asPage)
	if f.filter.Connection != "shop" || f.filter.State != event.Dead {
		t.Errorf("it leads to %+v", f.filter)
	}
}

func TestDeadPage_GroupsByConnectionAndReason(t *testing.T) {
	item := func(seq uint64, connection string, reason event.Reason) Item {
		return Item{Seq: seq, Connection: connection, State: event.Dead, Reason: reason}
	}
	got := groupDead([]Item{item(9, "a", event.Refused), item(8, "b", event.Refused), item(7, "b", event.Refused), item(6, "b", event.Panicked)})
	want := []deadGroup{
		{"b", event.Refused, 2, item(8, "b", event.Refused)},
		{"a", event.Refused, 1, item(9, "a", event.Refused)},
		{"b", event.Panicked, 1, item(6, "b", event.Panicked)},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// hidden is the form token of a page.
func hidden(t *testing.T, page string) string {
	t.Helper()
	m := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatal("no form token on the page")
	}
	return m[1]
}

func TestForms_DoWhatTheySayAndGoOn(t *testing.T) {
	for _, c := range []struct {
		path   string
		fields []string
		to     string
		done   func(*fake) bool
	}{
		{"/events/12/replay", nil, "/events/12?did=replayed", func(f *fake) bool { return len(f.replayed) == 1 && !f.again }},
		{"/events/12/replay", []string{"again", "1"}, "/events/12?did=replayed", func(f *fake) bool { return f.again }},
		{"/events/12/discard", nil, "/events/12?did=discarded", func(f *fake) bool { return len(f.discarded) == 1 }},
		{"/replay", []string{"connection", "shop", "state", "dead", "reason", "refused"}, "/dead?did=replayed-7", func(f *fake) bool {
			return f.bulk != nil && *f.bulk == ReplayFilter{Connection: "shop", State: event.Dead, Reason: event.Refused}
		}},
		{"/clients/shop/2198/forget", nil, "/events?connection=shop&did=forgotten", func(f *fake) bool { return f.forgotten == "shop/2198" }},
	} {
		t.Run(c.path, func(t *testing.T) {
			f := sample()
			s, _ := serve(t, f, adminToken)
			token := hidden(t, ask(s, "GET", "/events/12", "", asPage).Body.String())
			w := ask(s, "POST", c.path, form(append(c.fields, "csrf", token)...), asForm)
			if w.Code != http.StatusSeeOther || w.Header().Get("Location") != c.to || !c.done(f) {
				t.Fatalf("%d → %q, done %v", w.Code, w.Header().Get("Location"), c.done(f))
			}
			if after := ask(s, "GET", c.to, "", asPage); !strings.Contains(after.Body.String(), `class="notice"`) {
				t.Error("the next page does not say that it was done")
			}
		})
	}
}

func TestForms_WithoutOurTokenOrFromElsewhereDoNothing(t *testing.T) {
	sites := map[string]func(*http.Request){
		"no form token":  func(*http.Request) {},
		"other site":     func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"sister site":    func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"foreign origin": func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
	}
	for name, change := range sites {
		for _, path := range []string{"/events/12/replay", "/events/12/discard", "/replay", "/search", "/clients/shop/2198/forget"} {
			t.Run(name+path, func(t *testing.T) {
				f := sample()
				s, _ := serve(t, f, adminToken)
				body := form("csrf", hidden(t, ask(s, "GET", "/", "", asPage).Body.String()), "q", "x", "state", "dead", "reason", "refused")
				if name == "no form token" {
					body = form("q", "x", "state", "dead", "reason", "refused")
				}
				w := ask(s, "POST", path, body, asForm, change)
				if w.Code != http.StatusForbidden {
					t.Errorf("status %d", w.Code)
				}
				if f.replayed != nil || f.discarded != nil || f.bulk != nil || f.searched != "" || f.forgotten != "" {
					t.Error("it was done all the same")
				}
			})
		}
	}
}

func TestAPI_IsNotOpenToPagesOfOtherSites(t *testing.T) {
	f := sample()
	s, _ := serve(t, f, "") // loopback without a token: nothing else would stop them
	w := ask(s, "POST", "/api/v1/events/12/replay", "", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") })
	if w.Code != http.StatusForbidden || f.replayed != nil {
		t.Errorf("foreign origin: %d", w.Code)
	}
	w = ask(s, "GET", "/api/v1/connections", "", func(r *http.Request) { r.Host = "evil.example:9090" })
	if w.Code != http.StatusForbidden {
		t.Errorf("rebound name: %d", w.Code)
	}
	for _, host := range []string{"localhost:9090", "127.0.0.1:9090", "[::1]:9090", "LOCALHOST"} {
		if w := ask(s, "GET", "/api/v1/connections", "", func(r *http.Request) { r.Host = host }); w.Code != 200 {
			t.Errorf("%s: %d", host, w.Code)
		}
	}
}

func TestSearch_NeverPutsTheQuestionInAURL(t *testing.T) {
	f := sample()
	s, logs := serve(t, f, adminToken)
	token := hidden(t, ask(s, "GET", "/", "", asPage).Body.String())
	w := ask(s, "POST", "/search", form("csrf", token, "q", " +79991234567 "), asForm)
	if w.Code != 200 || f.searched != "+79991234567" {
		t.Fatalf("%d, searched %q", w.Code, f.searched)
	}
	if strings.Contains(logs.String(), "79991234567") {
		t.Error("the question was logged")
	}
	for _, m := range regexp.MustCompile(`(?:href|action)="([^"]*)"`).FindAllStringSubmatch(w.Body.String(), -1) {
		if strings.Contains(m[1], "79991234567") {
			t.Errorf("the question stands in %q", m[1])
		}
	}
}

func TestLogin_TokenAsBearerOrSession(t *testing.T) {
	closed := []struct{ method, path string }{{"GET", "/"}, {"GET", "/metrics"}, {"GET", "/api/v1/connections"}, {"GET", "/nothing"}, {"DELETE", "/api/v1/clients/shop/2198"}, {"POST", "/api/v1/backup"}}
	for name, header := range map[string]string{"none": "", "wrong": "Bearer nope", "basic": "Basic " + adminToken, "prefix": "Bearer " + adminToken[:10]} {
		for _, c := range closed {
			f := sample()
			s, _ := serve(t, f, adminToken)
			w := ask(s, c.method, c.path, "", func(r *http.Request) { r.Header.Set("Authorization", header) })
			if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" || f.forgotten != "" {
				t.Errorf("%s %s %s: %d", name, c.method, c.path, w.Code)
			}
		}
	}

	s, _ := serve(t, sample(), adminToken)
	if w := ask(s, "GET", "/", "", asPage, noToken); w.Code != 401 || !strings.Contains(w.Body.String(), `type="password"`) {
		t.Errorf("a person is not asked to log in: %d", w.Code)
	}
	if w := ask(s, "POST", "/login", form("token", "wrong"), asForm, noToken); w.Code != 401 || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("wrong token: %d %s", w.Code, w.Header())
	}
}

func login(t *testing.T, s http.Handler) *http.Cookie {
	t.Helper()
	w := ask(s, "POST", "/login", form("token", adminToken), asForm, noToken)
	if w.Code != http.StatusSeeOther {
		t.Fatalf("login: %d", w.Code)
	}
	return w.Result().Cookies()[0]
}

func withCookie(c *http.Cookie) func(*http.Request) {
	return func(r *http.Request) { noToken(r); r.AddCookie(c) }
}

func TestLogin_SessionEndsWithTimeLogoutAndToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := serve(t, sample(), adminToken)
		c := login(t, s)
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || strings.Contains(c.Value, adminToken) {
			t.Errorf("cookie %+v", c)
		}
		status := func() int { return ask(s, "GET", "/api/v1/connections", "", withCookie(c)).Code }
		if status() != 200 {
			t.Fatal("the session does not open")
		}
		time.Sleep(sessionLength - time.Second)
		if status() != 200 {
			t.Error("the session ended early")
		}
		time.Sleep(time.Second)
		if status() != 401 {
			t.Error("the session outlives its time")
		}
	})

	s, _ := serve(t, sample(), adminToken)
	c := login(t, s)
	page := ask(s, "GET", "/", "", asPage, withCookie(c)).Body.String()
	w := ask(s, "POST", "/logout", form("csrf", hidden(t, page)), asForm, withCookie(c))
	if w.Code != http.StatusSeeOther || w.Result().Cookies()[0].MaxAge >= 0 {
		t.Errorf("logout: %d %v", w.Code, w.Result().Cookies())
	}
	forged := *c
	forged.Value = strings.Replace(c.Value, "AAAA", "_AAA", 1)
	if ask(s, "GET", "/", "", withCookie(&forged)).Code != 401 {
		t.Error("a forged session opens")
	}
	s.SetToken("another-token-0123456789")
	if ask(s, "GET", "/", "", withCookie(c)).Code != 401 {
		t.Error("the session outlives its token")
	}
}

func TestForms_TokenIsOfTheSession(t *testing.T) {
	f := sample()
	s, _ := serve(t, f, adminToken)
	c := login(t, s)
	other := hidden(t, ask(s, "GET", "/", "", asPage).Body.String()) // not of this session
	if w := ask(s, "POST", "/events/12/replay", form("csrf", other), asForm, withCookie(c)); w.Code != 403 || f.replayed != nil {
		t.Errorf("a form of another session works: %d", w.Code)
	}
}

func TestStyle_IsOneFileServedToEverybody(t *testing.T) {
	s, _ := serve(t, sample(), adminToken)
	w := ask(s, "GET", "/style.css", "", noToken)
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/css; charset=utf-8" || w.Body.Len() == 0 {
		t.Fatalf("%d %s", w.Code, w.Header())
	}
	again := ask(s, "GET", "/style.css", "", func(r *http.Request) { r.Header.Set("If-None-Match", w.Header().Get("ETag")) })
	if again.Code != http.StatusNotModified {
		t.Errorf("asked again: %d", again.Code)
	}
}

func TestServer_SurvivesARealListener(t *testing.T) {
	s, _ := serve(t, sample(), adminToken)
	srv := httptest.NewServer(s)
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestPretty_ShowsBodiesAsPeopleReadThem(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"json", `{"a":1}`, "{\n  \"a\": 1\n}"},
		{"form", "leads%5Bstatus%5D%5B0%5D%5Bid%5D=501&a=x+y", "leads[status][0][id] = 501\na = x y\n"},
		{"neither", "hello = <b>", "hello = <b>"},
		{"broken escape", "a=%zz", "a=%zz"},
		{"no UTF-8", "\xff\xfe", "\uFFFD"},
		{"empty", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := pretty(c.body); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	if got := pretty(strings.Repeat("x", bodyShown+1)); !strings.HasSuffix(got, "(the rest is in the API)") {
		t.Error("a long body is not cut")
	}
}
