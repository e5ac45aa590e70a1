package language

import (
	"errors"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/budget"
)

// TestEvaluationsChargeTheBudget: what evaluations take is charged to the budget that they are a part of; one evaluation that exceeds
// its own bound leaves the rest of the budget to others.
func TestEvaluationsChargeTheBudget(t *testing.T) {
	t.Parallel()
	w := &Workflow{}
	whole := budget.New(budget.Limits{Steps: 10 * MaxSteps, Bytes: 10 * MaxAllocation})
	scope := Scope{Budget: whole}
	if _, err := w.Evaluate(`[range(1000)] | add`, nil, scope); err != nil {
		t.Fatal(err)
	}
	if whole.Steps() < 1000 || whole.Bytes() < 1000 {
		t.Errorf("%d steps and %d bytes are charged", whole.Steps(), whole.Bytes())
	}
	_, err := w.Evaluate(`def f: f; f`, nil, scope)
	if !errors.Is(err, budget.ErrSteps) || !strings.Contains(err.Error(), "too many steps (at most 1000000)") || whole.Err() != nil {
		t.Errorf("an evaluation without end: %v, the whole has %v", err, whole.Err())
	}
	if value, err := w.Evaluate(`1 + 1`, nil, scope); err != nil || value != 2 {
		t.Errorf("after it: %v, %v", value, err)
	}
	if _, err := w.Evaluate(`"x" * 10000000`, nil, scope); !errors.Is(err, budget.ErrBytes) || whole.Err() != nil {
		t.Errorf("a large result: %v, the whole has %v", err, whole.Err())
	}
}

// TestExhaustedBudgetsEndEvaluations: many small evaluations end with the budget that they share, whatever they are part of.
func TestExhaustedBudgetsEndEvaluations(t *testing.T) {
	t.Parallel()
	many := make([]any, 3000)
	for i := range many {
		many[i] = "${ reduce range(8000) as $i (0; . + $i) }"
	}
	deep := map[string]any{"plain": strings.Repeat("x", 100)}
	for range 10 {
		deep = map[string]any{"a": deep, "b": deep}
	}
	for name, evaluate := range map[string]func(w *Workflow, scope Scope) error{
		"many expressions": func(w *Workflow, scope Scope) error { _, err := w.Fill(many, nil, scope); return err },
		"a loose value":    func(w *Workflow, scope Scope) error { w.Loose = true; _, err := w.Fill(many, nil, scope); return err },
		"many copies": func(w *Workflow, scope Scope) error {
			for range 10_000 {
				if _, err := w.Fill(deep, nil, scope); err != nil {
					return err
				}
			}
			return nil
		},
		"many conditions": func(w *Workflow, scope Scope) error {
			for range 10_000_000 {
				if _, err := w.Condition(".a.b", nil, scope); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		whole := budget.New(budget.Limits{Steps: MaxSteps, Bytes: MaxAllocation})
		err := evaluate(&Workflow{}, Scope{Budget: whole})
		if whole.Err() == nil || !errors.Is(err, whole.Err()) {
			t.Errorf("%s: %v, the budget has %v", name, err, whole.Err())
		}
		if _, err := (&Workflow{}).Evaluate(".x", nil, Scope{Budget: whole}); !errors.Is(err, whole.Err()) {
			t.Errorf("%s: an evaluation on an exhausted budget: %v", name, err)
		}
	}
}
