package hook

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/event"
)

var updateHooks = flag.Bool("update-hooks", false, "rewrite the golden files of hooks")

// encodeForm turns a fixture of decoded pairs, one a line, into what goes over
// the wire: percent-encoded, spaces as +.
func encodeForm(pairs string) []byte {
	var out []string
	for line := range strings.Lines(pairs) {
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			key, value, _ := strings.Cut(line, "=")
			out = append(out, url.QueryEscape(key)+"="+url.QueryEscape(value))
		}
	}
	return []byte(strings.Join(out, "&"))
}

func readHook(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "hooks", name))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(name, ".form") {
		return encodeForm(string(raw))
	}
	return raw
}

func hookFixtures(t testing.TB) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.form", "*.json"} {
		paths, err := filepath.Glob(filepath.Join("testdata", "hooks", pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no fixtures %s: %v", pattern, err)
		}
		for _, p := range paths {
			names = append(names, filepath.Base(p))
		}
	}
	return names
}

var moscow = time.FixedZone("MSK", 3*60*60)

// mustDecode decodes a fixture in the account's zone.
func mustDecode(t testing.TB, name string) *Post {
	t.Helper()
	h, err := Decoder{Location: moscow}.Decode("", readHook(t, name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return h
}

// decode decodes a hook without knowing the account's time zone.
func decode(body []byte) (*Post, error) { return Decoder{}.Decode("", body) }

func TestDecodeHook_EveryShapeOfTheDocsMatchesItsGolden(t *testing.T) {
	for _, name := range hookFixtures(t) {
		t.Run(name, func(t *testing.T) {
			h := mustDecode(t, name)
			got, err := json.MarshalIndent(struct {
				Kind string
				*Post
			}{h.Kind(), h}, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "hooks", name+".golden")
			if *updateHooks {
				if err := os.WriteFile(golden, append(got, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeHook_SaysWhatHappenedToWhom(t *testing.T) {
	for name, want := range map[string]struct {
		kind   string
		entity string
		action string
		id     int64
		thin   bool
	}{
		"leads_status.form":        {"leads.status", "leads", "status", 501, false},
		"leads_add.form":           {"leads.add", "leads", "add", 501, false},
		"leads_update.form":        {"leads.update", "leads", "update", 501, false},
		"leads_restore.form":       {"leads.restore", "leads", "restore", 501, false},
		"leads_responsible.form":   {"leads.responsible", "leads", "responsible", 501, false},
		"leads_delete.form":        {"leads.delete", "leads", "delete", 501, false},
		"leads_delete_2016.form":   {"leads.delete", "leads", "delete", 501, false},
		"leads_note.form":          {"leads.note", "leads", "note", 501, false},
		"leads_note_call.form":     {"leads.note", "leads", "note", 501, false},
		"contacts_note.form":       {"contacts.note", "contacts", "note", 801, false},
		"companies_note.form":      {"contacts.note", "companies", "note", 850, false},
		"contacts_add.form":        {"contacts.add", "contacts", "add", 802, false},
		"contacts_update.form":     {"contacts.update", "contacts", "update", 801, false},
		"companies_update.form":    {"contacts.update", "companies", "update", 850, false},
		"contacts_delete.form":     {"contacts.delete", "contacts", "delete", 801, false},
		"task_add.form":            {"task.add", "task", "add", 77, false},
		"task_update.form":         {"task.update", "task", "update", 77, false},
		"task_delete.form":         {"task.delete", "task", "delete", 77, false},
		"unsorted_add.form":        {"unsorted.add", "unsorted", "add", 501, false},
		"unsorted_accept.form":     {"unsorted.accept", "unsorted", "accept", 501, false},
		"unsorted_decline.form":    {"unsorted.decline", "unsorted", "decline", 501, false},
		"talk_add.form":            {"talk.add", "talk", "add", 0, false},
		"message_add.form":         {"message.add", "message", "add", 0, false},
		"catalogs_add.form":        {"catalogs.add", "catalogs", "add", 5, false},
		"dp_status.form":           {"leads.status", "leads", "status", 501, true},
		"dp_add.form":              {"leads.add", "leads", "add", 501, true},
		"dp_call_in.form":          {"leads.call_in", "leads", "call_in", 501, true},
		"dp_chat.form":             {"leads.chat", "leads", "chat", 501, true},
		"dp_site_visit.form":       {"leads.site_visit", "leads", "site_visit", 501, true},
		"dp_mail_in.json":          {"leads.mail_in", "leads", "mail_in", 4921027, true},
		"dp_status.json":           {"leads.status", "leads", "status", 4831596, true},
		"dp_customers_period.json": {"customers.period", "customers", "period", 4831596, false},
		"dp_widget.json":           {"leads.status", "leads", "status", 501, true},
		"dp_widget.form":           {"leads.status", "leads", "status", 501, true},
		"unknown_action.form":      {"other", "leads", "frobnicate", 501, false},
	} {
		h := mustDecode(t, name)
		if h.Kind() != want.kind || len(h.Items) != 1 {
			t.Errorf("%s: kind %q with %d items, want %q with one", name, h.Kind(), len(h.Items), want.kind)
			continue
		}
		it := h.Items[0]
		if it.Entity != want.entity || it.Action != want.action || it.ID != want.id || it.Thin != want.thin {
			t.Errorf("%s: %s %s %d thin=%t, want %+v", name, it.Entity, it.Action, it.ID, it.Thin, want)
		}
	}
}

func TestDecodeHook_TellsTheOldStageFromTheNew(t *testing.T) {
	for _, name := range []string{"leads_status.form", "dp_status.form"} {
		if l := mustDecode(t, name).Items[0].Lead; l.StatusID == 0 || l.StatusID == 70000002 || l.PipelineID != 700001 {
			t.Errorf("%s: %d in %d", name, l.StatusID, l.PipelineID)
		}
	}
}

func TestDecodeHook_GroupedEntitiesAndActionsAllCome(t *testing.T) {
	h := mustDecode(t, "grouped.form")
	var got []string
	for _, it := range h.Items {
		got = append(got, fmt.Sprint(it.Action, it.ID))
	}
	if want := []string{"status501", "status502", "update501"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if h.AccountID != 31000001 || h.Subdomain != "demo" {
		t.Errorf("footer split around the body: account %d %q", h.AccountID, h.Subdomain)
	}
	if h := mustDecode(t, "two_families.form"); len(h.Items) != 2 || h.Kind() != "leads.add" {
		t.Errorf("two families: %d items, %s", len(h.Items), h.Kind())
	}
}

func TestDecodeHook_ItemsComeInOrderOfTheirIndexes(t *testing.T) {
	body := encodeForm("leads[add][10][id]=3\nleads[add][2][id]=2\nleads[add][0][id]=1")
	h, err := decode(body)
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for _, it := range h.Items {
		ids = append(ids, it.ID)
	}
	if !slices.Equal(ids, []int64{1, 2, 3}) {
		t.Errorf("got %v", ids)
	}
}

func TestDecodeHook_PhonesKeepTheirEnums(t *testing.T) {
	c := mustDecode(t, "contacts_update.form").Items[0].Contact
	want := []event.Value{{Text: "+79990000001", EnumID: 11}, {Text: "8 999 000-00-02", EnumID: 12}}
	if diff := cmp.Diff(want, c.Phones); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(c.LeadIDs, []int64{501}) || c.Company != "Acme" || c.CompanyID != 850 {
		t.Errorf("links: %+v", c)
	}
}

func TestDecodeHook_CustomFieldQuirks(t *testing.T) {
	fields := mustDecode(t, "custom_fields.form").Items[0].Lead.Fields
	want := map[int64]event.Values{
		1: {{Text: "1795000000"}},
		2: {{Text: "21.11.1990"}},
		3: {{Text: "1"}},
		4: {{Text: "Да", EnumID: 41}},
		5: {{Text: "A", EnumID: 51}, {Text: "B", EnumID: 52}},
		6: {{Text: "plain <b>"}},
		7: {{Text: "alone"}},
	}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeHook_TextsAreUnescaped(t *testing.T) {
	if got := mustDecode(t, "companies_update.form").Items[0].Contact.Name; got != "Рога & копыта" {
		t.Errorf("company: %q", got)
	}
}

func TestDecodeHook_LocalTimesNeedTheZone(t *testing.T) {
	body := readHook(t, "task_add.form")
	due := time.Date(2026, 11, 22, 12, 0, 0, 0, moscow).Unix()
	it := mustDecode(t, "task_add.form").Items[0]
	if it.Task.CompleteTill != due {
		t.Errorf("with the zone: %d, want %d", it.Task.CompleteTill, due)
	}
	h, err := decode(body)
	if err != nil {
		t.Fatal(err)
	}
	if it := h.Items[0]; it.Task.CompleteTill != 0 {
		t.Errorf("without: %d", it.Task.CompleteTill)
	}
	if got := mustDecode(t, "task_update.form").Items[0].Task; got.CompleteTill != 1795080000 || !got.Completed || got.Result != "done" {
		t.Errorf("complete_before wins over the local time: %+v", got)
	}
}

func TestDecodeHook_UnsortedDecisions(t *testing.T) {
	a, d := mustDecode(t, "unsorted_accept.form").Items[0], mustDecode(t, "unsorted_decline.form").Items[0]
	if a.Action != "accept" || !slices.Equal(a.LeadIDs, []int64{501}) {
		t.Errorf("accept: %+v", a)
	}
	if d.Action != "decline" || !slices.Equal(d.LeadIDs, []int64{501}) {
		t.Errorf("decline: %+v", d)
	}
}

func TestDecodeHook_PriceMayBeEmpty(t *testing.T) {
	for name, want := range map[string]float64{"leads_restore.form": 0, "leads_responsible.form": 0, "leads_status.form": 15000} {
		if got := mustDecode(t, name).Items[0].Lead.Price; got != want {
			t.Errorf("%s: price %v, want %v", name, got, want)
		}
	}
}

func TestDecodeHook_BodyWithoutSenseIsAnError(t *testing.T) {
	deep := strings.Repeat(`{"leads":`, 100) + "1" + strings.Repeat("}", 100)
	for name, body := range map[string]string{
		"empty":           "",
		"spaces":          " \n",
		"no pairs":        "hello world",
		"binary":          "\x00\xff\xfe",
		"account only":    "account[id]=1&account[subdomain]=demo",
		"foreign JSON":    `{"event_name":"chat_accepted"}`,
		"broken JSON":     `{"leads":{"add":[{"id":1}`,
		"JSON and more":   `{"leads":{"add":[{"id":1}]}} x`,
		"JSON list":       `[1,2]`,
		"no id":           "leads[add][0][name]=x",
		"zero id":         "leads[add][0][id]=0",
		"id is text":      "leads[add][0][id]=abc",
		"index too high":  "leads[add][501][id]=1",
		"index absurd":    "leads[add][18446744073709551615][id]=1",
		"too deep":        deep,
		"unclosed":        "leads[add[0][id]=1",
		"brackets astray": "leads]add[[0][id]=1",
		"widget, no id":   `{"event":{"data":{"element_type":2}}}`,
	} {
		if h, err := decode([]byte(body)); err == nil {
			t.Errorf("%s: taken as %+v", name, h)
		}
	}
}

func TestDecodeHook_BoundsTheNumberOfValues(t *testing.T) {
	var body strings.Builder
	body.WriteString("leads[add][0][id]=1")
	for i := range nodeCap {
		fmt.Fprintf(&body, "&k%d=", i)
	}
	if _, err := decode([]byte(body.String())); err == nil {
		t.Error("taken")
	}
}

func TestDecodeHook_UnknownFamilyOfAnAccountIsKept(t *testing.T) {
	if h := mustDecode(t, "unknown_family.form"); h.Kind() != other || len(h.Items) != 0 || h.AccountID != 31000001 {
		t.Errorf("%+v", h)
	}
}

func TestDecodeHook_ErrorsQuoteNothing(t *testing.T) {
	for _, body := range []string{`{"leads":canary`, "canary", "canary[0]=canary", `{"canary":1}`} {
		if _, err := decode([]byte(body)); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestDecodeHook_BrokenEncodingIsMendedNotLost(t *testing.T) {
	h, err := decode([]byte("leads[status][0][id]=501&leads[status][0][name]=50%+off\xff&leads[status][0][status_id]=142"))
	if err != nil {
		t.Fatal(err)
	}
	if l := h.Items[0].Lead; l.Name != "50% off\uFFFD" || l.StatusID != 142 {
		t.Errorf("%+v", l)
	}
}

func FuzzDecodeHook(f *testing.F) {
	for _, name := range hookFixtures(f) {
		f.Add(readHook(f, name))
	}
	f.Add([]byte("a[]=1&a[]=2&[x]=3&leads[add][][id]=4"))
	f.Add([]byte(`{"leads":{"add":{"0":{"id":"1","custom_fields":[null,{"id":1,"values":null}]}}}}`))
	kinds := append(Kinds(), other)
	f.Fuzz(func(t *testing.T, body []byte) {
		h, err := Decoder{Location: moscow}.Decode("", body)
		if err != nil {
			return
		}
		if !slices.Contains(kinds, h.Kind()) {
			t.Errorf("kind %q is not in the set", h.Kind())
		}
		for _, it := range h.Items {
			if it.ID < 0 {
				t.Errorf("negative id in %+v", it)
			}
			if it.Lead != nil && (!it.Lead.Partial || it.Lead.ID != it.ID) {
				t.Errorf("a hook's lead is partial and has the item's id: %+v", it.Lead)
			}
			if it.Contact != nil && (!it.Contact.Partial || it.Contact.ID != it.ID) {
				t.Errorf("a hook's contact is partial and has the item's id: %+v", it.Contact)
			}
		}
	})
}
