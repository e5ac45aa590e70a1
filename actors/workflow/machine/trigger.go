package machine

import (
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// Trigger reports whether an event starts an execution of a definition whose schedule is one or any of some events, and
// returns its input: a list with what schedule.read selects of the event. The matching is bounded like one event of an execution; the error
// says that it is not known whether the event starts an execution.
func Trigger(def *language.Workflow, event map[string]any, now time.Time) (input any, starts bool, err error) {
	if def.Schedule == nil || def.Schedule.On == nil {
		return nil, false, nil
	}
	message, isObject := language.Normalize(event).(map[string]any)
	if !isObject {
		return nil, false, nil
	}
	matcher, scope := newScheduleMatcher(def, now)
	filters := def.Schedule.On.Filters
	starts = len(filters) == 0 && !isLifecycle(message)
	for _, filter := range filters {
		if _, ok := matcher.matches(filter, message, &Run{}, scope); ok {
			starts = true
			break
		}
	}
	if err := scope.Budget.Err(); err != nil {
		return nil, false, errMatching(err)
	}
	if !starts {
		return nil, false, nil
	}
	return []any{language.ReadEvent(message, def.Schedule.Read)}, true, nil
}

func errMatching(err error) error {
	return fmt.Errorf("matching an event with the filters of the schedule: %w", err)
}
