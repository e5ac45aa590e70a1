package language

import "slices"

// applyExtensions wraps every task that an extension extends in a task of KindExtension, the first extension outermost.
// The tasks of extensions themselves are not extended.
func (w *Workflow) applyExtensions() {
	if len(w.Use.Extensions) == 0 {
		return
	}
	w.extendList(w.Do)
	for _, function := range w.Use.Functions {
		w.extendNested(function)
	}
}

func (w *Workflow) extendList(list TaskList) {
	for i, task := range list {
		w.extendNested(task)
		for _, extension := range slices.Backward(w.Use.Extensions) {
			if extension.Extends(list[i]) {
				list[i] = w.wrap(list[i], extension)
			}
		}
	}
}

func (w *Workflow) extendNested(task *Task) {
	for _, list := range task.lists() {
		w.extendList(list)
	}
	if task.Fork != nil {
		w.extendList(task.Fork.Branches)
	}
}

// Extends reports whether an extension applies to a task. A composite is a do or a fork.
func (e *Extension) Extends(task *Task) bool {
	for task.Extended != nil {
		task = task.Extended
	}
	switch e.Extend {
	case "all":
		return true
	case "composite":
		return task.Kind == KindDo || task.Kind == KindFork
	}
	return e.Extend == string(task.Kind)
}

func (w *Workflow) wrap(task *Task, extension *Extension) *Task {
	around := &Task{Name: task.Name, Pointer: task.Pointer + "@" + escapeToken(extension.Name), Line: task.Line, Column: task.Column,
		Kind: KindExtension, If: task.If, Scope: task.Scope, Definition: task.Definition, Extended: task, Extension: extension}
	around.Do = slices.Concat(extension.Before, TaskList{task}, extension.After)
	w.tasks[around.Pointer] = around
	return around
}
