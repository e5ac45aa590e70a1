package manifest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

const minimal = `id: acme
name: Acme
category: developer_tools
base_url: https://api.acme.test/v1
auth:
  - {id: token, kind: api_key, in: bearer}
health: {method: GET, path: /me}
actions:
  get_thing:
    title: Get a thing
    safety: read
    method: GET
    path: /things/{id}
    input:
      type: object
      required: [id]
      properties:
        id: {type: string}
`

// load compiles minimal with changes, which are pairs of old and new text.
func load(t *testing.T, changes ...string) *manifest.Provider {
	t.Helper()
	p, err := manifest.Load([]byte(changed(t, changes...)))
	if err != nil {
		t.Fatalf("loading:\n%v", err)
	}
	return p
}

// changed is minimal with changes, which are pairs of old and new text.
func changed(t *testing.T, changes ...string) string {
	t.Helper()
	text := minimal
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			t.Fatalf("the manifest has no %q", changes[i])
		}
		text = strings.Replace(text, changes[i], changes[i+1], 1)
	}
	return text
}

func TestFaultPositions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, old, new string
		want           string
	}{
		{"syntax", "name: Acme", "name: [Acme", "2:1: /: did not find expected ',' or ']'"},
		{"tab", "name: Acme", "\tname: Acme", "2:1"},
		{"unknown field", "name: Acme", "name: Acme\nnmae: x", "3:1: /nmae: is not a known field"},
		{"unknown field of an action", "safety: read", "safety: read\n    saftey: read", "12:5: /actions/get_thing/saftey: is not a known field"},
		{"missing field", "name: Acme\n", "", "1:1: /name: is required"},
		{"missing field of an action", "    title: Get a thing\n", "", "10:5: /actions/get_thing/title: is required"},
		{"wrong type", "name: Acme", "name: 7", "2:7: /name: must be string, not number"},
		{"wrong category", "developer_tools", "tools", "3:11: /category: must be one of"},
		{"duplicate key", "name: Acme", "name: Acme\nname: Again", "3:1: /name: duplicate key"},
		{"anchor", "name: Acme", "name: &a Acme", "2:7: /name: anchors and aliases are not supported"},
		{"merge", "safety: read", "<<: {}\n    safety: read", "11:5: /actions/get_thing: a key must be a plain scalar"},
		{"binary", "name: Acme", "name: !!binary aGk=", "2:7: /name: has no JSON equivalent"},
		{"infinity", "name: Acme", "name: .inf", "2:7: /name: has no JSON equivalent"},
		{"two documents", "actions:", "---\nactions:", "8:1: /: the file has more than one document"},
		{"wrong method", "method: GET\n    path", "method: FETCH\n    path", "12:13: /actions/get_thing/method: must match"},
		{"wrong action id", "get_thing:", "getThing:", "9:3: /actions/getThing: is not a known field"},
		{"wrong safety", "safety: read", "safety: maybe", "11:13: /actions/get_thing/safety: must match"},
		{"api_key without in", ", in: bearer", "", "6:5: /auth/0/in: is required"},
		{"header without a name", "in: bearer", "in: header", "6:5: /auth/0/name: is required"},
		{"oauth2 without parameters", "kind: api_key, in: bearer", "kind: oauth2", "6:5: /auth/0/oauth2: is required"},
		{"bad duration", "name: Acme", "name: Acme\ntimeout: 30", "3:10: /timeout: must be string, not number"},

		{"bad jq", "safety: read", "safety: read\n    output: '${ .body | }'", "12:13: /actions/get_thing/output: compiling jq"},
		{"unknown function", "safety: read", "safety: read\n    output: {a: ['${ nope }']}", "12:18: /actions/get_thing/output/a/0: compiling jq"},
		{"module", "safety: read", "safety: read\n    output: '${ import \"x\" as x; . }'", "12:13: /actions/get_thing/output: compiling jq"},
		{"bad schema", "id: {type: string}", "id: {type: strange}", "15:7: /actions/get_thing/input: is not a valid JSON Schema"},
		{"external schema", "id: {type: string}", "id: {$ref: 'file:///etc/passwd'}", "15:7: /actions/get_thing/input: is not a valid JSON Schema"},
		{"optional path parameter", "      required: [id]\n", "", "13:11: /actions/get_thing/path: {id} must be in params or a required field"},
		{"unused parameter", "safety: read", "safety: read\n    params: {other: x}", "12:21: /actions/get_thing/params/other: the path has no parameter {other}"},
		{"broken parameter", "/things/{id}", "/things/{id", "13:11: /actions/get_thing/path: path parameters must be written as {name}"},
		{"query in the path", "/things/{id}", "/things/{id}?a=b", "13:11: /actions/get_thing/path: must have no query"},
		{"dot segments in the path", "/things/{id}", "/../{id}", "13:11: /actions/get_thing/path: must begin with /"},
		{"unknown scope", "safety: read", "safety: read\n    scopes: [all]", "12:14: /actions/get_thing/scopes/0: scope all is not"},
		{"wrong example", "safety: read", "safety: read\n    example: {id: 7}", "12:19: /actions/get_thing/example/id: must be string, not number"},
		{"base outside of hosts", "auth:", "hosts: [acme.test]\nauth:", "4:11: /base_url: api.acme.test is not within hosts"},
		{"base with a query", "/v1", "/v1?a=b", "4:11: /base_url: the base URL must have only"},
		{"base that is not HTTP", "https://api.acme.test/v1", "ftp://x", "4:11: /base_url: the base URL is not an http or https URL"},
		{"limit of an unknown action", "auth:", "limits: [{id: a, requests: 1, per: 1s, actions: [nope]}]\nauth:", "5:50: /limits/0/actions/0: unknown action nope"},
		{"duplicate auth", "  - {id: token,", "  - {id: token, kind: none}\n  - {id: token,", "7:10: /auth/1/id: duplicate authentication method token"},
	} {
		_, err := manifest.Load([]byte(changed(t, c.old, c.new)))
		var faults manifest.Faults
		if !errors.As(err, &faults) || len(faults) == 0 {
			t.Errorf("%s: got %v", c.name, err)
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %q, want %q", c.name, err, c.want)
		}
	}
}

func TestSchemasAreNotLoaded(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "schema.json")
	if err := os.WriteFile(file, []byte(`{"type": "string"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := manifest.Load([]byte(changed(t, "id: {type: string}", "id: {$ref: 'file://"+file+"'}")))
	if err == nil || !strings.Contains(err.Error(), "external references are not supported") {
		t.Errorf("got %v", err)
	}
}

func TestAllFaultsAreReported(t *testing.T) {
	t.Parallel()
	_, err := manifest.Load([]byte(changed(t, "name: Acme", "name: 7", "safety: read", "safety: maybe", "path: /me", "path: 8")))
	var faults manifest.Faults
	if !errors.As(err, &faults) || len(faults) != 3 || faults[0].Line != 2 || faults[1].Line != 7 || faults[2].Line != 11 {
		t.Fatalf("got %v", err)
	}
}

func TestFileLimits(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"empty": "", "comment": "# nothing\n", "null": "null", "list": "[]", "scalar": "x",
		"large": "name: " + strings.Repeat("x", 1<<20),
		"deep":  "name: " + strings.Repeat("[", 500) + strings.Repeat("]", 500),
		"bomb":  "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n",
	} {
		if _, err := manifest.Parse([]byte(source)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	var many strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&many, "unknown_%d: 1\n", i)
	}
	_, err := manifest.Parse([]byte(many.String()))
	var faults manifest.Faults
	if !errors.As(err, &faults) || len(faults) > 100 {
		t.Errorf("got %d faults, want at most 100", len(faults))
	}
}

func TestLoadFSWithFaultyFiles(t *testing.T) {
	t.Parallel()
	providers, faults, err := manifest.LoadFS(fstest.MapFS{
		"acme.yaml":  {Data: []byte(minimal)},
		"wrong.yaml": {Data: []byte(minimal)},
		"bad.yaml":   {Data: []byte("id: [")},
		"note.txt":   {Data: []byte("not a manifest")},
	})
	if err != nil || len(providers) != 1 || providers["acme"] == nil || len(faults) != 2 {
		t.Fatalf("got %v, %v, %v", providers, faults, err)
	}
	if !strings.Contains(faults["wrong.yaml"].Error(), "/id: must be the file name") {
		t.Errorf("got %v", faults["wrong.yaml"])
	}
}

// FuzzParse loads any bytes: the result is a provider, or at most 100 faults.
func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	files, _ := filepath.Glob("../providers/*.yaml")
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(source)
	}
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("? {a: b}\n: c"))
	f.Fuzz(func(t *testing.T, source []byte) {
		begin := time.Now()
		p, err := manifest.Load(source)
		if took := time.Since(begin); took > 5*time.Second {
			t.Fatalf("loading took %v", took)
		}
		if err == nil {
			if len(p.Actions) == 0 || p.Health == nil {
				t.Fatal("a provider without actions or probe")
			}
			return
		}
		var faults manifest.Faults
		if !errors.As(err, &faults) || len(faults) == 0 || len(faults) > 100 {
			t.Fatalf("got %v", err)
		}
		for _, fault := range faults {
			if fault.Message == "" || fault.Line < 0 {
				t.Fatalf("got %+v", fault)
			}
		}
	})
}
