package machine

import (
	"fmt"
	"slices"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// Gathering is what has come of the events that a schedule waits for together: all of some, or any of some until others
// come or a condition holds. The zero Gathering has none.
type Gathering struct {
	// Messages are what schedule.read takes of the events, in the order in which they came.
	Messages []Value `json:"messages"`
	// Hits are the filters that the messages have passed, Correlation what the events to come must share.
	Hits        []int            `json:"hits"`
	Correlation map[string]Value `json:"correlation,omitempty"`
}

// Together tells whether a definition's schedule waits for several events, and not for each one.
func Together(def *language.Workflow) bool {
	if def.Schedule == nil || def.Schedule.On == nil {
		return false
	}
	on := def.Schedule.On
	return on.Mode == "all" || on.Until != nil || on.UntilCondition != ""
}

// Take hands an event to a gathering. taken tells whether it is one of those that it waits for, or ends it; whole, whether
// it has all that it waits for now. An event ends none that has nothing yet. The error is the condition's.
func (g *Gathering) Take(def *language.Workflow, event map[string]any, now time.Time) (taken, whole bool, err error) {
	message, isObject := language.Normalize(event).(map[string]any)
	if !isObject {
		return false, false, nil
	}
	matcher, on, scope := eventMatcher{def}, def.Schedule.On, language.Scope{Now: now}
	run := &Run{Correlation: map[string]any{}}
	for name, value := range g.Correlation {
		run.Correlation[name] = value.V
	}
	if on.Until != nil && len(g.Messages) > 0 {
		for _, filter := range on.Until.Filters {
			if _, ok := matcher.passes(filter, message, run, scope); ok {
				return true, true, nil
			}
		}
	}
	hit, correlation := g.hit(matcher, on, message, run, scope)
	if hit == noFilter {
		return false, false, nil
	}
	g.Messages = append(g.Messages, Of(language.Read(message, def.Schedule.Read)))
	g.Hits = append(g.Hits, hit)
	for name, value := range correlation {
		if g.Correlation == nil {
			g.Correlation = map[string]Value{}
		}
		g.Correlation[name] = Of(value)
	}
	switch {
	case on.Mode == "all":
		return true, len(g.Hits) == len(on.Filters), nil
	case on.UntilCondition != "":
		whole, err := def.Condition(on.UntilCondition, g.Input(), scope)
		if err != nil {
			return true, true, fmt.Errorf("looking whether schedule.on.any.until holds: %w", err)
		}
		return true, whole, nil
	}
	return true, false, nil
}

// noFilter: no filter lets an event pass. anyEvent: there are none, and every event does.
const (
	noFilter = -1
	anyEvent = 0
)

func (g *Gathering) hit(matcher eventMatcher, on *language.Consumption, message map[string]any, run *Run, scope language.Scope) (int, map[string]any) {
	if len(on.Filters) == 0 {
		return anyEvent, nil
	}
	for i, filter := range on.Filters {
		if on.Mode == "all" && slices.Contains(g.Hits, i) {
			continue
		}
		if correlation, ok := matcher.passes(filter, message, run, scope); ok {
			return i, correlation
		}
	}
	return noFilter, nil
}

// Input is what the execution that a gathering starts is given: the list of its messages.
func (g *Gathering) Input() []any {
	input := make([]any, len(g.Messages))
	for i, message := range g.Messages {
		input[i] = message.V
	}
	return input
}
