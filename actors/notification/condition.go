package notification

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/jq"
)

// The bounds of the evaluation of a preference's condition: some 0.4 ms by its steps, because every delivery evaluates it. The time is a
// fallback.
const (
	preferenceSteps = 2_000
	preferenceBytes = 1 << 20
	preferenceTime  = 250 * time.Millisecond
	preferenceDepth = 16
)

// compilePreference compiles a preference's condition with its bounds.
func compilePreference(text string) (*jq.Program, error) {
	p, err := jq.Compile(text, []string{"$__now"})
	if err != nil {
		return nil, fmt.Errorf("is not a valid jq expression: %w", err)
	}
	p.Limit(jq.Limits{
		Limits: budget.Limits{Steps: preferenceSteps, Bytes: preferenceBytes, Time: preferenceTime}, Result: 1 << 10, Depth: preferenceDepth,
	})
	return p, nil
}

// conditionMet evaluates a condition on a notification. It is not met where its first result is false or null, or it has none. A condition
// that fails or exceeds its bounds counts as met: a fault of it must not lose a notification.
func conditionMet(text, category, ch string, data map[string]json.RawMessage, now time.Time) bool {
	p, err := compilePreference(text)
	if err != nil {
		return true
	}
	values := make(map[string]any, len(data))
	for name, raw := range data {
		var value any
		if json.Unmarshal(raw, &value) != nil {
			return true
		}
		values[name] = value
	}
	input := map[string]any{"category": category, "channel": ch, "data": values}
	result, ok, err := p.First(nil, input, []any{float64(now.UnixMilli()) / 1000})
	if err != nil {
		return true
	}
	return ok && result != nil && result != false
}
