package machine

import (
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// Trigger reports whether an event starts an execution of a definition whose schedule is one or any of some events, and
// returns its input: a list with what schedule.read selects of the event.
func Trigger(def *language.Workflow, event map[string]any, now time.Time) (input any, starts bool) {
	if def.Schedule == nil || def.Schedule.On == nil {
		return nil, false
	}
	message, isObject := language.Normalize(event).(map[string]any)
	if !isObject {
		return nil, false
	}
	matcher, filters := eventMatcher{def}, def.Schedule.On.Filters
	starts = len(filters) == 0 && !isLifecycle(message)
	for _, filter := range filters {
		if _, ok := matcher.matches(filter, message, &Run{}, language.Scope{Now: now}); ok {
			starts = true
			break
		}
	}
	if !starts {
		return nil, false
	}
	return []any{language.ReadEvent(message, def.Schedule.Read)}, true
}
