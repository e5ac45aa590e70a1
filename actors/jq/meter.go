package jq

import (
	"context"
	"errors"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/pattern"
)

// Limits are the bounds of one evaluation: of its budget, and of the size in bytes and the depth of its result.
type Limits struct {
	budget.Limits
	Result, Depth int
}

var limits = Limits{budget.Limits{Steps: MaxSteps, Bytes: MaxAllocation, Time: MaxTime}, MaxResult, MaxResultDepth}

// meter is the budget of one evaluation. The interpreter calls Done for each instruction; the functions that it calls take more.
type meter struct {
	context.Context
	limits Limits
	part   budget.Budget
	// whole is the budget that the evaluation is a part of, while it runs; nil if there is none.
	whole *budget.Budget
	// patterns are the regular expressions of the evaluations, with their flags.
	patterns pattern.Cache
}

// begin starts an evaluation within a budget, which may be nil; end charges that budget and lets go of it.
func (m *meter) begin(whole *budget.Budget) {
	m.whole = whole
	whole.Begin(&m.part, m.limits.Limits)
}

func (m *meter) end() {
	m.part.Close()
	m.whole = nil
}

// exhausted is the error of an evaluation whose budget is exhausted, or the whole that it is a part of.
func (m *meter) exhausted(err error) error {
	m.part.Close()
	var bound *budget.Error
	if m.whole.Err() != nil && errors.As(err, &bound) {
		return &Exhausted{"the expression, with those before it, exceeds the budget of " + bound.Bound, bound}
	}
	switch {
	case errors.Is(err, budget.ErrSteps):
		return ErrSteps
	case errors.Is(err, budget.ErrBytes):
		return ErrMemory
	}
	return ErrTime
}

var closedChannel = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Done counts an instruction, and returns a closed channel once the budget is exhausted.
func (m *meter) Done() <-chan struct{} {
	if m.part.Step(1) != nil {
		return closedChannel
	}
	return nil
}

// Err is the reason why the budget is exhausted.
func (m *meter) Err() error { return m.part.Err() }
