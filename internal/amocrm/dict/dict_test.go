package dict

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
)

// fakeAccount answers get from JSON by path; a list is cut into pages of one.
type fakeAccount struct {
	account string
	lists   map[string][]string // path → items
	fail    map[string]int      // path → status
	mu      sync.Mutex
	asked   []string
	dangle  bool // every page of a list has a next link, even the last
}

func (f *fakeAccount) Get(_ context.Context, path string, query url.Values, out any) (int, error) {
	f.mu.Lock()
	f.asked = append(f.asked, path+"?"+query.Encode())
	f.mu.Unlock()
	if status := f.fail[path]; status != 0 {
		return status, &amocrm.Refused{Status: status}
	}
	if path == "/api/v4/account" {
		return http.StatusOK, json.Unmarshal([]byte(f.account), out)
	}
	var page int
	if _, err := fmt.Sscan(query.Get("page"), &page); err != nil {
		return 0, err
	}
	items := f.lists[path]
	if page > len(items) {
		return http.StatusNoContent, nil
	}
	next := ""
	if page < len(items) || f.dangle {
		next = `,"next":{"href":"https://demo.amocrm.ru"}`
	}
	collection := path[strings.LastIndexByte(path, '/')+1:]
	body := fmt.Sprintf(`{"_page":%d,"_links":{"self":{"href":"x"}%s},"_embedded":{"extra":{},%q:[%s]}}`, page, next, collection, items[page-1])
	return http.StatusOK, json.Unmarshal([]byte(body), out)
}

func demoAccount() *fakeAccount {
	return &fakeAccount{
		account: `{"id":31000001,"name":"Demo","subdomain":"demo","country":"RU","is_api_filter_enabled":true,
			"_embedded":{"task_types":[{"id":1,"name":"Связаться","color":null,"code":"FOLLOW_UP"}],
			"datetime_settings":{"timezone":"Europe/Moscow","timezone_offset":"+03:00","date_pattern":"d.m.Y H:i"}}}`,
		lists: map[string][]string{
			"/api/v4/leads/pipelines": {
				`{"id":700003,"name":"Старая","sort":0,"is_main":false,"is_archive":true,"_embedded":{"statuses":[{"id":30,"name":"Была","sort":20,"type":0}]}}`,
				`{"id":700001,"name":"Продажи","sort":2,"is_main":true,"is_archive":false,"_embedded":{"statuses":[
					{"id":143,"name":"Закрыто и не реализовано","sort":11000,"type":0},
					{"id":142,"name":"Успешно реализовано","sort":10000,"type":0},
					{"id":70000003,"name":"Переговоры","sort":30,"type":0},
					{"id":70000002,"name":"Первичный контакт","sort":20,"type":0},
					{"id":70000001,"name":"Неразобранное","sort":10,"type":1}]}}`,
				`{"id":700002,"name":"Сервис","sort":1,"is_main":false,"_embedded":{"statuses":[
					{"id":80000001,"name":"Неразобранное","sort":10,"type":1},{"id":80000002,"name":"Заявка","sort":20,"type":0},
					{"id":142,"name":"Готово","sort":10000,"type":0},{"id":143,"name":"Отказ","sort":11000,"type":0}]}}`,
			},
			"/api/v4/users": {
				`{"id":9001,"name":"Анна Фёдорова","email":"Anna@example.com","rights":{"is_admin":true,"is_active":true}}`,
				`{"id":9002,"name":"Иван Петров","email":"ivan@example.com","rights":{"is_active":true}}`,
				`{"id":9003,"name":"Иван Петров","email":"ivan2@example.com","rights":{"is_active":true}}`,
				`{"id":9004,"name":"Бывший","email":"gone@example.com","rights":{"is_active":false}}`,
			},
			"/api/v4/leads/custom_fields": {
				`{"id":1201,"name":"utm_source","code":"UTM_SOURCE","type":"tracking_data","sort":1,"enums":null}`,
				`{"id":1202,"name":"Jivo ID","code":null,"type":"text","sort":2}`,
				`{"id":1203,"name":"Город","type":"select","sort":3,"enums":[{"id":31,"value":"Москва","sort":1},{"id":32,"value":"Орёл","sort":2,"code":"OREL"}]}`,
				`{"id":1204,"name":"Интерес","type":"multiselect","sort":4,"enums":[{"id":41,"value":"Окна","sort":1},{"id":42,"value":"Двери, ворота","sort":2},{"id":43,"value":"Крыши","sort":3}]}`,
				`{"id":1205,"name":"Сумма","type":"numeric","sort":5,"is_computed":true}`,
				`{"id":1206,"name":"Сумма","type":"numeric","sort":6}`,
				`{"id":1207,"name":"Дата","type":"date","sort":7}`,
				`{"id":1208,"name":"Комментарий","type":"textarea","sort":8}`,
				`{"id":1209,"name":"Согласие","type":"checkbox","sort":9}`,
				`{"id":"odd","name":["shape"]}`,
				`{"id":1210,"name":"Файл","type":"file","sort":10}`,
			},
			"/api/v4/contacts/custom_fields": {
				`{"id":101,"name":"Телефон","code":"PHONE","type":"multitext","sort":1,"enums":[{"id":11,"value":"WORK","code":"WORK","sort":1},{"id":12,"value":"MOB","code":"MOB","sort":2}]}`,
				`{"id":103,"name":"Email","code":"EMAIL","type":"multitext","sort":2,"enums":[{"id":21,"value":"WORK","code":"WORK","sort":1}]}`,
				`{"id":104,"name":"Jivo ID","type":"text","sort":3}`,
				`{"id":105,"name":"Категория Jivo","type":"text","sort":4}`,
				`{"id":106,"name":"Мессенджер","code":"IM","type":"multitext","sort":5,"enums":[{"id":61,"value":"SKYPE","code":"SKYPE","sort":1},{"id":62,"value":"OTHER","code":"OTHER","sort":2}]}`,
			},
			"/api/v4/leads/loss_reasons": {`{"id":71,"name":"Дорого","sort":1}`, `{"id":72,"name":"Не дозвонились","sort":2}`},
		},
	}
}

func demoDictionary(t testing.TB) *Snapshot {
	t.Helper()
	d, err := Load(context.Background(), demoAccount())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLoadDictionary_ReadsEveryPageOfEveryList(t *testing.T) {
	d := demoDictionary(t)
	if d.AccountID != 31000001 || d.Country != "RU" || d.Timezone != "Europe/Moscow" || !d.FilterEnabled || !d.UsersReadable {
		t.Errorf("account: %+v", d)
	}
	got := map[string]int{"pipelines": len(d.Pipelines), "users": len(d.Users), "leads": len(d.Fields["leads"]),
		"contacts": len(d.Fields["contacts"]), "reasons": len(d.LossReasons)}
	want := map[string]int{"pipelines": 3, "users": 4, "leads": 10, "contacts": 5, "reasons": 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoadDictionary_StopsAtAnEmptyPageWhateverTheLinksSay(t *testing.T) {
	a := demoAccount()
	a.dangle = true
	d, err := Load(context.Background(), a)
	if err != nil || len(d.Users) != 4 {
		t.Fatalf("%v, %d users", err, len(d.Users))
	}
	if n := len(a.asked); n > 40 {
		t.Errorf("%d requests", n)
	}
}

func TestLoadDictionary_UsersMayBeForbidden(t *testing.T) {
	a := demoAccount()
	a.fail = map[string]int{"/api/v4/users": 403, "/api/v4/leads/loss_reasons": 404, "/api/v4/companies/custom_fields": 403}
	d, err := Load(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	if d.UsersReadable || len(d.Users) != 0 {
		t.Error("users readable")
	}
	if u, ok := d.User("9001"); !ok || u.ID != 9001 {
		t.Error("an id is taken on trust where users cannot be read")
	}
	if _, ok := d.User("Anna@example.com"); ok {
		t.Error("an e-mail cannot be known")
	}
}

func TestLoadDictionary_OtherFailuresAreErrors(t *testing.T) {
	for _, path := range []string{"/api/v4/account", "/api/v4/leads/pipelines", "/api/v4/users", "/api/v4/contacts/custom_fields", "/api/v4/leads/loss_reasons"} {
		a := demoAccount()
		a.fail = map[string]int{path: 500}
		_, err := Load(context.Background(), a)
		if _, ok := errors.AsType[*amocrm.Refused](err); !ok {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestDictionary_BanIsNotAMissingRight(t *testing.T) {
	if lacksRight(403, &amocrm.NotSent{Trouble: amocrm.Banned, Reason: amocrm.Banned}) {
		t.Error("a ban would empty the users")
	}
}

func TestDictionary_NamesAreComparedAsPeopleWriteThem(t *testing.T) {
	d := demoDictionary(t)
	for _, name := range []string{"Продажи", "  продажи ", "ПРОДАЖИ", "700001", "Продажи"} {
		if p, ok := d.Pipeline(name); !ok || p.ID != 700001 {
			t.Errorf("pipeline %q: %d %t", name, p.ID, ok)
		}
	}
	for name, want := range map[string]int64{
		"первичный  контакт": 70000002, "70000003": 70000003, "won": 142, "LOST": 143, "unsorted": 70000001,
		"Успешно реализовано": 142, "Заявка": 0, "80000002": 0, "": 0,
	} {
		if s, ok := d.Stage(700001, name); s.ID != want || ok != (want != 0) || ok && s.PipelineID != 700001 {
			t.Errorf("stage %q: %+v %t, want %d", name, s, ok, want)
		}
	}
	for name, want := range map[string]int64{
		"9001": 9001, "anna@EXAMPLE.com": 9001, "анна федорова": 9001, "Анна Фе\u0308дорова": 9001,
		"Иван Петров": 0, "ivan2@example.com": 9003, "gone@example.com": 0, "9004": 0, "": 0, "0": 0,
	} {
		if u, ok := d.User(name); u.ID != want || ok != (want != 0) {
			t.Errorf("user %q: %d %t, want %d", name, u.ID, ok, want)
		}
	}
	for name, want := range map[string]int64{"UTM_SOURCE": 1201, "utm_source": 1201, "1203": 1203, "город": 1203, "Сумма": 1206, "нет": 0, "": 0} {
		if f, ok := d.Field("leads", name); f.ID != want || ok != (want != 0) {
			t.Errorf("field %q: %d %t, want %d", name, f.ID, ok, want)
		}
	}
	for name, want := range map[string]int64{"дорого": 71, "72": 72, "нет": 0, "": 0} {
		if r, ok := d.LossReason(name); r.ID != want || ok != (want != 0) {
			t.Errorf("loss reason %q: %d %t, want %d", name, r.ID, ok, want)
		}
	}
}

func TestDictionary_FirstStageIsNeverASystemOne(t *testing.T) {
	d := demoDictionary(t)
	if s, ok := d.FirstStage(700001); !ok || s.ID != 70000002 {
		t.Errorf("got %+v", s)
	}
	only := &Snapshot{Pipelines: []Pipeline{{ID: 1, Stages: []Stage{{ID: 142, Sort: 1}, {ID: 143, Sort: 2}, {ID: 5, Unsorted: true}}}}}
	if s, ok := only.FirstStage(1); ok {
		t.Errorf("got %+v", s)
	}
}

func TestDictionary_MainPipelineIsNeverArchived(t *testing.T) {
	d := demoDictionary(t)
	if p, ok := d.MainPipeline(); !ok || p.ID != 700001 {
		t.Errorf("got %+v", p)
	}
	unmarked := &Snapshot{Pipelines: []Pipeline{{ID: 1, Archived: true, Main: true}, {ID: 2, Sort: 9}, {ID: 3, Sort: 4}}}
	if p, _ := unmarked.MainPipeline(); p.ID != 3 {
		t.Errorf("got %+v", p)
	}
}

func TestDictionary_NamesForIds(t *testing.T) {
	d := demoDictionary(t)
	for _, c := range []struct{ got, want string }{
		{d.PipelineName(700002), "Сервис"}, {d.PipelineName(1), ""},
		{d.StageName(700002, 142), "Готово"}, {d.StageName(700001, 142), "Успешно реализовано"},
		{d.StageName(0, 142), "Успешно реализовано"}, {d.StageName(0, 80000002), "Заявка"}, {d.StageName(700001, 5), ""},
		{d.UserName(9004), "Бывший"}, {d.UserName(0), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestDictionary_NearestNames(t *testing.T) {
	d := demoDictionary(t)
	for _, c := range []struct{ kind, name, want string }{
		{KindPipeline, "Продаж", "Продажи"}, {KindStage, "первичный контат", "Первичный контакт"},
		{KindUser, "Ана Федорова", "Анна Фёдорова"}, {KindLossReason, "дорога", "Дорого"}, {"leads", "UTM_SORCE", "utm_source"},
	} {
		if got := d.Nearest(c.kind, c.name); len(got) == 0 || got[0] != c.want {
			t.Errorf("%s %q: %v, want %q", c.kind, c.name, got, c.want)
		}
	}
	if got := d.Nearest(KindPipeline, "совсем другое имя"); len(got) != 0 {
		t.Errorf("nothing is near: %v", got)
	}
	if got := d.NearestStage(700002, "Заявки"); !slices.Equal(got, []string{"Заявка"}) {
		t.Errorf("stage of a pipeline: %v", got)
	}
}

func TestDictionary_EmptyKnowsNothingAndBearsEveryQuestion(t *testing.T) {
	for _, d := range []*Snapshot{nil, {}} {
		_, a := d.Pipeline("x")
		_, b := d.MainPipeline()
		_, c := d.Stage(1, "won")
		_, e := d.FirstStage(1)
		_, f := d.User("x")
		_, g := d.UserByID(1)
		_, h := d.Field("leads", "x")
		_, i := d.LossReason("x")
		if a || b || c || e || f || g || h || i {
			t.Error("something was found")
		}
		if s := d.PipelineName(1) + d.StageName(1, 142) + d.UserName(1); s != "" || d.Location() != nil || d.Nearest(KindStage, "x") != nil || d.NearestStage(1, "x") != nil {
			t.Error("something has a name")
		}
	}
}

// The tests of items have no far end to load from: theirs is this account, kept.
func TestDictionary_OfItemsTestsIsTheDemoAccounts(t *testing.T) {
	kept, err := os.ReadFile("../items/testdata/dictionary.json")
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := json.MarshalIndent(demoDictionary(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if string(kept) != string(loaded)+"\n" {
		t.Errorf("it should read:\n%s", loaded)
	}
}

func TestDictionary_SurvivesJSON(t *testing.T) {
	d := demoDictionary(t)
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	back := &Snapshot{}
	if err := json.Unmarshal(raw, back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, back, cmpopts.IgnoreUnexported(Snapshot{})); diff != "" {
		t.Error(diff)
	}
	if u, ok := back.User("anna@example.com"); !ok || u.ID != 9001 {
		t.Error("the copy finds nobody")
	}
}

func TestDictionary_LocationFallsBackToTheOffset(t *testing.T) {
	d := &Snapshot{Timezone: "Nowhere/Nothing", TimezoneOffset: "+05:00"}
	if l := d.Location(); l == nil || l.String() != "+05:00" {
		t.Errorf("got %v", l)
	}
}

// slow is an account a round trip away.
type slow struct {
	*fakeAccount
	trip time.Duration
}

func (s slow) Get(ctx context.Context, path string, query url.Values, out any) (int, error) {
	time.Sleep(s.trip)
	return s.fakeAccount.Get(ctx, path, query, out)
}

// A start must not wait for each list in turn.
func TestLoadDictionary_ReadsTheListsSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := demoAccount()
		for path, items := range a.lists {
			a.lists[path] = items[:1] // one page each
		}
		began := time.Now()
		if _, err := Load(t.Context(), slow{a, 150 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 300*time.Millisecond {
			t.Errorf("the account and six lists took %v, want two round trips", took)
		}
	})
}
