package language

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var taskKinds = []Kind{KindCall, KindDo, KindEmit, KindFor, KindFork, KindListen, KindRaise, KindRun, KindSet, KindSwitch,
	KindTry, KindWait}

// readTasks reads a list of named tasks.
func (r *reader) readTasks(f field, scope []string) TaskList {
	var list TaskList
	for _, item := range f.items() {
		name, body, ok := item.namedItem()
		if !ok {
			continue
		}
		if list.Index(name) >= 0 {
			r.warn(item, "another task of the list is named "+strconv.Quote(name)+" too: a directive leads to the first of them")
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

// readFlow reads a task's input, output and export. The input of a call may use secrets: then it is evaluated when the
// call is made, and is not written to the log.
func (r *reader) readFlow(task *Task, o *object) {
	task.Output, task.Export = r.readOutput(o), r.readExport(o)
	if call, ok := o.fields["call"]; ok {
		name, _ := call.text()
		if !slices.Contains(r.functions, name) {
			r.allowSecrets(func() { task.Input = r.readInput(o) })
			task.DeferredInput = task.Input != nil && mentionsSecretsIn(task.Input.From)
			return
		}
	}
	task.Input = r.readInput(o)
}

// readMetadata reads the fields of a task's metadata that weft defines; others are allowed.
func (r *reader) readMetadata(task *Task, o *object) {
	task.OnUnknown = UnknownFail
	f, given := o.fields["metadata"]
	if task.Metadata = o.objectValue("metadata"); !given || !f.isObject() {
		return
	}
	metadata := f.object()
	task.OnUnknown = metadata.enum("onUnknown", UnknownFail, UnknownFail, UnknownRetry, UnknownAsk)
	if list, ok := metadata.take("compensate"); ok {
		r.variables = withNames(r.variables, VariableCompensate)
		task.Compensate = r.readTasks(list, withNames(task.Scope, VariableCompensate))
	}
}

// kind is the kind of a task. A for task also has the field do; any other task has exactly one of the fields.
func (o *object) kind() Kind {
	var found []Kind
	for _, kind := range taskKinds {
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
		for _, kind := range taskKinds {
			o.alternatives = append(o.alternatives, string(kind))
		}
		o.fault(CodeMissing, "a task needs one of call, do, emit, for, fork, listen, raise, run, set, switch, try, wait")
		return ""
	case len(found) > 1:
		o.fault(CodeValue, "a task has exactly one kind, this one has "+string(found[0])+" and "+string(found[1]))
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
				in.checkBare(text)
			} else if !in.isList() {
				in.fault(CodeType, "an expression or a list is expected")
			}
			loop.In = config.data("in")
		}
		config.close()
	}
	loop.While = o.expression("while")
	loop.Do = r.readList(o, "do", withNames(task.Scope, loop.Each, loop.At))
}

func withNames(scope []string, names ...string) []string {
	out := slices.Clone(scope)
	for _, name := range names {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// variable reads the name of a variable, which must not shadow one of the specification's.
func (o *object) variable(key, fallback string) string {
	f, ok := o.take(key)
	if !ok {
		o.reader.variables = withNames(o.reader.variables, fallback)
		return fallback
	}
	name := f.needText()
	if !variableName.MatchString(name) || slices.Contains(Variables, name) {
		f.fault(CodeValue, strconv.Quote(name)+" is not a valid variable name")
		return fallback
	}
	o.reader.variables = withNames(o.reader.variables, name)
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
				thrown.reference("use.errors", name, slices.Collect(maps.Keys(r.workflow.Use.Errors)))
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
		f.checkBare(text)
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
	defaulted := ""
	for _, item := range f.items() {
		name, body, single := item.namedItem()
		if !single {
			continue
		}
		config := body.object()
		branch := Case{Name: name, Then: config.needText("then")}
		branch.When = config.expression("when")
		if branch.When == "" && !config.has("when") {
			if defaulted != "" {
				item.fault(CodeValue, "a switch has at most one default case: "+strconv.Quote(defaulted)+" has no condition either")
			}
			defaulted = name
		}
		cases = append(cases, branch)
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
	config.warnOfErrorFields(catch.As)
	catch.Then = config.text("then")
	if retry, ok := config.take("retry"); ok {
		catch.Retry = r.retryPolicy(retry)
	}
	if do, ok := config.take("do"); ok {
		catch.Do = r.readTasks(do, withNames(task.Scope, catch.As))
	}
	config.close()
}

// errorField matches a reference to a field of an error as if the error were the input.
var errorField = regexp.MustCompile(`(?:^|[^\w$.\])"'])\.(type|status|title|detail|instance)\b`)

// warnOfErrorFields warns of conditions that read the error from their input. They are evaluated on the input of the try
// task; the error is the variable.
func (o *object) warnOfErrorFields(variable string) {
	for _, key := range []string{"when", "exceptWhen"} {
		f, given := o.fields[key]
		if !given {
			continue
		}
		text, _ := f.text()
		if match := errorField.FindStringSubmatch(text); match != nil && !strings.Contains(text, "$"+variable) {
			o.reader.warn(f, "the condition is evaluated on the input of the task: the error is $"+variable+", so write $"+variable+"."+match[1])
		}
	}
}

func readErrorFilter(f field) map[string]any {
	o := f.object()
	filter := map[string]any{}
	for _, key := range []string{"type", "instance", "title", "detail"} {
		if _, given := o.take(key); given {
			filter[key] = o.text(key)
		}
	}
	if _, given := o.take("status"); given {
		filter["status"] = o.integer("status")
	}
	if len(filter) == 0 {
		f.fault(CodeValue, "a filter needs at least one field")
	}
	o.close()
	return filter
}
