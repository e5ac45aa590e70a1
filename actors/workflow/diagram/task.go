package diagram

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// listContext is the context of a task list: the node after its last task (empty if the enclosing composite ends there),
// and the target of exit.
type listContext struct {
	next string
	exit func() string
}

// list renders tasks that run sequentially, and returns the node of the first one.
func (d *flowchart) list(tasks language.TaskList, at listContext) (first string) {
	ids := make([]string, len(tasks))
	for i := range tasks {
		ids[i] = d.nextID()
	}
	for i, task := range tasks {
		d.task(task, ids[i])
		next := at.next
		if i+1 < len(ids) {
			next = ids[i+1]
		}
		d.outgoingEdges(task, ids[i], func(directive string) string {
			switch directive {
			case "", language.Continue:
				return next
			case language.Exit:
				return at.exit()
			case language.End:
				return doneNode
			}
			if found := tasks.Index(directive); found >= 0 {
				return ids[found]
			}
			return next
		}, at.exit)
	}
	if len(ids) == 0 {
		return ""
	}
	return ids[0]
}

// outgoingEdges writes the edges from a task to its successors. target returns an empty string if there is none; an edge
// with a text is then drawn to the exit node.
func (d *flowchart) outgoingEdges(task *language.Task, id string, target func(directive string) string, exit func() string) {
	for task.Extended != nil {
		task = task.Extended
	}
	to := func(directive, text string) {
		found := target(directive)
		if found == "" && text != "" {
			found = exit()
		}
		if found != "" {
			d.edge(id, found, text)
		}
	}
	switch {
	case task.Kind == language.KindRaise && task.If == "":
	case task.Kind == language.KindSwitch:
		otherwise := true
		for _, branch := range task.Switch {
			text := branch.Name
			if branch.When == "" {
				otherwise = false
			} else if !d.brief {
				text += ": " + stripDelimiters(branch.When)
			}
			to(branch.Then, text)
		}
		if otherwise {
			to(task.Then, "no case")
		}
	default:
		to(task.Then, "")
	}
	if task.Try != nil && task.Try.Catch.Then != "" {
		to(task.Try.Catch.Then, "caught")
	}
}

// composite renders the tasks of a composite within its subgraph.
func (d *flowchart) composite(tasks language.TaskList) {
	exit := ""
	d.list(tasks, listContext{exit: func() string {
		if exit == "" {
			exit = d.nextID()
		}
		return exit
	}})
	if exit != "" {
		d.node(exit, circle, "exit")
	}
}

// task renders one task and its compensation.
func (d *flowchart) task(task *language.Task, id string) {
	look, lines := d.describe(task)
	lines = append(lines, d.annotate(id, taskKey{pointer: task.Pointer}))
	if look == subgraph {
		d.group(id, lines, func() { d.contents(task) })
	} else {
		d.node(id, look, lines...)
	}
	if task.Call != nil && d.functions[task.Call.Function] != "" {
		d.dashedEdge(id, d.functions[task.Call.Function], "")
	}
	if len(task.Compensate) > 0 {
		undo := d.nextID()
		d.group(undo, []string{"compensate " + task.Name, d.annotate(undo, taskKey{task.Pointer, true})}, func() { d.composite(task.Compensate) })
		d.dashedEdge(id, undo, "compensate")
	}
}

// function renders one of use.functions.
func (d *flowchart) function(name string, task *language.Task) {
	id := d.functions[name]
	d.group(id, []string{"function " + name}, func() { d.standalone(task) })
}

// standalone renders a task without successors.
func (d *flowchart) standalone(task *language.Task) {
	id := d.nextID()
	d.task(task, id)
	d.outgoingEdges(task, id, func(directive string) string {
		if directive == language.End {
			return doneNode
		}
		return ""
	}, func() string { return doneNode })
}

// contents renders the nested tasks of a composite.
func (d *flowchart) contents(task *language.Task) {
	switch {
	case task.Extension != nil:
		d.extension(task)
	case task.Fork != nil:
		for _, branch := range task.Fork.Branches {
			d.standalone(branch)
		}
	case task.Try != nil:
		d.try(task)
	case task.For != nil:
		d.composite(task.For.Do)
	case task.Listen != nil:
		d.composite(task.Listen.Foreach.Do)
	default:
		d.composite(task.Do)
	}
}

// extension renders the tasks before, the extended task, and the tasks after. An exit among the tasks before skips the
// extended task too.
func (d *flowchart) extension(task *language.Task) {
	extended, exit := d.nextID(), ""
	leave := func() string {
		if exit == "" {
			exit = d.nextID()
		}
		return exit
	}
	d.list(task.Extension.Before, listContext{next: extended, exit: leave})
	d.task(task.Extended, extended)
	if first := d.list(task.Extension.After, listContext{exit: leave}); first != "" {
		d.edge(extended, first, "")
	}
	if exit != "" {
		d.node(exit, circle, "exit")
	}
}

func (d *flowchart) try(task *language.Task) {
	catch, tried, caught := task.Try.Catch, d.nextID(), d.nextID()
	d.group(tried, []string{"try"}, func() { d.composite(task.Try.Do) })
	lines := []string{"catch " + catchLabel(catch)}
	if !d.brief {
		lines = append(lines, conditions(catch.When, catch.ExceptWhen))
	}
	if catch.Retry != nil {
		lines = append(lines, retryLabel(catch.Retry))
	}
	if len(catch.Do) == 0 {
		d.node(caught, box, lines...)
	} else {
		d.group(caught, lines, func() { d.composite(catch.Do) })
	}
	d.dashedEdge(tried, caught, "error")
}

func catchLabel(catch language.Catch) string {
	var filters []string
	for _, key := range slices.Sorted(maps.Keys(catch.With)) {
		text := language.Text(catch.With[key])
		if key == "type" {
			text = lastSegment(text)
		}
		filters = append(filters, key+" "+text)
	}
	return cmp.Or(strings.Join(filters, ", "), "any error")
}

func conditions(when, exceptWhen string) string {
	var texts []string
	if when != "" {
		texts = append(texts, "when "+stripDelimiters(when))
	}
	if exceptWhen != "" {
		texts = append(texts, "except when "+stripDelimiters(exceptWhen))
	}
	return strings.Join(texts, ", ")
}

func retryLabel(policy *language.RetryPolicy) string {
	text := "retry"
	if policy.Attempts > 0 {
		text += fmt.Sprintf(" up to %d×", policy.Attempts)
	}
	if policy.Delay != nil {
		text += " after " + cmp.Or(stripDelimiters(policy.Delay.Expression), policy.Delay.Value.String())
	}
	if policy.Backoff.Kind != "" && policy.Backoff.Kind != "constant" {
		text += ", " + policy.Backoff.Kind
	}
	return text
}

// stripDelimiters is an expression without `${ }`.
func stripDelimiters(expression string) string {
	text := strings.TrimSpace(expression)
	if inner, ok := strings.CutPrefix(text, "${"); ok {
		text = strings.TrimSpace(strings.TrimSuffix(inner, "}"))
	}
	return text
}

// lastSegment is the last segment of an error type's URI.
func lastSegment(uri string) string { return uri[strings.LastIndexAny(uri, "/:")+1:] }
