package language

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/budget"
)

// TestHostileDefinitionsAreRefused: each of these texts is answered in a moment, with a fault, and does not end the process.
func TestHostileDefinitionsAreRefused(t *testing.T) {
	t.Parallel()
	many := func(n int, format string) string {
		lines := make([]string, n)
		for i := range lines {
			lines[i] = strings.ReplaceAll(format, "N", fmt.Sprint(i))
		}
		return strings.Join(lines, "")
	}
	schemas := many(40, "- tN: {wait: PT1S, input: {schema: {document: {anyOf: ["+strings.TrimSuffix(strings.Repeat("{minimum: 1},", 300), ",")+"]}}}}\n")
	for name, body := range map[string]string{
		"signs":              "do: [{a: {set: {x: '${ " + strings.Repeat("-", 480_000) + "1 }'}}}]",
		"brackets":           "do: [{a: {set: {x: '${ " + strings.Repeat("[", 240_000) + " }'}}}]",
		"condition":          "do: [{a: {if: '" + strings.Repeat("(", 20_000) + "', wait: PT1S}}]",
		"flow collections":   "do: " + strings.Repeat("[", 200_000),
		"flow mappings":      "do: " + strings.Repeat("{a: ", 100_000),
		"block collections":  "do:\n" + strings.Repeat("- ", 100_000) + "a",
		"aliases":            "x: &a [x,x,x,x,x,x,x,x,x]\ny: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nz: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nu: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\nv: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\ndo: [{a: {wait: PT1S}}]",
		"an alias of itself": "x: &a [*a]\ndo: [{a: {wait: PT1S}}]",
		"many expressions":   "do:\n- a:\n    set: [" + strings.Repeat("'${ .x }',", 11_000) + "1]",
		"long expressions":   "do:\n- a:\n    set: [" + many(30, "'${ \""+strings.Repeat("x", 10_000)+"N\" }',") + "1]",
		"many schemas":       "do:\n" + schemas,
		"a large pattern":    "input: {schema: {document: {pattern: '" + strings.Repeat("(", 5_000) + strings.Repeat(")", 5_000) + "'}}}\ndo: [{a: {wait: PT1S}}]",
		"repetitions":        "do: [{a: {listen: {to: {one: {with: {type: '((a{1000}){1000}){1000}'}}}}}}]",
		"many repetitions":   "do: [{a: {listen: {to: {one: {with: {type: '" + strings.Repeat("a{1000}", 500) + "'}}}}}}]",
		"a long name":        "do: [{a: {set: {" + strings.Repeat("x", 250_000) + ": [" + strings.Repeat("1,", 49_000) + "1]}}}]",
		"long names":         "do: [{a: {set: " + strings.Repeat("{"+strings.Repeat("x", 1_000)+": ", 50) + "[" + strings.Repeat("1,", 49_000) + "1]" + strings.Repeat("}", 50) + "}}]",
		"unknown fields":     "do: [{a: {wait: PT1S, " + many(20_000, "fN: 1, ") + "}}]",
		"an exponent":        "do: [{a: {set: {x: 1e-1000000}}}]",
		"a large exponent":   "do: [{a: {set: {x: 1e1000000}}}]",
		"a long number":      "do: [{a: {set: {x: " + strings.Repeat("9", 100_000) + "}}}]",
	} {
		started := time.Now()
		if w, faults := Parse([]byte(head + body + "\n")); w != nil {
			t.Errorf("%s: accepted", name)
		} else if len(faults) > MaxFaults {
			t.Errorf("%s: %d faults", name, len(faults))
		}
		if took := time.Since(started); took > 20*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
	}
}

// TestHostileDataIsRefused: JSON that somebody else has written is bounded in depth and in its numbers.
func TestHostileDataIsRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"lists": strings.Repeat("[", 1_000_000), "objects": strings.Repeat(`{"a":`, 500_000), "an exponent": "[1e1000000]", "a small exponent": "1e-1000000",
		"digits": strings.Repeat("1", 1_000_000), "a fraction": "0." + strings.Repeat("1", 1_000_000),
	} {
		if _, err := DecodeStrict([]byte(text)); err == nil {
			t.Errorf("%s: decoded", name)
		}
	}
}

// TestURIsAreBounded: a template that repeats a long field is refused before it is expanded.
func TestURIsAreBounded(t *testing.T) {
	t.Parallel()
	template, err := ParseURITemplate("https://x.test/" + strings.Repeat("{a}", 50_000))
	if err != nil {
		t.Fatal(err)
	}
	if uri, err := template.Expand(map[string]any{"a": strings.Repeat("/", 1<<20)}); err == nil {
		t.Errorf("expanded to %d bytes", len(uri))
	}
}

// TestFilterPatternsAreChargedAndKept: a pattern of an event filter takes steps by the length of the text, and is compiled once.
func TestFilterPatternsAreChargedAndKept(t *testing.T) {
	t.Parallel()
	w, whole := &Workflow{}, budget.New(budget.Limits{Steps: 1_000_000})
	if ok, err := w.MatchPattern("ord.*", "order", whole); !ok || err != nil {
		t.Fatalf("%v, %v", ok, err)
	}
	compiled := whole.Steps()
	if ok, err := w.MatchPattern("ord", "order", whole); ok || err != nil {
		t.Errorf("a pattern of a part matches: %v, %v", ok, err)
	}
	_, _ = w.MatchPattern("ord.*", "order", whole)
	if again := whole.Steps() - compiled; again > 2*compiled {
		t.Errorf("%d steps for the second match, %d for the first", again, compiled)
	}
	if _, err := w.MatchPattern("(a|b|c|d)*e", strings.Repeat("a", 5<<20), whole); !errors.Is(err, budget.ErrSteps) {
		t.Errorf("a long text: %v", err)
	}
}
