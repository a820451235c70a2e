package app_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/emulator"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/store"
)

// trouble is something wrong with the whole account for a while.
type trouble struct {
	name  string
	begin func(l *lab) (end func())
	burns bool // it cannot be told from the events' own trouble
}

func injected(f emulator.Fault) func(l *lab) func() {
	return func(l *lab) func() {
		f.Times, f.PathPrefix = -1, "/"
		return l.amo.Inject(f).Remove
	}
}

func dialing(err error) func(l *lab) func() {
	return func(l *lab) func() {
		l.wire.refuse(err)
		return func() { l.wire.refuse(nil) }
	}
}

func limited(after string) trouble {
	return trouble{name: "429, Retry-After " + after, begin: injected(emulator.Fault{Kind: emulator.RateLimit, RetryAfter: after})}
}

func troubles() []trouble {
	return []trouble{
		limited(""), limited("3"), limited("Fri, 31 Dec 1999 23:59:59 GMT"), limited("Wed, 01 Jan 2200 00:00:00 GMT"),
		limited("99999999999999999999"), limited("-5"), limited("soon"),
		{name: "ban", begin: func(l *lab) func() { l.amo.Ban(); return l.amo.Lift }},
		{name: "token revoked in flight", begin: func(l *lab) func() {
			l.amo.Revoke()
			return func() { l.amo.AllowToken(e2eToken) }
		}},
		{name: "unpaid", begin: func(l *lab) func() { l.amo.SetUnpaid(2); return func() { l.amo.SetUnpaid(0) } }},
		{name: "writes unpaid", begin: func(l *lab) func() { l.amo.SetUnpaid(1); return func() { l.amo.SetUnpaid(0) } }, burns: true},
		{name: "500", begin: injected(emulator.Fault{Kind: emulator.GiveStatus, Status: 500})},
		{name: "504 after commit", begin: injected(emulator.Fault{Kind: emulator.GiveStatus, Status: 504, AfterCommit: true})},
		{name: "a page with 200", begin: injected(emulator.Fault{Kind: emulator.HTML200})},
		{name: "truncated", begin: injected(emulator.Fault{Kind: emulator.Truncated})},
		{name: "10 MB", begin: injected(emulator.Fault{Kind: emulator.Huge})},
		{name: "a trickle of five minutes", begin: injected(emulator.Fault{Kind: emulator.Trickle, Delay: 500 * time.Millisecond})},
		{name: "black hole", begin: injected(emulator.Fault{Kind: emulator.Slow, Delay: 10 * time.Minute})},
		{name: "reset", begin: injected(emulator.Fault{Kind: emulator.DropBefore})},
		{name: "refused", begin: dialing(errors.New("connection refused"))},
		{name: "DNS", begin: dialing(&net.DNSError{Err: "no such host", Name: "example", IsNotFound: true})},
		{name: "TLS", begin: dialing(errors.New("tls: failed to verify certificate"))},
	}
}

// Trouble of the account is not trouble of the event: whatever is wrong for an
// hour, every event is taken, none burns an attempt, and all of them arrive once
// when it is over.
func TestFault_TroubleOfTheAccount(t *testing.T) {
	want := ""
	inLab(t, labSetup{conn: ruleLead}, func(l *lab) { want = throughTrouble(l, nil, time.Hour) })
	for _, tr := range troubles() {
		t.Run(tr.name, func(t *testing.T) {
			inLab(t, labSetup{conn: ruleLead}, func(l *lab) {
				if diff := cmp.Diff(want, throughTrouble(l, &tr, time.Hour)); diff != "" {
					t.Errorf("not as without the trouble:\n%s", diff)
				}
			})
		})
	}
}

// The account is away for three days and nights; a week of give_up does not run
// meanwhile.
func TestFault_DownForThreeDays(t *testing.T) {
	down := trouble{name: "down", begin: injected(emulator.Fault{Kind: emulator.GiveStatus, Status: 503})}
	inLab(t, labSetup{conn: ruleLead, amocrm: "backoff: {first: 5s, max: 1h, give_up: 24h}\n"}, func(l *lab) {
		throughTrouble(l, &down, 72*time.Hour)
		if n := len(l.amo.Leads()); n != 20 {
			t.Errorf("%d leads of 20", n)
		}
	})
}

// throughTrouble has visitors come before and during the trouble, and returns
// what stands in amoCRM some time after it.
func throughTrouble(l *lab, tr *trouble, lasts time.Duration) string {
	all := visitors(20)
	end := func() {}
	for i, p := range all {
		if i == 5 && tr != nil {
			end = tr.begin(l)
		}
		l.tell(p.accepted())
		time.Sleep(lasts / 20)
	}
	end()
	over := time.Now()
	l.settle(time.Hour)
	if took := time.Since(over); tr != nil && took > 31*time.Minute {
		l.t.Errorf("settled %v after the trouble was over", took)
	}
	l.verdict()
	for _, ev := range l.events(store.Filter{Source: event.Jivo}) {
		if tr != nil && !tr.burns && ev.Attempts > 1 {
			l.t.Errorf("event %d burnt %d attempts: %s", ev.Seq, ev.Attempts, ev.Detail)
		}
	}
	return l.census()
}

// A long-lived token that amoCRM does not take is past its use, whatever end is
// written in it: the console calls it expired until it is taken again.
func TestFault_RejectedTokenShowsAsExpired(t *testing.T) {
	inLab(t, labSetup{conn: ruleLead}, func(l *lab) {
		stands := func() string {
			all, err := l.app.Connections(l.t.Context())
			if err != nil || len(all) != 1 {
				t.Fatalf("%v %v", all, err)
			}
			c := all[0]
			return fmt.Sprintf("%s %s, token %s %s", c.State, c.PauseReason, c.Token.Kind, c.Token.State)
		}
		before := stands()
		l.amo.Revoke()
		l.tell(visitors(1)[0].accepted())
		time.Sleep(time.Minute)
		if got := stands(); got != "paused unauthorized, token long_lived expired" {
			t.Errorf("while it is rejected: %s", got)
		}
		l.amo.AllowToken(e2eToken)
		l.settle(5 * time.Minute)
		if got := stands(); got != before || before != "ok , token long_lived ok" {
			t.Errorf("before: %s; after: %s", before, got)
		}
	})
}

// N8 of reliability.md: the access token is to be replaced and the bridge is
// killed at every moment of that: before, during and after the exchange. Then
// either the pair is good and everything arrives, or the state is needs_auth and
// one consent brings everything on.
func TestFault_TokenRotationSurvivesAKill(t *testing.T) {
	outcomes := map[string]int{}
	for at := 0; at <= 300; at += 20 {
		t.Run(fmt.Sprint(at, "ms"), func(t *testing.T) {
			set := labSetup{conn: ruleLead, amocrm: oauthBlock}
			inLabWithGrant(t, set, func(l *lab) {
				time.Sleep(24*time.Hour - 5*time.Minute - 30*time.Second) // it is replaced five minutes ahead
				posted := make(chan struct{})
				go func() { // the first request after that needs the new one
					defer close(posted)
					time.Sleep(time.Minute)
					l.post(visitors(1)[0].accepted())
				}()
				time.Sleep(time.Minute + time.Duration(at)*time.Millisecond)
				l.kill(time.Second)
				<-posted
				l.tell(visitors(2)[1].accepted())
				time.Sleep(10 * time.Minute)
				state := "usable"
				if len(l.app.Ready(l.t.Context())) > 0 {
					state = "needs_auth"
					if err := l.app.Exchange(l.t.Context(), e2eName, l.amo.Grant()); err != nil {
						t.Fatal(err)
					}
				}
				outcomes[state]++
				l.settle(time.Hour)
				l.verdict()
				if n := len(l.amo.Leads()); n < 1 {
					t.Errorf("%d leads", n)
				}
				if n := l.amo.Report().SpentRefreshes; n > 1 {
					t.Errorf("a spent refresh token was used %d times", n)
				}
			})
		})
	}
	t.Logf("%v", outcomes)
	if outcomes["usable"] == 0 {
		t.Error("the pair was never usable")
	}
}

const oauthBlock = `oauth: {client_id: 0a1b2c3d-0000-4000-8000-00000000c1d1, client_secret: emulated-client-secret, redirect_url: "https://bridge.example/oauth/amo"}
`

// inLabWithGrant is inLab for an account somebody consented to.
func inLabWithGrant(t *testing.T, set labSetup, test func(l *lab)) {
	t.Helper()
	set.consent = true
	inLab(t, set, test)
}

// Events that a clock of tomorrow put off are due when the clock is right again.
func TestFault_ClockThatRanAheadHoldsNothingUp(t *testing.T) {
	inLab(t, labSetup{conn: ruleLead}, func(l *lab) {
		end := injected(emulator.Fault{Kind: emulator.DropBefore})(l)
		l.tell(visitors(1)[0].accepted())
		time.Sleep(time.Second)
		l.stop()
		end()
		putOff(l, 24*time.Hour)
		began := time.Now()
		l.start()
		l.settle(10 * time.Hour)
		if took := time.Since(began); took > 10*time.Minute {
			l.t.Errorf("settled after %v", took)
		}
		l.verdict()
	})
}

// putOff has every pending event of a stopped bridge be due much later.
func putOff(l *lab, by time.Duration) {
	st, err := store.Open(store.Options{Path: l.file()})
	if err != nil {
		l.t.Fatal(err)
	}
	defer st.Close()
	err = st.Update(l.t.Context(), func(tx *store.Tx) error {
		evs, _, err := tx.Events(store.Filter{Connection: e2eName, State: event.Pending, Limit: 100})
		for _, ev := range evs {
			ev.NextAt = time.Now().Add(by)
			err = errors.Join(err, tx.Put(ev))
		}
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// What needs no restart is in force from the reload on: bounds, free space, the
// admin token (product.md §2).
func TestFault_ReloadTakesTheBoundsOver(t *testing.T) {
	inLab(t, labSetup{conn: ruleLead}, func(l *lab) {
		asked := func() int {
			req, err := http.NewRequestWithContext(l.t.Context(), http.MethodGet, "http://127.0.0.1:2/api/v1/connections", nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := (&http.Client{Transport: &http.Transport{DialContext: l.desk.dial, DisableKeepAlives: true}}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			return res.StatusCode
		}
		v := visitors(2)
		if got := [2]int{l.post(v[0].accepted()), asked()}; got != [2]int{http.StatusOK, http.StatusOK} {
			t.Fatalf("before: %v", got)
		}
		good := l.text
		l.text = replaceOnce(good, "free_space: 1MiB", "body: 1KiB, free_space: 1MiB")
		l.text = replaceOnce(l.text, "admin: {", "admin: {token: admin-token-0123456789, ")
		l.app.Reload()
		if got := [2]int{l.post(append(v[1].accepted(), bytes.Repeat([]byte(" "), 1024)...)), asked()}; got != [2]int{http.StatusRequestEntityTooLarge, http.StatusUnauthorized} {
			t.Errorf("smaller body, admin token: %v", got)
		}
		l.text = replaceOnce(good, "free_space: 1MiB", "free_space: 1000TiB")
		l.app.Reload()
		if got := l.post(v[1].accepted()); got != http.StatusServiceUnavailable {
			t.Errorf("no free space: %d", got)
		}
		l.text = good
		l.app.Reload()
		if got := [2]int{l.post(v[1].accepted()), asked()}; got != [2]int{http.StatusOK, http.StatusOK} {
			t.Errorf("as before: %v", got)
		}
		l.settle(time.Hour)
	})
}

// An account that two connections share goes on over a reload, though one of them
// has a marker field of its own: its pause, its names and its writes stay.
func TestFault_ReloadKeepsASharedAccount(t *testing.T) {
	inLab(t, labSetup{conn: ruleLead}, func(l *lab) {
		l.text += "  other:\n    jivo: {secret: other-secret-0123456789}\n    amocrm: {account: http://127.0.0.1:3, token: " + e2eToken + ", marker_field: Jivo ID 2}\n"
		l.app.Reload()
		l.ready()
		time.Sleep(time.Minute)
		before := l.amo.Report().Requests
		l.app.Reload()
		time.Sleep(10 * time.Second)
		if n := l.amo.Report().Requests - before; n != 0 {
			l.t.Errorf("%d requests because of a reload that changed nothing", n)
		}
	})
}

// Before the account's names could be read nothing is sent: the connection is shown
// as paused, readyz says why, and a chat waits; then all goes on by itself.
func TestFault_AccountThatCannotBeReadSaysWhy(t *testing.T) {
	inLab(t, labSetup{amocrm: "sweep: 3m\n"}, func(l *lab) {
		l.stop()
		l.text = replaceOnce(l.text, "  "+e2eName+":\n", "  anew:\n") // no dictionary of it is known
		forbidden := l.amo.Inject(emulator.Fault{PathPrefix: "/api/v4/leads/pipelines", Kind: emulator.GiveStatus, Status: http.StatusForbidden, Times: 1000})
		l.start()
		time.Sleep(10 * time.Minute)
		problems := l.app.Ready(l.t.Context())
		if len(problems) != 1 || !strings.Contains(problems[0].What, "dictionary was not read yet: read pipelines: amocrm: ") {
			l.t.Errorf("readyz says %v", problems)
		}
		state := func(want, why string) {
			l.t.Helper()
			conns, err := l.app.Connections(l.t.Context())
			if err != nil || conns[0].Name != "anew" || conns[0].State != want || conns[0].PauseReason != why {
				l.t.Errorf("%v, the connection is %+v", err, conns)
			}
		}
		state("paused", "no_dictionary")
		forbidden.Remove()
		l.ready()
		state("ok", "")
	})
}

// hanging is a way on which writes never come to an end by themselves.
type hanging struct{ http.RoundTripper }

func (h hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return h.RoundTripper.RoundTrip(r)
}

// Accounts that a reload changes while their writes hang hold the others up once,
// however many they are.
func TestFault_ReloadWaitsOnceForAllThatHang(t *testing.T) {
	set := labSetup{amocrm: "sweep: 3m\nsetup: manual\n", between: func(w *wire) http.RoundTripper { return hanging{w} }}
	inLab(t, set, func(l *lab) {
		for port := 5; port < 9; port++ {
			l.text += fmt.Sprintf("  shop%d:\n    jivo: {secret: %s}\n    amocrm: {account: \"http://127.0.0.1:%d\", token: %s, sweep: 3m}\n", port, e2eSecret, port, e2eToken)
		}
		l.app.Reload()
		l.ready()
		c := &http.Client{Transport: &http.Transport{DialContext: l.door.dial, DisableKeepAlives: true}}
		for port := 5; port < 9; port++ {
			res, err := c.Post(fmt.Sprintf("http://bridge/jivo/shop%d/%s", port, e2eSecret), "application/json", bytes.NewReader(ivan().accepted()))
			if err != nil {
				l.t.Fatal(err)
			}
			_ = res.Body.Close()
		}
		l.text = strings.ReplaceAll(l.text, "sweep: 3m", "sweep: 4m")
		began := time.Now()
		l.app.Reload()
		if took := time.Since(began); took < time.Second || took > 5*time.Second {
			t.Errorf("the reload took %v", took)
		}
	})
}

// What a shared account does counts for a connection that is there: for the next one,
// when the first is taken out of the config.
func TestFault_ReloadCountsForAConnectionThatIsThere(t *testing.T) {
	inLab(t, labSetup{}, func(l *lab) {
		l.text += "  other:\n    jivo: {secret: other-secret-0123456789}\n    amocrm: {account: http://127.0.0.1:3, token: " + e2eToken + "}\n"
		l.app.Reload()
		l.ready()
		before, after, _ := strings.Cut(l.text, "  "+e2eName+":\n")
		l.text = before + "  other:\n" + strings.SplitN(after, "  other:\n", 2)[1]
		l.app.Reload()
		time.Sleep(time.Hour)
		if !slices.ContainsFunc(l.scrape(), func(line string) bool {
			return strings.HasPrefix(line, `bridge_amocrm_requests_total{code="200",connection="other",`)
		}) {
			l.t.Error("nothing was counted for the connection that is left")
		}
	})
}

// A config that is wrong is refused on reload and the old one stays; a
// connection that is gone answers 404 and its queue waits until the name returns.
func TestFault_ReloadKeepsWhatWaits(t *testing.T) {
	inLab(t, labSetup{conn: ruleLead}, func(l *lab) {
		good := l.text
		l.text = "listen: [this is wrong"
		l.app.Reload()
		l.tell(visitors(1)[0].accepted())
		end := injected(emulator.Fault{Kind: emulator.GiveStatus, Status: 503})(l)
		l.tell(visitors(2)[1].accepted())
		time.Sleep(time.Second)
		l.text = good + "  other:\n    jivo: {secret: other-secret-0123456789}\n    amocrm: {account: http://127.0.0.1:4, token: " + e2eToken + "}\n"
		l.text = replaceOnce(l.text, "  "+e2eName+":\n", "  renamed:\n")
		l.app.Reload()
		if got := l.post(visitors(3)[2].accepted()); got != http.StatusNotFound {
			t.Errorf("a removed connection answers %d", got)
		}
		end()
		time.Sleep(time.Hour)
		if c := l.app.Store().Counts(e2eName); c.Pending != 1 {
			t.Errorf("the queue of a removed connection: %+v", c)
		}
		l.text = good
		l.app.Reload()
		l.settle(time.Hour)
		l.verdict()
		if n := len(l.amo.Leads()); n != 2 {
			t.Errorf("%d leads", n)
		}
	})
}
