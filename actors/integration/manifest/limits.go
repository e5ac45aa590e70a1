package manifest

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// limitTrees are the expressions that read a limit's state from a response. body reports whether they need its body.
type limitTrees struct {
	remaining, reset *tree
	body             bool
}

// LimitReading is the state of a limit as a response reports it.
type LimitReading struct {
	Limit Limit
	// Remaining is the number of calls that the provider still accepts.
	Remaining int
	// Reset is the time until the limit is fully available again; 0 if the response does not report it.
	Reset time.Duration
}

// OfProvider reports whether all connections share the limit.
func (l Limit) OfProvider() bool { return l.Scope == "provider" }

// Limits returns the limits that count the action's calls, in ascending order of their rate. A limit without actions counts
// every call.
func (a *Action) Limits() []Limit { return a.limits }

// Readings returns the state of the action's limits that a response reports. Limits that it does not report are omitted.
func (a *Action) Readings(answer Answer) []LimitReading {
	if len(a.readings) == 0 {
		return nil
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(a.readings)), func(t limitTrees) bool { return t.body }) {
		answer.Body = nil // saves decoding it
	}
	scope := a.answerScope(secrets{}, nil, answer)
	var readings []LimitReading
	for i, limit := range a.limits {
		trees, ok := a.readings[limit.ID]
		if !ok {
			continue
		}
		left, ok := trees.remaining.number(scope)
		if !ok {
			continue
		}
		reading := LimitReading{Limit: a.limits[i], Remaining: int(min(max(left, 0), math.MaxInt32))}
		if reset, ok := trees.reset.number(scope); ok && reset > 0 && reset < 1e8 {
			reading.Reset = time.Duration(reset * float64(time.Second))
		}
		readings = append(readings, reading)
	}
	return readings
}

// number returns the tree's value as a number; ok is false if it is not one.
func (t *tree) number(s *scope) (float64, bool) {
	text, err := t.evalString(s)
	if err != nil || text == "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil && !math.IsNaN(n)
}

// limits compiles the limits and assigns them to the actions that they count.
func (c *compiler) limits(p *Provider) {
	trees := map[string]limitTrees{}
	for i, limit := range p.Limits {
		pointer := pointerTo("/limits", strconv.Itoa(i))
		for j, id := range limit.Actions {
			if _, ok := p.byID[id]; !ok {
				c.fault(pointerTo(pointer, "actions", strconv.Itoa(j)), "unknown action %s", id)
			}
		}
		compiled := limitTrees{
			remaining: c.optional(limit.Remaining, pointerTo(pointer, "remaining")), reset: c.optional(limit.Reset, pointerTo(pointer, "reset")),
			body: strings.Contains(limit.Remaining+limit.Reset, "body"),
		}
		if compiled.remaining != nil {
			trees[limit.ID] = compiled
		}
		if slices.ContainsFunc(p.Limits[:i], func(other Limit) bool { return other.ID == limit.ID }) {
			c.fault(pointerTo(pointer, "id"), "duplicate limit %s", limit.ID)
		}
	}
	for _, a := range append([]*Action{p.Health, p.Proxy}, p.Actions...) {
		a.assignLimits(a.ID, p.Limits, trees)
		for _, step := range a.Before {
			step.assignLimits(a.ID, p.Limits, trees)
		}
	}
}

// assignLimits sets the limits of an action, or of a step of the action with that id. Requests to an address that the
// provider returned are not calls of its API, and are not counted.
func (a *Action) assignLimits(id string, limits []Limit, trees map[string]limitTrees) {
	if a.url != nil {
		return
	}
	for _, limit := range limits {
		if len(limit.Actions) > 0 && !slices.Contains(limit.Actions, id) {
			continue
		}
		a.limits = append(a.limits, limit)
		if compiled, ok := trees[limit.ID]; ok {
			if a.readings == nil {
				a.readings = map[string]limitTrees{}
			}
			a.readings[limit.ID] = compiled
		}
	}
	rate := func(l Limit) float64 { return float64(l.Requests) / float64(l.Per) }
	slices.SortStableFunc(a.limits, func(x, y Limit) int {
		switch {
		case rate(x) < rate(y):
			return -1
		case rate(x) > rate(y):
			return 1
		}
		return 0
	})
}
