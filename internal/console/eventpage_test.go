package console

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// declaredReasons are all constants of type event.Reason, as the source has them.
func declaredReasons(t *testing.T) (all []event.Reason) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../event/event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == "Reason" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, event.Reason(value))
		}
		return true
	})
	return all
}

func TestReasons_AreAllExplainedWithWhatToDo(t *testing.T) {
	declared := declaredReasons(t)
	if len(declared) < 20 {
		t.Fatalf("only %d reasons found in the source", len(declared))
	}
	for _, r := range declared {
		dead, isDead := deadLore()[r]
		skipped, isSkipped := skippedLore()[r]
		if isDead == isSkipped {
			t.Errorf("%s: explained as dead %v, as skipped %v", r, isDead, isSkipped)
		}
		if l := (lore{dead.means + skipped.means, dead.todo + skipped.todo}); l.means == "" || l.todo == "" {
			t.Errorf("%s: %+v", r, l)
		}
	}
	for _, r := range event.DeadReasons() {
		if _, ok := deadLore()[r]; !ok {
			t.Errorf("%s is a dead reason that is not explained as one", r)
		}
	}
	if got, want := len(reasons()), len(declared); got != want {
		t.Errorf("%d reasons to choose from, want %d", got, want)
	}
}

// eventPage is the text of the page of one event, unescaped.
func eventPage(t *testing.T, f *fake, d *Detail) string {
	t.Helper()
	f.events[d.Seq] = d
	s, _ := serve(t, f, adminToken)
	w := ask(s, "GET", fmt.Sprintf("/events/%d", d.Seq), "", asPage)
	if w.Code != http.StatusOK {
		t.Fatalf("status %d", w.Code)
	}
	return html.UnescapeString(w.Body.String())
}

func TestEventPage_LeadsToWhereAChangeStandsInAmoCRM(t *testing.T) {
	ev := &event.Event{Seq: 20, Connection: "shop", Source: event.Jivo, Kind: "chat_finished", State: event.Done,
		Contact: &event.Match{ID: 77}, Lead: &event.Match{ID: 501, Created: true},
		Changes: []event.Change{
			{Op: event.OpUpdate, Target: event.OnContact, AmoID: 77, EntityType: "contacts", EntityID: 77},
			{Op: event.OpCreate, Target: event.OnLead, AmoID: 501, EntityType: "leads"},
			{Op: event.OpCreate, Target: event.OnCompany, AmoID: 9},
			{Op: event.OpCreate, Target: event.OnNote, AmoID: 31, EntityType: "leads"}, // of the lead made here
			{Op: event.OpCreate, Target: event.OnTask, AmoID: 32, EntityType: "contacts", EntityID: 78},
			{Op: event.OpUpdate, Target: event.OnCall, AmoID: 33, EntityType: "leads", EntityID: 33}, // the call's own id
			{Op: event.OpCreate, Target: event.OnNote, EntityType: "contacts"},
		}}
	type way struct{ name, url, on, onTo string }
	const at = "https://example.amocrm.ru/"
	want := []way{
		{"contact 77", at + "contacts/detail/77", "", ""},
		{"lead 501", at + "leads/detail/501", "", ""},
		{"company 9", at + "companies/detail/9", "", ""},
		{"note 31", "", "lead 501", at + "leads/detail/501"},
		{"task 32", "", "contact 78", at + "contacts/detail/78"},
		{"call 33", "", "", ""},
		{"note", "", "contact 77", at + "contacts/detail/77"},
	}
	d := NewDetail(ev, nil, "https://example.amocrm.ru")
	var got []way
	for _, c := range changesOf(d) {
		got = append(got, way{c.Name, c.URL, c.On, c.OnTo})
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(way{})); diff != "" {
		t.Error(diff)
	}
	page := eventPage(t, sample(), d)
	for _, want := range []string{`create note 31 on <a href="` + at + `leads/detail/501"`, "made for this event"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestEventPage_SaysWhyAnEventWaits(t *testing.T) {
	waiting := func(change func(*Detail)) *Detail {
		d := &Detail{Item: Item{Seq: 20, Connection: "shop", Source: event.Jivo, Kind: "chat_accepted", State: event.Pending, Client: "7", ReceivedAt: noon}}
		change(d)
		return d
	}
	soon, long := noon.Add(90*1e9), noon.Add(-60*1e9)
	for _, c := range []struct {
		name     string
		event    *Detail
		problems []Problem
		want     []string
	}{
		{"account in trouble", waiting(func(*Detail) {}), []Problem{{Connection: "shop", What: "amoCRM is paused: banned", Hint: "support lifts bans"}}, []string{"amoCRM is paused: banned: support lifts bans."}},
		{"another's trouble", waiting(func(*Detail) {}), []Problem{{Connection: "b2b", What: "amoCRM is paused"}}, []string{"an earlier event of the same client comes first"}},
		{"the bridge's trouble", waiting(func(*Detail) {}), []Problem{{What: "the store cannot be written"}}, []string{"the store cannot be written."}},
		{"connection removed", waiting(func(d *Detail) { d.Connection = "old" }), nil, []string{"not in the config"}},
		{"tried before", waiting(func(d *Detail) { d.NextAt, d.Attempts, d.Detail = &soon, 2, "amoCRM: 422." }), nil, []string{"It will be tried at 2026-11-21 12:41:35 (in 1m), after 2 attempts that failed: amoCRM: 422.", "it goes on by itself"}},
		{"due", waiting(func(d *Detail) { d.NextAt = &long }), nil, []string{"It is due since 2026-11-21 12:39:05."}},
		{"parked", waiting(func(d *Detail) { d.State, d.NextAt = event.Parked, &soon }), nil, []string{"It waits for Jivo to describe its client, until 2026-11-21 12:41:35 at the latest.", "any event that describes the client"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := sample()
			f.problems = c.problems
			page := eventPage(t, f, c.event)
			for _, want := range c.want {
				if !strings.Contains(page, want) {
					t.Errorf("the page does not say %q", want)
				}
			}
			if strings.Contains(page, "/replay\"") {
				t.Error("an event that waits can be replayed")
			}
		})
	}
}

func TestEventPage_OffersAReplayOnlyWhereItCanWork(t *testing.T) {
	body := "{}"
	for _, c := range []struct {
		name   string
		state  event.State
		reason event.Reason
		body   *string
		want   string // why not
	}{
		{"dead", event.Dead, event.Refused, &body, ""},
		{"done", event.Done, "", &body, ""},
		{"body purged", event.Done, "", nil, "It cannot be replayed: its body is no longer kept"},
		{"forgotten", event.Dead, event.Forgotten, &body, "It cannot be replayed: its person was forgotten"},
	} {
		t.Run(c.name, func(t *testing.T) {
			page := eventPage(t, sample(), &Detail{Item: Item{Seq: 20, State: c.state, Reason: c.reason}, Body: c.body})
			if offered := strings.Contains(page, `action="/events/20/replay"`); offered != (c.want == "") {
				t.Errorf("offered: %v", offered)
			}
			if !strings.Contains(page, c.want) {
				t.Errorf("the page does not say %q", c.want)
			}
		})
	}
}

func TestRequestsInShort_CountsTroubleApart(t *testing.T) {
	for want, statuses := range map[string][]int{
		"no request was made for it":                 nil,
		"1 request, all accepted":                    {204},
		"2 requests, 1 refused":                      {200, 422},
		"2 requests, 2 without an answer":            {0, 0},
		"3 requests, 1 refused, 1 without an answer": {0, 400, 200},
	} {
		var all []event.Request
		for _, s := range statuses {
			all = append(all, event.Request{Status: s})
		}
		if got := requestsInShort(all); got != want {
			t.Errorf("%v: %q, want %q", statuses, got, want)
		}
	}
}

func TestBulkReplay_TakesOnlyWhatIsSafeToRepeat(t *testing.T) {
	for _, c := range []struct {
		state  event.State
		reason event.Reason
		want   bool
	}{
		{event.Dead, "", true}, {event.Dead, event.Refused, true}, {event.Dead, event.Forgotten, false},
		{event.Skipped, event.NoRule, true}, {event.Skipped, event.SwitchedOff, true}, {event.Skipped, event.ChannelClosed, true},
		{event.Skipped, "", false}, {event.Skipped, event.Duplicate, false}, {event.Skipped, event.Discarded, false},
		{event.Done, "", false}, {event.Pending, "", false}, {"", "", false},
	} {
		t.Run(string(c.state+"/"+event.State(c.reason)), func(t *testing.T) {
			f := sample()
			s, _ := serve(t, f, adminToken)
			list := ask(s, "GET", eventsURL("connection", "shop", "state", c.state, "reason", c.reason), "", asPage).Body.String()
			if got := strings.Contains(list, `action="/replay"`); got != c.want {
				t.Errorf("offered: %v", got)
			}
			w := ask(s, "POST", "/replay", form("csrf", hidden(t, list), "connection", "shop", "state", string(c.state), "reason", string(c.reason)), asForm)
			if (f.bulk != nil) != c.want || (w.Code == http.StatusSeeOther) != c.want {
				t.Errorf("%d, done: %v", w.Code, f.bulk != nil)
			}
		})
	}
	// A narrower list must not offer to replay more than it shows.
	s, _ := serve(t, sample(), adminToken)
	for _, narrower := range []string{"kind=chat_accepted", "client=7", "source=jivo"} {
		if strings.Contains(ask(s, "GET", "/events?state=dead&"+narrower, "", asPage).Body.String(), `action="/replay"`) {
			t.Errorf("%s: all dead events would be replayed", narrower)
		}
	}
}

func TestBulkReplay_OfSkippedOnesGoesBackToTheirList(t *testing.T) {
	s, _ := serve(t, sample(), adminToken)
	token := hidden(t, ask(s, "GET", "/", "", asPage).Body.String())
	w := ask(s, "POST", "/replay", form("csrf", token, "connection", "shop", "state", "skipped", "reason", "no_rule"), asForm)
	if got, want := w.Header().Get("Location"), "/events?connection=shop&reason=no_rule&state=skipped&did=replayed-7"; got != want {
		t.Fatalf("goes to %q, want %q", got, want)
	}
	after := ask(s, "GET", w.Header().Get("Location"), "", asPage).Body.String()
	if !strings.Contains(after, "Put to work again: 7 events.") {
		t.Error("the list does not say how many")
	}
}

func TestGist_SaysWhatCameInAFewLines(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       []fact
	}{
		{"chat", `{"event_name":"chat_finished","chat_id":1,"widget_id":"3948","agents":[{"name":"Anna"}],
			"visitor":{"name":"Ivan","phone":"+79160000001","number":"7"},"page":{"title":"Catalogue"},
			"session":{"utm_json":{"source":"yandex","campaign":"a%20b+c"}},
			"chat":{"messages":[{"type":"agent","message":"Hello"},{"type":"visitor","message":"How much?"}]}}`,
			[]fact{{"Visitor", "Ivan · +79160000001"}, {"Operator", "Anna"}, {"Messages", "2, the visitor's first: How much?"}, {"Page", "Catalogue"}, {"Source", "yandex · a b+c"}, {"Channel", "3948"}}},
		{"call", `{"event_name":"call_event","call":{"type":"incoming","status":"end","phone":"79160000001"}}`, []fact{{"Call", "incoming · end · 79160000001"}}},
		{"deal", `{"event_name":"created_deal","deal_id":5,"title":"Boots","amount":15000.5}`, []fact{{"Deal", "5 · Boots · 15 000.50"}}},
		{"task", `{"event_name":"created_task","task_id":6,"text":"Call","deal":{"deal_id":5}}`, []fact{{"Task", "6 · Call"}}},
		{"offline message is cut", `{"event_name":"offline_message","message":"` + strings.Repeat("ы", gistCut+1) + `"}`, []fact{{"Message", strings.Repeat("ы", gistCut) + "…"}}},
		{"unknown", `{"event_name":"weird","visitor":{"name":"Ivan"}}`, nil},
		{"unparsable", `garbage`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &Detail{Item: Item{Source: event.Jivo}, Body: &c.body}
			if diff := cmp.Diff(c.want, gist(d)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := gist(&Detail{Item: Item{Source: event.Jivo}}); got != nil {
		t.Errorf("without a body: %v", got)
	}
}

func TestPages_EmptyOnesSayWhatToDo(t *testing.T) {
	s, _ := serve(t, &fake{}, adminToken)
	for path, want := range map[string]string{
		"/": "No connection is configured", "/events": "No event has come yet", "/events?state=dead": "No event matches",
		"/dead": "no event needs you", "/events/4711": "retention.events",
	} {
		if !strings.Contains(ask(s, "GET", path, "", asPage).Body.String(), want) {
			t.Errorf("%s does not say %q", path, want)
		}
	}
	token := hidden(t, ask(s, "GET", "/", "", asPage).Body.String())
	if !strings.Contains(ask(s, "POST", "/search", form("csrf", token, "q", "x"), asForm).Body.String(), "No event carries it") {
		t.Error("a search without a hit says nothing")
	}
}

func TestPrice_GroupsDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999: "999", 1500: "1 500", 15000000: "15 000 000", 0.5: "0.50", -1234.5: "−1 234.50"} {
		if got := price(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}
