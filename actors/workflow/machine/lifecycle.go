package machine

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// The lifecycle events of workflows and tasks that the specification requires (dsl.md, Lifecycle Events).
const (
	lifecyclePrefix = "io.serverlessworkflow."

	lifecycleStarted              = lifecyclePrefix + "workflow.started.v1"
	lifecycleSuspended            = lifecyclePrefix + "workflow.suspended.v1"
	lifecycleResumed              = lifecyclePrefix + "workflow.resumed.v1"
	lifecycleCorrelationStarted   = lifecyclePrefix + "workflow.correlation-started.v1"
	lifecycleCorrelationCompleted = lifecyclePrefix + "workflow.correlation-completed.v1"
	lifecycleCancelled            = lifecyclePrefix + "workflow.cancelled.v1"
	lifecycleFaulted              = lifecyclePrefix + "workflow.faulted.v1"
	lifecycleCompleted            = lifecyclePrefix + "workflow.completed.v1"

	lifecycleTaskPrefix    = lifecyclePrefix + "task."
	lifecycleTaskCreated   = lifecycleTaskPrefix + "created.v1"
	lifecycleTaskStarted   = lifecycleTaskPrefix + "started.v1"
	lifecycleTaskSuspended = lifecycleTaskPrefix + "suspended.v1"
	lifecycleTaskResumed   = lifecycleTaskPrefix + "resumed.v1"
	lifecycleTaskRetried   = lifecycleTaskPrefix + "retried.v1"
	lifecycleTaskCancelled = lifecycleTaskPrefix + "cancelled.v1"
	lifecycleTaskFaulted   = lifecycleTaskPrefix + "faulted.v1"
	lifecycleTaskCompleted = lifecycleTaskPrefix + "completed.v1"
)

// onceTypes are the lifecycle events of an execution that no task of it can repeat.
var onceTypes = []string{lifecycleStarted, lifecycleSuspended, lifecycleResumed, lifecycleCancelled, lifecycleFaulted, lifecycleCompleted}

var lifecycleTypes = append(slices.Clone(onceTypes), lifecycleCorrelationStarted, lifecycleCorrelationCompleted, lifecycleTaskCreated,
	lifecycleTaskStarted, lifecycleTaskSuspended, lifecycleTaskResumed, lifecycleTaskRetried, lifecycleTaskCancelled, lifecycleTaskFaulted, lifecycleTaskCompleted)

// lifecycleSource is the beginning of the source of lifecycle events; the execution's id follows.
const lifecycleSource = "urn:weft:execution:"

// isLifecycle reports whether an event is a lifecycle event. Only a filter that names a type receives these.
func isLifecycle(event map[string]any) bool {
	kind, _ := event["type"].(string)
	source, _ := event["source"].(string)
	return strings.HasPrefix(kind, lifecyclePrefix) && strings.HasPrefix(source, lifecycleSource)
}

// EventNamespaces are the second parts of the types of events below a prefix, such as ext., that a definition's schedule and listeners may
// receive: acme for ext.acme.ordered. "*" alone: they may receive events of any namespace, because a filter names no literal type.
func EventNamespaces(def *language.Workflow, prefix string) (names []string) {
	eachFilter(def, func(filter language.EventFilter) {
		text, isText := filter.With["type"].(string)
		rest, below := strings.CutPrefix(text, prefix)
		name, _, more := strings.Cut(rest, ".")
		pattern := text // what of it may be a pattern that matches any namespace
		if below && more && name != "" && !strings.ContainsAny(text, "|^$\\") {
			pattern = name
		}
		switch {
		case !isText || language.IsExpression(text) || strings.ContainsAny(pattern, "|^$\\*+?[](){}"):
			names = append(names, "*")
		case below && more && name != "":
			names = append(names, name)
		}
	})
	if slices.Contains(names, "*") {
		return []string{"*"}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// eachFilter calls visit with each filter of a definition's schedule and listeners.
func eachFilter(def *language.Workflow, visit func(language.EventFilter)) {
	collect := func(consumption *language.Consumption) {
		for ; consumption != nil; consumption = consumption.Until {
			for _, filter := range consumption.Filters {
				visit(filter)
			}
		}
	}
	if def.Schedule != nil {
		collect(def.Schedule.On)
	}
	def.Each(func(task *language.Task) {
		if task.Listen != nil {
			collect(&task.Listen.To)
		}
	})
}

// LifecycleTypes are the types of lifecycle events that a definition's schedule and listeners may receive.
func LifecycleTypes(def *language.Workflow) []string {
	var wanted []string
	matcher, scope := newScheduleMatcher(def, time.Time{})
	eachFilter(def, func(filter language.EventFilter) {
		for _, kind := range lifecycleTypes {
			if matcher.mayMatchType(filter.With["type"], kind, scope) && !slices.Contains(wanted, kind) {
				wanted = append(wanted, kind)
			}
		}
	})
	slices.Sort(wanted)
	return wanted
}

// mayMatchType reports whether a filter's type may match. An expression that needs the execution's data counts as a match, as does all that
// is left when the scope's budget is exhausted.
func (m *eventMatcher) mayMatchType(want any, kind string, scope language.Scope) bool {
	text, isText := want.(string)
	switch {
	case !isText:
		return false
	case language.IsExpression(text):
		if strings.Count(text, "$") > 1 { // it uses a variable
			return true
		}
		value, err := m.def.Evaluate(text, kind, scope)
		return err != nil || value == true || value == kind
	case text == kind:
		return true
	}
	return m.matchesAttribute(text, kind, scope) || scope.Budget.Err() != nil
}

// Lifecycle makes the lifecycle events of an execution.
type Lifecycle struct {
	Def       *language.Workflow
	Execution string
	// Open returns the tasks that are open before an event of the history, by its sequence.
	Open func(sequence uint64) []TaskRun

	out []map[string]any
	// keys are the correlation keys of listeners, by run.
	keys map[int]map[string]any
	once bool
}

// Of returns the lifecycle events of a part of the history. An execution of a definition that receives lifecycle events itself
// publishes none that its tasks cause, so that executions that listen to one another come to rest.
func (l *Lifecycle) Of(events []Event) []map[string]any {
	l.out, l.keys, l.once = nil, map[int]map[string]any{}, len(LifecycleTypes(l.Def)) > 0
	for i := range events {
		l.add(&events[i])
	}
	return l.out
}

func (l *Lifecycle) add(event *Event) {
	switch event.Type {
	case ExecutionStarted:
		d := l.Def.Document
		l.workflow(event, lifecycleStarted, "startedAt", map[string]any{
			"definition": map[string]any{"namespace": d.Namespace, "name": d.Name, "version": d.Version},
		})
	case ExecutionSuspended:
		l.workflow(event, lifecycleSuspended, "suspendedAt", nil)
		l.openTasks(event, lifecycleTaskSuspended, "suspendedAt")
	case ExecutionResumed:
		l.workflow(event, lifecycleResumed, "resumedAt", nil)
		l.openTasks(event, lifecycleTaskResumed, "resumedAt")
	case ExecutionCancelled:
		l.openTasks(event, lifecycleTaskCancelled, "cancelledAt")
		l.workflow(event, lifecycleCancelled, "cancelledAt", nil)
	case ExecutionFaulted:
		l.openTasks(event, lifecycleTaskCancelled, "cancelledAt")
		l.workflow(event, lifecycleFaulted, "faultedAt", map[string]any{"error": event.Error.Value()})
	case ExecutionCompleted:
		l.openTasks(event, lifecycleTaskCancelled, "cancelledAt")
		l.workflow(event, lifecycleCompleted, "completedAt", map[string]any{"output": event.Output.V})
	case TaskStarted:
		l.task(event, event.Task, lifecycleTaskCreated, "createdAt", nil)
		l.task(event, event.Task, lifecycleTaskStarted, "startedAt", nil)
	case TaskRetried:
		l.task(event, event.Task, lifecycleTaskRetried, "retriedAt", nil)
	case TaskFaulted:
		l.task(event, event.Task, lifecycleTaskFaulted, "faultedAt", map[string]any{"error": event.Error.Value()})
	case TaskCompleted:
		l.completed(event)
	case ListenerStarted:
		l.workflow(event, lifecycleCorrelationStarted, "startedAt", nil)
	case EventReceived:
		if len(event.Correlation) > 0 {
			if l.keys[event.Run] == nil {
				l.keys[event.Run] = map[string]any{}
			}
			for name, value := range event.Correlation {
				l.keys[event.Run][name] = value
			}
		}
	}
}

func (l *Lifecycle) completed(event *Event) {
	if task := l.Def.Task(event.Task); task != nil && task.Kind == language.KindListen {
		data := map[string]any{}
		if keys := l.keys[event.Run]; keys != nil {
			data["correlationKeys"] = keys
		}
		l.workflow(event, lifecycleCorrelationCompleted, "completedAt", data)
	}
	data := map[string]any{}
	if event.Output.Set {
		data["output"] = event.Output.V
	}
	l.task(event, event.Task, lifecycleTaskCompleted, "completedAt", data)
}

func (l *Lifecycle) openTasks(event *Event, kind, at string) {
	if l.once || l.Open == nil {
		return
	}
	for _, run := range l.Open(event.Sequence) {
		l.task(event, run.Task, kind, at, map[string]any{})
		l.out[len(l.out)-1]["id"] = strconv.FormatUint(event.Sequence, 10) + "-" + strconv.Itoa(run.Run) + "-" + kind
	}
}

// qualifiedName identifies the execution: <name>-<id>.<namespace>.
func (l *Lifecycle) qualifiedName() string {
	return l.Def.Document.Name + "-" + l.Execution + "." + l.Def.Document.Namespace
}

func (l *Lifecycle) workflow(event *Event, kind, at string, data map[string]any) {
	if l.once && !slices.Contains(onceTypes, kind) {
		return
	}
	if data == nil {
		data = map[string]any{}
	}
	data["name"] = l.qualifiedName()
	l.emit(event, kind, at, data)
}

func (l *Lifecycle) task(event *Event, pointer, kind, at string, data map[string]any) {
	if l.once || event.Extension != "" {
		return
	}
	if data == nil {
		data = map[string]any{}
	}
	data["workflow"], data["task"] = l.qualifiedName(), pointer
	l.emit(event, kind, at, data)
}

// emit adds a CloudEvent. Its source and id are the same each time that the same part of the history is read.
func (l *Lifecycle) emit(event *Event, kind, at string, data map[string]any) {
	moment := event.At.UTC().Format(time.RFC3339Nano)
	data[at] = moment
	normalized, _ := language.Normalize(data).(map[string]any)
	l.out = append(l.out, map[string]any{
		"specversion": "1.0", "id": strconv.FormatUint(event.Sequence, 10) + "-" + kind, "source": lifecycleSource + l.Execution,
		"subject": l.Execution, "type": kind, "time": moment, "datacontenttype": "application/json", "data": normalized,
	})
}
