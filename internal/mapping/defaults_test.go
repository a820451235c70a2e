package mapping

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func finishedChat(more obj) obj {
	o := sample(obj{
		"assigned_agent": nil, "organization": nil, "tags": nil, "chat_id": "7607",
		"agents": []any{obj{"id": "1", "name": "Thomas Anderson", "email": "agent@jivosite.com"}},
		"chat": obj{"blacklisted": false, "rate": "positive", "messages": []any{
			obj{"message": "Hello", "timestamp": 1665396476, "type": "visitor"},
			obj{"message": "Good day", "timestamp": 1665396483, "type": "agent", "agent_id": "1"},
		}},
	})
	for k, v := range more {
		o[k] = v
	}
	return o
}

func callOf(status string) obj {
	return sample(obj{"agent": theAgent(), "chat_id": "4398",
		"call": obj{"type": "incoming", "phone": "+79990000002", "status": status, "record_url": "http://example.com/record.mp3"}})
}

// One golden file for each kind of event and state of affairs: what the
// default rules look for and want.
func TestDefaults_Golden(t *testing.T) {
	fresh, known := event.CRM{}, event.CRM{
		Contact: event.CRMEntity{ID: "1", Name: "Ivan", Responsible: "anna@example.com"},
		Lead:    event.CRMEntity{ID: "2", Name: "Manager's own name", Responsible: "anna@example.com", Pipeline: "Продажи", Stage: "Новый"},
	}
	linked := func(in *Input) { in.Known = true; in.Client.ContactID = 1 }
	for _, c := range []struct {
		name, kind string
		fields     obj
		crm        event.CRM
		also       func(*Input)
	}{
		{"chat_accepted", "chat_accepted", sample(obj{"agent": theAgent()}), fresh, nil},
		{"chat_accepted_known", "chat_accepted", sample(obj{"agent": theAgent()}), known, linked},
		{"chat_accepted_anonymous", "chat_accepted", anonymous(obj{"agent": theAgent()}), fresh, nil},
		{"chat_accepted_anonymous_with_known_phone", "chat_accepted", anonymous(obj{"agent": theAgent()}), fresh,
			func(in *Input) { in.Client.Phones = []string{"+79990000001"} }},
		{"chat_updated", "chat_updated", sample(obj{"assigned_agent": nil, "agent": theAgent()}), known, linked},
		{"chat_updated_no_longer_anonymous", "chat_updated", sample(obj{"agent": theAgent()}), fresh, func(in *Input) {
			in.Touch = &event.Touch{At: time.Unix(1665396476, 0), UTM: map[string]string{"source": "first"}, Page: "http://example.com/first", City: "Москва"}
			in.Client.Held = []event.Held{{Chat: "5", Seq: 7, Text: "Чат 5\nold talk"}}
		}},
		{"chat_finished", "chat_finished", finishedChat(nil), known, linked},
		{"chat_finished_missed", "chat_finished", finishedChat(nil), fresh, nil},
		{"chat_finished_blacklisted", "chat_finished", finishedChat(obj{"chat": obj{"blacklisted": true, "messages": []any{
			obj{"message": "Spam", "timestamp": 1665396476, "type": "visitor"}}}}), fresh, nil},
		{"chat_finished_anonymous", "chat_finished", finishedChat(obj{"visitor": obj{"number": "2198"}}), fresh, nil},
		{"offline_message", "offline_message", sample(obj{"message": "Message text", "offline_message_id": "1665399500726", "assigned_agent": nil}), fresh, nil},
		{"offline_message_known", "offline_message", sample(obj{"message": "Message text", "assigned_agent": nil}), known, linked},
		{"client_updated_new", "client_updated", sample(obj{"client_id": "2198"}), fresh, nil},
		{"client_updated_first_sight", "client_updated", sample(obj{"client_id": "2198"}), known, linked},
		{"client_updated_changed", "client_updated", sample(obj{"client_id": "2198"}), known, func(in *Input) {
			linked(in)
			in.Last = sample(obj{"assigned_agent": nil, "organization": obj{"id": "9", "name": "Other"}, "tags": []any{obj{"id": "1", "title": "Was"}}})
		}},
		{"client_updated_anonymous", "client_updated", anonymous(obj{"client_id": "2198"}), fresh, nil},
		{"call_event_ringing", "call_event", callOf("start"), fresh, nil},
		{"call_event_end", "call_event", callOf("end"), fresh, func(in *Input) {
			in.Call = &event.Call{Chat: "4398", N: 1, Incoming: true, Phone: "+79990000002", Answered: true, Duration: 42, Record: "http://example.com/record.mp3", Status: "end"}
		}},
		{"call_event_nobody_answered", "call_event", callOf("error"), known, func(in *Input) {
			linked(in)
			in.Call = &event.Call{Chat: "4398", N: 2, Incoming: true, Phone: "+79990000002", Status: "error", Reason: "all_busy"}
		}},
		{"call_event_outgoing_error", "call_event", callOf("error"), fresh, func(in *Input) {
			in.Call = &event.Call{Chat: "4398", N: 1, Phone: "+79990000002", Status: "error"}
		}},
		{"call_event_broke_off", "call_event", callOf("error"), fresh, func(in *Input) {
			in.Call = &event.Call{Chat: "4398", N: 1, Incoming: true, Phone: "+79990000002", Answered: true, Status: "error"}
		}},
		{"call_event_late_record", "call_event", callOf("end"), known, func(in *Input) {
			in.Call = &event.Call{Chat: "4398", N: 1, Incoming: true, Record: "http://example.com/record.mp3", Status: "error", LateAsset: true}
		}},
		{"fired_task", "fired_task", obj{"task_id": "2"}, fresh, nil},
		{"chat_assigned", "chat_assigned", sample(nil), fresh, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := input(c.kind, c.fields)
			if c.also != nil {
				c.also(in)
			}
			plan, d := mapped(t, compiled(t, testEnv(), defaults(t, "ru")...), in, c.crm)
			var buf bytes.Buffer
			enc := json.NewEncoder(&buf)
			enc.SetIndent("", "  ")
			enc.SetEscapeHTML(false)
			if err := enc.Encode(sparse(t, map[string]any{"plan": plan, "desired": d})); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", "defaults", c.name+".json"), buf.Bytes())
		})
	}
}

// sparse drops zero values, so that the golden files show what is there.
func sparse(t *testing.T, v any) any {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var x any
	if err := json.Unmarshal(raw, &x); err != nil {
		t.Fatal(err)
	}
	return prune(x)
}

func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if x = prune(x); x == nil {
				delete(v, k)
			} else {
				v[k] = x
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
		if len(v) == 0 {
			return nil
		}
	case string:
		if v == "" || strings.HasPrefix(v, "0001-01-01") {
			return nil
		}
	case float64:
		if v == 0 {
			return nil
		}
	case bool:
		if !v {
			return nil
		}
	}
	return v
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run with -update", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestDefaults_SpeakTheLanguage(t *testing.T) {
	for lang, want := range map[string][3]string{
		"ru": {"Чат: John Smith", "Ответить на обращение", "Посетитель 2198"},
		"en": {"Chat: John Smith", "Answer the message", "Visitor 2198"},
		"pt": {"Chat: John Smith", "Responder à mensagem", "Visitante 2198"},
		"es": {"Chat: John Smith", "Responder al mensaje", "Visitante 2198"},
	} {
		env := testEnv()
		env.Language = lang
		p := compiled(t, env, defaults(t, lang)...)
		_, d := mapped(t, p, input("offline_message", sample(obj{"message": "x"})), event.CRM{})
		nameless := input("chat_accepted", obj{"visitor": obj{"number": "2198", "phone": "+79990000001"}})
		_, n := mapped(t, p, nameless, event.CRM{})
		if got := [3]string{d.Lead.Name, d.Tasks[0].Text, n.Contact.Name}; got != want {
			t.Errorf("%s: %q", lang, got)
		}
	}
}

// A name made up for somebody nameless never replaces a real one, and a lead
// named by a person or a deal keeps its name.
func TestDefaults_MadeUpNamesNeverReplaceRealOnes(t *testing.T) {
	p := compiled(t, testEnv(), defaults(t, "ru")...)
	nameless := input("chat_updated", obj{"visitor": obj{"number": "2198", "phone": "+79990000001"}})
	for _, c := range []struct {
		in            *Input
		crm           event.CRM
		contact, lead string
	}{
		{nameless, event.CRM{}, "Посетитель 2198", "Чат: 2198"},
		{nameless, event.CRM{Contact: event.CRMEntity{ID: "1", Name: "John"}, Lead: event.CRMEntity{ID: "2", Name: "Чат: John"}}, "", ""},
		{input("chat_updated", sample(nil)), event.CRM{Contact: event.CRMEntity{ID: "1"}, Lead: event.CRMEntity{ID: "2", Name: "Чат: 2198"}}, "John Smith", "Чат: John Smith"},
		{input("chat_updated", sample(nil)), event.CRM{Contact: event.CRMEntity{ID: "1"}, Lead: event.CRMEntity{ID: "2", Name: "Сделка"}}, "John Smith", ""},
	} {
		_, d := mapped(t, p, c.in, c.crm)
		if d.Contact.Name != c.contact || d.Lead.Name != c.lead {
			t.Errorf("%+v: %q %q", c.crm, d.Contact.Name, d.Lead.Name)
		}
	}
}

func TestDefaults_AnonymousLead(t *testing.T) {
	env := testEnv()
	for setting, want := range map[string]bool{"hold": false, "ignore": false, "": false, "lead": true} {
		env.Anonymous = setting
		plan, _ := mapped(t, compiled(t, env, defaults(t, "ru")...), input("chat_accepted", anonymous(nil)), event.CRM{})
		if plan.Empty == want {
			t.Errorf("anonymous: %s: empty %v", setting, plan.Empty)
		}
	}
}
