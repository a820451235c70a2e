package amocrm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jivo-amocrm/bridge/internal/amocrm/farend"
	"github.com/jivo-amocrm/bridge/internal/event"
)

const leadBody = `{"id":501,"name":"Chat from site","price":15000.5,"responsible_user_id":9001,"status_id":142,"pipeline_id":700001,
 "loss_reason_id":null,"created_at":1795000000,"updated_at":1795000100,"closed_at":null,"is_deleted":false,"unheard_of":{"a":[1]},
 "custom_fields_values":[{"field_id":1201,"field_code":"UTM_SOURCE","values":[{"value":"yandex"}]},
  {"field_id":1202,"values":[{"value":true},{"value":12345678901},{"value":{"name":"X"}},{"value":null}]}],
 "_embedded":{"tags":[{"id":31,"name":"jivo"}],"companies":[{"id":850}],"contacts":[{"id":802,"is_main":false},{"id":801,"is_main":true}]}}`

const contactBody = `{"id":801,"name":"Иван","responsible_user_id":9001,"created_at":1,"updated_at":2,"custom_fields_values":[
  {"field_id":101,"field_code":"PHONE","values":[{"value":"+79990000001","enum_id":11,"enum_code":"WORK"},{"value":333,"enum_id":12,"enum":"MOB"}]},
  {"field_id":103,"field_code":"EMAIL","values":[{"value":"a@example.com","enum_id":21,"enum_code":"WORK"}]}],
 "_embedded":{"tags":[],"companies":[{"id":850,"name":"Acme"}],"leads":[{"id":501},{"id":502}]}}`

func TestRead_ModelsAreDecodedWhole(t *testing.T) {
	inBubble(t, Config{}, nil, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		switch r.URL.Path {
		case "/api/v4/leads/501":
			fmt.Fprint(w, leadBody)
		case "/api/v4/contacts/801":
			fmt.Fprint(w, contactBody)
		default:
			w.WriteHeader(204)
		}
	}, func(t *testing.T, w *world) {
		lead, ok, err := w.Lead(t.Context(), 501)
		want := event.Lead{
			ID: 501, Name: "Chat from site", Price: 15000.5, PipelineID: 700001, StatusID: 142, ResponsibleID: 9001,
			CreatedAt: 1795000000, UpdatedAt: 1795000100, Tags: []string{"jivo"}, ContactIDs: []int64{801, 802}, CompanyID: 850,
			Fields: map[int64]event.Values{1201: {{Text: "yandex"}}, 1202: {{Text: "true"}, {Text: "12345678901"}, {Text: `{"name":"X"}`}, {}}},
		}
		if diff := cmp.Diff(want, lead); diff != "" || !ok || err != nil {
			t.Errorf("lead %v %v: %s", ok, err, diff)
		}
		contact, ok, err := w.Contact(t.Context(), 801)
		phones := []event.Value{{Text: "+79990000001", EnumID: 11, Enum: "WORK"}, {Text: "333", EnumID: 12, Enum: "MOB"}}
		emails := []event.Value{{Text: "a@example.com", EnumID: 21, Enum: "WORK"}}
		wantContact := event.Contact{
			ID: 801, Name: "Иван", ResponsibleID: 9001, CreatedAt: 1, UpdatedAt: 2, Phones: phones, Emails: emails,
			Fields: map[int64]event.Values{101: phones, 103: emails}, LeadIDs: []int64{501, 502}, CompanyID: 850, Company: "Acme",
		}
		if diff := cmp.Diff(wantContact, contact); diff != "" || !ok || err != nil {
			t.Errorf("contact %v %v: %s", ok, err, diff)
		}
		if _, ok, err := w.Lead(t.Context(), 999); ok || err != nil {
			t.Errorf("missing lead %v %v", ok, err)
		}
		if _, ok, err := w.Lead(t.Context(), 0); ok || err != nil {
			t.Errorf("lead 0: %v %v", ok, err)
		}
	})
}

// byID answers lists by filter[id][] and single reads; with filters off it
// ignores the filter, as amoCRM does.
func byID(filters bool) func(http.ResponseWriter, *http.Request, []byte) {
	return func(w http.ResponseWriter, r *http.Request, _ []byte) {
		if r.URL.Path == "/api/v4/account" {
			fmt.Fprintf(w, `{"id":1,"is_api_filter_enabled":%v}`, filters)
			return
		}
		if rest, ok := strings.CutPrefix(r.URL.Path, "/api/v4/leads/"); ok {
			fmt.Fprintf(w, `{"id":%s,"name":"single"}`, rest)
			return
		}
		ids := r.URL.Query()["filter[id][]"]
		if !filters {
			ids = []string{"1", "2", "3", "777"}
		}
		var out []string
		for _, id := range ids {
			if id != "5" { // deleted
				out = append(out, `{"id":`+id+`,"name":"listed"}`)
			}
		}
		fmt.Fprintf(w, `{"_embedded":{"leads":[%s]}}`, strings.Join(out, ","))
	}
}

// A list that fails costs none of its readers anything: it is asked for again, or
// each of them asks alone, so that whoever is to blame says so itself.
func TestLeads_AListThatFailsIsAskedForAgainOrOneByOne(t *testing.T) {
	for _, c := range []struct {
		name string
		fail farend.Handler
		want int // requests after the one that failed
	}{
		{"429", farend.Page(429), 1},
		{"closed connection", func(http.ResponseWriter, *http.Request, []byte) { panic(http.ErrAbortHandler) }, 1},
		{"too long", farend.Page(414), 5},
		{"500", farend.Page(500), 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, Config{RPS: 1, Probe: time.Hour}, nil, byID(true), func(t *testing.T, w *world) {
				if _, err := w.Account(t.Context()); err != nil {
					t.Fatal(err)
				}
				failed, answer := false, byID(true)
				w.Answer(func(rw http.ResponseWriter, r *http.Request, body []byte) {
					if !failed && r.URL.Path == "/api/v4/leads" {
						failed = true
						c.fail(rw, r, body)
						return
					}
					answer(rw, r, body)
				})
				got, err := w.Leads(t.Context(), []int64{1, 2, 3, 4, 6})
				if err != nil || len(got) != 5 || w.State().Paused {
					t.Fatalf("%d leads, %v, %+v", len(got), err, w.State())
				}
				if n := len(w.Seen()) - 2; !failed || n != c.want {
					t.Errorf("%d requests after the one that failed, want %d", n, c.want)
				}
			})
		})
	}
}

func TestLeads_ShareAListWhereFiltersWork(t *testing.T) {
	inBubble(t, Config{RPS: 1}, nil, byID(true), func(t *testing.T, w *world) {
		if _, err := w.Account(t.Context()); err != nil || !w.filters.Load() {
			t.Fatal(err)
		}
		ids := make([]int64, 60)
		for i := range ids {
			ids[i] = int64(i + 1)
		}
		got, err := w.Leads(t.Context(), ids)
		if err != nil || len(got) != 59 {
			t.Fatalf("%d leads, %v", len(got), err)
		}
		if _, ok := got[5]; ok {
			t.Error("a deleted lead was found")
		}
		if n := len(w.Seen()); n > 4 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestLeads_AreReadOneByOneWhereFiltersAreIgnored(t *testing.T) {
	inBubble(t, Config{RPS: 1}, nil, byID(false), func(t *testing.T, w *world) {
		w.Client.filters.Store(true) // it was so once
		_, _, _ = w.Lead(t.Context(), 9)
		got, err := w.Leads(t.Context(), []int64{1, 2, 3, 5})
		if err != nil || len(got) != 4 || got[5].Name != "single" {
			t.Fatalf("%v, %v", got, err)
		}
		if w.filters.Load() {
			t.Error("filters are still believed in")
		}
	})
}

func TestReads_IdenticalWaitingOnesAreOne(t *testing.T) {
	inBubble(t, Config{RPS: 1}, nil, byID(false), func(t *testing.T, w *world) {
		_, _, _ = w.Lead(t.Context(), 9)
		var wg sync.WaitGroup
		for i := range 10 {
			ctx := WithPriority(t.Context(), Priority(i%6))
			if i == 3 {
				short, cancel := context.WithTimeout(ctx, time.Millisecond)
				defer cancel()
				ctx = short
			}
			wg.Go(func() {
				traced, requests := traced(ctx)
				l, ok, err := w.Lead(traced, 1)
				if i == 3 {
					if TroubleOf(err) != Closing {
						t.Errorf("the one that gave up: %v", err)
					}
					return
				}
				if err != nil || !ok || l.ID != 1 || len(*requests) != 1 {
					t.Errorf("%+v %v %v %v", l, ok, err, *requests)
				}
			})
		}
		synctest.Wait()
		wg.Wait()
		if n := len(w.Seen()); n != 2 {
			t.Errorf("%d requests", n)
		}
	})
}

// A read asked for after another has left must not be served by its answer.
func TestReads_OneOnItsWayIsNotShared(t *testing.T) {
	inBubble(t, Config{}, nil, nil, func(t *testing.T, w *world) {
		n := 0
		w.Answer(func(rw http.ResponseWriter, _ *http.Request, _ []byte) {
			n++
			name := n
			time.Sleep(time.Second)
			fmt.Fprintf(rw, `{"id":1,"name":"%d"}`, name)
		})
		go func() { _, _, _ = w.Lead(t.Context(), 1) }()
		synctest.Wait()
		l, _, err := w.Lead(t.Context(), 1)
		if err != nil || l.Name != "2" {
			t.Errorf("%+v %v", l, err)
		}
	})
}

func TestNewestLeads_StopAtTheMomentAndSurviveShiftingPages(t *testing.T) {
	inBubble(t, Config{RPS: 100}, nil, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		if r.URL.Query().Get("order[created_at]") != "desc" || r.URL.Query().Get("limit") != "250" {
			t.Errorf("query %s", r.URL.RawQuery)
		}
		p, _ := strconv.Atoi(r.URL.Query().Get("page"))
		if p > 4 {
			t.Errorf("page %d was read", p)
		}
		var out []string
		for i := range 250 {
			n := 10000 - ((p-1)*249 + i) // one was created meanwhile
			out = append(out, fmt.Sprintf(`{"id":%d,"created_at":%d}`, n, n))
		}
		fmt.Fprintf(w, `{"_links":{"next":{"href":"x"}},"_embedded":{"leads":[%s]}}`, strings.Join(out, ","))
	}, func(t *testing.T, w *world) {
		got, err := w.NewestLeads(t.Context(), 9300)
		if err != nil || len(got) != 701 {
			t.Errorf("%d leads, %v", len(got), err)
		}
		seen := map[int64]bool{}
		for _, l := range got {
			if seen[l.ID] || l.CreatedAt < 9300 {
				t.Errorf("lead %d twice or too old", l.ID)
			}
			seen[l.ID] = true
		}
	})
}

// Contacts made with a time of creation that is past, as a migration does, hide nobody
// who stands after them in the order of ids; where all are old the list is read no further.
func TestNewestContacts_BackdatedOnesHideNobody(t *testing.T) {
	inBubble(t, Config{RPS: 100}, nil, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		if r.URL.Query().Get("page") != "1" {
			t.Errorf("page %s was read", r.URL.Query().Get("page"))
		}
		var out []string
		for i := range 250 {
			created := 1000 // long ago
			if i == 60 || i == 120 {
				created = 9300
			}
			out = append(out, fmt.Sprintf(`{"id":%d,"created_at":%d}`, 10000-i, created))
		}
		fmt.Fprintf(w, `{"_links":{"next":{"href":"x"}},"_embedded":{"contacts":[%s]}}`, strings.Join(out, ","))
	}, func(t *testing.T, w *world) {
		got, err := w.NewestContacts(t.Context(), 9300)
		if err != nil || len(got) != 2 || got[0].ID != 9940 || got[1].ID != 9880 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestLists_EndAtA204AndAtADanglingNext(t *testing.T) {
	inBubble(t, Config{RPS: 100}, nil, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		if r.URL.Query().Get("page") != "1" {
			w.WriteHeader(204)
			return
		}
		collection := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		entry := map[string]string{
			"contacts": `{"id":801,"created_at":99,"updated_at":99}`, "companies": `{"id":850,"name":"Acme","created_at":99}`,
			"notes": `{"id":9,"note_type":"call_in","params":{"uniq":"u","text":"t"}},{"id":8,"note_type":"common","params":[]}`,
			"tasks": `{"id":7,"entity_id":501,"entity_type":"leads"},{"id":8,"entity_id":9,"entity_type":"leads"},{"id":9,"entity_id":501,"entity_type":"leads","is_completed":true}`,
			"leads": `{"id":501,"created_at":99}`, "events": `{"id":"e1","type":"lead_status_changed","entity_id":501,"entity_type":"lead","created_at":5}`,
			"webhooks": `{"id":1,"destination":"https://b/x","disabled":true,"settings":["add_lead"]},{"id":2,"destination":"https://other"}`,
		}[collection]
		fmt.Fprintf(w, `{"_links":{"next":{"href":"x"}},"_embedded":{%q:[%s,"junk"]}}`, collection, entry)
	}, func(t *testing.T, w *world) {
		ctx := t.Context()
		check := func(name string, n, want int, err error) {
			t.Helper()
			if err != nil || n != want {
				t.Errorf("%s: %d entries, want %d; %v", name, n, want, err)
			}
		}
		contacts, err := w.SearchContacts(ctx, "9990000001", NewLead)
		check("contacts", len(contacts), 1, err)
		companies, err := w.SearchCompanies(ctx, "Acme")
		check("companies", len(companies), 1, err)
		if !companies[0].IsCompany || companies[0].Name != "Acme" {
			t.Errorf("%+v", companies[0])
		}
		newest, err := w.NewestContacts(ctx, 50)
		check("newest contacts", len(newest), 1, err)
		newest, err = w.NewestContacts(ctx, 100)
		check("newer contacts", len(newest), 0, err)
		newest, err = w.NewestCompanies(ctx, 50)
		check("newest companies", len(newest), 1, err)
		found, err := w.SearchLeads(ctx, "jv-c1@shop")
		check("leads", len(found), 1, err)
		notes, err := w.NotesOf(ctx, "leads", 501)
		check("notes", len(notes), 2, err)
		if notes[0].Uniq != "u" || notes[0].Text != "t" || notes[1].Type != "common" {
			t.Errorf("%+v", notes)
		}
		tasks, err := w.TasksOf(ctx, "leads", 501)
		check("tasks", len(tasks), 2, err)
		tasks, err = w.OpenTasks(ctx, "leads", []int64{501})
		check("open tasks", len(tasks), 1, err)
		tasks, err = w.OpenTasks(ctx, "leads", nil)
		check("no tasks", len(tasks), 0, err)
		events, more, err := w.Events(ctx, 1, 1)
		check("events", len(events), 1, err)
		if !more || events[0] != (FeedEvent{ID: "e1", Type: "lead_status_changed", EntityType: "lead", EntityID: 501, CreatedAt: 5}) {
			t.Errorf("%+v %v", events, more)
		}
		_, more, err = w.Events(ctx, 1, 2)
		if more || err != nil {
			t.Errorf("after the last page: %v %v", more, err)
		}
		hooks, err := w.Webhooks(ctx, "https://b/x")
		check("hooks", len(hooks), 1, err)
		if !hooks[0].Disabled || hooks[0].Settings[0] != "add_lead" {
			t.Errorf("%+v", hooks)
		}
		page, more, err := w.ContactsChanged(ctx, 1, 99)
		check("changed contacts", len(page), 1, err)
		if !more {
			t.Error("no second page")
		}
		page, more, err = w.ContactsChanged(ctx, 1, 100)
		check("contacts changed since then", len(page), 0, err)
		if more {
			t.Error("the pass goes on past its moment")
		}
	})
}

func TestWebhooks_SubscribeAndList(t *testing.T) {
	inBubble(t, Config{}, nil, func(w http.ResponseWriter, r *http.Request, body []byte) {
		switch r.Method {
		case http.MethodPost:
			w.WriteHeader(201)
			fmt.Fprint(w, `{"id":5,"destination":"https://b/x","settings":["add_lead","status_lead"],"disabled":false}`)
		default:
			w.WriteHeader(403)
			fmt.Fprint(w, `{"title":"Forbidden","status":403,"detail":"no rights"}`)
		}
	}, func(t *testing.T, w *world) {
		h, err := w.SubscribeWebhook(t.Context(), "https://b/x", []string{"add_lead", "status_lead"})
		if err != nil || h.ID != 5 || len(h.Settings) != 2 {
			t.Errorf("%+v %v", h, err)
		}
		if got := string(w.Seen()[0].Body); got != `{"destination":"https://b/x","settings":["add_lead","status_lead"],"sort":10}` {
			t.Error(got)
		}
		_, err = w.Webhooks(t.Context(), "")
		if TroubleOf(err) != Forbidden || w.State().Paused {
			t.Errorf("%v %+v", err, w.State())
		}
	})
}

func TestGet_TellsTheStatusAlongWithTheError(t *testing.T) {
	inBubble(t, Config{}, nil, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		if r.URL.Path == "/api/v4/users" {
			w.WriteHeader(403)
			fmt.Fprint(w, `{"title":"Forbidden","status":403}`)
			return
		}
		fmt.Fprint(w, `[1]`)
	}, func(t *testing.T, w *world) {
		status, err := w.Get(t.Context(), "/api/v4/users", nil, nil)
		if status != 403 || err == nil {
			t.Errorf("%d %v", status, err)
		}
		var out struct{ A int }
		status, err = w.Get(t.Context(), "/api/v4/other", nil, &out)
		if f, ok := errors.AsType[*Failed](err); !ok || f.Trouble != BadAnswer || status != 200 {
			t.Errorf("%d %v", status, err)
		}
	})
}
