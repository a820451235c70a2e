package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const testToken = "long-lived"

// client speaks to an account without a network.
type client struct {
	t     *testing.T
	a     *Account
	token string
}

func account(t *testing.T, o Options) *client {
	t.Helper()
	o.Token = testToken
	if o.RPS == 0 {
		o.RPS = -1
	}
	a := New(o)
	t.Cleanup(a.Close)
	return &client{t, a, testToken}
}

func (c *client) request(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, "http://demo.amocrm.ru"+path, strings.NewReader(body))
	r.Header.Set("User-Agent", "test/1")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func (c *client) raw(method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	c.a.ServeHTTP(w, c.request(method, path, body))
	return w
}

// do sends and decodes; a body that is no JSON comes as a string.
func (c *client) do(method, path, body string) (int, any) {
	c.t.Helper()
	w := c.raw(method, path, body)
	b := w.Body.Bytes()
	if len(b) == 0 {
		return w.Code, nil
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&v); err != nil {
		return w.Code, string(b)
	}
	return w.Code, v
}

// ok sends what must succeed.
func (c *client) ok(method, path, body string) any {
	c.t.Helper()
	status, v := c.do(method, path, body)
	if status >= 300 {
		c.t.Fatalf("%s %s = %d %v", method, path, status, v)
	}
	return v
}

// at walks into decoded JSON by a dotted path.
func at(v any, path string) any {
	for _, key := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

func (c *client) lead(body string) int64 {
	c.t.Helper()
	return int64(at(c.ok("POST", "/api/v4/leads", "["+body+"]"), "_embedded.leads.0.id").(float64))
}

func (c *client) contact(body string) int64 {
	c.t.Helper()
	return int64(at(c.ok("POST", "/api/v4/contacts", "["+body+"]"), "_embedded.contacts.0.id").(float64))
}

func phoneContact(name, phone string) string {
	return fmt.Sprintf(`{"name":%q,"custom_fields_values":[{"field_code":"PHONE","values":[{"value":%q,"enum_code":"WORK"}]}]}`, name, phone)
}

// receiver is the other end of hooks: a RoundTripper that keeps what came.
type receiver struct {
	mu     sync.Mutex
	status int
	got    []received
}

type received struct {
	url    string
	header http.Header
	raw    string
	form   url.Values
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(b))
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, received{req.URL.String(), req.Header.Clone(), string(b), form})
	status := r.status
	if status == 0 {
		status = http.StatusOK
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
}

func (r *receiver) client() *http.Client { return &http.Client{Transport: r} }

func (r *receiver) all() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received(nil), r.got...)
}

// with returns the one hook whose form has the key.
func (r *receiver) with(t *testing.T, key string) received {
	t.Helper()
	var keys []string
	for _, h := range r.all() {
		if h.form.Has(key) {
			return h
		}
		for k := range h.form {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	t.Fatalf("no hook with %s among %v", key, keys)
	return received{}
}

func flush(t *testing.T, a *Account) {
	t.Helper()
	if err := a.FlushHooks(t.Context()); err != nil {
		t.Fatal(err)
	}
}
