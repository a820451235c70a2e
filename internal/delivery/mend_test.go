package delivery

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/event"
)

func object(t *testing.T, s string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTakeOut_TheRefusedPartAndNoMore(t *testing.T) {
	const item = `{"id":1,"name":"N","price":5,"text":"T","pipeline_id":2,"status_id":3,"loss_reason_id":4,"tags_to_add":[{"name":"a"}],"custom_fields_values":[{"field_id":1},{"field_id":2}]}`
	for path, want := range map[string]string{
		"price":                                 `{"id":1,"name":"N","text":"T","pipeline_id":2,"status_id":3,"loss_reason_id":4,"tags_to_add":[{"name":"a"}],"custom_fields_values":[{"field_id":1},{"field_id":2}]}`,
		"custom_fields_values.0.values.0.value": `{"id":1,"name":"N","price":5,"text":"T","pipeline_id":2,"status_id":3,"loss_reason_id":4,"tags_to_add":[{"name":"a"}],"custom_fields_values":[{"field_id":2}]}`,
		"custom_fields_values.1.field_id":       `{"id":1,"name":"N","price":5,"text":"T","pipeline_id":2,"status_id":3,"loss_reason_id":4,"tags_to_add":[{"name":"a"}],"custom_fields_values":[{"field_id":1}]}`,
		"custom_fields_values":                  `{"id":1,"name":"N","price":5,"text":"T","pipeline_id":2,"status_id":3,"loss_reason_id":4,"tags_to_add":[{"name":"a"}]}`,
		"tags_to_add.0.name":                    `{"id":1,"name":"N","price":5,"text":"T","pipeline_id":2,"status_id":3,"loss_reason_id":4,"custom_fields_values":[{"field_id":1},{"field_id":2}]}`,
		"status_id":                             `{"id":1,"name":"N","price":5,"text":"T","tags_to_add":[{"name":"a"}],"custom_fields_values":[{"field_id":1},{"field_id":2}]}`,
		"pipeline_id":                           `{"id":1,"name":"N","price":5,"text":"T","tags_to_add":[{"name":"a"}],"custom_fields_values":[{"field_id":1},{"field_id":2}]}`,
		"loss_reason_id":                        `{"id":1,"name":"N","price":5,"text":"T","pipeline_id":2,"status_id":3,"tags_to_add":[{"name":"a"}],"custom_fields_values":[{"field_id":1},{"field_id":2}]}`,
		"id":                                    "",
		"text":                                  "",
		"responsible_user_id":                   "", // is not in it
		"custom_fields_values.7.values":         "",
		"custom_fields_values.-1":               "",
		"custom_fields_values.x":                "",
		"":                                      "",
	} {
		t.Run(path, func(t *testing.T) {
			got := object(t, item)
			var parts []string
			if path != "" {
				parts = strings.Split(path, ".")
			}
			took := takeOut(got, parts)
			if took != (want != "") {
				t.Errorf("took something out: %v", took)
			}
			if want == "" {
				want = item
			}
			if diff := cmp.Diff(object(t, want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A new lead whose stage amoCRM has no more comes into the first of its pipeline
// (product.md §2); one that is there stays where it is.
func TestTakeOut_StageOfANewLeadLeavesItsPipeline(t *testing.T) {
	for item, want := range map[string]string{
		`{"pipeline_id":2,"status_id":3,"loss_reason_id":4}`:        `{"pipeline_id":2}`,
		`{"id":1,"pipeline_id":2,"status_id":3,"loss_reason_id":4}`: `{"id":1}`,
	} {
		got := object(t, item)
		if !takeOut(got, []string{"status_id"}) {
			t.Errorf("%s: nothing taken out", item)
		}
		if diff := cmp.Diff(object(t, want), got); diff != "" {
			t.Error(diff)
		}
	}
}

// mendJob is an event that makes a lead with a new contact.
func mendJob(lead, contact string) *job {
	return &job{
		d: &Dispatcher{log: slog.New(slog.DiscardHandler), obs: &watch{}}, c: &Connection{Name: "shop", Account: &Account{Dict: dictionary}},
		ev: &event.Event{Changes: []event.Change{
			{Key: "1/create/contact/", Op: event.OpCreate, Target: event.OnContact, Item: json.RawMessage(contact)},
			{Key: "1/create/lead/", Op: event.OpCreate, Target: event.OnLead, Item: json.RawMessage(lead)},
		}},
	}
}

func refusal(paths ...string) *amocrm.Refused {
	r := &amocrm.Refused{Status: 400, Code: "NotSupportedChoice", Path: paths[0]}
	for _, p := range paths {
		r.Problems = append(r.Problems, amocrm.Problem{Code: r.Code, Path: p})
	}
	return r
}

func TestMend_EveryRefusedFieldAndNoOther(t *testing.T) {
	var many []string
	for n := range 12 {
		many = append(many, fmt.Sprintf(`{"field_id":%d}`, n))
	}
	without := func(gone ...int) string {
		var left []string
		for n, f := range many {
			if !slices.Contains(gone, n) {
				left = append(left, f)
			}
		}
		return `{"name":"N","custom_fields_values":[` + strings.Join(left, ",") + `]}`
	}
	const contact = `{"name":"I","custom_fields_values":[{"field_code":"PHONE"},{"field_id":9}]}`
	for name, c := range map[string]struct {
		refused       *amocrm.Refused
		lead, contact string
	}{
		"one":                          {refusal("custom_fields_values.3.values.0.enum_id"), without(3), contact},
		"two":                          {refusal("custom_fields_values.3.field_id", "custom_fields_values.5.field_id"), without(3, 5), contact},
		"one of two and the tenth":     {refusal("custom_fields_values.2.field_id", "custom_fields_values.10.field_id"), without(2, 10), contact},
		"two complaints about one":     {refusal("custom_fields_values.3.values.0.enum_id", "custom_fields_values.3.values.0.value"), without(3), contact},
		"two values of one":            {refusal("custom_fields_values.3.values.0.value", "custom_fields_values.3.values.1.value"), without(3), contact},
		"the contact's":                {refusal("_embedded.contacts.0.custom_fields_values.1.values.0.value"), without(), `{"name":"I","custom_fields_values":[{"field_code":"PHONE"}]}`},
		"the lead's and the contact's": {refusal("custom_fields_values.0.field_id", "_embedded.contacts.0.name"), without(0), `{"custom_fields_values":[{"field_code":"PHONE"},{"field_id":9}]}`},
		"a field and the name":         {refusal("name", "custom_fields_values.11.field_id"), strings.Replace(without(11), `"name":"N",`, "", 1), contact},
	} {
		t.Run(name, func(t *testing.T) {
			j := mendJob(without(), contact)
			if !j.mend(1, c.refused) {
				t.Fatal("nothing was mended")
			}
			if diff := cmp.Diff(object(t, c.lead), itemOf(j.ev.Changes[1])); diff != "" {
				t.Errorf("lead: %s", diff)
			}
			if diff := cmp.Diff(object(t, c.contact), itemOf(j.ev.Changes[0])); diff != "" {
				t.Errorf("contact: %s", diff)
			}
			if len(j.ev.Warnings) == 0 {
				t.Error("no warning")
			}
		})
	}
}

func TestMend_NothingToTakeOutIsARefusal(t *testing.T) {
	for _, path := range []string{"", "id", "pipeline_id", "_embedded.contacts.0.id", "custom_fields_values.5.field_id", "_embedded.companies.0.name"} {
		j := mendJob(`{"name":"N","custom_fields_values":[{"field_id":1}]}`, `{"name":"I"}`)
		if j.mend(1, refusal(path)) {
			t.Errorf("%q: something was taken out", path)
		}
	}
}

func TestMend_WarningsQuoteNoValue(t *testing.T) {
	j := mendJob(`{"name":"Secret","custom_fields_values":[{"field_id":1,"values":[{"value":"Secret"}]}]}`, `{}`)
	j.mend(1, refusal("custom_fields_values.0.values.0.value", "name"))
	for _, w := range j.ev.Warnings {
		if strings.Contains(w, "Secret") {
			t.Errorf("warning %q", w)
		}
	}
}
