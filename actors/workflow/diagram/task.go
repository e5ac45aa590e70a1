package diagram

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// place is where a list of tasks stands: what follows on its last task (nothing where the composite around it is done
// then), and where exit leads to.
type place struct {
	next string
	exit func() string
}

// list draws tasks that follow on each other, and gives the first one's node.
func (d *drawing) list(tasks language.TaskList, at place) (first string) {
	ids := make([]string, len(tasks))
	for i := range tasks {
		ids[i] = d.id()
	}
	for i, task := range tasks {
		d.task(task, ids[i])
		next := at.next
		if i+1 < len(ids) {
			next = ids[i+1]
		}
		d.leave(task, ids[i], func(directive string) string {
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

// leave draws the edges from a task to what follows on it. target is empty where nothing does; what is chosen to end
// the composite around is drawn even so.
func (d *drawing) leave(task *language.Task, id string, target func(directive string) string, exit func() string) {
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
				text += ": " + bare(branch.When)
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

// body draws the tasks of a composite, in its subgraph.
func (d *drawing) body(tasks language.TaskList) {
	exit := ""
	d.list(tasks, place{exit: func() string {
		if exit == "" {
			exit = d.id()
		}
		return exit
	}})
	if exit != "" {
		d.node(exit, circle, "exit")
	}
}

// task draws one task, and what compensates it.
func (d *drawing) task(task *language.Task, id string) {
	look, lines := d.describe(task)
	lines = append(lines, d.fateOf(id, part{pointer: task.Pointer}))
	if look == subgraph {
		d.group(id, lines, func() { d.inside(task) })
	} else {
		d.node(id, look, lines...)
	}
	if task.Call != nil && d.functions[task.Call.Function] != "" {
		d.aside(id, d.functions[task.Call.Function], "")
	}
	if len(task.Compensate) > 0 {
		undo := d.id()
		d.group(undo, []string{"compensate " + task.Name, d.fateOf(undo, part{task.Pointer, true})}, func() { d.body(task.Compensate) })
		d.aside(id, undo, "compensate")
	}
}

// function draws one of use.functions.
func (d *drawing) function(name string, task *language.Task) {
	id := d.functions[name]
	d.group(id, []string{"function " + name}, func() { d.branch(task) })
}

// branch draws a task that stands alone: nothing follows on it.
func (d *drawing) branch(task *language.Task) {
	id := d.id()
	d.task(task, id)
	d.leave(task, id, func(directive string) string {
		if directive == language.End {
			return doneNode
		}
		return ""
	}, func() string { return doneNode })
}

// inside draws what a composite does.
func (d *drawing) inside(task *language.Task) {
	switch {
	case task.Extension != nil:
		d.extension(task)
	case task.Fork != nil:
		for _, branch := range task.Fork.Branches {
			d.branch(branch)
		}
	case task.Try != nil:
		d.try(task)
	case task.For != nil:
		d.body(task.For.Do)
	case task.Listen != nil:
		d.body(task.Listen.Foreach.Do)
	default:
		d.body(task.Do)
	}
}

// extension draws the tasks before, the task extended, and the tasks after. What exit does before it, it does to all.
func (d *drawing) extension(task *language.Task) {
	extended, exit := d.id(), ""
	leave := func() string {
		if exit == "" {
			exit = d.id()
		}
		return exit
	}
	d.list(task.Extension.Before, place{next: extended, exit: leave})
	d.task(task.Extended, extended)
	if first := d.list(task.Extension.After, place{exit: leave}); first != "" {
		d.edge(extended, first, "")
	}
	if exit != "" {
		d.node(exit, circle, "exit")
	}
}

func (d *drawing) try(task *language.Task) {
	catch, tried, caught := task.Try.Catch, d.id(), d.id()
	d.group(tried, []string{"try"}, func() { d.body(task.Try.Do) })
	lines := []string{"catch " + caughtErrors(catch)}
	if !d.brief {
		lines = append(lines, conditions(catch.When, catch.ExceptWhen))
	}
	if catch.Retry != nil {
		lines = append(lines, retried(catch.Retry))
	}
	if len(catch.Do) == 0 {
		d.node(caught, box, lines...)
	} else {
		d.group(caught, lines, func() { d.body(catch.Do) })
	}
	d.aside(tried, caught, "error")
}

func caughtErrors(catch language.Catch) string {
	var filters []string
	for _, key := range slices.Sorted(maps.Keys(catch.With)) {
		text := language.Text(catch.With[key])
		if key == "type" {
			text = lastPart(text)
		}
		filters = append(filters, key+" "+text)
	}
	return cmp.Or(strings.Join(filters, ", "), "any error")
}

func conditions(when, exceptWhen string) string {
	var texts []string
	if when != "" {
		texts = append(texts, "when "+bare(when))
	}
	if exceptWhen != "" {
		texts = append(texts, "except when "+bare(exceptWhen))
	}
	return strings.Join(texts, ", ")
}

func retried(policy *language.RetryPolicy) string {
	text := "retry"
	if policy.Attempts > 0 {
		text += fmt.Sprintf(" up to %d×", policy.Attempts)
	}
	if policy.Delay != nil {
		text += " after " + cmp.Or(bare(policy.Delay.Expression), policy.Delay.Value.String())
	}
	if policy.Backoff.Kind != "" && policy.Backoff.Kind != "constant" {
		text += ", " + policy.Backoff.Kind
	}
	return text
}

// bare is an expression without what marks it as one.
func bare(expression string) string {
	text := strings.TrimSpace(expression)
	if inner, ok := strings.CutPrefix(text, "${"); ok {
		text = strings.TrimSpace(strings.TrimSuffix(inner, "}"))
	}
	return text
}

// lastPart is what tells an error's type from others.
func lastPart(uri string) string { return uri[strings.LastIndexAny(uri, "/:")+1:] }
