package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/config/strict"
)

// Accounts are looked at side by side, eight at once, and connections that share
// one come to it together, in the config's order.
func TestEachAccount_TakesEightAtOnceAndEachOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const accounts = 20
		cfg := &config.Config{}
		for i := range 2 * accounts {
			cfg.Connections = append(cfg.Connections, &config.Connection{AmoCRM: config.AmoCRM{Host: fmt.Sprint(i % accounts)}})
		}
		var (
			mu     sync.Mutex
			inside int
			done   = map[int][]int{}
			seat   = make(chan struct{})
		)
		over := make(chan struct{})
		go func() {
			defer close(over)
			eachAccount(cfg, func(conns []int) {
				mu.Lock()
				inside++
				done[conns[0]] = conns
				mu.Unlock()
				<-seat
				mu.Lock()
				inside--
				mu.Unlock()
			})
		}()
		for left := accounts; left > 0; left-- {
			synctest.Wait()
			mu.Lock()
			if want := min(left, 8); inside != want {
				t.Errorf("%d accounts are looked at, with %d to go; want %d", inside, left, want)
			}
			mu.Unlock()
			seat <- struct{}{}
		}
		<-over
		for i := range accounts {
			if !slices.Equal(done[i], []int{i, i + accounts}) {
				t.Errorf("account %d was given the connections %v", i, done[i])
			}
		}
	})
}

// An account that does not answer holds up no other; the report is in the config's
// order, and one account gets one request at a time.
func TestCheck_LooksSideBySideAndReportsInOrder(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	const accounts = 4
	var (
		mu    sync.Mutex
		asked = map[string]bool{}
		now   = map[string]int{}
		all   = make(chan struct{}) // every account was asked
	)
	cfg := &config.Config{Admin: config.Admin{Listen: "127.0.0.1:1"}}
	var hosts []string
	for range accounts {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			if now[r.Host]++; now[r.Host] > 1 {
				t.Errorf("two requests at once to %s", r.Host)
			}
			if asked[r.Host] = true; len(slices.Collect(maps.Keys(asked))) == accounts {
				select {
				case <-all:
				default:
					close(all)
				}
			}
			mu.Unlock()
			select {
			case <-all:
			case <-ctx.Done():
			}
			mu.Lock()
			now[r.Host]--
			mu.Unlock()
			w.WriteHeader(http.StatusPaymentRequired)
			_, _ = io.WriteString(w, `{"title":"unpaid","status":402}`)
		}))
		t.Cleanup(srv.Close)
		hosts = append(hosts, strings.TrimPrefix(srv.URL, "http://"))
	}
	for i := range 2 * accounts {
		host := hosts[i%accounts]
		cfg.Connections = append(cfg.Connections, &config.Connection{Name: fmt.Sprintf("c%d", i), AmoCRM: config.AmoCRM{
			Account: "http://" + host, Host: host, Token: strict.NewSecret("long-lived-token"), RequestsPerSecond: 100, Batch: 50, Timeout: 30 * time.Second,
		}})
	}
	got := checkCmd{}.accounts(ctx, cfg)
	if len(got) != len(cfg.Connections) {
		t.Fatalf("%d sections of %d connections", len(got), len(cfg.Connections))
	}
	for i, s := range got {
		if s.Connection != cfg.Connections[i].Name || len(s.Findings) != 1 || !strings.Contains(s.Findings[0].What, hosts[i%accounts]) || !strings.Contains(s.Findings[0].What, "unpaid") {
			t.Errorf("section %d: %+v", i, s)
		}
	}
}

// A certificate that cannot be served is an error of the config, also where no
// account is asked.
func TestCheck_RefusesAPairThatCannotBeServed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	err := os.WriteFile(path, []byte(`tls: {cert: nowhere.pem, key: key.pem}
connections:
  shop:
    jivo: {secret: jivo-secret-0123456789}
    amocrm: {account: "http://127.0.0.1:1", token: long-lived-token}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	var out, bad strings.Builder
	status := run(t.Context(), []string{"check", "--offline", "-c", path}, strings.NewReader(""), &out, &bad)
	if status != exitWrong || !strings.Contains(out.String(), "tls.cert: open ") || strings.Contains(out.String(), "is good") {
		t.Errorf("status %d, %s%s", status, out.String(), bad.String())
	}
}
