package language

import "strconv"

// check reports faults that require the whole definition: directives without a target, functions that call themselves,
// and undefined names in expressions.
func (r *reader) check() {
	w := r.workflow
	r.checkNames()
	r.checkList(w.Do)
	for _, extension := range w.Use.Extensions {
		r.checkList(extension.Before)
		r.checkList(extension.After)
	}
	for _, task := range w.Use.Functions {
		r.checkTask(task, nil)
	}
	for name, task := range w.Use.Functions {
		if r.reaches(task, name, map[string]bool{}) {
			r.faultAt(task, "", CodeReference, "the function "+strconv.Quote(name)+" calls itself")
		}
	}
}

func (r *reader) faultAt(task *Task, below, code, message string) {
	r.faults = append(r.faults, r.source.Fault(task.Pointer+below, code, message))
}

func (r *reader) checkList(list TaskList) {
	for _, task := range list {
		r.checkTask(task, list)
	}
}

func (r *reader) checkTask(task *Task, list TaskList) {
	r.checkDirective(task, "/then", task.Then, list)
	for i, branch := range task.Switch {
		r.checkDirective(task, "/switch/"+strconv.Itoa(i)+"/"+escapeToken(branch.Name)+"/then", branch.Then, list)
	}
	if task.Try != nil {
		r.checkDirective(task, "/catch/then", task.Try.Catch.Then, list)
	}
	for _, nested := range task.lists() {
		r.checkList(nested)
	}
	if task.Fork != nil {
		for _, branch := range task.Fork.Branches {
			r.checkTask(branch, nil)
		}
	}
}

func (r *reader) checkDirective(task *Task, below, directive string, list TaskList) {
	switch directive {
	case "", Continue, Exit, End:
	default:
		if list.Index(directive) < 0 {
			names := []string{Continue, Exit, End}
			for _, sibling := range list {
				names = append(names, sibling.Name)
			}
			r.faultAt(task, below, CodeReference, "the task list has no task "+strconv.Quote(directive)+DidYouMean(directive, names))
		}
	}
}

// lists are the task lists that a task runs sequentially.
func (t *Task) lists() []TaskList {
	var lists []TaskList
	switch {
	case t.For != nil:
		lists = append(lists, t.For.Do)
	case t.Try != nil:
		lists = append(lists, t.Try.Do, t.Try.Catch.Do)
	case t.Listen != nil && t.Listen.Foreach != nil:
		lists = append(lists, t.Listen.Foreach.Do)
	}
	return append(lists, t.Do, t.Compensate)
}

// reaches reports whether running a task can call the named function.
func (r *reader) reaches(task *Task, name string, seen map[string]bool) bool {
	if task.Call != nil {
		called, own := r.workflow.Use.Functions[task.Call.Function]
		if own && task.Call.Function == name {
			return true
		}
		if own && !seen[task.Call.Function] {
			seen[task.Call.Function] = true
			return r.reaches(called, name, seen)
		}
	}
	lists := task.lists()
	if task.Fork != nil {
		lists = append(lists, task.Fork.Branches)
	}
	for _, list := range lists {
		for _, nested := range list {
			if r.reaches(nested, name, seen) {
				return true
			}
		}
	}
	return false
}
