package definition_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/subjects"
)

func TestLimitFaults(t *testing.T) {
	t.Parallel()
	for flow, want := range map[string]string{
		"[]":                                         " " + language.CodeType,
		"{concurency: {limit: 1}}":                   "/concurency " + language.CodeUnknownField,
		"{con/cur: {limit: 1}}":                      "/con~1cur " + language.CodeUnknownField,
		"{concurrency: 3}":                           "/concurrency " + language.CodeType,
		"{concurrency: {key: a}}":                    "/concurrency " + language.CodeMissing,
		"{concurrency: {limit: 0}}":                  "/concurrency/limit " + language.CodeValue,
		"{concurrency: {limit: 10001}}":              "/concurrency/limit " + language.CodeValue,
		"{concurrency: {limit: 1.5}}":                "/concurrency/limit " + language.CodeValue,
		"{concurrency: {limit: '1'}}":                "/concurrency/limit " + language.CodeValue,
		"{concurrency: {limit: 1, key: 3}}":          "/concurrency/key " + language.CodeType,
		"{concurrency: {limit: 1, period: 1}}":       "/concurrency/period " + language.CodeUnknownField,
		"{concurrency: {limit: 1, key: '${ . | }'}}": "/concurrency/key " + language.CodeExpression,
		"{rate: 3}":                                  "/rate " + language.CodeType,
		"{rate: {limit: 1}}":                         "/rate " + language.CodeMissing,
		"{rate: {limit: 1, period: PT0.5S}}":         "/rate/period " + language.CodeValue,
		"{rate: {limit: 1, period: P32D}}":           "/rate/period " + language.CodeValue,
		"{rate: {limit: 1, period: soon}}":           "/rate/period " + language.CodeValue,
		"{rate: {limit: 1, period: PT1S, burst: 2}}": "/rate/burst " + language.CodeUnknownField,
		"{rate: {period: PT1S}}":                     "/rate " + language.CodeMissing,
		"{priority: 101}":                            "/priority " + language.CodeValue,
		"{priority: -101}":                           "/priority " + language.CodeValue,
		"{priority: high}":                           "/priority " + language.CodeValue,
		"{priority: '${ . | }'}":                     "/priority " + language.CodeExpression,
	} {
		w, faults := definition.Inspect([]byte(withMetadata("flow: " + flow)))
		if w != nil || len(faults) != 1 {
			t.Errorf("%s: faults %v", flow, faults)
			continue
		}
		want = "/document/metadata/flow" + want
		if got := faults[0].Pointer + " " + faults[0].Code; got != want || faults[0].Line != 1 || faults[0].Column < 85 {
			t.Errorf("%s: %s at %d:%d, want %s", flow, got, faults[0].Line, faults[0].Column, want)
		}
	}
}

func TestLimitsOf(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, declared, input string
		want                  *definition.Limits
		priority              int
	}{
		{name: "an empty declaration", declared: "{}", input: `{}`},
		{name: "a priority", declared: "{priority: -100}", input: `{}`, priority: -100},
		{name: "a priority from the input", declared: "{priority: '${ .p }'}", input: `{"p": 7}`, priority: 7},
		{name: "a priority that is null", declared: "{priority: '${ .p }'}", input: `{}`},
		{name: "concurrency", declared: "{concurrency: {limit: 10000}}", input: `{}`, want: &definition.Limits{MaxConcurrent: 10000}},
		{name: "a rate of one second", declared: "{rate: {limit: 2, period: PT1S}}", input: `{}`, want: &definition.Limits{Rate: 2, Period: time.Second}},
		{
			name: "both, with a priority", declared: "{concurrency: {limit: 1}, rate: {limit: 2, period: {days: 31}}, priority: 5}", input: `{}`,
			want: &definition.Limits{MaxConcurrent: 1, Rate: 2, Period: 31 * 24 * time.Hour}, priority: 5,
		},
	} {
		limits, priority, err := definition.LimitsOf(parse(t, withMetadata("flow: "+test.declared)), "w", test.input)
		if err != nil || priority != test.priority || (limits == nil) != (test.want == nil) {
			t.Errorf("%s: %+v, priority %d, %v", test.name, limits, priority, err)
			continue
		}
		if limits == nil {
			continue
		}
		if (limits.ConcurrencyKey != "") != (limits.MaxConcurrent > 0) || (limits.RateKey != "") != (limits.Rate > 0) {
			t.Errorf("%s: a key without its limit: %+v", test.name, limits)
		}
		limits.ConcurrencyKey, limits.RateKey = "", ""
		if *limits != *test.want {
			t.Errorf("%s: %+v, want %+v", test.name, limits, test.want)
		}
	}
}

// TestLimitKeys checks which executions count together: those of one workflow, one kind of limit and one value of the key.
func TestLimitKeys(t *testing.T) {
	t.Parallel()
	w := parse(t, withMetadata("flow: {concurrency: {limit: 1, key: '${ .k }'}, rate: {limit: 1, period: PT1S, key: '${ .k }'}}"))
	keys := func(workflowID, input string) (concurrency, rate string) {
		t.Helper()
		limits, _, err := definition.LimitsOf(w, workflowID, input)
		if err != nil {
			t.Fatal(err)
		}
		return limits.ConcurrencyKey, limits.RateKey
	}
	concurrency, rate := keys("w", `{"k": "ada", "n": 1}`)
	if len(concurrency) != 32 || len(rate) != 32 || concurrency == rate {
		t.Errorf("keys %q and %q, want two of 32 characters", concurrency, rate)
	}
	if c, r := keys("w", `{"k": "ada", "n": 2}`); c != concurrency || r != rate {
		t.Error("the same key in another input counts separately")
	}
	for _, other := range [][2]string{{"v", `{"k": "ada"}`}, {"w", `{"k": "bob"}`}, {"w", `{"k": null}`}, {"w", `{"k": ["ada"]}`}} {
		if c, r := keys(other[0], other[1]); c == concurrency || r == rate {
			t.Errorf("workflow %s with input %s counts together with another key", other[0], other[1])
		}
	}
	unkeyed := parse(t, withMetadata("flow: {concurrency: {limit: 1}}"))
	first, _, err := definition.LimitsOf(unkeyed, "w", `{"k": 1}`)
	second, _, failed := definition.LimitsOf(unkeyed, "w", `{"k": 2}`)
	if err != nil || failed != nil || first.ConcurrencyKey != second.ConcurrencyKey {
		t.Errorf("without a key, %+v and %+v count separately: %v, %v", first, second, err, failed)
	}
}

// TestLimitsRejectInput checks that an execution does not start without its limits if they cannot be computed.
func TestLimitsRejectInput(t *testing.T) {
	t.Parallel()
	for flow, want := range map[string]string{
		"{concurrency: {limit: 1, key: '${ .a.b }'}}":                                 "key of the concurrency limit",
		"{rate: {limit: 1, period: PT1S, key: '${ .a.b }'}}":                          "key of the rate limit",
		"{priority: '${ .a.b }'}":                                                     "priority",
		"{priority: '${ .a }'}":                                                       "whole number from -100 to 100",
		"{priority: '${ 100.5 }'}":                                                    "whole number",
		"{priority: '${ 101 }'}":                                                      "whole number",
		"{priority: '${ .a.b }', concurrency: {limit: 1}}":                            "priority",
		"{concurrency: {limit: 1}, rate: {limit: 1, period: PT1S, key: '${ .a.b }'}}": "key of the rate limit",
	} {
		limits, _, err := definition.LimitsOf(parse(t, withMetadata("flow: "+flow)), "w", `{"a": "text"}`)
		if limits != nil {
			t.Errorf("%s: limits %+v", flow, limits)
		}
		wantField(t, err, subjects.CodeInvalid, "input", want)
	}
	if _, _, err := definition.LimitsOf(parse(t, withMetadata("flow: {priority: 1}")), "w", `{`); err == nil {
		t.Error("an input that is not JSON is accepted")
	}
}

// TestLimitsOfAnInvalidDefinition: a stored definition with limits that this version rejects must not run without limits.
func TestLimitsOfAnInvalidDefinition(t *testing.T) {
	t.Parallel()
	w, faults := language.Parse([]byte(withMetadata("flow: {concurrency: {limit: 0}}")))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if limits, _, err := definition.LimitsOf(w, "w-1", `{}`); err == nil || limits != nil || !strings.Contains(err.Error(), "w-1") {
		t.Errorf("limits %+v, error %v", limits, err)
	}
	if limits, priority, err := definition.LimitsOf(parse(t, withTasks("- a: {set: {x: 1}}\n")), "w", `{`); limits != nil || priority != 0 || err != nil {
		t.Errorf("without a declaration: %+v, %d, %v", limits, priority, err)
	}
}

// TestLimitsAreJSON states the form in which limits are recorded: names and values must stay as they are.
func TestLimitsAreJSON(t *testing.T) {
	t.Parallel()
	for want, limits := range map[string]definition.Limits{
		`{}`: {}, `{"concurrency_key":"k","max_concurrent":2}`: {ConcurrencyKey: "k", MaxConcurrent: 2},
		`{"rate_key":"k","rate":3,"period":1000000000}`: {RateKey: "k", Rate: 3, Period: time.Second},
	} {
		if data, err := json.Marshal(limits); err != nil || string(data) != want {
			t.Errorf("%s, %v, want %s", data, err, want)
		}
	}
}
