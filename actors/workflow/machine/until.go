package machine

import (
	"slices"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// untilFilter marks an event that completes the until clause, and untilPart-i one that matches its filter i while others are
// still to come. Neither is consumed.
const (
	untilFilter = -1
	untilPart   = -2
)

// untilMatch is what an event means to an until clause: nothing (0), untilFilter, or untilPart-i. matched are the filters that
// events have matched before. An until of one or any ends with the first event that matches, one of all when each of its
// filters has been matched by an event. The values that the event shares with later ones are returned with a part.
func (m *eventMatcher) untilMatch(
	until *language.Consumption, matched []int, message map[string]any, run *Run, scope language.Scope,
) (filter int, shared map[string]any) {
	if until == nil {
		return 0, nil
	}
	if len(until.Filters) == 0 && until.Mode == "any" && !isLifecycle(message) { // every event
		return untilFilter, nil
	}
	for i, want := range until.Filters {
		if until.Mode == "all" && slices.Contains(matched, i) {
			continue
		}
		values, ok := m.matches(want, message, run, scope)
		switch {
		case !ok:
		case until.Mode != "all" || len(matched)+1 == len(until.Filters):
			return untilFilter, nil
		default:
			return untilPart - i, values
		}
	}
	return 0, nil
}
