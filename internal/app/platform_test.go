package app_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// platform stands before the wire as three accounts of amocrm.ru, some of which
// answer with the ban page.
type platform struct {
	next http.RoundTripper

	mu     sync.Mutex
	banned map[string]bool
	asked  map[string]int // requests by host
}

func (p *platform) ban(host string, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.banned[host] = on
}

// RoundTrip implements http.RoundTripper.
func (p *platform) RoundTrip(req *http.Request) (*http.Response, error) {
	p.mu.Lock()
	banned := p.banned[req.URL.Host]
	p.asked[req.URL.Host]++
	p.mu.Unlock()
	if banned {
		return &http.Response{
			StatusCode: http.StatusForbidden, Header: http.Header{"Content-Type": {"text/html"}}, Request: req,
			Body: io.NopCloser(bytes.NewReader([]byte("<html><body>403 Forbidden</body></html>"))),
		}, nil
	}
	in := req.Clone(req.Context())
	in.URL.Scheme, in.URL.Host = "http", "127.0.0.1:3"
	return p.next.RoundTrip(in)
}

// Ban pages from two accounts within five minutes pause the third of their
// platform, though the first ban be over by then. It is a pause with probes: an
// account that answers goes on at once.
func TestFault_BanByAddressPausesTheInnocentForOneProbe(t *testing.T) {
	p := &platform{banned: map[string]bool{}, asked: map[string]int{}}
	inLab(t, labSetup{between: func(w *wire) http.RoundTripper { p.next = w; return p }}, func(l *lab) {
		text, _, _ := strings.Cut(l.text, "connections:")
		text += "connections:\n"
		for i, name := range []string{"one", "two", "three"} {
			text += fmt.Sprintf("  %s:\n    jivo: {secret: %s-%d}\n    amocrm: {account: \"https://%s.amocrm.ru\", token: %s, probe: 2s, sweep: 30s}\n", name, e2eSecret, i, name, e2eToken)
		}
		l.text = text
		l.restart(0)
		l.ready()
		troubled := func(name string) bool {
			for _, problem := range l.app.Ready(l.t.Context()) {
				if problem.Connection == name {
					return true
				}
			}
			return false
		}
		p.ban("one.amocrm.ru", true)
		l.await("one is banned", time.Minute, func() bool { return troubled("one") })
		if troubled("three") {
			t.Error("one ban paused another account")
		}
		p.ban("one.amocrm.ru", false)
		l.await("one is back", time.Minute, func() bool { return !troubled("one") })
		time.Sleep(3 * time.Minute)

		p.ban("two.amocrm.ru", true)
		l.await("the innocent is paused", time.Minute, func() bool { return troubled("three") })
		paused := time.Now()
		l.await("the innocent is back", time.Minute, func() bool { return !troubled("three") })
		if took := time.Since(paused); took > 5*time.Second {
			t.Errorf("the innocent was paused for %v", took)
		}
		if !troubled("two") {
			t.Error("the banned one is back, too")
		}
		p.ban("two.amocrm.ru", false)
		l.await("two is back", time.Minute, func() bool { return !troubled("two") })

		time.Sleep(6 * time.Minute)
		p.ban("one.amocrm.ru", true)
		l.await("one is banned again", time.Minute, func() bool { return troubled("one") })
		time.Sleep(time.Second)
		if troubled("three") {
			t.Error("bans that were six minutes apart paused another account")
		}
	})
}
