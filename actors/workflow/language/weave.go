package language

import "slices"

// weave puts a task of KindExtension around every task that an extension extends, the first extension outermost. The
// tasks of extensions themselves are not extended.
func (w *Workflow) weave() {
	if len(w.Use.Extensions) == 0 {
		return
	}
	w.weaveList(w.Do)
	for _, function := range w.Use.Functions {
		w.weaveInside(function)
	}
}

func (w *Workflow) weaveList(list TaskList) {
	for i, task := range list {
		w.weaveInside(task)
		for _, extension := range slices.Backward(w.Use.Extensions) {
			if extension.extends(list[i]) {
				list[i] = w.extend(list[i], extension)
			}
		}
	}
}

func (w *Workflow) weaveInside(task *Task) {
	for _, list := range task.lists() {
		w.weaveList(list)
	}
	if task.Fork != nil {
		w.weaveList(task.Fork.Branches)
	}
}

// extends tells whether an extension is for a task. A composite is a do or a fork.
func (e *Extension) extends(task *Task) bool {
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

func (w *Workflow) extend(task *Task, extension *Extension) *Task {
	around := &Task{Name: task.Name, Pointer: task.Pointer + "@" + escape(extension.Name), Line: task.Line, Column: task.Column,
		Kind: KindExtension, If: task.If, Scope: task.Scope, Definition: task.Definition, Extended: task, Extension: extension}
	around.Do = slices.Concat(extension.Before, TaskList{task}, extension.After)
	w.tasks[around.Pointer] = around
	return around
}
