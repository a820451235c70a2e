package console

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/jivo-amocrm/bridge/internal/amocrm/hook"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// reported is a registry after every method was called once.
func reported(t *testing.T) (*prometheus.Registry, *Metrics) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	m := NewMetrics(reg, "v1.2.3", []string{"chat_accepted", "chat_updated"})
	m.Received("shop", event.Jivo, "chat_accepted")
	m.Refused("shop", event.Jivo, "full")
	m.Acked(event.Jivo, time.Millisecond)
	m.Replied("chat_accepted", time.Millisecond)
	m.Settled("shop", event.Jivo, "chat_accepted", event.Done, 1.5)
	m.InDoubt("shop", "found")
	m.Card("shop", "fresh")
	m.Unresolved("shop", 2)
	m.StoreCommit(0.001)
	a := m.Account("shop")
	a.Request("POST", "leads/complex", "200", time.Second)
	a.Batch("leads/complex", 12)
	a.LimiterWait(time.Millisecond)
	WatchGauges(reg, func() Gauges {
		return Gauges{StoreSize: 4096, Connections: []ConnectionGauges{{
			Name: "shop", Pending: 3, Parked: 2, Dead: 1, Oldest: time.Now().Add(-time.Minute),
			Paused: "banned", TokenExpires: time.Unix(1795000000, 0), LastHook: time.Now().Add(-time.Hour),
		}, {Name: "new"}}}
	})
	return reg, m
}

func TestMetrics_NamesAndLabelsAreTheContract(t *testing.T) {
	reg, _ := reported(t)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "bridge_") {
			continue
		}
		labels := map[string]bool{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = true
			}
		}
		var names []string
		for l := range labels {
			names = append(names, l)
		}
		sort.Strings(names)
		lines = append(lines, fmt.Sprintf("%s %s{%s}", strings.ToLower(f.GetType().String()), f.GetName(), strings.Join(names, ",")))
	}
	slices.Sort(lines)
	golden(t, "metrics.txt", []byte(strings.Join(lines, "\n")+"\n"))
}

func TestMetrics_PassTheLinter(t *testing.T) {
	reg, _ := reported(t)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "bridge_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestMetrics_LabelsNeverComeFromASender(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg, "v1", []string{"chat_accepted"})
	for _, kind := range []string{"chat_started", "", "leads.exploded", "other"} {
		m.Received("shop", event.Jivo, kind)
	}
	m.Received("shop", event.AmoCRM, "leads.status")
	m.Received("shop", event.AmoCRM, "unsorted.delete")
	a := m.Account("shop")
	for _, code := range []string{"error", "", "999", "429"} {
		a.Request("GET", "leads", code, time.Second)
	}
	want := `
# HELP bridge_amocrm_requests_total Requests to amoCRM; code is none when no answer came.
# TYPE bridge_amocrm_requests_total counter
bridge_amocrm_requests_total{code="429",connection="shop",endpoint="leads",method="GET"} 1
bridge_amocrm_requests_total{code="none",connection="shop",endpoint="leads",method="GET"} 3
# HELP bridge_events_received_total Events acknowledged, that is on disk.
# TYPE bridge_events_received_total counter
bridge_events_received_total{connection="shop",kind="leads.status",source="amocrm"} 1
bridge_events_received_total{connection="shop",kind="unsorted.delete",source="amocrm"} 1
bridge_events_received_total{connection="shop",kind="other",source="jivo"} 4
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "bridge_events_received_total", "bridge_amocrm_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestMetrics_EveryHookThatHasANameIsCountedUnderIt(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry(), "v1", nil)
	for _, kind := range hook.Kinds() {
		if got := m.kind(kind); got != kind {
			t.Errorf("%s is counted as %q", kind, got)
		}
	}
}

func TestGauges_AreOfTheMomentOfTheScrape(t *testing.T) {
	state := Gauges{StoreSize: 1, Connections: []ConnectionGauges{{Name: "shop", Pending: 3, Oldest: time.Now().Add(time.Hour)}}}
	reg := prometheus.NewPedanticRegistry()
	WatchGauges(reg, func() Gauges { return state })
	expect := func(want string, names ...string) {
		t.Helper()
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
			t.Error(err)
		}
	}
	expect(`
# HELP bridge_events Events that are not settled for good.
# TYPE bridge_events gauge
bridge_events{connection="shop",state="dead"} 0
bridge_events{connection="shop",state="parked"} 0
bridge_events{connection="shop",state="pending"} 3
# HELP bridge_oldest_pending_seconds Age of the oldest pending event, 0 if there is none.
# TYPE bridge_oldest_pending_seconds gauge
bridge_oldest_pending_seconds{connection="shop"} 0
`, "bridge_events", "bridge_oldest_pending_seconds", "bridge_hook_age_seconds", "bridge_token_expiry_timestamp_seconds")

	state.Connections[0].Paused = "banned"
	state.Connections[0].TokenExpires = time.Unix(1795000000, 0)
	expect(`
# HELP bridge_amocrm_paused 1 while nothing is sent to amoCRM, by reason.
# TYPE bridge_amocrm_paused gauge
bridge_amocrm_paused{connection="shop",reason="bad_answer"} 0
bridge_amocrm_paused{connection="shop",reason="banned"} 1
bridge_amocrm_paused{connection="shop",reason="needs_auth"} 0
bridge_amocrm_paused{connection="shop",reason="rate_limited"} 0
bridge_amocrm_paused{connection="shop",reason="unauthorized"} 0
bridge_amocrm_paused{connection="shop",reason="unavailable"} 0
bridge_amocrm_paused{connection="shop",reason="unpaid"} 0
bridge_amocrm_paused{connection="shop",reason="unreachable"} 0
# HELP bridge_token_expiry_timestamp_seconds When the connection's token ends.
# TYPE bridge_token_expiry_timestamp_seconds gauge
bridge_token_expiry_timestamp_seconds{connection="shop"} 1.795e+09
`, "bridge_amocrm_paused", "bridge_token_expiry_timestamp_seconds")
}

// What is removed from the config sends nothing and alarms nobody, but what waits
// in it can be seen.
func TestGauges_OfARemovedConnectionAreItsCounts(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	WatchGauges(reg, func() Gauges {
		return Gauges{Connections: []ConnectionGauges{{Name: "gone", Removed: true, Pending: 3, Dead: 1, Oldest: time.Unix(1, 0), Paused: "banned", LastHook: time.Unix(1, 0)}}}
	})
	const want = `
# HELP bridge_events Events that are not settled for good.
# TYPE bridge_events gauge
bridge_events{connection="gone",state="dead"} 1
bridge_events{connection="gone",state="parked"} 0
bridge_events{connection="gone",state="pending"} 3
`
	names := []string{"bridge_events", "bridge_oldest_pending_seconds", "bridge_amocrm_paused", "bridge_hook_age_seconds"}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

func TestMetrics_DroppedConnectionLeavesNoGauge(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg, "v1", nil)
	m.Unresolved("shop", 2)
	m.Drop("shop")
	if n, err := testutil.GatherAndCount(reg, "bridge_unresolved_names"); err != nil || n != 0 {
		t.Errorf("%d series left, %v", n, err)
	}
}

func TestMetrics_AreServed(t *testing.T) {
	reg, _ := reported(t)
	s := New(Config{Token: adminToken}, sample(), reg, discard())
	w := ask(s, "GET", "/metrics", "")
	for _, want := range []string{`bridge_build_info{`, `version="v1.2.3"`, "go_goroutines", "bridge_config_last_reload_successful 1"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s", want)
		}
	}
	if w.Code != 200 {
		t.Errorf("status %d", w.Code)
	}
	if w := httptest.NewRecorder(); true {
		s.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		if w.Code != 401 {
			t.Errorf("without token: %d", w.Code)
		}
	}
}

func TestMetrics_AConnectionHasItsSeriesBeforeAnythingHappens(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	NewMetrics(reg, "v1", nil).Meet("shop")
	for name, want := range map[string]int{"bridge_in_doubt_total": 3, "bridge_reply_card_total": 3, "bridge_unresolved_names": 1} {
		if n, err := testutil.GatherAndCount(reg, name); err != nil || n != want {
			t.Errorf("%s: %d series, want %d (%v)", name, n, want, err)
		}
	}
}
