package app_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/canary"
	"github.com/jivo-amocrm/bridge/internal/jivo/samples"
)

// echo is a way for an account, or what stands before it, to say what it was
// told: all is what the request carried, as one text.
type echo struct {
	name   string
	answer func(w http.ResponseWriter, all string)
}

// raw answers bytes that may be no HTTP at all.
func raw(format string) func(http.ResponseWriter, string) {
	return func(w http.ResponseWriter, all string) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		_, _ = fmt.Fprintf(c, format, strings.NewReplacer("\n", " ", "\r", " ").Replace(all)) // it may hang up before the end
	}
}

func plainly(status int, kind, format string) func(http.ResponseWriter, string) {
	return func(w http.ResponseWriter, all string) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		if strings.Contains(kind, "json") {
			quoted, _ := json.Marshal(all) // a text
			all = string(quoted)
		}
		_, _ = io.WriteString(w, strings.ReplaceAll(format, "ALL", all)) // it may hang up before the end
	}
}

func echoes() []echo {
	const problem = `{"title":ALL,"type":ALL,"status":400,"hint":ALL,"detail":ALL,"validation-errors":[{"request_id":"0","errors":[{"code":ALL,"path":ALL,"detail":ALL}]}],"errors":{"1":ALL}}`
	const entities = `{"_embedded":{"contacts":[{"id":ALL,"name":7,"custom_fields_values":ALL}],"leads":[{"id":ALL}],"notes":[{"id":ALL}],"tasks":[{"id":ALL}]}}`
	list := []echo{
		{"a page with 200", plainly(200, "text/html", "<html>ALL</html>")},
		{"ids that are texts", plainly(200, "application/json", entities)},
		{"numbers too long", plainly(200, "application/json", `{"_embedded":{"contacts":[{"id":791600000017916000000179160000001}],"leads":[{"id":79160000001e99}]}}`)},
		{"half an answer", plainly(200, "text/html", `{"_embedded":{"contacts":[{"name":"ALL`)},
		{"a place elsewhere", func(w http.ResponseWriter, all string) {
			w.Header().Set("Location", "https://elsewhere.example/?query="+all)
			w.WriteHeader(http.StatusFound)
		}},
		{"a request id that is none", func(w http.ResponseWriter, all string) {
			w.Header()["X-Request-Id"] = []string{strings.NewReplacer("\n", " ", "\r", " ").Replace(all)}
			plainly(400, "application/problem+json", problem)(w, all)
		}},
		{"no HTTP", raw("%s\r\n\r\n")},
		{"a status that is none", raw("HTTP/1.1 %s\r\n\r\n")},
		{"a header that is none", raw("HTTP/1.1 200 OK\r\n%s\r\n\r\n")},
		{"a header name that is none", raw("HTTP/1.1 200 OK\r\n%s: 1\r\n\r\n")},
		{"a length that is none", raw("HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n")},
		{"an encoding that is none", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n")},
		{"a chunk that is none", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n")},
		{"a trailer that is none", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n%s\r\n\r\n")},
	}
	for _, status := range []int{400, 401, 402, 403, 404, 422, 500} {
		list = append(list, echo{fmt.Sprint("a problem with ", status), plainly(status, "application/problem+json", problem)})
	}
	return list
}

// An account may answer with what it was told, a proxy before it with whatever:
// none of it comes out, in the log or in what is kept as an error.
func TestCanaries_AnAccountThatEchoes(t *testing.T) {
	for _, e := range echoes() {
		t.Run(e.name, func(t *testing.T) {
			var reads, writes atomic.Int64
			w := newWorld(t, setup{
				conn: "reply: {wait: 0s}\n", amocrm: "probe: 20ms", lost: true,
				between: func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
						body, _ := io.ReadAll(r.Body)
						r.Body = io.NopCloser(strings.NewReader(string(body)))
						count := &writes
						if r.Method == http.MethodGet {
							count = &reads
						}
						people := r.Method != http.MethodGet || r.URL.Query().Has("query")
						if !people || strings.Contains(r.URL.Path, "webhooks") || count.Add(1) > 3 {
							next.ServeHTTP(rw, r)
							return
						}
						e.answer(rw, r.Header.Get("Authorization")+" "+r.URL.Query().Get("query")+" "+texts(body))
					})
				},
			})
			for n := range 6 {
				p := ivan()
				p.Number, p.Chat, p.Phone, p.Email = p.Number+n, p.Chat+n, fmt.Sprintf("+7 (916) 555-00-%02d", n), fmt.Sprintf("ivan%d@example.com", n)
				w.post(p.accepted(), p.finished(said(then, "v:Когда приедет мой заказ из Казани, скажите?", "a:Завтра к обеду, не раньше")))
			}
			w.settle()
			w.set.dead = w.app.Store().Counts(e2eName).Dead
			if reads.Load() == 0 || writes.Load() == 0 {
				t.Errorf("it echoed %d reads and %d writes", reads.Load(), writes.Load())
			}
		})
	}
}

// texts are the texts of a JSON body, one after another.
func texts(body []byte) string {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return string(body)
	}
	var out []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				walk(v[k])
			}
		}
	}
	walk(v)
	return strings.Join(out, " ")
}

// A request that is none, or breaks off, is refused without its words.
func TestCanaries_RequestsThatAreNone(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.watch.Learn(p.accepted())
	path, body := "/jivo/"+e2eName+"/"+e2eSecret, string(p.accepted())
	for name, text := range map[string]string{
		"no HTTP":               p.Phone + " " + p.Email + "\r\n\r\n",
		"a method that is none": p.Email + " " + path + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"a version of none":     "POST " + path + " " + p.Email + "\r\nHost: x\r\n\r\n",
		"a header that is none": "POST " + path + " HTTP/1.1\r\nHost: x\r\n" + p.Email + "\r\n\r\n",
		"a name that is none":   "POST " + path + " HTTP/1.1\r\nHost: x\r\n" + p.Email + ": 1\r\n\r\n",
		"a host that is none":   "POST " + path + " HTTP/1.1\r\nHost: " + p.Email + " x\r\n\r\n",
		"a length that is none": "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + p.Phone + "\r\n\r\n" + body,
		"a coding that is none": "POST " + path + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + p.Email + "\r\n\r\n" + body,
		"an expectation":        "POST " + path + " HTTP/1.1\r\nHost: x\r\nExpect: " + p.Email + "\r\nContent-Length: 2\r\n\r\n{}",
		"a chunk that is none":  "POST " + path + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + p.Phone + "\r\n\r\n",
		"a body cut short":      "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n" + body,
		"a trailer of none":     "POST " + path + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + p.Email + "\r\n\r\n",
		"a path of a person":    "POST /" + p.Email + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"an escape that is bad": "POST " + path + "%zz HTTP/1.1\r\nHost: x\r\n\r\n",
		"a compressed body":     "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Encoding: " + p.Email + "\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
	} {
		for _, door := range []string{w.pub, w.admin} {
			c, err := net.Dial("tcp", strings.TrimPrefix(door, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(c, text) // it may hang up before the end
			_ = c.(*net.TCPConn).CloseWrite()
			answer, _ := io.ReadAll(c) // what came, if anything
			_ = c.Close()
			w.watch.Scan("answer to "+name, canary.Anything, answer)
		}
	}
}

// Names that a rule takes from a visitor are in no account; the log does not say them.
func TestCanaries_NamesThatAreAVisitors(t *testing.T) {
	w := newWorld(t, setup{conn: `rules:
  - name: r
    on: [chat_accepted]
    contact: {create: true, name: '{{ visitor.name }}', phone: '{{ visitor.phone }}', responsible: '{{ visitor.email }}', fields: {Город: '{{ visitor.email }}'}}
    lead: {create: true, pipeline: '{{ visitor.phone }}', stage: '{{ visitor.email }}', responsible: '{{ visitor.phone }}', tags: ['{{ visitor.email }}']}
`})
	w.tell(ivan().accepted())
	if w.last("chat_accepted").Warnings == nil || len(w.watch.Holding("does not have a name")) == 0 {
		t.Error("nobody missed a name")
	}
}

// Rules may fail on what a visitor wrote: the error tells the place, not the words.
func TestCanaries_RulesThatFail(t *testing.T) {
	for _, when := range []string{
		`int(visitor.phone) > 1`, `float(visitor.email) > 1`, `date(visitor.phone).Year() > 1`, `duration(visitor.email).Hours() > 1`,
		`fromJSON(visitor.email) != nil`, `fromBase64(visitor.email) != ""`, `visitor.name matches ("(" + visitor.email)`,
		`[1, 2][int(visitor.number)] == 1`, `visitor.email[1:500] != visitor.phone`,
	} {
		t.Run(when, func(t *testing.T) {
			w := newWorld(t, setup{conn: "rules:\n  - name: r\n    on: [chat_accepted]\n    when: '" + when + "'\n    contact: {create: true, name: '{{ visitor.name }}', phone: '{{ visitor.phone }}'}\n"})
			w.tell(ivan().accepted())
			w.set.dead = w.app.Store().Counts(e2eName).Dead
			t.Logf("%d dead: %s", w.set.dead, w.last("chat_accepted").Detail)
		})
	}
}

// The name of an event nobody knows may be any text.
func TestCanaries_AnEventNameOfWords(t *testing.T) {
	w := newWorld(t, setup{})
	const words = "Перезвоните Ивану +79161234567"
	w.watch.Add(canary.Text, words)
	w.watch.Add(canary.Phone, "+79161234567")
	w.tell(jsonOf(m{"event_name": words, "visitor": m{"number": 1}}))
	w.api("POST", fmt.Sprintf("/api/v1/events/%d/replay", w.events("limit=1")[0].Seq), "", nil)
	w.settle()
}

var allPayloads = flag.Bool("canaries.all", false, "send every payload through the bridge, not each tenth")

// The events of Jivo's page, with a field missing, null or of a wrong type
// (TestEffects has what they come to), go through a whole bridge.
func TestCanaries_EveryPayload(t *testing.T) {
	var bodies [][]byte
	whole := samples.Whole()
	for _, name := range slices.Sorted(maps.Keys(whole)) {
		for _, kind := range append([]string{name}, samples.Siblings(name)...) {
			body := maps.Clone(whole[name])
			if kind != name {
				body["event_name"] = kind
			}
			for _, v := range samples.Vary(body) {
				bodies = append(bodies, v.Body)
			}
		}
	}
	if !*allPayloads {
		all := bodies
		bodies = nil
		for i := 0; i < len(all); i += 10 {
			bodies = append(bodies, all[i])
		}
	}
	inLab(t, labSetup{amocrm: "requests_per_second: 1000\n"}, func(l *lab) {
		for some := range slices.Chunk(bodies, 100) {
			l.tell(some...)
		}
		l.settle(30 * 24 * time.Hour)
	})
	t.Logf("%d payloads", len(bodies))
}
