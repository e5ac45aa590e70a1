package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/jq"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/mesh/compute"
	"github.com/weftmesh/weft/subjects"
)

// Bounds of the evaluation of one condition: some four milliseconds by its steps. The time is a fallback.
const (
	conditionSteps = 20_000
	conditionBytes = 1 << 20
	conditionTime  = 250 * time.Millisecond
	// cachedConditions is how many compiled conditions a process keeps.
	cachedConditions = 1000
	// maxConditionError bounds the recorded error of a condition in bytes.
	maxConditionError = 300
)

// conditions evaluates the conditions of webhooks on the process's bounded pool.
type conditions struct {
	programs *lru.Cache[string, *condition]
}

// condition is a compiled condition. A program serves one evaluation at a time.
type condition struct {
	mu      sync.Mutex
	program *jq.Program
}

func newConditions() *conditions {
	programs, err := lru.New[string, *condition](cachedConditions)
	if err != nil {
		panic(err) // the size is a positive constant
	}
	return &conditions{programs: programs}
}

func compileCondition(text string) (*condition, error) {
	program, err := jq.Compile(text, []string{"$__now"})
	if err != nil {
		return nil, err
	}
	return &condition{program: program}, nil
}

var errNoBoolean = errors.New("the condition must yield true or false")

// holds evaluates a condition over a payload. The error is the condition's, or ctx's if it was not evaluated.
func (c *conditions) holds(ctx context.Context, userID, text string, payload []byte, at time.Time) (holds bool, err error) {
	failed := compute.Default.Do(ctx, userID, func() {
		found, ok := c.programs.Get(text)
		if !ok {
			if found, err = compileCondition(text); err != nil {
				return
			}
			c.programs.Add(text, found)
		}
		holds, err = found.evaluate(payload, at)
	})
	if failed != nil {
		return false, &subjects.Error{Code: subjects.CodeUnavailable, Reason: subjects.ReasonOverloaded, RetryAfter: subjects.RetrySoon, Cause: failed}
	}
	return holds, err
}

func (c *condition) evaluate(payload []byte, at time.Time) (bool, error) {
	var input any
	if err := json.Unmarshal(payload, &input); err != nil {
		return false, fmt.Errorf("decoding the payload: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	whole := budget.New(budget.Limits{Steps: conditionSteps, Bytes: conditionBytes, Time: conditionTime})
	result, ok, err := c.program.Single(whole, input, []any{float64(at.UnixMicro()) / 1e6})
	if err != nil {
		return false, err
	}
	holds, isBoolean := result.(bool)
	if !ok || !isBoolean {
		return false, errNoBoolean
	}
	return holds, nil
}

// check compiles a condition and evaluates it over the examples of the event types that the webhook takes. It must yield true or false for
// at least one of them.
func (c *conditions) check(ctx context.Context, userID, text string, types []string) error {
	if text == "" {
		return nil
	}
	var failed error
	work := func() {
		compiled, err := compileCondition(text)
		if err != nil {
			failed = err
			return
		}
		for _, d := range subjects.PublicEvents() {
			if !matchesType(types, d.Type) {
				continue
			}
			payload, err := examplePayload(d, exampleAt)
			if err != nil {
				failed = err
				return
			}
			if _, err = compiled.evaluate(payload, exampleAt); err == nil {
				failed = nil
				return
			}
			if failed == nil {
				failed = fmt.Errorf("%w (for the example of %s)", err, d.Type)
			}
		}
	}
	if err := compute.Default.Do(ctx, userID, work); err != nil {
		return &subjects.Error{Code: subjects.CodeUnavailable, Reason: subjects.ReasonOverloaded, RetryAfter: subjects.RetrySoon, Cause: err}
	}
	if failed != nil {
		return subjects.InvalidField("condition", "%s", channel.Truncate(failed.Error(), maxConditionError))
	}
	return nil
}
