package canary

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// most is how much of a body is read for what to watch.
const most = 1 << 20

var (
	anAddress = regexp.MustCompile(`[^\s"'«»<>(),;:=&\\/\[\]{}]+@[^\s"'«»<>(),;:=&\\/\[\]{}@]+\.[^\s"'«»<>(),;:=&\\/\[\]{}@]+`)
	aPhone    = regexp.MustCompile(`^\s*(\+\d|8|7)[\d\s().-]{8,}\d\s*$`)
	inText    = regexp.MustCompile(`\+\d[\d ().-]{8,}\d`)
)

// Learn watches the phones, e-mails, texts and tokens of a body: JSON or a form,
// Jivo's, a hook's or amoCRM's. In anything else it looks for e-mails and phones.
func (w *Watch) Learn(body []byte) {
	body = body[:min(len(body), most)]
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) == nil {
		w.value("", v)
		return
	}
	if form, err := url.ParseQuery(string(body)); err == nil && bytes.ContainsRune(body, '=') {
		w.form(form)
		return
	}
	w.Add(Email, anAddress.FindAllString(string(body), -1)...)
	w.Add(Phone, inText.FindAllString(string(body), -1)...)
}

func (w *Watch) form(form url.Values) {
	for key, list := range form {
		if i := strings.LastIndexByte(strings.TrimRight(key, "]"), '['); i >= 0 {
			key = strings.TrimRight(key[i+1:], "]")
		}
		for _, v := range list {
			w.leaf(key, v)
		}
	}
}

func (w *Watch) value(key string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			w.value(k, x)
		}
	case []any:
		for _, x := range v {
			w.value(key, x)
		}
	case string:
		if strings.HasPrefix(v, "{") { // a body in a body
			w.Learn([]byte(v))
			return
		}
		w.leaf(key, v)
	case json.Number:
		w.leaf(key, v.String())
	}
}

// leaf judges a value by its key and its looks.
func (w *Watch) leaf(key, v string) {
	w.Add(Email, anAddress.FindAllString(v, -1)...)
	switch strings.ToLower(key) {
	case "phone", "contact", "phones":
		w.Add(Phone, v)
	case "message", "text", "plain_messages", "html_messages", "description":
		w.Add(Text, v)
	case "access_token", "refresh_token":
		w.Add(Token, v)
	}
	if aPhone.MatchString(v) {
		w.Add(Phone, v)
	}
}

// request watches what a request to the bridge or to the account carries: the
// secret of its path, right or wrong, its token, its query and its body.
func (w *Watch) request(r *http.Request, body []byte) {
	if step := strings.Split(r.URL.Path, "/"); len(step) > 3 && (step[1] == "jivo" || step[1] == "amocrm") {
		w.Add(Secret, step[3:]...)
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		w.Add(Token, token)
	}
	w.form(r.URL.Query())
	w.Learn(body)
	if strings.HasPrefix(r.URL.Path, "/oauth") { // the redirect, or the exchange
		w.Add(Token, r.URL.Query().Get("code"), r.URL.Query().Get("state"))
		var grant struct {
			Code   string
			Secret string `json:"client_secret"`
		}
		_ = json.Unmarshal(body, &grant) // of something else nothing is taken
		w.Add(Token, grant.Code)
		w.Add(Secret, grant.Secret)
	}
}

// Transport is the way of a test's client to the bridge. It learns from what is
// sent, and watches what is answered: refusals, /healthz, /readyz and /metrics
// must be free of everything, other answers of secrets and tokens.
func (w *Watch) Transport(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		var body []byte
		if r.GetBody != nil {
			if b, err := r.GetBody(); err == nil {
				body, _ = io.ReadAll(b) // bytes in memory
			}
		}
		w.request(r, body)
		res, err := next.RoundTrip(r)
		if err != nil {
			return res, err
		}
		answer, err := io.ReadAll(res.Body)
		if err != nil {
			res.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(bytes.NewReader(answer), broken{err}), res.Body}
			return res, nil
		}
		_ = res.Body.Close() // read to its end
		res.Body = io.NopCloser(bytes.NewReader(answer))
		w.answer(r, res, answer)
		return res, nil
	})
}

func (w *Watch) answer(r *http.Request, res *http.Response, body []byte) {
	_, path, _ := strings.Cut(r.URL.Path, "/")
	path, _, _ = strings.Cut(path, "/") // the rest may be a secret
	place := "answer " + res.Status + " to " + r.Method + " /" + path
	scope := Keys
	if res.StatusCode >= 400 || path == "metrics" || path == "healthz" || path == "readyz" {
		scope = Anything
	}
	if path == "metrics" && res.StatusCode < 400 {
		body = withoutValues(body)
	}
	var head bytes.Buffer
	_ = res.Header.Write(&head) // a buffer takes everything
	w.Scan(place, scope, append(head.Bytes(), body...))
}

// withoutValues takes the samples' values away from a page of metrics: in seventeen
// digits of a float a phone turns up by chance.
func withoutValues(page []byte) []byte {
	var out []byte
	for line := range bytes.Lines(page) {
		if i := bytes.LastIndexByte(line, ' '); i >= 0 && line[0] != '#' {
			line = append(line[:i:i], '\n')
		}
		out = append(out, line...)
	}
	return out
}

// Request watches the token, the query and the body of a request of the bridge to
// the account.
func (w *Watch) Request(r *http.Request, body []byte) { w.request(r, body) }

// Account stands before the account's end and watches what the bridge sends there.
func (w *Watch) Account(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		w.request(r, body)
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), broken{err}))
		next.ServeHTTP(rw, r)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// broken is the end of a body: err, or a good end.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, cmp.Or(b.err, io.EOF) }
