package items

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/amocrm/dict"
	"github.com/jivo-amocrm/bridge/internal/event"
)

// knownContact is a contact as read from amoCRM.
func knownContact() *event.Contact {
	phones := event.Values{{Text: "+79990000001", Enum: "WORK"}}
	return &event.Contact{ID: 801, Name: "Мария", Phones: phones, Fields: map[int64]event.Values{101: phones, 104: {{Text: "jv-c1@shop"}}}}
}

// update: never leaves a found contact as it is, phones and marker and all.
func TestShaperContact_NeverWritesNothing(t *testing.T) {
	want := &event.Entity{Update: event.Never, Changed: []string{"name"}, Name: "New", Phones: []string{"+79990000002"}, Tags: []string{"x"}}
	if item, ws := demoShaper(t).Contact(want, knownContact(), nil, "jv-c2@shop"); item != nil || len(ws) != 0 {
		t.Errorf("%v %v", item, texts(ws))
	}
}

// Under fill what a thin hook did not tell is unknown; what an account hook left empty
// is empty.
func TestShaper_UnknownIsNotEmpty(t *testing.T) {
	for name, c := range map[string]struct {
		updated int64
		written bool
	}{"thin hook": {0, false}, "account hook": {200, true}} {
		s := demoShaper(t)
		lead, _ := s.Lead(&event.Entity{Update: event.Fill, Name: "New", Price: "200"}, &event.Lead{ID: 501, Partial: true, UpdatedAt: c.updated, Fields: map[int64]event.Values{}}, nil, "")
		contact, _ := s.Contact(&event.Entity{Update: event.Fill, Name: "New"}, &event.Contact{ID: 801, Partial: true, UpdatedAt: c.updated, Fields: map[int64]event.Values{}}, nil, "")
		if (lead != nil) != c.written || (contact != nil) != c.written {
			t.Errorf("%s: %v, %v", name, lead, contact)
		}
	}
}

// The marker goes into a text field alone: into another amoCRM would refuse it, and the
// lead with it. No rule writes over it.
func TestShaper_MarkerIsATextOfItsOwn(t *testing.T) {
	for kind, want := range map[string]string{
		"text": `[{"value":"jv-c1@shop"}]`, "textarea": `[{"value":"jv-c1@shop"}]`, "numeric": "", "select": "",
	} {
		s := &Shaper{MarkerField: "Jivo ID", Dict: &dict.Snapshot{Fields: map[string][]dict.Field{"leads": {{ID: 1, Name: "Jivo ID", Code: "MARK", Type: kind}}}}}
		item, ws := s.Lead(&event.Entity{Fields: map[string]string{"MARK": "mine"}}, nil, nil, "jv-c1@shop")
		got := asJSON(t, item)
		if want == "" {
			want = "{}"
		} else {
			want = `{"custom_fields_values":[{"field_id":1,"values":` + want + `}]}`
		}
		if got != want || len(ws) != 1 {
			t.Errorf("%s: %s, %v", kind, got, texts(ws))
		}
	}
}

// A statistical field tells of the first touch: a later one never replaces it, though
// the bridge wrote it; an own field of the same text is written anew.
func TestShaperLead_FirstTouchStands(t *testing.T) {
	have := knownLead()
	have.Fields[1201], have.Fields[1208] = event.Values{{Text: "yandex"}}, event.Values{{Text: "yandex"}}
	wrote := map[string]string{"field:1201": "yandex", "field:1208": "yandex"}
	item, _ := demoShaper(t).Lead(&event.Entity{Update: event.Fill, Fields: map[string]string{"UTM_SOURCE": "google", "Комментарий": "google"}}, have, wrote, "")
	if got := asJSON(t, item); got != `{"custom_fields_values":[{"field_id":1208,"values":[{"value":"google"}]}],"id":501}` {
		t.Error(got)
	}
}

// Other fields of many values keep what stands there, like phones and e-mails.
func TestShaperContact_ManyValuesAreAddedBeside(t *testing.T) {
	have := knownContact()
	have.Fields[106] = event.Values{{Text: "live:maria", EnumID: 61}}
	item, ws := demoShaper(t).Contact(&event.Entity{Update: event.Overwrite, Fields: map[string]string{"Мессенджер": "@maria"}}, have, nil, "")
	want := `{"custom_fields_values":[{"field_id":106,"values":[{"enum_id":61,"value":"live:maria"},{"enum_code":"OTHER","value":"@maria"}]}],"id":801}`
	if diff := cmp.Diff(want, asJSON(t, item)); diff != "" || len(ws) != 0 {
		t.Errorf("%s %v", diff, texts(ws))
	}
}

// amoCRM takes 40 values in an item: the one too many is left out, and the rest goes
// through.
func TestShaperContact_OneValueTooManyIsLeftOut(t *testing.T) {
	have := &event.Contact{ID: 801, Name: "Мария"}
	for i := range maxFieldValues {
		have.Phones = append(have.Phones, event.Value{Text: fmt.Sprintf("+7999000%04d", i), Enum: "WORK"})
	}
	item, ws := demoShaper(t).Contact(&event.Entity{Phones: []string{"+79160000001"}, Emails: []string{"m@example.com"}}, have, nil, "")
	want := `{"custom_fields_values":[{"field_id":103,"values":[{"enum_code":"WORK","value":"m@example.com"}]}],"id":801}`
	if diff := cmp.Diff(want, asJSON(t, item)); diff != "" || len(ws) != 1 {
		t.Errorf("%s %v", diff, texts(ws))
	}
}

// A tag that is wanted is not taken off by the same event.
func TestShaper_WantedTagIsNotTakenOff(t *testing.T) {
	have := knownLead()
	item, _ := demoShaper(t).Lead(&event.Entity{Tags: []string{"VIP"}, TagsRemove: []string{"vip", "jivo", "JIVO"}}, have, map[string]string{"tag:jivo": "1", "tag:vip": "1"}, "")
	if got := asJSON(t, item); got != `{"id":501,"tags_to_add":[{"name":"VIP"}],"tags_to_delete":[{"name":"jivo"}]}` {
		t.Error(got)
	}
}

// A tag the bridge took off is its own no more: somebody else may put it there now.
func TestWrote_TagThatWasTakenOffIsNobodys(t *testing.T) {
	wrote := Wrote(map[string]any{"tags_to_add": []any{map[string]any{"name": "New"}}, "tags_to_delete": []any{map[string]any{"name": "Old"}}})
	if wrote["tag:new"] == "" || wrote["tag:old"] != "" {
		t.Errorf("%v", wrote)
	}
	if _, told := wrote["tag:old"]; !told {
		t.Error("what was remembered of it stays")
	}
}

// overwrite that names the lead's own pipeline and no stage leaves it in its stage.
func TestShaperLead_OwnPipelineIsNoMove(t *testing.T) {
	have := knownLead()
	have.StatusID = 70000003
	if item, ws := demoShaper(t).Lead(&event.Entity{Update: event.Overwrite, Pipeline: "Продажи"}, have, nil, ""); item != nil || len(ws) != 0 {
		t.Errorf("%v %v", item, texts(ws))
	}
	item, _ := demoShaper(t).Lead(&event.Entity{Update: event.Overwrite, Pipeline: "Сервис"}, have, nil, "")
	if got := asJSON(t, item); got != `{"id":501,"pipeline_id":700002,"status_id":80000002}` {
		t.Error(got)
	}
}

// Lost in one pipeline is not lost in another, though the ids are the same.
func TestShaperLead_LostInAnotherPipelineIsAMove(t *testing.T) {
	have := knownLead()
	have.StatusID = event.StatusLost
	item, _ := demoShaper(t).Lead(&event.Entity{Pipeline: "Сервис", Stage: "lost", Changed: []string{"stage"}}, have, nil, "")
	if got := asJSON(t, item); got != `{"id":501,"pipeline_id":700002,"status_id":143}` {
		t.Error(got)
	}
}

// A stage of an archived pipeline takes no new lead: amoCRM would refuse it.
func TestShaperLead_StageOfAnArchivedPipelineIsNone(t *testing.T) {
	item, ws := demoShaper(t).Lead(&event.Entity{Stage: "30"}, nil, nil, "")
	if got := asJSON(t, item); got != `{"pipeline_id":700001,"status_id":70000002}` || len(ws) != 1 || ws[0].Kind != WarnStage {
		t.Errorf("%s %v", got, texts(ws))
	}
}

// The marker fills its field to the last of 255 characters and no further.
func TestMergeMarker_LastPlaceIsTaken(t *testing.T) {
	older, newer := strings.Repeat("a", 127), strings.Repeat("b", 127)
	if got := MergeMarker(older, newer); got != older+" "+newer {
		t.Errorf("%d characters: %q", len(got), got)
	}
	if got := MergeMarker(older, newer+"b"); got != newer+"b" {
		t.Errorf("%d characters: %q", len(got), got)
	}
}

// A soft field is left out without a warning where the account has none, or where
// somebody has spoken of it by its other name.
func TestShaper_SoftFieldsComeWithoutWarnings(t *testing.T) {
	fields := map[string]string{"?Нет такого": "x", "?Город": "Орёл", "Город": "Москва", "?Комментарий": "y"}
	item, ws := demoShaper(t).Lead(&event.Entity{Pipeline: "Сервис", Fields: fields}, nil, nil, "")
	want := `{"custom_fields_values":[{"field_id":1203,"values":[{"enum_id":31}]},{"field_id":1208,"values":[{"value":"y"}]}],"pipeline_id":700002,"status_id":80000002}`
	if diff := cmp.Diff(want, asJSON(t, item)); diff != "" || len(ws) != 0 {
		t.Errorf("%s %v", diff, texts(ws))
	}
	if _, ws = demoShaper(t).Lead(&event.Entity{Fields: map[string]string{"Нет такого": "x"}}, nil, nil, ""); len(ws) != 1 || ws[0].Kind != WarnField || ws[0].Name != "Нет такого" {
		t.Errorf("%+v", ws)
	}
}
