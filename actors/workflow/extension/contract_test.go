package extension

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/egress"
)

// infoOf returns what a copy answers that serves functions of the extension acme.
func infoOf(t *testing.T, version string, functions map[string]map[string]string) copyInfo {
	t.Helper()
	type endpoint struct {
		Subject    string            `json:"subject"`
		QueueGroup string            `json:"queue_group"`
		Metadata   map[string]string `json:"metadata"`
	}
	var endpoints []endpoint
	for name, metadata := range functions {
		endpoints = append(endpoints, endpoint{"weft.ext.v1.acme." + name, "q", metadata})
	}
	data, err := json.Marshal(map[string]any{"type": infoType, "name": "acme", "id": version, "version": version, "endpoints": endpoints})
	if err != nil {
		t.Fatal(err)
	}
	var c copyInfo
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func parsed(list []declaration) []*Function {
	return functionsOf(list, func(name string, metadata map[string]string) *Function {
		return parseFunction("acme", name, metadata, time.Hour)
	})
}

// TestVersionsOfCopies: the newest copy's version of a function is the first; what differs in its summary only is one version.
func TestVersionsOfCopies(t *testing.T) {
	t.Parallel()
	one, two := map[string]string{"weft.input": `{"type":"object"}`}, map[string]string{"weft.input": `{"type": "object", "required": ["a"]}`}
	summary := map[string]string{"weft.input": ` { "type" : "object" } `, "weft.summary": "S", "weft.timeout": "5s", "other.key": "x"}
	list, fault := declarationsOf("acme", []copyInfo{
		infoOf(t, "1.9.0", map[string]map[string]string{"f": one, "g": one, "f.cancel": nil}), infoOf(t, "1.10.0", map[string]map[string]string{"f": two}),
		infoOf(t, "1.2.0", map[string]map[string]string{"f": summary}),
	})
	functions := parsed(list)
	if fault != "" || len(functions) != 3 {
		t.Fatalf("%d functions, fault %q", len(functions), fault)
	}
	newest, older, other := functions[0], functions[1], functions[2]
	if newest.service != "1.10.0" || older.Copies != 2 || newest.Version == older.Version || other.Version != older.Version || other.Name != "g" {
		t.Errorf("the functions are %+v, %+v, %+v", newest, older, other)
	}
	if newest.Safety != egress.WriteOnce || newest.Timeout != time.Minute || newest.Scope != "workflows.execute" {
		t.Errorf("the defaults are %+v", newest)
	}
	state := &State{Functions: functions}
	if state.Function("f", "") != newest || state.Function("f", older.Version) != older || state.Function("h", "") != nil {
		t.Error("another function is found")
	}
}

// TestBoundsOfDeclarations: what is beyond the bounds is left out, with a fault.
func TestBoundsOfDeclarations(t *testing.T) {
	t.Parallel()
	many := map[string]map[string]string{}
	for i := range MaxFunctions + 5 {
		many[fmt.Sprintf("f%d", i)] = map[string]string{"weft.input": `{}`}
	}
	if list, fault := declarationsOf("acme", []copyInfo{infoOf(t, "1", many)}); len(list) != MaxFunctions || fault == "" {
		t.Errorf("%d functions, fault %q", len(list), fault)
	}
	large := map[string]map[string]string{}
	for i := range 20 {
		large[fmt.Sprintf("f%d", i)] = map[string]string{"weft.input": strings.Repeat("x", MaxSchema), "ignored": strings.Repeat("x", MaxMetadata)}
	}
	if list, fault := declarationsOf("acme", []copyInfo{infoOf(t, "1", large)}); len(list) == 0 || len(list) > MaxMetadata/MaxSchema || fault == "" {
		t.Errorf("%d functions, fault %q", len(list), fault)
	}
	alone := infoOf(t, "1", map[string]map[string]string{"f": {"weft.input": `{}`}})
	alone.Endpoints[0].QueueGroup = ""
	list, _ := declarationsOf("acme", []copyInfo{alone})
	if f := parsed(list)[0]; !strings.Contains(f.Fault, "no queue group") {
		t.Errorf("an endpoint without a queue group has the fault %q", f.Fault)
	}
	alone.Endpoints[0].Subject = "weft.ext.v1.other.f"
	if list, _ := declarationsOf("acme", []copyInfo{alone}); len(list) != 0 {
		t.Error("a function of another extension is read")
	}
}

func TestCompareVersions(t *testing.T) {
	t.Parallel()
	sorted := []string{"", "0.9.0", "1.2.0", "1.9.0", "1.10.0", "1.10.0.1", "2", "a"}
	for i, a := range sorted {
		for j, b := range sorted {
			if got, want := compareVersions(a, b), i-j; got*want < 0 || (got == 0) != (want == 0) {
				t.Errorf("%q and %q: %d", a, b, got)
			}
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{"plain": "plain", "a\x00\x1b[1mb\xff": "a[1mb", "äöü": "äö", "a\nb": "a\nb"} {
		if got := text(given, 5); got != want {
			t.Errorf("%q becomes %q, want %q", given, got, want)
		}
	}
	if got := text(strings.Repeat("ä", 1000), 101); len(got) != 100 {
		t.Errorf("the text has %d bytes", len(got))
	}
}
