package amocrm

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestTold_WhatARequestCarriedIsTakenOutOfTheAnswer(t *testing.T) {
	said := told{
		token: "long-lived-token", query: url.Values{"query": {"9160000001"}, "limit": {"50"}},
		body: []byte(`[{"name":"Чат: Иван Петров","price":1500,"_embedded":{"tags":[{"name":"jivo"}]},"text":"Когда приедет мой заказ из Казани?"}]`),
	}
	for text, want := range map[string]string{
		"Значение Когда приедет мой заказ из Казани? слишком длинное": "Значение … из …? слишком длинное",
		"Когда приедет мой зак":              "… зак", // cut by amoCRM; what is left of a word tells nothing
		"the contact of ИВАН ПЕТРОВ exists":  "the contact of … exists",
		"no contact 9160000001":              "no contact …",
		"Bearer long-lived-token is revoked": "Bearer … is revoked",
		"price 1500 is no number":            "price 1500 is no number",
		"Status id is invalid":               "Status id is invalid",
		"":                                   "",
	} {
		if got := said.blank(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	// Codes and paths are the API's, even where a visitor uses the same word.
	said.body = []byte(`[{"text":"name"}]`)
	for text, want := range map[string]string{
		"name": "name", "custom_fields_values.0.field_id": "custom_fields_values.0.field_id", "NotSupportedChoice": "NotSupportedChoice",
		"long-lived-token": "…", "the name": "the …",
	} {
		if got := said.identifier(text); got != want {
			t.Errorf("identifier %q becomes %q, want %q", text, got, want)
		}
	}
}

// The token endpoint may say again what it was given.
func TestAnswered_KeepsNoSecretOfTheGrant(t *testing.T) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://example.amocrm.ru/oauth2/access_token",
		strings.NewReader(`{"grant_type":"authorization_code","code":"def50200abc","client_secret":"client-secret-0123"}`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Answered(&http.Response{
		StatusCode: 400, Request: req,
		Body: io.NopCloser(strings.NewReader(`{"hint":"Cannot decrypt the authorization code def50200abc","detail":"secret client-secret-0123 is wrong"}`)),
	}, nil)
	if err == nil || strings.Contains(err.Error(), "def50200abc") || strings.Contains(err.Error(), "client-secret-0123") || !strings.Contains(err.Error(), "Cannot decrypt") {
		t.Errorf("%v", err)
	}
}
