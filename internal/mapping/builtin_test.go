package mapping

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
)

func deal(more obj) obj {
	o := obj{"deal_id": "3", "client": obj{"client_id": "1"}, "title": "Сделка", "text": "Описание", "amount": 15000000.0,
		"pipeline":       obj{"pipeline_id": "6", "pipeline_status": obj{"pipeline_status_id": "21"}},
		"assigned_agent": obj{"assigned_agent_id": "2"}}
	for k, v := range more {
		o[k] = v
	}
	return o
}

func stageOf(status, reason string) obj {
	return obj{"pipeline": obj{"pipeline_id": "6", "pipeline_status": obj{"pipeline_status_id": status},
		"pipeline_reject_reason": obj{"pipeline_reject_reason_id": reason}}}
}

func dealInput(kind string, fields obj) *Input {
	in := input(kind, fields)
	in.Client = &event.Client{ID: "1", Name: "John", Phones: []string{"+79990000001"}, Described: true}
	in.Jivo = testNames{}
	return in
}

func TestDeal_FirstSightIsTheWholeDealUnderFill(t *testing.T) {
	p := compiled(t, testEnv())
	plan, d := mapped(t, p, dealInput("created_deal", deal(nil)), event.CRM{})
	wantPlan := event.Plan{
		Rules:   []event.RuleTrace{{Rule: "builtin:deals", Matched: true}},
		Contact: &event.Find{By: []string{"client", "phone", "email"}, Create: true},
		Lead:    &event.Find{By: []string{"deal", "adopt"}, Create: true},
	}
	if diff := cmp.Diff(wantPlan, plan); diff != "" {
		t.Error(diff)
	}
	want := event.Desired{
		Contact: &event.Entity{Update: event.Fill, Create: true, Name: "John", Phones: []string{"+79990000001"}, Responsible: "two@example.com"},
		Lead: &event.Entity{Update: event.Fill, Create: true, Name: "Сделка", Price: "15000000", Responsible: "two@example.com",
			Pipeline: "Продажи", Stage: "Первичный контакт"},
		Notes: []event.Note{{Key: "builtin:deals", To: "lead", Text: "Описание"}},
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
}

func TestDeal_LaterOnlyWhatChangedInJivo(t *testing.T) {
	for _, c := range []struct {
		name  string
		now   obj
		lead  event.Entity
		notes int
	}{
		{"nothing", nil, event.Entity{}, 0},
		{"title: the stage is not dragged back", obj{"title": "New"}, event.Entity{Name: "New", Changed: []string{"name"}}, 0},
		{"amount", obj{"amount": 7.5}, event.Entity{Price: "7.5", Changed: []string{"price"}}, 0},
		{"amount taken away", obj{"amount": 0.0}, event.Entity{}, 0},
		{"text", obj{"text": "more"}, event.Entity{}, 1},
		{"agent", obj{"assigned_agent": obj{"assigned_agent_id": "9"}}, event.Entity{Responsible: "9", Changed: []string{"responsible"}}, 0},
		{"stage", stageOf("23", ""), event.Entity{Pipeline: "Gruzly", Stage: "Ждём", Changed: []string{"stage"}}, 0},
		{"won", stageOf("19", ""), event.Entity{Stage: "won", Changed: []string{"stage"}}, 0},
		{"lost", stageOf("22", "21"), event.Entity{Stage: "lost", LossReason: "Слишком дорого", Changed: []string{"stage", "loss_reason"}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := dealInput("updated_deal", deal(c.now))
			in.Last = complete(testSchema("updated_deal"), deal(nil)).(event.Object)
			_, d := mapped(t, compiled(t, testEnv()), in, found("1", "2"))
			c.lead.Update, c.lead.Create = event.Fill, true
			if diff := cmp.Diff(&c.lead, d.Lead); diff != "" {
				t.Error(diff)
			}
			if len(d.Notes) != c.notes {
				t.Errorf("%d notes", len(d.Notes))
			}
		})
	}
}

func TestDeal_ALeadThatIsGoneIsMadeWhole(t *testing.T) {
	in := dealInput("updated_deal", deal(obj{"title": "New"}))
	in.Last = complete(testSchema("updated_deal"), deal(nil)).(event.Object)
	_, d := mapped(t, compiled(t, testEnv()), in, found("1", ""))
	if d.Lead.Price == "" || d.Lead.Stage == "" || d.Lead.Changed != nil || len(d.Notes) != 0 {
		t.Errorf("%+v %v", d.Lead, d.Notes)
	}
}

func TestDeal_LateLeavesTheLeadAsANewerEventSays(t *testing.T) {
	for _, c := range []struct {
		text  string // of the newer event
		lead  string
		name  string
		notes int
	}{
		{"Описание", "2", "", 0},
		{"more", "2", "", 1},
		{"Описание", "", "Сделка", 0}, // nothing stands for it: it makes the lead
	} {
		in := dealInput("created_deal", deal(nil))
		in.Last, in.Late = complete(testSchema("updated_deal"), deal(obj{"title": "New", "amount": 7.0, "text": c.text})).(event.Object), true
		_, d := mapped(t, compiled(t, testEnv()), in, found("1", c.lead))
		if d.Lead.Name != c.name || (d.Lead.Price != "") != (c.name != "") || (d.Lead.Stage != "") != (c.name != "") || d.Lead.Changed != nil ||
			len(d.Notes) != c.notes || d.Contact == nil {
			t.Errorf("%+v: %+v", c, d)
		}
	}
}

func TestDeal_StageInTheOrderOfTheContract(t *testing.T) {
	all := func(pipeline, stage string) bool { return true }
	none := func(pipeline, stage string) bool { return false }
	for _, c := range []struct {
		name                          string
		status                        string
		has                           func(string, string) bool
		pipeline, stage, reason, warn string
	}{
		{"deals.stages by id", "20", all, "Продажи", "lost", "Слишком дорого", ""},
		{"deals.stages by titles", "21", all, "Продажи", "Первичный контакт", "", ""},
		{"equal titles", "23", all, "Gruzly", "Ждём", "", ""},
		{"equal titles of a final stage", "19", all, "Gruzly", "finished", "", ""},
		{"won", "19", none, "", "won", "", ""},
		{"won, dictionary not known", "19", nil, "Gruzly", "won", "", ""},
		{"lost", "22", none, "", "lost", "Слишком дорого", ""},
		{"no such stage", "23", none, "", "", "", "Jivo stage 23 has no stage of its name in amoCRM: name one under deals.stages"},
		{"a stage nobody named", "77", nil, "", "", "", "Jivo stage 77 has no stage of its name in amoCRM: name one under deals.stages"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := dealInput("created_deal", deal(stageOf(c.status, "21")))
			in.HasStage = c.has
			_, d := mapped(t, compiled(t, testEnv()), in, event.CRM{})
			if d.Lead.Pipeline != c.pipeline || d.Lead.Stage != c.stage || d.Lead.LossReason != c.reason {
				t.Errorf("%+v", d.Lead)
			}
			warn := ""
			if len(d.Warnings) > 0 {
				warn = d.Warnings[0]
			}
			if warn != c.warn {
				t.Errorf("warning %q", warn)
			}
		})
	}
}

func TestDeal_NobodyKnowsTheClient(t *testing.T) {
	in := dealInput("created_deal", deal(nil))
	in.Client = &event.Client{ID: "1"}
	plan, d := mapped(t, compiled(t, testEnv()), in, event.CRM{})
	if plan.Contact.Create || d.Contact.Create || d.Contact.Name != "" || d.Lead.Name != "Сделка" {
		t.Errorf("%+v %+v", plan.Contact, d.Contact)
	}
}

func TestDeal_Deleted(t *testing.T) {
	p := compiled(t, testEnv())
	plan, d := mapped(t, p, dealInput("deleted_deal", deal(nil)), found("", "5"))
	if diff := cmp.Diff(&event.Find{By: []string{"deal"}, Linked: true}, plan.Lead); diff != "" {
		t.Error(diff)
	}
	want := event.Desired{Lead: &event.Entity{Update: event.Fill, Tags: []string{"удалена в Jivo"}},
		Notes: []event.Note{{Key: "builtin:deals", To: "lead", Text: "Сделка удалена в Jivo"}}}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
	// Another lead of the client must not get the note.
	if _, d = mapped(t, p, dealInput("deleted_deal", deal(nil)), event.CRM{}); len(d.Notes) > 0 || d.Lead.Tags != nil {
		t.Errorf("a deal without a lead: %+v", d)
	}
}

func TestTask_OneTaskThroughItsLife(t *testing.T) {
	fields := obj{"task_id": "2", "text": "Текст", "agent": obj{"agent_id": "2"}, "client": obj{"client_id": "1"}, "notify_ts": 1677838380}
	base := event.TaskChange{Key: "builtin:tasks", To: "contact", Jivo: "2", Text: "Текст", Due: time.Unix(1677838380, 0).UTC(), Responsible: "two@example.com"}
	for _, c := range []struct {
		kind   string
		linked bool
		op     event.TaskOp
		result string
	}{
		{"created_task", false, event.TaskCreate, ""},
		{"created_task", true, event.TaskChanged, ""},
		{"updated_task", true, event.TaskChanged, ""},
		{"updated_task", false, event.TaskCreate, ""},
		{"completed_task", true, event.TaskComplete, ""},
		{"deleted_task", true, event.TaskComplete, "удалена в Jivo"},
	} {
		in := dealInput(c.kind, fields)
		in.Linked = c.linked
		_, d := mapped(t, compiled(t, testEnv()), in, event.CRM{})
		want := base
		want.Op, want.Result = c.op, c.result
		if diff := cmp.Diff([]event.TaskChange{want}, d.Tasks); diff != "" {
			t.Errorf("%s: %s", c.kind, diff)
		}
	}
	late := dealInput("updated_task", fields)
	late.Late, late.Linked = true, true
	if _, d := mapped(t, compiled(t, testEnv()), late, event.CRM{}); len(d.Tasks) != 0 {
		t.Errorf("late: %+v", d.Tasks)
	}
	late.Linked = false
	if _, d := mapped(t, compiled(t, testEnv()), late, event.CRM{}); len(d.Tasks) != 1 {
		t.Errorf("late, and no task yet: %+v", d.Tasks)
	}
	fields["deal"], fields["notify_ts"], fields["text"] = obj{"deal_id": "3"}, 0, ""
	plan, d := mapped(t, compiled(t, testEnv()), dealInput("created_task", fields), event.CRM{})
	if x := d.Tasks[0]; x.To != "lead" || x.Deal != "3" || x.Text != "Задача из Jivo" || !x.Due.IsZero() || x.DueIn != 24*time.Hour {
		t.Errorf("%+v", x)
	}
	if plan.Lead == nil || !plan.Lead.Linked || plan.Lead.Create || plan.Contact.Create {
		t.Errorf("%+v", plan)
	}
}

func crmClientFields(more obj) obj {
	o := obj{"client_id": "1", "name": "John Smith", "assigned_agent": obj{"assigned_agent_id": "2"},
		"organization": obj{"organization_id": "3"},
		"tags":         []any{obj{"tag_id": "6", "title": "Old"}, obj{"tag_id": "8", "title": "Eight"}},
		"contacts": []any{obj{"contact_type": "email", "contact": "JohnSmith@mail.com"},
			obj{"contact_type": "phone", "contact": "8 999 000-00-01"}, obj{"contact_type": "phone", "contact": "+14084987855"}}}
	for k, v := range more {
		o[k] = v
	}
	return o
}

func TestClient_TheLinkedContactIsFilled(t *testing.T) {
	whole := event.Entity{Update: event.Fill, Name: "John Smith", Company: "Company", Responsible: "two@example.com",
		Phones: []string{"+79990000001", "+14084987855"}, Emails: []string{"johnsmith@mail.com"}}
	sameTags := []any{obj{"tag_id": "6"}, obj{"title": "Eight"}}
	for _, c := range []struct {
		name, kind string
		last       obj
		changed    []string
		tags, gone []string
	}{
		{"first sight", "created_client", nil, nil, nil, nil},
		{"nothing changed", "updated_client", crmClientFields(obj{"tags": sameTags}), nil, nil, nil},
		{"a tag renamed or merged since", "updated_client", crmClientFields(nil), nil, []string{"NewOne"}, []string{"Old"}},
		{"name changed", "updated_client", crmClientFields(obj{"name": "J", "tags": sameTags}), []string{"name"}, nil, nil},
		{"tags changed", "updated_client", crmClientFields(obj{"tags": []any{obj{"tag_id": "6"}, obj{"title": "Gone"}}}), nil, []string{"Eight"}, []string{"Gone"}},
		{"the event says what changed", "assigned_agent_to_client", nil, []string{"responsible"}, nil, nil},
		{"the event says what changed too", "changed_client_company", nil, []string{"company"}, nil, nil},
		{"seen before in the channel stream", "updated_client",
			obj{"visitor": obj{"name": "John Smith"}, "organization": obj{"name": "Company"}, "assigned_agent": obj{"id": "1", "email": "other@example.com"}},
			[]string{"responsible"}, []string{"NewOne", "Eight"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := dealInput(c.kind, crmClientFields(nil))
			in.Last = c.last
			plan, d := mapped(t, compiled(t, testEnv()), in, found("1", ""))
			want := whole
			want.Changed, want.Tags, want.TagsRemove = c.changed, c.tags, c.gone
			if diff := cmp.Diff(event.Desired{Contact: &want}, d); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(&event.Find{By: []string{"client"}, Linked: true}, plan.Contact); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestClient_BlacklistDeletedCategoryAttributes(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		fields     obj
		want       event.Entity
	}{
		{"on", "changed_client_blacklist", obj{"blacklist": obj{"block_datetime_ts": 1677838504, "unblock_datetime_ts": 1709460904}}, event.Entity{Tags: []string{"чёрный список"}}},
		{"on for ever", "changed_client_blacklist", obj{"blacklist": obj{"block_datetime_ts": 1677838504}}, event.Entity{Tags: []string{"чёрный список"}}},
		{"off", "changed_client_blacklist", obj{"blacklist": nil}, event.Entity{TagsRemove: []string{"чёрный список", "blacklist", "lista negra"}}},
		{"deleted", "deleted_client", nil, event.Entity{Tags: []string{"удалён в Jivo"}}},
		{"category", "assigned_status", obj{"status": obj{"status_id": "5", "title": "unsuccessful"}}, event.Entity{Update: event.Overwrite, Fields: map[string]string{"?Категория Jivo": "unsuccessful"}}},
		{"category by id", "assigned_status", obj{"status": obj{"status_id": "5"}}, event.Entity{Update: event.Overwrite, Fields: map[string]string{"?Категория Jivo": "category 5"}}},
		{"attributes", "client_attribute_updated", obj{"attributes": obj{"size": "XL", "age": 15000000.0, "none": nil}}, event.Entity{Update: event.Overwrite, Fields: map[string]string{"?size": "XL", "?age": "15000000"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, d := mapped(t, compiled(t, testEnv()), dealInput(c.kind, c.fields), found("1", ""))
			if c.want.Update == "" {
				c.want.Update = event.Fill
			}
			if diff := cmp.Diff(event.Desired{Contact: &c.want}, d); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBuiltins_EachHasItsSwitch(t *testing.T) {
	for _, c := range []struct {
		off   func(*Builtin)
		kinds []string
	}{
		{func(b *Builtin) { b.Deals = false }, []string{"created_deal", "updated_deal", "deleted_deal"}},
		{func(b *Builtin) { b.Tasks = false }, []string{"created_task", "updated_task", "completed_task", "deleted_task"}},
		{func(b *Builtin) { b.Clients = false }, []string{"created_client", "updated_client", "updated_client_contacts", "assigned_agent_to_client", "changed_client_company"}},
		{func(b *Builtin) { b.BlacklistTag = false }, []string{"changed_client_blacklist"}},
		{func(b *Builtin) { b.DeletedTag = false }, []string{"deleted_client"}},
		{func(b *Builtin) { b.Categories = false }, []string{"assigned_status"}},
	} {
		env := testEnv()
		on := compiled(t, env)
		c.off(&env.Builtin)
		off := compiled(t, env)
		for _, kind := range testKinds() {
			a, _ := on.Plan(input(kind, nil))
			b, _ := off.Plan(input(kind, nil))
			switched := slices.Contains(c.kinds, kind)
			if a.Empty != b.Empty != switched || off.SwitchedOff(kind) != switched || on.SwitchedOff(kind) {
				t.Errorf("%s with %v: on %v, off %v", kind, c.kinds, a.Empty, b.Empty)
			}
		}
	}
}

// Rules add to a built-in's event and never replace what it does.
func TestBuiltins_RulesAddAndNeverReplace(t *testing.T) {
	p := compiled(t, testEnv(), parseRules(t, `
- name: more
  on: [created_deal]
  contact: {find: [email], create: false, name: no, company: Yes Ltd}
  lead: {find: [open], create: false, update: overwrite, pipeline: Other, name: no, price: '1', tags: [x], fields: {F: f}}
  note: {text: too}
  task: {text: call}
`)...)
	plan, d := mapped(t, p, dealInput("created_deal", deal(nil)), event.CRM{})
	if diff := cmp.Diff([]string{"deal", "adopt"}, plan.Lead.By); diff != "" || !plan.Lead.Create || plan.Lead.Pipeline != "" || !plan.Contact.Create {
		t.Errorf("%+v %+v", plan.Lead, plan.Contact)
	}
	want := &event.Entity{Update: event.Fill, Create: true, Name: "Сделка", Price: "15000000", Pipeline: "Продажи", Stage: "Первичный контакт",
		Responsible: "two@example.com", Tags: []string{"x"}, Fields: map[string]string{"F": "f"}}
	if diff := cmp.Diff(want, d.Lead); diff != "" {
		t.Error(diff)
	}
	if d.Contact.Name != "John" || d.Contact.Company != "Yes Ltd" || len(d.Notes) != 2 || len(d.Tasks) != 1 {
		t.Errorf("%+v %v %v", d.Contact, d.Notes, d.Tasks)
	}
}

// A client of the CRM stream is only remembered, unless a rule says to make a contact.
func TestBuiltins_ARuleMayMakeContactsOfClients(t *testing.T) {
	p := compiled(t, testEnv(), parseRules(t, `[{name: r, on: [created_client], contact: {create: true, name: no, tags: [new]}}]`)...)
	plan, d := mapped(t, p, dealInput("created_client", crmClientFields(nil)), event.CRM{})
	if diff := cmp.Diff(&event.Find{By: []string{"client", "phone", "email"}, Create: true}, plan.Contact); diff != "" {
		t.Error(diff)
	}
	if d.Contact.Name != "John Smith" || !slices.Contains(d.Contact.Tags, "new") {
		t.Errorf("%+v", d.Contact)
	}
}

// A deal deleted in Jivo tags its own lead, whatever a rule looks for.
func TestBuiltins_ALeadOfADealIsLookedForByTheDealOnly(t *testing.T) {
	p := compiled(t, testEnv(), parseRules(t, `
- {name: r, on: [deleted_deal, created_task], contact: {create: true}, lead: {find: [open], create: true}}
`)...)
	for kind, fields := range map[string]obj{"deleted_deal": deal(nil), "created_task": {"deal": obj{"deal_id": "3"}}} {
		plan, err := p.Plan(dealInput(kind, fields))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&event.Find{By: []string{"deal"}, Linked: true}, plan.Lead); diff != "" || !plan.Contact.Create {
			t.Errorf("%s: %s, contact %+v", kind, diff, plan.Contact)
		}
	}
}

func TestBuiltins_AStageGoesWithItsPipeline(t *testing.T) {
	p := compiled(t, testEnv(), parseRules(t, `[{name: r, on: [updated_deal], lead: {pipeline: Other, stage: New}}]`)...)
	in := dealInput("updated_deal", deal(stageOf("19", "")))
	in.Last = complete(testSchema("updated_deal"), deal(nil)).(event.Object)
	if _, d := mapped(t, p, in, found("1", "2")); d.Lead.Stage != "won" || d.Lead.Pipeline != "" {
		t.Errorf("%+v", d.Lead)
	}
}

func TestContacts_NobodyHasThousands(t *testing.T) {
	var list []any
	for i := range 10 * maxListed {
		list = append(list, obj{"contact_type": "phone", "contact": strconv.Itoa(1000 + i)})
	}
	if phones, _ := Contacts(input("created_client", obj{"contacts": list}), "RU"); len(phones) != maxListed {
		t.Errorf("%d phones", len(phones))
	}
}

func TestHandled(t *testing.T) {
	for kind, want := range map[string]string{
		"chat_accepted": "rules", "created_deal": "rules", "fired_task": "rules",
		"chat_assigned": "local", "created_pipeline": "local", "merged_client_tag": "local", "created_organization": "local",
		"": "unknown", "tuesday": "unknown",
	} {
		if got := Handled(kind, testKinds()); got != want {
			t.Errorf("%s: %s", kind, got)
		}
	}
}
