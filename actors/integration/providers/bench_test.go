package providers_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/providers"
)

// BenchmarkLoad loads every manifest with validation, as CI and `weft provider lint` do. The target is 300 ms.
func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, faults, err := manifest.LoadFS(providers.FS); err != nil || len(faults) > 0 {
			b.Fatal(faults, err)
		}
	}
}

// BenchmarkLoadTrusted loads every manifest without validation, as weft does to list them all.
func BenchmarkLoadTrusted(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		loadTrusted(b)
	}
}

// BenchmarkCall calls an action of a local server.
func BenchmarkCall(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(answerSlack))
	defer server.Close()
	loaded, _, err := manifest.LoadFS(providers.FS)
	if err != nil {
		b.Fatal(err)
	}
	client, err := egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowHTTP: true})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	a, _ := loaded["slack"].Action("send_message")
	conn := manifest.Connection{BaseURL: server.URL, Credentials: map[string]any{"token": "xoxb-0123456789"}}
	input := map[string]any{"channel": "C1", "text": "hello"}
	b.ReportAllocs()
	for b.Loop() {
		if err := a.ValidateInput(input); err != nil {
			b.Fatal(err)
		}
		r, err := a.Request(conn, manifest.Call{Input: input})
		if err != nil {
			b.Fatal(err)
		}
		answer, err := client.Do(b.Context(), r.Request)
		if err != nil {
			b.Fatal(err)
		}
		if _, failed := a.Interpret(conn, input, manifest.Answer{Status: answer.Status, Header: answer.Header, Body: answer.Body}); failed != nil {
			b.Fatal(failed)
		}
	}
}

// BenchmarkBareCall is the baseline of BenchmarkCall: the same request by net/http.
func BenchmarkBareCall(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(answerSlack))
	defer server.Close()
	b.ReportAllocs()
	for b.Loop() {
		answer, err := server.Client().Post(server.URL, "application/x-www-form-urlencoded", nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadAll(answer.Body); err != nil {
			b.Fatal(err)
		}
		answer.Body.Close()
	}
}

func answerSlack(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"ok":true,"channel":"C1","ts":"1.2","message":{"text":"hello"}}`)
}
