package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestCheck_HoldsOnlyFor200(t *testing.T) {
	status := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	if err := check(srv.URL); err != nil {
		t.Errorf("200: %v", err)
	}
	status = http.StatusServiceUnavailable
	if check(srv.URL) == nil {
		t.Error("503 is taken for healthy")
	}
	srv.Close()
	if check(srv.URL) == nil {
		t.Error("nobody there is taken for healthy")
	}
}
