// Package deploy_test holds what is shipped beside the program to what the
// program has: metrics, labels, words and config keys.
package deploy_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/console"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
)

// family is one metric of the program.
type family struct {
	histogram bool
	labels    []string
	values    map[string][]string // by label, as gathered
}

// program is every bridge_* metric that the program registers.
func program(t *testing.T) map[string]family {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	m := console.NewMetrics(reg, "v1", jivo.Kinds())
	m.Received("shop", event.Jivo, "chat_accepted")
	m.Refused("shop", event.Jivo, "full")
	m.Acked(event.Jivo, time.Millisecond)
	m.Replied("chat_accepted", time.Millisecond)
	m.Settled("shop", event.Jivo, "chat_accepted", event.Done, 1)
	m.InDoubt("shop", "found")
	m.Card("shop", "fresh")
	m.Unresolved("shop", 1)
	m.StoreCommit(0.001)
	a := m.Account("shop")
	a.Request("POST", "leads", "200", time.Second)
	a.Batch("leads", 2)
	a.LimiterWait(time.Second)
	console.WatchGauges(reg, func() console.Gauges {
		return console.Gauges{Connections: []console.ConnectionGauges{{Name: "shop", TokenExpires: time.Unix(1, 0), LastHook: time.Unix(1, 0)}}}
	})
	gathered, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]family{}
	for _, f := range gathered {
		if strings.HasPrefix(f.GetName(), "bridge_") {
			out[f.GetName()] = familyOf(f)
		}
	}
	everyOneIsGathered(t, reg, out)
	return out
}

func familyOf(f *dto.MetricFamily) family {
	out := family{histogram: f.GetType() == dto.MetricType_HISTOGRAM, values: map[string][]string{}}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if !slices.Contains(out.labels, l.GetName()) {
				out.labels = append(out.labels, l.GetName())
			}
			out.values[l.GetName()] = append(out.values[l.GetName()], l.GetValue())
		}
	}
	return out
}

// everyOneIsGathered fails when a metric was added that program does not touch.
func everyOneIsGathered(t *testing.T, reg *prometheus.Registry, have map[string]family) {
	t.Helper()
	descs := make(chan *prometheus.Desc, 1000)
	reg.Describe(descs)
	close(descs)
	name := regexp.MustCompile(`fqName: "(bridge_[^"]+)"`)
	for d := range descs {
		if m := name.FindStringSubmatch(d.String()); m != nil && have[m[1]].values == nil {
			t.Errorf("%s is registered, but not gathered by this test: call its method in program", m[1])
		}
	}
}

// refusals are intake's words for events_refused_total{why}.
func refusals(t *testing.T) (words []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../internal/intake/exchange.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && strings.HasPrefix(spec.Names[0].Name, "why") && len(spec.Values) == 1 {
			word, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			words = append(words, word)
		}
		return true
	})
	if len(words) == 0 {
		t.Fatal("intake has no words of refusal any more")
	}
	return words
}

// language is what expressions may say.
type language struct {
	metrics map[string]family
	words   map[string][]string // closed sets, by label
}

func newLanguage(t *testing.T) language {
	t.Helper()
	l := language{metrics: program(t), words: map[string][]string{
		"source": {string(event.Jivo), string(event.AmoCRM)},
		"state":  {string(event.Pending), string(event.Parked), string(event.Done), string(event.Skipped), string(event.Dead)},
		"kind":   jivo.Kinds(),
		"result": {"fresh", "stale", "none"}, // product.md §5
		"why":    refusals(t),
	}}
	l.words["reason"] = l.metrics["bridge_amocrm_paused"].values["reason"]
	return l
}

var (
	selector = regexp.MustCompile(`\b(bridge_[a-z0-9_]+)\s*(\{[^}]*\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(by|on|ignoring|group_left|without)\s*\(([^)]*)\)`)
	template = regexp.MustCompile(`\{\{\s*(?:\$labels\.)?([a-z_]+)`)
)

// faults lists what in an expression the program does not have, and in texts
// the labels that its result does not carry.
func (l language) faults(expr string, texts ...string) (found []string) {
	say := func(format string, a ...any) { found = append(found, fmt.Sprintf(format, a...)) }
	known := []string{"instance", "job"}
	for _, s := range selector.FindAllStringSubmatch(expr, -1) {
		f, ok := l.metric(s[1])
		if !ok {
			say("no metric %s", s[1])
			continue
		}
		if f.histogram {
			known = append(known, "le")
		}
		known = append(known, f.labels...)
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			if !slices.Contains(f.labels, m[1]) {
				say("%s has no label %s", s[1], m[1])
			}
			for _, word := range strings.Split(m[3], "|") {
				if set, closed := l.words[m[1]]; closed && word != "" && !slices.Contains(set, word) {
					say("%s is never %q", m[1], word)
				}
			}
		}
	}
	carried := known
	if strings.Contains(expr, "by (") {
		carried = nil
	}
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(g[2], ",") {
			if label = strings.TrimSpace(label); label != "" && !slices.Contains(known, label) {
				say("%s (%s): no such label", g[1], label)
			}
			if g[1] == "by" {
				carried = append(carried, label)
			}
		}
	}
	for _, text := range texts {
		for _, m := range template.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(carried, m[1]) {
				say("the text names %s, which the result has not", m[1])
			}
		}
	}
	return found
}

// metric finds a metric by the name of one of its series.
func (l language) metric(name string) (family, bool) {
	if f, ok := l.metrics[name]; ok {
		return f, !f.histogram // a histogram is not a series of its own
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, is := strings.CutSuffix(name, suffix); is {
			f := l.metrics[base]
			return f, f.histogram
		}
	}
	return family{}, false
}

func TestFaults_AreFound(t *testing.T) {
	l := newLanguage(t)
	for expr, want := range map[string]string{
		`bridge_events{state="dead"} > 0`:                                "",
		`sum by (le) (rate(bridge_store_commit_seconds_bucket[5m]))`:     "",
		`bridge_event{state="dead"}`:                                     "no metric bridge_event",
		`rate(bridge_ack_seconds[5m])`:                                   "no metric bridge_ack_seconds",
		`bridge_events_bucket`:                                           "no metric bridge_events_bucket",
		`bridge_events{reason="refused"}`:                                "has no label reason",
		`bridge_events{state=~"dead|gone"}`:                              `never "gone"`,
		`bridge_amocrm_paused{reason="tired"}`:                           `never "tired"`,
		`bridge_events_refused_total{why="no_time"}`:                     `never "no_time"`,
		`sum by (kind) (bridge_events)`:                                  "by (kind)",
		`bridge_events unless on (endpoint) bridge_hook_age_seconds > 1`: "on (endpoint)",
	} {
		got := strings.Join(l.faults(expr), "; ")
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
	if l.faults(`sum by (connection) (bridge_events)`, "{{ $labels.state }}") == nil || l.faults(`bridge_events`, "{{state}}", "{{ $value }}") != nil {
		t.Error("texts are not held to the labels of the result")
	}
}

type rules struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	} `yaml:"groups"`
}

type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func TestRules_NameOnlyWhatTheProgramHasAndSayWhatToDo(t *testing.T) {
	l := newLanguage(t)
	var all rules
	readYAML(t, "prometheus/rules.yml", &all)
	seen := map[string]bool{}
	for _, g := range all.Groups {
		for _, r := range g.Rules {
			if seen[r.Alert] {
				t.Errorf("%s stands twice", r.Alert)
			}
			seen[r.Alert] = true
			for _, text := range []string{"summary", "description", "runbook"} {
				if r.Annotations[text] == "" {
					t.Errorf("%s has no %s", r.Alert, text)
				}
			}
			if s := r.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s: severity %q", r.Alert, s)
			}
			if _, err := time.ParseDuration(r.For); r.For != "" && err != nil {
				t.Errorf("%s: %v", r.Alert, err)
			}
			for _, fault := range l.faults(r.Expr, r.Annotations["summary"], r.Annotations["description"], r.Annotations["runbook"]) {
				t.Errorf("%s: %s", r.Alert, fault)
			}
		}
	}
	if len(seen) == 0 {
		t.Fatal("no alerts")
	}
}

type dashboard struct {
	Templating struct {
		List []struct {
			Name  string
			Query any
		}
	}
	Panels []panel
}

type panel struct {
	ID      int
	Type    string
	Title   string
	GridPos struct{ H, W, X, Y int }
	Targets []struct{ Expr, LegendFormat string }
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	raw, err := os.ReadFile("grafana/bridge.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDashboard_ShowsEveryMetricAndNoOther(t *testing.T) {
	l := newLanguage(t)
	shown := ""
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			// Grafana's variables stand for any connection and any range.
			expr := strings.NewReplacer("$connection|", "", "$connection", "").Replace(target.Expr)
			for _, fault := range l.faults(expr, target.LegendFormat) {
				t.Errorf("%s: %s", p.Title, fault)
			}
			shown += expr + "\n"
		}
	}
	for name, f := range l.metrics {
		pattern := regexp.QuoteMeta(name) + `\b`
		if f.histogram {
			pattern = regexp.QuoteMeta(name) + `_(bucket|sum)\b`
		}
		if !regexp.MustCompile(pattern).MatchString(shown) {
			t.Errorf("%s is not shown", name)
		}
	}
}

func TestDashboard_PanelsHaveAPlaceOfTheirOwn(t *testing.T) {
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range readDashboard(t).Panels {
		if p.Title == "" || ids[p.ID] || (p.Type != "row" && len(p.Targets) == 0) {
			t.Errorf("panel %d %q: no title, an id used twice, or nothing shown", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, is := taken[[2]int{x, y}]; is || x >= 24 {
					t.Fatalf("%q stands on %q or outside", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

type compose struct {
	Services map[string]struct {
		Secrets []string `yaml:"secrets"`
		Volumes []string `yaml:"volumes"`
	} `yaml:"services"`
	Secrets map[string]any `yaml:"secrets"`
}

func TestCompose_GivesTheConfigItsSecrets(t *testing.T) {
	var c compose
	readYAML(t, "container/compose.yaml", &c)
	raw, err := os.ReadFile("container/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	read := func(path string) ([]byte, error) {
		name, in := strings.CutPrefix(path, "/run/secrets/")
		if !in || !slices.Contains(c.Services["bridge"].Secrets, name) {
			return nil, os.ErrNotExist
		}
		return []byte("a-secret-of-24-characters"), nil
	}
	nothing := func(string) (string, bool) { return "", false }
	cfg, problems := config.Parse("config.yaml", raw, nothing, read, config.Vocabulary{Kinds: jivo.Kinds(), Schema: jivo.Schema})
	if problems != nil {
		t.Fatal(problems)
	}
	if cfg.Data != "/data" {
		t.Errorf("data is %q, which is not the volume", cfg.Data)
	}
	for name, s := range c.Services {
		for _, secret := range s.Secrets {
			if c.Secrets[secret] == nil {
				t.Errorf("%s wants the secret %s, which is not declared", name, secret)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if !strings.HasPrefix(from, ".") {
				continue
			}
			if _, err := os.Stat("container/" + from); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestUnit_HandsOverTheCredentialsItSpeaksOf(t *testing.T) {
	raw, err := os.ReadFile("systemd/bridge.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := string(raw)
	for _, m := range regexp.MustCompile(`/run/credentials/bridge\.service/([a-z_]+)`).FindAllStringSubmatch(unit, -1) {
		if !strings.Contains(unit, "\nLoadCredential="+m[1]+":") {
			t.Errorf("no LoadCredential for %s", m[1])
		}
	}
	for _, must := range []string{"ExecReload=/bin/kill -HUP $MAINPID", "Restart=on-failure", "NoNewPrivileges=yes", "ProtectSystem=strict", "StateDirectory=bridge", "DynamicUser=yes"} {
		if !strings.Contains(unit, "\n"+must+"\n") {
			t.Errorf("the unit lacks %s", must)
		}
	}
}

func TestProvisioning_IsYAMLAndNamesFilesThatExist(t *testing.T) {
	for _, path := range []string{"grafana/provisioning/datasources/prometheus.yml", "grafana/provisioning/dashboards/bridge.yml"} {
		var any map[string]any
		readYAML(t, path, &any)
	}
	var p struct {
		RuleFiles []string `yaml:"rule_files"`
	}
	readYAML(t, "prometheus/prometheus.yml", &p)
	if len(p.RuleFiles) == 0 {
		t.Error("Prometheus reads no rules")
	}
	for _, f := range p.RuleFiles {
		if _, err := os.Stat("prometheus/" + f); err != nil {
			t.Error(err)
		}
	}
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(raw, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
