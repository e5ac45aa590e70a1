package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// newDemo returns a demo whose requests a handler answers, and its output.
func newDemo(t *testing.T, handler http.HandlerFunc) (*demo, *bytes.Buffer) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	var out bytes.Buffer
	return &demo{url: server.URL, out: &out}, &out
}

func TestDemoPrintsRequestsAsCurlCommands(t *testing.T) {
	t.Parallel()
	d, out := newDemo(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("the headers are %v", r.Header)
		}
		w.Header().Set("Location", "/v1/things/1")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"id":"1","nested":{"text":"a"},"access_token":"secret"}`))
	})
	d.token = "secret"
	d.heading("Step %d", 1)
	r := d.json(t.Context(), http.StatusCreated, http.MethodPost, "/v1/things", map[string]any{"name": "it's"})
	if d.err != nil || r.str("id") != "1" || r.str("nested", "text") != "a" || r.str("nested", "missing") != "" || r.str("id", "deeper") != "" {
		t.Errorf("the reply is %+v, %v", r, d.err)
	}
	want := "\n# Step 1\ncurl -sX POST '" + d.url + `/v1/things' -H "Authorization: Bearer $TOKEN"` +
		` -H 'Content-Type: application/json' --data-binary '{"name":"it'\''s"}'` + "\n201 Location: /v1/things/1\n"
	if !strings.HasPrefix(out.String(), want) || strings.Contains(out.String(), "secret") {
		t.Errorf("printed %s, want %s", out.String(), want)
	}
}

func TestDemoStopsAtTheFirstUnexpectedStatus(t *testing.T) {
	t.Parallel()
	requests := 0
	d, out := newDemo(t, func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.WriteHeader(http.StatusTeapot)
	})
	d.mail = true
	err := d.play(t.Context())
	if err == nil || !strings.Contains(err.Error(), "POST /v1/auth/register returned status 418, expected 202") || requests != 1 {
		t.Errorf("%v after %d requests", err, requests)
	}
	if strings.Contains(out.String(), "2. Grant consent") {
		t.Errorf("headings are printed after the error: %s", out.String())
	}
}

func TestDemoAwaitReportsAFailedPoll(t *testing.T) {
	t.Parallel()
	polls := 0
	d, _ := newDemo(t, func(w http.ResponseWriter, _ *http.Request) {
		if polls++; polls < 3 {
			_, _ = w.Write([]byte(`{"status":"running"}`))
			return
		}
		_, _ = w.Write([]byte(`{"status":"completed","ended_at":"2026-01-01T00:00:00Z"}`))
	})
	if d.await(t.Context(), "/v1/executions/1"); d.err != nil || polls != 3 {
		t.Errorf("%v after %d polls", d.err, polls)
	}
	failing, _ := newDemo(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	if failing.await(t.Context(), "/v1/executions/1"); failing.err == nil || !strings.Contains(failing.err.Error(), "returned status 404") {
		t.Errorf("the error is %v", failing.err)
	}
}

func TestShopRequiresItsKey(t *testing.T) {
	t.Parallel()
	s, err := startShop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	for _, c := range []struct {
		path, key string
		status    int
	}{
		{"/health", shopKey, http.StatusNoContent}, {"/health", "", http.StatusUnauthorized}, {"/orders/1001", "wrong", http.StatusUnauthorized},
		{"/orders/1001", shopKey, http.StatusOK}, {"/orders/9999", shopKey, http.StatusNotFound},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+c.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Shop-Key", c.key)
		response, err := (&http.Client{}).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != c.status {
			t.Errorf("%s with the key %q: %d, want %d", c.path, c.key, response.StatusCode, c.status)
		}
	}
	if n := s.calls.Load(); n != 2 {
		t.Errorf("%d calls are counted, want the authenticated ones for orders", n)
	}
}
