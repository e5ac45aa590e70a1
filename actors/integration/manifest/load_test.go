package manifest_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

func TestLoadFile(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"acme.yaml": "", "acme": "", "other.yaml": "1:5: /id: must be the file name without .yaml", "Acme.yaml": "1:5: /id: must be the file name without .yaml",
		"acme.yaml.yaml": "1:5: /id: must be the file name without .yaml",
	} {
		for how, load := range map[string]func(string, []byte) (*manifest.Provider, error){"LoadFile": manifest.LoadFile, "LoadTrusted": manifest.LoadTrusted} {
			p, err := load(name, []byte(minimal))
			if want == "" && (err != nil || p.ID != "acme") || want != "" && (err == nil || err.Error() != want) {
				t.Errorf("%s of %s: got %v, %v, want %q", how, name, p, err, want)
			}
		}
	}
}

// TestLoadTrusted: a trusted manifest is not validated, but its expressions are compiled when they are used.
func TestLoadTrusted(t *testing.T) {
	t.Parallel()
	faulty := changed(t, "safety: read", "safety: read\n    output: '${ .body | }'", "id: {type: string}", "id: {type: string, pattern: '['}")
	if _, err := manifest.LoadFile("acme.yaml", []byte(faulty)); err == nil {
		t.Error("LoadFile accepted a faulty manifest")
	}
	p, err := manifest.LoadTrusted("acme.yaml", []byte(faulty))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := p.Action("get_thing")
	if err := a.ValidateInput(map[string]any{"id": "x"}); err == nil || !strings.Contains(err.Error(), "cannot be validated") {
		t.Errorf("input by an invalid schema: got %v", err)
	}
	if _, failed := a.Interpret(key, nil, manifest.Answer{Status: 200}); failed == nil || failed.Code != "output" {
		t.Errorf("output by an invalid expression: got %v", failed)
	}
	if _, err := manifest.LoadTrusted("acme.yaml", []byte("id: [")); err == nil {
		t.Error("LoadTrusted accepted a file that is not YAML")
	}
}

func TestLoadFSErrors(t *testing.T) {
	t.Parallel()
	providers, faults, err := manifest.LoadFS(fstest.MapFS{})
	if err != nil || len(providers) != 0 || len(faults) != 0 {
		t.Errorf("empty folder: got %v, %v, %v", providers, faults, err)
	}
	providers, faults, err = manifest.LoadFS(fstest.MapFS{"acme.yaml": {Data: []byte(minimal)}, "folder.yaml": {Mode: fs.ModeDir}, "sub/acme.yaml": {Data: []byte(minimal)}})
	if err != nil || len(providers) != 1 || faults["folder.yaml"] == nil || len(faults) != 1 {
		t.Errorf("folder with a directory: got %v, %v, %v", providers, faults, err)
	}
	var list manifest.Faults
	if _, faults, _ = manifest.LoadFS(fstest.MapFS{"a.yaml": {Data: []byte("a: 1\nb: 2\n")}}); !errors.As(faults["a.yaml"], &list) || len(list) != 9 {
		t.Errorf("faults: got %v", faults)
	}
}

func TestSchemaIsJSON(t *testing.T) {
	t.Parallel()
	var document struct {
		Properties map[string]any `json:"properties"`
		Required   []string       `json:"required"`
	}
	if err := json.Unmarshal(manifest.Schema, &document); err != nil {
		t.Fatal(err)
	}
	for _, name := range document.Required {
		if document.Properties[name] == nil {
			t.Errorf("the required field %s is not declared", name)
		}
	}
}

// TestEventTypes: a provider's event type becomes the suffix of a CloudEvents type.
func TestEventTypes(t *testing.T) {
	t.Parallel()
	w := hookOf(t, signs+"  event: {type: \"${ .body.type }\", id: \"${ .body.id }\"}\n")
	for _, c := range []struct{ body, kind, id string }{
		{`{"type":"order.created"}`, "order.created", ""}, {`{"type":"A_b-c/d:E.9"}`, "A_b-c/d:E.9", ""}, {`{"type":"a b\nc"}`, "a_b_c", ""},
		{`{"type":"événement"}`, "_v_nement", ""}, {`{"type":7,"id":8}`, "7", "8"}, {`{"type":true,"id":false}`, "true", "false"}, {`{}`, "delivery", ""},
		{`{"type":""}`, "delivery", ""}, {`{"type":null,"id":null}`, "delivery", ""}, {`{"type":"` + long(200) + `"}`, long(128), ""}, {`{"id":"` + long(256) + `"}`, "delivery", long(256)},
		{`{"type":["a"]}`, "error", ""}, {`{"type":{}}`, "error", ""}, {`{"id":[1]}`, "error", ""}, {`{"id":"` + long(257) + `"}`, "error", ""}, {`[]`, "error", ""}, {`"text"`, "error", ""},
	} {
		events, err := w.Events(post(c.body))
		if c.kind == "error" {
			if err == nil {
				t.Errorf("%.60s: got %+v, want an error", c.body, events)
			}
			continue
		}
		if err != nil || len(events) != 1 || events[0].Type != c.kind || events[0].ID != c.id || string(events[0].Payload) != c.body {
			t.Errorf("%.60s: got %+v, %v, want %s %s", c.body, events, err, c.kind, c.id)
		}
	}
}

// TestHandshakeAnswers: the parts of an answer, and answers that cannot be sent.
func TestHandshakeAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ answer, body, contentType, header string }{
		{`{}`, "", "text/plain; charset=utf-8", ""},
		{`{text: "a b"}`, "a b", "text/plain; charset=utf-8", ""},
		{`{text: "${ .body.n }"}`, "7", "text/plain; charset=utf-8", ""},
		{`{json: {a: "${ .body.n }", b: "${ .body.none }", c: null}}`, `{"a":7,"c":null}`, "application/json", ""},
		{`{json: "${ .body.none }"}`, `null`, "application/json", ""},
		{`{status: 204, headers: {X-Echo: "${ .query.q }"}}`, "", "text/plain; charset=utf-8", "v"},
		{`{headers: {X-Echo: "${ .body.none }"}}`, "", "text/plain; charset=utf-8", ""},
		{`{text: "${ .body }"}`, "error", "", ""},
		{`{headers: {X-Echo: "${ .body.lines }"}}`, "error", "", ""},
		{`{headers: {X-Echo: "${ .body }"}}`, "error", "", ""},
		{`{json: "${ .body.n.deep }"}`, "error", "", ""},
	} {
		w := hookOf(t, signs+"  handshakes: [{when: \"${ true }\", answer: "+c.answer+"}]\n")
		r := post(`{"n":7,"lines":"a\nb"}`)
		r.Query = url.Values{"q": {"v", "w"}}
		reply, err := w.Handshake(r, true, nil)
		if c.body == "error" {
			if err == nil {
				t.Errorf("%s: got %+v, want an error", c.answer, reply)
			}
			continue
		}
		if err != nil || reply == nil || string(reply.Body) != c.body || reply.ContentType != c.contentType || reply.Headers["X-Echo"] != c.header {
			t.Errorf("%s: got %+v, %v", c.answer, reply, err)
		}
	}
}

// FuzzRequest: whatever the input, a request stays below the base URL, and its values are those of the input.
func FuzzRequest(f *testing.F) {
	source := strings.Replace(minimal, "safety: read", `safety: read
    query: {q: "${ .input.id }"}
    body: {form: {a: "${ .input.id }"}}`, 1)
	p, err := manifest.Load([]byte(source))
	if err != nil {
		f.Fatal(err)
	}
	a, _ := p.Action("get_thing")
	for _, seed := range []string{"a", "", ".", "..", "a/b", "../..", "%2e%2e", "a?b#c", "a&b=c", "é", "\x00", "https://evil.test/", "\\", "a;b", "+ "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		r, err := a.Request(key, manifest.Call{Input: map[string]any{"id": id}})
		if err != nil {
			var field *manifest.InputError
			if !errors.As(err, &field) || id != "" && !strings.Contains(id, ".") {
				t.Fatalf("%q: %v", id, err)
			}
			return
		}
		u, err := url.Parse(r.URL)
		if err != nil {
			t.Fatalf("%q: %s: %v", id, r.URL, err)
		}
		segment, found := strings.CutPrefix(u.EscapedPath(), "/v1/things/")
		got, err := url.PathUnescape(segment)
		if u.Scheme != "https" || u.Host != "api.acme.test" || !found || strings.Contains(segment, "/") || strings.Contains("/"+got+"/", "/../") || err != nil || got != id {
			t.Fatalf("%q: got the URL %s", id, r.URL)
		}
		form, err := url.ParseQuery(string(r.Body))
		if err != nil || form.Get("a") != id || u.Query().Get("q") != id || len(form) != 1 || len(u.Query()) != 1 {
			t.Fatalf("%q: got the query %s and the form %s", id, u.RawQuery, r.Body)
		}
	})
}
