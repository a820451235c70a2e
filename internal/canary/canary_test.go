package canary

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	secret = "jivo-secret/0123+456789"
	token  = "def50200c0ffee"
	phone  = "+7 (916) 000-00-01"
	email  = "Visitor1+shop@example.com"
	text   = "Сколько стоит доставка\n\"в Казань\" <завтра>? 🙂"
)

func planted(t *testing.T) *Watch {
	t.Helper()
	// The test of a test: it asks for the leaks itself, so that none is left over
	// for the cleanup.
	w := New(t)
	w.Add(Secret, secret)
	w.Add(Token, token)
	w.Learn([]byte(`{"visitor":{"phone":"` + phone + `","email":"` + email + `"},"chat":{"messages":[{"message":` + strconv.Quote(text) + `}]}}`))
	return w
}

// found is the kinds that leaked, in the order of their places.
func found(w *Watch) string { return strings.Join(w.Leaks(), "; ") }

// Every kind is found in every spelling that something between a value and a
// line of a log might give it.
func TestWatch_FindsEverySpelling(t *testing.T) {
	spell := map[string]func(string) string{
		"plain":            func(s string) string { return s },
		"upper case":       strings.ToUpper,
		"quoted":           strconv.Quote,
		"quoted to ASCII":  strconv.QuoteToASCII,
		"quoted twice":     func(s string) string { return strconv.Quote(strconv.Quote(s)) },
		"JSON":             func(s string) string { b, _ := json.Marshal(s); return string(b) },
		"JSON to ASCII":    func(s string) string { return asJava(s) },
		"JSON in JSON":     func(s string) string { b, _ := json.Marshal(s); b, _ = json.Marshal(string(b)); return string(b) },
		"bytes escaped":    func(s string) string { return escaped(s) },
		"query":            url.QueryEscape,
		"path":             url.PathEscape,
		"query in a query": func(s string) string { return url.QueryEscape(url.QueryEscape(s)) },
		"HTML":             html.EscapeString,
		"an error of url": func(s string) string {
			return (&url.Error{Op: "Get", URL: "https://a/?query=" + url.QueryEscape(s), Err: io.EOF}).Error()
		},
		"a struct":        func(s string) string { return fmt.Sprintf("%+v", struct{ V any }{s}) },
		"a Go value":      func(s string) string { return fmt.Sprintf("%#v", struct{ V any }{s}) },
		"bytes by %v":     func(s string) string { return fmt.Sprintf("%v", struct{ B []byte }{[]byte(s)}) },
		"bytes by %x":     func(s string) string { return fmt.Sprintf("%x", s) },
		"bytes in JSON":   func(s string) string { b, _ := json.Marshal([]byte(s)); return string(b) },
		"base64 of a URL": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
		"mid-word":        func(s string) string { return "xyz" + s + "xyz" },
	}
	for kind, value := range map[Kind]string{Secret: secret, Token: token, Phone: phone, Email: email, Text: text} {
		for name, as := range spell {
			w := planted(t)
			fmt.Fprintf(w.Writer("log"), "level=INFO msg=x error=%s\n", as(value))
			got := w.Leaks()
			if len(got) == 0 || slices.ContainsFunc(got, func(s string) bool { return !strings.HasPrefix(s, string(kind)+" came out: log, ") }) {
				t.Errorf("%s, %s: found %q", kind, name, got)
			}
		}
	}
}

// A phone is the same phone with every country code, trunk digit and filling.
func TestWatch_FindsAPhoneHoweverItIsWritten(t *testing.T) {
	for _, as := range []string{"+79160000001", "89160000001", "9160000001", "8 916 000 00 01", "+7(916)000.00.01", "7916%2000000-01", "(916)\u00a0000\u201100\u201101"} {
		w := planted(t)
		fmt.Fprintf(w.Writer("log"), "no such contact: %s.", as)
		if got := found(w); !strings.HasPrefix(got, "phone came out") {
			t.Errorf("%s: found %q", as, got)
		}
	}
}

// A text cut at either end is found by what is left of it.
func TestWatch_FindsWhatIsLeftOfAText(t *testing.T) {
	const long = "Здравствуйте, я хотел бы узнать, когда приедет мой заказ из Казани"
	r := []rune(long)
	for _, cut := range []string{string(r[:30]) + "…", "…" + string(r[30:])} {
		w := New(t)
		w.Add(Text, long)
		fmt.Fprint(w.Writer("log"), cut)
		if got := found(w); got != "message text came out: log, line 1" {
			t.Errorf("%s: found %q", cut, got)
		}
	}
}

func TestWatch_FindsWhatIsSplitOverWritesAndLines(t *testing.T) {
	for name, value := range map[string]string{"secret": secret, "e-mail": email, "phone": strconv.Quote(phone)} {
		w := planted(t)
		out := w.Writer("stderr")
		for _, b := range []byte("said: " + value + "\n") {
			_, _ = out.Write([]byte{b})
		}
		if got := found(w); got != name+" came out: stderr, line 1" {
			t.Errorf("%s: found %q", name, got)
		}
	}
	w := planted(t)
	fmt.Fprint(w.Writer("page"), "<p>+7\n(916)\n000-00-01</p>")
	if got := found(w); got != "phone came out: page, over several lines" {
		t.Errorf("found %q", got)
	}
}

// What came out before anybody knew that it must not is found.
func TestWatch_FindsWhatItLearnedLater(t *testing.T) {
	w := New(t)
	log := w.Logger()
	log.Debug("early", "error", errors.New("no contact 89160000001"))
	w.Learn([]byte(`{"visitor":{"phone":"+79160000001"}}`))
	if got := found(w); !strings.HasPrefix(got, "phone came out: log, canary_test.go:") {
		t.Errorf("found %q", got)
	}
}

// A long log is compared as it grows, and a leak of its beginning is told in the end.
func TestWatch_FindsWhatALongLogBeganWith(t *testing.T) {
	w := planted(t)
	out := w.Writer("log")
	fmt.Fprintln(out, "for", email)
	filling := strings.Repeat("nothing of interest\n", 1000)
	for n := 0; n < 2*kept; n += len(filling) {
		_, _ = io.WriteString(out, filling)
	}
	fmt.Fprint(out, phone)
	got := w.Leaks()
	if len(got) != 2 || got[1] != "e-mail came out: log, line 1" || !strings.HasPrefix(got[0], "phone came out: log, line ") || got[0] == "phone came out: log, line 1" {
		t.Errorf("found %q", got)
	}
	if held := out.(*output).text.Cap(); held > 4*kept {
		t.Errorf("%d bytes are held", held)
	}
}

// A logger's place is the line of code that logs; all of a record is looked at.
func TestWatch_LooksAtAllOfARecord(t *testing.T) {
	for name, write := range map[string]func(*slog.Logger){
		"message":   func(l *slog.Logger) { l.Debug("for " + email) },
		"value":     func(l *slog.Logger) { l.Info("x", "v", email) },
		"key":       func(l *slog.Logger) { l.Info("x", email, 1) },
		"group":     func(l *slog.Logger) { l.WithGroup("g").With("a", email).Info("x") },
		"error":     func(l *slog.Logger) { l.Warn("x", "error", fmt.Errorf("find: %w", errors.New(email))) },
		"any":       func(l *slog.Logger) { l.Error("x", "v", map[string]any{"to": []string{email}}) },
		"the bytes": func(l *slog.Logger) { l.Error("x", "v", []byte(`{"email":"`+email+`"}`)) },
		"std log":   func(l *slog.Logger) { slog.NewLogLogger(l.Handler(), slog.LevelDebug).Print("http: " + email) },
	} {
		w := planted(t)
		var also bytes.Buffer
		write(w.Logger(&also))
		if got := found(w); !strings.HasPrefix(got, "e-mail came out: log, ") || !strings.Contains(got, ".go:") && name != "std log" {
			t.Errorf("%s: found %q", name, got)
		}
		if !strings.Contains(strings.ToLower(also.String()), "example.com") {
			t.Errorf("%s: not written on", name)
		}
	}
}

// What looks alike is no leak, and admin pages may show people but no secrets.
func TestWatch_LeavesOtherThingsAlone(t *testing.T) {
	w := planted(t)
	out := w.Writer("log")
	fmt.Fprintln(out, `level=INFO msg=event seq=9160 took=1.916000002s lead=70000001 at=2026-11-21T23:00:00.9160000Z stack="go.etcd.io/bbolt@v1.5.0/db.go:1"`)
	fmt.Fprintln(out, `visitor2@example.com +79160000002 long-lived-tokens jivo-secret доставка 100% \ \u12 %zz &`)
	w.Scan("page", Keys, []byte(phone+email+text))
	if got := w.Leaks(); len(got) > 0 {
		t.Errorf("found %q", got)
	}
	w.Scan("page", Keys, []byte(secret))
	if got := found(w); got != "secret came out: page, line 1" {
		t.Errorf("found %q", got)
	}
}

// A report names the kind and the place, never the value.
func TestWatch_SaysNothingItself(t *testing.T) {
	w := planted(t)
	w.Logger().Info("x", "a", secret, "b", token, "c", phone, "d", email, "e", text)
	got := w.Leaks()
	if len(got) != 5 {
		t.Errorf("found %q", got)
	}
	again := planted(t)
	fmt.Fprint(again.Writer("report"), strings.Join(got, "\n"))
	if got := again.Leaks(); len(got) > 0 {
		t.Errorf("the report leaks: %q", got)
	}
}

// A test whose world leaks fails, at its end.
func TestWatch_FailsTheTest(t *testing.T) {
	fake := &recorder{TB: t}
	w := New(fake)
	w.Add(Secret, secret)
	fmt.Fprint(w.Writer("log"), secret)
	if len(fake.said) > 0 {
		t.Error("it did not wait for the end")
	}
	fake.end()
	if !slices.Equal(fake.said, []string{"canary: secret came out: log, line 1"}) {
		t.Errorf("said %q", fake.said)
	}
}

// recorder stands for a test that fails.
type recorder struct {
	testing.TB
	end  func()
	said []string
}

func (r *recorder) Cleanup(f func()) { r.end = f }
func (r *recorder) Errorf(format string, a ...any) {
	r.said = append(r.said, fmt.Sprintf(format, a...))
}

// Forms as amoCRM sends them teach like JSON does.
func TestWatch_LearnsFromForms(t *testing.T) {
	w := New(t)
	w.Learn([]byte(url.Values{
		"contacts[update][0][custom_fields][0][values][0][value]": {phone}, "leads[note][0][note][text]": {"Перезвоните после шести"},
		"contacts[update][0][custom_fields][1][values][0][value]": {email},
	}.Encode()))
	fmt.Fprint(w.Writer("log"), "89160000001 visitor1+shop@example.com перезвоните после шести")
	if got := w.Leaks(); len(got) != 3 {
		t.Errorf("found %q", got)
	}
}

// A client's way to the bridge: what it sends is learned, secrets of paths
// included, and what it is answered is watched.
func TestTransport_WatchesAnswers(t *testing.T) {
	for _, c := range []struct {
		name, path, answer string
		status             int
		want               string
	}{
		{"a refusal tells the body", "/jivo/shop/" + url.PathEscape(secret), "no phone +79160000001", 400, "phone came out: answer 400 Bad Request to POST /jivo, line 6"},
		{"a refusal tells the path", "/jivo/shop/wrong-secret-0123456789", "no page /jivo/shop/wrong-secret-0123456789", 404, "secret came out: answer 404 Not Found to POST /jivo, line 6"},
		{"a reply tells whom it is for", "/jivo/shop/" + url.PathEscape(secret), `{"result":"ok","contact_info":{"phone":"+79160000001"}}`, 200, ""},
		{"a reply tells the token", "/jivo/shop/" + url.PathEscape(secret), `{"result":"` + token + `"}`, 200, "token came out: answer 200 OK to POST /jivo, line 6"},
		{"a metric's value looks like a phone", "/metrics", `x{a="b"} 0.12349160000001`, 200, ""},
		{"a metric tells a person", "/metrics", `x{phone="89160000001"} 1`, 200, "phone came out: answer 200 OK to POST /metrics, line 6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := New(t)
			srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", "text/plain")
				rw.Header().Set("X-One", "1")
				rw.Header().Set("X-Two", "2")
				rw.WriteHeader(c.status)
				_, _ = io.WriteString(rw, c.answer)
			}))
			defer srv.Close()
			client := &http.Client{Transport: w.Transport(http.DefaultTransport)}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+c.path, strings.NewReader(`{"visitor":{"phone":"+79160000001"}}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if got, _ := io.ReadAll(res.Body); string(got) != c.answer {
				t.Errorf("the client reads %q", got)
			}
			if got := found(w); got != c.want {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

// The account's end teaches tokens and what is exchanged for them.
func TestAccount_TeachesTokens(t *testing.T) {
	w := New(t)
	h := w.Account(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if b, _ := io.ReadAll(r.Body); !strings.Contains(string(b), "grant_type") {
			t.Error("the body was eaten")
		}
	}))
	req := httptest.NewRequest("POST", "/oauth2/access_token", strings.NewReader(
		`{"grant_type":"refresh_token","refresh_token":"refresh-0123","client_secret":"client-0123","code":"code-0123"}`))
	req.Header.Set("Authorization", "Bearer access-0123")
	h.ServeHTTP(httptest.NewRecorder(), req)
	out := w.Writer("log")
	fmt.Fprintln(out, "refresh-0123 access-0123 code-0123")
	fmt.Fprintln(out, "client-0123")
	if got := found(w); got != "token came out: log, line 1; secret came out: log, line 2" {
		t.Errorf("found %q", got)
	}
}

// asJava is JSON with everything beyond ASCII escaped, as PHP and Java write it.
func asJava(s string) string {
	b, _ := json.Marshal(s)
	return strings.ReplaceAll(strings.ReplaceAll(strconv.QuoteToASCII(string(b)), `\U0001f642`, `\ud83d\ude42`), `\\`, `\`)
}

// escaped is every byte beyond ASCII as \xNN.
func escaped(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < 0x80 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}

func BenchmarkFind(b *testing.B) {
	w := New(b)
	for n := range 10_000 {
		w.Add(Phone, fmt.Sprintf("+7916%07d", n))
		w.Add(Email, fmt.Sprintf("visitor%d@example.com", n))
	}
	line := []byte(`level=DEBUG source=/home/me/bridge/internal/intake/exchange.go:64 msg=request route=/jivo/{connection}/{secret} method=POST connection=shop source=jivo kind=chat_accepted seq=1234 bytes=1024 status=200 took=1.234ms`)
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		w.birds.find(line)
	}
}
