package dict

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

// A live pipeline is meant before an archived one of its name, wherever they stand.
func TestDictionary_LivePipelineComesBeforeAnArchivedNamesake(t *testing.T) {
	d := &Snapshot{Pipelines: []Pipeline{{ID: 1, Name: "Продажи", Sort: 1, Archived: true}, {ID: 2, Name: "продажи", Sort: 2}}}
	if p, ok := d.Pipeline("Продажи"); !ok || p.ID != 2 {
		t.Errorf("%+v", p)
	}
}

// The first stage is the first by sort, in whatever order they came.
func TestDictionary_FirstStageIsTheFirstBySort(t *testing.T) {
	d := &Snapshot{Pipelines: []Pipeline{{ID: 1, Stages: []Stage{{ID: 12, Sort: 30}, {ID: 11, Sort: 20}, {ID: 13, Sort: 40}}}}}
	if s, ok := d.FirstStage(1); !ok || s.ID != 11 || s.PipelineID != 1 {
		t.Errorf("%+v", s)
	}
}

// Won and lost stand in every pipeline, so they tell of none.
func TestDictionary_WonAndLostTellOfNoPipeline(t *testing.T) {
	d := demoDictionary(t)
	for _, id := range []int64{142, 143} {
		if p, ok := d.PipelineOf(id); ok {
			t.Errorf("%d is of %s", id, p.Name)
		}
	}
	if p, ok := d.PipelineOf(80000002); !ok || p.ID != 700002 {
		t.Errorf("%+v", p)
	}
}

// A clock this machine does not know the zone of goes by its offset.
func TestDictionary_OffsetIsHeeded(t *testing.T) {
	d := &Snapshot{Timezone: "Nowhere/Town", TimezoneOffset: "+05:30"}
	if got := time.Unix(0, 0).In(d.Location()).Format("15:04"); got != "05:30" {
		t.Errorf("it is %s there", got)
	}
}

// A user of whom amoCRM does not say so is active.
func TestLoadDictionary_UserIsActiveUnlessToldOtherwise(t *testing.T) {
	f := demoAccount()
	f.lists["/api/v4/users"] = []string{`{"id":1,"name":"A","email":"a@example.com","rights":{}}`, `{"id":2,"name":"B","email":"b@example.com","rights":{"is_active":false}}`}
	d, err := Load(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	for email, want := range map[string]bool{"a@example.com": true, "b@example.com": false} {
		if _, ok := d.User(email); ok != want {
			t.Errorf("%s: %t", email, ok)
		}
	}
}

// Of users, companies' fields and loss reasons a token may know nothing; what leads and
// contacts are made of must be read, or they would be made without their marker.
func TestLoadDictionary_WhatATokenMayNotSee(t *testing.T) {
	for path, fine := range map[string]bool{
		"/api/v4/users": true, "/api/v4/leads/loss_reasons": true, "/api/v4/companies/custom_fields": true,
		"/api/v4/leads/custom_fields": false, "/api/v4/contacts/custom_fields": false, "/api/v4/leads/pipelines": false,
	} {
		f := demoAccount()
		f.fail = map[string]int{path: http.StatusForbidden}
		d, err := Load(context.Background(), f)
		if (err == nil) != fine || (d != nil) != fine {
			t.Errorf("%s: %v", path, err)
		}
		if d != nil && d.ReadsUsers() != (path != "/api/v4/users") {
			t.Errorf("%s: users are known: %t", path, d.ReadsUsers())
		}
	}
}

// endless answers every list with an empty page that has a next one.
type endless struct {
	*fakeAccount
	lists *atomic.Int32
}

func (e endless) Get(ctx context.Context, path string, query url.Values, out any) (int, error) {
	if path == "/api/v4/account" {
		return e.fakeAccount.Get(ctx, path, query, out)
	}
	e.lists.Add(1)
	return http.StatusOK, json.Unmarshal([]byte(`{"_links":{"next":{"href":"x"}},"_embedded":{}}`), out)
}

// An empty page is the last of its list, whatever link it has: it costs the account one
// request.
func TestLoadDictionary_EmptyPageWithALinkIsTheLast(t *testing.T) {
	var lists atomic.Int32
	if _, err := Load(context.Background(), endless{demoAccount(), &lists}); err != nil {
		t.Fatal(err)
	}
	if n := lists.Load(); n != 6 {
		t.Errorf("%d requests for six lists", n)
	}
}
