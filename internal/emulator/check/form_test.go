package check

import (
	"slices"
	"testing"

	"github.com/jivo-amocrm/bridge/internal/emulator/body"
	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// items decodes a bulk body as requests carry it.
func items(t *testing.T, js string) []obj {
	t.Helper()
	v, err := body.Decode([]byte(js))
	if err != nil {
		t.Fatal(err)
	}
	var out []obj
	for _, e := range body.List(v) {
		out = append(out, body.Object(e))
	}
	return out
}

func account() *book.Book {
	return book.New(book.Profile{Subdomain: "demo", Timezone: "UTC", Users: book.DefaultUsers(), Pipelines: book.DefaultPipelines()})
}

func TestForm_NamesEveryFaultOfEveryItemInOrderOfKeys(t *testing.T) {
	bad := Card(book.Leads).Check(account(), items(t, `[{"name":"right"},{"price":"7","name":1,"nonsense":1,"request_id":"mine"},{"responsible_user_id":9003}]`))
	var got []string
	for _, item := range bad {
		for _, f := range item.Faults {
			got = append(got, item.RequestID+" "+f.Code+" "+f.Path)
		}
	}
	want := []string{"mine InvalidType name", "mine FieldNotExpected nonsense", "mine InvalidType price", "2 NotSupportedChoice responsible_user_id"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Whether keys go together is asked only of an item whose keys are right; a
// won lead must name its pipeline (amocrm-api.md §4.2).
func TestForm_LooksAtTheWholeOnlyAfterItsKeys(t *testing.T) {
	for js, want := range map[string]string{
		`[{"status_id":142}]`:                           "pipeline_id",
		`[{"status_id":142,"name":1}]`:                  "name",
		`[{"status_id":70000012,"pipeline_id":700001}]`: "status_id",
	} {
		bad := Card(book.Leads).Check(account(), items(t, js))
		if len(bad) != 1 || len(bad[0].Faults) != 1 || bad[0].Faults[0].Path != want {
			t.Errorf("%s: %+v, want one fault at %s", js, bad, want)
		}
	}
}

func TestForm_ChangesNothing(t *testing.T) {
	b := account()
	if bad := Complex().Check(b, items(t, `[{"tags_to_add":[{"name":"vip"}],"_embedded":{"contacts":[{"name":"Иван"}]}}]`)); bad != nil {
		t.Fatalf("refused: %+v", bad)
	}
	if len(b.Tags) != 0 || len(b.Cards[book.Contacts].IDs) != 0 || len(b.Events) != 0 {
		t.Errorf("a check wrote: %v %v %v", b.Tags, b.Cards[book.Contacts].IDs, b.Events)
	}
}
