package mapping

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
)

// A note or task whose text comes out empty is none.
func TestApply_EmptyTextsMakeNothing(t *testing.T) {
	p := compiled(t, testEnv(), parseRules(t, `[{name: r, on: [chat_accepted], note: {text: '{{ visitor.name }}'}, task: {text: '{{ visitor.name }}'}}]`)...)
	for name, want := range map[string]int{"Иван": 1, "": 0, " \n": 0} {
		_, d := mapped(t, p, input("chat_accepted", obj{"visitor": obj{"name": name}}), event.CRM{})
		if len(d.Notes) != want || len(d.Tasks) != want {
			t.Errorf("%q: %d notes and %d tasks, want %d", name, len(d.Notes), len(d.Tasks), want)
		}
	}
}

// A task to call back is for a call that failed and that nobody answered, of whoever
// wanted to be spoken with.
func TestApply_CallBackIsForWhoWasNotAnswered(t *testing.T) {
	p := compiled(t, testEnv(), parseRules(t, `[{name: calls, on: [call_event], call: {to: lead}}]`)...)
	missed := event.Call{Incoming: true, Status: "error", Phone: "+79990000001"}
	for name, c := range map[string]struct {
		change func(*event.Call)
		want   string
	}{
		"missed":            {func(*event.Call) {}, "Перезвонить: +79990000001"},
		"missed, no number": {func(c *event.Call) { c.Phone = "" }, "Перезвонить"},
		"ended":             {func(c *event.Call) { c.Status = "end" }, ""},
		"answered":          {func(c *event.Call) { c.Answered = true }, ""},
		"outgoing":          {func(c *event.Call) { c.Incoming = false }, ""},
		"its record later":  {func(c *event.Call) { c.LateAsset = true }, ""},
	} {
		in := input("call_event", nil)
		call := missed
		c.change(&call)
		in.Call = &call
		if _, d := mapped(t, p, in, event.CRM{}); len(d.Calls) != 1 || d.Calls[0].CallBack != c.want {
			t.Errorf("%s: %+v", name, d.Calls)
		}
	}
}

// What a later rule says of phones and e-mails wins, unless it comes out empty.
func TestApply_EmptyPhonesOfALaterRuleBlankNothing(t *testing.T) {
	p := compiled(t, testEnv(), parseRules(t, `
- {name: first, on: [chat_accepted], contact: {phone: '8 916 000-00-01', email: A@example.com}}
- {name: second, on: [chat_accepted], contact: {phone: '{{ visitor.phone }}', email: '{{ visitor.email }}'}}
`)...)
	_, d := mapped(t, p, input("chat_accepted", nil), event.CRM{})
	if !slices.Equal(d.Contact.Phones, []string{"+79160000001"}) || !slices.Equal(d.Contact.Emails, []string{"a@example.com"}) {
		t.Errorf("%+v", d.Contact)
	}
	_, d = mapped(t, p, input("chat_accepted", obj{"visitor": obj{"phone": "8 916 000-00-02"}}), event.CRM{})
	if !slices.Equal(d.Contact.Phones, []string{"+79160000002"}) {
		t.Errorf("%+v", d.Contact)
	}
}

// The tags of a known client are written when they change in Jivo: one that a manager
// took off does not come back with the client's next event.
func TestClientUpdated_TagsAreWrittenWhenTheyChange(t *testing.T) {
	p := compiled(t, testEnv(), parseRules(t, `[{name: r, on: [client_updated], contact: {create: true, tags: [jivo, '{{ map(tags, .title) }}']}}]`)...)
	tags := func(titles ...string) obj {
		list := []any{}
		for _, title := range titles {
			list = append(list, obj{"title": title})
		}
		return complete(testSchema("client_updated"), obj{"tags": list}).(event.Object)
	}
	for name, c := range map[string]struct {
		last       obj
		contact    string
		tags, gone []string
	}{
		"a new contact":  {nil, "", []string{"jivo", "A", "B"}, nil},
		"first sight":    {nil, "1", []string{"jivo"}, nil},
		"the same":       {tags("B", "A"), "1", []string{"jivo"}, nil},
		"one more, less": {tags("A", "C"), "1", []string{"jivo", "B"}, []string{"C"}},
	} {
		in := input("client_updated", tags("A", "B"))
		in.Last = c.last
		_, d := mapped(t, p, in, found(c.contact, ""))
		if !slices.Equal(d.Contact.Tags, c.tags) || !slices.Equal(d.Contact.TagsRemove, c.gone) {
			t.Errorf("%s: tags %v, to be removed %v", name, d.Contact.Tags, d.Contact.TagsRemove)
		}
	}
}

// The field of the client's category has its name, whatever the connection's language.
func TestCategory_FieldHasItsNameInEveryLanguage(t *testing.T) {
	for _, language := range []string{"ru", "en", "pt", "es"} {
		env := testEnv()
		env.Language = language
		_, d := mapped(t, compiled(t, env), dealInput("assigned_status", obj{"status": obj{"status_id": "5"}}), found("1", ""))
		if d.Contact.Fields["?Категория Jivo"] != "category 5" || d.Contact.Fields["?"+textsIn(language).category] != "category 5" {
			t.Errorf("%s: %v", language, d.Contact.Fields)
		}
	}
}

// A deal stands elsewhere when any part of its place changed in Jivo: the pipeline,
// the stage or why it was lost.
func TestDeal_AnyPartOfItsPlaceIsAMove(t *testing.T) {
	place := func(pipeline, status, reason string) obj {
		return obj{"pipeline": obj{"pipeline_id": pipeline, "pipeline_status": obj{"pipeline_status_id": status},
			"pipeline_reject_reason": obj{"pipeline_reject_reason_id": reason}}}
	}
	for name, c := range map[string]struct {
		last, now     obj
		stage, reason string
	}{
		"nothing":  {place("6", "22", "21"), place("6", "22", "21"), "", ""},
		"reason":   {place("6", "22", "20"), place("6", "22", "21"), "lost", "Слишком дорого"},
		"stage":    {place("6", "19", ""), place("6", "22", "21"), "lost", "Слишком дорого"},
		"pipeline": {place("5", "22", "21"), place("6", "22", "21"), "lost", "Слишком дорого"},
	} {
		in := dealInput("updated_deal", deal(c.now))
		in.HasStage = func(string, string) bool { return false }
		in.Last = complete(testSchema("updated_deal"), deal(c.last)).(event.Object)
		if _, d := mapped(t, compiled(t, testEnv()), in, found("1", "2")); d.Lead.Stage != c.stage || d.Lead.LossReason != c.reason {
			t.Errorf("%s: %+v", name, d.Lead)
		}
	}
}

// A new deal whose stage has no namesake goes to the first stage of the pipeline of
// its name, with a warning; a found lead stays where it is.
func TestDeal_UnknownStageStaysInThePipelineOfItsName(t *testing.T) {
	for lead, want := range map[string]string{"": "Gruzly", "2": ""} {
		in := dealInput("created_deal", deal(stageOf("23", "")))
		in.HasStage = func(pipeline, stage string) bool { return pipeline == "Gruzly" && stage == "" }
		_, d := mapped(t, compiled(t, testEnv()), in, found("1", lead))
		if d.Lead.Pipeline != want || d.Lead.Stage != "" || len(d.Warnings) != 1 {
			t.Errorf("lead %q: %+v, %v", lead, d.Lead, d.Warnings)
		}
	}
}

// The contact of a deal is the client's: its responsible is theirs before the deal's,
// and a name is made up for a new one only.
func TestDeal_ContactIsTheClients(t *testing.T) {
	for name, c := range map[string]struct {
		client            event.Client
		contact           string
		want, responsible string
	}{
		"made of what is known":       {event.Client{ID: "1", Name: "John", Described: true, Responsible: event.Agent{ID: "9", Email: "own@example.com"}}, "", "John", "own@example.com"},
		"responsible by id":           {event.Client{ID: "1", Name: "John", Described: true, Responsible: event.Agent{ID: "9"}}, "", "John", "9"},
		"nobody's: the deal's":        {event.Client{ID: "1", Name: "John", Described: true}, "", "John", "two@example.com"},
		"made without a name":         {event.Client{ID: "1", Described: true}, "", "Посетитель 1", "two@example.com"},
		"found, and known by no name": {event.Client{ID: "1", Described: true}, "5", "", "two@example.com"},
	} {
		in := dealInput("created_deal", deal(nil))
		in.Client = &c.client
		if _, d := mapped(t, compiled(t, testEnv()), in, found(c.contact, "")); d.Contact.Name != c.want || d.Contact.Responsible != c.responsible {
			t.Errorf("%s: %+v", name, d.Contact)
		}
	}
}

// "0" is no id: a task of deal 0 is a task of no deal.
func TestTask_OfDealZeroStandsOnTheContact(t *testing.T) {
	plan, d := mapped(t, compiled(t, testEnv()), dealInput("created_task", obj{"task_id": "2", "text": "x", "deal": obj{"deal_id": "0"}}), event.CRM{})
	if plan.Lead != nil || d.Tasks[0].To != "contact" || d.Tasks[0].Deal != "" {
		t.Errorf("%+v %+v", plan.Lead, d.Tasks)
	}
}

// A rule that says how a client of the CRM stream is found is obeyed.
func TestBuiltins_ARuleMaySayHowClientsAreFound(t *testing.T) {
	p := compiled(t, testEnv(), parseRules(t, `[{name: r, on: [created_client], contact: {find: [phone]}}]`)...)
	plan, _ := mapped(t, p, dealInput("created_client", crmClientFields(nil)), event.CRM{})
	if diff := cmp.Diff(&event.Find{By: []string{"phone"}}, plan.Contact); diff != "" {
		t.Error(diff)
	}
}

// A made-up name gives way to the one that is known of the client.
func TestContact_KnownNameIsBetterThanAMadeUpOne(t *testing.T) {
	p := compiled(t, testEnv(), parseRules(t, `[{name: r, on: [chat_accepted], contact: {create: true, name: '{{ visitor.name ?? ("Посетитель " + visitor.number) }}'}}]`)...)
	for given, want := range map[string]string{"": "Мария", "Маша": "Маша"} {
		in := input("chat_accepted", obj{"visitor": obj{"number": "2198", "name": given}})
		in.Client.Name = "Мария"
		if _, d := mapped(t, p, in, event.CRM{}); d.Contact.Name != want {
			t.Errorf("%q: %q", given, d.Contact.Name)
		}
	}
}

// Attributes go into fields of their name, unless a rule speaks of the field.
func TestContact_RuleSpeaksBeforeAttributes(t *testing.T) {
	p := compiled(t, testEnv(), parseRules(t, `[{name: r, on: [chat_accepted], contact: {create: true, fields: {size: L, "?color": red}}}]`)...)
	in := input("chat_accepted", nil)
	in.Client.Attributes = map[string]string{"size": "XL", "color": "blue", "age": "7"}
	_, d := mapped(t, p, in, event.CRM{})
	if diff := cmp.Diff(map[string]string{"size": "L", "?color": "red", "?age": "7"}, d.Contact.Fields); diff != "" {
		t.Error(diff)
	}
}

// What a client wrote while they were nobody becomes notes when there is a contact.
func TestHeld_BecomesNotesWithTheContact(t *testing.T) {
	rule := func(create string) *Program {
		return compiled(t, testEnv(), parseRules(t, `[{name: r, on: [chat_accepted], contact: {create: `+create+`}}, {name: n, on: [chat_updated], note: {text: x}}]`)...)
	}
	for name, c := range map[string]struct {
		kind, create, contact string
		want                  int
	}{
		"made":            {"chat_accepted", "true", "", 1},
		"found":           {"chat_accepted", "false", "1", 1},
		"none":            {"chat_accepted", "false", "", 0},
		"not looked for":  {"chat_updated", "true", "", 0},
		"nobody's, found": {"chat_updated", "true", "1", 0},
	} {
		in := input(c.kind, nil)
		in.Client.Held = []event.Held{{Chat: "7", Text: "Привет"}}
		_, d := mapped(t, rule(c.create), in, found(c.contact, ""))
		held := slices.DeleteFunc(d.Notes, func(n event.Note) bool { return !strings.HasPrefix(n.Key, "held:7") })
		if len(held) != c.want || c.want > 0 && held[0].Service != "Jivo" {
			t.Errorf("%s: %+v", name, held)
		}
	}
}

// A touch that came by no advertisement takes nothing from this event's; what hides no
// text behind its percent signs stays as it is.
func TestUTM_TouchWithoutAnAdvertisementReplacesNothing(t *testing.T) {
	in := input("chat_accepted", obj{"session": obj{"utm": "utm_source=yandex|utm_term=%D0"}})
	in.Touch = &event.Touch{Page: "http://example.com/"}
	got := compiled(t, testEnv()).session(in, event.Plan{}, nil).utm()
	if got["source"] != "yandex" || got["term"] != "%D0" {
		t.Errorf("%v", got)
	}
}

// Rules see the attributes of the event before those that are kept of the client.
func TestAttributes_OfTheEventComeFirst(t *testing.T) {
	p := compiled(t, testEnv(), parseRules(t, `[{name: r, on: [client_attribute_updated], note: {text: '{{ attributes.size }} {{ attributes.age }}'}}]`)...)
	in := input("client_attribute_updated", obj{"attributes": obj{"size": "XL"}})
	in.Client.Attributes = map[string]string{"size": "L", "age": "7"}
	if _, d := mapped(t, p, in, event.CRM{}); len(d.Notes) != 1 || d.Notes[0].Text != "XL 7" {
		t.Errorf("%+v", d.Notes)
	}
}

// Where a visitor came from is told by an event that may make a lead; since when, if
// that was before.
func TestOrigin_IsOfEventsThatMayMakeALead(t *testing.T) {
	const note = `note: {text: '{{ origin() }}'}`
	for name, c := range map[string]struct {
		lead  string
		touch time.Duration // before the event
		want  string
	}{
		"may make one":    {`lead: {create: true}, `, 0, "Страница: http://example.com/"},
		"came before":     {`lead: {create: true}, `, time.Hour, "Первое посещение: 21.11.2026 14:00\nСтраница: http://example.com/"},
		"makes none":      {`lead: {create: false}, `, time.Hour, ""},
		"speaks of none":  {``, time.Hour, ""},
		"a touch to come": {`lead: {create: true}, `, -time.Hour, "Страница: http://example.com/"},
	} {
		in := input("chat_accepted", obj{"page": obj{"url": "http://example.com/"}})
		in.Touch = &event.Touch{At: in.Received.Add(-c.touch)}
		_, d := mapped(t, compiled(t, testEnv(), parseRules(t, `[{name: r, on: [chat_accepted], `+c.lead+note+`}]`)...), in, event.CRM{})
		got := ""
		if len(d.Notes) > 0 {
			got = d.Notes[0].Text
		}
		if got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Finished again: what invited the visitor was told with the first messages.
func TestTranscript_InvitationIsToldOnce(t *testing.T) {
	in := input("chat_finished", obj{"chat_id": "7", "chat": obj{"invitation": "Need help?", "messages": []any{
		obj{"message": "yes", "timestamp": 1665396476, "type": "visitor"}, obj{"message": "still", "timestamp": 1665396500, "type": "visitor"},
	}}})
	in.NotedTo = 1665396476
	got := compiled(t, testEnv()).Transcript(in)
	if strings.Contains(got, "Need help?") || !strings.Contains(got, "still") {
		t.Errorf("%q", got)
	}
}

// A block that ended before it began is none.
func TestBlacklist_EndedBlockTakesTheTagOff(t *testing.T) {
	p := compiled(t, testEnv())
	for name, c := range map[string]struct {
		from, to int
		on       bool
	}{"until later": {100, 200, true}, "for ever": {100, 0, true}, "ended": {200, 100, false}, "taken back at once": {100, 100, false}, "never": {0, 200, false}} {
		_, d := mapped(t, p, dealInput("changed_client_blacklist", obj{"blacklist": obj{"block_datetime_ts": c.from, "unblock_datetime_ts": c.to}}), found("1", ""))
		if (len(d.Contact.Tags) == 1) != c.on || (len(d.Contact.TagsRemove) > 0) == c.on {
			t.Errorf("%s: %+v", name, d.Contact)
		}
	}
}

// The contact of a deal is made from whatever is known of the client.
func TestDeal_ContactIsMadeOfWhateverIsKnown(t *testing.T) {
	for name, c := range map[string]struct {
		client event.Client
		want   bool
	}{
		"nothing": {event.Client{}, false}, "a name": {event.Client{Name: "John"}, true}, "a phone": {event.Client{Phones: []string{"+79990000001"}}, true},
		"an e-mail": {event.Client{Emails: []string{"j@example.com"}}, true}, "described": {event.Client{Described: true}, true},
	} {
		in := dealInput("created_deal", deal(nil))
		c.client.ID = "1"
		in.Client = &c.client
		if plan, _ := mapped(t, compiled(t, testEnv()), in, event.CRM{}); plan.Contact.Create != c.want {
			t.Errorf("%s: made %t", name, plan.Contact.Create)
		}
	}
}
