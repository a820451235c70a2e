package amocrm

import (
	"fmt"
	"net/http"
	"testing"
)

// A pass over a list must see the last entry it knows, and get on.
func TestWindow_HasTheEntryAndReachesBeyond(t *testing.T) {
	for n := range 100_000 {
		page, limit := window(n)
		first, next := (page-1)*limit, page*limit
		if limit > maxItems || first > n || next < n+2 {
			t.Fatalf("entry %d: page %d of %d is %d to %d", n, page, limit, first, next-1)
		}
	}
	reads := 0
	for read := 0; read < 50_000; reads++ {
		page, limit := window(max(read-1, 0))
		read = page * limit
	}
	if reads > 220 { // 200 pages side by side
		t.Errorf("%d requests for 50,000", reads)
	}
}

func TestContactsFrom_AsksForThePageThatBeginsThere(t *testing.T) {
	inBubble(t, Config{RPS: 100}, nil, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		if r.URL.Query().Get("page") == "1" {
			fmt.Fprint(w, `{"_links":{"next":{"href":"x"}},"_embedded":{"contacts":[{"id":801},{"id":802}]}}`)
			return
		}
		w.WriteHeader(204)
	}, func(t *testing.T, w *world) {
		got, err := w.ContactsFrom(t.Context(), 0)
		if err != nil || got.First != 0 || got.Next != 250 || !got.More || len(got.Contacts) != 2 || got.Contacts[1].ID != 802 {
			t.Errorf("%+v %v", got, err)
		}
		got, err = w.ContactsFrom(t.Context(), 249)
		if err != nil || got.First != 249 || got.Next != 498 || got.More || len(got.Contacts) != 0 {
			t.Errorf("past the end: %+v %v", got, err)
		}
		seen := w.Seen()
		for i, want := range []string{"limit=250&order%5Bid%5D=asc&page=1", "limit=249&order%5Bid%5D=asc&page=2"} {
			if seen[i].URI != "/api/v4/contacts?"+want {
				t.Errorf("asked for %s, want %s", seen[i].URI, want)
			}
		}
	})
}
