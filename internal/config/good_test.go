package config_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/mapping"
)

// ten is a config of ten lines, which is enough (product.md §2).
const ten = `public_url: https://bridge.example.com/
connections:
  shop:
    jivo:
      secret: ${JIVO_SECRET}
    amocrm:
      account: https://example.amocrm.ru/
      token: ${AMOCRM_TOKEN}
      webhook_secret: ${AMOCRM_WEBHOOK_SECRET}
    agents: {"*": owner@example.com}
`

// good parses a config that must be accepted.
func good(t *testing.T, data string) *config.Config {
	t.Helper()
	cfg, problems := parse(data)
	if problems != nil {
		t.Fatalf("refused:\n%v", problems)
	}
	return cfg
}

// with is ten with lines put under the connection.
func with(lines string) string { return ten + lines }

func TestParse_TenLinesAreEnough(t *testing.T) {
	t.Parallel()
	cfg := good(t, ten)
	conn := cfg.Connection("shop")
	if conn == nil || cfg.Connection("other") != nil || len(cfg.Connections) != 1 {
		t.Fatal("no connection shop alone")
	}
	a := conn.AmoCRM
	for _, c := range []struct {
		key       string
		got, want any
	}{
		{"listen", cfg.Listen, ":8080"},
		{"public_url", cfg.PublicURL, "https://bridge.example.com"},
		{"data", cfg.Data, "./data"},
		{"tls", cfg.TLS, config.TLS{}},
		{"limits", cfg.Limits, config.Limits{Body: 4 << 20, Backlog: 1000000, FreeSpace: 256 << 20}},
		{"retention", cfg.Retention, config.Retention{Events: 720 * time.Hour, Bodies: 168 * time.Hour, Dead: 2160 * time.Hour}},
		{"log", cfg.Log, config.Log{Level: slog.LevelInfo, Format: "text"}},
		{"admin.listen", cfg.Admin.Listen, "127.0.0.1:9090"},
		{"admin.token", cfg.Admin.Token.IsZero(), true},
		{"language", conn.Language, "ru"},
		{"timezone", conn.Location == nil, true},
		{"region", conn.Region, ""},
		{"jivo.secret", len(conn.Jivo.Secrets), 1},
		{"jivo.channels", conn.Jivo.Channels, []string(nil)},
		{"account", a.Account, "https://example.amocrm.ru"},
		{"host", a.Host, "example.amocrm.ru"},
		{"oauth", a.OAuth == nil, true},
		{"requests_per_second", a.RequestsPerSecond, 7.0},
		{"batch", a.Batch, 50},
		{"timeout", a.Timeout, 15 * time.Second},
		{"backoff", a.Backoff, config.Backoff{First: 5 * time.Second, Max: time.Hour, GiveUp: 168 * time.Hour}},
		{"probe", a.Probe, time.Minute},
		{"sweep", a.Sweep, 5 * time.Minute},
		{"refresh", a.Refresh, time.Hour},
		{"in_doubt_after", a.InDoubtAfter, 10 * time.Second},
		{"marker_field", a.MarkerField, "Jivo ID"},
		{"contacts_sync", a.ContactsSync, true},
		{"setup", a.SetupAuto, false},
		{"agents", conn.Agents, map[string]string{"*": "owner@example.com"}},
		{"work_hours", conn.WorkHours == nil, true},
		{"deals.stages", len(conn.Stages), 0},
		{"tables", len(conn.Tables), 0},
		{"anonymous", conn.Anonymous, "hold"},
		{"anonymous_hold", conn.AnonymousHold, 720 * time.Hour},
		{"park", conn.Park, 10 * time.Minute},
		{"rules", conn.DefaultRules, true},
		{"builtin", conn.Builtin, config.Builtin{Deals: true, Tasks: true, Clients: true, BlacklistTag: true, DeletedTag: true, Categories: true}},
		{"reply.wait", conn.Reply.Wait, 1500 * time.Millisecond},
		{"reply.crm_link", conn.Reply.CRMLink, "lead"},
		{"reply.contact_info", conn.Reply.ContactInfo, false},
		{"reply.enable_assign", conn.Reply.EnableAssign, "auto"},
		{"reply.custom_data", conn.Reply.CustomData == nil, true},
		{"program", conn.Program != nil, true},
		{"warnings", len(cfg.Warnings), 0},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.key, diff)
		}
	}
	if len(conn.Rules) == 0 || conn.Rules[0].Line != 0 || conn.Rules[0].When.Line != 0 || !conn.Rules[0].When.Set {
		t.Error("the default rules are not there, or claim a place in the file")
	}
}

// TestParse_DefaultRulesCompileInEveryLanguage also pins which host speaks what.
func TestParse_DefaultRulesCompileInEveryLanguage(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"ru", "en", "pt", "es"} {
		conn := good(t, with("    language: "+language+"\n")).Connections[0]
		if conn.Program == nil || conn.Language != language {
			t.Errorf("%s: no program", language)
		}
	}
	for host, language := range map[string]string{
		"https://a.amocrm.ru": "ru", "https://a.amocrm.com": "en", "https://a.kommo.com": "en", "http://127.0.0.1:8081": "en",
	} {
		conn := good(t, strings.Replace(ten, "https://example.amocrm.ru/", host, 1)).Connections[0]
		if conn.Language != language {
			t.Errorf("%s speaks %s", host, conn.Language)
		}
	}
}

func TestParse_TakesEveryFormOfAValue(t *testing.T) {
	t.Parallel()
	conn := func(c *config.Config) *config.Connection { return c.Connections[0] }
	for _, c := range []struct {
		name, data string
		got        func(*config.Config) any
		want       any
	}{
		{"weeks and days", "retention: {events: 1w2d, dead: 1.5d}\n" + ten, func(c *config.Config) any { return c.Retention },
			config.Retention{Events: 216 * time.Hour, Bodies: 168 * time.Hour, Dead: 36 * time.Hour}},
		{"sizes", "limits: {body: 512KiB, free_space: 1GB}\n" + ten, func(c *config.Config) any { return c.Limits },
			config.Limits{Body: 512 << 10, Backlog: 1000000, FreeSpace: 1e9}},
		{"a size in bytes", "limits: {body: 65536}\n" + ten, func(c *config.Config) any { return c.Limits.Body }, int64(65536)},
		{"no disk kept free", "limits: {free_space: 0}\n" + ten, func(c *config.Config) any { return c.Limits.FreeSpace }, int64(0)},
		{"zero needs no unit", with("    reply: {wait: 0}\n    park: 0\n"), func(c *config.Config) any { return conn(c).Reply.Wait + conn(c).Park }, time.Duration(0)},
		{"numbers from outside", strings.Replace(ten, "      token:", "      requests_per_second: ${RPS}\n      batch: \"${BATCH}\"\n      token:", 1),
			func(c *config.Config) any {
				return []any{conn(c).AmoCRM.RequestsPerSecond, conn(c).AmoCRM.Batch}
			}, []any{3.5, 20}},
		{"true is on", with("    builtin: {deals: false, tasks: true, clients: off}\n"), func(c *config.Config) any { return conn(c).Builtin },
			config.Builtin{Tasks: true, BlacklistTag: true, DeletedTag: true, Categories: true}},
		{"assign", with("    reply: {enable_assign: true}\n"), func(c *config.Config) any { return conn(c).Reply.EnableAssign }, "on"},
		{"ids without quotes", strings.Replace(with("    deals: {stages: {20: {pipeline: 77, stage: 142}}}\n    tables: {t: {1: 2.50}}\n"), "    amocrm:", "      channels: [3948, a]\n    amocrm:", 1),
			func(c *config.Config) any { return []any{conn(c).Stages, conn(c).Tables, conn(c).Jivo.Channels} },
			[]any{[]config.DealStage{{Jivo: "20", Pipeline: "77", Stage: "142"}}, map[string]map[string]string{"t": {"1": "2.50"}}, []string{"3948", "a"}}},
		{"country in small letters", with("    region: br\n"), func(c *config.Config) any { return conn(c).Region }, "BR"},
		{"time zone", with("    timezone: Asia/Omsk\n"), func(c *config.Config) any { return conn(c).Location.String() }, "Asia/Omsk"},
		{"work hours over the week's end", with("    work_hours: {days: 'sat-mon, wed', from: \"09:30\", to: \"24:00\"}\n"), func(c *config.Config) any { return *conn(c).WorkHours },
			config.WorkHours{Days: [7]bool{0: true, 1: true, 3: true, 6: true}, From: 9*time.Hour + 30*time.Minute, To: 24 * time.Hour}},
		{"no rules at all", with("    rules: []\n"), func(c *config.Config) any { return []any{len(conn(c).Rules), conn(c).DefaultRules} }, []any{0, false}},
		{"no lines at all", with("    reply: {custom_data: []}\n"), func(c *config.Config) any { return conn(c).Reply.CustomData != nil }, true},
		{"loopback by http", strings.Replace(ten, "https://example.amocrm.ru/", "http://LOCALHOST:8081", 1), func(c *config.Config) any { return conn(c).AmoCRM.Account }, "http://localhost:8081"},
		{"admin on IPv6 loopback", "admin: {listen: \"[::1]:9090\"}\n" + ten, func(c *config.Config) any { return c.Admin.Listen }, "[::1]:9090"},
		{"tls by files", "tls: {cert: a.pem, key: b.pem}\n" + ten, func(c *config.Config) any { return c.TLS }, config.TLS{Cert: "a.pem", Key: "b.pem"}},
		{"tls by domains", "tls: {domains: [A.example.com], email: a@b.c}\n" + ten, func(c *config.Config) any { return c.TLS }, config.TLS{Domains: []string{"a.example.com"}, Email: "a@b.c"}},
		{"tls of the documentation", "tls: {cert: \"\", key: \"\"}\n" + ten, func(c *config.Config) any { return c.TLS }, config.TLS{}},
		{"byte order mark and CRLF", "\ufeff" + strings.ReplaceAll(ten, "\n", "\r\n"), func(c *config.Config) any { return conn(c).AmoCRM.Host }, "example.amocrm.ru"},
		{"a document's beginning", "---\n" + ten, func(c *config.Config) any { return conn(c).Name }, "shop"},
		{"block text", with("    tables:\n      t:\n        a: |\n          one\n          two\n"), func(c *config.Config) any { return conn(c).Tables["t"]["a"] }, "one\ntwo\n"},
		{"escape", with("    tables: {t: {a: 'x $${JIVO_SECRET} $ $$'}}\n"), func(c *config.Config) any { return conn(c).Tables["t"]["a"] }, "x ${JIVO_SECRET} $ $$"},
		{"parts", with("    tables: {t: {a: '<${RPS}|${BATCH}>'}}\n"), func(c *config.Config) any { return conn(c).Tables["t"]["a"] }, "<3.5|20>"},
		{"one newline of a file", with("    tables: {t: {a: '${file:/run/secrets/two-lines}'}}\n"), func(c *config.Config) any { return conn(c).Tables["t"]["a"] }, canary + "-line\n"},
		{"redirect by default", strings.Replace(ten, "token: ${AMOCRM_TOKEN}", "oauth: {client_id: id, client_secret: \"${AMOCRM_CLIENT_SECRET}\"}", 1),
			func(c *config.Config) any { return conn(c).AmoCRM.OAuth.RedirectURL }, "https://bridge.example.com/oauth/shop"},
		{"find", with("    rules:\n      - name: x\n        on: [chat_accepted]\n        lead: {find: [chat, recent: 7d, open_any], create: false}\n"),
			func(c *config.Config) any {
				var by []string
				for _, f := range conn(c).Rules[0].Lead.Find {
					by = append(by, f.Value)
				}
				return append(by, map[bool]string{true: "create", false: "no create"}[*conn(c).Rules[0].Lead.Create])
			}, []string{"chat", "recent: 7d", "open_any", "no create"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, c.got(good(t, c.data))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestParse_RuleTextsKnowTheirPlace: a compile error points where the text
// begins, inside its quotes.
func TestParse_RuleTextsKnowTheirPlace(t *testing.T) {
	t.Parallel()
	data := with(`    rules:
      - name: 'x'
        on: [chat_accepted, "chat_finished"]
        when: known()
        note:
          text: |

            Чат {{ visitor.name }}
        lead: {name: "Чат", price: 5000, fields: {"Поле": 'a'}, find: [chat, recent: 7d]}
        task:
          text: >-
            позвонить
          due: 1h
`)
	lines := strings.Split(data, "\n")
	rule := good(t, data).Connections[0].Rules[0]
	for _, c := range []struct {
		text    mapping.Text
		written string
	}{
		{rule.Name, "x'"},
		{rule.On[0], "chat_accepted,"},
		{rule.On[1], "chat_finished\""},
		{rule.When, "known()"},
		{rule.Note.Text, "Чат {{"},
		{rule.Lead.Name, "Чат\""},
		{rule.Lead.Price, "5000"},
		{rule.Lead.Fields[0].Key, "\"Поле"},
		{rule.Lead.Fields[0].Value, "a'"},
		{rule.Lead.Find[1], "7d]"},
		{rule.Task.Text, "позвонить"},
		{rule.Task.Due, "1h"},
		{mapping.Text{Line: rule.Line, Col: rule.Col, Set: true}, "name:"},
		{mapping.Text{Line: rule.Lead.Line, Col: rule.Lead.Col, Set: true}, "lead:"},
	} {
		if !c.text.Set || c.text.Line == 0 || !strings.HasPrefix(string([]rune(lines[c.text.Line-1])[c.text.Col-1:]), c.written) {
			t.Errorf("%+v is not where %q stands", c.text, c.written)
		}
	}
	if rule.Lead.Price.Value != "5000" || rule.Task.Responsible.Set || rule.Note.Text.Value != "\nЧат {{ visitor.name }}\n" {
		t.Errorf("read as %+v", rule)
	}
}

// TestParse_ErrorsInFoldedTextsPointIntoThem: a letter counted in the text is
// found where it is written, through line breaks and escapes.
func TestParse_ErrorsInFoldedTextsPointIntoThem(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"folded":              "when: >-\n          known() and\n          NOPE == ''",
		"folded, clipped":     "when: >\n          known() and\n          has_contact()\n          and NOPE == ''",
		"plain":               "when: known()\n          and   has_contact()\n          and NOPE == ''",
		"single quotes":       "when: 'visitor.name != ''x'' and NOPE == ''y'''",
		"single, two lines":   "when: 'visitor.name != ''x''\n          and NOPE == ''y'''",
		"double quotes":       `when: "visitor.name != \"\u0041\x41\U00000041\" and NOPE == 'я'"`,
		"double, two lines":   "when: \"visitor.name != ''\n          and NOPE == 'x'\"",
		"at the first letter": "when: >-\n          NOPE == ''\n          and known()",
		"bracketed":           "when: >-\n          known() and\n          (NOPE == '')",
		"one line":            "when: NOPE == ''",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := with("    rules:\n      - name: x\n        on: [chat_accepted]\n        stop: true\n        " + text + "\n")
			_, problems := parse(data)
			if problems == nil || len(problems.List) != 1 {
				t.Fatalf("got %v", problems)
			}
			p := problems.List[0]
			line := []rune(strings.Split(data, "\n")[p.Line-1])
			if !strings.HasPrefix(string(line[min(p.Col-1, len(line)):]), "NOPE") {
				t.Errorf("%v is not where NOPE stands in\n%s", p, data)
			}
		})
	}
}

func TestParse_ReferencesNameWhatTheAccountMustHave(t *testing.T) {
	t.Parallel()
	conn := good(t, with(`    deals:
      stages:
        "20": {pipeline: Продажи, stage: lost}
    rules:
      - name: x
        on: [chat_accepted]
        contact: {responsible: anna@example.com, fields: {Город: x, '?UTM': y}}
        lead:
          pipeline: 'Продажи'
          stage: Новая
          responsible: '{{ agent.email }}'
          loss_reason: Дорого
          fields: {UTM_SOURCE: '{{ utm.source }}'}
        task: {text: x, responsible: "*"}
`)).Connections[0]
	want := []config.Reference{
		{Kind: config.RefUser, Name: "owner@example.com", Line: 10, Col: 19},
		{Kind: config.RefPipeline, Name: "Продажи", Line: 13, Col: 26},
		{Kind: config.RefStage, Name: "lost", Pipeline: "Продажи", Line: 13, Col: 42},
		{Kind: config.RefUser, Name: "anna@example.com", Line: 17, Col: 32},
		{Kind: config.RefField, Name: "Город", Entity: "contacts", Line: 17, Col: 59},
		{Kind: config.RefField, Name: "UTM_SOURCE", Entity: "leads", Line: 23, Col: 20},
		{Kind: config.RefPipeline, Name: "Продажи", Line: 19, Col: 22},
		{Kind: config.RefStage, Name: "Новая", Pipeline: "Продажи", Line: 20, Col: 18},
		{Kind: config.RefLossReason, Name: "Дорого", Line: 22, Col: 24},
	}
	if diff := cmp.Diff(want, conn.References); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestParse_Warnings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, data, want string }{
		{"no hooks", strings.Replace(ten, "      webhook_secret: ${AMOCRM_WEBHOOK_SECRET}\n", "", 1),
			"config.yaml:7:16: no amocrm.webhook_secret: /amocrm/shop is closed, and what operators see of amoCRM is up to 5m old (amocrm.sweep)"},
		{"no way to subscribe", strings.Replace(strings.Replace(ten, "public_url: https://bridge.example.com/\n", "", 1), "    agents:", "      setup: auto\n    agents:", 1),
			"config.yaml:9:14: setup: auto cannot subscribe the hook without public_url"},
		{"one secret for two doors", strings.Replace(ten, "${AMOCRM_WEBHOOK_SECRET}", "${JIVO_SECRET}", 1),
			"config.yaml:9:23: jivo.secret and amocrm.webhook_secret are the same: who knows one can speak as the other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := good(t, c.data)
			if len(cfg.Warnings) != 1 || cfg.Warnings[0].String() != c.want {
				t.Errorf("got %v", cfg.Warnings)
			}
		})
	}
}

// One grammar for every duration: what `park` takes, `due` and `recent` take.
func TestParse_DurationsOfRulesAreThoseOfTheRest(t *testing.T) {
	t.Parallel()
	for _, d := range []string{"36h", "1.5d", "1d12h", "12h1d", "2160m", "1d1w"} {
		good(t, strings.Replace(ten, "  shop:\n", "  shop:\n    park: "+d+"\n    rules:\n"+
			"      - {name: a, on: [offline_message], lead: {find: [chat, recent: "+d+"]}, task: {text: x, due: "+d+"}}\n"+
			"      - {name: b, on: [offline_message], lead: {find: [chat, 'recent: "+d+"']}}\n", 1))
	}
}

func TestDiff_SaysWhatNeedsARestart(t *testing.T) {
	t.Parallel()
	before := good(t, ten)
	if c := config.Diff(before, good(t, ten)); len(c.Restart) != 0 {
		t.Errorf("nothing changed, and yet %+v", c)
	}
	after := good(t, "listen: \":1\"\ndata: d\ntls: {cert: a, key: b}\nadmin: {listen: \"127.0.0.1:2\"}\nlog: {level: debug, format: json}\n"+ten)
	want := config.Change{Restart: []string{"listen", "data", "tls", "admin.listen", "log.format"}}
	if diff := cmp.Diff(want, config.Diff(before, after)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestLoad_PathsStartAtTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), "tok-of-file\n", 0o600)
	path := filepath.Join(dir, "config.yaml")
	write(t, path, strings.NewReplacer("${JIVO_SECRET}", "0123456789abcdef", "${AMOCRM_TOKEN}", "${file:token}", "${AMOCRM_WEBHOOK_SECRET}", "fedcba9876543210").
		Replace("tls: {cert: a.pem, key: /b.pem}\n"+ten), 0o600)
	cfg, err := config.Load(path, vocabulary())
	if err != nil {
		t.Fatal(err)
	}
	got := []string{cfg.Data, cfg.TLS.Cert, cfg.TLS.Key, cfg.Connections[0].AmoCRM.Token.Reveal(), cfg.File}
	want := []string{filepath.Join(dir, "data"), filepath.Join(dir, "a.pem"), "/b.pem", "tok-of-file", path}
	if diff := cmp.Diff(want, got); diff != "" || len(cfg.Warnings) != 0 {
		t.Errorf("warnings %v (-want +got)\n%s", cfg.Warnings, diff)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err = config.Load(path, vocabulary())
	if err != nil || len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0].Text, "mode 0644") {
		t.Errorf("%v, a file with secrets that others may read: %v", err, cfg.Warnings)
	}
}

// TestLoadForStore_OnlySecretsHaveStandIns: a path that stood in for another one
// would be another store.
func TestLoadForStore_OnlySecretsHaveStandIns(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config.yaml")
	write(t, filepath.Join(filepath.Dir(path), "empty"), "\n", 0o600)
	unset := strings.NewReplacer("${JIVO_SECRET}", "${UNSET_BY_ALL}", "${AMOCRM_TOKEN}", "${file:empty}", "${AMOCRM_WEBHOOK_SECRET}", "path-${file:nowhere}").Replace(ten)
	write(t, path, "admin: {token: known-token}\n"+unset, 0o600)
	cfg, err := config.LoadForStore(path, vocabulary())
	if err != nil {
		t.Fatal(err)
	}
	conn := cfg.Connections[0]
	if !conn.Jivo.Secrets[0].IsStandIn() || !conn.AmoCRM.Token.IsStandIn() || !conn.AmoCRM.WebhookSecrets[0].IsStandIn() {
		t.Error("what is missing is not told from a secret")
	}
	if cfg.Admin.Token.IsStandIn() || cfg.Admin.Token.Reveal() != "known-token" {
		t.Error("a secret that is there has a stand-in")
	}
	if _, err := config.Load(path, vocabulary()); err == nil {
		t.Error("Load takes stand-ins")
	}
	for line, want := range map[string]string{
		"data: ${UNSET_BY_ALL}\n":                      "data: environment variable UNSET_BY_ALL is not set",
		"data: ${file:nowhere}\n":                      "data: file nowhere cannot be read: no such file or directory",
		"admin: {token: \"${no name}\"}\n":             "names no environment variable",
		"admin: {token: \"${UNSET_BY_ALL} spaced\"}\n": "white space",
	} {
		write(t, path, line+unset, 0o600)
		_, err := config.LoadForStore(path, vocabulary())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "stand-in") {
			t.Errorf("%sgot %v, want %q", line, err, want)
		}
	}
}

func TestLoad_ErrorsAreProblemsOrSayTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if _, err := config.Load(path, vocabulary()); err == nil || !strings.Contains(err.Error(), "reading the config") {
		t.Errorf("got %v", err)
	}
	write(t, path, "lisen: x\n", 0o600)
	_, err := config.Load(path, vocabulary())
	problems, ok := err.(*config.Problems)
	if !ok || len(problems.List) != 2 {
		t.Errorf("got %v", err)
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
