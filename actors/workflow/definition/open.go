package definition

import (
	"fmt"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
)

// openFaults reports a definition that can have more task runs open at the same time than machine.MaxOpen: the branches of
// forks, and what encloses them.
func openFaults(source *language.Source, w *language.Workflow) language.Faults {
	c := openCounter{w: w, functions: map[string]int{}}
	worst := ""
	open := 1 + c.list(w.Do)
	w.Each(func(t *language.Task) {
		if t.Fork != nil && worst == "" && c.task(t) >= machine.MaxOpen {
			worst = t.Pointer
		}
	})
	if open <= machine.MaxOpen {
		return nil
	}
	if worst == "" {
		worst = "/do"
	}
	return language.Faults{faultAt(source, worst, language.CodeTooLarge, fmt.Sprintf(
		"up to %d task runs can be open at the same time, with the forks and what is around them: a definition has at most %d (open task runs)",
		open, machine.MaxOpen))}
}

// openCounter counts the task runs that can be open at the same time. Counts are bounded, so that nested forks cannot
// overflow them.
type openCounter struct {
	w         *language.Workflow
	functions map[string]int
}

const maxCount = 1_000_000

// list is the count of tasks that run one after the other: that of the largest.
func (c *openCounter) list(tasks language.TaskList) (most int) {
	for _, t := range tasks {
		most = max(most, c.task(t))
	}
	return most
}

// task is the count of a task with what it has open. Each extension that applies adds one run around it.
func (c *openCounter) task(t *language.Task) int {
	inner := c.list(t.Do)
	switch {
	case t.For != nil:
		inner = c.list(t.For.Do)
	case t.Try != nil:
		inner = max(c.list(t.Try.Do), c.list(t.Try.Catch.Do))
	case t.Listen != nil && t.Listen.Foreach != nil:
		inner = c.list(t.Listen.Foreach.Do)
	case t.Fork != nil:
		inner = 0
		for _, branch := range t.Fork.Branches {
			inner = min(inner+c.task(branch), maxCount)
		}
	case t.Call != nil && c.w.Use.Functions[t.Call.Function] != nil:
		inner = c.function(t.Call.Function)
	}
	return min(1+inner+c.extensions(t, inner), maxCount)
}

func (c *openCounter) extensions(t *language.Task, inner int) (more int) {
	for _, e := range c.w.Use.Extensions {
		if e.Extends(t) {
			// Around the task is one more run; the tasks before and after run while the task does not.
			more += 1 + max(0, max(c.plain(e.Before), c.plain(e.After))-1-inner)
		}
	}
	return more
}

// plain is list for the tasks of extensions, which are not extended. Theirs are counted without nested forks' extensions.
func (c *openCounter) plain(tasks language.TaskList) int {
	without := openCounter{w: &language.Workflow{Use: language.Use{Functions: c.w.Use.Functions}}, functions: map[string]int{}}
	return without.list(tasks)
}

// function is the count of a function's task. Functions do not call themselves; one that does is reported by the language.
func (c *openCounter) function(name string) int {
	count, known := c.functions[name]
	if !known {
		c.functions[name] = 0
		count = c.task(c.w.Use.Functions[name])
		c.functions[name] = count
	}
	return count
}
