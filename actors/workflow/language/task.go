package language

// Kind is the kind of a task.
type Kind string

// The kinds of tasks.
const (
	KindCall   Kind = "call"
	KindDo     Kind = "do"
	KindEmit   Kind = "emit"
	KindFor    Kind = "for"
	KindFork   Kind = "fork"
	KindListen Kind = "listen"
	KindRaise  Kind = "raise"
	KindRun    Kind = "run"
	KindSet    Kind = "set"
	KindSwitch Kind = "switch"
	KindTry    Kind = "try"
	KindWait   Kind = "wait"
	// KindExtension does not occur in definitions: it wraps a task that an extension extends.
	KindExtension Kind = "extension"
)

// Flow directives. Any other directive is the name of a task in the same list.
const (
	// Continue continues with the next task of the list.
	Continue = "continue"
	// Exit ends the composite task that contains the list; in a for task, the whole loop.
	Exit = "exit"
	// End ends the workflow with the output of the current task.
	End = "end"
)

// TaskList is a list of named tasks with unique names.
type TaskList []*Task

// Index returns the position of the named task, or -1.
func (l TaskList) Index(name string) int {
	for i, task := range l {
		if task.Name == name {
			return i
		}
	}
	return -1
}

// Task is one task. Of the fields from Call on, only those of its Kind are set.
type Task struct {
	Name string
	// Pointer is the RFC 6901 pointer of the task in the definition, such as /do/0/greet.
	Pointer      string
	Line, Column int
	Kind         Kind

	If       string
	Input    *Input
	Output   *Output
	Export   *Export
	Timeout  *Timeout
	Then     string
	Metadata map[string]any
	// DeferredInput: input.from uses secrets, so it is evaluated when the call is made; until then the input is the raw
	// input.
	DeferredInput bool
	// Secrets says what of a call derives from $secrets.
	Secrets SecretUse
	// Extended and Extension are set for KindExtension. Do is then the extension's tasks before, Extended, and the
	// extension's tasks after.
	Extended  *Task
	Extension *Extension
	// Compensate are the tasks of metadata.compensate, which run after this task has completed if the execution does
	// not complete.
	Compensate TaskList
	// OnUnknown is metadata.onUnknown: how a call ends if it is unknown whether it was made.
	OnUnknown string
	// Definition is the task as a JSON value. It must not be changed.
	Definition map[string]any

	Call   *Call
	Do     TaskList
	Emit   map[string]any
	For    *For
	Fork   *Fork
	Listen *Listen
	Raise  *Raise
	Run    *Run
	Set    any
	Switch []Case
	Try    *Try
	Wait   *Duration

	// Scope are the variables that enclosing tasks define, without $, outermost first.
	Scope []string
}

// The values of metadata.onUnknown, for a call that may have been made and whose result is unknown.
const (
	// UnknownFail ends the call with an error. It is the default.
	UnknownFail = "fail"
	// UnknownRetry makes the call again.
	UnknownRetry = "retry"
	// UnknownAsk requests an approval: the call is made again or ends with an error.
	UnknownAsk = "ask"
)

// VariableCompensate is the variable, without $, that holds the compensated task's input and output in the tasks of its
// compensation.
const VariableCompensate = "compensate"

// The protocols of call; any other name is a function.
const (
	CallHTTP     = "http"
	CallOpenAPI  = "openapi"
	CallGRPC     = "grpc"
	CallAsyncAPI = "asyncapi"
	CallA2A      = "a2a"
	CallMCP      = "mcp"
)

// Call calls a protocol (http, openapi) or a function: one of use.functions or of a catalog, such as
// slack.send_message.
type Call struct {
	Function string
	// With are the arguments as written in the definition.
	With map[string]any
	// HTTP is set for http, OpenAPI for openapi.
	HTTP    *HTTPCall
	OpenAPI *OpenAPICall
}

// HTTPCall holds the arguments of call: http. Headers and Query are maps or expressions.
type HTTPCall struct {
	Method   string
	Endpoint Endpoint
	Headers  any
	Query    any
	Body     any
	HasBody  bool
	// Output is content, response or raw.
	Output string
	// Redirect accepts a status of 300 to 399 as success.
	Redirect bool
}

// OpenAPICall holds the arguments of call: openapi.
type OpenAPICall struct {
	Document       Endpoint
	OperationID    string
	Parameters     map[string]any
	Authentication *Authentication
	Output         string
	Redirect       bool
}

// For runs Do for each item of In: an expression or an inline list.
type For struct {
	Each, At string
	In       any
	While    string
	Do       TaskList
}

// Fork runs its branches in parallel; if they compete, the output of the first to complete is that of the task.
type Fork struct {
	Branches TaskList
	Compete  bool
}

// Case is one case of a switch; an empty When is the default case.
type Case struct {
	Name, When, Then string
}

// Try runs Do and catches its errors.
type Try struct {
	Do    TaskList
	Catch Catch
}

// Catch says which errors are caught and how they are handled.
type Catch struct {
	// With filters by equality: type, status, instance, title, detail. An absent key matches anything.
	With             map[string]any
	As               string
	When, ExceptWhen string
	Retry            *RetryPolicy
	Do               TaskList
	Then             string
}

// RetryPolicy says when and how often a try is retried.
type RetryPolicy struct {
	When, ExceptWhen string
	Delay            *Duration
	Backoff          Backoff
	// Attempts bounds the retries, not counting the first attempt; 0 means no bound.
	Attempts int
	// AttemptDuration bounds each attempt, Duration all of them together.
	AttemptDuration, Duration *Duration
	JitterFrom, JitterTo      *Duration
}

// Backoff says how the delay grows. The specification leaves the parameters open; weft defines linear.increment (a
// duration; by default the delay), exponential.factor (a number from 1; by default 2), and maxDelay for both.
type Backoff struct {
	// Kind is constant, linear or exponential.
	Kind      string
	Increment *Duration
	Factor    float64
	MaxDelay  *Duration
}

// Raise raises an error.
type Raise struct {
	Error *ErrorDefinition
}

// Run starts a process. Workflow is set for a child workflow. Containers, scripts and shell commands are unsupported.
type Run struct {
	// Kind is container, script, shell or workflow.
	Kind     string
	Await    bool
	Return   string
	Workflow *RunWorkflow
	// Process holds the arguments of an unsupported kind.
	Process map[string]any
}

// RunWorkflow names the workflow to run.
type RunWorkflow struct {
	Namespace, Name, Version string
	Input                    any
}

// Listen waits for events.
type Listen struct {
	To Consumption
	// Read is data, envelope or raw.
	Read    string
	Foreach *Foreach
}

// Foreach runs tasks for each consumed event.
type Foreach struct {
	Item, At string
	Do       TaskList
	Output   *Output
	Export   *Export
}

// Consumption says which events are consumed. Mode is one, any or all.
type Consumption struct {
	Mode    string
	Filters []EventFilter
	// UntilCondition and Until end a consumption of any.
	UntilCondition string
	Until          *Consumption
}

// EventFilter selects events by their CloudEvents attributes; values are literals, regular expressions, or expressions
// on the attribute.
type EventFilter struct {
	With      map[string]any
	Correlate map[string]Correlation
}

// Correlation correlates events by a value: From is evaluated on the event; Expect, if set, is the value it must equal.
type Correlation struct {
	From, Expect string
}
