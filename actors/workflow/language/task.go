package language

// Kind says what a task does.
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
	// KindExtension is no task of a definition: it stands around one that an extension extends.
	KindExtension Kind = "extension"
)

// Flow directives. Any other directive is the name of a task in the same list.
const (
	// Continue goes on with the next task of the list.
	Continue = "continue"
	// Exit ends the composite task that the list belongs to; in a for task, the whole loop.
	Exit = "exit"
	// End ends the workflow, with the output of the task that says so.
	End = "end"
)

// TaskList is a list of named tasks; names are unique in it.
type TaskList []*Task

// Index returns the position of the task of that name, or -1.
func (l TaskList) Index(name string) int {
	for i, task := range l {
		if task.Name == name {
			return i
		}
	}
	return -1
}

// Task is one task. Exactly the part that Kind names is set.
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
	// Sealed: input.from uses secrets. It is evaluated when the call is made; until then the input is the raw one.
	Sealed bool
	// Extended and Extension are set for KindExtension. Do is then what is done: the extension's tasks before, Extended,
	// the extension's tasks after.
	Extended  *Task
	Extension *Extension
	// Compensate are the tasks of metadata.compensate: done, once this task has completed, if the execution does not.
	Compensate TaskList
	// OnUnknown is metadata.onUnknown: what becomes of a call when nobody knows whether it was made.
	OnUnknown string
	// Definition is the task as a JSON value. Do not change it.
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

	// Scope are the names of the variables that enclosing tasks define here, without $, outermost first.
	Scope []string
}

// What metadata.onUnknown says about a call that may have been made and whose result nobody knows.
const (
	// UnknownFail ends it with an error. This is the default.
	UnknownFail = "fail"
	// UnknownRetry makes it again.
	UnknownRetry = "retry"
	// UnknownAsk leaves it to a person to have it made again, or end it with an error.
	UnknownAsk = "ask"
)

// VariableCompensate is the variable, without $, by which the tasks of a compensation see what is compensated: its
// input and output.
const VariableCompensate = "compensate"

// The protocols of call; every other name is a function.
const (
	CallHTTP     = "http"
	CallOpenAPI  = "openapi"
	CallGRPC     = "grpc"
	CallAsyncAPI = "asyncapi"
	CallA2A      = "a2a"
	CallMCP      = "mcp"
)

// Call calls a protocol (http, openapi) or a function: one of use.functions, or one of a catalog, such as
// slack.send_message.
type Call struct {
	Function string
	// With are the arguments as they stand in the definition.
	With map[string]any
	// HTTP is set for http, OpenAPI for openapi.
	HTTP    *HTTPCall
	OpenAPI *OpenAPICall
}

// HTTPCall is the arguments of call: http. Headers and Query are a map or an expression.
type HTTPCall struct {
	Method   string
	Endpoint Endpoint
	Headers  any
	Query    any
	Body     any
	HasBody  bool
	// Output is content, response or raw.
	Output string
	// Redirect true takes a status of 300 to 399 as success instead of an error.
	Redirect bool
}

// OpenAPICall is the arguments of call: openapi.
type OpenAPICall struct {
	Document       Endpoint
	OperationID    string
	Parameters     map[string]any
	Authentication *Authentication
	Output         string
	Redirect       bool
}

// For repeats Do for each item of In: an expression or an inline list.
type For struct {
	Each, At string
	In       any
	While    string
	Do       TaskList
}

// Fork runs its branches side by side; when they compete, the first one's output is the task's.
type Fork struct {
	Branches TaskList
	Compete  bool
}

// Case is one case of a switch; an empty When is the default.
type Case struct {
	Name, When, Then string
}

// Try runs Do and catches its errors.
type Try struct {
	Do    TaskList
	Catch Catch
}

// Catch says which errors are caught and what is done then.
type Catch struct {
	// With filters by equality: type, status, instance, title, detail. Absent keys match anything.
	With             map[string]any
	As               string
	When, ExceptWhen string
	Retry            *RetryPolicy
	Do               TaskList
	Then             string
}

// RetryPolicy says when and how often a try is tried again.
type RetryPolicy struct {
	When, ExceptWhen string
	Delay            *Duration
	Backoff          Backoff
	// Attempts bounds the retries, the first attempt not counted; 0 means without bound.
	Attempts int
	// AttemptDuration bounds each attempt, Duration all of them together.
	AttemptDuration, Duration *Duration
	JitterFrom, JitterTo      *Duration
}

// Backoff is how the delay grows. The specification leaves the parameters open; weft knows: linear.increment (a
// duration; the delay itself by default), exponential.factor (a number from 1; 2 by default), and maxDelay for both.
type Backoff struct {
	// Kind is constant, linear or exponential.
	Kind      string
	Increment *Duration
	Factor    float64
	MaxDelay  *Duration
}

// Raise throws an error.
type Raise struct {
	Error *ErrorDefinition
}

// Run starts a process. Workflow is set for a child workflow; container, script and shell are only named by Kind.
type Run struct {
	// Kind is container, script, shell or workflow.
	Kind     string
	Await    bool
	Return   string
	Workflow *RunWorkflow
	// Process holds the arguments of the kinds that weft does not run.
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

// Foreach does tasks for each event consumed.
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
	// UntilCondition and Until end the consumption of any.
	UntilCondition string
	Until          *Consumption
}

// EventFilter selects events by their CloudEvents attributes; values are literals, regular expressions or
// expressions over the attribute.
type EventFilter struct {
	With      map[string]any
	Correlate map[string]Correlation
}

// Correlation ties an event to a value: From is evaluated on the event; Expect, if any, is what it must equal.
type Correlation struct {
	From, Expect string
}
