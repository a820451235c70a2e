package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/jivo"
)

// product.md §3: the public listener's answers.
func TestE2E_PublicListener(t *testing.T) {
	w := newWorld(t, setup{dead: 3})
	jivoURL, hookURL := w.pub+"/jivo/"+e2eName+"/"+e2eSecret, w.hookURL()
	missing := w.raw("POST", w.pub+"/nowhere", "{}")
	if missing[:3] != "404" {
		t.Fatalf("a wrong path is %s", missing)
	}
	for what, url := range map[string]string{
		"wrong secret": w.pub + "/jivo/" + e2eName + "/jivo-secret-9999999999", "wrong connection": w.pub + "/jivo/nobody/" + e2eSecret,
		"the other secret": w.pub + "/jivo/" + e2eName + "/" + e2eHook, "wrong hook secret": w.pub + "/amocrm/" + e2eName + "/" + e2eSecret, "no secret": w.pub + "/jivo/" + e2eName, "root": w.pub + "/",
		"oauth of a connection without": w.pub + "/oauth/" + e2eName,
	} {
		equal(t, what, w.raw("POST", url, "{}"), missing)
	}
	for what, c := range map[string]struct{ method, url, body, header, want string }{
		"GET to Jivo's door":     {"GET", jivoURL, "", "", "405"},
		"GET to amoCRM's door":   {"GET", hookURL, "", "", "405"},
		"too large":              {"POST", jivoURL, `{"event_name":"` + strings.Repeat("x", 300<<10) + `"}`, "", "413"},
		"compressed":             {"POST", jivoURL, "{}", "gzip", "415"},
		"an object without name": {"POST", jivoURL, "{}", "", `200 {"result":"ok"}`},
		"a hook":                 {"POST", hookURL, "leads[status][0][id]=1&leads[status][0][status_id]=142&leads[status][0][pipeline_id]=700001&account[id]=31000001", "", "200 "},
		"a hook without sense":   {"POST", hookURL, "{{{", "", "200 "},
	} {
		var header []string
		if c.header != "" {
			header = []string{"Content-Encoding", c.header}
		}
		got := w.raw(c.method, c.url, c.body, header...)
		if !strings.HasPrefix(got, c.want) || (c.want == "200 " && got != c.want) {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
	for _, body := range []string{"hello", "[1,2]"} {
		got := w.raw("POST", jivoURL, body)
		if !strings.HasPrefix(got, `200 {"result":"`) || strings.Contains(got, `"ok"`) {
			t.Errorf("%q is answered %s, want 200 with the why", body, got)
		}
	}
	// BOM and doubled braces are repaired.
	equal(t, "repaired", w.raw("POST", jivoURL, "\ufeff{ {\"event_name\": \"created_organization\", \"organization_id\": 3} }"), `200 {"result":"ok"}`)
	w.settle()
	w.ended("created_organization", "done", "")
	dead := 0
	for _, e := range w.events("state=dead") {
		equal(t, "reason", e.Reason, "unparsable")
		dead++
	}
	equal(t, "dead", dead, 3)
}

// The source page's samples, posted as printed, in the order of a day: nothing
// is dead, and each has its effect.
func TestE2E_SamplesAsPrinted(t *testing.T) {
	w := newWorld(t, setup{conn: "park: 200ms", dead: 1})
	files := sampleFiles(t)
	for _, name := range []string{
		"created_pipeline", "created_status", "created_client_tag", "created_organization", "changed_administrator_only_client_tag", "merged_tag",
		"chat_accepted", "chat_updated", "chat_finished", "offline_message", "client_updated", "client_attribute_updated", "call_event",
		"created_deal", "created_task", "assigned_agent_to_client", "assigned_status",
	} {
		body, ok := files[name]
		if !ok {
			t.Fatalf("no sample %s", name)
		}
		r := w.post(body)
		if r.Result == "" {
			t.Errorf("%s is answered %s", name, r.raw)
		}
	}
	w.await("everything settled", func() bool {
		c := w.app.Store().Counts(e2eName)
		return c.Pending+c.Parked == 0
	})
	w.settle()
	for _, e := range w.events("source=jivo&limit=100") {
		if e.State != "done" && e.State != "skipped" && e.Reason != "client_unknown" {
			t.Errorf("%s is %s %s", e.Kind, e.State, e.Reason)
		}
	}
	names := map[string]int{}
	for _, c := range w.amo.Contacts() {
		names[c.Name]++
	}
	if names["John Smith"] == 0 || names["Thomas"] != 1 {
		t.Errorf("contacts: %v", names)
	}
	var deals int
	for _, l := range w.amo.Leads() {
		if l.Name == "Сделка" {
			deals++
		}
	}
	equal(t, "deal's leads", deals, 1)
	w.set.dead = w.app.Store().Counts(e2eName).Dead // the task's client may have been described in time
}

// The line that would match the agents can be pasted as it stands, though two
// agents of Jivo's have one e-mail: strict reading refuses a repeated key.
func TestE2E_AgentsToAddNameEachEmailOnce(t *testing.T) {
	w := newWorld(t, setup{keepAgents: true})
	agent := func(id, email string) m { return m{"id": id, "name": "Агент " + id, "email": email} }
	w.tell(ivan().accepted(m{"agent": agent("7", "seven@example.com")}), maria().finished(said(then, "v:Привет"), m{"agents": []m{
		agent("8", "double@example.com"), agent("9", "double@example.com"), agent("10", "Double@Example.com"),
	}}))
	var conns struct {
		Connections []struct {
			Unmatched []string `json:"unmatched_agents"`
			ToAdd     string   `json:"agents_to_add"`
		}
	}
	w.api("GET", "/api/v1/connections", "", &conns)
	got := conns.Connections[0]
	for i, email := range got.Unmatched {
		got.Unmatched[i] = strings.ToLower(email)
	}
	slices.Sort(got.Unmatched)
	same(t, "unmatched agents", got.Unmatched, []string{"double@example.com", "seven@example.com"})
	text := w.text + "    " + strings.ReplaceAll(got.ToAdd, "<amoCRM user's e-mail>", "anna@example.com") + "\n"
	if _, problems := config.Parse("pasted.yaml", []byte(text), os.LookupEnv, os.ReadFile, config.Vocabulary{Kinds: jivo.Kinds(), Schema: jivo.Schema}); problems != nil {
		t.Errorf("%s, pasted: %v", got.ToAdd, problems)
	}
}

// sampleFiles reads the samples as the source page prints them.
func sampleFiles(t *testing.T) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(filepath.Join("..", "jivo"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".json" || !strings.Contains(path, "samples") || strings.Contains(path, "whole") {
			return err
		}
		b, err := os.ReadFile(path)
		out[strings.TrimSuffix(d.Name(), ".json")] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// product.md §4: lists, search, the whole story, replay, discard, forget.
func TestE2E_API(t *testing.T) {
	w := newWorld(t, setup{})
	p := ivan()
	w.tell(p.accepted(), p.finished(said(then, "v:Привет", "a:Здравствуйте")), nobody().accepted())
	l, c := w.oneLead(), w.oneContact()

	var conns struct{ Connections []map[string]any }
	w.api("GET", "/api/v1/connections", "", &conns)
	for _, key := range []string{"name", "account", "state", "token", "pending", "parked", "dead", "oldest_pending_seconds", "paused_until", "pause_reason", "hooks", "unmatched_agents"} {
		if _, ok := conns.Connections[0][key]; !ok {
			t.Errorf("connections lack %q", key)
		}
	}
	equal(t, "state", conns.Connections[0]["state"].(string), "ok")

	var page struct {
		Events []map[string]any
		Next   any
	}
	w.api("GET", "/api/v1/events?source=jivo&client=2198&limit=1", "", &page)
	for _, key := range []string{"seq", "connection", "source", "kind", "state", "client", "received_at", "settled_at", "next_at", "attempts", "reason", "warnings"} {
		if _, ok := page.Events[0][key]; !ok {
			t.Errorf("events lack %q", key)
		}
	}
	equal(t, "newest", page.Events[0]["kind"].(string), "chat_finished")
	if page.Next == nil || page.Next == float64(0) {
		t.Error("no next page of two events")
	}
	equal(t, "skipped", len(w.events("state=skipped&source=jivo")), 1)
	equal(t, "of amoCRM by kind", len(w.events("source=amocrm&kind=leads.add")), 1)

	for _, q := range []string{"+7 916 000-00-01", "89160000001", "ivan@example.com", "Петров", "7636", fmt.Sprint(l.ID)} {
		var found struct{ Events []row }
		w.api("POST", "/api/v1/search", string(jsonOf(m{"q": q})), &found)
		if !slices.ContainsFunc(found.Events, func(r row) bool { return r.Client == "2198" }) {
			t.Errorf("search for %q found nothing of the client", q)
		}
	}

	r := w.eventOf("chat_accepted", "2198")
	if r.Body == nil || !strings.Contains(*r.Body, "chat_accepted") {
		t.Error("no body")
	}
	if r.Contact == nil || r.Contact.ID != c.ID || r.Lead == nil || r.Lead.ID != l.ID || len(r.Requests) == 0 || len(r.Rules) == 0 {
		t.Errorf("the story is thin: %+v", r)
	}
	ops := map[string]bool{}
	for _, ch := range r.Changes {
		ops[ch.Op+" "+ch.Target+" "+ch.State] = ch.AmoID != 0
	}
	if !ops["create lead settled"] || !ops["create contact settled"] {
		t.Errorf("changes: %+v", r.Changes)
	}

	// Replay of a done event maps anew and repeats no create or note; `again` does.
	fin := w.eventOf("chat_finished", "2198")
	notes := len(w.amo.Notes(l.ID))
	w.api("POST", fmt.Sprintf("/api/v1/events/%d/replay", fin.Seq), "", nil)
	w.api("POST", fmt.Sprintf("/api/v1/events/%d/replay", r.Seq), "", nil)
	w.settle()
	equal(t, "notes after a replay", len(w.amo.Notes(l.ID)), notes)
	w.oneLead()
	if got := w.raw("POST", w.admin+fmt.Sprintf("/api/v1/events/%d/discard", fin.Seq), ""); got[:1] != "4" {
		t.Errorf("a done event was discarded: %s", got)
	}

	var client struct {
		Links struct {
			ContactID int64 `json:"contact_id"`
		}
		Card   *struct{ Stage string }
		Events []row
	}
	w.api("GET", "/api/v1/clients/shop/2198", "", &client)
	equal(t, "contact", client.Links.ContactID, c.ID)
	if client.Card == nil || client.Card.Stage != "Первичный контакт" || len(client.Events) != 2 {
		t.Errorf("client: %+v", client)
	}

	// Forgotten: links, card and bodies go; a redelivery does nothing.
	w.api("DELETE", "/api/v1/clients/shop/2198", "", nil)
	if r := w.eventBy(fin.Seq); r.Body != nil {
		t.Error("the body is still there")
	}
	before := w.amo.Report().Writes
	w.tell(p.accepted(), p.finished(said(then, "v:Привет", "a:Здравствуйте")))
	equal(t, "writes after a redelivery", w.amo.Report().Writes, before)
}

// eventOf is the newest event of a kind and client; eventBy one by its number.
func (w *world) eventOf(kind, client string) row {
	w.t.Helper()
	list := w.events("limit=1&kind=" + kind + "&client=" + client)
	if len(list) == 0 {
		w.t.Fatalf("no %s of %s", kind, client)
	}
	return w.eventBy(list[0].Seq)
}

func (w *world) eventBy(seq uint64) (r row) {
	w.t.Helper()
	w.api("GET", fmt.Sprintf("/api/v1/events/%d", seq), "", &r)
	return r
}

// A dead event is replayed or discarded, one by one or all that match.
func TestE2E_DeadEvents(t *testing.T) {
	w := newWorld(t, setup{conn: "park: 50ms", dead: 0})
	p, q := ivan(), maria()
	w.post(p.task("created_task", 1, 0, "А", then), q.task("created_task", 2, 0, "Б", then))
	w.await("both are dead", func() bool { return w.app.Store().Counts(e2eName).Dead == 2 })
	dead := w.events("state=dead")
	for _, e := range dead {
		equal(t, "reason", e.Reason, "client_unknown")
	}
	w.api("POST", fmt.Sprintf("/api/v1/events/%d/discard", dead[0].Seq), "", nil)
	equal(t, "discarded", w.eventBy(dead[0].Seq).Reason, "discarded")
	equal(t, "state", w.eventBy(dead[0].Seq).State, "skipped")
	var got map[string]any
	w.api("POST", "/api/v1/replay", `{"connection":"shop","state":"dead","reason":"client_unknown"}`, &got)
	w.await("it has been worked again", func() bool { return w.app.Store().Counts(e2eName).Pending == 0 && len(w.events("state=dead")) == 1 })
	w.tell(p.accepted())
	equal(t, "dead", len(w.events("state=dead")), 0)
	equal(t, "tasks", len(w.amo.Tasks()), 1)
}

// A hook of another account is kept and skipped; families that are only counted
// are skipped; a grouped POST is one event.
func TestE2E_HooksOfOthers(t *testing.T) {
	w := newWorld(t, setup{noHooks: true})
	p := ivan()
	w.tell(p.accepted())
	l := w.oneLead()
	hook := func(body string) row {
		t.Helper()
		if got := w.raw("POST", w.hookURL(), body, "Content-Type", "application/x-www-form-urlencoded"); got != "200 " {
			t.Fatalf("answered %q", got)
		}
		w.settle()
		return w.events("source=amocrm&limit=1")[0]
	}
	stage := func(account int) string {
		return fmt.Sprintf("leads[status][0][id]=%d&leads[status][0][status_id]=142&leads[status][0][pipeline_id]=700001&account[id]=%d&account[subdomain]=x", l.ID, account)
	}
	r := hook(stage(31999999))
	equal(t, "foreign", r.State+" "+r.Reason, "skipped foreign_account")
	holds(t, "stage", w.post(p.updated()).item("Этап"), "Первичный контакт")
	for _, body := range []string{
		"customers[add][0][id]=1&account[id]=31000001", "talk[add][0][talk_id]=5&account[id]=31000001",
		"message[add][0][id]=7c&message[add][0][element_id]=1&account[id]=31000001", "catalogs[add][0][id]=1&account[id]=31000001",
	} {
		if r := hook(body); r.State != "skipped" {
			t.Errorf("%s is %s", body, r.State)
		}
	}
	r = hook("leads[status][0][id]=999&leads[status][0][status_id]=142&leads[status][0][pipeline_id]=700001&account[id]=31000001")
	equal(t, "not ours", r.State, "skipped")
	if d := w.eventBy(r.Seq); d.Body != nil {
		t.Error("the body of a hook about nothing of ours is kept")
	}
	// Two leads in one POST, ours second, JSON instead of a form; the account
	// itself then says the lead never moved.
	got := w.raw("POST", w.hookURL(), fmt.Sprintf(`{"leads":{"status":[{"id":"999","status_id":"142","pipeline_id":"700001"},{"id":"%d","status_id":"70000003","pipeline_id":"700001"}]},"account":{"id":"31000001"}}`, l.ID), "Content-Type", "application/json")
	equal(t, "JSON", got, "200 ")
	w.settle()
	equal(t, "ours", w.events("source=amocrm&limit=1")[0].State, "done")
	w.await("the read has confirmed the stage", func() bool {
		return strings.Contains(w.post(p.updated()).item("Этап"), "Первичный контакт")
	})
}

// Unsorted: accepted it is the card, declined the link is gone and the next chat
// opens a new lead.
func TestE2E_UnsortedLead(t *testing.T) {
	for _, accept := range []bool{true, false} {
		t.Run(fmt.Sprint("accepted ", accept), func(t *testing.T) {
			w := newWorld(t, setup{moved: true})
			p := ivan()
			got := w.raw("POST", w.far.URL+"/api/v4/leads/unsorted/forms", string(jsonOf([]m{{
				"source_name": "Форма", "source_uid": "form-1", "created_at": then.Unix(),
				"metadata":  m{"form_id": "1", "form_name": "Заявка", "form_page": catalog, "form_sent_at": then.Unix(), "ip": "203.0.113.7", "referer": catalog},
				"_embedded": m{"leads": []m{{"name": "С формы"}}, "contacts": []m{{"name": "Иван с формы"}}},
			}})), "Authorization", "Bearer "+e2eToken, "Content-Type", "application/json", "User-Agent", "the site's form")
			if got[:3] != "200" {
				t.Fatalf("unsorted: %s", got)
			}
			u := w.amo.UnsortedLeads()[0]
			lead := one(t, "leads", w.amo.Leads())
			w.settle()
			w.tell(p.event("chat_assigned", m{"agent": agentOne, "assign_to": w.link("leads", lead.ID)}))
			if accept {
				w.manager(w.amo.AcceptUnsorted(u.UID, stageTalks))
				w.settle()
				w.await("the card shows it", func() bool { return strings.Contains(w.post(p.updated()).item("Этап"), "Переговоры") })
				return
			}
			w.manager(w.amo.DeclineUnsorted(u.UID))
			w.settle()
			r := w.tell(p.accepted())
			l := w.oneLead()
			if l.ID == lead.ID {
				t.Fatal("the declined lead is still there")
			}
			equal(t, "crm_link", r.CRMLink, w.link("leads", l.ID))
		})
	}
}
