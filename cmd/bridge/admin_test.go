package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jivo-amocrm/bridge/internal/app"
	"github.com/jivo-amocrm/bridge/internal/config"
	"github.com/jivo-amocrm/bridge/internal/config/strict"
	"github.com/jivo-amocrm/bridge/internal/console"
)

// adminOf is a running bridge's listener played by h.
func adminOf(t *testing.T, h http.HandlerFunc) *admin {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	cfg := &config.Config{Admin: config.Admin{Listen: strings.TrimPrefix(srv.URL, "http://"), Token: strict.NewSecret("admin-token")}}
	return newAdmin(cfg)
}

// noise is text that no compression makes smaller.
func noise(n int) string {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('!' + r.IntN(90))
	}
	return string(b)
}

// TestAdmin_ImportKeepsWithinWhatTheListenerTakes: lines that do not fit in one
// request go in several, in order, each once; what never fits is refused with a
// way out.
func TestAdmin_ImportKeepsWithinWhatTheListenerTakes(t *testing.T) {
	t.Parallel()
	var got []string
	a := adminOf(t, func(w http.ResponseWriter, r *http.Request) {
		zip, err := gzip.NewReader(http.MaxBytesReader(w, r.Body, 64<<10))
		if err != nil {
			t.Error(err)
			return
		}
		n := app.ImportCounts{}
		dec := json.NewDecoder(bufio.NewReader(zip))
		for {
			var l app.ImportLine
			if err := dec.Decode(&l); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Error(err)
				return
			}
			got = append(got, l.Body[:2])
			n.Read++
			n.Taken++
		}
		_ = json.NewEncoder(w).Encode(n)
	})
	var lines []app.ImportLine
	for i := range 20 {
		lines = append(lines, app.ImportLine{Body: fmt.Sprintf("%02d", i) + noise(20_000), At: time.Unix(int64(i), 0)})
	}
	n, err := a.Import(t.Context(), "shop", lines)
	if err != nil || n.Read != 20 || n.Taken != 20 {
		t.Errorf("counts %+v, %v", n, err)
	}
	if want := "00 01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19"; strings.Join(got, " ") != want {
		t.Errorf("came as %v", got)
	}
	_, err = a.Import(t.Context(), "shop", []app.ImportLine{{Body: noise(200_000)}})
	var h interface{ Hint() string }
	if err == nil || !errors.As(err, &h) || !strings.Contains(h.Hint(), "stop the bridge") {
		t.Errorf("a line that never fits: %v", err)
	}
}

// TestAdmin_AnswersBecomeErrorsWithTheirExitStatus: whose fault an answer says it is.
func TestAdmin_AnswersBecomeErrorsWithTheirExitStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		exit   int
		text   string
	}{
		{401, `{"error":"authorization required"}`, exitWrong, "refuses admin.token"},
		{400, `{"error":"bad thing"}`, exitWrong, "bad thing"},
		{404, `{"error":"not found"}`, exitWrong, "not found"},
		{404, `{"error":"no such connection"}`, exitWrong, "no such connection"},
		{409, `{"error":"it is pending"}`, exitWrong, "it is pending"},
		{500, `{"error":"internal error"}`, exitOutside, "internal error"},
		{503, `oops`, exitOutside, "503"},
		{200, `oops`, exitOutside, "no sensible answer"},
	} {
		a := adminOf(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer admin-token" {
				t.Error("no token")
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		_, err := a.Event(t.Context(), 1)
		var out strings.Builder
		if exit := report(&out, err); exit != c.exit || !strings.Contains(out.String(), c.text) {
			t.Errorf("%d %s: status %d, %s", c.status, c.body, exit, out.String())
		}
		if c.status == 404 && c.text == "not found" && !errors.Is(err, console.ErrNotFound) {
			t.Errorf("404 is %v", err)
		}
	}
}

// TestAdmin_TroubleOfAmoCRMKeepsItsWord: what a running bridge says of amoCRM has
// the exit status and the hint it would have without the bridge in between.
func TestAdmin_TroubleOfAmoCRMKeepsItsWord(t *testing.T) {
	t.Parallel()
	conn := &config.Connection{Name: "shop", AmoCRM: config.AmoCRM{Host: "example.amocrm.ru"}}
	for trouble, exit := range map[string]int{
		"unreachable": exitOutside, "unavailable": exitOutside, "banned": exitOutside, "unpaid": exitOutside, "paused": exitOutside,
		"unauthorized": exitWrong, "needs_auth": exitWrong, "forbidden": exitWrong,
	} {
		a := adminOf(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = fmt.Fprintf(w, `{"error":"amocrm: not sent: %s","trouble":%q}`, trouble, trouble)
		})
		_, err := a.look(t.Context(), "shop", "", false)
		var out strings.Builder
		if got := report(&out, crmError(conn, err)); got != exit || !strings.Contains(out.String(), trouble) {
			t.Errorf("%s: status %d, %s", trouble, got, out.String())
		}
	}
}

func TestDialable_IsLoopbackForAListenerOnEveryAddress(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		":9090": "127.0.0.1:9090", "0.0.0.0:9090": "127.0.0.1:9090", "[::]:9090": "127.0.0.1:9090",
		"127.0.0.1:1": "127.0.0.1:1", "10.0.0.5:9090": "10.0.0.5:9090", "localhost:9090": "localhost:9090",
	} {
		if got := dialable(listen); got != want {
			t.Errorf("%s is called at %s, want %s", listen, got, want)
		}
	}
}
