package items

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/event"
	"github.com/jivo-amocrm/bridge/internal/phone"
)

func demoShaper(t testing.TB) *Shaper {
	return &Shaper{
		Dict: demoDictionary(t), Region: "RU", MarkerField: "Jivo ID", Location: moscow,
		Agents: map[string]string{"agent1@gmail.com": "anna@example.com", "agent2@gmail.com": "gone@example.com", "*": "9002"},
	}
}

// asJSON is what goes over the wire.
func asJSON(t testing.TB, item map[string]any) string {
	t.Helper()
	if item == nil {
		return ""
	}
	raw, err := json.Marshal(item)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func texts(ws []Warning) []string {
	var out []string
	for _, w := range ws {
		out = append(out, w.Text)
	}
	return out
}

func TestShaperLead_NewLead(t *testing.T) {
	item, ws := demoShaper(t).Lead(&event.Entity{
		Name: "Чат: Мария\n", Price: "15000", Pipeline: "продажи", Stage: "переговоры", Responsible: "agent1@gmail.com",
		Tags: []string{"jivo", "Jivo", " Отдел ", ""}, TagsRemove: []string{"old"},
		Fields: map[string]string{"UTM_SOURCE": "yandex", "Город": "Москва", "Согласие": "да"},
	}, nil, nil, "jv-c1@shop jv-k2@shop")
	want := `{"custom_fields_values":[{"field_id":1202,"values":[{"value":"jv-c1@shop jv-k2@shop"}]},` +
		`{"field_id":1201,"values":[{"value":"yandex"}]},{"field_id":1203,"values":[{"enum_id":31}]},{"field_id":1209,"values":[{"value":true}]}],` +
		`"name":"Чат: Мария","pipeline_id":700001,"price":15000,"responsible_user_id":9001,"status_id":70000003,` +
		`"tags_to_add":[{"name":"jivo"},{"name":"Отдел"}]}`
	if diff := cmp.Diff(want, asJSON(t, item)); diff != "" || len(ws) != 0 {
		t.Errorf("%s %v", diff, texts(ws))
	}
}

func TestShaperLead_NothingNamedGoesToTheFirstStageOfTheMainPipeline(t *testing.T) {
	item, ws := demoShaper(t).Lead(&event.Entity{}, nil, nil, "")
	if got := asJSON(t, item); got != `{"pipeline_id":700001,"status_id":70000002}` || len(ws) != 0 {
		t.Errorf("%s %v", got, texts(ws))
	}
}

func TestShaperLead_PlaceOfANewLead(t *testing.T) {
	for _, c := range []struct {
		pipeline, stage string
		wantPipeline    int64
		wantStatus      int64
		warned          WarningKind
	}{
		{"Сервис", "", 700002, 80000002, ""},
		{"Сервис", "won", 700002, 142, ""},
		{"", "lost", 700001, 143, ""},
		{"", "unsorted", 700001, 70000001, ""},
		{"", "80000002", 700002, 80000002, ""},
		{"Сервис", "Переговоры", 700002, 80000002, WarnStage},
		{"Нет такой", "Переговоры", 700001, 70000003, WarnPipeline},
		{"Старая", "", 700001, 70000002, WarnPipeline}, // archived
	} {
		item, ws := demoShaper(t).Lead(&event.Entity{Pipeline: c.pipeline, Stage: c.stage}, nil, nil, "")
		if item["pipeline_id"] != c.wantPipeline || item["status_id"] != c.wantStatus {
			t.Errorf("%q/%q: %v", c.pipeline, c.stage, item)
		}
		if c.warned == "" && len(ws) != 0 || c.warned != "" && (len(ws) != 1 || ws[0].Kind != c.warned || ws[0].Name == "") {
			t.Errorf("%q/%q: warnings %+v", c.pipeline, c.stage, ws)
		}
	}
}

// knownLead is a lead as read from amoCRM.
func knownLead() *event.Lead {
	return &event.Lead{
		ID: 501, Name: "By hand", Price: 100, PipelineID: 700001, StatusID: 70000002, ResponsibleID: 9003, Tags: []string{"Jivo"},
		Fields: map[int64]event.Values{1202: {{Text: "jv-c1@shop"}}, 1203: {{Text: "Орёл", EnumID: 32}}},
	}
}

func TestShaperLead_Updating(t *testing.T) {
	full := event.Entity{
		Name: "New", Price: "200", Pipeline: "Сервис", Stage: "Заявка", Responsible: "agent1@gmail.com", Tags: []string{"jivo"},
		Fields: map[string]string{"Город": "Москва"},
	}
	for _, c := range []struct {
		name    string
		mode    event.Mode
		changed []string
		have    func(*event.Lead)
		wrote   map[string]string
		want    string
	}{
		{name: "fill leaves what a manager wrote", mode: event.Fill},
		{name: "no mode is fill"},
		{name: "never writes nothing", mode: event.Never, changed: []string{"name"}, have: func(l *event.Lead) { l.Name = "" }},
		{name: "fill writes what is empty", mode: event.Fill,
			have: func(l *event.Lead) { l.Name, l.Price, l.Fields[1203] = "", 0, nil },
			want: `{"custom_fields_values":[{"field_id":1203,"values":[{"enum_id":31}]}],"id":501,"name":"New","price":200}`},
		{name: "fill writes what the bridge wrote last", mode: event.Fill,
			wrote: map[string]string{"name": "By hand", "price": "100", "field:1203": "#32"},
			want:  `{"custom_fields_values":[{"field_id":1203,"values":[{"enum_id":31}]}],"id":501,"name":"New","price":200}`},
		{name: "fill leaves what was changed after the bridge wrote it", mode: event.Fill,
			wrote: map[string]string{"name": "Before", "price": "99", "field:1203": "#31"}},
		{name: "fill never sets the responsible, not even an empty one", mode: event.Fill, have: func(l *event.Lead) { l.ResponsibleID = 0 }},
		{name: "changed in Jivo is written under fill", mode: event.Fill, changed: []string{"name", "price", "responsible", "stage"},
			want: `{"id":501,"name":"New","pipeline_id":700002,"price":200,"responsible_user_id":9001,"status_id":80000002}`},
		{name: "one change writes one field", mode: event.Fill, changed: []string{"price"}, want: `{"id":501,"price":200}`},
		{name: "overwrite writes what differs", mode: event.Overwrite,
			have: func(l *event.Lead) { l.Price = 200 },
			want: `{"custom_fields_values":[{"field_id":1203,"values":[{"enum_id":31}]}],"id":501,"name":"New","pipeline_id":700002,"responsible_user_id":9001,"status_id":80000002}`},
		{name: "overwrite of equal writes nothing", mode: event.Overwrite,
			have: func(l *event.Lead) {
				l.Name, l.Price, l.PipelineID, l.StatusID, l.ResponsibleID = "New", 200, 700002, 80000002, 9001
				l.Fields[1203] = event.Values{{Text: "Москва", EnumID: 31}}
			}},
		{name: "what is unknown is not empty", mode: event.Fill,
			have: func(l *event.Lead) { l.Name, l.Price, l.Fields, l.Partial = "", 0, nil, true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			want, have := full, knownLead()
			want.Update, want.Changed = c.mode, c.changed
			if c.have != nil {
				c.have(have)
			}
			item, ws := demoShaper(t).Lead(&want, have, c.wrote, "")
			if diff := cmp.Diff(c.want, asJSON(t, item)); diff != "" || len(ws) != 0 {
				t.Errorf("%s %v", diff, texts(ws))
			}
		})
	}
}

func TestShaperLead_EmptyNeverBlanks(t *testing.T) {
	for _, mode := range []event.Mode{event.Fill, event.Overwrite} {
		want := &event.Entity{Update: mode, Price: "0", Name: " ", Fields: map[string]string{"Город": "", "Комментарий": "\x00"},
			Changed: []string{"name", "price", "stage", "responsible", "loss_reason"}}
		if item, ws := demoShaper(t).Lead(want, knownLead(), nil, ""); item != nil || len(ws) != 0 {
			t.Errorf("%s: %v %v", mode, item, texts(ws))
		}
	}
}

func TestShaperLead_MoveNamesThePipelineEvenOfWonAndLost(t *testing.T) {
	for stage, status := range map[string]int64{"won": 142, "lost": 143, "Успешно реализовано": 142} {
		item, _ := demoShaper(t).Lead(&event.Entity{Stage: stage, Changed: []string{"stage"}}, knownLead(), nil, "")
		if item["status_id"] != status || item["pipeline_id"] != int64(700001) {
			t.Errorf("%s: %v", stage, item)
		}
	}
}

func TestShaperLead_UnknownPlaceOfAKnownLead(t *testing.T) {
	have := knownLead()
	have.PipelineID, have.StatusID = 700002, 142
	item, ws := demoShaper(t).Lead(&event.Entity{Pipeline: "Нет", Stage: "lost", Changed: []string{"stage"}}, have, nil, "")
	if item["pipeline_id"] != int64(700002) || item["status_id"] != int64(143) || len(ws) != 1 {
		t.Errorf("an unknown pipeline leaves the lead in its own: %v %v", item, texts(ws))
	}
	item, ws = demoShaper(t).Lead(&event.Entity{Stage: "Нет", Changed: []string{"stage"}}, have, nil, "")
	if item["status_id"] != int64(80000002) || len(ws) != 1 {
		t.Errorf("an unknown stage is the first: %v %v", item, texts(ws))
	}
}

func TestShaperLead_LossReasonOnlyOfALostLead(t *testing.T) {
	s := demoShaper(t)
	lost := knownLead()
	lost.StatusID = 143
	for _, c := range []struct {
		name   string
		want   event.Entity
		have   *event.Lead
		reason any
		warned int
	}{
		{"created lost", event.Entity{Stage: "lost", LossReason: "дорого"}, nil, int64(71), 0},
		{"created open", event.Entity{LossReason: "дорого"}, nil, nil, 1},
		{"moved to lost", event.Entity{Stage: "lost", LossReason: "72", Changed: []string{"stage"}}, knownLead(), int64(72), 0},
		{"moved to won", event.Entity{Stage: "won", LossReason: "72", Changed: []string{"stage"}}, knownLead(), nil, 1},
		{"stands lost", event.Entity{LossReason: "дорого"}, lost, int64(71), 0},
		{"stands open", event.Entity{LossReason: "дорого"}, knownLead(), nil, 0},
		{"no such reason", event.Entity{Stage: "lost", LossReason: "луна"}, nil, nil, 1},
	} {
		item, ws := s.Lead(&c.want, c.have, nil, "")
		if item["loss_reason_id"] != c.reason || len(ws) != c.warned {
			t.Errorf("%s: %v %v", c.name, item, texts(ws))
		}
	}
}

func TestShaperLead_BadValuesAreDroppedByNameAndTheRestGoesThrough(t *testing.T) {
	const secret = "canary-value"
	item, ws := demoShaper(t).Lead(&event.Entity{
		Name: "Lead", Price: secret,
		Fields: map[string]string{"Город": secret, "Дата": secret, "NOPE": secret, "Файл": secret, "UTM_SOURCE": "ok", "utm_source": "x", "1206": secret},
	}, nil, nil, "")
	if item["name"] != "Lead" || item["price"] != nil || !strings.Contains(asJSON(t, item), `{"field_id":1201,"values":[{"value":"ok"}]}`) {
		t.Errorf("the rest: %s", asJSON(t, item))
	}
	want := []string{
		`lead price: not an amount`, `lead field "1206": not a number`, `lead field "NOPE": no such field`,
		`lead field "utm_source": already written under another name`, `lead field "Город": no such option`,
		`lead field "Дата": not a date`, `lead field "Файл": fields of its type cannot be written`,
	}
	got := texts(ws)
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	names := 0
	for _, w := range ws {
		if strings.Contains(w.Text+w.Name, secret) {
			t.Errorf("a value leaks: %+v", w)
		}
		if w.Name != "" {
			names++
		}
	}
	if names != 2 {
		t.Errorf("%d unresolved names, want NOPE and the option of Город", names)
	}
}

func TestShaperLead_PriceIsWholeButOnKommo(t *testing.T) {
	for text, want := range map[string][2]string{"100": {`100`, `100`}, "100.00": {`100`, `100`}, "100,5": {`101`, `100.5`}, "15,000": {`15000`, `15000`}} {
		for i, cents := range []bool{false, true} {
			s := demoShaper(t)
			s.Cents = cents
			item, _ := s.Lead(&event.Entity{Price: text}, nil, nil, "")
			if raw, _ := json.Marshal(item["price"]); string(raw) != want[i] {
				t.Errorf("%q: %s, cents %v", text, raw, cents)
			}
		}
	}
}

func TestShaper_MarkerIsFirstAndMerged(t *testing.T) {
	s := demoShaper(t)
	if item, _ := s.Lead(&event.Entity{}, knownLead(), nil, "jv-c1@shop"); item != nil {
		t.Errorf("a token that stands there is not written again: %v", item)
	}
	item, _ := s.Lead(&event.Entity{Fields: map[string]string{"Jivo ID": "mine"}}, knownLead(), nil, "jv-k2@shop")
	want := `{"custom_fields_values":[{"field_id":1202,"values":[{"value":"jv-c1@shop jv-k2@shop"}]}],"id":501}`
	if diff := cmp.Diff(want, asJSON(t, item)); diff != "" {
		t.Error(diff)
	}
	thin := &event.Lead{ID: 501, Partial: true}
	if item, _ := s.Lead(&event.Entity{}, thin, nil, "jv-k2@shop"); item != nil {
		t.Errorf("tokens nobody has read would be lost: %v", item)
	}
	s.MarkerField = "No such field"
	if item, ws := s.Lead(&event.Entity{}, knownLead(), nil, "jv-k2@shop"); item != nil || len(ws) != 0 {
		t.Errorf("without the field: %v %v", item, texts(ws))
	}
}

func TestShaper_FortyValuesAtMostMarkerKept(t *testing.T) {
	s := demoShaper(t)
	want := &event.Entity{Fields: map[string]string{}}
	for i := range 60 {
		id := int64(5000 + i)
		s.Dict.Fields["leads"] = append(s.Dict.Fields["leads"], dict.Field{ID: id, Name: fmt.Sprint("f", i), Type: "text"})
		want.Fields[fmt.Sprint("f", i)] = "x"
	}
	item, ws := s.Lead(want, nil, nil, "jv-c1@shop")
	fields := item["custom_fields_values"].([]any)
	if len(fields) != 40 || len(ws) != 21 {
		t.Errorf("%d fields, %d warnings", len(fields), len(ws))
	}
	if first := fields[0].(map[string]any); first["field_id"] != int64(1202) {
		t.Errorf("first is %v", first)
	}
}

func TestShaper_Tags(t *testing.T) {
	tag := func(name string) any { return map[string]any{"name": name} }
	wrote := Wrote(map[string]any{"tags_to_add": []any{tag("jivo"), tag("X")}, "tags_to_delete": []any{tag("старый")}})
	item, _ := demoShaper(t).Lead(&event.Entity{Tags: []string{"jivo", "новый"}, TagsRemove: []string{"JIVO", "нет такого"}},
		&event.Lead{ID: 501, Tags: []string{"Jivo"}}, nil, "")
	if got := asJSON(t, item); got != `{"id":501,"tags_to_add":[{"name":"новый"}]}` {
		t.Errorf("wanted tags win: %s", got)
	}
	item, _ = demoShaper(t).Lead(&event.Entity{TagsRemove: []string{"JIVO", "нет такого"}}, &event.Lead{ID: 501, Tags: []string{"Jivo"}}, wrote, "")
	if got := asJSON(t, item); got != `{"id":501,"tags_to_delete":[{"name":"JIVO"}]}` {
		t.Errorf("only what is there goes: %s", got)
	}
	item, _ = demoShaper(t).Lead(&event.Entity{TagsRemove: []string{"Jivo"}}, &event.Lead{ID: 501, Tags: []string{"Jivo"}}, nil, "")
	if item != nil {
		t.Errorf("a tag the bridge did not add goes: %v", item)
	}
	item, _ = demoShaper(t).Lead(&event.Entity{TagsRemove: []string{"x"}}, &event.Lead{ID: 501, Partial: true}, wrote, "")
	if got := asJSON(t, item); got != `{"id":501,"tags_to_delete":[{"name":"x"}]}` {
		t.Errorf("unknown tags: %s", got)
	}
}

func TestShaperContact_NewContact(t *testing.T) {
	item, ws := demoShaper(t).Contact(&event.Entity{
		Name: "Мария", Phones: []string{"8 (999) 000-00-01", "+79990000001", "-"}, Emails: []string{"A@Example.com", "nobody"},
		Tags: []string{"jivo"}, Fields: map[string]string{"PHONE": "+7 999 000 00 02", "IM": "maria"},
	}, nil, nil, "jv-c1@shop")
	want := `{"custom_fields_values":[{"field_id":104,"values":[{"value":"jv-c1@shop"}]},` +
		`{"field_id":101,"values":[{"enum_code":"WORK","value":"+79990000001"},{"enum_code":"WORK","value":"+79990000002"}]},` +
		`{"field_id":103,"values":[{"enum_code":"WORK","value":"a@example.com"}]},` +
		`{"field_id":106,"values":[{"enum_code":"OTHER","value":"maria"}]}],"name":"Мария","tags_to_add":[{"name":"jivo"}]}`
	if diff := cmp.Diff(want, asJSON(t, item)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"contact phone: not one", "contact email: not one"}, texts(ws)); diff != "" {
		t.Error(diff)
	}
}

func TestShaperContact_AddsBesideWhatIsThere(t *testing.T) {
	have := &event.Contact{ID: 801, Name: "Maria", Phones: []event.Value{{Text: "8 999 000-00-01", EnumID: 12, Enum: "MOB"}, {Text: "333", Enum: "OTHER"}},
		Emails: []event.Value{{Text: "A@example.com", EnumID: 21}}}
	for _, mode := range []event.Mode{event.Fill, event.Overwrite} {
		want := &event.Entity{Update: mode, Phones: []string{"+79990000001"}, Emails: []string{"a@EXAMPLE.com"}}
		if item, _ := demoShaper(t).Contact(want, have, nil, ""); item != nil {
			t.Errorf("%s: what is there in another spelling is written again: %v", mode, item)
		}
		want.Phones = append(want.Phones, "+79990000005")
		item, _ := demoShaper(t).Contact(want, have, nil, "")
		wire := `{"custom_fields_values":[{"field_id":101,"values":[{"enum_id":12,"value":"8 999 000-00-01"},{"enum_code":"OTHER","value":"333"},{"enum_code":"WORK","value":"+79990000005"}]}],"id":801}`
		if diff := cmp.Diff(wire, asJSON(t, item)); diff != "" {
			t.Errorf("%s: %s", mode, diff)
		}
	}
	thin := &event.Contact{ID: 801, Partial: true}
	item, ws := demoShaper(t).Contact(&event.Entity{Phones: []string{"+79990000005"}}, thin, nil, "")
	if item != nil || len(ws) != 1 || ws[0].Kind != WarnUnread {
		t.Errorf("phones nobody has read would be lost: %v %v", item, texts(ws))
	}
}

func TestShaper_AnAccountHookCountsAsKnown(t *testing.T) {
	hook := &event.Contact{ID: 801, UpdatedAt: 1795000000, Partial: true, Fields: map[int64]event.Values{104: {{Text: "jv-c1@shop"}}}}
	item, _ := demoShaper(t).Contact(&event.Entity{Name: "M", Phones: []string{"+79990000005"}}, hook, nil, "")
	want := `{"custom_fields_values":[{"field_id":101,"values":[{"enum_code":"WORK","value":"+79990000005"}]}],"id":801,"name":"M"}`
	if diff := cmp.Diff(want, asJSON(t, item)); diff != "" {
		t.Errorf("the first phone of a contact known from a hook: %s", diff)
	}
	hook.Fields[101] = event.Values{{Text: "333", EnumID: 12}}
	item, _ = demoShaper(t).Contact(&event.Entity{Phones: []string{"+79990000005"}}, hook, nil, "")
	if got := asJSON(t, item); !strings.Contains(got, `{"enum_id":12,"value":"333"}`) {
		t.Errorf("a phone known as a field only is lost: %s", got)
	}
}

func TestShaperContact_WithoutADictionaryPhonesGoByCode(t *testing.T) {
	item, _ := (&Shaper{Region: "RU"}).Contact(&event.Entity{Name: "M", Phones: []string{"+79990000001"}}, nil, nil, "jv-c1@shop")
	want := `{"custom_fields_values":[{"field_code":"PHONE","values":[{"enum_code":"WORK","value":"+79990000001"}]}],"name":"M"}`
	if diff := cmp.Diff(want, asJSON(t, item)); diff != "" {
		t.Error(diff)
	}
}

func TestShaper_Responsible(t *testing.T) {
	s := demoShaper(t)
	for _, c := range []struct {
		want   string
		id     int64
		warned int
	}{
		{"agent1@gmail.com", 9001, 0},
		{" Agent1@Gmail.com", 9001, 0},
		{"Анна Федорова", 9001, 0},     // a name, as crm.contact.responsible has it
		{"ivan2@example.com", 9003, 0}, // before "*"
		{"9003", 9003, 0},
		{"agent2@gmail.com", 9002, 1}, // mapped to one who has left
		{"stranger@gmail.com", 9002, 0},
		{"Иван Петров", 9002, 0}, // two bear the name
		{"", 0, 0},
	} {
		if id, ws := s.Responsible(c.want); id != c.id || len(ws) != c.warned {
			t.Errorf("%q: %d %v, want %d", c.want, id, texts(ws), c.id)
		}
	}
	delete(s.Agents, "*")
	id, ws := s.Responsible("stranger@gmail.com")
	if id != 0 || len(ws) != 1 || ws[0].Name != "stranger@gmail.com" || strings.Contains(ws[0].Text, "stranger") {
		t.Errorf("%d %+v", id, ws)
	}
}

func TestShaper_ResponsibleWithoutTheRightToReadUsers(t *testing.T) {
	s := &Shaper{Dict: &dict.Snapshot{}, Agents: map[string]string{"a@x.ru": "9001", "b@x.ru": "b@example.com"}}
	if id, _ := s.Responsible("a@x.ru"); id != 9001 {
		t.Errorf("an id of the config: %d", id)
	}
	for _, want := range []string{"b@x.ru", "22"} {
		if id, ws := s.Responsible(want); id != 0 || len(ws) == 0 {
			t.Errorf("%q: %d", want, id)
		}
	}
}

func TestWrote_IsWhatFillTakesForItsOwn(t *testing.T) {
	s := demoShaper(t)
	s.Cents = true
	first := &event.Entity{Name: "A", Price: "100.5", Fields: map[string]string{
		"Город": "Орёл", "Интерес": "Окна;Крыши", "Дата": "21.11.2026", "Согласие": "да", "1206": "5,50", "Комментарий": "a\nb"}}
	item, ws := s.Lead(first, nil, nil, "")
	if len(ws) != 0 {
		t.Fatal(texts(ws))
	}
	var again map[string]any // through JSON, as the ledger keeps it
	if err := json.Unmarshal([]byte(asJSON(t, item)), &again); err != nil {
		t.Fatal(err)
	}
	wrote := Wrote(item)
	if diff := cmp.Diff(wrote, Wrote(again)); diff != "" {
		t.Error(diff)
	}
	day := fmt.Sprint(time.Date(2026, 11, 21, 0, 0, 0, 0, moscow).Unix())
	have := &event.Lead{ID: 501, Name: "A", Price: 100.5, PipelineID: 700001, StatusID: 70000002, Fields: map[int64]event.Values{
		1203: {{Text: "Орёл", EnumID: 32}}, 1204: {{Text: "Крыши", EnumID: 43}, {Text: "Окна", EnumID: 41}},
		1207: {{Text: day}}, 1209: {{Text: "1"}}, 1206: {{Text: "5.5"}}, 1208: {{Text: "a\nb"}}}}
	second := &event.Entity{Name: "B", Price: "200", Fields: map[string]string{
		"Город": "Москва", "Интерес": "Окна", "Дата": "22.11.2026", "Согласие": "нет", "1206": "6", "Комментарий": "c"}}
	next, _ := s.Lead(second, have, wrote, "")
	if got, want := len(Wrote(next)), 8; got != want {
		t.Errorf("%d of %d written again: %s", got, want, asJSON(t, next))
	}
	if same, _ := s.Lead(first, have, wrote, ""); same != nil {
		t.Errorf("the same once more: %s", asJSON(t, same))
	}
}

func TestShaper_FillNeverChangesAManagersValue(t *testing.T) {
	s := demoShaper(t)
	word := rapid.SampledFrom([]string{"", "Окна", "Москва", "5", "21.11.2026", "да"})
	keys := rapid.SampledFrom([]string{"UTM_SOURCE", "Город", "Интерес", "1206", "Дата", "Комментарий", "Согласие"})
	rapid.Check(t, func(t *rapid.T) {
		have := &event.Lead{ID: 501, PipelineID: 700001, StatusID: rapid.SampledFrom([]int64{70000002, 142, 143}).Draw(t, "status"),
			ResponsibleID: 9003, LossReasonID: 71, Name: rapid.SampledFrom([]string{"", "Mine"}).Draw(t, "name"),
			Price: rapid.SampledFrom([]float64{0, 77}).Draw(t, "price"), Fields: map[int64]event.Values{}}
		for _, key := range rapid.SliceOf(keys).Draw(t, "set") {
			f, _ := s.Dict.Field("leads", key)
			have.Fields[f.ID] = event.Values{{Text: "by a manager", EnumID: 99}}
		}
		want := &event.Entity{Update: event.Fill, Name: word.Draw(t, "want name"), Price: word.Draw(t, "want price"), Stage: "won", Pipeline: "Сервис",
			Responsible: "agent1@gmail.com", LossReason: "72", Fields: rapid.MapOf(keys, word).Draw(t, "fields")}
		item, _ := s.Lead(want, have, map[string]string{"name": "Other", "price": "1"}, "")
		for key, set := range map[string]bool{"name": have.Name != "", "price": have.Price != 0, "responsible_user_id": true,
			"status_id": true, "pipeline_id": true, "loss_reason_id": true} {
			if item[key] != nil && set {
				t.Fatalf("%s is written over: %v", key, item)
			}
		}
		for key := range Wrote(item) {
			var id int64
			if n, _ := fmt.Sscanf(key, "field:%d", &id); n == 1 && len(have.Fields[id]) > 0 {
				t.Fatalf("%s is written over: %v", key, item)
			}
		}
	})
}

func TestShaper_PhonesAreNeverRemoved(t *testing.T) {
	s := demoShaper(t)
	number := rapid.OneOf(rapid.StringMatching(`\+7999000000[0-9]`), rapid.StringMatching(`8 \(999\) 000-00-0[0-9]`), rapid.StringMatching(`[0-9]{0,4}`), rapid.Just("добавочный 7"))
	rapid.Check(t, func(t *rapid.T) {
		have := &event.Contact{ID: 801, Partial: rapid.Bool().Draw(t, "partial")}
		for _, n := range rapid.SliceOfN(number, 0, 50).Draw(t, "have") {
			have.Phones = append(have.Phones, event.Value{Text: n, EnumID: 12})
		}
		want := &event.Entity{Update: rapid.SampledFrom([]event.Mode{event.Fill, event.Overwrite}).Draw(t, "mode"), Phones: rapid.SliceOf(number).Draw(t, "want")}
		item, _ := s.Contact(want, have, nil, "")
		if item == nil {
			return
		}
		values := item["custom_fields_values"].([]any)[0].(map[string]any)["values"].([]any)
		if len(values) <= len(have.Phones) {
			t.Fatalf("%d phones of %d", len(values), len(have.Phones))
		}
		seen := map[string]bool{}
		for i, v := range values {
			text := v.(map[string]any)["value"].(string)
			if i < len(have.Phones) && text != have.Phones[i].Text {
				t.Fatalf("phone %d is %q, was %q", i, text, have.Phones[i].Text)
			}
			key := phone.Soft(text, "RU")
			if i >= len(have.Phones) && seen[key] {
				t.Fatalf("%q is added twice", text)
			}
			seen[key] = true
		}
	})
}

func TestComplexItem(t *testing.T) {
	lead := map[string]any{"name": "L"}
	for _, c := range []struct {
		contact, company Party
		want             string
	}{
		{Party{}, Party{}, `{"name":"L"}`},
		{Party{ID: 801}, Party{ID: 850}, `{"_embedded":{"companies":[{"id":850}],"contacts":[{"id":801}]},"name":"L"}`},
		{Party{Item: map[string]any{"name": "C"}}, Party{Item: Company(" Acme ", 9001)},
			`{"_embedded":{"companies":[{"name":"Acme","responsible_user_id":9001}],"contacts":[{"name":"C"}]},"name":"L"}`},
	} {
		if diff := cmp.Diff(c.want, asJSON(t, Complex(lead, c.contact, c.company))); diff != "" {
			t.Error(diff)
		}
	}
	if len(lead) != 1 {
		t.Errorf("the lead was changed: %v", lead)
	}
}

func TestItems_AreWhatAmoCRMTakes(t *testing.T) {
	s := demoShaper(t)
	due := time.Unix(1795080000, 0)
	call := event.Call{Incoming: true, Phone: "+79990000001", Duration: 42, Record: "https://records.example/1.mp3"}
	for want, item := range map[string]map[string]any{
		`{"entity_id":501,"metadata":{"is_main":true},"to_entity_id":801,"to_entity_type":"contacts"}`:                                               Link(501, "contacts", 801, true),
		`{"entity_id":801,"to_entity_id":850,"to_entity_type":"companies"}`:                                                                          Link(801, "companies", 850, true),
		`{"created_by":0,"is_need_to_trigger_digital_pipeline":false,"note_type":"common","params":{"text":"a\nb"}}`:                                 s.Note("a\r\nb\x00", ""),
		`{"created_by":0,"is_need_to_trigger_digital_pipeline":false,"note_type":"extended_service_message","params":{"service":"Jivo","text":"t"}}`: s.Note("t", "Jivo"),
		`{"created_by":9001,"is_need_to_trigger_digital_pipeline":false,"note_type":"call_in","params":{"call_responsible":9001,"duration":42,"link":"https://records.example/1.mp3","phone":"+79990000001","source":"Jivo","uniq":"u-1"},"responsible_user_id":9001}`: s.Call(call, "u-1", 9001),
		`{"created_by":0,"is_need_to_trigger_digital_pipeline":false,"note_type":"call_out","params":{"duration":0,"link":"","phone":"","source":"Jivo","uniq":"u-2"}}`:                                                                                                s.Call(event.Call{Duration: -1}, "u-2", 0),
		`{"complete_till":1795080000,"entity_id":501,"entity_type":"leads","responsible_user_id":9001,"task_type_id":1,"text":"Ring"}`:                                                                                                                                 s.Task(event.TaskChange{Text: "Ring\x07"}, due, 9001, "leads", 501),
		`{"complete_till":1795080000,"entity_type":"leads","task_type_id":1,"text":"—"}`:                                                                                                                                                                               s.Task(event.TaskChange{}, due, 0, "leads", 0),
		`{"complete_till":1795080000,"text":"Ring"}`:     s.TaskPatch(event.TaskChange{Op: event.TaskChanged, Text: "Ring"}, due, 0),
		`{"is_completed":true,"result":{"text":"done"}}`: s.TaskPatch(event.TaskChange{Op: event.TaskComplete, Text: "Ring", Result: "done"}, due, 9001),
		``: s.Note(" \x00 ", "Jivo"),
	} {
		if diff := cmp.Diff(want, asJSON(t, item)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestSplit_LosesNothingAndKeepsToTheLimit(t *testing.T) {
	if got := Split("short", 100); !slices.Equal(got, []string{"short"}) {
		t.Errorf("one piece has no number: %q", got)
	}
	if got := Split("aaaaa\nbbbbb\ncc dd", 15); !slices.Equal(got, []string{"1/3\naaaaa", "2/3\nbbbbb", "3/3\ncc dd"}) {
		t.Errorf("got %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-zя ]{0,40}(\n[a-zя ]{0,60}){0,10}`).Draw(t, "text")
		limit := rapid.IntRange(12, 80).Draw(t, "limit")
		squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
		var joined string
		parts := Split(text, limit)
		for i, p := range parts {
			if utf8.RuneCountInString(p) > limit {
				t.Fatalf("%q has more than %d characters", p, limit)
			}
			if len(parts) > 1 {
				head := fmt.Sprintf("%d/%d\n", i+1, len(parts))
				if !strings.HasPrefix(p, head) {
					t.Fatalf("%q has no number", p)
				}
				p = strings.TrimPrefix(p, head)
			}
			joined += p
		}
		if squeeze(joined) != squeeze(text) {
			t.Fatalf("%q became %q", text, parts)
		}
	})
}
