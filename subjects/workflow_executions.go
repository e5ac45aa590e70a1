package subjects

import (
	"encoding/json"
	"time"
)

// Statuses of an execution.
const (
	ExecutionPending   = "pending"
	ExecutionRunning   = "running"
	ExecutionWaiting   = "waiting"
	ExecutionSuspended = "suspended"
	ExecutionCompleted = "completed"
	ExecutionFaulted   = "faulted"
	ExecutionCancelled = "cancelled"
)

// ExecutionProblem is an error of an execution or a task: RFC 9457 problem details as used by the Open Workflow
// Specification.
type ExecutionProblem struct {
	Type     string `json:"type"`
	Status   int    `json:"status"`
	Title    string `json:"title,omitempty"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty" doc:"JSON pointer of the failed task in the definition."`
	Outcome  string `json:"outcome,omitempty" enum:"unknown" doc:"unknown, if a call was interrupted that may have had its effect."`
}

// ExecutionTask is one run of a task.
type ExecutionTask struct {
	Run        int               `json:"run" doc:"Number of the run within the execution; 0 for a task that was skipped."`
	Task       string            `json:"task" doc:"JSON pointer of the task in the definition."`
	Name       string            `json:"name"`
	Key        string            `json:"key" doc:"Stable name of the run, including iterations; the same for all attempts."`
	Attempt    int               `json:"attempt"`
	Status     string            `json:"status" enum:"running,skipped,completed,faulted,cancelled"`
	Retries    int               `json:"retries,omitempty"`
	Iterations int               `json:"iterations,omitempty"`
	StartedAt  time.Time         `json:"started_at"`
	EndedAt    *time.Time        `json:"ended_at,omitempty"`
	Error      *ExecutionProblem `json:"error,omitempty"`
	Outcome    string            `json:"outcome,omitempty" enum:"unknown" doc:"unknown, if the run's call was interrupted and may have had its effect."`
}

// Execution is one run of a workflow's version.
type Execution struct {
	ID         string            `json:"id"`
	WorkflowID string            `json:"workflow_id"`
	Version    int               `json:"version"`
	Name       string            `json:"name"`
	Status     string            `json:"status" enum:"pending,running,waiting,suspended,completed,faulted,cancelled"`
	Input      json.RawMessage   `json:"input,omitempty" doc:"Omitted from lists."`
	Output     json.RawMessage   `json:"output,omitempty" doc:"Present if completed; omitted from lists."`
	Error      *ExecutionProblem `json:"error,omitempty" doc:"Present if faulted."`
	Attributes map[string]string `json:"attributes,omitempty" doc:"The attributes that the definition declares, computed from the input."`
	CreatedAt  time.Time         `json:"created_at"`
	StartedAt  *time.Time        `json:"started_at,omitempty"`
	EndedAt    *time.Time        `json:"ended_at,omitempty"`
	Tasks      []ExecutionTask   `json:"tasks,omitempty" doc:"The latest task runs, at most 1000, in order of their start; omitted from lists."`
	// TasksOmitted counts earlier runs that exceed the bound of Tasks.
	TasksOmitted int `json:"tasks_omitted,omitempty" doc:"Number of earlier task runs that are omitted; the history has them."`
}

// ExecuteWorkflowRequest starts a workflow and bounds the wait for its end.
type ExecuteWorkflowRequest struct {
	WorkflowID string          `json:"workflow_id" in:"path" format:"uuid"`
	Input      json.RawMessage `json:"input,omitempty" doc:"The workflow's input; default {}."`
	Version    int             `json:"version,omitempty" minimum:"1" doc:"Default: the current version."`
	Timeout    int             `json:"timeout,omitempty" minimum:"1" maximum:"240" doc:"Seconds to wait for the end; default 60."`
}

// ExecuteWorkflow runs a workflow and returns the execution when it has ended.
var ExecuteWorkflow = declare(Endpoint[ExecuteWorkflowRequest, Execution]{
	Subject: "weft.v1.workflow.execute_workflow", Route: "POST /v1/workflows/{workflow_id}/execute",
	Access: Scope(ScopeWorkflowsExecute), Consent: ScopeWorkflowsExecute,
	Timeout: 245 * time.Second, Concurrency: 1024,
	Summary: "Run a workflow and wait",
	Doc: "Starts an execution under the user's consent to workflows.execute and returns it when it has ended; its status is then " +
		"completed, faulted or cancelled. If it has not ended within the timeout, it continues, and the answer has its current state.",
})

// StartExecutionRequest starts a workflow.
type StartExecutionRequest struct {
	WorkflowID  string          `json:"workflow_id" in:"path" format:"uuid"`
	Input       json.RawMessage `json:"input,omitempty" doc:"The workflow's input; default {}."`
	Version     int             `json:"version,omitempty" minimum:"1" doc:"Default: the current version."`
	ExecutionID string          `json:"execution_id,omitempty" format:"uuid" doc:"The id of the new execution, chosen by the caller among the ids of the own executions; a repeated start with it returns the first execution."`
}

// StartExecution starts a workflow without waiting for its end.
var StartExecution = declare(Endpoint[StartExecutionRequest, Execution]{
	Subject: "weft.v1.workflow.execute_workflow_async", Route: "POST /v1/workflows/{workflow_id}/executions", Status: 202,
	Access: Scope(ScopeWorkflowsExecute), Consent: ScopeWorkflowsExecute, Location: "/v1/executions/{id}", Concurrency: 256,
	Summary: "Start a workflow",
	Doc: "Starts an execution under the user's consent to workflows.execute. With execution_id, a repeated start of the same " +
		"workflow with the same input returns the existing execution; any other start with that id is a conflict.",
})

// ExecutionRequest names an execution.
type ExecutionRequest struct {
	ExecutionID string `json:"execution_id" in:"path" format:"uuid"`
}

// GetExecutionStatus returns an execution.
var GetExecutionStatus = declare(Endpoint[ExecutionRequest, Execution]{
	Subject: "weft.v1.workflow.get_execution_status", Route: "GET /v1/executions/{execution_id}",
	Access:  Scope(ScopeWorkflowsRead),
	Summary: "One execution",
	Doc:     "Returns one of the caller's executions with its task runs. While it is running, the state is read from its log.",
})

// GetExecutionDiagram returns an execution as a diagram.
var GetExecutionDiagram = declare(Endpoint[ExecutionRequest, Document]{
	Subject: "weft.v1.workflow.get_execution_diagram", Route: "GET /v1/executions/{execution_id}/diagram",
	Access: Scope(ScopeWorkflowsRead), Produces: "text/plain",
	Summary: "An execution's diagram",
	Doc: "Returns the execution's version of the workflow as the text of a Mermaid flowchart, with the state of each task (completed, " +
		"running, faulted, skipped, cancelled or not reached) and the number of its runs. It is as current as get_execution_status.",
})

// ExecutionEvent is an event of an execution's history. Fields that its type does not use are absent.
type ExecutionEvent struct {
	Sequence   uint64            `json:"sequence" doc:"From 1, without gaps."`
	Type       string            `json:"type" doc:"Such as task_started, call_completed, execution_faulted."`
	At         time.Time         `json:"at"`
	Run        int               `json:"run,omitempty" doc:"The task run concerned; 0 is the workflow itself."`
	Parent     int               `json:"parent,omitempty"`
	Task       string            `json:"task,omitempty" doc:"JSON pointer of the task in the definition."`
	Name       string            `json:"name,omitempty"`
	Key        string            `json:"key,omitempty"`
	Attempt    int               `json:"attempt,omitempty"`
	Index      int               `json:"index,omitempty" doc:"Index of the iteration, from 0."`
	Input      json.RawMessage   `json:"input,omitempty"`
	Data       json.RawMessage   `json:"data,omitempty" doc:"The transformed input."`
	Output     json.RawMessage   `json:"output,omitempty"`
	Context    json.RawMessage   `json:"context,omitempty"`
	Items      json.RawMessage   `json:"items,omitempty"`
	Then       string            `json:"then,omitempty"`
	Error      *ExecutionProblem `json:"error,omitempty"`
	Due        *time.Time        `json:"due,omitempty"`
	Deadline   *time.Time        `json:"deadline,omitempty"`
	AttemptDue *time.Time        `json:"attempt_due,omitempty"`
	Timer      string            `json:"timer,omitempty"`
	Reason     string            `json:"reason,omitempty"`
	// Interrupted are the calls whose outcome the event leaves unknown.
	Interrupted []InterruptedCall `json:"interrupted,omitempty" doc:"The calls that the event ends before they have a result and that may have had their effect."`
}

// InterruptedCall is a call that was ended before it had a result, and that may have had its effect.
type InterruptedCall struct {
	Run     int    `json:"run" doc:"The task run that made the call."`
	Task    string `json:"task" doc:"JSON pointer of the task in the definition."`
	Key     string `json:"key"`
	Outcome string `json:"outcome" enum:"unknown"`
}

// ExecutionHistoryRequest names an execution and selects a page.
type ExecutionHistoryRequest struct {
	ExecutionRequest
	Limit  int    `json:"limit,omitempty" in:"query" minimum:"1" maximum:"1000" doc:"Maximum number of events; default 50."`
	Cursor string `json:"cursor,omitempty" in:"query" maxLength:"1024" doc:"The next_cursor of the previous page; opaque."`
}

// PageLimit returns the requested page size, or the default of 50.
func (r ExecutionHistoryRequest) PageLimit() int { return PageRequest{Limit: r.Limit}.PageLimit() }

// GetExecutionHistory lists an execution's events.
var GetExecutionHistory = declare(Endpoint[ExecutionHistoryRequest, Page[ExecutionEvent]]{
	Subject: "weft.v1.workflow.get_execution_history", Route: "GET /v1/executions/{execution_id}/history",
	Access:  Scope(ScopeWorkflowsRead),
	Summary: "An execution's history", Doc: "Lists every event of an execution, in order. A page may hold fewer than " +
		"limit events if they are large.",
})

// WatchExecution streams an execution's events.
var WatchExecution = declare(Endpoint[ExecutionRequest, StreamPointer]{
	Subject: "weft.v1.workflow.watch_execution", Route: "GET /v1/executions/{execution_id}/events",
	Access: Scope(ScopeWorkflowsRead), Stream: true,
	Summary: "An execution, live",
	Doc: "Server-sent events from the start of the execution. Each is one transition: its data has the transition's events and the " +
		"status after it, its name is the type of the last event. Everything before the call is sent as one transition. The stream ends " +
		"with the execution; reconnecting with the id of its last event is answered with 204. Last-Event-ID resumes it for one day.",
})

// ListExecutionsRequest filters the list.
type ListExecutionsRequest struct {
	PageRequest
	WorkflowID string     `json:"workflow_id,omitempty" in:"query" format:"uuid"`
	Status     string     `json:"status,omitempty" in:"query" enum:"pending,running,waiting,suspended,completed,faulted,cancelled"`
	Since      *time.Time `json:"since,omitempty" in:"query" doc:"Created at this time or later."`
	Until      *time.Time `json:"until,omitempty" in:"query" doc:"Created before this time."`
	Attribute  []string   `json:"attribute,omitempty" in:"query" maxItems:"5" maxLength:"300" doc:"name:value of an attribute that the definition declares; if repeated, all must match."`
}

// ListExecutions lists the caller's executions.
var ListExecutions = declare(Endpoint[ListExecutionsRequest, Page[Execution]]{
	Subject: "weft.v1.workflow.list_executions", Route: "GET /v1/executions", Access: Scope(ScopeWorkflowsRead),
	Summary: "My executions",
	Doc: "Lists the caller's executions, newest first, without input, output and tasks. A page filtered by status or attribute may hold " +
		"fewer than limit items, or none, and still have a next_cursor: a page is selected from at most 5,000 executions.",
})

// ExecutionControlRequest names an execution and gives a reason.
type ExecutionControlRequest struct {
	ExecutionID string `json:"execution_id" in:"path" format:"uuid"`
	Reason      string `json:"reason,omitempty" maxLength:"500"`
}

// CancelExecution cancels an execution.
var CancelExecution = declare(Endpoint[ExecutionControlRequest, Execution]{
	Subject: "weft.v1.workflow.cancel_execution", Route: "POST /v1/executions/{execution_id}/cancel",
	Access:  Scope(ScopeWorkflowsExecute),
	Summary: "Cancel an execution",
	Doc: "Cancels an execution and those that it has led to: what it has started in whatever way, and what these have started in turn. " +
		"When the call returns, no further step of it starts. Calls in flight are notified and their results discarded. conflict for an " +
		"execution that has completed or faulted and has no descendant that runs; cancelling twice has no effect.",
})

// SuspendExecution suspends an execution.
var SuspendExecution = declare(Endpoint[ExecutionControlRequest, Execution]{
	Subject: "weft.v1.workflow.suspend_execution", Route: "POST /v1/executions/{execution_id}/suspend",
	Access:  Scope(ScopeWorkflowsExecute),
	Summary: "Suspend an execution",
	Doc: "Starts no further step until the execution is resumed. The results of calls in flight are still recorded. conflict for an " +
		"execution that has ended; suspending twice has no effect.",
})

// ResumeExecution resumes a suspended execution.
var ResumeExecution = declare(Endpoint[ExecutionRequest, Execution]{
	Subject: "weft.v1.workflow.resume_execution", Route: "POST /v1/executions/{execution_id}/resume",
	Access: Scope(ScopeWorkflowsExecute), Consent: ScopeWorkflowsExecute,
	Summary: "Resume an execution",
	Doc: "Resumes a suspended execution if the user's consent to workflows.execute is still active. conflict for an execution that " +
		"has ended; resuming one that is not suspended has no effect.",
})

// ExecutionEnded describes an execution that has ended.
type ExecutionEnded struct {
	ExecutionID string    `json:"execution_id"`
	WorkflowID  string    `json:"workflow_id"`
	Version     int       `json:"version"`
	Name        string    `json:"name"`
	Status      string    `json:"status" enum:"completed,faulted,cancelled"`
	Origin      string    `json:"origin,omitempty" doc:"What started it, if it was not a request."`
	EndedAt     time.Time `json:"ended_at"`
}

// ExecutionFailure describes an execution that has ended with an error.
type ExecutionFailure struct {
	ExecutionID string    `json:"execution_id"`
	WorkflowID  string    `json:"workflow_id"`
	Version     int       `json:"version"`
	Name        string    `json:"name"`
	Origin      string    `json:"origin,omitempty" doc:"What started it, if it was not a request."`
	ErrorType   string    `json:"error_type" doc:"The type of its error."`
	EndedAt     time.Time `json:"ended_at"`
}

// ExecutionFailures is the data of ExecutionsFailed.
type ExecutionFailures struct {
	Executions []ExecutionFailure `json:"executions"`
}

// ExecutionsFailed is published when executions of one user have ended with an error while nobody waited for their end.
var ExecutionsFailed = declareEvent(Event[ExecutionFailures]{
	Subject: "weft.event.v1.workflow.executions_failed",
	Doc: "Executions of one user have ended with an error, and neither a request nor another execution waits for their end: one or, if they " +
		"ended at about the same time, several.",
})

// NotifyFailures subscribes the notification actor to executions that fail unattended.
var NotifyFailures = subscribe(Subscription[ExecutionFailures]{Event: ExecutionsFailed, Owner: "notification"})

// ExecutionProgress names the events that an execution's history has got.
type ExecutionProgress struct {
	ExecutionID string `json:"execution_id"`
	First       int64  `json:"first" doc:"Sequence of the first new event."`
	Last        int64  `json:"last" doc:"Sequence of the last one."`
}

// ExecutionProgressed is published when an execution of a user has progressed whose workflows receive lifecycle events.
var ExecutionProgressed = declareEvent(Event[ExecutionProgress]{
	Subject: "weft.event.v1.workflow.execution_progressed",
	Doc: "The history of an execution has got further events. Published only for users who have a workflow that receives lifecycle " +
		"events, which the workflow actor makes of them.",
})

// PublishLifecycle subscribes the workflow actor to the progress of executions.
var PublishLifecycle = subscribe(Subscription[ExecutionProgress]{
	Event: ExecutionProgressed, Owner: "workflow", MaxDeliver: 20,
	Backoff: []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute},
})

// ExecutionsEnded is the data of ExecutionsFinished.
type ExecutionsEnded struct {
	Executions []ExecutionEnded `json:"executions"`
}

// ExecutionsFinished is published when executions of one user have ended.
var ExecutionsFinished = declareEvent(Event[ExecutionsEnded]{
	Subject: "weft.event.v1.workflow.executions_finished",
	Doc:     "Executions of one user have completed, faulted or been cancelled: one or, if they ended at about the same time, several.",
})
