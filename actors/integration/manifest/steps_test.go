package manifest_test

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
)

const twoSteps = `safety: write_once
    object: ${ .input.id }
    before:
      - id: begin
        method: POST
        path: /begin
        body: {form: {name: "${ .object.name }", length: "${ .object.size }", key: "${ .credentials.api_key }"}}
        output: "${ {to: .body.upload_url} }"
      - id: bytes
        method: PUT
        url: ${ .before.begin.to }
        headers: {X-Leak: "${ .credentials.api_key }"}
        body: {object: "${ .input.id }"}`

// anyObject finds the same object for every key.
var anyObject = func(string) (*manifest.Object, error) { return stored("hello"), nil }

// TestReturnedURL: a URL that a response contained is requested unchanged, within the provider's hosts, and without
// credentials.
func TestReturnedURL(t *testing.T) {
	t.Parallel()
	p := load(t, "safety: read", twoSteps)
	a, _ := p.Action("get_thing")
	begin, bytes := a.Before[0], a.Before[1]
	input := map[string]any{"id": "o1"}
	r, err := begin.Request(key, manifest.Call{Input: input, Object: anyObject})
	if err != nil || bodyOf(t, r) != "key=k3y-k3y-k3y&length=5&name=ship.png" || r.Safety != egress.Idempotent || r.Header.Get("Authorization") == "" {
		t.Errorf("%v, %+v", err, r)
	}
	to := func(address string) (*manifest.Request, error) {
		return bytes.Request(key, manifest.Call{Input: input, Object: anyObject, Before: map[string]any{"begin": map[string]any{"to": address}}})
	}
	const given = "https://api.acme.test/up/a%2Fb?sig=a%20b+c&x=1&a=2"
	r, err = to(given)
	if err != nil || r.URL != given || r.Host != "api.acme.test" || r.Method != "PUT" || bodyOf(t, r) != "hello" || r.Safety != egress.Idempotent {
		t.Fatalf("%v, %+v", err, r)
	}
	for name, values := range r.Header {
		if strings.Contains(strings.Join(values, " "), "k3y") || name == "Authorization" || name == "X-Leak" {
			t.Errorf("the request has the header %s: %v", name, values)
		}
	}
	for _, address := range []string{
		"", "/up", "https://evil.test/up", "https://api.acme.test.evil.test/", "https://ada@api.acme.test/up", "ftp://api.acme.test/up",
		"https://api.acme.test:8443/up", "https:///up", "javascript:alert(1)",
	} {
		if r, err := to(address); err == nil {
			t.Errorf("%q: got a request to %s", address, r.URL)
		}
	}
}

// TestLimitsOfSteps: the limits of an action count its steps, except for requests to returned URLs.
func TestLimitsOfSteps(t *testing.T) {
	t.Parallel()
	p := load(t, "safety: read", twoSteps, "actions:\n", "limits:\n  - {id: few, requests: 1, per: 1s, actions: [get_thing]}\n  - {id: all, requests: 9, per: 1s}\nactions:\n")
	a, _ := p.Action("get_thing")
	for i, want := range []int{2, 0} {
		if got := a.Before[i].Limits(); len(got) != want {
			t.Errorf("limits of the step %s: %v, want %d", a.Before[i].ID, got, want)
		}
	}
	if len(a.Limits()) != 2 {
		t.Errorf("limits of the action: %v, want 2", a.Limits())
	}
}

func TestStepFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ old, new, fault string }{
		"duplicate id":  {"id: bytes", "id: begin", "duplicate step begin"},
		"no path":       {"path: /begin", "host: x", "path"},
		"path and url":  {"path: /begin", "path: /begin\n        url: ${ .input.id }", "path"},
		"a literal url": {"${ .before.begin.to }", "https://api.acme.test/", "/before/1/url"},
		"invalid jq":    {"${ .before.begin.to }", "${ .before. }", "/before/1/url"},
		"a safety":      {"id: bytes", "id: bytes\n        safety: read", "safety"},
	} {
		text := strings.Replace(twoSteps, c.old, c.new, 1)
		if text == twoSteps {
			t.Fatal(name)
		}
		_, err := manifest.Load([]byte(changed(t, "safety: read", text)))
		if err == nil || !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
