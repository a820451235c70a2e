package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/jivo-amocrm/bridge/internal/canary"
	"github.com/jivo-amocrm/bridge/internal/emulator"
)

var update = flag.Bool("update", false, "write the scripts' golden files anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"bridge": overheard})
}

// TestScripts runs testdata/script: the commands' tests and their readable manual.
// Beside testscript's own commands, scripts have those of world.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			seen := canary.New(t)
			e.Values[worldKey{}] = &world{seen: seen}
			e.Setenv("JIVO_SECRET", "jivo-secret-0123456789")
			e.Setenv("AMOCRM_WEBHOOK_SECRET", "hook-secret-0123456789")
			e.Setenv("BRIDGE_ADMIN_TOKEN", "admin-token-0123456789")
			e.Setenv("AMOCRM_TOKEN", "long-lived-token")
			e.Setenv("TZ", "UTC")
			return overhear(t, seen, e)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"emulator": startEmulator,
			"amo":      amo,
			"ports":    ports,
			"ready":    ready,
			"settled":  settled,
			"post":     post,
			"consent":  consent,
			"redirect": redirect,
			"free-of":  freeOf,
		},
	})
}

// clientSecret is the OAuth integration's.
const clientSecret = "client-secret-0123456789"

type worldKey struct{}

// world is what a script plays in.
type world struct {
	amo  *emulator.Account
	seen *canary.Watch
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// exits STATUS COMMAND… runs a command and checks its exit status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND…")
	}
	status := 0
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if want, _ := strconv.Atoi(args[0]); status != want {
		ts.Fatalf("exit status %d, want %d", status, want)
	}
}

// emulator [OPTION…] starts an amoCRM account; $AMO is its address. It takes the
// token of $AMOCRM_TOKEN. Options: no-marker, not-admin, oauth.
func startEmulator(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	o := emulator.Options{
		Token: ts.Getenv("AMOCRM_TOKEN"), RPS: -1, FilterEnabled: true, Domain: l.Addr().String(),
		NoMarker: slices.Contains(args, "no-marker"), NotAdmin: slices.Contains(args, "not-admin"),
	}
	if slices.Contains(args, "oauth") {
		o.ClientID, o.ClientSecret, o.RedirectURI = "client-id", clientSecret, ts.Getenv("REDIRECT")
	}
	a := emulator.New(o)
	srv := httptest.NewUnstartedServer(worldOf(ts).seen.Account(a))
	_ = srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	ts.Defer(func() { srv.Close(); a.Close() })
	ts.Setenv("AMO", srv.URL)
	worldOf(ts).amo = a
}

// amo WHAT… is a person's hand in the account: contact NAME PHONE, contacts N,
// revoke, list (what there is), writes (how many requests were no reads).
func amo(ts *testscript.TestScript, _ bool, args []string) {
	a := worldOf(ts).amo
	switch args[0] {
	case "contact":
		id, err := a.CreateContact(emulator.NewCard{Edit: emulator.Edit{Name: args[1]}, Phone: args[2]})
		ts.Check(err)
		fmt.Fprintf(ts.Stdout(), "contact %d\n", id)
	case "contacts":
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		for i := range n {
			_, err := a.CreateContact(emulator.NewCard{Edit: emulator.Edit{Name: fmt.Sprint("C", i)}, Phone: fmt.Sprintf("+7916%07d", i)})
			ts.Check(err)
		}
	case "revoke":
		a.Revoke()
	case "list":
		fmt.Fprintf(ts.Stdout(), "leads %d, contacts %d, notes %d, tasks %d, doubles %d\n",
			len(a.Leads()), len(a.Contacts()), len(a.AllNotes()), len(a.Tasks()), len(a.Doubles()))
		for _, s := range a.Subscriptions() {
			fmt.Fprintf(ts.Stdout(), "hook %s\n", s.Destination)
		}
	case "writes":
		fmt.Fprintf(ts.Stdout(), "%d writes\n", a.Report().Writes)
	default:
		ts.Fatalf("amo %s?", args[0])
	}
}

// ports NAME… sets each variable to a free port.
func ports(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		_, port, err := net.SplitHostPort(l.Addr().String())
		ts.Check(err)
		ts.Check(l.Close())
		ts.Setenv(name, port)
	}
}

// until asks again and again until yes says so.
func until(ts *testscript.TestScript, what string, yes func() bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-ctx.Done():
			ts.Fatalf("%s did not come about", what)
		case <-tick.C:
		}
	}
}

func get(ts *testscript.TestScript, path string, into any) bool {
	req, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+ts.Getenv("ADMIN")+path, nil)
	ts.Check(err)
	req.Header.Set("Authorization", "Bearer "+ts.Getenv("BRIDGE_ADMIN_TOKEN"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(into) == nil
}

// ready [alive] waits until the bridge whose admin listener is at $ADMIN is ready,
// or just answers.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	path := "/readyz"
	if len(args) > 0 {
		path = "/healthz"
	}
	until(ts, "a ready bridge", func() bool { return get(ts, path, &struct{}{}) })
}

// settled waits until that bridge has nothing left to do.
func settled(ts *testscript.TestScript, _ bool, _ []string) {
	until(ts, "a settled bridge", func() bool {
		var is struct {
			Connections []struct{ Pending int }
		}
		if !get(ts, "/api/v1/connections", &is) {
			return false
		}
		pending := 0
		for _, c := range is.Connections {
			pending += c.Pending
		}
		return pending == 0
	})
}

// post FILE sends every line of FILE to the bridge's connection "shop" at $PORT,
// as Jivo does.
func post(ts *testscript.TestScript, _ bool, args []string) {
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		resp, err := http.Post("http://127.0.0.1:"+ts.Getenv("PORT")+"/jivo/shop/"+ts.Getenv("JIVO_SECRET"), "application/json", bytes.NewReader([]byte(line)))
		ts.Check(err)
		body, err := io.ReadAll(resp.Body)
		ts.Check(err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			ts.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
}

// consent FILE does what an administrator does with the consent page whose address
// stands in FILE: it agrees. $CODE is the code, $LANDED the address the browser
// ends at; with "visit" the browser goes there.
func consent(ts *testscript.TestScript, _ bool, args []string) {
	page := consentPage(ts, args[0])
	landed := worldOf(ts).amo.Consent(page.Query().Get("state"))
	u, err := url.Parse(landed)
	ts.Check(err)
	ts.Setenv("LANDED", landed)
	ts.Setenv("CODE", u.Query().Get("code"))
	if len(args) > 1 {
		visit(ts, landed)
	}
}

// redirect FILE KEY=VALUE… is where a browser ends that was at the consent page
// whose address stands in FILE, if amoCRM sends it back with these values, the
// account's address and the page's state.
func redirect(ts *testscript.TestScript, _ bool, args []string) {
	page := consentPage(ts, args[0])
	q := url.Values{"state": {page.Query().Get("state")}, "referer": {strings.TrimPrefix(ts.Getenv("AMO"), "http://")}}
	for _, arg := range args[1:] {
		key, value, _ := strings.Cut(arg, "=")
		q.Set(key, value)
	}
	visit(ts, ts.Getenv("REDIRECT")+"?"+q.Encode())
}

func visit(ts *testscript.TestScript, address string) {
	resp, err := http.Get(address)
	ts.Check(err)
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	fmt.Fprintf(ts.Stdout(), "%d %s", resp.StatusCode, text)
}

// consentPage waits for the address of a consent page in a file.
func consentPage(ts *testscript.TestScript, file string) (page *url.URL) {
	until(ts, "a consent page", func() bool {
		text, err := os.ReadFile(ts.MkAbs(file))
		if err != nil {
			return false
		}
		for word := range strings.FieldsSeq(string(text)) {
			if strings.HasPrefix(word, "http") && strings.Contains(word, "state=") {
				page, err = url.Parse(word)
				ts.Check(err)
			}
		}
		return page != nil
	})
	return page
}

// free-of WORD… checks that neither output of the last command holds a word.
func freeOf(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range []string{"stdout", "stderr"} {
		text := ts.ReadFile(name)
		for _, word := range args {
			if strings.Contains(text, word) {
				ts.Fatalf("%s holds %q", name, word)
			}
		}
	}
}
