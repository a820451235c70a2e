package app

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/jivo-amocrm/bridge/internal/amocrm"
	"github.com/jivo-amocrm/bridge/internal/upkeep"
)

type oneToken struct{}

func (oneToken) Token(context.Context) (string, error) { return "t", nil }
func (oneToken) Refused(context.Context, string) error { return nil }

// `check` says "many" from the contact on that the directory is not filled unasked
// with, and needs one request for that.
func TestLook_CountsContactsByOneRequest(t *testing.T) {
	for total, want := range map[int]string{0: "few", upkeep.SmallAccount: "few", upkeep.SmallAccount + 1: "many", 2 * upkeep.SmallAccount: "many"} {
		requests := 0
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests++
			q := r.URL.Query()
			page, _ := strconv.Atoi(q.Get("page"))
			limit, _ := strconv.Atoi(q.Get("limit"))
			n := min(limit, total-(page-1)*limit)
			if n <= 0 {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			fmt.Fprintf(w, `{"_embedded":{"contacts":[%s]}}`, strings.Repeat(`{"id":1},`, n-1)+`{"id":1}`)
		}))
		l := Looker{CRM: amocrm.New(amocrm.Config{BaseURL: srv.URL}, oneToken{}, nil, nil, nil, nil)}
		got, err := l.contacts(t.Context())
		srv.Close()
		if got != want || err != nil || requests != 1 {
			t.Errorf("%d contacts: %q by %d requests, want %q by 1 (%v)", total, got, requests, want, err)
		}
	}
}
