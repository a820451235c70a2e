package config_test

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/jivo"
	"github.com/jivo-amocrm/bridge/internal/mapping"
)

// wanted is what the connection's program makes of a body of Jivo's.
func wanted(t *testing.T, conn *config.Connection, body string, titles mapping.Names) (event.Plan, event.Desired) {
	t.Helper()
	m, err := jivo.Decode([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	in := &mapping.Input{Kind: m.Kind, Fields: m.Fields, Client: &event.Client{ID: m.Client}, Received: time.Unix(1_800_000_000, 0), Jivo: titles}
	plan, err := conn.Program.Plan(in)
	if err != nil {
		t.Fatal(err)
	}
	d, err := conn.Program.Desired(in, plan, event.CRM{})
	if err != nil {
		t.Fatal(err)
	}
	return plan, d
}

const accepted = `{"event_name":"chat_accepted","chat_id":1,"widget_id":"3948","visitor":{"number":"7","phone":"8 916 000-00-01"}}`

// What a connection says beside its rules is what its rules work with.
func TestParse_ProgramKnowsTablesAndRegion(t *testing.T) {
	t.Parallel()
	conn := good(t, with(`    region: RU
    tables: {site_of_channel: {"3948": Главный сайт}}
    rules:
      - name: x
        on: [chat_accepted]
        contact: {create: true, phone: '{{ visitor.phone }}'}
        lead: {create: true, name: '{{ lookup("site_of_channel", widget_id) }}'}
`)).Connections[0]
	_, d := wanted(t, conn, accepted, nil)
	if d.Lead.Name != "Главный сайт" {
		t.Errorf("the lead's name is %q", d.Lead.Name)
	}
	if diff := cmp.Diff([]string{"+79160000001"}, d.Contact.Phones); diff != "" {
		t.Error(diff)
	}
}

// names has one stage of Jivo's by its titles.
type names struct{ mapping.Names }

func (names) Agent(string) event.Agent           { return event.Agent{} }
func (names) RejectReason(string, string) string { return "" }
func (names) Stage(string, string) (string, string, string) {
	return "Gruzly", "Новая", ""
}

func TestParse_ProgramKnowsTheStagesOfDeals(t *testing.T) {
	t.Parallel()
	for key, titles := range map[string]mapping.Names{"20": nil, "Gruzly / Новая": names{}} {
		conn := good(t, with("    deals: {stages: {'"+key+"': {pipeline: Продажи, stage: Переговоры}}}\n")).Connections[0]
		_, d := wanted(t, conn, `{"event_name":"created_deal","deal_id":3,"title":"x","client":{"client_id":7},"pipeline":{"pipeline_id":6,"pipeline_status":{"pipeline_status_id":20}}}`, titles)
		if d.Lead == nil || d.Lead.Pipeline != "Продажи" || d.Lead.Stage != "Переговоры" {
			t.Errorf("%s: the lead is %+v", key, d.Lead)
		}
	}
}

func TestParse_ProgramKnowsWhatIsSwitchedOff(t *testing.T) {
	t.Parallel()
	for key, kind := range map[string]string{
		"deals": "created_deal", "tasks": "created_task", "clients": "updated_client", "blacklist_tag": "changed_client_blacklist",
		"deleted_tag": "deleted_client", "categories": "assigned_status",
	} {
		if good(t, with("    builtin: {"+key+": on}\n")).Connections[0].Program.SwitchedOff(kind) {
			t.Errorf("%s is off", key)
		}
		if !good(t, with("    builtin: {"+key+": off}\n")).Connections[0].Program.SwitchedOff(kind) {
			t.Errorf("%s is on, though it is switched off", key)
		}
	}
}

// Under the default rules a visitor without phone and e-mail has a lead only where
// the connection says so.
func TestParse_ProgramKnowsWhatBecomesOfTheAnonymous(t *testing.T) {
	t.Parallel()
	for mode, made := range map[string]bool{"hold": false, "lead": true, "ignore": false} {
		conn := good(t, with("    anonymous: "+mode+"\n")).Connections[0]
		plan, _ := wanted(t, conn, `{"event_name":"chat_accepted","chat_id":1,"visitor":{"number":"7"}}`, nil)
		if got := plan.Lead != nil && plan.Lead.Create; got != made {
			t.Errorf("%s: a lead is made: %t, want %t", mode, got, made)
		}
	}
}

// Connections of one account share budget, token, dictionary, directory and pause: what
// makes these up must not differ.
func TestParse_ConnectionsOfOneAccountShareItsSettings(t *testing.T) {
	t.Parallel()
	const two = `public_url: https://bridge.example.com
connections:
  a:
    jivo: {secret: "${JIVO_SECRET}"}
    amocrm: {account: "https://example.amocrm.ru", webhook_secret: "${AMOCRM_WEBHOOK_SECRET}", CREDENTIAL}
  b:
    jivo: {secret: "${JIVO_SECRET}"}
    amocrm: {account: "https://example.amocrm.ru", webhook_secret: "${AMOCRM_WEBHOOK_SECRET}", CREDENTIAL, OTHER}
`
	token := `token: "${AMOCRM_TOKEN}"`
	config := func(credential, other string) string {
		return strings.NewReplacer("CREDENTIAL, OTHER", strings.TrimSuffix(credential+", "+other, ", "), "CREDENTIAL", credential).Replace(two)
	}
	good(t, config(token, ""))
	for key, value := range map[string]string{
		"requests_per_second": "5", "batch": "20", "timeout": "7s", "probe": "7s", "sweep": "7s", "refresh": "7s", "contacts_sync": "off",
	} {
		_, problems := parse(config(token, key+": "+value))
		if problems == nil || len(problems.List) != 1 || !strings.Contains(problems.Error(), key+` differs from that of connection "a"`) {
			t.Errorf("%s: %v", key, problems)
		}
	}
	for key, value := range map[string]string{ // each is the connection's own
		"in_doubt_after": "7s", "marker_field": "Other ID", "setup": "auto", "backoff": "{first: 7s}",
	} {
		good(t, config(token, key+": "+value))
	}
	oauth := func(id, secret string) string {
		return `oauth: {client_id: "` + id + `", client_secret: "` + secret + `", redirect_url: "https://x.example/"}`
	}
	for _, c := range []struct {
		second string
		same   bool
	}{{oauth("a", "b"), true}, {oauth("x", "b"), false}, {oauth("a", "x"), false}, {token, false}} {
		data := strings.Replace(strings.Replace(two, "CREDENTIAL, OTHER", c.second, 1), "CREDENTIAL", oauth("a", "b"), 1)
		if _, problems := parse(data); (problems == nil) != c.same {
			t.Errorf("%s: %v", c.second, problems)
		}
	}
}

// `check` looks up what can be looked up: a stage of a pipeline that is only known with
// the event cannot, one of the main pipeline can, and so can whom a task is for.
func TestParse_ReferencesOfStagesAndTasks(t *testing.T) {
	t.Parallel()
	conn := good(t, strings.Replace(with(`    rules:
      - {name: main, on: [chat_accepted], lead: {stage: Новая}}
      - {name: by event, on: [chat_accepted], lead: {pipeline: '{{ department.name }}', stage: Другая}}
      - {name: task, on: [chat_accepted], task: {text: x, responsible: boss@example.com}}
`), "    agents: {\"*\": owner@example.com}\n", "", 1)).Connections[0]
	want := []config.Reference{
		{Kind: config.RefStage, Name: "Новая", Line: 11, Col: 57},
		{Kind: config.RefUser, Name: "boss@example.com", Line: 13, Col: 72},
	}
	if diff := cmp.Diff(want, conn.References); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Values on the edge of what is taken.
func TestParse_Edges(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("я", n) }
	line := func(title, content string) string {
		return with("    reply: {custom_data: [{title: '" + title + "', content: '" + content + "'}]}\n")
	}
	hours := func(from, to string) string {
		return with("    work_hours: {days: mon-fri, from: \"" + from + "\", to: \"" + to + "\"}\n")
	}
	mapped := netip.AddrFrom16(netip.MustParseAddr("127.0.0.1").As16()).String()
	for name, c := range map[string]struct {
		data string
		ok   bool
	}{
		"a title of 64":                      {line(long(64), "x"), true},
		"a title of 65":                      {line(long(65), "x"), false},
		"a content of 256":                   {line("x", long(256)), true},
		"a content of 257":                   {line("x", long(257)), false},
		"a template that may come out short": {line(long(64)+"{{ lead.name }}", long(256)+"{{ lead.name }}"), true},
		"hours of a minute":                  {hours("09:00", "09:01"), true},
		"hours of nothing":                   {hours("09:00", "09:00"), false},
		"admin on loopback by IPv6":          {"admin: {listen: \"[" + mapped + "]:1\"}\n" + ten, true},
		"admin on all by IPv6":               {"admin: {listen: \"[::]:1\"}\n" + ten, false},
		"a query in the URL":                 {strings.Replace(ten, "example.com/", "example.com/?a=b", 1), false},
		"an empty query in the URL":          {strings.Replace(ten, "example.com/", "example.com/?", 1), false},
		"a fragment in the URL":              {strings.Replace(ten, "example.com/", "example.com/#x", 1), false},
		"a region that is none":              {with("    region: ZZ\n"), false},
		"a port with a zero before it":       {"listen: \":08080\"\n" + ten, false},
		"a domain of 253":                    {"tls: {domains: [" + domain(253) + "]}\n" + ten, true},
		"a domain of 254":                    {"tls: {domains: [" + domain(254) + "]}\n" + ten, false},
	} {
		if _, problems := parse(c.data); (problems == nil) != c.ok {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

// domain is a domain name of n letters.
func domain(n int) string {
	name := "ru"
	for left := n - len(name); left > 0; left = n - len(name) {
		size := min(left-1, 63)
		if left-1-size == 1 { // no room for a label of its own
			size--
		}
		name = strings.Repeat("a", size) + "." + name
	}
	return name
}

// A file that others may read is warned of for the secrets in it, not for the names of
// the variables they come from.
func TestLoad_OthersMayReadAFileWithoutSecrets(t *testing.T) {
	for name, value := range map[string]string{"JIVO_SECRET": "0123456789abcdef", "AMOCRM_TOKEN": "tok", "AMOCRM_WEBHOOK_SECRET": "fedcba9876543210"} {
		t.Setenv(name, value)
	}
	path := filepath.Join(t.TempDir(), "config.yaml")
	write(t, path, ten, 0o644)
	cfg, err := config.Load(path, vocabulary())
	if err != nil || len(cfg.Warnings) != 0 {
		t.Errorf("%v, warnings %v", err, cfg.Warnings)
	}
}

// Certificates for other domains take a restart.
func TestDiff_KnowsDomains(t *testing.T) {
	t.Parallel()
	of := func(list string) *config.Config { return good(t, "tls: {domains: ["+list+"]}\n"+ten) }
	if c := config.Diff(of("a.example.com"), of("a.example.com, b.example.com")); !cmp.Equal(c.Restart, []string{"tls"}) {
		t.Errorf("%+v", c)
	}
}
