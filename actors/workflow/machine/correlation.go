package machine

import (
	"fmt"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/budget"
	"github.com/weftmesh/weft/actors/workflow/language"
)

// EventCorrelation collects the events of a schedule that waits for several of them: all of a set of filters, or any
// until other events arrive or a condition holds. The zero EventCorrelation has no events.
type EventCorrelation struct {
	// Messages are what schedule.read selects of the events, in order of arrival.
	Messages []Value `json:"messages"`
	// MatchedFilters are the indices of the filters that the messages matched, Correlation the values that later events
	// must share.
	MatchedFilters []int            `json:"matched_filters"`
	Correlation    map[string]Value `json:"correlation,omitempty"`
	// UntilMatched are the filters of an until clause of all that events have matched.
	UntilMatched []int `json:"until_matched,omitempty"`
}

// CorrelatesEvents reports whether a definition's schedule waits for several events rather than for each one.
func CorrelatesEvents(def *language.Workflow) bool {
	if def.Schedule == nil || def.Schedule.On == nil {
		return false
	}
	on := def.Schedule.On
	return on.Mode == "all" || on.Until != nil || on.UntilCondition != ""
}

// Add adds an event. added reports whether the schedule waits for the event or the event ends the collection; complete,
// whether the collection is complete. An event cannot end an empty collection. The error is that of the until
// condition, or of a matching that exceeds the budget; then complete is true.
func (g *EventCorrelation) Add(def *language.Workflow, event map[string]any, now time.Time, whole *budget.Budget) (added, complete bool, err error) {
	message, isObject := language.Normalize(event).(map[string]any)
	if !isObject {
		return false, false, nil
	}
	on := def.Schedule.On
	matcher, scope := eventMatcher{def, &schedulePatterns}, language.Scope{Now: now, Budget: whole}
	defer func() {
		if exhausted := whole.Err(); exhausted != nil {
			added, complete, err = true, true, errMatching(exhausted)
		}
	}()
	run := &Run{Correlation: map[string]any{}}
	for name, value := range g.Correlation {
		run.Correlation[name] = value.V
	}
	if len(g.Messages) > 0 {
		switch until, shared := matcher.untilMatch(on.Until, g.UntilMatched, message, run, scope); {
		case until == untilFilter:
			return true, true, nil
		case until <= untilPart:
			g.UntilMatched = append(g.UntilMatched, untilPart-until)
			g.share(shared)
			return true, false, nil
		}
	}
	hit, correlation := g.match(matcher, on, message, run, scope)
	if hit == noMatch {
		return false, false, nil
	}
	g.Messages = append(g.Messages, ValueOf(language.ReadEvent(message, def.Schedule.Read)))
	g.MatchedFilters = append(g.MatchedFilters, hit)
	g.share(correlation)
	switch {
	case on.Mode == "all":
		return true, len(g.MatchedFilters) == len(on.Filters), nil
	case on.UntilCondition != "":
		complete, err := def.Condition(on.UntilCondition, g.Input(), scope)
		if err != nil {
			return true, true, fmt.Errorf("evaluating schedule.on.any.until: %w", err)
		}
		return true, complete, nil
	}
	return true, false, nil
}

// share records the values that later events must have.
func (g *EventCorrelation) share(values map[string]any) {
	for name, value := range values {
		if g.Correlation == nil {
			g.Correlation = map[string]Value{}
		}
		g.Correlation[name] = ValueOf(value)
	}
}

// noMatch: no filter matches. matchesAll: there are no filters, so every event matches.
const (
	noMatch    = -1
	matchesAll = 0
)

func (g *EventCorrelation) match(matcher eventMatcher, on *language.Consumption, message map[string]any, run *Run, scope language.Scope) (int, map[string]any) {
	if len(on.Filters) == 0 && !isLifecycle(message) {
		return matchesAll, nil
	}
	for i, filter := range on.Filters {
		if on.Mode == "all" && slices.Contains(g.MatchedFilters, i) {
			continue
		}
		if correlation, ok := matcher.matches(filter, message, run, scope); ok {
			return i, correlation
		}
	}
	return noMatch, nil
}

// Input is the input of the execution that the collected events start: the list of messages.
func (g *EventCorrelation) Input() []any {
	input := make([]any, len(g.Messages))
	for i, message := range g.Messages {
		input[i] = message.V
	}
	return input
}
