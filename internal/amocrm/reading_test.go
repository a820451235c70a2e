package amocrm

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/jivo-amocrm/bridge/internal/amocrm/farend"
)

// The feed is asked for from the position on: amoCRM keeps it for years.
func TestEvents_AreAskedForFromTheirMoment(t *testing.T) {
	inBubble(t, Config{RPS: 100}, nil, farend.Page(204), func(t *testing.T, w *world) {
		if _, _, err := w.Events(t.Context(), 1_800_000_000, 3); err != nil {
			t.Fatal(err)
		}
		asked, err := url.Parse(w.Seen()[0].URI)
		if err != nil {
			t.Fatal(err)
		}
		q := asked.Query()
		if q.Get("filter[created_at][from]") != "1800000000" || q.Get("page") != "3" {
			t.Errorf("asked for %v", q)
		}
	})
}

// A lead that amoCRM does not know is gone, however it says so; of one that could not
// be read nothing is known, or its links would be dropped for an answer that was lost.
func TestLeads_NotThereAndNotReadAreTwoThings(t *testing.T) {
	answers := map[string]int{"/api/v4/leads/1": 200, "/api/v4/leads/2": 204, "/api/v4/leads/3": 404, "/api/v4/leads/4": 400}
	inBubble(t, Config{RPS: 100}, nil, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		status := answers[r.URL.Path]
		w.WriteHeader(status)
		switch status {
		case 200:
			fmt.Fprint(w, `{"id":1,"name":"there"}`)
		case 404, 400:
			fmt.Fprintf(w, `{"title":"No","status":%d,"detail":"no"}`, status)
		}
	}, func(t *testing.T, w *world) {
		for id, there := range map[int64]bool{1: true, 2: false, 3: false} {
			if _, ok, err := w.Lead(t.Context(), id); ok != there || err != nil {
				t.Errorf("lead %d: there is one: %v, %v", id, ok, err)
			}
		}
		got, err := w.Leads(t.Context(), []int64{1, 2, 3})
		if len(got) != 1 || err != nil {
			t.Errorf("%d leads, %v", len(got), err)
		}
		if got, err = w.Leads(t.Context(), []int64{1, 2, 4}); err == nil {
			t.Errorf("%d leads, and nothing of the one that was not read", len(got))
		}
	})
}

// A page that is empty is the last, whatever link it has.
func TestContacts_EmptyPageIsTheLast(t *testing.T) {
	inBubble(t, Config{RPS: 100}, nil, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		fmt.Fprint(w, `{"_links":{"next":{"href":"x"}},"_embedded":{"contacts":[]}}`)
	}, func(t *testing.T, w *world) {
		got, err := w.ContactsFrom(t.Context(), 0)
		if err != nil || got.More {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// A contact's task is no lead's, though they have the same number.
func TestTasks_StandOnTheirOwnKindOfEntity(t *testing.T) {
	inBubble(t, Config{RPS: 100}, nil, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		fmt.Fprint(w, `{"_embedded":{"tasks":[{"id":7,"entity_id":501,"entity_type":"leads"},{"id":8,"entity_id":501,"entity_type":"contacts"},{"id":9,"entity_id":501}]}}`)
	}, func(t *testing.T, w *world) {
		tasks, err := w.OpenTasks(t.Context(), "leads", []int64{501})
		var ids []string
		for _, task := range tasks {
			ids = append(ids, fmt.Sprint(task.ID))
		}
		if got := strings.Join(ids, " "); got != "7 9" || err != nil {
			t.Errorf("tasks %s, %v", got, err)
		}
	})
}
