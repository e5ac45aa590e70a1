// Package jq evaluates jq expressions that users wrote, within a budget. It is gojq with a meter: an expression is bounded in length and
// nesting before it is parsed, every instruction is a step, and every function of the interpreter that does more than one instruction's
// work takes steps for its work and bytes for what it makes. The same expression on the same data therefore ends the same way on every
// machine; the wall clock is a fallback.
//
// The package refuses what reaches outside of an expression or differs from one evaluation to the next: modules, the environment, further
// inputs, the local time zone. Its own copies of functions replace those of gojq that change their input in place or whose cost cannot be
// told beforehand.
package jq

import (
	"errors"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/budget"
)

// Bounds of an expression's text.
const (
	// MaxText bounds the text of an expression, in bytes.
	MaxText = 16 << 10
	// MaxNesting bounds the nesting of an expression: brackets, and chains of operators.
	MaxNesting = 1_000
)

// Bounds of one evaluation.
//
// MaxSteps counts the interpreter's instructions; a function counts as one instruction per 100 to 200 ns of its work, so that the steps
// end an evaluation after at most some 200 ms. MaxAllocation bounds the data that an evaluation makes, in bytes, also what it has
// dropped. MaxIndex bounds an array index in an assignment; MaxResult, in bytes, and MaxResultDepth bound the result. MaxTime is the
// fallback on the wall clock.
const (
	MaxSteps       = 1_000_000
	MaxTime        = 3 * time.Second
	MaxAllocation  = 32 << 20
	MaxIndex       = 100_000
	MaxResult      = 1 << 20
	MaxResultDepth = 128
)

// Exhausted is the error of an evaluation that exceeds a bound. It wraps the budget's error.
type Exhausted struct {
	Text string
	// Bound is the bound that was reached.
	Bound *budget.Error
}

func (e *Exhausted) Error() string { return e.Text }

// Unwrap returns the budget's error: budget.ErrSteps, budget.ErrBytes or budget.ErrTime.
func (e *Exhausted) Unwrap() error { return e.Bound }

// Errors of an evaluation besides those that the expression itself raises.
var (
	ErrSteps  = &Exhausted{fmt.Sprintf("the expression takes too many steps (at most %d)", MaxSteps), budget.ErrSteps}
	ErrTime   = &Exhausted{fmt.Sprintf("the expression takes too long (at most %s)", MaxTime), budget.ErrTime}
	ErrMemory = &Exhausted{fmt.Sprintf("the expression produces too much data (at most %d bytes, its result at most %d)", MaxAllocation, MaxResult),
		budget.ErrBytes}
	ErrMany = errors.New("the expression yields more than one value")
)
