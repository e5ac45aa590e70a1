package language

import (
	"slices"
	"strconv"
)

var kinds = []Kind{KindCall, KindDo, KindEmit, KindFor, KindFork, KindListen, KindRaise, KindRun, KindSet, KindSwitch,
	KindTry, KindWait}

// readTasks reads a list of named tasks and checks that its directives lead somewhere.
func (r *reader) readTasks(f field, scope []string) TaskList {
	var list TaskList
	for _, item := range f.items() {
		name, body, ok := item.single()
		if !ok {
			continue
		}
		if list.Index(name) >= 0 {
			item.fault(CodeDuplicate, "the list has another task "+strconv.Quote(name))
		}
		list = append(list, r.readTask(name, body, scope))
	}
	return list
}

func (r *reader) readTask(name string, f field, scope []string) *Task {
	o := f.object()
	task := &Task{Name: name, Pointer: f.pointer, Line: f.node.Line, Column: f.node.Column, Scope: scope}
	r.tasks++
	if r.tasks == MaxTasks+1 {
		f.fault(CodeTooLarge, "a definition has at most "+strconv.Itoa(MaxTasks)+" tasks")
	}
	task.Definition, _ = f.value().(map[string]any)
	r.workflow.tasks[f.pointer] = task
	task.If = o.expression("if")
	r.readFlow(task, o)
	task.Timeout = r.readTimeout(o)
	task.Then = o.text("then")
	r.readMetadata(task, o)
	task.Kind = o.kind()
	r.readKind(task, o)
	o.close()
	return task
}

// readFlow reads what is made of a task's input and output. The input of a call may hold secrets: then it is made when
// the call is, and is not written to the log.
func (r *reader) readFlow(task *Task, o *object) {
	task.Output, task.Export = r.readOutput(o), r.readExport(o)
	if call, ok := o.fields["call"]; ok {
		name, _ := call.text()
		if !slices.Contains(r.functions, name) {
			r.sealed(func() { task.Input = r.readInput(o) })
			task.Sealed = task.Input != nil && usesSecrets(string(Canonical(task.Input.From)))
			return
		}
	}
	task.Input = r.readInput(o)
}

// readMetadata takes out of a task's metadata, which is open, what weft gives a meaning.
func (r *reader) readMetadata(task *Task, o *object) {
	task.OnUnknown = UnknownFail
	f, given := o.fields["metadata"]
	if task.Metadata = o.mapping("metadata"); !given || !f.isObject() {
		return
	}
	metadata := f.object()
	task.OnUnknown = metadata.enum("onUnknown", UnknownFail, UnknownFail, UnknownRetry, UnknownAsk)
	if list, ok := metadata.take("compensate"); ok {
		r.variables = with(r.variables, VariableCompensate)
		task.Compensate = r.readTasks(list, with(task.Scope, VariableCompensate))
	}
}

// kind tells what a task does. A for task also has do; every other task has one of the words alone.
func (o *object) kind() Kind {
	var found []Kind
	for _, kind := range kinds {
		if o.has(string(kind)) {
			found = append(found, kind)
		}
	}
	if len(found) == 2 && slices.Contains(found, KindFor) && slices.Contains(found, KindDo) {
		return KindFor
	}
	switch {
	case o.broken:
		return ""
	case len(found) == 0:
		o.fault(CodeMissing, "a task needs one of call, do, emit, for, fork, listen, raise, run, set, switch, try, wait")
		return ""
	case len(found) > 1:
		o.fault(CodeValue, "a task does one thing, here "+string(found[0])+" and "+string(found[1]))
	}
	return found[0]
}

func (r *reader) readKind(task *Task, o *object) {
	switch task.Kind {
	case KindCall:
		r.readCall(task, o)
	case KindDo:
		task.Do = r.readList(o, "do", task.Scope)
	case KindEmit:
		task.Emit = readEmit(o)
	case KindFor:
		r.readFor(task, o)
	case KindFork:
		task.Fork = r.readFork(o, task.Scope)
	case KindListen:
		r.readListen(task, o)
	case KindRaise:
		task.Raise = r.readRaise(o)
	case KindRun:
		task.Run = r.readRun(o)
	case KindSet:
		readSet(task, o)
	case KindSwitch:
		task.Switch = readSwitch(o)
	case KindTry:
		r.readTry(task, o)
	case KindWait:
		task.Wait = o.duration("wait")
		if task.Wait == nil {
			o.fault(CodeMissing, "wait needs a duration")
			task.Wait = &Duration{}
		}
	}
}

func (r *reader) readList(o *object, key string, scope []string) TaskList {
	if f, ok := o.need(key); ok {
		return r.readTasks(f, scope)
	}
	return nil
}

func (r *reader) readFor(task *Task, o *object) {
	loop := &For{Each: "item", At: "index"}
	task.For = loop
	if f, ok := o.need("for"); ok {
		config := f.object()
		loop.Each, loop.At = config.variable("each", "item"), config.variable("at", "index")
		if in, ok := config.need("in"); ok {
			if text, isText := in.text(); isText {
				in.checkExpression(text)
			} else if !in.isList() {
				in.fault(CodeType, "an expression or a list is expected")
			}
			loop.In = config.data("in")
		}
		config.close()
	}
	loop.While = o.expression("while")
	loop.Do = r.readList(o, "do", with(task.Scope, loop.Each, loop.At))
}

func with(scope []string, names ...string) []string {
	out := slices.Clone(scope)
	for _, name := range names {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// variable reads the name of a variable, which must not hide one of the specification's own.
func (o *object) variable(key, fallback string) string {
	f, ok := o.take(key)
	if !ok {
		o.reader.variables = with(o.reader.variables, fallback)
		return fallback
	}
	name := f.needText()
	o.reader.variables = with(o.reader.variables, name)
	if !variable.MatchString(name) || slices.Contains(Variables, name) {
		f.fault(CodeValue, strconv.Quote(name)+" cannot be the name of a variable")
	}
	return name
}

func (r *reader) readFork(o *object, scope []string) *Fork {
	fork := &Fork{}
	if f, ok := o.need("fork"); ok {
		config := f.object()
		fork.Compete = config.boolean("compete", false)
		fork.Branches = r.readList(config, "branches", scope)
		if config.has("branches") && len(fork.Branches) == 0 {
			f.fault(CodeValue, "a fork needs at least one branch")
		}
		config.close()
	}
	return fork
}

func (r *reader) readRaise(o *object) *Raise {
	f, ok := o.need("raise")
	if !ok {
		return &Raise{}
	}
	config := f.object()
	raise := &Raise{}
	if thrown, ok := config.need("error"); ok {
		if name, isText := thrown.text(); isText {
			raise.Error, ok = r.workflow.Use.Errors[name]
			if !ok {
				thrown.fault(CodeReference, "use.errors has no "+strconv.Quote(name))
			}
		} else {
			raise.Error = r.readError(thrown)
		}
	}
	config.close()
	return raise
}

func readSet(task *Task, o *object) {
	f, ok := o.need("set")
	if !ok {
		return
	}
	if text, isText := f.text(); isText {
		f.checkExpression(text)
	} else if !f.isObject() || len(f.node.Content) == 0 {
		f.fault(CodeType, "an object with at least one field, or an expression, is expected")
	}
	task.Set = o.data("set")
}

func readSwitch(o *object) []Case {
	f, ok := o.need("switch")
	if !ok {
		return nil
	}
	var cases []Case
	for _, item := range f.items() {
		name, body, single := item.single()
		if !single {
			continue
		}
		config := body.object()
		cases = append(cases, Case{Name: name, When: config.expression("when"), Then: config.needText("then")})
		config.close()
	}
	if len(cases) == 0 {
		f.fault(CodeValue, "a switch needs at least one case")
	}
	return cases
}

func (r *reader) readTry(task *Task, o *object) {
	task.Try = &Try{Do: r.readList(o, "try", task.Scope), Catch: Catch{As: "error"}}
	f, ok := o.need("catch")
	if !ok {
		return
	}
	config, catch := f.object(), &task.Try.Catch
	catch.As = config.variable("as", "error")
	if errors, ok := config.take("errors"); ok {
		filter := errors.object()
		if filter.has("with") {
			catch.With = readErrorFilter(filter.fields["with"])
		}
		filter.take("with")
		filter.close()
	}
	catch.When, catch.ExceptWhen = config.expression("when"), config.expression("exceptWhen")
	catch.Then = config.text("then")
	if retry, ok := config.take("retry"); ok {
		catch.Retry = r.retryOf(retry)
	}
	if do, ok := config.take("do"); ok {
		catch.Do = r.readTasks(do, with(task.Scope, catch.As))
	}
	config.close()
}

func readErrorFilter(f field) map[string]any {
	o := f.object()
	filter := map[string]any{}
	for _, key := range []string{"type", "instance", "title", "detail"} {
		if o.has(key) {
			filter[key] = o.text(key)
		}
	}
	if o.has("status") {
		filter["status"] = o.whole("status")
	}
	if len(filter) == 0 {
		f.fault(CodeValue, "a filter needs at least one field")
	}
	o.close()
	return filter
}
