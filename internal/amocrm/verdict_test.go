package amocrm

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/jivo-amocrm/bridge/internal/amocrm/lenient"
	"github.com/jivo-amocrm/bridge/internal/amocrm/rest"
)

func TestJudge_EveryStatusHasAVerdict(t *testing.T) {
	type row struct {
		v verdict
		t Trouble
	}
	jsonWants := map[int]row{
		204: {accepted, ""},
		401: {unauthorized, Unauthorized},
		402: {barred, Unpaid},
		403: {refused, Forbidden},
		408: {unknown, Unavailable},
		413: {tooMuch, ""},
		414: {tooMuch, ""},
		425: {throttled, RateLimited},
		429: {throttled, RateLimited},
		431: {tooMuch, ""},
	}
	htmlWants := map[int]row{403: {barred, Banned}}
	for status := 100; status <= 599; status++ {
		for _, object := range []bool{true, false} {
			var want row
			exact, known := jsonWants[status]
			if html, ok := htmlWants[status]; ok && !object {
				exact, known = html, true
			}
			switch {
			case known:
				want = exact
			case status < 200, status >= 300 && status < 400:
				want = row{barred, BadAnswer}
			case status < 300 && object:
				want = row{accepted, ""}
			case status < 300:
				want = row{unknown, BadAnswer}
			case status < 500 && object:
				want = row{refused, ""}
			case status < 500:
				want = row{barred, BadAnswer}
			default:
				want = row{unknown, Unavailable}
			}
			if v, tr := judge(status, object); v != want.v || tr != want.t {
				t.Errorf("%d (json %v): %d %q, want %d %q", status, object, v, tr, want.v, want.t)
			}
		}
	}
}

// What a lone write and a lone read come to, by status and kind of body: the
// whole way through the client.
func TestStatus_WhatBecomesOfALoneWriteAndRead(t *testing.T) {
	const problem = `{"title":"T","status":400,"detail":"D"}`
	const html = "<html></html>"
	for _, c := range []struct {
		status int
		body   string
		write  string // type of the write's error
		read   string
		pause  Trouble
	}{
		{200, html, "*amocrm.InDoubt", "*amocrm.NotSent", BadAnswer},
		{202, "", "*amocrm.InDoubt", "*amocrm.NotSent", BadAnswer},
		{302, html, "*amocrm.NotSent", "*amocrm.NotSent", BadAnswer},
		{400, problem, "*amocrm.Refused", "*amocrm.Refused", ""},
		{400, html, "*amocrm.NotSent", "*amocrm.NotSent", BadAnswer},
		{401, problem, "*amocrm.NotSent", "*amocrm.NotSent", Unauthorized},
		{401, html, "*amocrm.NotSent", "*amocrm.NotSent", Unauthorized},
		{402, problem, "*amocrm.NotSent", "*amocrm.NotSent", Unpaid},
		{402, html, "*amocrm.NotSent", "*amocrm.NotSent", Unpaid},
		{403, problem, "*amocrm.Refused", "*amocrm.Refused", ""},
		{403, html, "*amocrm.NotSent", "*amocrm.NotSent", Banned},
		{404, html, "*amocrm.NotSent", "*amocrm.NotSent", BadAnswer},
		{405, problem, "*amocrm.Refused", "*amocrm.Refused", ""},
		{413, html, "*amocrm.Refused", "*amocrm.Refused", ""},
		{422, problem, "*amocrm.Refused", "*amocrm.Refused", ""},
		{500, problem, "*amocrm.InDoubt", "*amocrm.NotSent", Unavailable},
		{502, html, "*amocrm.InDoubt", "*amocrm.NotSent", Unavailable},
		{503, html, "*amocrm.InDoubt", "*amocrm.NotSent", Unavailable},
		{504, html, "*amocrm.InDoubt", "*amocrm.NotSent", Unavailable},
	} {
		answer := func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}
		for _, what := range []string{"write", "read"} {
			inBubble(t, Config{}, nil, answer, func(t *testing.T, w *world) {
				var err error
				want := c.write
				if what == "write" {
					_, err = w.Write(t.Context(), lead(1))
				} else {
					_, _, err = w.Lead(t.Context(), 1)
					want = c.read
				}
				if got := typeOf(err); got != want {
					t.Errorf("%d %q, %s: %v", c.status, c.body, what, err)
				}
				if s := w.State(); s.Reason != c.pause || s.Paused != (c.pause != "") {
					t.Errorf("%d %q, %s: state %+v, want %q", c.status, c.body, what, s, c.pause)
				}
				if strings.Contains(err.Error(), "tok-1") {
					t.Errorf("the token shows in %v", err)
				}
			})
		}
	}
}

func typeOf(err error) string {
	switch err.(type) {
	case *Refused:
		return "*amocrm.Refused"
	case *NotSent:
		return "*amocrm.NotSent"
	case *InDoubt:
		return "*amocrm.InDoubt"
	case *Failed:
		return "*amocrm.Failed"
	}
	return "other"
}

func TestComplaint_KeepsWordsAndBlanksValues(t *testing.T) {
	body := `{"hint":"Token has been revoked","title":"Bad +7 (999) 000-00-01","detail":"no «Иван Петров» at ivan@example.com or https://b.example/amocrm/shop/secret123",
	 "validation-errors":[{"request_id":"0","errors":[{"code":"InvalidType","path":"custom_fields_values.0.value","detail":"bad \"Пётр\""}]}]}`
	got := complaint([]byte(body), true, "0123456789abcdef0123456789abcdef")
	for _, leak := range []string{"999", "Иван", "ivan@", "secret123", "Пётр"} {
		if strings.Contains(got, leak) {
			t.Errorf("%q shows in %q", leak, got)
		}
	}
	for _, kept := range []string{"Token has been revoked", "InvalidType custom_fields_values.0.value", "#0123456789abcdef"} {
		if !strings.Contains(got, kept) {
			t.Errorf("%q is missing in %q", kept, got)
		}
	}
	if got := complaint([]byte(`{"title":"`+strings.Repeat("ы", 1000)+`"}`), true, ""); len([]rune(got)) > maxComplaint {
		t.Errorf("%d runes", len([]rune(got)))
	}
	if got := complaint([]byte("<html>"), false, ""); strings.Contains(got, "<") {
		t.Errorf("%q", got)
	}
}

func TestComplaint_SaysNothingTwice(t *testing.T) {
	for body, want := range map[string]string{
		`{"hint":"Token has been revoked","title":"Bad request","status":401,"detail":"Parameters are missing"}`: "Bad request; Token has been revoked Parameters are missing",
		`{"hint":"Token has been revoked","title":"Token has been revoked","detail":"Token has been revoked"}`:   "Token has been revoked",
		`{"hint":"Token has been revoked","title":"Bad request"}`:                                                "Bad request; Token has been revoked",
		`{"title":"Unauthorized","detail":"Unauthorized"}`:                                                       "Unauthorized",
		`{"title":"Bad request","hint":"h","detail":"d","validation-errors":[{"errors":[{"code":"X","path":"a.0","detail":"d"},{"code":"X","path":"a.0","detail":"d"},{"code":"X","path":"a.1"}]}]}`: "Bad request; h; X a.0 d; X a.1",
	} {
		if got := complaint([]byte(body), true, ""); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		`[{"id":501,"contact_id":801,"company_id":null,"request_id":["b1"],"merged":false}]`,
		`{"_embedded":{"leads":[{"id":501,"request_id":"0"}]}}`,
		`{"_embedded":{"links":[{"entity_id":1,"to_entity_id":2,"to_entity_type":"contacts"}]}}`,
		`{"validation-errors":[{"request_id":0,"errors":[{"code":"X","path":"a.0","detail":"d"}]}]}`,
		`{"errors":{"501":"no"},"title":"Bad"}`, `{"errors":[{"title":"x"}]}`,
		`{"id":"501","price":"1e3","custom_fields_values":{"field_id":1,"values":[{"value":{"a":1}}]},"_embedded":[]}`,
		`{"result":[],"is_completed":1}`, `{"params":[]}`, `null`, `[null]`, `<html>`, ``,
	} {
		f.Add([]byte(s))
	}
	jobs := []*job{
		{request: "b1", write: &Write{Endpoint: ComplexLeads, Item: json.RawMessage(`{}`)}},
		{request: "b2", write: &Write{Endpoint: PatchLeads, EntityID: 501, Item: json.RawMessage(`{}`)}},
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		object := isJSON(body)
		complaint(body, object, "")
		for _, j := range jobs {
			results, refusals := match([]*job{j}, body)
			if len(results) != 1 || len(refusals) != 1 {
				t.Fatal("not one answer for one item")
			}
			if r := results[0]; r != nil && r.ID == 0 {
				t.Errorf("landed without an id: %+v", r)
			}
		}
		match(jobs, body)
		var e rest.Entity
		if json.Unmarshal(body, &e) == nil {
			e.Lead()
			e.Contact()
		}
		var task rest.Task
		if json.Unmarshal(body, &task) == nil {
			task.Task()
		}
		for _, n := range lenient.Entries[restNote](body, "notes") {
			n.note()
		}
	})
}
