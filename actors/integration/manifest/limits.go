package manifest

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// limitTrees are what an answer says of a limit, and whether its body is needed for that.
type limitTrees struct {
	remaining, reset *tree
	body             bool
}

// LimitReading is what an answer says is left of a limit.
type LimitReading struct {
	Limit Limit
	// Remaining is how many more calls the provider will take.
	Remaining int
	// Reset is when the limit is whole again; 0 where the answer does not say.
	Reset time.Duration
}

// OfProvider reports whether all connections share the limit.
func (l Limit) OfProvider() bool { return l.Scope == "provider" }

// Limits are those that count the action's calls, the narrowest first. A limit without actions counts every call.
func (a *Action) Limits() []Limit { return a.limits }

// Readings is what an answer to the action says is left of its limits; a limit that it does not speak of is not there.
func (a *Action) Readings(answer Answer) []LimitReading {
	if len(a.readings) == 0 {
		return nil
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(a.readings)), func(t limitTrees) bool { return t.body }) {
		answer.Body = nil // it need not be decoded again
	}
	scope, end := a.answerScope(secrets{}, nil, answer)
	defer end()
	var readings []LimitReading
	for i, limit := range a.limits {
		trees, ok := a.readings[limit.ID]
		if !ok {
			continue
		}
		left, said := trees.remaining.number(scope)
		if !said {
			continue
		}
		reading := LimitReading{Limit: a.limits[i], Remaining: int(min(max(left, 0), math.MaxInt32))}
		if reset, said := trees.reset.number(scope); said && reset > 0 && reset < 1e8 {
			reading.Reset = time.Duration(reset * float64(time.Second))
		}
		readings = append(readings, reading)
	}
	return readings
}

// number is the tree's value as a number. What fails to be one has not been said.
func (t *tree) number(s *scope) (float64, bool) {
	text, err := t.evalString(s)
	if err != nil || text == "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil && !math.IsNaN(n)
}

// limits checks the limits and tells each action which count it.
func (c *compiler) limits(p *Provider) {
	trees := map[string]limitTrees{}
	for i, limit := range p.Limits {
		pointer := pointerTo("/limits", strconv.Itoa(i))
		for j, id := range limit.Actions {
			if _, ok := p.byID[id]; !ok {
				c.fault(pointerTo(pointer, "actions", strconv.Itoa(j)), "there is no action %s", id)
			}
		}
		made := limitTrees{
			remaining: c.optional(limit.Remaining, pointerTo(pointer, "remaining")), reset: c.optional(limit.Reset, pointerTo(pointer, "reset")),
			body: strings.Contains(limit.Remaining+limit.Reset, "body"),
		}
		if made.remaining != nil {
			trees[limit.ID] = made
		}
		if slices.ContainsFunc(p.Limits[:i], func(other Limit) bool { return other.ID == limit.ID }) {
			c.fault(pointerTo(pointer, "id"), "two limits are called %s", limit.ID)
		}
	}
	for _, a := range append([]*Action{p.Health, p.Proxy}, p.Actions...) {
		a.limitedBy(a.ID, p.Limits, trees)
		for _, step := range a.Before {
			step.limitedBy(a.ID, p.Limits, trees)
		}
	}
}

// limitedBy notes which limits count the action, or its step, of that id. What is sent to an address that the provider gave is no
// call of its API.
func (a *Action) limitedBy(id string, limits []Limit, trees map[string]limitTrees) {
	if a.url != nil {
		return
	}
	for _, limit := range limits {
		if len(limit.Actions) > 0 && !slices.Contains(limit.Actions, id) {
			continue
		}
		a.limits = append(a.limits, limit)
		if made, ok := trees[limit.ID]; ok {
			if a.readings == nil {
				a.readings = map[string]limitTrees{}
			}
			a.readings[limit.ID] = made
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
