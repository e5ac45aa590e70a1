// Package budget bounds what the evaluation of users' code may take: expressions, schemas, patterns, templates, conditions.
//
// A budget counts steps, bytes and wall time. Steps come first: the same code on the same data takes the same steps on every
// machine, so that it ends the same way everywhere. Time is a fallback for single operations that count as few steps and take long.
package budget

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"
)

// Limits are the bounds of a budget; zero means unlimited.
type Limits struct {
	// Steps bounds the operations: instructions of an expression, subschemas applied to a value, bytes that a pattern is matched against.
	Steps int
	// Bytes bounds the data that is produced or copied.
	Bytes int
	// Time bounds the wall time from New or Part on.
	Time time.Duration
}

// Error is the error of an exhausted budget.
type Error struct {
	// Bound is the bound that was reached: steps, bytes or time.
	Bound string
}

func (e *Error) Error() string {
	return fmt.Sprintf("the evaluation exceeds its budget of %s", e.Bound)
}

// The errors of exhausted budgets.
var (
	ErrSteps = &Error{"steps"}
	ErrBytes = &Error{"bytes"}
	ErrTime  = &Error{"time"}
)

// unlimited is the allowance of a bound that is not limited.
const unlimited = 1 << 62

const (
	// clockSteps is how many steps pass between two looks at the clock.
	clockSteps = 64
	// yieldSteps is how many steps pass before other goroutines are let run: about a millisecond.
	yieldSteps = 16 << 10
)

// Budget is what an evaluation may still take. It is not safe for concurrent use.
type Budget struct {
	parent *Budget
	// steps and bytes are what is left, stepLimit and byteLimit what there was.
	steps, bytes         int
	stepLimit, byteLimit int
	// due is how many steps are left when the clock has to be read, or when the steps end; once the budget is exhausted it is always due.
	due, yielded int
	until        time.Time
	err          error
}

// New returns a budget.
func New(l Limits) *Budget {
	b := &Budget{}
	b.reset(l)
	return b
}

func (b *Budget) reset(l Limits) {
	if l.Steps == 0 {
		l.Steps = unlimited
	}
	if l.Bytes == 0 {
		l.Bytes = unlimited
	}
	*b = Budget{steps: l.Steps, stepLimit: l.Steps, bytes: l.Bytes, byteLimit: l.Bytes}
	if l.Time > 0 {
		b.until = time.Now().Add(l.Time)
	}
	b.schedule()
}

// schedule sets when the budget looks at the clock next.
func (b *Budget) schedule() {
	b.due, b.yielded = max(b.steps-clockSteps, 0), b.steps
}

// Part returns a budget for a part of the work of b: it has the limits, or what is left of b where that is less. Close charges b with
// what the part took. A nil b has no limits.
func (b *Budget) Part(l Limits) *Budget {
	part := &Budget{}
	b.Begin(part, l)
	return part
}

// Begin is Part for a budget that is used again and again: it overwrites part, which must be closed.
func (b *Budget) Begin(part *Budget, l Limits) {
	part.reset(l)
	if b == nil {
		return
	}
	part.parent = b
	part.steps, part.bytes = min(part.steps, max(b.steps, 0)), min(part.bytes, max(b.bytes, 0))
	part.stepLimit, part.byteLimit = part.steps, part.bytes
	if part.until.IsZero() || !b.until.IsZero() && b.until.Before(part.until) {
		part.until = b.until
	}
	part.schedule()
	if b.err != nil {
		_ = part.fail(b.err)
	}
}

// Close charges the budget that this one is a part of. Where the part ended because the whole was exhausted, so is the whole.
func (b *Budget) Close() {
	if b.parent == nil {
		return
	}
	whole := b.parent
	b.parent = nil
	_ = whole.Step(b.Steps())
	_ = whole.Allocate(b.Bytes())
	if errors.Is(b.err, ErrTime) && whole.err == nil && !whole.until.IsZero() && !time.Now().Before(whole.until) {
		_ = whole.fail(ErrTime)
	}
}

// Step takes a number of steps. Once the budget is exhausted it returns the same error each time. A nil budget has no limits.
func (b *Budget) Step(n int) error {
	if b == nil {
		return nil
	}
	if b.steps -= n; b.steps >= b.due {
		return nil
	}
	return b.look()
}

// look is the part of Step that is due now and then: it finds an exhausted budget, and lets other goroutines run.
func (b *Budget) look() error {
	switch {
	case b.err != nil:
		return b.err
	case b.steps < 0:
		return b.fail(ErrSteps)
	case !b.until.IsZero() && time.Now().After(b.until):
		return b.fail(ErrTime)
	}
	b.due = max(b.steps-clockSteps, 0)
	if b.yielded-b.steps >= yieldSteps {
		b.yielded = b.steps
		runtime.Gosched()
	}
	return nil
}

func (b *Budget) fail(err error) error {
	b.err, b.due = err, math.MaxInt
	return err
}

// Allocate takes a number of bytes. A nil budget has no limits.
func (b *Budget) Allocate(n int) error {
	if b == nil {
		return nil
	}
	if b.bytes -= n; b.bytes < 0 && b.err == nil {
		return b.fail(ErrBytes)
	}
	return b.err
}

// Err is the error of a budget that is exhausted; nil for any other, and for a nil budget.
func (b *Budget) Err() error {
	if b == nil {
		return nil
	}
	return b.err
}

// Steps is how many steps were taken, Bytes how many bytes; at most the limits, and one more where those were exceeded.
func (b *Budget) Steps() int { return min(b.stepLimit-b.steps, b.stepLimit+1) }

// Bytes is how many bytes were taken.
func (b *Budget) Bytes() int { return min(b.byteLimit-b.bytes, b.byteLimit+1) }

// Left is how many steps and bytes are left; never negative.
func (b *Budget) Left() (steps, bytes int) { return max(b.steps, 0), max(b.bytes, 0) }

// Remaining is the time that is left, at most a bound of one operation; at least a millisecond, for operations that take zero for none.
func (b *Budget) Remaining(most time.Duration) time.Duration {
	if b == nil || b.until.IsZero() {
		return most
	}
	return max(min(time.Until(b.until), most), time.Millisecond)
}
