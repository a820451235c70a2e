package emulator

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jivo-amocrm/bridge/internal/emulator/book"
)

// form reads a listing of the fact sheet, one pair per line.
func form(listing string) url.Values {
	out := url.Values{}
	for line := range strings.Lines(strings.TrimSpace(listing)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		out.Set(k, v)
	}
	return out
}

// differs lists what two forms do not share.
func differs(got, want url.Values) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if !got.Has(k) {
			out = append(out, "missing "+k)
		} else if got.Get(k) != want.Get(k) {
			out = append(out, fmt.Sprintf("%s=%q, want %q", k, got.Get(k), want.Get(k)))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if !want.Has(k) {
			out = append(out, "unexpected "+k)
		}
	}
	return out
}

const footer = `account[subdomain]=demo
account[id]=31000001
account[_links][self]=https://demo.amocrm.ru
`

// The samples of amocrm-api.md §6.2 and §6.3, users and times those of the test.
const (
	statusSample = footer + `leads[status][0][id]=501
leads[status][0][name]=Chat from site
leads[status][0][status_id]=142
leads[status][0][old_status_id]=70000002
leads[status][0][price]=15000
leads[status][0][responsible_user_id]=9001
leads[status][0][last_modified]=1795000200
leads[status][0][modified_user_id]=9001
leads[status][0][created_user_id]=0
leads[status][0][date_create]=1795000000
leads[status][0][pipeline_id]=700001
leads[status][0][tags][0][id]=31
leads[status][0][tags][0][name]=jivo
leads[status][0][account_id]=31000001
leads[status][0][custom_fields][0][id]=1201
leads[status][0][custom_fields][0][name]=utm_source
leads[status][0][custom_fields][0][values][0][value]=yandex
leads[status][0][custom_fields][0][code]=UTM_SOURCE
leads[status][0][created_at]=1795000000
leads[status][0][updated_at]=1795000200`

	contactSample = footer + `contacts[update][0][id]=801
contacts[update][0][name]=Иван Петров
contacts[update][0][responsible_user_id]=9001
contacts[update][0][date_create]=1795000000
contacts[update][0][last_modified]=1795000300
contacts[update][0][created_user_id]=9001
contacts[update][0][modified_user_id]=9001
contacts[update][0][company_name]=Acme
contacts[update][0][linked_company_id]=802
contacts[update][0][account_id]=31000001
contacts[update][0][custom_fields][0][id]=101
contacts[update][0][custom_fields][0][name]=Телефон
contacts[update][0][custom_fields][0][values][0][value]=+79990000001
contacts[update][0][custom_fields][0][values][0][enum]=11
contacts[update][0][custom_fields][0][code]=PHONE
contacts[update][0][linked_leads_id][501][ID]=501
contacts[update][0][old_responsible_user_id]=9001
contacts[update][0][created_at]=1795000000
contacts[update][0][updated_at]=1795000300
contacts[update][0][type]=contact`

	noteSample = footer + `leads[note][0][note][text]=Client &amp; &quot;Co&quot; called
leads[note][0][note][attachement]=
leads[note][0][note][date_create]=LOCAL
leads[note][0][note][note_type]=4
leads[note][0][note][element_type]=2
leads[note][0][note][element_id]=501
leads[note][0][note][catalog_id]=0
leads[note][0][note][group_id]=0
leads[note][0][note][timestamp_x]=LOCAL
leads[note][0][note][account_id]=31000001
leads[note][0][note][metadata]={"event_source":{"id":9001,"author_name":"Анна Смирнова","type":1}}
leads[note][0][note][created_by]=9001
leads[note][0][note][modified_by]=9001
leads[note][0][note][main_user_id]=9001
leads[note][0][note][id]=9901
leads[note][0][note][created_at]=1795000800
leads[note][0][note][updated_at]=1795000800`

	deleteSample = footer + `leads[delete][0][id]=501
leads[delete][0][status_id]=70000002
leads[delete][0][pipeline_id]=700001`
)

// The hooks of a stage move, a contact, a note and a deletion are those of the
// fact sheet to the letter, order aside.
func TestHooks_AreThoseOfTheSamples(t *testing.T) {
	local := time.Unix(1795000800, 0).UTC().Add(3 * time.Hour).Format("2006-01-02 15:04:05")
	for _, tt := range []struct {
		name, sample string
		now          int64
		deed         func(*Account) error
	}{
		{"leads[status]", statusSample, 1795000200, func(a *Account) error { return a.MoveLead(501, StatusWon, 0) }},
		{"leads[update]", strings.ReplaceAll(statusSample, "leads[status]", "leads[update]"), 1795000200, func(a *Account) error { return a.MoveLead(501, StatusWon, 0) }},
		{"contacts[update]", contactSample, 1795000300, func(a *Account) error { return a.EditContact(801, Edit{}) }},
		{"leads[note]", strings.ReplaceAll(noteSample, "LOCAL", local), 1795000800, func(a *Account) error {
			_, err := a.AddNote(501, `Client & "Co" called`)
			return err
		}},
		{"leads[delete]", deleteSample, 1795000900, func(a *Account) error { return a.DeleteLead(501) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now, rec := int64(1795000000), &receiver{}
			c := account(t, Options{HookClient: rec.client(), Now: func() time.Time { return time.Unix(now, 0) }})
			c.a.book.Next[book.Leads], c.a.book.Next[book.Contacts], c.a.book.Next["notes"] = 501, 801, 9901
			c.contact(phoneContact("Иван Петров", "+79990000001"))
			c.lead(`{"name":"Chat from site","price":15000,"created_by":0,"tags_to_add":[{"name":"jivo"}],
				"custom_fields_values":[{"field_code":"UTM_SOURCE","values":[{"value":"yandex"}]}],"_embedded":{"contacts":[{"id":801}]}}`)
			c.ok("POST", "/api/v4/companies", `[{"name":"Acme"}]`)
			c.ok("POST", "/api/v4/contacts/801/link", `[{"to_entity_id":802,"to_entity_type":"companies"}]`)
			c.a.Subscribe("https://b.example/hook")
			now = tt.now
			if err := tt.deed(c.a); err != nil {
				t.Fatal(err)
			}
			flush(t, c.a)
			id := tt.name + "[0][id]"
			if tt.name == "leads[note]" {
				id = tt.name + "[0][note][id]"
			}
			if d := differs(rec.with(t, id).form, form(tt.sample)); d != nil {
				t.Errorf("%v", d)
			}
		})
	}
}

func TestHooks_TransportIsAmoCRMs(t *testing.T) {
	rec := &receiver{}
	c := account(t, Options{HookClient: rec.client()})
	c.a.Subscribe("https://b.example/hook", "add_lead")
	for range 20 {
		c.lead(`{"name":"Чат № 1"}`)
	}
	flush(t, c.a)
	got, first, last := rec.all(), 0, 0
	for _, h := range got {
		if h.header.Get("Content-Type") != "application/x-www-form-urlencoded" || h.header.Get("User-Agent") != "amoCRM-Webhooks/3.0" ||
			h.header.Get("Accept-Encoding") != "gzip" || !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(h.header.Get("X-Amocrm-Requestid")) {
			t.Fatalf("header: %v", h.header)
		}
		if !strings.Contains(h.raw, "leads%5Badd%5D%5B0%5D%5Bname%5D=%D0%A7%D0%B0%D1%82+%E2%84%96+1&") {
			t.Fatalf("body: %s", h.raw)
		}
		if strings.HasPrefix(h.raw, "account%5B") {
			first++
		} else {
			last++
		}
	}
	if first == 0 || last == 0 || first+last != 20 {
		t.Errorf("footer stands first %d times and last %d times", first, last)
	}
}

func TestHooks_CustomFieldQuirks(t *testing.T) {
	rec := &receiver{}
	c := account(t, Options{HookClient: rec.client()})
	c.a.Subscribe("https://b.example/hook", "add_lead", "add_contact")
	c.lead(`{"custom_fields_values":[
		{"field_id":1309,"values":[{"value":1795000000}]},{"field_id":1311,"values":[{"enum_id":62}]},{"field_id":1307,"values":[{"value":true}]},
		{"field_id":1313,"values":[{"value":"Мебель"},{"enum_id":73}]},{"field_id":1305,"values":[{"value":"12.5"}]}]}`)
	c.contact(`{"custom_fields_values":[{"field_id":111,"values":[{"value":"1990-05-06T00:00:00+03:00"}]}]}`)
	flush(t, c.a)
	f := rec.with(t, "leads[add][0][id]").form
	for key, want := range map[string]string{
		"[0][values][0]": "1795000000", "[1][values][value]": "Карта", "[1][values][enum]": "62", "[2][values][0][value]": "1",
		"[3][values][0][enum]": "71", "[3][values][1][value]": "Текстиль", "[4][values][0][value]": "12.5",
	} {
		if got := f.Get("leads[add][0][custom_fields]" + key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	if got := rec.with(t, "contacts[add][0][id]").form.Get("contacts[add][0][custom_fields][0][values][0][value]"); got != "06.05.1990" {
		t.Errorf("birthday %q", got)
	}
}

func TestHooks_TasksAndCompaniesAndResponsible(t *testing.T) {
	rec := &receiver{}
	c := account(t, Options{HookClient: rec.client()})
	lead := c.lead(`{}`)
	c.a.Subscribe("https://b.example/hook")
	c.ok("POST", "/api/v4/companies", `[{"name":"Acme"}]`)
	task, err := c.a.AddTask(lead, "a < b", 1795000000, 9001)
	if err != nil {
		t.Fatal(err)
	}
	for _, deed := range []error{c.a.CompleteTask(task, "готово"), c.a.DeleteTask(task), c.a.SetResponsible(lead, 9002)} {
		if deed != nil {
			t.Fatal(deed)
		}
	}
	flush(t, c.a)
	if got := rec.with(t, "contacts[add][0][id]").form.Get("contacts[add][0][type]"); got != "company" {
		t.Errorf("company's type %q", got)
	}
	added := rec.with(t, "task[add][0][id]").form
	if added.Get("task[add][0][text]") != "a &lt; b" || added.Get("task[add][0][complete_before]") != "1795000000" ||
		added.Get("task[add][0][element_type]") != "2" || !strings.Contains(added.Get("task[add][0][complete_till]"), " ") {
		t.Errorf("task[add]: %v", added)
	}
	closed := rec.with(t, "task[update][0][id]").form
	if closed.Get("task[update][0][action_close]") != "1" || closed.Get("task[update][0][result][text]") != "готово" {
		t.Errorf("task[update]: %v", closed)
	}
	if deleted := rec.with(t, "task[delete][0][id]").form; len(deleted) != 4 {
		t.Errorf("task[delete]: %v", deleted)
	}
	if got := rec.with(t, "leads[responsible][0][id]").form.Get("leads[responsible][0][old_responsible_user_id]"); got != "9001" {
		t.Errorf("old responsible %q", got)
	}
}

func TestHooks_MergeAndUnsorted(t *testing.T) {
	rec := &receiver{}
	c := account(t, Options{HookClient: rec.client()})
	win, lose := c.contact(phoneContact("a", "+71")), c.contact(phoneContact("b", "+72"))
	lead := c.lead(fmt.Sprintf(`{"_embedded":{"contacts":[{"id":%d}]}}`, lose))
	c.a.Subscribe("https://b.example/hook")
	if err := c.a.MergeContacts(win, lose); err != nil {
		t.Fatal(err)
	}
	if l, _ := c.a.Lead(lead); len(l.Contacts) != 1 || l.Contacts[0].ID != win || !l.Contacts[0].Main {
		t.Errorf("lead after the merge: %+v", l.Contacts)
	}
	if w, _ := c.a.Contact(win); !slices.Equal(w.Values("PHONE"), []string{"+71", "+72"}) {
		t.Errorf("winner: %v", w.Values("PHONE"))
	}
	if w := c.raw("GET", fmt.Sprint("/api/v4/contacts/", lose), ""); w.Code != 204 {
		t.Errorf("loser = %d", w.Code)
	}
	v := c.ok("POST", "/api/v4/leads/unsorted/forms", `[{"source_name":"Jivo","source_uid":"a","metadata":{"form_id":"1","form_name":"f","form_page":"p","form_sent_at":1}}]`)
	uid, _ := at(v, "_embedded.unsorted.0.uid").(string)
	if err := c.a.DeclineUnsorted(uid); err != nil {
		t.Fatal(err)
	}
	flush(t, c.a)
	if got := rec.with(t, "contacts[delete][0][id]").form.Get("contacts[delete][0][type]"); got != "contact" {
		t.Errorf("loser's hook: %q", got)
	}
	declined := rec.with(t, "unsorted[delete][0][uid]").form
	if declined.Get("unsorted[delete][0][action]") != "decline" || declined.Get("unsorted[delete][0][decline_result][leads][0]") == "" {
		t.Errorf("decline: %v", declined)
	}
}

func TestDPHooks_AreThinAndSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &receiver{status: 500}
		c := account(t, Options{HookClient: rec.client()})
		c.a.book.Next[book.Leads] = 501
		c.a.DPHook(700001, 70000003, "https://b.example/dp")
		c.a.DPHook(700001, 70000002, "https://b.example/dp")
		c.lead(`{}`)
		flush(t, c.a)
		if err := c.a.MoveLead(501, 70000003, 0); err != nil {
			t.Fatal(err)
		}
		flush(t, c.a)
		time.Sleep(24 * time.Hour)
		var bodies []string
		for _, h := range rec.all() {
			s, err := url.QueryUnescape(h.raw)
			if err != nil {
				t.Fatal(err)
			}
			bodies = append(bodies, s)
		}
		want := []string{
			"leads[add][0][id]=501&leads[add][0][status_id]=70000002&leads[add][0][pipeline_id]=700001&account[id]=31000001&account[subdomain]=demo",
			"leads[status][0][id]=501&leads[status][0][status_id]=70000003&leads[status][0][pipeline_id]=700001&leads[status][0][old_status_id]=70000002&leads[status][0][old_pipeline_id]=700001&account[id]=31000001&account[subdomain]=demo",
		}
		if !slices.Equal(bodies, want) {
			t.Errorf("got %q", bodies)
		}
	})
}

// Attempts after 5 and 15 minutes for any invalid code, after 15 more and an
// hour for 499 and 5xx (amocrm-api.md §6.7).
func TestHooks_RetryScheduleByCode(t *testing.T) {
	for code, want := range map[int][]time.Duration{
		200: {0}, 204: {0}, 302: {0, 5, 20}, 404: {0, 5, 20}, 499: {0, 5, 20, 35, 95}, 500: {0, 5, 20, 35, 95}, 599: {0, 5, 20, 35, 95},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			var at []time.Duration
			rec := &receiver{status: code}
			c := account(t, Options{HookClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				at = append(at, time.Since(start)/time.Minute)
				return rec.RoundTrip(r)
			})}})
			c.a.Subscribe("https://b.example/hook", "add_lead")
			c.lead(`{}`)
			flush(t, c.a)
			if !slices.Equal(at, want) {
				t.Errorf("%d: attempts at minutes %v, want %v", code, at, want)
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestHooks_TwoSecondsAreAllAReceiverHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var gaveUp []time.Duration
		c := account(t, Options{HookClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			gaveUp = append(gaveUp, time.Since(start))
			return nil, r.Context().Err()
		})}})
		c.a.Subscribe("https://b.example/hook", "add_lead")
		c.lead(`{}`)
		flush(t, c.a)
		if len(gaveUp) != 3 || gaveUp[0] != 2*time.Second {
			t.Errorf("gave up at %v", gaveUp)
		}
	})
}

func TestHooks_AreDisabledAfterAHundredInvalidAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &receiver{status: 500}
		c := account(t, Options{HookClient: rec.client()})
		c.a.Subscribe("https://b.example/hook", "add_lead")
		for range 100 {
			c.lead(`{}`)
		}
		synctest.Wait()
		if c.a.Subscriptions()[0].Disabled {
			t.Fatal("disabled after 100")
		}
		c.lead(`{}`)
		flush(t, c.a)
		v := c.ok("GET", "/api/v4/webhooks?filter[destination]=https://b.example/hook", "")
		if at(v, "_embedded.webhooks.0.disabled") != true || len(rec.all()) != 101 {
			t.Errorf("after %d: %v", len(rec.all()), v)
		}
		c.lead(`{}`)
		flush(t, c.a)
		c.a.SetHookDisabled("https://b.example/hook", false)
		c.lead(`{}`)
		synctest.Wait()
		if n := len(rec.all()); n != 102 {
			t.Errorf("%d attempts, want one more after being enabled", n)
		}
	})
}

func TestHooks_BadLuckIsInjectable(t *testing.T) {
	rec := &receiver{}
	c := account(t, Options{HookClient: rec.client(), HookLoss: 0.5, HookDuplicate: 0.5, Seed: 3})
	c.a.Subscribe("https://b.example/hook", "add_lead")
	for range 200 {
		c.lead(`{}`)
	}
	flush(t, c.a)
	ids := map[string]int{}
	for _, h := range rec.all() {
		ids[h.form.Get("leads[add][0][id]")]++
	}
	twice := 0
	for _, n := range ids {
		twice += n - 1
	}
	if len(ids) < 60 || len(ids) > 140 || twice < 20 || twice > len(ids)-20 {
		t.Errorf("%d of 200 came, %d of them twice", len(ids), twice)
	}
}

func TestHooks_OfOneRequestMayShareAPost(t *testing.T) {
	rec := &receiver{}
	c := account(t, Options{HookClient: rec.client(), HookGroup: true})
	c.a.Subscribe("https://b.example/hook", "add_lead")
	c.ok("POST", "/api/v4/leads", `[{},{},{}]`)
	flush(t, c.a)
	if got := rec.all(); len(got) != 1 || !got[0].form.Has("leads[add][2][id]") {
		t.Errorf("%d posts", len(got))
	}
}

func TestWebhooks_UpsertListDelete(t *testing.T) {
	c := account(t, Options{})
	put := func(settings string) (int, any) {
		return c.do("POST", "/api/v4/webhooks", `{"destination":"https://b.example/x","settings":[`+settings+`]}`)
	}
	status, one := put(`"add_lead"`)
	_, two := put(`"status_lead","delete_lead"`)
	if status != 201 || at(one, "id") != at(two, "id") || at(two, "settings.0") != "status_lead" || at(two, "disabled") != false {
		t.Errorf("%d %v then %v", status, one, two)
	}
	if v := c.ok("GET", "/api/v4/webhooks", ""); at(v, "_total_items") != 1.0 {
		t.Errorf("list: %v", v)
	}
	body := `{"destination":"https://b.example/x"}`
	if w := c.raw("DELETE", "/api/v4/webhooks", body); w.Code != 204 {
		t.Errorf("delete = %d", w.Code)
	}
	if w := c.raw("DELETE", "/api/v4/webhooks", body); w.Code != 404 {
		t.Errorf("delete again = %d", w.Code)
	}
}

func TestHooks_MayOvertakeAndForgetTheUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &receiver{}
		c := account(t, Options{HookClient: rec.client(), HookShuffle: 0.5, HookZeroUser: 0.5})
		c.a.Subscribe("https://b.example/hook", "add_lead")
		for range 50 {
			c.lead(`{}`)
		}
		flush(t, c.a)
		var ids []string
		zero := 0
		for _, h := range rec.all() {
			ids = append(ids, h.form.Get("leads[add][0][id]"))
			if h.form.Get("leads[add][0][modified_user_id]") == "0" {
				zero++
			}
		}
		if len(ids) != 50 || slices.IsSorted(ids) || zero < 10 || zero > 40 {
			t.Errorf("%d came, sorted %v, %d without a user", len(ids), slices.IsSorted(ids), zero)
		}
	})
}
