package manifest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/integration/manifest"
)

// endless is an expression whose work grows with what a stranger sends.
const endless = `[range(.body.n)] | length > 0`

// TestExpressionsOverBudgetHaveNoVerdict: a condition that exceeds its budget is an error, not one that does not hold.
func TestExpressionsOverBudgetHaveNoVerdict(t *testing.T) {
	t.Parallel()
	large := post(`{"n":1e9}`)
	events := hookOf(t, signs+`  event: {each: "${ [range(.body.n)] }"}
`)
	if got, err := events.Events(large); !errors.Is(err, manifest.ErrBudget) || !errors.Is(err, budget.ErrSteps) {
		t.Errorf("events: %v, %v", got, err)
	}
	kind := hookOf(t, signs+`  event: {type: "${ [range(.body.n)] | length | tostring }"}
`)
	if got, err := kind.Events(large); !errors.Is(err, manifest.ErrBudget) {
		t.Errorf("a type: %v, %v", got, err)
	}
	if got, err := kind.Events(post(`{"n":2}`)); err != nil || got[0].Type != "2" {
		t.Errorf("a small delivery: %v, %v", got, err)
	}
	handshake := hookOf(t, signs+`  handshakes: [{when: "${ `+endless+` }", answer: {text: ok}}]
`)
	if reply, err := handshake.Handshake(large, true, []string{"key"}); !errors.Is(err, manifest.ErrBudget) {
		t.Errorf("a handshake: %v, %v", reply, err)
	}
}

// TestErrorRulesOverBudgetAreNamed: a rule that cannot be tried is named in the error of the call.
func TestErrorRulesOverBudgetAreNamed(t *testing.T) {
	t.Parallel()
	p := load(t, "auth:", "errors: {rules: [{class: not_found, when: '${ "+endless+" }'}, {class: conflict, status: [409]}]}\nauth:")
	a, _ := p.Action("get_thing")
	_, failed := a.Interpret(key, map[string]any{"id": "x"}, manifest.Answer{Status: 400, Body: []byte(`{"n":1e9}`)})
	if failed == nil || failed.Code != "budget" || !strings.Contains(failed.Message, "budget of steps") {
		t.Errorf("got %+v", failed)
	}
}

// TestHostileManifestsAreRefused: a file of the operator's folder that cannot be read within bounds is refused, and ends nothing.
func TestHostileManifestsAreRefused(t *testing.T) {
	t.Parallel()
	definitions := make([]string, 40)
	for i := range definitions {
		definitions[i] = fmt.Sprintf("d%d: {allOf: [{$ref: '#/$defs/d%d'}, {$ref: '#/$defs/d%d'}]}", i, i+1, i+1)
	}
	doubling := "id: {allOf: [{$ref: '#/$defs/d0'}]}\n      $defs: {" + strings.Join(definitions, ", ") + ", d40: {type: string}}"
	for name, change := range map[string][2]string{
		"signs":    {"safety: read", "safety: read\n    body: {json: '${ " + strings.Repeat("-", 4_000) + "1 }'}"},
		"brackets": {"safety: read", "safety: read\n    body: {json: '${ " + strings.Repeat("[", 4_000) + " }'}"},
		"pattern":  {"id: {type: string}", "id: {type: string, pattern: '((a{1000}){1000}){1000}'}"},
		"depth":    {"id: {type: string}", "id: " + strings.Repeat("{not: ", 300) + "{}" + strings.Repeat("}", 300)},
		"flow":     {"id: {type: string}", "id: " + strings.Repeat("[", 300_000)},
	} {
		if _, err := manifest.Load([]byte(changed(t, change[0], change[1]))); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
	p, err := manifest.Load([]byte(changed(t, "id: {type: string}", doubling)))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := p.Action("get_thing")
	if err := a.ValidateInput(map[string]any{"id": "x"}); err == nil || !strings.Contains(err.Error(), "budget of steps") {
		t.Errorf("a schema that doubles: %v", err)
	}
}
