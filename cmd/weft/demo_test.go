package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
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

// output is a buffer that one goroutine writes and another reads.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// printedCommand is a command that the demo prints, up to the status below it or, for an assignment, to the end of its line.
var printedCommand = regexp.MustCompile(`(?ms)^(?:TOKEN=[^\n]+$|curl -sX .*?\n(\d{3})( Location: \S+)?$)`)

// TestDemosCommandsRunAsPrinted runs the commands that `weft demo --keep` has printed, in one shell, and compares their statuses.
func TestDemosCommandsRunAsPrinted(t *testing.T) {
	t.Parallel()
	up := serve(t, "up", "--dev", "--data", t.TempDir(), "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := &output{}
	ended := make(chan error, 1)
	go func() { ended <- (&demo{url: up.ready.HTTP, out: out, keep: true}).play(ctx) }()
	actortest.Eventually(t, "the demo has played", func() bool { return strings.Contains(out.String(), "The shop stays at") })
	script, want := "set -eu\n", []string{}
	for _, found := range printedCommand.FindAllStringSubmatch(out.String(), -1) {
		command := found[0]
		if status := found[1]; status != "" {
			command = command[:strings.LastIndex(command, "\n"+status)] + ` -o /dev/null -w '%{http_code}\n'`
			want = append(want, status)
		}
		script += command + "\n"
	}
	cmd := exec.CommandContext(t.Context(), "bash")
	cmd.Stdin = strings.NewReader(script)
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	got := strings.Fields(string(text))
	if len(want) < 10 || len(got) != len(want) {
		t.Fatalf("%d commands gave %d statuses: %s", len(want), len(got), script)
	}
	for i := range want {
		// The account, its consents and its connection exist by now.
		if got[i] != want[i] && got[i] != "409" {
			t.Errorf("command %d gave %s, and %s in the demo: %s", i, got[i], want[i], script)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	up.stop()
}

// TestDevLiftsTheDefaultLimits sends more requests than the limit of an address, with and without --dev.
func TestDevLiftsTheDefaultLimits(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{{"--dev"}, {}} {
		args := append([]string{"up", "--data", t.TempDir(), "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0"}, flags...)
		up := serve(t, args...)
		limited := ""
		for range 70 {
			if status, body := get(t, up.ready.HTTP+"/.well-known/jwks.json"); status == http.StatusTooManyRequests {
				limited = body
			}
		}
		if (limited == "") != (len(flags) > 0) || limited != "" && !strings.Contains(limited, "60 requests per minute from one address without signing in (gateway.limits.per_ip)") {
			t.Errorf("%v: 70 requests are limited with %q", flags, limited)
		}
		up.stop()
	}
}
