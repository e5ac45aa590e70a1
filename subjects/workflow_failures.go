package subjects

import (
	"encoding/json"
	"time"
)

// RetryExecutionRequest names an ended execution and the task to restart from.
type RetryExecutionRequest struct {
	ExecutionID string `json:"execution_id" in:"path" format:"uuid"`
	FromTask    string `json:"from_task,omitempty" maxLength:"150" doc:"The task to restart from, by its name or JSON pointer; its last run counts. Default: the task whose error ended the execution."`
	Restart     bool   `json:"restart,omitempty" doc:"Discard all results and restart from the beginning with the same input."`
	Version     int    `json:"version,omitempty" minimum:"1" doc:"The version of the workflow to run; default: the current one."`
	NewID       string `json:"new_execution_id,omitempty" format:"uuid" doc:"The id of the new execution, chosen by the caller; a repeated retry with it returns the first execution."`
}

// RetryExecution starts a new execution that continues an ended one.
var RetryExecution = declare(Endpoint[RetryExecutionRequest, Execution]{
	Subject: "weft.v1.workflow.retry_execution", Route: "POST /v1/executions/{execution_id}/retry", Status: 202,
	Access: Scope(ScopeWorkflowsExecute), Consent: ScopeWorkflowsExecute, Location: "/v1/executions/{id}",
	Summary: "Retry an execution",
	Doc: "Starts a new execution that takes over the results of an ended one up to a task, and restarts from that task. Results taken " +
		"over are in its history and are not computed again. It runs the workflow's current version, so that an error in the definition " +
		"can be corrected first; the tasks taken over must exist in it under their names. Errors: conflict for an execution that has " +
		"not ended; invalid for a task that never ran, and, without restart, for an execution that was compensated.",
})

// Statuses of a failure.
const (
	FailureOpen      = "open"
	FailureReplayed  = "replayed"
	FailureDismissed = "dismissed"
)

// Failure is an execution that ended with an error or could not be started.
type Failure struct {
	ID         string            `json:"id" doc:"The execution's id; for one that was not started, the id it would have had."`
	WorkflowID string            `json:"workflow_id"`
	Version    int               `json:"version"`
	Name       string            `json:"name" doc:"The workflow's name."`
	Kind       string            `json:"kind" enum:"execution,start" doc:"start: the execution could not be started."`
	Trigger    string            `json:"trigger,omitempty" doc:"What triggered it, such as schedule, event, workflow or retry; absent for a request."`
	Status     string            `json:"status" enum:"open,replayed,dismissed"`
	Error      *ExecutionProblem `json:"error"`
	Input      json.RawMessage   `json:"input,omitempty" doc:"Present if the execution was not started."`
	At         time.Time         `json:"at" doc:"When the failure was recorded or the execution created."`
	ReplayedAs string            `json:"replayed_as,omitempty" doc:"The execution that replays it."`
}

// FailureFilter selects failures.
type FailureFilter struct {
	WorkflowID string     `json:"workflow_id,omitempty" in:"query" format:"uuid"`
	ErrorType  string     `json:"error_type,omitempty" in:"query" maxLength:"300" doc:"The error's type: the full URI or, for types of the specification, the last segment (timeout, communication, …)."`
	Since      *time.Time `json:"since,omitempty" in:"query" doc:"Created at this time or later."`
	Until      *time.Time `json:"until,omitempty" in:"query" doc:"Created before this time."`
}

// ListFailuresRequest filters the list.
type ListFailuresRequest struct {
	PageRequest
	FailureFilter
	Status string `json:"status,omitempty" in:"query" enum:"open,replayed,dismissed" doc:"Default open."`
}

// ListFailures lists failed executions and starts.
var ListFailures = declare(Endpoint[ListFailuresRequest, Page[Failure]]{
	Subject: "weft.v1.workflow.list_failures", Route: "GET /v1/workflows/failures", Access: Scope(ScopeWorkflowsRead),
	Summary: "Failures",
	Doc:     "Lists the caller's executions that ended with an error, and those that a schedule or an event failed to start, newest first.",
})

// ReplayFailureRequest names a failure.
type ReplayFailureRequest struct {
	FailureID string `json:"failure_id" in:"path" format:"uuid"`
	FromTask  string `json:"from_task,omitempty" maxLength:"150" doc:"As in retry_execution."`
	Restart   bool   `json:"restart,omitempty" doc:"As in retry_execution."`
}

// ReplayFailure replays one failure.
var ReplayFailure = declare(Endpoint[ReplayFailureRequest, Execution]{
	Subject: "weft.v1.workflow.replay_failure", Route: "POST /v1/workflows/failures/{failure_id}/replay", Status: 202,
	Access: Scope(ScopeWorkflowsExecute), Consent: ScopeWorkflowsExecute, Location: "/v1/executions/{id}",
	Summary: "Replay a failure",
	Doc: "Retries the execution from the failed task (see retry_execution), or starts the one that could not be started. A failure " +
		"is replayed once; a repeated call returns the execution of the first.",
})

// ReplayFailuresRequest selects the failures to replay.
type ReplayFailuresRequest struct {
	WorkflowID string     `json:"workflow_id,omitempty" format:"uuid"`
	ErrorType  string     `json:"error_type,omitempty" maxLength:"300" doc:"As in list_failures."`
	Since      *time.Time `json:"since,omitempty" doc:"Created at this time or later."`
	Until      *time.Time `json:"until,omitempty" doc:"Created before this time."`
	Restart    bool       `json:"restart,omitempty" doc:"As in retry_execution."`
	Limit      int        `json:"limit,omitempty" minimum:"1" maximum:"200" doc:"Maximum number of failures to replay, oldest first; default 50."`
}

// ReplayedFailures is the result of ReplayFailures.
type ReplayedFailures struct {
	Replayed map[string]string `json:"replayed" doc:"New executions by failure."`
	Refused  map[string]string `json:"refused" doc:"Reasons why others could not be replayed, by failure; these stay open."`
	More     bool              `json:"more" doc:"More failures match the filter."`
}

// ReplayFailures replays the failures that match a filter.
var ReplayFailures = declare(Endpoint[ReplayFailuresRequest, ReplayedFailures]{
	Subject: "weft.v1.workflow.replay_failures", Route: "POST /v1/workflows/failures/replay",
	Access: Scope(ScopeWorkflowsExecute), Consent: ScopeWorkflowsExecute, Timeout: time.Minute,
	Summary: "Replay failures",
	Doc:     "Replays the open failures that match a filter, oldest first, each as replay_failure does.",
})

// FailureRequest names a failure.
type FailureRequest struct {
	FailureID string `json:"failure_id" in:"path" format:"uuid"`
}

// DismissFailure dismisses a failure.
var DismissFailure = declare(Endpoint[FailureRequest, Empty]{
	Subject: "weft.v1.workflow.dismiss_failure", Route: "POST /v1/workflows/failures/{failure_id}/dismiss",
	Access:  Scope(ScopeWorkflowsExecute),
	Summary: "Dismiss a failure",
	Doc:     "Moves a failure from open to dismissed; its execution does not change. conflict for a failure that was replayed.",
})
